"""A store of as many real sealed records as wanted, made fast: for benches and fault runs.

Every record is what sealing makes of it, byte for byte; it is put together from a sealed sample by
exchanging the values that differ, and all is committed in few transactions. The newest records
wait for the centre, the ones before have their receipts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.merkle import Frontier, leaf_hash
from edge.evidence.note import Checkpoint, NoteSigner, origin_of
from edge.evidence.receipt import SCHEMA
from edge.evidence.seal import SALT_BYTES, seal
from edge.health import Health
from edge.records import Draft
from edge.store.journal import Journal
from edge.store.schema import DATABASE, connect_writer
from edge.store.store import Store

WAITING = 1_000
"""Newest records that no receipt has answered yet."""

_LANES = ("1", "2", "3", "4")
_A_COMMIT = 50
"""Records under one checkpoint and one receipt note, as dense traffic gives."""
_A_TRANSACTION = 400 * _A_COMMIT
_CASE_EVERY = 40
_PASSAGE_US = 250_000
_FIRST_US = 1_700_000_000_000_000
_IN_A_HURRY = ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-300000")
_MARK = 2**50
"""Integers from here on stand in a sample for the numbers that differ from record to record."""
_NUMBERS = ("index", "passage", "time", "gross")
_LANE, _PLATE, _SALT = "=lane=", "=plate=", bytes(SALT_BYTES)


@dataclass(frozen=True, slots=True)
class _Made:
    index: int
    lane: str
    passage: int
    verdict: str
    time_us: int
    canonical: bytes
    private: bytes

    @property
    def record_id(self) -> str:
        return leaf_hash(self.canonical).hex()


def build(
    directory: Path,
    records: int,
    *,
    station: str = "BIG",
    waiting: int = WAITING,
    centre: NoteSigner | None = None,
    seed: int = 1,
) -> NoteSigner:
    """Make the store of a station with so many vehicle records; gives the station's signer.

    The key is made in ``directory/station.key``. ``centre`` signs the receipts; a key of its own
    is made up where none is given.
    """
    directory.mkdir(parents=True, exist_ok=True)
    signer = NoteSigner.load_or_create(directory / "station.key", origin_of(station))
    asyncio.run(_create(directory, station, signer))
    filler = _Filler(directory, station, signer, centre or _some_centre())
    made = _vehicles(station, records, random.Random(seed))
    try:
        while group := list(islice(made, _A_TRANSACTION)):
            filler.fill(group, delivered_below=records - waiting)
    finally:
        filler.close()
    return signer


async def _create(directory: Path, station: str, signer: NoteSigner) -> None:
    """The tables, as the store itself makes them."""
    health = Health(time.monotonic_ns)
    store = await Store.open(
        directory, station=station, signer=signer, health=health, now_ns=time.time_ns
    )
    await store.close()


def _some_centre() -> NoteSigner:
    return NoteSigner("case-system", Ed25519PrivateKey.generate())


class _Filler:
    """Writes groups of records as the store's writer does, but without waiting for the disk."""

    def __init__(
        self, directory: Path, station: str, signer: NoteSigner, centre: NoteSigner
    ) -> None:
        self._station = station
        self._signer = signer
        self._centre = centre
        self._db = connect_writer(directory / DATABASE)
        for pragma in _IN_A_HURRY:
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._journal = Journal(directory / "journal", Health(time.monotonic_ns))
        self._journal.prepare()
        self._frontier = Frontier()
        self._notes = 0

    def fill(self, group: Sequence[_Made], *, delivered_below: int) -> None:
        """One transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        ids = [made.record_id for made in group]
        self._records(group, ids)
        for at in range(0, len(group), _A_COMMIT):
            part = slice(at, at + _A_COMMIT)
            self._commit(group[part], ids[part], delivered_below)
        self._db.execute("COMMIT")
        self._journal.append([(made.index, made.canonical, made.private) for made in group])

    def close(self) -> None:
        self._journal.sync(None)
        self._db.execute("PRAGMA journal_mode=WAL").fetchall()
        self._db.close()

    def _records(self, group: Sequence[_Made], ids: Sequence[str]) -> None:
        self._db.executemany(
            "INSERT INTO records (idx, record_id, kind, lane, passage, verdict, time_us, urgent,"
            " canonical) VALUES (?, ?, 'vehicle', ?, ?, ?, ?, ?, ?)",
            (
                (m.index, i, m.lane, m.passage, m.verdict, m.time_us, m.verdict == "over",
                 m.canonical)
                for m, i in zip(group, ids, strict=True)
            ),
        )  # fmt: skip
        self._db.executemany(
            "INSERT INTO private (idx, data) VALUES (?, ?)", ((m.index, m.private) for m in group)
        )

    def _commit(self, group: Sequence[_Made], ids: Sequence[str], delivered_below: int) -> None:
        nodes: list[Any] = []
        for record_id in ids:
            self._frontier, new = self._frontier.append(bytes.fromhex(record_id))
            nodes += new
        self._db.executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)
        state = Checkpoint(origin_of(self._station), self._frontier.size, self._frontier.root())
        self._db.execute(
            "INSERT INTO checkpoints (size, time_ns, note) VALUES (?, ?, ?)",
            (state.size, group[-1].time_us * 1000, self._signer.sign(state.text())),
        )
        pairs = list(zip(group, ids, strict=True))
        self._answer([pair for pair in pairs if pair[0].index < delivered_below])
        self._enqueue([pair for pair in pairs if pair[0].index >= delivered_below])

    def _answer(self, pairs: Sequence[tuple[_Made, str]]) -> None:
        """One signed note for all of them, as the case system gives."""
        if not pairs:
            return
        time_us, size = pairs[-1][0].time_us, self._frontier.size
        answers = [
            {"index": m.index, "reason": "", "record_id": i, "status": "stored"} for m, i in pairs
        ]
        note = self._centre.sign(f"{SCHEMA}\n{self._receipt_line(answers, time_us)}\n")
        self._notes += 1
        self._db.execute("INSERT INTO receipt_notes (id, note) VALUES (?, ?)", (self._notes, note))
        self._db.executemany(
            "INSERT INTO receipts (idx, record_id, attempts, received_us, tree_size, note, note_id)"
            " VALUES (?, ?, 1, ?, ?, '', ?)",
            ((m.index, i, time_us, size, self._notes) for m, i in pairs),
        )

    def _receipt_line(self, answers: Sequence[Any], time_us: int) -> str:
        body = {
            "answers": answers, "cosignature": None, "cosigned_size": None,
            "station": self._station, "time_us": time_us, "tree_size": self._frontier.size,
        }  # fmt: skip
        return json.dumps(body, separators=(",", ":"))  # canonical: names in order, ASCII

    def _enqueue(self, pairs: Sequence[tuple[_Made, str]]) -> None:
        self._db.executemany(
            "INSERT INTO outbox (idx, record_id, urgent, size_bytes, enqueued_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                (m.index, i, m.verdict == "over", len(m.canonical), m.time_us * 1000)
                for m, i in pairs
            ),
        )


def _vehicles(station: str, records: int, chance: random.Random) -> Iterator[_Made]:
    samples = {verdict: _Sample(station, verdict) for verdict in ("within", "over")}
    passages = dict.fromkeys(_LANES, 0)
    for index in range(records):
        lane = _LANES[chance.randrange(len(_LANES))]
        passages[lane] += 1
        verdict = "within" if chance.randrange(_CASE_EVERY) else "over"
        yield samples[verdict].made(index, lane, passages[lane], chance)


def sample_draft(verdict: str) -> Draft:
    """The statement of a six-axle vehicle; numbers that differ from record to record are huge."""
    return Draft("vehicle", _body(verdict), (), verdict == "over", _private())


class _Sample:
    """A sealed vehicle and its private part as templates: places where records differ."""

    def __init__(self, station: str, verdict: str) -> None:
        self._verdict = verdict
        draft = sample_draft(verdict)
        sealed = seal(draft, station=station, index=_MARK, passage=_MARK + 1, salt=_SALT)
        assert sealed.private is not None
        self._private = _template(sealed.private, {_SALT.hex(): "salt", _PLATE: "plate"})
        commitment = hashlib.sha256(sealed.private).hexdigest()
        self._canonical = _template(
            sealed.canonical,
            {commitment: "private", f'"{_LANE}"': "lane"}
            | {str(_MARK + number): name for number, name in enumerate(_NUMBERS)},
        )

    def made(self, index: int, lane: str, passage: int, chance: random.Random) -> _Made:
        """The sealed vehicle with this number, and a plate of its own."""
        time_us = _FIRST_US + index * _PASSAGE_US
        plate = f"川A{chance.randrange(100_000):05}".encode()
        salt = chance.randbytes(SALT_BYTES).hex().encode()
        private = self._private % {b"salt": salt, b"plate": plate}
        values = {
            b"private": hashlib.sha256(private).hexdigest().encode(),
            b"lane": f'"{lane}"'.encode(),
            b"index": b"%d" % index,
            b"passage": b"%d" % passage,
            b"time": b"%d" % time_us,
            b"gross": b"%d" % chance.randrange(40_000, 49_000),
        }
        data = self._canonical % values
        return _Made(index, lane, passage, self._verdict, time_us, data, private)


def _template(sealed: bytes, places: dict[str, str]) -> bytes:
    sealed = sealed.replace(b"%", b"%%")
    for found, name in places.items():
        sealed = sealed.replace(found.encode(), f"%({name})s".encode())
    return sealed


def _private() -> dict[str, Any]:
    read = {
        "text": _PLATE, "raw_text": _PLATE, "colour": "yellow", "confidence_permille": 973,
        "offset_us": -41_250, "grammar": "cn-ordinary", "picture_sha256": "5e" * 32, "camera": "C1",
    }  # fmt: skip
    plate = {
        "join": "read", "text": _PLATE, "colour": "yellow", "confidence_permille": 973,
        "reason": "nearest", "candidates": [read],
    }  # fmt: skip
    return {"plate": plate}


def _body(verdict: str) -> dict[str, Any]:
    """The statement of a six-axle vehicle over four rows."""
    gross = _MARK + _NUMBERS.index("gross")
    axle = {
        "load_kg": 7_512, "u_kg": 61, "left_kg": 3_744, "right_kg": 3_768,
        "rows_kg": [7_498, 7_530, 7_515, 7_505], "flags": [],
    }  # fmt: skip
    limit = {
        "limit_kg": 49_000, "article": "4.2.1", "source": "GB 1589-2016", "verified": False,
        "note": "",
    }  # fmt: skip
    return {
        "schema": "steelyard/vehicle/2",
        "lane": _LANE, "lanes": [_LANE], "perhaps_with": None,
        "time_us": _MARK + _NUMBERS.index("time"),
        "boot_id": "6f1d0c52-0d3f-4a5e-9a57-52f6f1a1d2c3", "mono_us": 86_400_000_000,
        "clock_host": {"synchronised": True, "source": "chrony", "bound_us": 1_200},
        "clock": {"bound_us": 900, "rate_ppb": -12_345, "settled": True, "stepped": False},
        "speed_mm_s": 16_667, "u_speed_mm_s": 21, "speed_change_ppm": -1_250,
        "gross_kg": gross, "u_gross_kg": 240, "configuration": "1+2+3",
        "axles": [axle] * 6, "spacings_mm": [3_300, 1_350, 6_600, 1_310, 1_310],
        "groups": [
            {"first": first, "count": count, "load_kg": 7_512 * count, "u_kg": 110}
            for first, count in ((0, 1), (1, 2), (3, 3))
        ],
        "flags": [],
        "verdict": {
            "kind": verdict, "measured_kg": gross, "u_kg": 240, "lower_kg": 44_000,
            "level_ppm": 975_000, "limit_kg": 49_000, "excess_kg": 0, "excess_bp": 0,
            "article": "4.2.1", "limits": [limit], "reasons": [], "pack": "cn-national",
            "pack_sha256": "cd" * 32, "verified": False, "information": [],
        },
        "calibration": {"certificate": "K-2026-1", "sha256": "ef" * 32},
        "dynamics": {"version": 1, "sha256": "0d" * 32},
        "configuration_sha256": hashlib.sha256(b"configuration").hexdigest(),
        "software": {"name": "steelyard", "version": "1", "sha256": "0a" * 32},
        "signal": {
            "device": "D1", "first_sample": 1_000_000, "end_sample": 1_012_000,
            "rate_mhz": 4_000_000, "channels": ["1L", "1R", "2L", "2R", "3L", "3R", "4L", "4R"],
            "first_wheel_sample": 1_001_000, "last_wheel_sample": 1_011_000,
        },
    }  # fmt: skip
