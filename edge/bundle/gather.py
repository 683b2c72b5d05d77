"""A dossier out of a station's data directory, by reading only; the station may run meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from edge.bundle.dossier import Dossier, Statement, by_hash
from edge.config import StationConfig
from edge.errors import InputError, why_zh
from edge.evidence.cosignature import with_line
from edge.evidence.envelope import Envelope
from edge.evidence.merkle import inclusion_proof
from edge.store.blobs import BlobDirectory
from edge.store.opening import second_keys
from edge.store.rows import node_reader
from edge.store.schema import DATABASE, connect_reader

SETTINGS = ("configuration", "start")
"""Kinds that seal what a station weighs with."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Verifier keys of the station and of its case system."""

    station: str
    centre: str | None = None


class Source:
    """A data directory in one read transaction; close it when done.

    Raises
    ------
    InputError
        There is no database that can be read.
    """

    def __init__(self, directory: Path, keys: Keys, config: StationConfig | None = None) -> None:
        path = directory / DATABASE
        if not path.exists():
            raise InputError(f"没有 {path}", f"there is no {path}")
        self._keys = keys
        self._blobs = BlobDirectory(directory / "blobs")
        self._at_hand = by_hash(_settings_at_hand(config))
        try:
            self._db = connect_reader(path)
            self._db.execute("BEGIN")
            tables = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            self._tables = {name for (name,) in tables}
        except sqlite3.Error as error:
            raise InputError(
                f"数据库 {path} 读不出{why_zh(error)}",
                f"the database {path} can't be read: {error}",
                next_zh="核对路径；若路径正确，运行 steelyard verify",
                next_en="check the path; if it is right, run steelyard verify",
            ) from error
        self._read = node_reader(self._db)

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, record: str) -> int:
        """Number of a record by its number or its id (or the first digits of it).

        Raises
        ------
        InputError
            There is no such record, or more than one.
        """
        if record.isascii() and record.isdigit() and len(record) < 16:
            query, value = "SELECT idx FROM records WHERE idx = ?", record
        else:
            query, value = (
                "SELECT idx FROM records WHERE record_id >= ?1 AND record_id < ?1 || 'g' LIMIT 2",
                record.lower(),
            )
        found = self._db.execute(query, (value,)).fetchall()
        if len(found) != 1:
            raise InputError(
                f"没有找到记录 {record}，或不止一条",
                f"there is no record {record}, or more than one",
                next_zh="用记录序号，或记录编号开头的几位",
                next_en="give its number, or the first digits of its id",
            )
        return int(found[0][0])

    def indices(self, kind: str) -> list[int]:
        """Numbers of all records of a kind."""
        rows = self._db.execute("SELECT idx FROM records WHERE kind = ? ORDER BY idx", (kind,))
        return [index for (index,) in rows]

    def dossier(self, index: int) -> Dossier:
        """All that belongs to a record.

        Raises
        ------
        InputError
            There is no such record, or its proof is incomplete.
        """
        try:
            numbers = sorted({*self._settings_before(index), *self._about(index)})
            size = self._size_for(index, numbers)
            main = self._statement(index, size)
            others = [self._statement(n, size) for n in numbers]
            removed = dict(self._removed(blob.sha256 for blob in main.record.blobs))
            others += [self._statement(n, size) for n in removed]
            dossier = Dossier(
                main,
                {},
                self._keys.station,
                self._keys.centre,
                tuple(sorted(others, key=lambda statement: statement.index)),
                self._receipt(index),
                self._second_key(size),
                removed,
            )
            return replace(dossier, blobs=dict(self._contents(dossier)))
        except (LookupError, ValueError, sqlite3.Error) as error:
            raise InputError(
                f"第 {index} 号记录或其证明不完整{why_zh(error)}",
                f"record {index} or its proof is incomplete: {error}",
                next_zh="运行 steelyard verify 检查整个证据库",
                next_en="run steelyard verify over the whole store",
            ) from error

    # ------------------------------------------------------------------------------- statements

    def _statement(self, index: int, size: int) -> Statement:
        """A record under the checkpoint of a size, or under the newest where that is too small."""
        row = self._db.execute("SELECT canonical FROM records WHERE idx = ?", (index,)).fetchone()
        if row is None:
            raise LookupError(f"no record {index}")
        if size <= index:
            size = self._newest_size()
        proof = inclusion_proof(index, size, self._read)
        note = self._note(size)
        return Statement(Envelope(row[0], index, tuple(proof), note, self._private(index)))

    def _private(self, index: int) -> bytes | None:
        if "private" not in self._tables:
            return None
        row = self._db.execute("SELECT data FROM private WHERE idx = ?", (index,)).fetchone()
        return bytes(row[0]) if row else None

    def _note(self, size: int) -> str:
        """The checkpoint of a size with the witness's line under it."""
        row = self._db.execute("SELECT note FROM checkpoints WHERE size = ?", (size,)).fetchone()
        if row is None:
            raise LookupError(f"no checkpoint of size {size}")
        line = self._cosigned("SELECT line FROM cosignatures WHERE size = ?", size)
        return with_line(row[0], line.removesuffix("\n")) if line else str(row[0])

    def _cosigned(self, query: str, value: int) -> Any:
        """The one value that a query about cosignatures gives; None in stores without them."""
        if "cosignatures" not in self._tables:
            return None
        row = self._db.execute(query, (value,)).fetchone()
        return row[0] if row else None

    def _size_for(self, index: int, others: list[int]) -> int:
        """The first cosigned checkpoint over all, else one over the record, else the newest."""
        first = "SELECT min(size) FROM cosignatures WHERE size > ?"
        size = self._cosigned(first, max([index, *others])) or self._cosigned(first, index)
        return int(size) if size is not None else self._newest_size()

    def _newest_size(self) -> int:
        (size,) = self._db.execute("SELECT max(size) FROM checkpoints").fetchone()
        if size is None:
            raise LookupError("no checkpoint")
        return int(size)

    def _settings_before(self, index: int) -> Iterator[int]:
        for kind in SETTINGS:
            (number,) = self._db.execute(
                "SELECT max(idx) FROM records WHERE kind = ? AND idx < ?", (kind, index)
            ).fetchone()
            if number is not None:
                yield number

    def _about(self, index: int) -> Iterator[int]:
        """Corrections of a record, and the clock statement that sets its time right."""
        rows = self._db.execute(
            "SELECT idx FROM records WHERE kind = 'correction' AND idx > ? AND instr(canonical, ?)",
            (index, f'"corrects":{index},'.encode()),
        )
        yield from (number for (number,) in rows)
        rows = self._db.execute(
            "SELECT idx, canonical FROM records WHERE kind = 'clock' AND idx > ? ORDER BY idx",
            (index,),
        )
        for number, data in rows:
            span = json.loads(data).get("sets_right")
            if span and span["first"] <= index <= span["last"]:
                yield number
                return

    def _removed(self, wanted: Iterable[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Statements that say that files were removed by rule, each with all that it removed."""
        if "dropped" not in self._tables:
            return
        found = (
            self._db.execute("SELECT idx FROM dropped WHERE sha256 = ?", (sha256,)).fetchone()
            for sha256 in wanted
        )
        for number in {int(row[0]) for row in found if row}:
            rows = self._db.execute(
                "SELECT sha256 FROM dropped WHERE idx = ? ORDER BY sha256", (number,)
            )
            yield number, tuple(sha256 for (sha256,) in rows)

    def _second_key(self, size: int) -> str | None:
        """The key of the second signature under the checkpoint of a size."""
        if "settings" not in self._tables:
            return None
        known = [key for since, key in second_keys(self._db) if since < size]
        return (known[-1] or None) if known else None

    def _receipt(self, index: int) -> str | None:
        note: str | None = None
        if row := self._db.execute("SELECT note FROM receipts WHERE idx = ?", (index,)).fetchone():
            note = row[0]
        if "receipt_notes" in self._tables and not note:
            row = self._db.execute(
                "SELECT receipt_notes.note FROM receipts"
                " JOIN receipt_notes ON receipt_notes.id = note_id WHERE idx = ?",
                (index,),
            ).fetchone()
            note = row[0] if row else None
        return note or None

    # ------------------------------------------------------------------------------- files

    def _contents(self, dossier: Dossier) -> Iterator[tuple[str, bytes]]:
        """Files that are there and whole, by their hash."""
        named = [blob.sha256 for blob in dossier.main.record.blobs]
        for sha256 in [*named, *(sha256 for _, sha256 in dossier.configuration())]:
            with contextlib.suppress(OSError):
                data = self._at_hand.get(sha256) or self._blobs.path(sha256).read_bytes()
                if hashlib.sha256(data).hexdigest() == sha256:
                    yield sha256, data


def _settings_at_hand(config: StationConfig | None) -> Iterator[bytes]:
    """Shipped rule packs, and the files of the station as they are now: by their hash they may be
    those that a record names."""
    for pack in (resources.files("edge.rules") / "packs").iterdir():
        if pack.name.endswith(".toml"):
            yield pack.read_bytes()
    if config is None:
        return
    paths = [config.path, *_paths_of(config)]
    for path in paths:
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def _paths_of(config: StationConfig) -> Iterator[Path]:
    model = config.model
    named: Mapping[str, Path | None] = {
        "certificate": model.calibration.file,
        "pack": Path(model.rules.pack) if model.rules.pack.endswith(".toml") else None,
        **{lane.id: lane.dynamics for lane in model.lane},
    }
    yield from (config.resolve(path) for path in named.values() if path is not None)
