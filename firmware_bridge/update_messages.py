"""What a host and a digitiser say to each other about the digitiser's program.

They travel in the frames of ``stream`` like all others; a device or a host that does not know them
drops and counts them. The device is the truth: the host goes by `Firmware` alone, so that either
side may start anew at any moment.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "HEAD_BYTES",
    "Confirm",
    "Firmware",
    "ImageBlock",
    "Offer",
    "Refusal",
    "Stage",
    "Switch",
    "UpdateWord",
]

HEAD_BYTES = 192
"""Header and signature of an image; the program follows."""


class Stage(enum.IntEnum):
    """How far a device is with an image."""

    IDLE = 0
    """It runs its program, and nothing else was offered since it started."""
    RECEIVING = 1
    """It takes blocks of the image that was offered."""
    READY = 2
    """All blocks are there; SWITCH makes it check and start them."""
    TRIAL = 3
    """It runs a new program on trial: without CONFIRM in time it goes back."""
    EMPTY = 4
    """No program proves itself; only the loader runs, and takes an image."""


class Refusal(enum.IntEnum):
    """Why a device refuses the image that was offered last."""

    NONE = 0
    FORM = 1
    SIGNATURE = 2
    HARDWARE = 3
    DOWNGRADE = 4
    """Its anti-rollback number is below the device's."""
    SIZE = 5
    DIGEST = 6
    """What arrived is not what was signed."""
    ROLLED_BACK = 7
    """It ran on trial and was not confirmed; the program before it runs again."""
    BUSY = 8
    """A program is on trial."""


@dataclass(frozen=True, slots=True)
class Firmware:
    """The device says what it runs, and how far it is with another image: after every HELLO, and
    in answer to every word about an update.

    ``image_sha256`` names the running image (zeros: none proves itself), ``head_sha256`` the first
    192 bytes of the image offered last (zeros: none), ``token`` is that of the last OFFER since
    the device started, or 0.
    """

    device_id: int
    sequence: int
    sample: int
    stage: Stage
    refusal: Refusal
    block_bytes: int
    next_block: int
    rollback: int
    token: int
    image_sha256: bytes
    head_sha256: bytes
    hardware: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Host to device: the first 192 bytes of an image; ``token`` is any number but 0."""

    device_id: int
    sequence: int
    sample: int
    token: int
    head: bytes


@dataclass(frozen=True, slots=True)
class ImageBlock:
    """Host to device: block ``number``, from 0, of the program; only the last may be shorter."""

    device_id: int
    sequence: int
    sample: int
    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Switch:
    """Host to device: check the image with this head, and start it on trial."""

    device_id: int
    sequence: int
    sample: int
    head_sha256: bytes


@dataclass(frozen=True, slots=True)
class Confirm:
    """Host to device: the program on trial does its work; keep it."""

    device_id: int
    sequence: int
    sample: int
    image_sha256: bytes


UpdateWord: TypeAlias = Offer | ImageBlock | Switch | Confirm
"""What a host says about an update."""
