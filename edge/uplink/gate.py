"""Who may go onto the line next: cases first, and never more bytes than it carries in a second.

What has been handed to the network can't be overtaken any more. So little is handed over at a
time, as little as keeps the line busy; all else waits here, where a case goes to the front.
"""

from __future__ import annotations

import asyncio
import enum
import heapq
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

_LEAST_BYTES = 64 * 1024
_MOST_BYTES = 4 * 1024 * 1024
_SECOND_S = 1.0
_NEWEST = 0.5
"""Weight of the newest measurement of the line's speed."""


class Turn(enum.IntEnum):
    """Order on the line."""

    CASE = 0
    """Records of cases, and their blobs."""
    CONTROL = 1
    """Telemetry, checkpoints."""
    RECORD = 2
    """Every other record."""
    BLOB = 3
    """Blobs that other records name."""


class Gate:
    """Turns on one line; a message has its turn until the broker has acknowledged it."""

    def __init__(self, mono_s: Callable[[], float] = time.monotonic) -> None:
        self.budget_bytes = 4 * _LEAST_BYTES
        """Bytes that may be on the line at once; a larger message goes alone."""
        self._mono_s = mono_s
        self._on_line = 0
        self._order = count()
        self._queue: list[tuple[Turn, int, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, turn: Turn, size_bytes: int) -> AsyncIterator[None]:
        """Wait for the turn of a message; the block ends with its acknowledgement."""
        await self._enter(turn, size_bytes)
        ahead_bytes, began_s = self._on_line, self._mono_s()
        try:
            yield
            self._learn(ahead_bytes, self._mono_s() - began_s)
        finally:
            self._leave(size_bytes)

    async def _enter(self, turn: Turn, size_bytes: int) -> None:
        if not self._queue and self._fits(size_bytes):
            self._on_line += size_bytes
            return
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (turn, next(self._order), size_bytes, admitted))
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._leave(size_bytes)
            raise

    def _leave(self, size_bytes: int) -> None:
        self._on_line -= size_bytes
        while self._queue:
            _, _, size, admitted = self._queue[0]
            if not admitted.done():
                if not self._fits(size):
                    return
                self._on_line += size
                admitted.set_result(None)
            heapq.heappop(self._queue)

    def _fits(self, size_bytes: int) -> bool:
        return not self._on_line or self._on_line + size_bytes <= self.budget_bytes

    def _learn(self, bytes_moved: int, took_s: float) -> None:
        """A line that was not full may be faster than what it carried, and never slower."""
        carried = bytes_moved / max(took_s, 1e-6) * _SECOND_S
        if carried < self.budget_bytes and bytes_moved < self.budget_bytes / 2:
            return
        mixed = (1 - _NEWEST) * self.budget_bytes + _NEWEST * min(carried, _MOST_BYTES)
        self.budget_bytes = max(_LEAST_BYTES, int(mixed))


class Sizes:
    """How large a message may be, where the broker does not say or hangs up on what is too large.

    A line may break under any message. One that broke twice under messages larger than any that
    was acknowledged may break because of them: for a minute, twice as long each time that it
    comes to this again, all stay below half of that size. What was acknowledged once is allowed.
    """

    _LEAST = 4 * 1024
    _HOLD_S = 60.0
    _LONGEST_HOLD_S = 3600.0

    def __init__(self, most_bytes: int, mono_s: Callable[[], float] = time.monotonic) -> None:
        self._most_bytes = most_bytes
        self._mono_s = mono_s
        self._proved = self._LEAST
        self._lines = 0
        self._broken: dict[int, int] = {}
        self._hold_s = self._HOLD_S
        self._until_s = 0.0

    @property
    def most_bytes(self) -> int:
        """The largest message to be tried now."""
        if len(self._broken) < 2:
            return self._most_bytes
        if self._mono_s() >= self._until_s:
            self._broken.clear()
            return self._most_bytes
        return max(self._proved, self._suspected() // 2)

    def begin(self) -> int:
        """The number of a new line."""
        self._lines += 1
        return self._lines

    def acknowledged(self, size_bytes: int) -> None:
        """The broker took a message of that size."""
        self._proved = max(self._proved, size_bytes)

    def broke(self, line: int, size_bytes: int) -> None:
        """A line broke while a message of that size was on it; the largest one counts."""
        if size_bytes <= max(self._proved, self._broken.get(line, 0)):
            return
        was_held = len(self._broken) > 1
        self._broken[line] = size_bytes
        if len(self._broken) > 1 and not was_held:
            self._until_s = self._mono_s() + self._hold_s
            self._hold_s = min(2 * self._hold_s, self._LONGEST_HOLD_S)

    def _suspected(self) -> int:
        """The smallest size that two lines broke under, or under less."""
        return sorted(self._broken.values())[1]
