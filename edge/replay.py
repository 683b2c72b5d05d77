"""A recording through the live code again: the same bytes give the same kilograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edge.config import StationConfig
from edge.core.pipeline import Pipeline
from edge.frozen import known_dynamics
from edge.health import Health
from edge.lanes import Lanes
from edge.records import ClockReading, InputEdge, Passage, PlateRead, SampleBlock, Vehicle, Verdict
from edge.rules.judge import judge
from edge.rules.pack import RulePack
from edge.slices import LEAST_S, Weighed, weigh_in_slices
from edge.sources.ports import DeviceHello
from edge.sources.replay import Replay, unreadable
from firmware_bridge.recording import RecordingError

_TAIL_NS = 60_000_000_000
"""After the end of the data every plate and vehicle has waited long enough."""


def replay_vehicles(
    recording: Path,
    config: StationConfig,
    *,
    progress: Callable[[float], None],
    jobs: int = 1,
) -> Iterator[Vehicle]:
    """Vehicles of a recording, in the order in which the station would have sealed them.

    A long recording is weighed by ``jobs`` processes; the vehicles are the same to the last bit.

    Raises
    ------
    InputError
        The recording can't be read, or does not fit the station file.
    """
    known_dynamics(config)  # before the devices speak: a wrong file is told at once
    played = Replay.open(recording, config.model)
    now_ns = 0
    together = jobs > 1 and played.seconds > LEAST_S
    if together:
        weigher_of = _weighed(played, config, jobs, progress)
        lanes = Lanes(config, Health(lambda: now_ns), weigher_of)
        items = played.items(signal=False)
    else:
        lanes = Lanes(config, Health(lambda: now_ns))
        items = played.items(progress)
    for item in items:
        if isinstance(item, PlateRead):
            now_ns = max(now_ns, item.received_ns)
            lanes.read(item)
        else:
            clock = partial(played.clock, item.device)
            now_ns = max(now_ns, _end_ns(item, clock()))
            lanes.take(item, clock, now_ns)
        yield from lanes.release(now_ns)
    yield from lanes.finish(played.clock, now_ns + _TAIL_NS)


def _weighed(
    played: Replay, config: StationConfig, jobs: int, progress: Callable[[float], None]
) -> Callable[[StationConfig, DeviceHello], Weighed]:
    try:
        return weigh_in_slices(played.parts, config, jobs, progress)
    except RecordingError as error:
        raise unreadable(error) from error


def replay_passages(
    recording: Path, config: StationConfig, *, progress: Callable[[float], None]
) -> Iterator[Passage]:
    """Passages of a recording weighed with the nominal scale: what a calibration starts from."""
    played = Replay.open(recording, config.model)
    bare = config.without_certificate()
    pipelines: dict[str, Pipeline] = {}
    edges: list[InputEdge] = []
    for item in played.items(progress):
        if isinstance(item, DeviceHello):
            gains = bare.gains_of(item.device, item.newton_per_count)
            pipelines[item.device] = Pipeline(
                item.device, item.rate_hz, item.channels, bare.lanes_of(item.device), gains
            )
        elif isinstance(item, InputEdge):
            edges.append(item)
        elif isinstance(item, SampleBlock):
            mine = [e for e in edges if e.device == item.device]
            edges = [e for e in edges if e.device != item.device]
            yield from pipelines[item.device].step(item, mine)
    for pipeline in pipelines.values():
        yield from pipeline.flush()


def judged(vehicles: Iterable[Vehicle], config: StationConfig) -> Iterator[tuple[Vehicle, Verdict]]:
    """Each vehicle with the verdict of the station's pack."""
    pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
    for vehicle in vehicles:
        yield vehicle, judge(vehicle, pack)


def vehicle_rows(vehicles: Iterable[Vehicle], config: StationConfig) -> Iterator[dict[str, Any]]:
    """One flat row a vehicle, for tables."""
    known = known_dynamics(config)
    for number, (vehicle, verdict) in enumerate(judged(vehicles, config)):
        passage = vehicle.passage
        yield {
            "number": number,
            "lane": passage.lane,
            "lanes": "+".join(passage.lanes),
            "perhaps_with": passage.perhaps_with,
            "time_us": vehicle.time_ns // 1000,
            "plate": vehicle.plate,
            "plate_join": vehicle.join.kind.value,
            "configuration": passage.configuration,
            "speed_mm_s": round(passage.speed_mps * 1000),
            "gross_kg": vehicle.gross_kg,
            "u_gross_kg": vehicle.u_gross_kg,
            "axle_kg": " ".join(f"{kg:.0f}" for kg in passage.axles.load_kg),
            "u_axle_kg": " ".join(f"{kg:.0f}" for kg in passage.axles.u_load_kg),
            "spacing_mm": " ".join(f"{m * 1000:.0f}" for m in passage.axles.spacing_m),
            "verdict": verdict.kind.value,
            "limit_kg": verdict.limit_kg,
            "excess_kg": verdict.excess_kg,
            "flags": " ".join(flag.name or "" for flag in vehicle.flags),
            "dynamics_version": known[passage.lane].version,
            "dynamics_sha256": known[passage.lane].dynamics.sha256,
            "first_sample": passage.clip.first_sample,
        }


def _end_ns(item: SampleBlock | InputEdge | DeviceHello, clock: ClockReading) -> int:
    if isinstance(item, SampleBlock):
        return clock.utc_ns(item.end_sample)
    if isinstance(item, InputEdge):
        return clock.utc_ns(item.sample)
    return 0
