"""What a value must stand before it is believed: its range, and how fast the world can change.

A reply can be whole, in time and of the right length, and still be nonsense: two devices with one
address, a device that starts anew, a register map of the wrong firmware. A value that jumped faster
than its ``rate`` allows is held back; if the next reading repeats it, it is the world that jumped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.modbus_map import Register

__all__ = ["Plausibility"]


@dataclass(frozen=True, slots=True)
class _Seen:
    value: float
    at_ns: int


class Plausibility:
    """Judges the values of one device; counts in ``count(name)``: ``out_of_range``, ``jumps``."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._believed: dict[str, _Seen] = {}
        self._doubted: dict[str, _Seen] = {}

    def forget(self) -> None:
        """What comes next may be anything: the device was told to zero, or was away."""
        self._believed.clear()
        self._doubted.clear()

    def believes(self, register: Register, value: float | None, now_ns: int) -> bool:
        """Whether a value of a register may be handed on."""
        if value is None:
            self._count("out_of_range")
            return False
        name, new = register.name, _Seen(value, now_ns)
        near = [_near(register, old, new) for old in self._known(name)]
        if near and not any(near):
            self._doubted[name] = new
            self._count("jumps")
            return False
        self._believed[name] = new
        self._doubted.pop(name, None)
        return True

    def _known(self, name: str) -> list[_Seen]:
        return [seen[name] for seen in (self._believed, self._doubted) if name in seen]


def _near(register: Register, old: _Seen, new: _Seen) -> bool:
    if math.isinf(register.rate):
        return True
    return abs(new.value - old.value) <= register.rate * (new.at_ns - old.at_ns) / 1e9
