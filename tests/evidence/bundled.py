"""A station with real traffic, weighed and sealed by the product's own code, and its centre."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.dossier import Dossier
from edge.bundle.gather import Keys, Source
from edge.clerk import Clerk
from edge.clock import HostClock
from edge.config import StationConfig, load_station
from edge.evidence.cosignature import Cosigner
from edge.evidence.identity import software_identity
from edge.evidence.note import NoteSigner, origin_of
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.opening import open_log
from edge.records import JoinKind, Picture, PlateDoubt, PlateJoin, PlateRead, Record, Vehicle
from edge.replay import replay_vehicles
from edge.rules.pack import RulePack
from edge.store.store import Store
from simulator.case_system import CENTRE_KEY_FILE, CENTRE_NAME
from simulator.demo import Site
from simulator.scenario import load_scenario
from simulator.world import World

SEED = 5
STATION = "DEMO"
JPEG = b"\xff\xd8\xff\xe0 a picture of a lorry \xff\xd9"
PLATE = "川A12345"


@dataclass(frozen=True)
class Sealed:
    """A data directory, its settings, the keys, and the records of its vehicles."""

    site: Site
    config: StationConfig
    station: NoteSigner
    centre: NoteSigner
    records: list[Record]

    @property
    def keys(self) -> Keys:
        return Keys(self.station.verifier_key, self.centre.verifier_key)

    @property
    def case(self) -> Record:
        """The first vehicle over its limit: it has a receipt, and a correction after it."""
        return next(r for r in self.records if r.body["verdict"]["kind"] == "over")

    def dossier(self, index: int | None = None) -> Dossier:
        with Source(self.config.data_dir, self.keys) as source:
            return source.dossier(self.case.index if index is None else index)


def sealed_station(directory: Path, seconds: float = 24.0) -> Sealed:
    """Traffic of ``seconds`` on two lanes, sealed, cosigned and receipted."""
    site = Site(directory, 18_080, 18_081, 18_082)
    site.centre.mkdir()
    config = site.write_station("mqtt://127.0.0.1:1883")
    world = World(config, load_scenario("demo"), SEED, time.time_ns())
    (directory / "certificate.json").write_bytes(certificate(world))
    world.recording(directory / "recording", seconds)
    config = load_station(site.station_file)
    recording = directory / "recording"
    vehicles = list(replay_vehicles(recording, config, progress=lambda _done: None))
    return asyncio.run(_seal(site, config, _pictured(vehicles, directory)))


def certificate(world: World) -> bytes:
    """What a calibration of the simulated sensors would come to, good to 0.3 %."""
    scale = world.scenario.electronics.newton_per_count
    return json.dumps(
        {
            "schema": "steelyard-cal/1",
            "certificate_id": "CAL-TEST-1",
            "station": STATION,
            "issued_us": 1_700_000_000_000_000,
            "valid_until_us": 2_000_000_000_000_000,
            "digitisers": {
                section.id: {
                    "u_rel_common": 0.002,
                    "channels": [
                        {"name": name, "newton_per_count": scale, "u_rel": 0.003}
                        for name in section.channels
                    ],
                }
                for section in world.station.model.digitiser
            },
        }
    ).encode()


def _pictured(vehicles: list[Vehicle], directory: Path) -> list[Vehicle]:
    """Every vehicle with a plate and its picture."""
    path = directory / "picture.jpg"
    path.write_bytes(JPEG)
    picture = Picture("p", str(path), hashlib.sha256(JPEG).hexdigest(), len(JPEG))
    read = PlateRead("C1", "1", PLATE, PLATE, "yellow", 0.97, "in", 1, 2, 3, picture, "cn-ordinary")
    join = PlateJoin(JoinKind.READ, read, (read,), (40_000_000,))
    return [dataclasses.replace(v, join=join) for v in vehicles]


async def _seal(site: Site, config: StationConfig, vehicles: list[Vehicle]) -> Sealed:
    config.data_dir.mkdir()
    station = NoteSigner.load_or_create(config.data_dir / "station.key", origin_of(STATION))
    centre = NoteSigner.load(site.centre / CENTRE_KEY_FILE, CENTRE_NAME)
    store = await Store.open(
        config.data_dir,
        station=STATION,
        signer=station,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    try:
        pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
        await open_log(config, store, pack, software_identity(), HostClock())
        records = await _clerked(config, store, pack, vehicles)
        await _answered(store, centre, records)
    finally:
        await store.close()
    return Sealed(site, config, station, centre, records)


async def _clerked(
    config: StationConfig, store: Store, pack: RulePack, vehicles: list[Vehicle]
) -> list[Record]:
    sealed: list[Record] = []
    clerk = Clerk(
        config,
        store,
        pack,
        Health(lambda: 0),
        software=software_identity(),
        gains=lambda device: config.gains_of(device, 1.0),
        on_sealed=sealed.append,
    )
    for vehicle in vehicles:
        clerk.hand(vehicle)
    for vehicle in vehicles:  # every plate comes into doubt: corrections of all
        join = PlateJoin(JoinKind.AMBIGUOUS, None, vehicle.join.candidates, (5,), "fits")
        clerk.hand(PlateDoubt(vehicle.time_ns, vehicle.passage.key, join))
    clerk.end()
    await clerk.run()
    return sealed[: len(vehicles)]


async def _answered(store: Store, centre: NoteSigner, records: list[Record]) -> None:
    """The centre cosigns the newest checkpoint and answers every vehicle."""
    head = await store.head()
    assert head is not None
    time_s = time.time_ns() // 1_000_000_000
    line = Cosigner(centre).cosign(head.checkpoint.text(), time_s)
    await store.keep_cosignature(head.checkpoint.size, time_s, line)
    notes = [
        Receipt(
            record.record_id,
            record.index,
            "stored",
            "",
            time_s * 1_000_000,
            head.checkpoint.size,
            station=STATION,
            cosignature=line,
            cosigned_size=head.checkpoint.size,
        ).encode(centre)
        for record in records
    ]
    await store.acknowledge_many([Receipt.decode(note, None) for note in notes])
