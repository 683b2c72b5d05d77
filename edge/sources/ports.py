"""What the sources hand to the station, and how a lost line reads to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from edge.errors import ConfigError, LinkDown, Text
from edge.records import InputEdge, SampleBlock
from firmware_bridge.session import Event
from firmware_bridge.transports import BadLine, PortLost, Reason
from firmware_bridge.update_messages import UpdateWord


@dataclass(frozen=True, slots=True)
class DeviceHello:
    """A digitiser named itself: when it is first heard, and again when it started anew.

    Attributes
    ----------
    device : str
        Name of the digitiser in the station file.
    serial, model, firmware : str
        As the device gives them.
    rate_hz : float
        Nominal sample rate.
    newton_per_count : float
        Nominal scale, for channels without a certificate.
    channels : int
        Number of channels on the wire.
    """

    device: str
    serial: str
    model: str
    firmware: str
    rate_hz: float
    newton_per_count: float
    channels: int


class ProgramKeeper(Protocol):
    """Who answers for a device's program."""

    def hear(self, events: Sequence[Event]) -> Sequence[UpdateWord]:
        """What the device said, in order; what it is to be told about an update."""


SourceItem: TypeAlias = SampleBlock | InputEdge | DeviceHello
"""What a digitiser delivers, in order: an edge never after the block that holds its sample."""


_WHY: dict[Reason, tuple[Text, Text]] = {
    "missing": (
        Text("找不到，或没有应答", "is not there, or does not answer"),
        Text(
            "检查设备电源和线缆，核对站点文件中的 url",
            "check the device's power and cable, and url in the station file",
        ),
    ),
    "taken": (
        Text("被另一个程序占用", "is held by another program"),
        Text("关闭占用该端口的程序", "close the program that holds the port"),
    ),
    "shared": (
        Text(
            "正被另一个程序读取，数据会丢失", "is read by another program too, and bytes get lost"
        ),
        Text(
            "停止那个程序（常见的是 ModemManager），本程序自动恢复",
            "stop that program (often ModemManager); this one goes on by itself",
        ),
    ),
    "refused": (
        Text("拒绝连接", "refuses the connection"),
        Text(
            "检查对端是否已启动，核对 url 和 baud",
            "see that the other end is running, and check url and baud",
        ),
    ),
    "lost": (
        Text("连接中断", "was lost"),
        Text(
            "检查线缆和设备电源；恢复后自动重连", "check cable and power; it reconnects by itself"
        ),
    ),
    "permission": (
        Text("没有访问权限", "may not be opened by this user"),
        Text(
            "把运行本程序的用户加入 dialout 组，然后重新启动",
            "add the user of this program to the group dialout, then start it again",
        ),
    ),
}


def link_down(what: Text, lost: PortLost) -> LinkDown:
    """The error that people and the supervisor see for a port that can't be had."""
    why, step = _WHY[lost.reason]
    who = f": {', '.join(map(str, lost.holders))}" if lost.holders else ""
    down = LinkDown(
        f"{what.zh}：端口 {lost.url} {why.zh}{who}",
        f"{what.en}: port {lost.url} {why.en}{who}",
        next_zh=step.zh,
        next_en=step.en,
    )
    if lost.reason == "missing" and lost.url.startswith("/") and not Path(lost.url).exists():
        down.appears = Path(lost.url)
    return down


def bad_line(what: Text, bad: BadLine) -> ConfigError:
    """The error for a line that can't be, whatever is plugged in."""
    return ConfigError(
        f"{what.zh}：url 或 baud 不正确：{bad}",
        f"{what.en}: url or baud is wrong: {bad}",
        next_zh="改正站点文件，url 是设备路径或 socket://主机:端口",
        next_en="mend the station file; url is a device's path or socket://host:port",
    )
