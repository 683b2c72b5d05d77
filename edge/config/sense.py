"""What no station can be, though each line of its file may stand.

Asked before a station runs, calibrates or learns; not of the file behind an old record, which has
to be weighed again whatever the file says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar
from urllib.parse import urlsplit

from edge.config.file import LaneSection, StationFile
from edge.errors import Text

__all__ = ["contradictions"]

_Name = TypeVar("_Name", bound=Hashable)


def contradictions(model: StationFile) -> list[Text]:
    """Things that stand twice and can be true once."""
    return [*_channels(model), *_cameras(model), *_lines(model)]


def _channels(model: StationFile) -> Iterator[Text]:
    """A channel in two places counts one wheel twice: a wrong weight without a doubt."""
    wired = ((lane.digitiser, name) for lane in model.lane for name in _channels_of(lane))
    for digitiser, channel in _doubled(wired):
        yield Text(
            f"数采 {digitiser} 的通道 {channel} 用在两处：一个通道只接一个传感器",
            f"channel {channel} of digitiser {digitiser} is used in two places: it has one sensor",
        )


def _channels_of(lane: LaneSection) -> Iterator[str]:
    for row in lane.row:
        yield from (row.left, row.right)


def _cameras(model: StationFile) -> Iterator[Text]:
    """A plate is awaited at the place of one camera; read at another place it fits a wrong one."""
    for lane in _doubled(lane for camera in model.camera for lane in camera.lanes):
        who = [camera.id for camera in model.camera if lane in camera.lanes]
        yield Text(
            f"车道 {lane} 有两台车牌相机（{'、'.join(who)}）：一个车道只用一台",
            f"lane {lane} has two plate cameras ({', '.join(who)}): a lane has one",
        )


def _lines(model: StationFile) -> Iterator[Text]:
    """A line has one reader: the second would never open it, or take bytes from the first."""
    cameras = (c.url for c in model.camera if not (c.listens or c.pulls))
    scales = (s.url for s in model.scale if not s.over_modbus)
    buses = {urlsplit(m.url).path for m in model.modbus if m.url.startswith("rtu:")}
    for url in _doubled([*(d.url for d in model.digitiser), *cameras, *scales, *buses]):
        yield Text(f"{url} 写给了两个设备", f"{url} stands for two devices")


def _doubled(names: Iterable[_Name]) -> list[_Name]:
    return [name for name, times in Counter(names).items() if times > 1]
