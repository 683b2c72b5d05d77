"""The host's side of an update: what the device says in, words and steps out. No port, no clock.

::

    OFFER ──> blocks ──> SWITCH ──> (device restarts) ──> on trial ──> CONFIRM
      └─ refused          └─ damaged: again                 └─ not confirmed in time: rolled back

The device is the truth. Every decision is made from its newest `Firmware`, so that a host that was
killed, a device that lost its power and a cable that was pulled all end in the same place: the
image is offered again, and the device says from which block on it wants it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from firmware_bridge.messages import Hello
from firmware_bridge.update_image import image_digest, read_head
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

__all__ = ["HEALTHY_S", "Step", "StepName", "UpdateHost"]

WINDOW = 4
"""Blocks on their way: enough that a device never waits for the host, and few to send again."""

REPEAT_S = 1.0
"""Without an answer for so long, the host says it again."""

HEALTHY_S = 5.0
"""A program on trial is kept after so many seconds of samples without a hole. The samples are
counted: time in which none came proves nothing, be it that they ended or that the host stood still.
"""

UNSUPPORTED_S = 10.0
"""A device that says HELLO for so long and never FIRMWARE knows nothing of updates."""

MOST_TRANSFERS = 3
"""An image that arrives damaged so often is not sent again."""

StepName: TypeAlias = Literal[
    "offered",
    "resumed",
    "received",
    "switching",
    "trial",
    "confirmed",
    "refused",
    "rolled-back",
    "damaged",
    "unsupported",
]

ENDS: frozenset[StepName] = frozenset({"confirmed", "refused", "rolled-back", "unsupported"})


@dataclass(frozen=True, slots=True)
class Step:
    """Something worth a statement; ``block`` is how many the device had, ``refusal`` why not."""

    name: StepName
    block: int
    blocks: int
    refusal: Refusal = Refusal.NONE


class UpdateHost:
    """One image on its way to one device.

    Parameters
    ----------
    image : bytes
        The signed image; that it is whole and who signed it was checked before.
    token : callable
        Numbers that do not repeat, 1 to 2**32 - 1.
    switched : bool
        An earlier run of the host got as far as SWITCH with this image.

    Attributes
    ----------
    ended : StepName or None
        How it ended.
    """

    def __init__(self, image: bytes, token: Callable[[], int], *, switched: bool = False) -> None:
        self._head, self._program = image[:HEAD_BYTES], image[HEAD_BYTES:]
        self.about = read_head(self._head)
        self.image_sha256 = image_digest(image)
        self._head_sha256 = hashlib.sha256(self._head).digest()
        self._draw = token
        self._token = token()
        self._switched = switched
        self._device: Firmware | None = None
        self._offered = False
        self._transfers = 0
        self._sent_block = self._acked_block = 0
        self._said_s: float | None = None
        self._hello_s: float | None = None
        self._healthy_s = 0.0
        self._version = ""
        self._steps: list[Step] = []
        self._last: StepName | None = None
        self.ended: StepName | None = None

    # -------------------------------------------------------------------------- what is heard

    def hello(self, hello: Hello, now_s: float) -> None:
        """The device named itself: at its start, and every second."""
        self._version = hello.firmware
        self._hello_s = now_s if self._hello_s is None else self._hello_s
        if self._device is None and now_s - self._hello_s >= UNSUPPORTED_S:
            self._step("unsupported")

    def restarted(self) -> None:
        """The device began anew, or the line did."""
        self._said_s = self._hello_s = None
        self._healthy_s = 0.0
        self._sent_block = self._acked_block
        self._device = None

    def samples(self, lasts_s: float, *, whole: bool) -> None:
        """Samples of ``lasts_s`` came; ``whole`` says that they continue those before them."""
        self._healthy_s = lasts_s + (self._healthy_s if whole else 0.0)

    def firmware(self, told: Firmware, now_s: float) -> None:
        """The device said how far it is."""
        self._device = told
        if self.ended:
            return
        if told.image_sha256 == self.image_sha256:
            self._step("trial" if told.stage is Stage.TRIAL else "confirmed")
        elif self._switched and self._was_rolled_back(told):
            self._step("rolled-back", Refusal.ROLLED_BACK)
        elif told.token != self._token:
            self._offered = False
        else:
            self._answered(told, now_s)

    def _was_rolled_back(self, told: Firmware) -> bool:
        ours = told.head_sha256 == self._head_sha256
        return ours and told.refusal is Refusal.ROLLED_BACK

    def _answered(self, told: Firmware, now_s: float) -> None:
        """An answer to our OFFER, or to what followed it."""
        if told.refusal is Refusal.DIGEST:
            self._transfers += 1
            self._step("damaged", told.refusal)
            self._token, self._offered = self._draw(), False
            if self._transfers >= MOST_TRANSFERS:
                self._step("refused", told.refusal)
        elif told.refusal is Refusal.BUSY:
            self._token, self._offered = self._draw(), False
        elif told.refusal is not Refusal.NONE:
            self._step("refused", told.refusal)
        elif not self._offered:
            self._offered = True
            self._sent_block = self._acked_block = told.next_block
            self._said_s = None
            self._step("resumed" if told.next_block else "offered")
        elif told.next_block > self._acked_block:
            self._acked_block = told.next_block
            self._sent_block = max(self._sent_block, told.next_block)
            self._said_s = None if told.stage is Stage.READY else now_s

    # -------------------------------------------------------------------------- what is said

    def words(self, now_s: float) -> list[UpdateWord]:
        """What to send now; device id and sequence are filled in by the session."""
        told = self._device
        if self.ended or told is None:
            return []
        if self._offered and told.stage is Stage.RECEIVING:
            return self._blocks(told, now_s)
        if not self._is_due(now_s):
            return []
        if told.image_sha256 == self.image_sha256:
            return [Confirm(0, 0, 0, self.image_sha256)] if self._is_healthy() else []
        if not self._offered:
            return [Offer(0, 0, 0, self._token, self._head)]
        if told.stage is Stage.READY:
            return self._switch()
        return []

    def _is_due(self, now_s: float) -> bool:
        """Whether nothing was said lately; true counts as saying it."""
        if self._said_s is not None and now_s - self._said_s < REPEAT_S:
            return False
        self._said_s = now_s
        return True

    def _is_healthy(self) -> bool:
        """The program on trial names itself as its image does, and its samples flow."""
        return self._healthy_s >= HEALTHY_S and self._version == self.about.version

    def _switch(self) -> list[UpdateWord]:
        if self._last != "switching":
            self._step("received")
            self._step("switching")
        self._switched = True
        return [Switch(0, 0, 0, self._head_sha256)]

    def _blocks(self, told: Firmware, now_s: float) -> list[UpdateWord]:
        """Blocks up to the window; all that were not acknowledged again if nothing came of them."""
        if self._said_s is None or now_s - self._said_s >= REPEAT_S:
            self._sent_block = self._acked_block
        end = min(self._acked_block + WINDOW, self.blocks)
        numbers = range(self._sent_block, end)
        if numbers:
            self._sent_block, self._said_s = end, now_s
        size = told.block_bytes
        return [
            ImageBlock(0, 0, 0, number, self._program[number * size : (number + 1) * size])
            for number in numbers
        ]

    # ------------------------------------------------------------------------------- progress

    @property
    def blocks(self) -> int:
        """Blocks of the image, as large as the device wants them; 0 before it has said so."""
        size = self._device.block_bytes if self._device else 0
        return -(-len(self._program) // size) if size else 0

    @property
    def received(self) -> int:
        """Blocks that the device has acknowledged."""
        return self._acked_block

    def take_steps(self) -> list[Step]:
        """Steps since the last call, in order."""
        steps, self._steps = self._steps, []
        return steps

    def _step(self, name: StepName, refusal: Refusal = Refusal.NONE) -> None:
        """Note a step, once for as long as it lasts."""
        if name in ENDS:
            self.ended = self.ended or name
        if name != self._last:
            self._last = name
            self._steps.append(Step(name, self._acked_block, self.blocks, refusal))
