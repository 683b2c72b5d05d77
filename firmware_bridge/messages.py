"""What a digitiser and its host say to each other; ``stream`` puts it into bytes and back.

Every message begins with the header's fields: number of the device on its line (u16), sequence
number of the sender's frames (u32), and the device's counter of conversions (u64).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.update_messages import Firmware, UpdateWord

MAX_CHANNELS = 32
MAX_INPUTS = 32

Counts: TypeAlias = NDArray[np.int32]
Edge: TypeAlias = tuple[int, int, bool]
"""An edge of a digital input: sample, number of the input, active."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The device names itself: at START and every second."""

    device_id: int
    sequence: int
    sample: int
    serial: str
    model: str
    firmware: str
    channels: int
    rate_hz: float
    newton_per_count: float
    boot_id: int


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Converter counts, int32 (n, channels), read-only; ``sample`` counts the first row.

    ``frames`` of one length that came one after another without a gap may stand here as one;
    ``sequence`` is that of the first.
    """

    device_id: int
    sequence: int
    sample: int
    counts: Counts
    frames: int = 1

    def apart(self) -> list[Samples]:
        """One for each frame."""
        step = len(self.counts) // self.frames
        return [
            Samples(
                self.device_id,
                (self.sequence + i) % (1 << 32),
                self.sample + i * step,
                self.counts[i * step : (i + 1) * step],
            )
            for i in range(self.frames)
        ]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Edges of the digital inputs, samples not falling; sent before the samples they lie in."""

    device_id: int
    sequence: int
    sample: int
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """How the device is doing: every second. ``lost_samples`` counts since the device started."""

    device_id: int
    sequence: int
    sample: int
    temperature_c: float
    supply_v: float
    saturated_mask: int
    lost_samples: int
    inputs_mask: int


@dataclass(frozen=True, slots=True)
class Start:
    """Host to device: say HELLO, then send samples."""

    device_id: int
    sequence: int
    sample: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Host to device: send no more samples."""

    device_id: int
    sequence: int
    sample: int


@dataclass(frozen=True, slots=True)
class Zero:
    """Host to device: take the present level of the channels in the mask as zero."""

    device_id: int
    sequence: int
    sample: int
    channel_mask: int


@dataclass(frozen=True, slots=True)
class Time:
    """Host to device: the host's UTC, for the device's own log; samples are never stamped by it."""

    device_id: int
    sequence: int
    sample: int
    utc_ns: int


Message: TypeAlias = (
    Hello | Samples | Inputs | Status | Start | Stop | Zero | Time | Firmware | UpdateWord
)
