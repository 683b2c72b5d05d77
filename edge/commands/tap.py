"""Write down what a line carries: ``tap``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge.commands.tools import ANY_PATH, either, run_until_signal
from edge.config import load_station
from edge.errors import InputError

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
@click.option("--data-bits", type=click.Choice(["7", "8"]), default="8", show_default=True)
@click.option(
    "--parity", type=click.Choice(["none", "even", "odd"]), default="none", show_default=True
)
@click.option("--stop-bits", type=click.Choice(["1", "2"]), default="1", show_default=True)
def tap(
    *,
    port: str,
    file: Path,
    station_file: Path | None,
    seconds: float | None,
    megabytes: float,
    baud: int,
    data_bits: str,
    parity: str,
    stop_bits: str,
) -> None:
    """Write the bytes of a line, both ways and with their times, to a new FILE.

    PORT is a path, socket://host:port, or with --for a name of the station (D1, scale.F1). A line
    that the running station holds is written down by it, undisturbed, as the station has set it.
    Any other port is opened, with the baud, bits and parity that are given.
    """
    from edge.tapping import TapFile
    from firmware_bridge.tap_format import TapHeader

    if data_bits == "7" and parity == "none":
        raise InputError(
            "7 位数据要有奇偶校验",
            "seven bits go with a parity",
            next_zh="加上 --parity even 或 --parity odd；不确定时用 steelyard doctor 查看",
            next_en="add --parity even or --parity odd; steelyard doctor finds out which",
        )
    line = TapHeader(port, 0, baud, int(data_bits), parity, int(stop_bits))
    data_dir = load_station(station_file).data_dir if station_file else None
    with TapFile(file, round(megabytes * 1e6)) as out:
        run_until_signal(lambda stop: _tap(stop, line, out, data_dir, seconds))
    full = "；文件已满 / the file is full" if out.full else ""
    click.echo(
        f"{file}: 收到 / heard {out.heard} B, 发出 / sent {out.sent} B, "
        f"遗漏 / missed {out.missed} B{full}",
        err=True,
    )
    if not out.heard:
        click.echo(
            "没有收到数据：核对接线、--baud、--data-bits 和 --parity，或运行 steelyard doctor / "
            "nothing was heard: check the wiring, --baud, --data-bits, --parity, or run "
            "steelyard doctor",
            err=True,
        )


async def _tap(
    stop: asyncio.Event,
    line: TapHeader,
    out: TapFile,
    data_dir: Path | None,
    seconds: float | None,
) -> None:
    from edge.tapping import tap_line, write_down

    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    async with aclosing(tap_line(line, data_dir, _tell)) as pieces:
        await either(write_down(pieces, out), stop)


def _tell(line: TapHeader) -> None:
    where = f"经由运行中的站点 / through the running station: {line.part}"
    if not line.part:
        where = f"打开端口 / opening the port: {line.url}"
    bits = f"{line.baud} {line.data_bits}{line.parity[0].upper()}{line.stop_bits}"
    serial = f" ({bits})" if line.url.startswith("/") else ""
    click.echo(f"{where}{serial}", err=True)
