"""Lanes: whatever they weigh together, and however seldom, the vehicles are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.core import weigh
from edge.health import Health
from edge.lanes import Lanes, pipeline_of
from edge.records import ClockReading, InputEdge, SampleBlock
from edge.sources.ports import DeviceHello
from simulator.layouts import strips
from tests.property.test_core_blocks import bits
from tests.unit.core_signals import NEWTON_PER_COUNT, RATE_HZ, Lorry, Scene, cut

CONFIG = strips(4, lanes=4)
CLOCK = ClockReading(0, 0, 1e9 / RATE_HZ, 0, 0.0, settled=True)
LATE_NS = 10**12
N_BLOCK = 400

Heard = tuple[DeviceHello, list[InputEdge], list[SampleBlock]]


def heard() -> list[Heard]:
    """One lorry on the first lane of one digitiser, two others on the second of the other."""
    traffic = {
        ("D1", 0): [Lorry(0.8, 15.0)],
        ("D2", 1): [Lorry(0.8, 15.5), Lorry(2.4, 16.0, (5e3, 8e3), (4.0,))],
    }
    made = []
    for (device, place), lorries in traffic.items():
        lane = CONFIG.lanes_of(device)[place]
        scene = Scene(lane, lorries, 5.0, channels=16, seed=place)
        blocks = cut(replace(scene.block(), device=device), [N_BLOCK] * 40)
        edges = [replace(edge, device=device) for edge in scene.edges]
        hello = DeviceHello(device, "S", "M", "1", RATE_HZ, NEWTON_PER_COUNT, 16)
        made.append((hello, edges, blocks))
    return made


def weighed(devices: list[Heard], every: int) -> list[tuple[object, ...]]:
    """All vehicles, by lane, where the lanes weigh after so many blocks."""
    lanes = Lanes(CONFIG, Health(lambda: 0))
    found = []
    for hello, edges, _ in devices:
        for item in (hello, *edges):
            lanes.take(item, lambda: CLOCK, 0)
    for number, blocks in enumerate(zip(*(b for _, _, b in devices), strict=True)):
        for block in blocks:
            lanes.take(block, lambda: CLOCK, 0)
        if number % every == every - 1:
            found += lanes.release(LATE_NS)
    found += lanes.finish(lambda _: CLOCK, LATE_NS)
    return sorted(bits([vehicle.passage for vehicle in found]), key=repr)


def test_however_seldom_lanes_weigh_the_vehicles_are_those_of_each_digitiser_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = []
    for hello, edges, blocks in heard():
        pipeline = pipeline_of(CONFIG, hello)
        passages = [p for n, b in enumerate(blocks) for p in pipeline.step(b, [] if n else edges)]
        alone += bits(passages + pipeline.flush())
    batches: list[int] = []
    weigh_alike = weigh._weigh_alike
    monkeypatch.setattr(
        weigh, "_weigh_alike", lambda cuts: batches.append(len(cuts)) or weigh_alike(cuts)
    )
    assert weighed(heard(), 1) == weighed(heard(), 25) == sorted(alone, key=repr)
    assert len(alone) == 3
    assert batches[-1] == 3, "vehicles of two digitisers and two lanes in one batch"


def test_a_vehicle_that_closed_waits_for_company_of_the_other_digitiser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches: list[int] = []
    weigh_alike = weigh._weigh_alike
    monkeypatch.setattr(
        weigh, "_weigh_alike", lambda cuts: batches.append(len(cuts)) or weigh_alike(cuts)
    )
    lanes = Lanes(CONFIG, Health(lambda: 0), gather_ns=40)
    (first, *_), (second, *_) = devices = heard()
    for hello, edges, _ in devices:
        for item in (hello, *edges):
            lanes.take(item, lambda: CLOCK, 0)
    for block in devices[0][2]:
        lanes.take(block, lambda: CLOCK, 0)
    for now_ns in (1_000, 1_020, 1_039):
        lanes.release(now_ns)
        assert not batches, f"{first.device} closed at 1000 and waits for {second.device}"
    for block in devices[1][2]:
        lanes.take(block, lambda: CLOCK, 0)
    lanes.release(1_040)
    lanes.release(2_000)
    assert batches == [3]
