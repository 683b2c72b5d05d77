"""Forgers: receipts that the case system never gave, and hostile messages at its door."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.uplink.topics import ROOT
from simulator.case_store import CaseStore
from simulator.case_system import CENTRE_NAME
from simulator.faults.child import Mosquitto, ending, until
from simulator.faults.invariants import settle
from simulator.faults.kills import finish
from simulator.faults.outcome import Outcome
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

MUTATIONS = 300
FLOOD = 2_000
_CENTRE_GROWTH_MB = 300
_QUIET_S = 3.0


class Stranger:
    """Anybody who can write to the broker."""

    def __init__(self, broker: str) -> None:
        parts = urlsplit(broker)
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.connect(parts.hostname or "", parts.port or 1883)
        self._client.loop_start()

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send one message."""
        self._client.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain).wait_for_publish(20)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def receipts_forged(place: Place, outcome: Outcome) -> None:
    """Receipts by a wrong key, to another station, altered, old ones again: none may count."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        stranger = stack.enter_context(contextlib.closing(Stranger(broker.url)))
        one, two = place.plant(broker.url, "F1"), place.plant(broker.url, "F2")
        centre = place.case_system(broker.url)
        devices = [one.devices(place.seed), two.devices(place.seed)]
        daemons = [one.daemon(), two.daemon()]
        stack.enter_context(ending([centre.start(), *devices, *daemons]))
        for devices_of, daemon in zip(devices, daemons, strict=True):
            started(devices_of)
            daemon.start().until_said(SAID_READY)
        for plant in (one, two):
            plant.until_grown(8)
            until(lambda plant=plant: _receipted(plant) > 4, 30, "receipts")  # type: ignore[misc]
        centre.stop()
        one.until_grown(8)
        time.sleep(_QUIET_S)  # what the case system had said before has arrived
        before = _ended(one)
        for payload in _forgeries(place, one, wire):
            stranger.say("F1/down/receipt", payload)
            outcome.blows += 1
        time.sleep(_QUIET_S)
        outcome.forged_accepted += len(_ended(one) - before)
        outcome.expect(daemons[0].is_alive, "the daemon has ended by itself")
        centre.start()
        for plant, devices_of in zip((one, two), devices, strict=True):
            finish(plant, devices_of)
        stack.close()
        for plant in (one, two):
            settle(outcome, plant, wire)


def _receipted(plant: Plant) -> int:
    with plant.reader() as reader:
        return int(reader.execute("SELECT count(*) FROM receipts").fetchone()[0])


def _ended(plant: Plant) -> set[int]:
    """Numbers whose delivery has ended, by a receipt or by being set aside."""
    with plant.reader() as reader:
        rows = reader.execute(
            "SELECT idx FROM receipts UNION SELECT idx FROM outbox WHERE poisoned IS NOT NULL"
        )
        return {index for (index,) in rows}


def _forgeries(place: Place, plant: Plant, wire: Wiretap) -> Iterator[bytes]:
    forger = NoteSigner(CENTRE_NAME, Ed25519PrivateKey.generate())
    own = [note for what, note in wire.notes[plant.station] if what == "receipt"]
    others = [note for what, note in wire.notes["F2"] if what == "receipt"]
    with plant.reader() as reader:
        waiting = reader.execute("SELECT idx, record_id FROM outbox").fetchall()
    yield from own
    yield from others
    for index, record_id in waiting:
        for status in ("stored", "refused"):
            receipt = Receipt(
                record_id=record_id,
                index=index,
                status=status,
                reason="" if status == "stored" else "fork",
                time_us=time.time_ns() // 1000,
                tree_size=index + 1,
                station=plant.station,
            )
            yield receipt.encode(forger)
            yield dataclasses.replace(receipt, station="F2").encode(forger)
        yield from (_renamed(note, plant.station, index, record_id) for note in (own + others)[:4])
    chance = place.chance()
    for _ in range(place.times(MUTATIONS, 30)):
        yield _mutated(chance.choice(own), chance)
    yield from (note for what, note in wire.notes[plant.station] if what != "receipt")
    yield from (b"", b"\n\n", b"{}", b"[" * 100_000, own[0][: len(own[0]) // 2])


def _renamed(note: bytes, station: str, index: int, record_id: str) -> bytes:
    """A true receipt whose text names other records; its signature stays."""
    schema, _, rest = note.partition(b"\n")
    line, _, signatures = rest.partition(b"\n")
    body = json.loads(line)
    answers = body.get("answers", [body])
    for answer in answers:
        answer |= {"index": index, "record_id": record_id, "status": "stored"}
    if "station" in body:
        body["station"] = station
    text = json.dumps(body, separators=(",", ":"), sort_keys=True).encode()
    return schema + b"\n" + text + b"\n" + signatures


def _mutated(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


# ----------------------------------------------------------------------------------------------
# The case system's door


def hostile_messages(place: Place, outcome: Outcome) -> None:
    """Garbage, lies and floods at the case system while a good station delivers."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        stranger = stack.enter_context(contextlib.closing(Stranger(broker.url)))
        plant = place.plant(broker.url)
        devices, daemon = plant.devices(place.seed), plant.daemon()
        centre = place.case_system(broker.url)
        stack.enter_context(ending([centre.start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        plant.until_grown(6)
        until(lambda: _receipted(plant) > 3, 30, "receipts")
        with contextlib.closing(CaseStore.open(place.centre)) as store:
            truth = _envelopes(store, plant.station)
        before_mb = _rss_mb(centre.pid)
        for topic, payload in _hostile(place, plant, truth):
            stranger.say(topic, payload)
            outcome.blows += 1
        plant.until_grown(4)
        grown_mb = _rss_mb(centre.pid) - before_mb
        outcome.figures["faults.door_growth_mb"] = round(grown_mb, 1)
        outcome.expect(grown_mb < _CENTRE_GROWTH_MB, f"the centre grew by {grown_mb:.0f} MB")
        outcome.expect(centre.is_alive, "the case system has ended")
        finish(plant, devices)
        stack.close()
        settle(outcome, plant)  # on the wire the stranger spoke in the station's name
        _look_for_strangers(outcome, place.centre, plant.station)


def _envelopes(store: CaseStore, station: str) -> list[bytes]:
    """True record bytes of a station, to lie with."""
    return [json.dumps(record.body).encode() for record in store.records(station)][:8]


def _hostile(place: Place, plant: Plant, truth: list[bytes]) -> Iterator[tuple[str, bytes]]:
    chance, station = place.chance(), plant.station
    forger = NoteSigner(f"steelyard/{station}", Ed25519PrivateKey.generate())
    note = forger.sign(f"steelyard/{station}\n1\n{base64.b64encode(bytes(32)).decode()}\n")
    yield f"{station}/up/key", forger.verifier_key.encode()
    yield f"{station}/up/state", b'{"state":"offline","reason":"stopped"}'
    for what in ("record", "records", "checkpoint", "state", "telemetry", "key"):
        for payload in _garbage(chance):
            yield f"{station}/up/{what}", payload
            yield f"EVIL/up/{what}", payload
    for data in truth:
        entry = {"record": base64.b64encode(data).decode(), "index": 0, "proof": []}
        for index in (0, -1, 1 << 53, (1 << 53) + 1, 1 << 63, 1 << 64, 10**40, 1.5, "1", None):
            one = {"schema": "steelyard/envelope/1", "checkpoint": note, **entry, "index": index}
            yield f"{station}/up/record", json.dumps(one).encode()
            many = {
                "schema": "steelyard/envelopes/1",
                "checkpoint": note,
                "records": [entry | {"index": index}] * 3,
            }
            yield f"{station}/up/records", json.dumps(many).encode()
            yield "EVIL/up/records", json.dumps(many).encode()
    yield from _lying_blobs(station, chance)
    for number in range(place.times(FLOOD, 100)):
        yield f"FLOOD{number % 50}/up/record", chance.randbytes(400)


def _garbage(chance: random.Random) -> Iterator[bytes]:
    yield b""
    yield b"\xff\xfe" + chance.randbytes(500)
    yield b"[" * 200_000
    yield b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield b"9" * 100_000
    yield json.dumps({"schema": "steelyard/envelope/2", "record": "A" * 400_000}).encode()
    yield b'{"schema":"steelyard/envelope/1","index":' + b"1" * 5_000 + b"}"
    yield '{"schema":"\ud800"}'.encode("utf-8", "surrogatepass")


def _lying_blobs(station: str, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Blobs that are not what they say: wrong hash, wrong size, chunks without end."""
    for _ in range(20):
        data = chance.randbytes(3_000)
        sha256 = hashlib.sha256(chance.randbytes(8)).hexdigest()
        manifest = {
            "schema": "steelyard/blob/1",
            "sha256": sha256,
            "size_bytes": chance.choice([3_000, 0, -1, 1 << 60]),
            "chunk_bytes": chance.choice([3_000, 0, 1, 1 << 40]),
            "chunks": [hashlib.sha256(data).hexdigest()] * chance.choice([1, 1_000]),
        }
        yield f"{station}/up/blob/{sha256}/manifest", json.dumps(manifest).encode()
        yield f"{station}/up/blob/{sha256}/0", data
        yield f"{station}/up/blob/{sha256}/99999", data
        yield f"{station}/up/blob/{sha256}/0/1", data
        yield f"{station}/up/blob/../../etc/passwd/0", data
        yield f"{station}/up/blob/{'0' * 64}/-1/1", data


def _look_for_strangers(outcome: Outcome, centre: Path, station: str) -> None:
    """No record of anybody but the good station is at the centre."""
    uri = f"{(centre / 'cases.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as cases:
        found = [name for (name,) in cases.execute("SELECT DISTINCT station FROM records")]
    outcome.expect(found == [station], f"records of {found} are at the centre")


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    return pages * 4_096 / 1e6
