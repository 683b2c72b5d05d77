"""Look at the ports and say what speaks there: ``doctor``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.tools import ANY_PATH, either, run_until_signal
from edge.config import load_station
from edge.errors import Text, cannot_make

if TYPE_CHECKING:
    from edge.doctor import Look
    from firmware_bridge.recognising import Live

_QUIET_S = 5.0
_QUIET = f"{_QUIET_S:.0f} 秒没有新数据 / nothing new for {_QUIET_S:.0f} s"


@click.command()
@click.argument("ports", nargs=-1)
@click.option("--for", "station_file", type=ANY_PATH, help="Station file of a running station.")
@click.option("--wait", "wait_s", type=click.FloatRange(0.2, 600), help="Longest silence, s.")
@click.option("--watch", "watch_s", type=click.FloatRange(1), help="Then show live values, s.")
@click.option("--write", "piece_file", type=ANY_PATH, help="Write station-file tables, new FILE.")
def doctor(
    *,
    ports: tuple[str, ...],
    station_file: Path | None,
    wait_s: float | None,
    watch_s: float | None,
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
    if watch_s is not None:
        run_until_signal(lambda stop: _watch(stop, looks, data_dir, watch_s))


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


async def _watch(
    stop: asyncio.Event, looks: list[Look], data_dir: Path | None, watch_s: float
) -> None:
    from edge.doctor_watch import watch

    board = _Board([look.url for look in looks if look.speaker])
    asyncio.get_running_loop().call_later(watch_s, stop.set)
    async with asyncio.TaskGroup() as group:
        showing = group.create_task(board.show())
        await either(watch(looks, data_dir, board.tell), stop)
        showing.cancel()


class _Board:
    """The newest values of each line; once a second those lines are printed that say another."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._newest = dict.fromkeys(urls, ("", asyncio.get_running_loop().time()))

    def tell(self, url: str, told: Sequence[Live] | Text) -> None:
        from edge.doctor_text import live_line

        text = str(told) if isinstance(told, Text) else live_line(told)
        self._newest[url] = text, asyncio.get_running_loop().time()

    async def show(self) -> None:
        loop, shown = asyncio.get_running_loop(), dict[str, str]()
        start_s = loop.time()
        while True:
            await asyncio.sleep(1)
            now_s = loop.time()
            for url, (text, told_s) in self._newest.items():
                line = text if now_s - told_s < _QUIET_S else _QUIET
                if shown.get(url, "") != line:
                    shown[url] = line
                    click.echo(f"{now_s - start_s:4.0f} s  {url}  {line}")


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
        raise cannot_make(path, error) from error
    click.echo(f"已写入 / written: {path}", err=True)
