"""The log for others to follow: ``tiles``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, EXISTING, fraction


@click.command()
@click.argument("store", type=EXISTING)
@click.option(
    "--out", type=ANY_PATH, required=True, help="Directory; an earlier copy is continued."
)
def tiles(*, store: Path, out: Path) -> None:
    """Write the log as C2SP tlog-tiles: any web server can publish it, any monitor follow it."""
    from edge.store.tiles import write_tiles

    with click.progressbar(length=1000, label="导出 / tiles", file=sys.stderr) as bar:
        checkpoint = write_tiles(store, out, fraction(bar))
    click.echo(f"{checkpoint.origin}: {checkpoint.size} 条记录 / records → {out}")
