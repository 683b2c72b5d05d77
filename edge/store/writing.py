"""The write side of a store: each call is durable when it returns, or refused with nothing kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from edge.errors import StoreError
from edge.evidence.receipt import Receipt
from edge.health import Health
from edge.records import Blob, Draft, Record
from edge.store.blobs import BlobDirectory
from edge.store.callers import Callers
from edge.store.journal import Journal
from edge.store.log import StationLog
from edge.store.readers import Readers
from edge.store.waiting import WaitingRoom

Provenance: TypeAlias = Callable[[int], dict[str, Any]]
"""Fields of a statement that say where its ``time_us`` comes from."""


class Writing:
    """What is written to a store; what opens it sets the attributes."""

    waiting: WaitingRoom
    _blobs: BlobDirectory
    _callers: Callers
    _closed: bool
    _health: Health
    _journal: Journal
    _provenance: Provenance | None
    _readers: Readers

    async def put_blob(self, data: bytes, role: str, media_type: str, deliver: bool = True) -> Blob:
        """Keep bytes beside the records; on the disk for good when this returns.

        Raises
        ------
        StoreError
            The disk refuses; nothing half written stays behind.
        """
        if self._closed:
            raise StoreError("证据库已关闭", "the store is closed")
        sha256 = await asyncio.to_thread(self._blobs.put, data)
        self._health.count("store.blobs")
        return Blob(role, media_type, sha256, len(data), deliver)

    async def append(self, draft: Draft) -> Record:
        """Seal a draft; numbered, in the signed tree, in the outbox and durable on return.

        Raises
        ------
        StoreError
            The disk refuses; nothing of it is kept.
        ValueError
            The draft can't be a statement.
        """
        stamped = self._stamped(draft)
        return await self._callers.write(lambda log: log.append(stamped))

    async def append_many(self, drafts: Sequence[Draft]) -> list[Record]:
        """Seal drafts in their order and in one commit: all of them, or none.

        Raises
        ------
        StoreError
            The disk refuses; nothing of it is kept.
        ValueError
            One of the drafts can't be a statement.
        """
        stamped = [self._stamped(draft) for draft in drafts]
        return await self._callers.write(lambda log: log.append_many(stamped))

    async def set_aside(self, draft: Draft) -> None:
        """Keep a draft on the disk until the database takes it; durable on return.

        Raises
        ------
        StoreError
            The disk refuses as well, or too many wait.
        """
        await asyncio.to_thread(self.waiting.keep, self._stamped(draft))

    async def take_next_aside(self) -> Record | None:
        """Seal the oldest draft that was set aside; None if it can't be read any more.

        Raises
        ------
        StoreError
            The disk refuses; the draft waits on.
        """
        draft = await asyncio.to_thread(self.waiting.oldest)
        if draft is None:
            return None
        record = await self._callers.write(lambda log: log.append_once(draft))
        await asyncio.to_thread(self.waiting.remove_oldest)
        return record

    def _stamped(self, draft: Draft) -> Draft:
        """The draft with where its time comes from, unless it says so itself."""
        time_us = draft.body.get("time_us")
        if self._provenance is None or not isinstance(time_us, int):
            return draft
        return replace(draft, body=self._provenance(time_us) | draft.body)

    async def acknowledge(self, receipt: Receipt) -> bool:
        """Take a receipt; true if it ended an open outbox entry.

        One that refuses, whose id is not that record's, or that the centre signed before it asked
        for the record once more, ends nothing and is counted.
        """
        return bool(await self.acknowledge_many([receipt]))

    async def acknowledge_many(self, receipts: Sequence[Receipt]) -> list[int]:
        """Take receipts in one commit; numbers of the records whose outbox entry they ended."""
        stored = [receipt for receipt in receipts if receipt.status == "stored"]
        ended = (
            await self._callers.write(lambda log: log.acknowledge_many(stored)) if stored else []
        )
        self._health.count("store.receipts", len(ended))
        self._health.count("store.receipts_without_entry", len(receipts) - len(ended))
        return ended

    async def note_attempts(self, indices: Sequence[int]) -> None:
        """Count one more try to deliver each of some records."""
        await self._callers.write(lambda log: log.note_attempts(indices))

    async def poison(self, index: int, reason: str) -> None:
        """Set a record aside that the centre will never take; it stays in the store."""
        await self._callers.write(lambda log: log.poison(index, reason))
        self._health.count("store.poisoned")

    async def keep_cosignature(self, size: int, time_s: int, line: str) -> bool:
        """Keep the witness's line of a checkpoint.

        False if there is one of that size already, or this log has no such checkpoint.
        """
        return await self._callers.write(lambda log: log.keep_cosignature(size, time_s, line))

    async def take_command(
        self, number: int, outcome: str, carry_out: Callable[[StationLog], Draft]
    ) -> bool:
        """Take a command: its number, what it does to the log and its statement, in one commit.

        False, with nothing done, if its number was taken or passed before.
        """

        def stated(log: StationLog) -> Draft:
            return self._stamped(carry_out(log))

        return await self._callers.write(lambda log: log.take_command(number, outcome, stated))

    async def erase_private(self, indices: Sequence[int]) -> int:
        """Erase the private parts of records; how many there were. The log stays verifiable."""
        await self._readers.run(lambda: self._journal.forget(indices))
        return await self._callers.write(lambda log: log.erase_private(indices))
