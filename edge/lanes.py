"""From what the devices said to vehicles: one pipeline a digitiser, and the desk for plates.

Holds no clock, port or disk: the caller hands in items and the moment. The live station and the
replay of a recording are the same code, so they give the same kilograms.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Protocol

from edge.config import CameraSection, StationConfig
from edge.core.pipeline import Pipeline
from edge.core.weigh import Cut, weigh_all
from edge.desk import Desk
from edge.errors import Text
from edge.frozen import of_device
from edge.health import Health, Level
from edge.records import (
    ClockReading,
    Gains,
    InputEdge,
    Passage,
    PlateDoubt,
    PlateRead,
    SampleBlock,
    Vehicle,
)
from edge.sources.ports import DeviceHello, SourceItem

_RENEWED_BEFORE_NS = 30 * 86_400 * 1_000_000_000
"""A calibration is planned weeks ahead: that its certificate ends is told so early."""

GATHER_NS = 40_000_000
"""A station waits so long for company of a vehicle that closed: two weighed together cost little
more than one, and the blocks of its digitisers come some 3 to 30 ms apart."""


class Weigher(Protocol):
    """What makes passages of one digitiser's blocks: a pipeline, or what it said before."""

    @property
    def gains(self) -> Gains: ...

    @property
    def stray(self) -> int: ...

    @property
    def closed(self) -> Sequence[Cut]: ...

    def follow(self, block: SampleBlock, edges: Sequence[InputEdge] = ()) -> None: ...

    def passages(self, weighed: Sequence[Passage | None]) -> list[Passage]: ...

    def flush(self) -> list[Passage]: ...


def pipeline_of(config: StationConfig, hello: DeviceHello) -> Pipeline:
    """The pipeline of a digitiser that introduced itself."""
    return Pipeline(
        hello.device,
        hello.rate_hz,
        hello.channels,
        config.lanes_of(hello.device),
        config.gains_of(hello.device, hello.newton_per_count),
        of_device(config, hello.device),
    )


def _as_it_is(time_ns: int) -> int:
    return time_ns


class Lanes:
    """All lanes of a station: items of the devices in, vehicles out.

    Times are those of the devices' clocks throughout; ``utc_of`` makes UTC of them where a date
    matters, on a station whose wall clock may step. ``gather_ns`` is how long a vehicle may wait
    to be weighed in company; nothing but that moment depends on it.
    """

    def __init__(
        self,
        config: StationConfig,
        health: Health,
        weigher_of: Callable[[StationConfig, DeviceHello], Weigher] = pipeline_of,
        utc_of: Callable[[int], int] = _as_it_is,
        gather_ns: int = 0,
    ) -> None:
        self._config = config
        self._health = health
        self._weigher_of = weigher_of
        self._utc_of = utc_of
        self._gather_ns = gather_ns
        self._closed_ns: int | None = None
        self._pipelines: dict[str, Weigher] = {}
        self._clocks: dict[str, Callable[[], ClockReading]] = {}
        self._hellos: dict[str, DeviceHello] = {}
        self._edges: defaultdict[str, list[InputEdge]] = defaultdict(list)
        model = config.model
        self._desks = {
            lane.lane: Desk(model.station.id, lane, _camera_of(config, lane.lane), utc_of)
            for section in model.digitiser
            for lane in config.lanes_of(section.id)
        }
        for section in model.lane:
            abroad = [self._desks[o.id] for o in model.lane if o.digitiser != section.digitiser]
            self._desks[section.id].stand_beside(list(self._desks.values()), abroad)

    def take(self, item: SourceItem, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """One item of a digitiser, in the order in which it spoke."""
        if isinstance(item, DeviceHello):
            self._greet(item, clock, mono_ns)
        elif isinstance(item, InputEdge):
            self._edges[item.device].append(item)
        else:
            self._follow(item, clock)

    def read(self, plate: PlateRead) -> None:
        """A plate from a camera."""
        desk = self._desks.get(plate.lane)
        if desk is None:
            self._health.count(f"camera.{plate.camera}.unknown_lane")
            return
        desk.read(plate)

    def release(self, mono_ns: int) -> list[Vehicle]:
        """Weigh what has closed; give vehicles of all lanes that are ready to be judged."""
        self._weigh(mono_ns)
        return [v for desk in self._desks.values() for v in desk.release(mono_ns)]

    def doubts(self) -> list[PlateDoubt]:
        """Plates of released vehicles that came into doubt since the last call."""
        return [doubt for desk in self._desks.values() for doubt in desk.doubts()]

    def finish(self, clock: Callable[[str], ClockReading], mono_ns: int) -> list[Vehicle]:
        """The data ended: what stands on the array is closed as incomplete, the desk cleared."""
        for device in self._pipelines:
            self.interrupt(device, partial(clock, device), mono_ns)
        return [v for desk in self._desks.values() for v in desk.release(mono_ns, all_of_them=True)]

    def interrupt(self, device: str, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """The line of a digitiser ended: what stands on its lanes is closed as incomplete.

        Its pipeline stays: a device that was never off does not introduce itself anew.
        """
        self._edges.pop(device, None)
        if pipeline := self._pipelines.get(device):
            self._arrive(pipeline, pipeline.flush(), clock, mono_ns)

    def _greet(self, hello: DeviceHello, clock: Callable[[], ClockReading], mono_ns: int) -> None:
        """A device introduced itself; it does so every second, and only a change matters."""
        if hello.device in self._pipelines and self._hellos.get(hello.device) == hello:
            return
        self.interrupt(hello.device, clock, mono_ns)
        self._hellos[hello.device] = hello
        pipeline = self._pipelines[hello.device] = self._weigher_of(self._config, hello)
        self._tell_calibration(hello.device, pipeline.gains, clock)

    def _follow(self, block: SampleBlock, clock: Callable[[], ClockReading]) -> None:
        pipeline = self._pipelines.get(block.device)
        if pipeline is None:  # samples before the first HELLO have no scale
            self._health.count(f"digitiser.{block.device}.before_hello")
            return
        pipeline.follow(block, self._edges.pop(block.device, []))
        self._clocks[block.device] = clock

    def _weigh(self, mono_ns: int) -> None:
        """Weigh what closed on all lanes since the last time, in one batch: company is cheap."""
        if self._gathers(mono_ns):
            return
        followed, self._clocks, self._closed_ns = self._clocks, {}, None
        closed = [self._pipelines[device].closed for device in followed]
        weighed = iter(weigh_all([cut for cuts in closed for cut in cuts]))
        for (device, clock), cuts in zip(followed.items(), closed, strict=True):
            pipeline = self._pipelines[device]
            self._arrive(pipeline, pipeline.passages([*islice(weighed, len(cuts))]), clock, mono_ns)
            self._health.gauge(f"digitiser.{device}.stray_touches", pipeline.stray)

    def _gathers(self, mono_ns: int) -> bool:
        """Whether vehicles have closed, and others may still join them."""
        if not any(self._pipelines[device].closed for device in self._clocks):
            self._closed_ns = None
        elif self._closed_ns is None:
            self._closed_ns = mono_ns
        return self._closed_ns is not None and mono_ns - self._closed_ns < self._gather_ns

    def _arrive(
        self,
        pipeline: Weigher,
        passages: list[Passage],
        clock: Callable[[], ClockReading],
        mono_ns: int,
    ) -> None:
        for passage in passages:
            self._health.count(f"lane.{passage.lane}.passages")
            self._desks[passage.lane].arrive(passage, pipeline.gains, clock(), mono_ns)
            self._tell_calibration(passage.device, pipeline.gains, clock)

    def _tell_calibration(
        self, device: str, gains: Gains, clock: Callable[[], ClockReading]
    ) -> None:
        _show_calibration(device, gains, self._utc_of(clock().ref_utc_ns), self._health)


def _camera_of(config: StationConfig, lane: str) -> CameraSection | None:
    return next((c for c in config.model.camera if lane in c.lanes), None)


def _show_calibration(device: str, gains: Gains, time_ns: int, health: Health) -> None:
    part, name = f"calibration.{device}", gains.certificate_id
    if not gains.calibrated:
        health.state(
            part,
            Level.WARNING,
            "没有标定证书，称重结果不作依据",
            "no certificate: weights are no legal result",
            next_step=Text(
                "标定后填写 [calibration] file", "calibrate, then set [calibration] file"
            ),
        )
    elif gains.expired(time_ns):
        health.state(
            part,
            Level.WARNING,
            f"标定证书 {name} 已过期，称重结果不作依据",
            f"certificate {name} has expired: weights are no legal result",
            next_step=Text("请计量工程师重新标定", "have the metrology engineer calibrate again"),
        )
    elif gains.premature(time_ns):
        health.state(
            part,
            Level.WARNING,
            f"标定证书 {name} 的签发时间在将来，称重结果不作依据",
            f"certificate {name} was issued in the future: weights are no legal result",
            next_step=Text("先核对站点的时钟", "look at the station's clock first"),
        )
    elif gains.expired(time_ns + _RENEWED_BEFORE_NS):
        health.state(
            part,
            Level.WARNING,
            f"标定证书 {name} 将在 30 天内到期",
            f"certificate {name} expires within 30 days",
            next_step=Text(
                "请计量工程师安排标定", "have the metrology engineer plan a calibration"
            ),
        )
    elif not gains.speed_mps:
        health.state(
            part,
            Level.OK,
            f"标定证书 {name} 有效，但没有写明车速范围：按站点文件的 speed_kmh",
            f"certificate {name} is valid, but states no range of speeds: speed_kmh of the "
            "station file holds",
        )
    else:
        health.state(part, Level.OK, f"标定证书 {name} 有效", f"certificate {name} is valid")
