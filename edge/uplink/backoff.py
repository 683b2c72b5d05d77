"""When to try again: full jitter, so that a thousand stations do not come back at one moment.

The wait is anything between nothing and a bound that doubles with every failure (Brooker,
"Exponential Backoff and Jitter", 2015); a success sets the bound back.
"""

from __future__ import annotations

import random

FIRST_S = 0.5
LONGEST_S = 60.0


class Backoff:
    """Waits between failures."""

    def __init__(self, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def bound_s(self) -> float:
        """The longest that the next wait may be."""
        return min(self._longest_s, self._first_s * 2.0 ** min(self._failures, 32))

    def next_s(self) -> float:
        """How long to wait after one more failure."""
        wait_s = random.uniform(0.0, self.bound_s())
        self._failures += 1
        return wait_s

    def succeeded(self) -> None:
        """Something got through."""
        self._failures = 0
