"""Write down what a line carries: ``tap``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.tools import ANY_PATH, either, run_until_signal
from edge.config import load_station

if TYPE_CHECKING:
    from edge.tapping import TapFile
    from firmware_bridge.tap_format import TapHeader


@click.command()
@click.argument("port")
@click.argument("file", type=ANY_PATH)
@click.option("--for", "station_file", type=ANY_PATH, help="Station file of a running station.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End by itself after N seconds.")
@click.option("--megabytes", type=click.FloatRange(min=0.001), default=64.0, show_default=True)
@click.option("--baud", type=click.IntRange(min=300), default=9_600, show_default=True)
def tap(
    *,
    port: str,
    file: Path,
    station_file: Path | None,
    seconds: float | None,
    megabytes: float,
    baud: int,
) -> None:
    """Write the bytes of a line, both ways and with their times, to a new FILE.

    PORT is a path, socket://host:port, or with --for a name of the station (D1, scale.F1). A line
    that the running station holds is written down by it, undisturbed; any other port is opened.
    """
    from edge.tapping import TapFile

    data_dir = load_station(station_file).data_dir if station_file else None
    with TapFile(file, round(megabytes * 1e6)) as out:
        run_until_signal(lambda stop: _tap(stop, port, out, data_dir, seconds, baud))
    full = "；文件已满 / the file is full" if out.full else ""
    click.echo(
        f"{file}: 收到 / heard {out.heard} B, 发出 / sent {out.sent} B, "
        f"遗漏 / missed {out.missed} B{full}",
        err=True,
    )


async def _tap(
    stop: asyncio.Event,
    port: str,
    out: TapFile,
    data_dir: Path | None,
    seconds: float | None,
    baud: int,
) -> None:
    from edge.tapping import tap_line, write_down

    def tell(header: TapHeader) -> None:
        click.echo(f"经由运行中的站点 / through the running station: {header.part}", err=True)

    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    async with aclosing(tap_line(port, baud, data_dir, tell)) as pieces:
        await either(write_down(pieces, out), stop)
