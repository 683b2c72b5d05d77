"""How a device lays out its flash: two boot records in turn, two slots for images.

A boot record is always written over the older of the two, so the newer one stands until the new
one is whole; its CRC tells. A slot has a page of marks, one byte a block, then the image: a mark is
written after its block, so what is marked was written to the end.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.update_image import BadImage, ImageHead, check_image, read_head, signer_of
from firmware_bridge.update_messages import HEAD_BYTES, Refusal
from simulator.firmware_flash import ERASED, Flash

_RECORD = struct.Struct("<IBBBBI")
_RECORD_BYTES = 16
_DONE = b"\0"


@dataclass(frozen=True, slots=True)
class BootRecord:
    """What the loader goes by.

    ``boots_left``: 0 for a program that is kept, else how often one on trial may yet start, and
    one. ``floor``: the lowest anti-rollback number that is taken. ``went_back``: the program in
    the other slot was on trial and was not confirmed.
    """

    number: int = 0
    active: int = 0
    boots_left: int = 0
    went_back: bool = False
    floor: int = 0

    def packed(self) -> bytes:
        """With its CRC."""
        raw = _RECORD.pack(self.number, self.active, self.boots_left, self.went_back, 0, self.floor)
        return raw + struct.pack("<I", zlib.crc32(raw))


class Slots:
    """A device's flash, as its loader sees it.

    Parameters
    ----------
    flash : Flash
        As large as `flash_bytes` says.
    block_bytes, blocks : int
        What a slot holds beside the head of an image.
    hardware : str
    keys : sequence of bytes
        Public keys that may sign images.
    """

    def __init__(
        self, flash: Flash, block_bytes: int, blocks: int, hardware: str, keys: Sequence[bytes]
    ) -> None:
        self.flash, self.block_bytes, self.blocks = flash, block_bytes, blocks
        self.hardware, self._keys = hardware, tuple(keys)

    @staticmethod
    def flash_bytes(block_bytes: int, blocks: int) -> int:
        """Size of the flash that these slots need."""
        return 2 * _RECORD_BYTES + 2 * (blocks + HEAD_BYTES + block_bytes * blocks)

    # --------------------------------------------------------------------------- boot records

    def record(self) -> BootRecord:
        """The newest boot record that is whole."""
        found = [record for at in (0, 1) if (record := self._record_at(at)) is not None]
        return max(found, key=lambda record: record.number, default=BootRecord())

    def write_record(self, record: BootRecord) -> BootRecord:
        """Make this the newest, in the place of the older one."""
        fresh = BootRecord(
            self.record().number + 1,
            record.active,
            record.boots_left,
            record.went_back,
            record.floor,
        )
        at = fresh.number % 2 * _RECORD_BYTES
        self.flash.erase(at, _RECORD_BYTES)
        self.flash.write(at, fresh.packed())
        return fresh

    def _record_at(self, place: int) -> BootRecord | None:
        raw = self.flash.read(place * _RECORD_BYTES, _RECORD_BYTES)
        number, active, boots_left, went_back, _, floor = _RECORD.unpack_from(raw)
        record = BootRecord(number, active, boots_left, bool(went_back), floor)
        return record if raw == record.packed() else None

    # ---------------------------------------------------------------------------------- slots

    def judge(self, head: bytes, floor: int) -> tuple[ImageHead | None, Refusal]:
        """What a head says, if its image may run here; else why not."""
        try:
            about = read_head(head)
            signer_of(head, self._keys)
        except BadImage as error:
            return None, error.refusal
        if about.hardware != self.hardware:
            return None, Refusal.HARDWARE
        if about.rollback < floor:
            return None, Refusal.DOWNGRADE
        if about.size_bytes > self.blocks * self.block_bytes:
            return None, Refusal.SIZE
        return about, Refusal.NONE

    def head(self, slot: int) -> bytes:
        """The first bytes of what lies in a slot."""
        return self.flash.read(self._head_at(slot), HEAD_BYTES)

    def image(self, slot: int, floor: int) -> bytes | None:
        """The image in a slot, if it proves itself and may run here."""
        about, _ = self.judge(self.head(slot), floor)
        if about is None:
            return None
        image = self.flash.read(self._head_at(slot), HEAD_BYTES + about.size_bytes)
        try:
            check_image(image, self._keys)
        except BadImage:
            return None
        return image

    def clear(self, slot: int, head: bytes) -> None:
        """Make room for an image. Its head comes last: while it is not whole, nothing is there,
        and while the old one is, no block is marked."""
        self.flash.erase(self._marks_at(slot), self.blocks)
        self.flash.erase(self._head_at(slot), HEAD_BYTES)
        self.flash.erase(self._head_at(slot) + HEAD_BYTES, self.blocks * self.block_bytes)
        self.flash.write(self._head_at(slot), head)

    def forget(self, slot: int) -> None:
        """Take the head of an image away."""
        self.flash.erase(self._marks_at(slot), self.blocks)
        self.flash.erase(self._head_at(slot), HEAD_BYTES)

    def received(self, slot: int) -> int:
        """How many blocks were written to the end, from the first."""
        marks = self.flash.read(self._marks_at(slot), self.blocks)
        return len(marks) - len(marks.lstrip(_DONE))

    def write_block(self, slot: int, number: int, data: bytes) -> None:
        """Write a block, then its mark."""
        at = self._head_at(slot) + HEAD_BYTES + number * self.block_bytes
        self.flash.write(at, data)
        self.flash.write(self._marks_at(slot) + number, _DONE)

    def install(self, image: bytes) -> None:
        """Put an image into the first slot, as the factory does."""
        self.clear(0, image[:HEAD_BYTES])
        program = image[HEAD_BYTES:]
        for number in range(-(-len(program) // self.block_bytes)):
            begin = number * self.block_bytes
            self.write_block(0, number, program[begin : begin + self.block_bytes])
        self.write_record(BootRecord(floor=read_head(image).rollback))

    def _marks_at(self, slot: int) -> int:
        size = self.blocks + HEAD_BYTES + self.block_bytes * self.blocks
        return 2 * _RECORD_BYTES + slot * size

    def _head_at(self, slot: int) -> int:
        return self._marks_at(slot) + self.blocks


def digest(data: bytes) -> bytes:
    """SHA-256, or zeros of what is not there."""
    blank = not data or data.count(ERASED) == len(data)
    return bytes(32) if blank else hashlib.sha256(data).digest()
