"""How much of a bus a device may waste: a dead one must cost the others next to nothing.

Whatever a device costs without giving an answer is its debt. Debt is forgiven at ``SHARE`` of all
time, and a device in debt is not asked. So nothing that a device does, being dead, answering every
second time, answering rubbish, can take more of the bus than ``BURST_TIMEOUTS`` timeouts at once
and ``SHARE`` in the long run. A device that once answered is looked for with a short wait, and with
its full timeout every ``FULL_LOOKS`` looks, in case that it has become slow.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["BURST_TIMEOUTS", "FULL_LOOKS", "SHARE", "Budget"]

SHARE = 0.02
BURST_TIMEOUTS = 1.2
FULL_LOOKS = 8
_SLOWER = 4.0
_FADES = 0.98
_SHORTEST_S = 0.03


class Budget:
    """The budget of one device.

    Parameters
    ----------
    timeout_s : float
        Longest wait for an answer.
    mono_ns : callable
        The monotonic clock.
    """

    def __init__(self, timeout_s: float, mono_ns: Callable[[], int]) -> None:
        self._timeout_s = timeout_s
        self._mono_ns = mono_ns
        self._debt_s = 0.0
        self._as_of_ns = mono_ns()
        self._slowest_s: float | None = None
        self._failures = 0

    @property
    def wait_s(self) -> float:
        """How long the device must not be asked; 0 if it may."""
        return max(0.0, self._debt() - BURST_TIMEOUTS * self._timeout_s) / SHARE

    @property
    def spent(self) -> bool:
        """Whether the device is asked only now and then (the breaker is open)."""
        return self._debt() > BURST_TIMEOUTS * self._timeout_s

    @property
    def answer_s(self) -> float:
        """How long to wait for the next answer."""
        if self._slowest_s is None or self._failures % FULL_LOOKS == 0:
            return self._timeout_s
        return min(self._timeout_s, max(_SHORTEST_S, _SLOWER * self._slowest_s))

    def answered(self, took_s: float) -> None:
        """An answer came after ``took_s``."""
        self._slowest_s = max(took_s, _FADES * (self._slowest_s or 0.0))
        self._failures = 0

    def wasted(self, cost_s: float) -> None:
        """The bus was held for ``cost_s`` in vain."""
        self._debt_s = self._debt() + cost_s
        self._failures += 1

    def _debt(self) -> float:
        now_ns = self._mono_ns()
        self._debt_s = max(0.0, self._debt_s - SHARE * (now_ns - self._as_of_ns) / 1e9)
        self._as_of_ns = now_ns
        return self._debt_s
