"""The write side of the station log: records, tree nodes, checkpoints, outbox entries.

Everything here happens inside a transaction of the writer thread. The frontier of the tree is the
only state outside the database; the writer sets it back when a transaction fails.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence

from edge.evidence.note import Checkpoint, NoteSigner, origin_of
from edge.evidence.receipt import Receipt
from edge.evidence.seal import NUMBERED_KIND, SALT_BYTES, seal
from edge.records import Draft, Record
from edge.store.opening import claim, load_frontier, note_second_key
from edge.store.queries import AWAITED, RECORD, reopened
from edge.store.rows import columns_of, insert_blob_uses
from edge.store.settings import generation, number


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
        claim(connection, station)
        self._connection = connection
        self._station = station
        self._generation = generation(connection)
        self._origin = origin_of(station, self._generation)
        self._signer = signer
        self._now_ns = now_ns
        self.frontier = load_frontier(connection, self._origin, signer)
        note_second_key(connection, signer, self.frontier.size)

    def append(self, draft: Draft) -> Record:
        """Seal a draft as the next record and queue it for the centre."""
        record = seal(
            draft,
            station=self._station,
            index=self.frontier.size,
            passage=self._next_passage(draft) if draft.kind == NUMBERED_KIND else None,
            salt=secrets.token_bytes(SALT_BYTES),
            generation=self._generation,
        )
        self._insert_record(record)
        frontier, nodes = self.frontier.append(bytes.fromhex(record.record_id))
        self._connection.executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)
        self._enqueue(record)
        self.frontier = frontier
        return record

    def append_once(self, draft: Draft) -> Record:
        """Seal a draft as ``append`` does, unless a record says the very same already."""
        rows = self._connection.execute(
            f"{RECORD} WHERE time_us = ? AND kind = ?", (draft.body["time_us"], draft.kind)
        )
        said = (draft.body | draft.private).items()
        for row in rows:
            known = reopened(*row)
            if said <= known.body.items() and known.blobs == draft.blobs:
                return known
        return self.append(draft)

    def append_many(self, drafts: Iterable[Draft]) -> list[Record]:
        """Seal drafts one after the other."""
        return [self.append(draft) for draft in drafts]

    def checkpoint(self) -> None:
        """Sign the state of the tree, once for all records of a transaction."""
        state = Checkpoint(self._origin, self.frontier.size, self.frontier.root())
        self._connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?)",
            (state.size, self._now_ns(), self._signer.sign(state.text())),
        )

    def acknowledge_many(self, receipts: Sequence[Receipt]) -> list[int]:
        """End the outbox entries that receipts of their very records prove delivered.

        Gives the numbers of those records; a note that ends several is kept once.
        """
        received_us, notes = self._now_ns() // 1000, dict[str, int | None]()
        ended = []
        for receipt in receipts:
            row = self._connection.execute(
                f"DELETE FROM outbox WHERE {AWAITED} RETURNING attempts",
                (receipt.index, receipt.record_id, receipt.time_us),
            ).fetchone()
            if row is None:
                continue
            if receipt.note not in notes:
                notes[receipt.note] = self._keep_note(receipt.note)
            self._connection.execute(
                "INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?, ?, '', ?)",
                (
                    receipt.index,
                    receipt.record_id,
                    row[0],
                    received_us,
                    receipt.tree_size,
                    notes[receipt.note],
                ),
            )
            ended.append(receipt.index)
        return ended

    def note_attempts(self, indices: Iterable[int]) -> None:
        """Count one more try to deliver each of some records."""
        self._connection.executemany(
            "UPDATE outbox SET attempts = attempts + 1 WHERE idx = ?", [(i,) for i in indices]
        )

    def poison(self, index: int, reason: str) -> None:
        """Set a record aside that the centre will never take; it stays, with the reason."""
        self._connection.execute("UPDATE outbox SET poisoned = ? WHERE idx = ?", (reason, index))

    def retry_poisoned(self, asked_us: int) -> int:
        """Let what was set aside go again; how many there were."""
        cursor = self._connection.execute(
            "UPDATE outbox SET poisoned = NULL, asked_us = max(asked_us, ?)"
            " WHERE poisoned IS NOT NULL",
            (asked_us,),
        )
        return cursor.rowcount

    def resend(self, first: int, last: int, asked_us: int) -> int:
        """Queue records once more; what the centre signed before ``asked_us`` ends none of them.

        How many they are; what was set aside stays so.
        """
        cursor = self._connection.execute(
            "INSERT INTO outbox (idx, record_id, urgent, size_bytes, enqueued_ns, asked_us)"
            " SELECT idx, record_id, urgent, length(canonical), ?3, ?4 FROM records"
            " WHERE idx BETWEEN ?1 AND ?2"
            " ON CONFLICT (idx) DO UPDATE SET asked_us = max(asked_us, excluded.asked_us)"
            " WHERE poisoned IS NULL",
            (first, last, self._now_ns(), asked_us),
        )
        return cursor.rowcount

    def keep_cosignature(self, size: int, time_s: int, line: str) -> bool:
        """Keep the witness's line of the checkpoint of a size.

        False if there is one already, or this log has no checkpoint of that size.
        """
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO cosignatures SELECT size, ?, ? FROM checkpoints WHERE size = ?",
            (time_s, line, size),
        )
        return cursor.rowcount == 1

    def take_command(
        self, command: int, outcome: str, carry_out: Callable[[StationLog], Draft]
    ) -> bool:
        """Note a command as taken, for ever, do what it asks for, and append the statement of it.

        False, with nothing done, if its number is not above all taken before.
        """
        (highest,) = self._connection.execute("SELECT max(number) FROM commands").fetchone()
        if highest is not None and command <= highest:
            return False
        self._connection.execute(
            "INSERT INTO commands VALUES (?, ?, ?)", (command, self._now_ns() // 1000, outcome)
        )
        self.append(carry_out(self))
        return True

    def erase_private(self, indices: Iterable[int]) -> int:
        """Remove the private parts of some records; how many there were."""
        cursor = self._connection.executemany(
            "DELETE FROM private WHERE idx = ?", [(index,) for index in indices]
        )
        return max(cursor.rowcount, 0)

    def _keep_note(self, note: str) -> int | None:
        if not note:
            return None
        return self._connection.execute(
            "INSERT INTO receipt_notes (note) VALUES (?)", (note,)
        ).lastrowid

    def _next_passage(self, draft: Draft) -> int:
        lane = draft.body.get("lane")
        (last,) = self._connection.execute(
            "SELECT max(passage) FROM records WHERE lane = ? AND passage IS NOT NULL", (lane,)
        ).fetchone()
        if last is None:  # the first of this log goes on where the one before it ended
            last = number(self._connection, f"passage_floor.{lane}")
        return int(last) + 1

    def _insert_record(self, record: Record) -> None:
        self._connection.execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (record.index, record.record_id, *columns_of(record), record.urgent, record.canonical),
        )
        if record.private is not None:
            self._connection.execute(
                "INSERT INTO private VALUES (?, ?)", (record.index, record.private)
            )
        insert_blob_uses(self._connection, record)

    def _enqueue(self, record: Record) -> None:
        size = len(record.canonical) + len(record.private or b"")
        size += sum(blob.size_bytes for blob in record.blobs if blob.deliver)
        self._connection.execute(
            "INSERT INTO outbox (idx, record_id, urgent, size_bytes, enqueued_ns)"
            " VALUES (?, ?, ?, ?, ?)",
            (record.index, record.record_id, record.urgent, size, self._now_ns()),
        )
