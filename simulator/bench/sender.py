"""The other end of the live bench: digitisers of a dense world, in a process of their own.

They stream over loopback TCP in real time with the simulator's firmware, as hardware would; what
they cost is none of the core's business and does not count. All they will say is made before they
begin: else the physics of a lorry would take the processor from the station every few blocks.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from edge.config import StationConfig
from edge.errors import LinkDown
from simulator.children import die_with_parent
from simulator.devices import DeviceBench
from simulator.layouts import strips
from simulator.scenario import ElectronicsSection, Scenario, TrafficSection
from simulator.world import World

__all__ = ["LANES", "RATE_HZ", "sending", "station"]

LANES = 4
RATE_HZ = 4_000.0
_ROWS = 4
_DENSE = TrafficSection(flow_per_h=4_000.0, gap_m=4.0, speed_kmh=(40.0, 80.0))
"""More than the lane can take: everybody drives up to the smallest gap."""
_START_S = 60.0
_END_S = 5.0
_MAKE_S = 10.0
"""Traffic that is made at a time."""


def station(urls: dict[str, str] | None = None) -> StationConfig:
    """Four lanes of four strips, left and right; with the addresses of their digitisers."""
    plain = strips(_ROWS, lanes=LANES)
    digitisers = [
        d.model_copy(update={"url": (urls or {}).get(d.id, "socket://127.0.0.1:0")})
        for d in plain.model.digitiser
    ]
    model = plain.model.model_copy(update={"digitiser": digitisers, "camera": []})
    return StationConfig(plain.path, plain.path.name.encode(), model)


@contextmanager
def sending(
    seconds: float, block_s: float, seed: int, made: Callable[[float], None]
) -> Iterator[dict[str, str]]:
    """Addresses of the digitisers, which begin when they are heard and speak until the end.

    ``made`` is told how much of their ``seconds`` has been made beforehand.

    Raises
    ------
    LinkDown
        The other process did not come up.
    """
    fresh = multiprocessing.get_context("spawn")
    here, there = fresh.Pipe()
    process = fresh.Process(
        target=_play, args=(there, seconds, block_s, seed), name="sender", daemon=True
    )
    process.start()
    there.close()
    try:
        yield _addresses(here, made)
    finally:
        process.terminate()
        process.join(_END_S)
        here.close()


def _addresses(here: Connection, made: Callable[[float], None]) -> dict[str, str]:
    try:
        while here.poll(_START_S):
            told: float | dict[str, str] = here.recv()
            if isinstance(told, dict):
                return told
            made(told)
    except EOFError:
        pass
    raise LinkDown("模拟数采没有启动", "the simulated digitisers did not start")


def _play(there: Connection, seconds: float, block_s: float, seed: int) -> None:
    die_with_parent()
    scenario = Scenario(
        lane=(_DENSE,), electronics=ElectronicsSection(rate_hz=RATE_HZ), lead_in_s=1.0
    )
    world = World(station(), scenario, seed)
    pieces = math.ceil(seconds / _MAKE_S)
    for piece in range(1, pieces + 1):
        for section in world.station.model.digitiser:
            world.digitiser(section.id).make_until(round(piece * _MAKE_S * RATE_HZ))
        there.send(piece / pieces)
    asyncio.run(_devices(there, world, block_s))


async def _devices(there: Connection, world: World, block_s: float) -> None:
    async with DeviceBench(world, block_s=block_s) as bench:
        there.send(bench.urls)
        await bench.wait(asyncio.Event())
