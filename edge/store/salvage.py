"""What is readable of a damaged store goes into fresh tables, each piece only if it proves itself.

A record's bytes are taken if they have the hash that the file states beside them, or a hash that
stands anywhere else in it; a private part if its record binds it. Nothing here is trusted for
where it stood.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

from edge.evidence.merkle import leaf_hash
from edge.evidence.note import Checkpoint, split_note
from edge.store.journal import JournalLine
from edge.store.pages import Row

_STAGING = """
CREATE TEMP TABLE leaf (
    idx INTEGER, hash BLOB, votes INTEGER, PRIMARY KEY (idx, hash)
) WITHOUT ROWID;
CREATE TEMP TABLE note (size INTEGER, time_ns INTEGER, note TEXT, UNIQUE (size, note));
CREATE TEMP TABLE part (idx INTEGER, data BLOB, UNIQUE (idx, data));
CREATE TEMP TABLE answer (
    idx INTEGER, record_id TEXT, attempts INTEGER, received_us INTEGER, tree_size INTEGER,
    note TEXT, note_id INTEGER
);
CREATE TEMP TABLE refused (idx INTEGER, record_id TEXT, reason TEXT);
CREATE TEMP TABLE cosigned (size INTEGER PRIMARY KEY, time_s INTEGER, line TEXT);
"""
_MAX_INDEX = 1 << 48
_HASH_BYTES = hashlib.sha256().digest_size
_TREE, _INDEX = 2, 1
"""Weight of a leaf hash by where it stood: entries of another index look like those of records."""
_MARK = "— "


class Salvage:
    """Collects into the fresh tables of ``connection``; tables ``temp.*`` hold what is open."""

    def __init__(self, connection: sqlite3.Connection, station: str) -> None:
        self._db = connection
        self._station = station
        self.generation = 1
        self.records = 0
        connection.executescript(_STAGING)

    def take_pages(self, rows: Iterable[Row]) -> None:
        """Rows of a damaged database, told apart by their shape."""
        for rowid, values in rows:
            match values:
                case (_, str(record_id), str(), _, _, _, int(), int(urgent), bytes(data)):
                    self._take_record(rowid, data, urgent=bool(urgent), record_id=record_id)
                case (int(level), int(position), bytes(found)) if rowid is None and level == 0:
                    self._vote(position, found, _TREE)
                case (str(record_id), int(index)) if rowid is None and len(record_id) == 64:
                    self._vote(index, _unhex(record_id), _INDEX)
                case (None, bytes(data)) if rowid is not None and len(data) == _HASH_BYTES:
                    self._vote(rowid, data, _TREE)
                case (None, bytes(data)) if rowid is not None:
                    self._take_part(rowid, data)
                case (None, int(number), str(text)) if rowid is not None:
                    self._take_text(rowid, number, text)
                case (None, str(note)) if rowid is not None and note.endswith("\n"):
                    self._insert("receipt_notes VALUES (?, ?)", rowid, note)
                case (None, str(), int(), int(), int(), str(), *_) if len(values) in (6, 7):
                    self._take_answer(rowid, values)
                case (None, str(record_id), int(), int(), int(), int(), str(reason), *_) if rowid:
                    self._insert("temp.refused VALUES (?, ?, ?)", rowid, record_id, reason)
                case (str(sha256), int(size), int(index)) if rowid and len(sha256) == 64:
                    self._insert("dropped VALUES (?, ?, ?)", sha256, size, index)
                case (str(key), str(value)) if rowid is not None:
                    self._insert("settings VALUES (?, ?)", key, value)

    def take_lines(self, lines: Iterable[JournalLine]) -> None:
        """Records of the journal; a line whose hash the pages contradict is left aside."""
        for line in lines:
            if self._knows(leaf_hash(line.data).hex()):
                continue
            if line.number < _MAX_INDEX and self._fits(line):
                self._take_record(line.number, line.data, urgent=self._is_urgent(line.data))

    def take_parts(self, parts: Iterable[tuple[int, bytes]]) -> None:
        """Private parts of the journal."""
        for index, data in parts:
            self._take_part(index, data)

    def take_note(self, note: str, time_ns: int) -> None:
        """A checkpoint from beside the database."""
        try:
            size = Checkpoint.parse(split_note(note)[0]).size
        except ValueError:
            return
        self._insert("temp.note VALUES (?, ?, ?)", size, time_ns, note)

    def leaves(self, size: int) -> Iterator[tuple[int, bytes | None, bool]]:
        """Number and hash of each leaf (None: unknown), and whether its bytes are there."""
        known = self._db.execute(
            "SELECT idx, record_id FROM main.records WHERE idx < ? ORDER BY idx", (size,)
        )
        expected = 0
        for index, record_id in known:
            for missing in range(expected, index):
                yield missing, self._elected(missing), False
            yield index, bytes.fromhex(record_id), True
            expected = index + 1
        for missing in range(expected, size):
            yield missing, self._elected(missing), False

    def settle_parts(self) -> None:
        """Private parts move to their table if their record binds them."""
        rows = self._db.execute(
            "SELECT idx, data, canonical FROM temp.part JOIN main.records USING (idx)"
        )
        for index, data, canonical in rows:
            commitment = f'"private_sha256":"{hashlib.sha256(data).hexdigest()}"'
            if commitment.encode() in canonical:
                self._insert("private VALUES (?, ?)", index, data)

    def settle_answers(self) -> None:
        """Receipts that name the record that they answer end its delivery."""
        self._db.execute(
            "INSERT OR IGNORE INTO receipts"
            " SELECT idx, record_id, attempts, received_us, tree_size, answer.note,"
            " CASE WHEN answer.note = '' THEN note_id END"
            " FROM temp.answer JOIN main.records USING (idx, record_id)"
            " WHERE answer.note <> '' OR note_id IN (SELECT id FROM receipt_notes)"
        )

    def settle_cosignatures(self) -> None:
        """The witness's lines under the checkpoints that were found."""
        self._db.execute(
            "INSERT OR IGNORE INTO cosignatures SELECT size, time_s, line FROM temp.cosigned"
            " JOIN checkpoints USING (size)"
        )

    def notes(self, newest: int) -> dict[int, list[tuple[int, str]]]:
        """Times and texts of the newest checkpoints found, by size; nothing is verified."""
        found: dict[int, list[tuple[int, str]]] = {}
        for size, time_ns, note in self._db.execute(
            "SELECT size, time_ns, note FROM temp.note ORDER BY size DESC LIMIT ?", (newest,)
        ):
            found.setdefault(size, []).append((time_ns, note))
        return found

    def _take_record(
        self, index: int | None, data: bytes, *, urgent: bool, record_id: str | None = None
    ) -> None:
        leaf = leaf_hash(data)
        if record_id is not None and leaf.hex() != record_id:
            if index is not None:
                self._vote(index, _unhex(record_id), _TREE)
            return
        body = _object(data)
        if (body.get("index"), body.get("station")) != (index, self._station):
            return
        verdict = body.get("verdict")
        self.records += 1
        self.generation = max(self.generation, int(body.get("generation", 1)))
        self._insert(
            "records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            index,
            leaf.hex(),
            body.get("kind"),
            body.get("lane"),
            body.get("passage"),
            verdict.get("kind") if isinstance(verdict, dict) else None,
            body.get("time_us"),
            urgent,
            data,
        )
        if body.get("kind") == "command" and type(body.get("number")) is int:
            self._insert(
                "commands VALUES (?, ?, ?)",
                body["number"],
                body.get("time_us"),
                str(body.get("outcome")),
            )

    def _take_text(self, rowid: int, number: int, text: str) -> None:
        if text.startswith(_MARK):
            self._insert("temp.cosigned VALUES (?, ?, ?)", rowid, number, text)
        elif f"\n\n{_MARK}" in text:
            self._insert("temp.note VALUES (?, ?, ?)", rowid, number, text)
        elif "\n" not in text:
            self._insert("commands VALUES (?, ?, ?)", rowid, number, text)

    def _take_answer(self, rowid: int | None, values: tuple[Any, ...]) -> None:
        note_id = values[6] if len(values) == 7 else None
        self._insert("temp.answer VALUES (?, ?, ?, ?, ?, ?, ?)", rowid, *values[1:6], note_id)

    def _take_part(self, index: int, data: bytes) -> None:
        if data.startswith(b"{"):
            self._insert("temp.part VALUES (?, ?)", index, data)

    def _vote(self, index: int, found: bytes, weight: int) -> None:
        if len(found) == _HASH_BYTES and 0 <= index < _MAX_INDEX:
            self._db.execute(
                "INSERT INTO temp.leaf VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET votes = votes + excluded.votes",
                (index, found, weight),
            )

    def _elected(self, index: int) -> bytes | None:
        """The hash of a leaf that most places in the damaged file agree on."""
        row = self._db.execute(
            "SELECT hash FROM temp.leaf WHERE idx = ? ORDER BY votes DESC LIMIT 1", (index,)
        ).fetchone()
        return bytes(row[0]) if row else None

    def _fits(self, line: JournalLine) -> bool:
        known = self._db.execute(
            "SELECT hash FROM temp.leaf WHERE idx = ? AND votes >= ?", (line.number, _TREE)
        ).fetchall()
        return (leaf_hash(line.data),) in known if known else line.is_placed

    def _is_urgent(self, data: bytes) -> bool:
        """A case, or a correction of one, as their drafts say."""
        body = _object(data)
        if body.get("kind") == "correction":
            row = self._db.execute(
                "SELECT urgent FROM main.records WHERE idx = ?", (body.get("corrects"),)
            ).fetchone()
            return bool(row and row[0])
        verdict = body.get("verdict")
        return isinstance(verdict, dict) and verdict.get("kind") != "within"

    def _knows(self, record_id: str) -> bool:
        found = self._db.execute("SELECT 1 FROM main.records WHERE record_id = ?", (record_id,))
        return found.fetchone() is not None

    def _insert(self, into: str, *values: Any) -> None:
        """Keep a row if the tables take it; what they refuse can't have come from them."""
        try:
            self._db.execute(f"INSERT OR IGNORE INTO {into}", values)
        except (sqlite3.Error, OverflowError):
            return


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
