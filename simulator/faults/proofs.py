"""Proofs under attack: everything altered once, and every weight computed again from its bundle."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edge.bundle.archive import unpack
from edge.bundle.dossier import Dossier
from edge.bundle.gather import Keys, Source
from edge.bundle.layout import dossier_of
from edge.bundle.pages import export
from edge.bundle.recompute import Recomputed, recompute_many
from edge.bundle.steps import verify_files
from edge.clerk import Clerk
from edge.clock import HostClock
from edge.config import StationConfig
from edge.errors import SteelyardError
from edge.evidence.identity import software_identity
from edge.evidence.station_key import station_signer
from edge.health import Health
from edge.opening import open_log
from edge.replay import replay_vehicles
from edge.rules.pack import RulePack
from edge.store.store import Store
from simulator.faults.outcome import Outcome
from simulator.faults.site import Place, Plant, traffic_file
from simulator.faults_tamper import trials
from simulator.scenario import load_scenario
from simulator.world import World

MUTATIONS = 10_000
BUNDLE_MUTATIONS = 2_000
BUNDLES = 2_000
_VEHICLES_PER_S = 4.0
_SPARE = 1.1


def tampering(place: Place, outcome: Outcome) -> None:
    """One thing altered in record, tree, note, file, private part, receipt or cosignature."""
    found: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    for trial in trials(place.times(MUTATIONS, 100), place.seed):
        (found if trial.found else missed)[trial.place] += 1
        if not trial.found:
            outcome.problem(f"not found: {trial.place}: {trial.what}")
    outcome.blows = found.total() + missed.total()
    outcome.figures["faults.mutations"] = outcome.blows
    outcome.figures["faults.mutations_found"] = found.total()
    outcome.note(", ".join(f"{what} {times}" for what, times in found.most_common()))


def bundles(place: Place, outcome: Outcome) -> None:
    """Bundles are exported, read, damaged; the weights in all of them are computed again."""
    plant = place.plant("mqtt://127.0.0.1:1")
    config = plant.write()
    wanted = place.times(BUNDLES, 40)
    asyncio.run(_seal(config, _recorded(config, place, wanted), wanted))
    key = station_signer(config).verifier_key
    with Source(plant.data_dir, Keys(key, config.model.uplink.centre_key), config) as source:
        numbers = source.indices("vehicle")[:wanted]
        began_s = time.monotonic()
        again = list(recompute_many(_through_bundles(source, numbers)))
        outcome.note(f"{len(again) / (time.monotonic() - began_s):.0f} bundles a second")
        _tell(outcome, again)
        outcome.expect(len(again) == wanted, f"only {len(again)} vehicles were sealed")
        _damage(outcome, export(source.dossier(numbers[0])), place)
    outcome.records = outcome.blows = len(again)


def recompute_live(outcome: Outcome, plant: Plant) -> None:
    """Weigh everything again that a live station has sealed through its faults."""
    config = plant.write()
    with Source(plant.data_dir, Keys(station_signer(config).verifier_key), config) as source:
        _tell(outcome, list(recompute_many(map(source.dossier, source.indices("vehicle")))))


def _tell(outcome: Outcome, again: list[Recomputed]) -> None:
    equal = sum(one.equal for one in again)
    for one in again:
        if not one.equal:
            why = one.problem.en if one.problem else "; ".join(map(str, one.differences[:3]))
            outcome.problem(f"record {one.index} is not computed again: {why}")
    outcome.figures["faults.recomputed"] = len(again)
    outcome.figures["faults.recomputed_equal"] = equal


def _through_bundles(source: Source, numbers: list[int]) -> Iterator[Dossier]:
    """Each record by way of the file that a lawyer gets."""
    for number in numbers:
        yield dossier_of(unpack(export(source.dossier(number))))


def _damage(outcome: Outcome, bundle: bytes, place: Place) -> None:
    chance = place.chance()
    tried = place.times(BUNDLE_MUTATIONS, 50)
    found = sum(_is_found(_altered(bundle, chance)) for _ in range(tried))
    outcome.expect(found == tried, f"{tried - found} of {tried} damages of a bundle not found")
    outcome.figures["faults.mutations"] = tried
    outcome.figures["faults.mutations_found"] = found


def _altered(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]


def _is_found(archive: bytes) -> bool:
    try:
        files = unpack(archive)
    except SteelyardError:
        return True
    return verify_files(files, archive, until_failed=True)[-1].state == "failed"


# ----------------------------------------------------------------------------------------------
# Many vehicles fast: recorded traffic through the station's own lanes and clerk


def _recorded(config: StationConfig, place: Place, vehicles: int) -> Path:
    directory = place.directory / "recording"
    seconds = 10.0 + _SPARE * vehicles / _VEHICLES_PER_S
    world = World(config, load_scenario(traffic_file()), place.seed, time.time_ns())
    world.recording(directory, seconds)
    return directory


async def _seal(config: StationConfig, recording: Path, vehicles: int) -> None:
    health, clock = Health(time.monotonic_ns), HostClock()
    pack, software = RulePack.parse(config.pack_bytes(), config.model.rules.pack), {}
    software.update(software_identity())
    store = await Store.open(
        config.data_dir,
        station=config.model.station.id,
        signer=station_signer(config),
        health=health,
        now_ns=clock.utc_ns,
        provenance=clock.provenance,
    )
    try:
        await open_log(config, store, pack, software, clock)
        clerk = Clerk(
            config, store, pack, health,
            software=software,
            gains=lambda device: config.gains_of(device, 1.0),
            on_sealed=lambda _record: None,
        )  # fmt: skip
        passing = replay_vehicles(recording, config, progress=lambda _done: None)
        for number, vehicle in enumerate(passing):
            if number == vehicles:
                return
            await clerk.seal(replace(vehicle, host=clock.stamp(vehicle.time_ns)))
    finally:
        await store.close()
