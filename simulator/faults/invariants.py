"""The promises, checked from outside: two stores, the wire, and what was seen committed.

==========================  ====================================================================
lost                        seen committed, and not in the store, or there with another id
doubled                     one number sent under two ids, or one crossing sealed twice
receipted, unverifiable     the station holds a receipt, the centre holds no record that proves
                            itself with its blobs
inconsistent                a checkpoint that the centre has seen or cosigned does not fit the log
==========================  ====================================================================
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edge.evidence.merkle import Frontier
from edge.evidence.note import Checkpoint, NoteSigner, split_note
from edge.evidence.station_key import KEY_FILE
from edge.store.verify import verify_store
from simulator.case_store import CaseStore
from simulator.case_system import CENTRE_KEY_FILE
from simulator.faults.outcome import Outcome
from simulator.faults.site import Plant
from simulator.faults.wire import Wiretap


def settle(
    outcome: Outcome, plant: Plant, wire: Wiretap | None = None, *, verifies: bool = True
) -> None:
    """Check every promise about one station that stands still, and add what is found.

    ``verifies`` is false where the trial broke the store on purpose, so that not every step can
    hold.
    """
    with plant.reader() as reader:
        held: dict[int, str] = dict(reader.execute("SELECT idx, record_id FROM records"))
        _look_for_lost(outcome, plant, held)
        _look_for_doubled(outcome, plant, reader, wire)
        receipted = dict(reader.execute("SELECT idx, record_id FROM receipts"))
        leaves = held | {index: leaf.hex() for index, leaf in _lost_leaves(reader)}
        (head,) = reader.execute("SELECT note FROM checkpoints ORDER BY size DESC").fetchone()
    outcome.records += len(held)
    _look_at_receipts(outcome, plant, receipted)
    _look_at_checkpoints(outcome, plant, leaves, Checkpoint.parse(split_note(head)[0]).origin)
    if verifies:
        verify(outcome, plant.data_dir, centre=plant.centre)


def verify(
    outcome: Outcome, data: Path, *, key_of: Path | None = None, centre: Path | None = None
) -> None:
    """Every step of ``steelyard verify`` holds for a store, or a copy of it without its key."""
    key = NoteSigner.load((key_of or data) / KEY_FILE).verifier_key
    centre_key = NoteSigner.load(centre / CENTRE_KEY_FILE).verifier_key if centre else None
    for step in verify_store(data, key, lambda _done: None, centre_key=centre_key):
        outcome.expect(step.ok, f"verify step {step.number} {step.title.en}: {step.detail.en}")


def _look_for_lost(outcome: Outcome, plant: Plant, held: dict[int, str]) -> None:
    lost = [i for i, record_id in plant.committed.items() if held.get(i) != record_id]
    outcome.lost += len(lost)
    if lost:
        outcome.problem(f"{plant.station}: committed and gone: {lost[:8]}")


def _look_for_doubled(
    outcome: Outcome, plant: Plant, reader: sqlite3.Connection, wire: Wiretap | None
) -> None:
    if wire is not None and (twice := wire.doubled(plant.station)):
        outcome.doubled += len(twice)
        outcome.problem(f"{plant.station}: sent under two ids: {twice[:8]}")
    crossings = Counter(_crossings(reader))
    if sealed_twice := [crossing for crossing, times in crossings.items() if times > 1]:
        outcome.doubled += len(sealed_twice)
        outcome.problem(f"{plant.station}: sealed twice: {sealed_twice[:4]}")


def _crossings(reader: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    """Lane and first sample of each vehicle: the devices of a trial never start anew."""
    for (data,) in reader.execute("SELECT canonical FROM records WHERE kind = 'vehicle'"):
        body = json.loads(data)
        if "signal" in body:
            yield body["lane"], body["signal"]["first_sample"]


def _look_at_receipts(outcome: Outcome, plant: Plant, receipted: dict[int, str]) -> None:
    with contextlib.closing(CaseStore.open(plant.centre)) as centre:
        problems = centre.verify()
        at_centre = {r.index: r.record_id for r in centre.records(plant.station)}
    own = [p for p in problems if p.startswith(f"{plant.station} ")]
    missing = [i for i, record_id in receipted.items() if at_centre.get(i) != record_id]
    outcome.unverifiable += len(own) + len(missing)
    for text in own[:4]:
        outcome.problem(text)
    if missing:
        outcome.problem(f"{plant.station}: receipted, not at the centre: {missing[:8]}")


def _lost_leaves(reader: sqlite3.Connection) -> Iterator[tuple[int, bytes]]:
    """Hashes of records whose bytes a damaged disk took; the log goes on over them."""
    yield from reader.execute("SELECT idx, leaf FROM lost")


def _look_at_checkpoints(
    outcome: Outcome, plant: Plant, leaves: dict[int, str], origin: str
) -> None:
    """Every checkpoint that the centre keeps of this log is one of this very log."""
    notes = [c for c in _notes_at_centre(plant.centre, plant.station) if c.origin == origin]
    roots = _roots(leaves, {checkpoint.size for checkpoint in notes})
    wrong = sorted(c.size for c in notes if roots.get(c.size) != c.root)
    outcome.checkpoints += len(notes)
    outcome.inconsistent += len(wrong)
    if wrong:
        outcome.problem(f"{plant.station}: checkpoints that do not fit the log: {wrong[:8]}")


def _roots(held: dict[int, str], sizes: set[int]) -> dict[int, bytes]:
    frontier = Frontier()
    roots: dict[int, bytes] = {}
    for index in range(len(held)):
        if index not in held:
            return roots
        frontier, _ = frontier.append(bytes.fromhex(held[index]))
        if frontier.size in sizes:
            roots[frontier.size] = frontier.root()
    return roots


def _notes_at_centre(centre: Path, station: str) -> Iterator[Checkpoint]:
    """Checkpoints from every table of the case system that keeps notes of stations."""
    uri = f"{(centre / 'cases.db').absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as cases:
        for (table,) in cases.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            columns = {row[1] for row in cases.execute(f"PRAGMA table_info({table})")}
            if {"station", "note", "size"} <= columns:
                query = f"SELECT note FROM {table} WHERE station = ? AND note IS NOT NULL"
                for (note,) in cases.execute(query, (station,)):
                    yield Checkpoint.parse(split_note(note)[0])
