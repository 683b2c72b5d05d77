"""What is sent and answered as one: a case with its blobs, or a batch of other records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.evidence.batch import EnvelopeBatch
from edge.evidence.envelope import Envelope
from edge.evidence.seal import reopen
from edge.records import Blob

_NAMES_BLOBS = b'"deliver":true'
"""Stands so in canonical bytes where a blob goes along; inside a text its quotes are escaped."""


@dataclass(slots=True, eq=False)
class Parcel:
    """Records under way together; ``open`` are those that the centre has not answered."""

    indices: tuple[int, ...]
    batch: EnvelopeBatch | None = None
    """None: one record with the proof of its own commit."""
    blobs: tuple[Blob, ...] = ()
    is_joint: bool = False
    """The batch goes with one proof for all: it was made to fit so."""
    is_case: bool = False
    handed_over: bool = False
    """The broker has acknowledged it."""
    open: set[int] = field(init=False)
    _answered: asyncio.Future[bool] | None = None
    _is_out: bool = False

    def __post_init__(self) -> None:
        self.open = set(self.indices)

    @property
    def name(self) -> str:
        """For people who look at the tasks."""
        return f"uplink-{self.indices[0]}-{self.indices[-1]}"

    def begin_round(self) -> asyncio.Future[bool]:
        """A future that tells the end of one sending: answered, or to be sent again."""
        self._answered, self._is_out = asyncio.get_running_loop().create_future(), False
        if not self.open:
            self._answered.set_result(True)
        return self._answered

    def goes_out(self) -> None:
        """It is handed to the line: from now on an answer can be one to this round."""
        self._is_out = True

    def settle(self, index: int) -> None:
        """The centre has answered for one of the records."""
        self.open.discard(index)
        if not self.open:
            self._tell(answered=True)

    def send_again(self) -> None:
        """The centre lacks a blob of it."""
        if self._is_out:
            self._tell(answered=False)

    def _tell(self, *, answered: bool) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_result(answered)


def parcels_of(batch: EnvelopeBatch, *, is_joint: bool) -> Iterator[Parcel]:
    """A batch as it is sent: what has blobs to go before it goes by itself, all else at once."""
    plain = tuple(e for e in batch.envelopes if _NAMES_BLOBS not in e.record_bytes)
    if plain:
        yield _parcel(batch.checkpoint_note, plain, is_joint)
    for envelope in batch.envelopes:
        if _NAMES_BLOBS in envelope.record_bytes:
            blobs = tuple(b for b in reopen(envelope.record_bytes).blobs if b.deliver)
            yield _parcel(batch.checkpoint_note, (envelope,), is_joint, blobs)


def _parcel(
    note: str, envelopes: tuple[Envelope, ...], is_joint: bool, blobs: tuple[Blob, ...] = ()
) -> Parcel:
    batch = EnvelopeBatch(note, envelopes)
    return Parcel(batch.indices, batch, blobs, is_joint)
