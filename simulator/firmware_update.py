"""The loader of a simulated digitiser: which program it starts, and what it answers to an update.

It trusts nothing that it did not check itself, at every start: signature, hardware, hash, and the
anti-rollback number. A new program is on trial until the host confirms it; a start too many, or the
end of its time, and the loader goes back to the program before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from firmware_bridge.update_image import ImageHead, read_head
from firmware_bridge.update_messages import (
    HEAD_BYTES,
    Confirm,
    Firmware,
    ImageBlock,
    Offer,
    Refusal,
    Stage,
    Switch,
    UpdateWord,
)
from simulator.firmware_slots import BootRecord, Slots, digest

TRIAL_S = 30.0
"""A program on trial has so long to be confirmed."""

TRIAL_STARTS = 3
"""And so many starts: a flicker of the power is no fault of the program."""


class Loader:
    """What stands before the program; made anew at every start of the device.

    Attributes
    ----------
    image : bytes or None
        The image that runs; None where none proves itself.
    restarts : bool
        The device is to start anew.
    """

    def __init__(self, slots: Slots, mono_s: Callable[[], float]) -> None:
        self._slots, self._mono_s = slots, mono_s
        self._started_s = mono_s()
        self._token = 0
        self._offered: ImageHead | None = None
        self._head = b""
        self._refusal = Refusal.NONE
        self.restarts = False
        self._record, self.image = self._start()
        if self._record.went_back:
            self._refusal = Refusal.ROLLED_BACK
            self._head = slots.head(self._spare)

    def _start(self) -> tuple[BootRecord, bytes | None]:
        """Choose the program; a start of one on trial is counted before it runs."""
        slots, record = self._slots, self._slots.record()
        image = slots.image(record.active, record.floor)
        if record.boots_left > 1 and image is not None:
            return slots.write_record(replace(record, boots_left=record.boots_left - 1)), image
        if image is not None and not record.boots_left:
            return record, image
        other = slots.image(1 - record.active, record.floor)
        if other is None:  # nothing to go back to: rather an unconfirmed program than none
            return replace(record, boots_left=0), image
        return self._go_back(record), other

    def _go_back(self, record: BootRecord) -> BootRecord:
        back = replace(record, active=1 - record.active, boots_left=0, went_back=True)
        return self._slots.write_record(back)

    @property
    def about(self) -> ImageHead | None:
        """What the running image says of itself."""
        return read_head(self.image[:HEAD_BYTES]) if self.image else None

    @property
    def _spare(self) -> int:
        return 1 - self._record.active

    @property
    def _on_trial(self) -> bool:
        return self._record.boots_left > 0

    def tick(self) -> None:
        """See whether the time of a program on trial is over."""
        if self._on_trial and not self.restarts and self._mono_s() - self._started_s >= TRIAL_S:
            self._record = self._go_back(self._record)
            self.restarts = True

    def obey(self, word: UpdateWord) -> None:
        """Do what the host says, as far as it proves itself."""
        if self.restarts:
            return
        match word:
            case Offer():
                self._offer(word)
            case ImageBlock():
                self._block(word)
            case Switch():
                self._switch(word)
            case Confirm():
                self._confirm(word)

    def _offer(self, word: Offer) -> None:
        self._token, self._head, self._offered = word.token, word.head, None
        if self._on_trial:
            self._refusal = Refusal.BUSY
            return
        about, self._refusal = self._slots.judge(word.head, self._record.floor)
        if about is None:
            return
        if self._slots.head(self._spare) != word.head:
            self._slots.clear(self._spare, word.head)
        self._offered = about

    def _block(self, word: ImageBlock) -> None:
        if self._offered is None or word.number != self._slots.received(self._spare):
            return
        begin = word.number * self._slots.block_bytes
        if len(word.data) == min(self._slots.block_bytes, self._offered.size_bytes - begin):
            self._slots.write_block(self._spare, word.number, word.data)

    def _switch(self, word: Switch) -> None:
        if self._offered is None or word.head_sha256 != digest(self._head):
            return
        if self._slots.image(self._spare, self._record.floor) is None:
            self._slots.forget(self._spare)
            self._offered, self._refusal = None, Refusal.DIGEST
            return
        self._record = self._slots.write_record(
            replace(self._record, active=self._spare, boots_left=TRIAL_STARTS + 1, went_back=False)
        )
        self.restarts = True

    def _confirm(self, word: Confirm) -> None:
        """Keep the program; only now older ones are barred, for until now one was needed."""
        about = self.about
        if not self._on_trial or about is None or word.image_sha256 != digest(self.image or b""):
            return
        floor = max(self._record.floor, about.rollback)
        self._record = self._slots.write_record(replace(self._record, boots_left=0, floor=floor))

    def _stage(self) -> Stage:
        if self._offered is not None:
            return Stage.READY if self._is_complete(self._offered) else Stage.RECEIVING
        if self.image is None:
            return Stage.EMPTY
        return Stage.TRIAL if self._on_trial else Stage.IDLE

    def _is_complete(self, about: ImageHead) -> bool:
        blocks = -(-about.size_bytes // self._slots.block_bytes)
        return self._slots.received(self._spare) >= blocks

    def report(self, device_id: int, sequence: int, sample: int) -> Firmware:
        """What the device says of itself now."""
        return Firmware(
            device_id,
            sequence,
            sample,
            self._stage(),
            self._refusal,
            self._slots.block_bytes,
            self._slots.received(self._spare) if self._offered else 0,
            self._record.floor,
            self._token,
            digest(self.image or b""),
            digest(self._head),
            self._slots.hardware,
        )
