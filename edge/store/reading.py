"""The read side of a store, for the page, the uplink and the desk; it waits for no writer."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edge.errors import IntegrityError, why_zh
from edge.evidence.batch import EnvelopeBatch
from edge.evidence.receipt import Receipt
from edge.records import Blob, Record
from edge.store import proofs, queries
from edge.store.blobs import BlobDirectory
from edge.store.growth import Growth
from edge.store.queries import DeliveryState, Head, OutboxEntry, OutboxSummary
from edge.store.readers import Readers
from edge.store.standing import Standing, standing


class Reading:
    """Questions to a store; what opens it sets the attributes."""

    _readers: Readers
    _growth: Growth
    _blobs: BlobDirectory

    async def outbox(self, limit: int, exclude: Collection[int] = ()) -> list[OutboxEntry]:
        """What is to be sent next, urgent first; ``exclude`` is what is on its way already."""
        return await self._readers.ask(lambda c: queries.outbox(c, limit, exclude))

    async def outbox_summary(self) -> OutboxSummary:
        """How much waits for the centre, and since when."""
        return await self._readers.ask(queries.outbox_summary)

    async def envelope(self, index: int) -> bytes:
        """What is sent for a record: the same bytes whenever it is asked for.

        Raises
        ------
        IntegrityError
            There is no such record.
        """
        try:
            return (await self._readers.ask(lambda c: proofs.envelope(c, index))).encode()
        except LookupError as error:
            raise _unproven(f"{index}", error) from error

    async def batch(
        self, limit: int, max_bytes: int, exclude: Collection[int] = (), *, joint: bool = False
    ) -> EnvelopeBatch | None:
        """The oldest records that wait and are no cases, under the newest checkpoint.

        Encoded, ``joint`` or not, it has at most ``max_bytes``, unless one record alone is larger;
        None where nothing waits.
        """
        return await self._readers.ask(
            lambda c: proofs.batch(c, limit, max_bytes, exclude, joint=joint)
        )

    async def consistency(self, old: int, new: int) -> list[bytes]:
        """Proof that the log of ``old`` records is the beginning of that of ``new``.

        Raises
        ------
        IntegrityError
            The log is not that long.
        """
        try:
            return await self._readers.ask(lambda c: proofs.consistency(c, old, new))
        except (LookupError, ValueError) as error:
            raise _unproven(f"{old}..{new}", error) from error

    async def checkpoint_note(self, size: int) -> str | None:
        """The signed checkpoint of a size, or None where none was made of it."""
        return await self._readers.ask(lambda c: proofs.checkpoint_note(c, size))

    async def cosigned_size(self) -> int:
        """Size of the newest checkpoint that the witness cosigned; 0 if none."""
        return await self._readers.ask(proofs.cosigned_size)

    async def standing(self) -> Standing:
        """What the centre vouched for, and what it refused."""
        return await self._readers.ask(standing)

    async def latest(
        self,
        kind: str | None = "vehicle",
        lane: str | None = None,
        limit: int = 20,
        before: int | None = None,
    ) -> list[Record]:
        """Records below index ``before``, newest first; None stands for any kind or lane."""
        return await self._readers.ask(lambda c: queries.latest(c, kind, lane, limit, before))

    async def since(self, kind: str, time_us: int, *, but_verdict: str) -> list[Record]:
        """Records of a kind since a time, in their order, but for those of one verdict."""
        return await self._readers.ask(lambda c: queries.since(c, kind, time_us, but_verdict))

    async def record(self, index: int) -> Record | None:
        """One record, or None."""
        return await self._readers.ask(lambda c: queries.record(c, index))

    async def deliverable_blobs(self, index: int) -> list[Blob]:
        """Blobs that go to the centre with a record."""
        record = await self.record(index)
        return [blob for blob in record.blobs if blob.deliver] if record else []

    async def delivery(self, index: int) -> DeliveryState:
        """How far the delivery of a record is."""
        return await self._readers.ask(lambda c: queries.delivery(c, index))

    async def is_awaited(self, receipt: Receipt) -> bool:
        """Whether a receipt answers a record that waits for its answer."""
        return await self._readers.ask(lambda c: queries.is_awaited(c, receipt))

    async def head(self) -> Head | None:
        """The newest checkpoint with its signed note, or None before the first record."""
        return await self._readers.ask(queries.head)

    async def counts_since(self, time_us: int) -> dict[str, int]:
        """Records by kind and vehicles by verdict (``vehicle.over``) from ``time_us`` on."""
        return await self._readers.ask(lambda c: queries.counts_since(c, time_us))

    @property
    def size(self) -> int:
        """Number of records in the log."""
        return self._growth.size

    def blob_path(self, sha256: str) -> Path:
        """Where the bytes of a blob are kept."""
        return self._blobs.path(sha256)

    async def wait_appended(self, after_index: int) -> int:
        """Wait until the log holds a record past ``after_index``; gives the newest index.

        Raises
        ------
        StoreError
            The store was closed meanwhile.
        """
        return await self._growth.wait(after_index)


def _unproven(what: str, cause: Exception) -> IntegrityError:
    return IntegrityError(
        f"记录 {what} 的证明不完整{why_zh(cause)}",
        f"the proof of record {what} is incomplete: {cause}",
        step="envelope",
    )
