"""What the uplink remembers of records that did not get through, and when they may go again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable

_LONGEST_REST_S = 300.0
_MOST_RESTING = 5_000
"""Beyond this all are asked again: the centre must have been away for days."""
_BREAKS_BEFORE_REST = 3


class Patience:
    """Rests, longer each time and spread, so that they do not all come back at one moment."""

    def __init__(self, first_s: float, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._first_s = first_s
        self._mono_s = mono_s
        self._resting: dict[int, float] = {}
        self._misses: Counter[int] = Counter()
        self._breaks: Counter[int] = Counter()

    def resting(self) -> set[int]:
        """Records that are not to be sent now."""
        now_s = self._mono_s()
        if len(self._resting) > _MOST_RESTING:
            self.wake_all()
        for index in [i for i, until_s in self._resting.items() if until_s <= now_s]:
            del self._resting[index]
        return set(self._resting)

    def next_s(self) -> float:
        """Seconds until the first of them is due."""
        now_s = self._mono_s()
        return max(0.0, min(self._resting.values(), default=now_s + _LONGEST_REST_S) - now_s)

    def sent_before(self, indices: Iterable[int]) -> int:
        """How many of these went without an answer before."""
        return sum(1 for index in indices if index in self._misses)

    def missed(self, indices: Iterable[int]) -> None:
        """No receipt came in time."""
        for index in indices:
            self._misses[index] += 1
            self._rest(index, self._misses[index])

    def broke(self, indices: Iterable[int]) -> None:
        """The line was lost while these were being handed to it."""
        self._breaks.update(indices)

    def on_new_line(self) -> None:
        """All may go again, but those under which the line breaks time and again go last."""
        self.wake_all()
        for index, breaks in self._breaks.items():
            if breaks >= _BREAKS_BEFORE_REST:
                self._rest(index, breaks - _BREAKS_BEFORE_REST)

    def wake_all(self) -> None:
        """No record is at fault: all may go again at once."""
        self._resting.clear()

    def forget(self, indices: Iterable[int]) -> None:
        """These have ended."""
        for index in indices:
            for memory in (self._resting, self._misses, self._breaks):
                memory.pop(index, None)

    def _rest(self, index: int, times: int) -> None:
        longest_s = min(_LONGEST_REST_S, self._first_s * 2.0 ** min(times, 16))
        self._resting[index] = self._mono_s() + longest_s * random.uniform(0.5, 1.0)
