"""What goes wrong at a station, by plan: on the sensors, on the lines, in the devices.

A fault holds from ``from_s`` to ``to_s`` of the world's time. Signal faults change what a
digitiser measures; line faults change what its bytes meet on their way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from edge.records import ADC_FULL_SCALE, Int32s

Signal = Literal["dead", "stuck_high", "offset", "noisy"]
Separator = Literal["separator_stuck", "separator_silent"]
Line = Literal["cut", "flip", "garbage", "restart", "lose_frames"]


class Fault(BaseModel):
    """One planned fault.

    ========================  =================================================================
    kind                      effect on ``device``
    ========================  =================================================================
    ``dead``                  ``channel`` gives zero: the cell is cut off
    ``stuck_high``            ``channel`` stands at the end of its converter
    ``offset``                ``channel`` jumps by ``size`` counts
    ``noisy``                 ``channel`` gets noise of ``size`` counts
    ``separator_stuck``       inputs stay active: no edge leaves the device
    ``separator_silent``      inputs stay quiet: no edge leaves the device
    ``cut``                   the line is unplugged
    ``flip``                  one bit in about ``1 / size`` bytes is turned over
    ``garbage``               random bytes come before each frame
    ``lose_frames``           a frame is lost with probability ``size``
    ``restart``               the device starts anew at ``from_s``, its counter at zero
    ========================  =================================================================
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Signal | Separator | Line
    device: str
    channel: int = Field(ge=0, default=0)
    from_s: float = Field(ge=0, default=0.0)
    to_s: float = math.inf
    size: float = Field(ge=0, default=0.0)

    def holds(self, time_s: float) -> bool:
        """Whether it is on at a time."""
        return self.from_s <= time_s < self.to_s


def spoil_samples(
    counts: Int32s, time_s: np.ndarray, faults: Iterable[Fault], chance: np.random.Generator
) -> None:
    """Let signal faults change counts (n, channels), sampled at ``time_s`` (n,), in place."""
    for fault in faults:
        on = (time_s >= fault.from_s) & (time_s < fault.to_s)
        column = counts[:, fault.channel]
        if fault.kind == "dead":
            column[on] = 0
        elif fault.kind == "stuck_high":
            column[on] = ADC_FULL_SCALE
        elif fault.kind == "offset":
            column[on] += round(fault.size)
        elif fault.kind == "noisy":
            noise = chance.normal(0, fault.size, len(counts))
            column[on] += np.rint(noise[on]).astype(np.int32)
    np.clip(counts, -ADC_FULL_SCALE - 1, ADC_FULL_SCALE, out=counts)


def spoil_frame(
    frame: bytes, faults: Iterable[Fault], time_s: float, chance: np.random.Generator
) -> bytes:
    """What is left of a frame on its way to the host."""
    for fault in faults:
        if not fault.holds(time_s):
            continue
        if fault.kind == "cut" or (fault.kind == "lose_frames" and chance.random() < fault.size):
            return b""
        if fault.kind == "flip":
            frame = _flip(frame, fault.size, chance)
        elif fault.kind == "garbage":
            frame = chance.bytes(int(chance.integers(1, 40))) + frame
    return frame


def _flip(frame: bytes, rate: float, chance: np.random.Generator) -> bytes:
    data = np.frombuffer(frame, np.uint8).copy()
    hit = chance.random(len(data)) < rate
    data[hit] ^= (1 << chance.integers(0, 8, np.count_nonzero(hit))).astype(np.uint8)
    return data.tobytes()
