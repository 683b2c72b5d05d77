"""Keeping a copy of a station's store: ``backup``."""

from __future__ import annotations

from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, EXISTING
from edge.config import load_station

_DOING = {
    "database": "数据库 / database",
    "files": "图像和信号 / files",
    "verify": "核对 / verifying",
}


@click.command()
@click.argument("station_file", type=EXISTING)
@click.option("--to", required=True, type=ANY_PATH, help="Directory of the backup.")
@click.option("--with-key", is_flag=True, help="Also copy the station's private key. Keep it safe.")
def backup(*, station_file: Path, to: Path, with_key: bool) -> None:
    """Back up a station's store while it runs; call it again to bring the copy up to date.

    The copy is verified at the end. A station that goes on from a backup has forgotten records
    that the centre knows: the centre reports a rollback.
    """
    from edge.store.backup import back_up

    done = back_up(load_station(station_file).data_dir, to, _tell, with_key=with_key)
    click.echo(
        f"备份完成并已核对 / backed up and verified: {done.records} 条记录 / records, "
        f"{done.files} 个文件 / files ({done.copied} 个新 / new) → {to}"
    )


def _tell(doing: str, done: int, total: int) -> None:
    if done == total or done % 5_000 == 0:
        click.echo(f"{_DOING[doing]} {done}/{total}", err=True)
