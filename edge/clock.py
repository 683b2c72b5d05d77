"""The clock of the station's computer: what it says, what stands behind it, and when it stepped.

Two times are kept apart. The *wall* clock is UTC as far as somebody set it; it may be wrong at
boot, and may step. The *steady* time is the monotonic clock plus the offset that the wall had over
it when the program started: on Linux both are slewed together, so their difference changes by
steps alone (clock_gettime(2)). Devices are timed by the steady time, so that no step of the wall
disturbs what is weighed and joined; a statement gets UTC when it is made, with the monotonic time
beside it, so that a wrong UTC can be set right later.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.records import HostStamp

__all__ = ["UNKNOWN", "HostClock", "Sync", "ask_host", "ask_kernel", "parse_tracking"]

STEP_NS = 2_000_000
"""A smaller change of wall over monotonic is the noise of reading two clocks one by one."""

CHRONY_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Sync:
    """What disciplines the wall clock; ``bound_us`` bounds its error, None where nothing does."""

    synchronised: bool
    source: str = ""
    bound_us: int | None = None


UNKNOWN = Sync(False)
"""Nothing is known of a source: nobody vouches for the time."""


class HostClock:
    """Wall and monotonic clock of the computer, and the state of its synchronisation.

    Parameters
    ----------
    wall_ns, mono_ns : callable
        The two clocks in nanoseconds.
    ask : callable
        Gives the present :class:`Sync`.
    boot_id : str or None
        Id of this boot; the kernel's if None.
    """

    def __init__(
        self,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        ask: Callable[[], Awaitable[Sync]] | None = None,
        boot_id: str | None = None,
    ) -> None:
        self._wall_ns = wall_ns
        self._mono_ns = mono_ns
        self._ask = ask or ask_host
        self._base_ns = self._known_ns = self._read_offset_ns()
        self.boot_id = _boot_id() if boot_id is None else boot_id
        self.sync = UNKNOWN

    def utc_ns(self) -> int:
        """What the wall clock says."""
        return self._wall_ns()

    def mono_ns(self) -> int:
        """The monotonic clock: durations come from it alone."""
        return self._mono_ns()

    def steady_ns(self) -> int:
        """Time for devices: as UTC when the program started, and never stepped since."""
        return self._mono_ns() + self._base_ns

    def utc_of(self, steady_ns: int) -> int:
        """UTC of a steady time, by what the wall clock says now."""
        return steady_ns + self._offset_ns() - self._base_ns

    def utc_at(self, mono_ns: int) -> int:
        """UTC of a monotonic time of this boot, by what the wall clock says now."""
        return mono_ns + self._offset_ns()

    def offset_us(self) -> int:
        """Wall over monotonic: what makes UTC of the ``mono_us`` of this boot."""
        return self._offset_ns() // 1000

    def stamp(self, utc_ns: int) -> HostStamp:
        """What stands beside a time in a statement that is made now."""
        return HostStamp(
            self.boot_id,
            utc_ns - self._offset_ns(),
            self.sync.synchronised,
            self.sync.source,
            self.sync.bound_us,
        )

    def provenance(self, time_us: int) -> dict[str, Any]:
        """The fields of a statement that say where its ``time_us`` comes from."""
        return self.stamp(time_us * 1000).to_body()

    async def refresh(self) -> Sync:
        """Ask what disciplines the clock; gives what was known before."""
        before, self.sync = self.sync, await self._ask()
        return before

    def take_step(self) -> int:
        """Nanoseconds by which the wall clock was set since the last call; 0 if it was not."""
        offset_ns = self._read_offset_ns()
        step_ns = offset_ns - self._known_ns
        if abs(step_ns) < STEP_NS:
            return 0
        self._known_ns = offset_ns
        return step_ns

    def _offset_ns(self) -> int:
        """Wall over monotonic; the last known one where the difference is mere noise."""
        offset_ns = self._read_offset_ns()
        return self._known_ns if abs(offset_ns - self._known_ns) < STEP_NS else offset_ns

    def _read_offset_ns(self) -> int:
        """Wall over monotonic of the least disturbed of three readings."""
        readings = []
        for _ in range(3):
            before_ns = self._mono_ns()
            wall_ns = self._wall_ns()
            took_ns = self._mono_ns() - before_ns
            readings.append((took_ns, wall_ns - before_ns - took_ns // 2))
        return min(readings)[1]


async def ask_host() -> Sync:
    """The state as chrony tells it where it runs, else as the kernel does."""
    return await _ask_chrony() or ask_kernel()


async def _ask_chrony() -> Sync | None:
    """What ``chronyc tracking`` says; None where chrony is not there or does not answer."""
    try:
        asked = await asyncio.create_subprocess_exec(
            "chronyc",
            "-c",
            "tracking",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(CHRONY_TIMEOUT_S):
            said, _ = await asked.communicate()
    except TimeoutError:
        asked.kill()
        await asked.wait()
        return None
    return parse_tracking(said.decode(errors="replace")) if asked.returncode == 0 else None


def parse_tracking(line: str) -> Sync | None:
    """Read one line of ``chronyc -c tracking`` (chronyc(1): fields in the order of the report).

    The bound is that of chronyc(1): ``|system time| + root dispersion + root delay / 2``.
    """
    fields = line.strip().split(",")
    try:
        name, leap = fields[1] or fields[0], fields[13]
        offset_s, delay_s, dispersion_s = (abs(float(fields[i])) for i in (4, 10, 11))
        bound_us = round((offset_s + dispersion_s + delay_s / 2) * 1e6)
    except (IndexError, ValueError, OverflowError):
        return None
    if leap == "Not synchronised" or fields[0] == _LOCAL_REFERENCE:
        return UNKNOWN
    return Sync(True, f"chrony {name}"[:80], bound_us)


_LOCAL_REFERENCE = "7F7F0101"
"""127.127.1.1: chronyd serves its own clock for want of another (chrony.conf(5), ``local``)."""


class _Timex(ctypes.Structure):
    """``struct timex`` of adjtimex(2)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time_s", ctypes.c_long),
        ("time_us", ctypes.c_long),
        ("tick", ctypes.c_long),
        ("pps", ctypes.c_long * 2),
        ("shift", ctypes.c_int),
        ("counts", ctypes.c_long * 5),
        ("tai", ctypes.c_int),
        ("reserved", ctypes.c_int * 11),
    ]


_STA_UNSYNC = 0x40
_TIME_ERROR = 5


def ask_kernel() -> Sync:
    """What the kernel knows of its clock (adjtimex(2), read only); needs no rights."""
    answer = _Timex()
    try:
        state = ctypes.CDLL(None).ntp_adjtime(ctypes.byref(answer))
    except (OSError, AttributeError):
        return UNKNOWN
    if state in (-1, _TIME_ERROR) or answer.status & _STA_UNSYNC:
        return UNKNOWN
    return Sync(True, "kernel", int(answer.maxerror))


def _boot_id() -> str:
    """The kernel's id of this boot: monotonic clocks of two boots do not compare."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
