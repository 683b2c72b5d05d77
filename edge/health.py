"""Counters, gauges and states of the station: one object, handed in, no globals.

Every loss is counted here and nothing else decides by it; the page and the telemetry read a
snapshot. A state carries a sentence for people; a counter never goes down.
"""

from __future__ import annotations

import enum
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from edge.errors import NO_STEP, Text


class Level(enum.StrEnum):
    """How a part of the station is doing."""

    OK = "ok"
    WAITING = "waiting"
    """Starting, or quiet as expected."""
    WARNING = "warning"
    """Works, but somebody should look."""
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class State:
    """The state of one part since ``since_mono_ns`` of the monotonic clock."""

    level: Level
    text: Text
    since_mono_ns: int
    next_step: Text = NO_STEP
    """What a person should do about it, where anything is to be done."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A consistent copy of everything, for the page and for telemetry."""

    counters: dict[str, int]
    gauges: dict[str, float]
    states: dict[str, State]
    taken_mono_ns: int

    @property
    def worst(self) -> Level:
        """The worst level of any part."""
        order = (Level.OK, Level.WAITING, Level.WARNING, Level.DOWN)
        return max((s.level for s in self.states.values()), key=order.index, default=Level.WAITING)


class Health:
    """Thread-safe counters, gauges and states. Names are dotted: ``digitiser.D1.gaps``."""

    def __init__(
        self,
        mono_ns: Callable[[], int],
        listener: Callable[[str, State], None] | None = None,
    ) -> None:
        self._mono_ns = mono_ns
        self._listener = listener
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._gauges: dict[str, float] = {}
        self._states: dict[str, State] = {}

    def count(self, name: str, by: int = 1) -> None:
        """Add ``by`` (not negative) to a counter."""
        with self._lock:
            self._counters[name] += by

    def gauge(self, name: str, value: float) -> None:
        """Set a gauge to its newest value."""
        with self._lock:
            self._gauges[name] = value

    def state(
        self, part: str, level: Level, zh: str, en: str, *, next_step: Text = NO_STEP
    ) -> bool:
        """Set the state of a part; true if its level changed."""
        with self._lock:
            old = self._states.get(part)
            changed = old is None or old.level is not level
            since = self._mono_ns() if changed or old is None else old.since_mono_ns
            new = State(level, Text(zh, en), since, next_step)
            self._states[part] = new
        if changed and self._listener is not None:
            self._listener(part, new)
        return changed

    def snapshot(self) -> Snapshot:
        """Everything at one moment."""
        with self._lock:
            return Snapshot(
                dict(self._counters), dict(self._gauges), dict(self._states), self._mono_ns()
            )
