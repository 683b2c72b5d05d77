"""Vehicles over the line of two lanes, from signals to sealed records: one record a vehicle."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from edge.clerk import Clerk
from edge.config import StationConfig
from edge.core.joining import seam
from edge.core.weigh import weigh
from edge.evidence.identity import software_identity
from edge.health import Health
from edge.records import Flag, Gains, RawClip, Record, Vehicle, whole_kg
from edge.replay import replay_vehicles
from edge.rules.pack import RulePack
from edge.store.signal import decode_clip
from edge.store.store import Store
from simulator.conditions import CONDITIONS
from simulator.layouts import strips
from simulator.traffic import Passing
from simulator.world import World
from tests.evidence.sample import opened
from tests.station.test_replay_slices import bits

SEED = 31
VEHICLES = 12


@pytest.fixture(scope="module", autouse=True)
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


@pytest.fixture(scope="module")
def world() -> World:
    return CONDITIONS["straddle"].world(strips(4, lanes=4), SEED, VEHICLES)


@pytest.fixture(scope="module")
def recorded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("astride")
    world.recording(directory, world.last_leave_s() + 10.0)
    return directory


def told(recorded: Path, station: StationConfig, jobs: int) -> list[Vehicle]:
    return list(replay_vehicles(recorded, station, progress=lambda _: None, jobs=jobs))


@pytest.fixture(scope="module")
def vehicles(world: World, recorded: Path) -> list[Vehicle]:
    return told(recorded, world.station, 1)


def by_truth(world: World, vehicles: list[Vehicle]) -> Iterator[tuple[Passing, list[Vehicle]]]:
    """Each true vehicle with what was told of its moment; they drive one at a time."""
    for passing in world.left_between(0.0, 1e9):
        left_ns = world.utc_ns(passing.last_wheel_s)
        yield passing, [v for v in vehicles if abs(v.time_ns - left_ns) < 1_000_000_000]


def test_each_is_told_once_or_names_its_other_half(world: World, vehicles: list[Vehicle]) -> None:
    for passing, found in by_truth(world, vehicles):
        assert all(Flag.STRADDLING in v.flags for v in found)
        if passing.lane == "2":  # its other wheels are on lane 3, of the other digitiser
            lanes = {v.passage.lane: v.passage.perhaps_with for v in found}
            assert lanes == {"2": "3", "3": "2"}
        else:
            (one,) = found
            assert len(one.passage.lanes) == 2
            assert len(one.passage.axles) == len(passing.vehicle.axle_kg)
            off_kg = one.passage.gross_kg - passing.vehicle.gross_kg
            assert abs(off_kg) < 4 * one.passage.u_gross_kg + 0.06 * passing.vehicle.gross_kg


def test_slices_give_the_same_bits_astride(
    world: World, recorded: Path, vehicles: list[Vehicle]
) -> None:
    sliced = told(recorded, world.station, 2)
    assert [bits(v) for v in sliced] == [bits(v) for v in vehicles]
    assert [v.passage.lanes for v in sliced] == [v.passage.lanes for v in vehicles]


def test_sealed_without_holes_and_weighed_again_from_the_store(
    world: World, vehicles: list[Vehicle], tmp_path: Path
) -> None:
    async def sealed() -> list[tuple[Record, RawClip]]:
        async with opened(tmp_path) as store:
            records = await sealed_by_clerk(store, world.station, vehicles)
            return [
                (r, decode_clip([store.blob_path(b.sha256).read_bytes() for b in r.blobs]))
                for r in records
            ]

    records = asyncio.run(sealed())
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for record, clip in records:
        body = record.body
        numbers[body["lane"]].append(body["passage"])
        if len(body["lanes"]) > 1:
            layouts = {x.lane: x for x in world.station.lanes_of(clip.device)}
            layout = seam(*(layouts[name] for name in body["lanes"]))
            assert layout is not None
            again = weigh(clip, layout, gains_of(world, clip.device))
            assert whole_kg(again.gross_kg) == body["gross_kg"]
    assert all(own == list(range(own[0], own[0] + len(own))) for own in numbers.values())
    assert sum(len(record.body["lanes"]) > 1 for record, _ in records) == 9


async def sealed_by_clerk(
    store: Store, station: StationConfig, vehicles: list[Vehicle], newton_per_count: float = 1.0
) -> list[Record]:
    records: list[Record] = []
    clerk = Clerk(
        station,
        store,
        RulePack.parse(station.pack_bytes()),
        Health(lambda: 0),
        software=software_identity(),
        gains=lambda device: station.gains_of(device, newton_per_count),
        on_sealed=records.append,
    )
    for vehicle in vehicles:
        clerk.hand(vehicle)
    clerk.end()
    await clerk.run()
    return records


def gains_of(world: World, device: str) -> Gains:
    """As the recording states them."""
    electronics = world.scenario.electronics
    return world.station.gains_of(device, electronics.newton_per_count)
