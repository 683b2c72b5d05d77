"""Zero and tare of an indicator that the running station reads: ``scale``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from edge.commands.tools import EXISTING
from edge.config import StationConfig, load_station
from edge.errors import DeviceFault, InputError, LinkDown, SteelyardError

_CLASSES: dict[str, type[SteelyardError]] = {
    kind.__name__: kind for kind in (InputError, LinkDown, DeviceFault)
}


@click.command()
@click.argument("action", type=click.Choice(["zero", "tare", "clear_tare"]))
@click.argument("station_file", type=EXISTING)
@click.argument("device")
@click.option("--by", required=True, help="Who answers for it; stands in the log.")
def scale(*, action: str, station_file: Path, device: str, by: str) -> None:
    """Have DEVICE set its zero or its tare (置零 / 去皮), through the running station.

    DEVICE is a [[scale]] or a [[modbus]] id. It is told once; what became of it stands in the
    station's log. Exits 0 only when the device shows that it is done. Which indicators can be told
    what: docs/instruments.md 1.6.
    """
    config = load_station(station_file)
    question = {"command": action, "device": _device(config, device), "by": by}
    answer = asyncio.run(_asked(config.data_dir, question))
    if "error" in answer:
        raise _error(answer["error"])
    if not answer.get("done"):
        raise LinkDown(
            "站点没有答复，不知道是否完成",
            "the station hung up; whether it was done is not known",
            next_zh="看仪表显示和站点日志",
            next_en="look at the display and at the station's log",
        )
    click.echo(f"{device}: {action} 已完成 / done")


async def _asked(data_dir: Path, question: dict[str, Any]) -> dict[str, Any]:
    from edge.tapping import StationLine

    station = await StationLine.call(data_dir)
    if station is None:
        raise LinkDown(
            "站点没有运行，没有下达命令",
            "the station does not run; nothing was sent to the device",
            next_zh="先启动站点；命令必须记入站点日志",
            next_en="start it: what is done to a scale has to stand in its log",
        )
    try:
        return await station.ask(question)
    finally:
        await station.close()


def _device(config: StationConfig, name: str) -> str:
    """What the station calls the device: a scale over Modbus is told as its Modbus device."""
    for section in config.model.scale:
        if section.id == name:
            over_modbus = section.url.removeprefix("modbus:")
            return over_modbus if section.over_modbus else f"scale.{name}"
    return name


def _error(told: dict[str, Any]) -> SteelyardError:
    (zh, en), (next_zh, next_en) = told["what"], told["next"]
    return _CLASSES.get(told["class"], DeviceFault)(zh, en, next_zh=next_zh, next_en=next_en)
