"""The write side of the station log: records, tree nodes, checkpoints, outbox entries.

Everything here happens inside a transaction of the writer thread. The frontier of the tree is the
only state outside the database; the writer sets it back when a transaction fails.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from edge.errors import ConfigError, IntegrityError
from edge.evidence.merkle import Frontier, NodeReader
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, origin_of
from edge.evidence.receipt import Receipt
from edge.evidence.seal import NUMBERED_KIND, seal
from edge.records import Draft, Record


class StationLog:
    """Appends to the log of one station."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        station: str,
        signer: NoteSigner,
        now_ns: Callable[[], int],
    ) -> None:
        """Take up the log where it ends.

        Raises
        ------
        ConfigError
            The database is another station's, or the key is not the log's.
        IntegrityError
            The stored tree, the records and the last checkpoint contradict each other.
        """
        self._connection = connection
        self._station = station
        self._signer = signer
        self._now_ns = now_ns
        self._claim()
        self.frontier = self._load_frontier()

    def append(self, draft: Draft) -> Record:
        """Seal a draft as the next record and queue it for the centre."""
        passage = self._next_passage(draft) if draft.kind == NUMBERED_KIND else None
        record = seal(draft, station=self._station, index=self.frontier.size, passage=passage)
        self._insert_record(record)
        frontier, nodes = self.frontier.append(bytes.fromhex(record.record_id))
        self._connection.executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)
        self._enqueue(record)
        self.frontier = frontier
        return record

    def checkpoint(self) -> None:
        """Sign the state of the tree, once for all records of a transaction."""
        state = Checkpoint(origin_of(self._station), self.frontier.size, self.frontier.root())
        self._connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?)",
            (state.size, self._now_ns(), self._signer.sign(state.text())),
        )

    def acknowledge(self, receipt: Receipt) -> bool:
        """End the outbox entry that a receipt of its very record proves delivered."""
        ended = self._connection.execute(
            "DELETE FROM outbox WHERE idx = ? AND record_id = ? RETURNING attempts",
            (receipt.index, receipt.record_id),
        ).fetchone()
        if ended is None:
            return False
        self._connection.execute(
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?)",
            (
                receipt.index,
                receipt.record_id,
                ended[0],
                self._now_ns() // 1000,
                receipt.tree_size,
                receipt.note,
            ),
        )
        return True

    def note_attempt(self, index: int) -> None:
        """Count one more try to deliver a record."""
        self._connection.execute(
            "UPDATE outbox SET attempts = attempts + 1 WHERE idx = ?", (index,)
        )

    def poison(self, index: int, reason: str) -> None:
        """Set a record aside that the centre will never take; it stays, with the reason."""
        self._connection.execute("UPDATE outbox SET poisoned = ? WHERE idx = ?", (reason, index))

    def _next_passage(self, draft: Draft) -> int:
        (last,) = self._connection.execute(
            "SELECT max(passage) FROM records WHERE lane = ? AND passage IS NOT NULL",
            (draft.body.get("lane"),),
        ).fetchone()
        return (last or 0) + 1

    def _insert_record(self, record: Record) -> None:
        self._connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (record.index, record.record_id, *columns_of(record), record.urgent, record.canonical),
        )

    def _enqueue(self, record: Record) -> None:
        size = len(record.canonical) + sum(b.size_bytes for b in record.blobs if b.deliver)
        self._connection.execute(
            "INSERT INTO outbox (idx, record_id, urgent, size_bytes, enqueued_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (record.index, record.record_id, record.urgent, size, self._now_ns()),
        )

    def _claim(self) -> None:
        """A database belongs to one station, from its first start on."""
        row = self._connection.execute("SELECT id FROM station").fetchone()
        if row is None:
            self._connection.execute("INSERT INTO station VALUES (?)", (self._station,))
        elif row[0] != self._station:
            raise ConfigError(
                f"数据目录属于站点 {row[0]}，不属于 {self._station}",
                f"the data directory belongs to station {row[0]}, not to {self._station}",
                next_zh="检查 [station] 的 id 和 data_dir",
                next_en="check id and data_dir in [station]",
            )

    def _load_frontier(self) -> Frontier:
        """The right edge of the stored tree, if the last checkpoint vouches for it."""
        (records,) = self._connection.execute("SELECT count(*) FROM records").fetchone()
        last = self._connection.execute(
            "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
        try:
            frontier = Frontier.load(records, node_reader(self._connection))
        except LookupError as error:
            raise _contradiction(str(error)) from error
        expected = Checkpoint(origin_of(self._station), frontier.size, frontier.root())
        if last is None and records == 0:
            return frontier
        if last is None or self._signed_text(last[0]) != expected.text():
            raise _contradiction("the last checkpoint does not fit the tree")
        return frontier

    def _signed_text(self, note: str) -> str:
        try:
            return NoteVerifier(self._signer.verifier_key).verify(note)
        except ValueError as error:
            raise ConfigError(
                f"密钥与日志不符：{error}",
                f"the key is not the one that signed this log: {error}",
                next_zh="从备份恢复原来的密钥文件，或运行 steelyard verify",
                next_en="restore the original key file from its backup, or run steelyard verify",
            ) from error


def columns_of(record: Record) -> tuple[str, str | None, int | None, str | None, int]:
    """Kind, lane, passage, verdict and time_us: what the tables repeat so that it can be found."""
    body = record.body
    verdict = body.get("verdict")
    kind = verdict.get("kind") if isinstance(verdict, dict) else None
    return record.kind, body.get("lane"), body.get("passage"), kind, body["time_us"]


def node_reader(connection: sqlite3.Connection) -> NodeReader:
    """Reads stored nodes; raises LookupError for one that is missing."""

    def read(level: int, position: int) -> bytes:
        row = connection.execute(
            "SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)
        ).fetchone()
        if row is None:
            raise LookupError(f"tree node ({level}, {position}) is missing")
        return bytes(row[0])

    return read


def _contradiction(detail: str) -> IntegrityError:
    return IntegrityError(
        f"证据日志自相矛盾：{detail}",
        f"the log contradicts itself: {detail}",
        step="open",
        next_zh="不要改动任何文件，运行 steelyard verify，通知维护人员",
        next_en="change no file, run steelyard verify, call the maintainer",
    )
