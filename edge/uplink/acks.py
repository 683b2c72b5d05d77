"""Acknowledgements of the broker that are awaited, each with the moment by which it must come."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial

_STALL_S = 60.0
"""An acknowledgement may be this late: the largest message needs 34 s at 64 kbit/s."""
_HURRY_S = 5.0
"""It may be this late once the centre itself has answered the message."""


@dataclass(slots=True)
class _Ack:
    """An acknowledgement that is awaited until ``due_s`` of the monotonic clock."""

    future: asyncio.Future[int | None]
    due_s: float


class Acks:
    """Futures by packet id."""

    def __init__(self) -> None:
        self._awaited: dict[int, _Ack] = {}

    async def wait(self, mid: int, answered: asyncio.Future[bool] | None = None) -> int | None:
        """The reason code, or None when the line ended; ``answered`` shortens the patience."""
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        ack = self._awaited[mid] = _Ack(future, time.monotonic() + _STALL_S)
        hurry = partial(_hurry, ack)
        if answered:
            answered.add_done_callback(hurry)
        try:
            return await future
        finally:
            self._awaited.pop(mid, None)
            if answered:
                answered.remove_done_callback(hurry)

    def take(self, mid: int, code: int) -> None:
        """An acknowledgement came."""
        ack = self._awaited.get(mid)
        if ack and not ack.future.done():
            ack.future.set_result(code)

    def end(self) -> None:
        """None will come any more."""
        for ack in self._awaited.values():
            if not ack.future.done():
                ack.future.set_result(None)

    async def overdue(self) -> None:
        """Return when one has not come in time."""
        while True:
            if self._is_overdue():
                return
            await asyncio.sleep(min(1.0, _STALL_S / 4))

    def _is_overdue(self) -> bool:
        now_s = time.monotonic()
        return any(ack.due_s <= now_s for ack in self._awaited.values())


def _hurry(ack: _Ack, _answered: object) -> None:
    ack.due_s = min(ack.due_s, time.monotonic() + _HURRY_S)
