"""Look at the ports and say what speaks there: ``doctor``."""

from __future__ import annotations

import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.tools import ANY_PATH, either, run_until_signal
from edge.config import load_station
from edge.errors import InputError

if TYPE_CHECKING:
    from edge.doctor import Look


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--for", "station_file", type=ANY_PATH, help="Station file of a running station.")
@click.option("--wait", "wait_s", type=click.FloatRange(0.2, 600), help="Longest silence, s.")
@click.option("--write", "piece_file", type=ANY_PATH, help="Write station-file tables, new FILE.")
def doctor(
    *,
    ports: tuple[str, ...],
    station_file: Path | None,
    wait_s: float | None,
    piece_file: Path | None,
) -> None:
    """Say what speaks on the serial ports, or on PORTS (paths, socket://host:port).

    It listens at every speed, then asks; it changes no setting. With --for, ports that the
    running station holds are only listened to.
    """
    data_dir = load_station(station_file).data_dir if station_file else None
    looks: list[Look] = []
    run_until_signal(lambda stop: either(_examine(ports, data_dir, wait_s, looks), stop))
    if piece_file is not None:
        _write(looks, piece_file)


async def _examine(
    ports: tuple[str, ...], data_dir: Path | None, wait_s: float | None, looks: list[Look]
) -> None:
    from edge.doctor import examine, lines_to_look_at
    from edge.doctor_text import describe
    from firmware_bridge.probing import SILENCE_S

    urls = lines_to_look_at(ports)
    click.echo(f"串口 / serial ports: {len(urls)}", err=True)
    if not urls:
        click.echo(
            "没有找到串口：检查适配器是否插好 / no serial port: is the adapter in?", err=True
        )
    progress = _Progress(len(urls))
    async with aclosing(examine(urls, data_dir, progress.tell, wait_s or SILENCE_S)) as found:
        async for look in found:
            looks.append(look)
            progress.clear()
            click.echo("\n".join(describe(look)))
            progress.done += 1


class _Progress:
    """One line on the terminal that says what is being tried; none where nobody looks."""

    def __init__(self, total: int) -> None:
        self._total, self.done = total, 0
        self._shown = sys.stderr.isatty()

    def tell(self, url: str, step: str) -> None:
        if self._shown:
            text = f"[{self.done}/{self._total}] {url}: {step}"
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def _write(looks: list[Look], path: Path) -> None:
    from edge.doctor_text import station_piece

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(station_piece(looks))
    except OSError as error:
        raise InputError(
            f"不能新建文件 {path}：{error.strerror}",
            f"cannot make the file {path}: {error.strerror}",
            next_zh="换一个文件名：已有的文件不会被覆盖",
            next_en="take another name: no file is overwritten",
        ) from error
    click.echo(f"已写入 / written: {path}", err=True)
