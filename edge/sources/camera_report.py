"""What a plate camera's readings have in common, whatever brings them: counts, words, its clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from edge.errors import NO_STEP, Text
from edge.health import Health, Level
from edge.sources.plate_read import CLOCK_WARNING_NS, CameraClock


class CameraReport:
    """Tells how one camera is doing, and keeps its clock.

    Parameters
    ----------
    camera : str
        Its name in the station file.
    lanes : sequence of str
        Lanes that it may name.
    health : Health
        Gets the state ``camera.<id>`` and counters and gauges under that name.
    ahead_ns : callable
        How far UTC is ahead of the station's time: the camera's own clock is compared with UTC.
    """

    def __init__(
        self, camera: str, lanes: list[str], health: Health, ahead_ns: Callable[[], int]
    ) -> None:
        self.part = f"camera.{camera}"
        self._lanes = lanes
        self._health = health
        self._ahead_ns = ahead_ns
        self._clock = CameraClock()

    def time_ns(self, camera_time_ns: int, received_ns: int) -> int | None:
        """The moment of a picture on the station's clock; None, and counted, where unknown."""
        time_ns = self._clock.station_ns(camera_time_ns, received_ns)
        if time_ns is None:
            self.count("untimed")
        return time_ns

    def knows(self, lane: str) -> bool:
        """Whether the camera may name this lane; told where it may not."""
        if lane in self._lanes:
            return True
        self.count("foreign_lane")
        self.state(
            Level.WARNING,
            Text(f"收到未知车道 {lane}", f"names an unknown lane {lane}"),
            Text(
                "核对站点文件中该相机的 lanes 和 lane_names",
                "check lanes and lane_names of this camera in the station file",
            ),
        )
        return False

    def watch_clock(self) -> None:
        """Say that it reads, and how far its clock is off."""
        offset_ns = self._clock.offset_ns + self._ahead_ns()
        self._health.gauge(f"{self.part}.clock_offset_ms", offset_ns / 1e6)
        if abs(offset_ns) <= CLOCK_WARNING_NS:
            self.state(Level.OK, Text("正在接收", "receiving"))
            return
        off_s = round(offset_ns / 1e9)
        self.state(
            Level.WARNING,
            Text(
                f"相机时钟偏差约 {-off_s:+d} 秒（已自动修正）",
                f"its clock is off by {-off_s:+d} s (allowed for)",
            ),
            Text("校准相机时钟（NTP 对时）", "set the camera's clock (NTP)"),
        )

    def tell(self, fresh: Counter[str], *, heard: bool) -> None:
        """Count what a decoder met; bytes without one good reading are worth a look."""
        for name, number in fresh.items():
            self.count(name, number)
        if not heard and (fresh["damaged"] or fresh["malformed"] or fresh["noise_bytes"]):
            self.state(
                Level.WARNING,
                Text("收到的数据无法识别", "what arrives cannot be read"),
                Text(
                    "核对 format、baud、接线和相机协议",
                    "check format, baud, the wiring and the camera's protocol",
                ),
            )

    def count(self, name: str, by: int = 1) -> None:
        """Count something under the camera's name."""
        self._health.count(f"{self.part}.{name}", by)

    def state(self, level: Level, what: Text, next_step: Text = NO_STEP) -> None:
        """Set the camera's state."""
        self._health.state(self.part, level, what.zh, what.en, next_step=next_step)
