"""What time it is at the centre, for a station whose own clock nobody vouches for."""

from __future__ import annotations

import time
from collections.abc import Callable


class CentreTime:
    """A lower bound of the centre's time: what it signed last, and what has gone by since."""

    def __init__(self, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._mono_s = mono_s
        self._heard: tuple[int, float] | None = None

    def heard(self, time_us: int) -> None:
        """The centre has signed this time."""
        now_us = self.now_us()
        if now_us is None or time_us > now_us:
            self._heard = (time_us, self._mono_s())

    def now_us(self) -> int | None:
        """Its time, no later than that; None where it has signed none."""
        if self._heard is None:
            return None
        time_us, at_s = self._heard
        return time_us + int((self._mono_s() - at_s) * 1e6)
