"""The witness: cosigns what continues the log that it cosigned before, and never forgets.

===========  ===================================================================================
conflict     what the station's key has signed
===========  ===================================================================================
fork         two logs in the same start of the machine: two roots for one size, or no proof that
             a checkpoint continues the log
rollback     another log, or a shorter one, after another start: an old disk image
truncated    a log shorter than the cosigned one in the same start: its end was cut off
clone        new checkpoints from two starts in turn (A, B, A): two machines with one key
renewed      the first checkpoint of a log begun anew: cosigned, but people should know
===========  ===================================================================================

A copy is a rollback when it is seen first, and a clone as soon as the first machine speaks again.
Each stands as an alarm with the two signed notes that prove it, whatever its name. A checkpoint
that was cosigned before proves nothing new: a copy that comes late never makes an alarm.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from edge.errors import Text
from edge.evidence.cosignature import Cosigner
from edge.evidence.merkle import verify_consistency
from edge.evidence.note import Checkpoint, NoteSigner, origin_of
from edge.evidence.witness import Conflict, Submission, WitnessAnswer
from edge.health import Health
from simulator.case_store import CaseStore, Log

log = logging.getLogger("steelyard.case")

WORDS = {
    "fork": Text("日志分叉：同一密钥签了两份不同的日志", "fork: one key has signed two logs"),
    "rollback": Text("日志回退：换了旧的磁盘镜像", "rollback: an old disk image has been put back"),
    "truncated": Text("日志被截短", "truncated: the end of the log was cut off"),
    "clone": Text("两台机器用同一把密钥", "clone: two machines use one key"),
    "renewed": Text("本站另起了新日志", "renewed: the station has begun another log"),
}
"""What an alarm means, for people."""


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that this witness cosigned."""

    size: int
    root: bytes
    note: str
    line: str
    boot_id: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A conflict with the notes that prove it: the first pair stays, the last one is renewed."""

    station: str
    generation: int
    name: str
    detail: str
    known: str
    note: str
    last_known: str
    last_note: str
    first_us: int
    last_us: int
    times: int


def alarms(store: CaseStore) -> list[Alarm]:
    """Every conflict that was ever found, the first one first."""
    rows = store.database.execute("SELECT * FROM alarms ORDER BY first_us")
    return [Alarm(*row) for row in rows]


def overview(store: CaseStore) -> list[str]:
    """A line for each station: state, records, how far its log is cosigned, conflict."""
    rows = store.database.execute(
        "SELECT station, coalesce(state, '?'), conflict,"
        " (SELECT count(*) FROM records r WHERE r.station = s.station),"
        " (SELECT max(size) FROM cosigned c WHERE c.station = s.station),"
        " (SELECT max(size) FROM checkpoints c WHERE c.station = s.station)"
        " FROM stations s ORDER BY station"
    )
    return [
        f"{station}  {state}  记录 records {records}  日志 log {size or 0}"
        f"  副署 cosigned {cosigned or 0}" + (f"  ✗ {WORDS[name]}" if name else "")
        for station, state, name, records, cosigned, size in rows
    ]


def witnessed(store: CaseStore, station: str) -> dict[str, int]:
    """Figures of a station's first log: how long it is, how far it is cosigned, alarms."""
    log = Log(station)
    row = store.one("SELECT max(size) FROM cosigned WHERE station = ? AND generation = ?", *log)
    raised = sum(alarm.station == station for alarm in alarms(store))
    return {
        "log_size": store.tree_size(log),
        "log_cosigned": int(row[0] or 0),
        "log_alarms": raised,
    }


def log_of(station: str, origin: str) -> Log | None:
    """Which log of a station an origin line names, None if it is none of its logs."""
    first = origin_of(station)
    if origin == first:
        return Log(station)
    number = origin.removeprefix(f"{first}/")
    if number == origin or not number.isdecimal() or not number.isascii() or len(number) > 6:
        return None
    if number != str(int(number)) or int(number) < 2:
        return None
    return Log(station, int(number))


class Witness:
    """Judges checkpoints whose signature holds; inside the caller's transaction."""

    def __init__(self, store: CaseStore, signer: NoteSigner, health: Health) -> None:
        self._store = store
        self._cosigner = Cosigner(signer)
        self._health = health

    def newest(self, of: Log) -> Cosigned | None:
        """The largest checkpoint of a log that was cosigned."""
        return self._cosigned("ORDER BY size DESC LIMIT 1", of)

    def cosigned(self, of: Log, checkpoint: Checkpoint) -> Cosigned | None:
        """This very checkpoint, if it was cosigned."""
        found = self._cosigned("AND size = ?", of, checkpoint.size)
        return found if found and found.root == checkpoint.root else None

    def judge(
        self, of: Log, submission: Submission, checkpoint: Checkpoint, now_us: int
    ) -> WitnessAnswer:
        """The answer to a checkpoint that the station's key has signed."""
        known = self.newest(of)
        again = self.cosigned(of, checkpoint)
        if again:
            return _cosigned_answer(of, again, known or again, now_us)
        alternates = self._sees_boot(of.station, submission.boot_id, now_us)
        name, detail = self._conflict(of, submission, checkpoint, known)
        if alternates:
            name, detail = "clone", f"boot {submission.boot_id} after another one had begun"
        if name:
            return self._alarmed(of, submission, checkpoint, known, (name, detail), now_us)
        if known and submission.old != known.size:
            return _answer(of, "retry", checkpoint, known, now_us)
        if known is None and submission.old:
            return _answer(of, "retry", checkpoint, None, now_us)
        return self._cosign(of, submission, checkpoint, now_us)

    def conflict_of(self, station: str) -> str:
        """Name of the conflict in which a station stands, empty if in none."""
        row = self._store.one("SELECT conflict FROM stations WHERE station = ?", station)
        return row[0] if row else ""

    def parting(self, of: Log) -> Conflict:
        """Name of what a record has to do with the log that it contradicts."""
        if self.conflict_of(of.station) == "clone":
            return "clone"
        return _parted(self._boot(of.station), self.newest(of))

    def alarm(self, of: Log, name: str, detail: str, known: str, note: str, now_us: int) -> None:
        """Keep a conflict with its two notes; the station stands in it until it proves itself."""
        new = self._store.one(
            "INSERT INTO alarms VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?6, ?7, ?7, 1)"
            " ON CONFLICT DO UPDATE SET last_known = ?5, last_note = ?6, last_us = ?7,"
            " times = times + 1 RETURNING times = 1",
            *of, name, detail, known, note, now_us,
        )  # fmt: skip
        self._health.count(f"case.alarm_{name}")
        if new[0]:
            log.warning("%s: %s (%s)", of.station, WORDS[name], detail)

    # ------------------------------------------------------------------------------------------
    # Inside

    def _conflict(
        self, of: Log, submission: Submission, checkpoint: Checkpoint, known: Cosigned | None
    ) -> tuple[Conflict, str]:
        signed = self._store.root_at(of, checkpoint.size)
        if signed not in (None, checkpoint.root):
            return _parted(submission.boot_id, known), f"two roots for size {checkpoint.size}"
        if known is None or checkpoint.size == known.size:
            return "", ""
        if checkpoint.size < known.size:
            name: Conflict = "truncated" if submission.boot_id == known.boot_id else "rollback"
            return name, f"size {checkpoint.size} after {known.size}"
        if submission.old == known.size and not verify_consistency(
            known.size, checkpoint.size, submission.proof, known.root, checkpoint.root
        ):
            detail = f"size {checkpoint.size} is not proven to continue size {known.size}"
            return _parted(submission.boot_id, known), detail
        return "", ""

    def _alarmed(
        self,
        of: Log,
        submission: Submission,
        checkpoint: Checkpoint,
        known: Cosigned | None,
        conflict: tuple[Conflict, str],
        now_us: int,
    ) -> WitnessAnswer:
        name, detail = conflict
        beside = self._store.note_at(of, checkpoint.size)
        if self._store.root_at(of, checkpoint.size) == checkpoint.root:
            beside = None  # the very same checkpoint speaks against nothing
        shown = beside or (known.note if known else "")
        self.alarm(of, name, detail, shown, submission.checkpoint_note, now_us)
        self._set_conflict(of.station, name)
        return _answer(of, "conflict", checkpoint, known, now_us, name, shown)

    def _cosign(
        self, of: Log, submission: Submission, checkpoint: Checkpoint, now_us: int
    ) -> WitnessAnswer:
        note = submission.checkpoint_note
        if of.generation > 1 and self.newest(of) is None:
            before = self.newest(Log(of.station, of.generation - 1))
            detail = f"log {of.generation} begins after {before.size if before else 0} records"
            self.alarm(of, "renewed", detail, before.note if before else "", note, now_us)
        text = note.rpartition("\n\n")[0] + "\n"
        line = self._cosigner.cosign(text, now_us // 1_000_000)
        self._store.database.execute(
            "INSERT INTO cosigned VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*of, checkpoint.size, checkpoint.root, note, line, submission.boot_id, now_us),
        )
        self._store.keep_checkpoint(of, checkpoint, note)
        self._set_conflict(of.station, "")
        self._health.count("case.cosigned")
        fresh = Cosigned(checkpoint.size, checkpoint.root, note, line, submission.boot_id)
        return _cosigned_answer(of, fresh, fresh, now_us)

    def _sees_boot(self, station: str, boot_id: str, now_us: int) -> bool:
        """Note which start a new checkpoint comes from; true if that start had been followed."""
        current = self._boot(station)
        seen = self._store.one(
            "SELECT 1 FROM boots WHERE (station, boot_id) = (?, ?)", station, boot_id
        )
        if boot_id != current:
            self._store.database.execute(
                "INSERT INTO boots SELECT ?1, ?2, coalesce(max(number), 0) + 1, ?3, ?3 FROM boots"
                " WHERE station = ?1 ON CONFLICT DO UPDATE SET number = excluded.number",
                (station, boot_id, now_us),
            )
        self._store.database.execute(
            "UPDATE boots SET last_us = ? WHERE (station, boot_id) = (?, ?)",
            (now_us, station, boot_id),
        )
        return boot_id != current and seen is not None

    def _boot(self, station: str) -> str | None:
        """The start from which the newest checkpoint came."""
        row = self._store.one(
            "SELECT boot_id FROM boots WHERE station = ? ORDER BY number DESC LIMIT 1", station
        )
        return row[0] if row else None

    def _set_conflict(self, station: str, name: str) -> None:
        self._store.database.execute(
            "INSERT INTO stations (station, conflict) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET conflict = excluded.conflict",
            (station, name),
        )

    def _cosigned(self, which: str, of: Log, *values: int) -> Cosigned | None:
        row = self._store.one(
            "SELECT size, root, note, line, boot_id FROM cosigned"
            f" WHERE station = ? AND generation = ? {which}",
            *of,
            *values,
        )
        return Cosigned(*row) if row else None


def _parted(boot_id: str | None, known: Cosigned | None) -> Conflict:
    """Name of another log than the cosigned one: after another start it is an old image."""
    return "rollback" if known and boot_id != known.boot_id else "fork"


def _cosigned_answer(of: Log, own: Cosigned, known: Cosigned, now_us: int) -> WitnessAnswer:
    return WitnessAnswer(
        of.station, "cosigned", own.size, now_us, known_size=known.size, cosignature=own.line
    )


def _answer(
    of: Log,
    status: Literal["retry", "conflict"],
    checkpoint: Checkpoint,
    known: Cosigned | None,
    now_us: int,
    name: Conflict = "",
    shown: str = "",
) -> WitnessAnswer:
    return WitnessAnswer(
        of.station,
        status,
        checkpoint.size,
        now_us,
        name=name,
        known_size=known.size if known else 0,
        known=shown or (known.note if known else None),
    )
