"""A backlog: hours of traffic sealed through the real store at once, while nobody listens."""

from __future__ import annotations

import asyncio
import time

from edge.evidence.note import NoteSigner
from edge.evidence.station_key import KEY_FILE
from edge.health import Health
from edge.records import Draft
from edge.store.store import Store
from simulator.faults.site import Plant

OUTAGE_S = 7_200
VEHICLES_PER_S = 4
_TOGETHER = 128


async def fill(plant: Plant, records: int, seed: int) -> dict[int, str]:
    """Seal a backlog through the real store; what it has acknowledged."""
    station = plant.station
    signer = NoteSigner.load_or_create(plant.data_dir / KEY_FILE, f"steelyard/{station}")
    store = await Store.open(
        plant.data_dir,
        station=station,
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    sealed: dict[int, str] = {}
    try:
        first_us = (time.time_ns() - OUTAGE_S * 1_000_000_000) // 1000
        for begin in range(0, records, _TOGETHER):
            numbers = range(begin, min(begin + _TOGETHER, records))
            done = await asyncio.gather(*(store.append(_draft(n, first_us, seed)) for n in numbers))
            sealed.update((record.index, record.record_id) for record in done)
    finally:
        await store.close()
    return sealed


def _draft(number: int, first_us: int, seed: int) -> Draft:
    """A statement of the size of a vehicle's, every fifth of them a case."""
    is_case = (number + seed) % 5 == 0
    gross_kg = 8_000 + 37 * (number % 1_000)
    limit_kg = gross_kg - 2_000 if is_case else gross_kg + 2_000
    body = {
        "schema": "steelyard/vehicle/1",
        "lane": str(number % 4 + 1),
        "time_us": first_us + number * (1_000_000 // VEHICLES_PER_S),
        "gross_kg": gross_kg,
        "u_gross_kg": 100,
        "flags": [],
        "verdict": {
            "kind": "over" if is_case else "within",
            "measured_kg": gross_kg,
            "u_kg": 100,
            "lower_kg": gross_kg - 196,
            "limit_kg": limit_kg,
            "excess_kg": max(0, gross_kg - limit_kg),
            "reasons": [],
        },
        "plate": {"join": "read", "text": f"川A{number % 100_000:05d}"},
        "remark": "0123456789abcdef" * 120,
    }
    return Draft("vehicle", body, urgent=is_case)
