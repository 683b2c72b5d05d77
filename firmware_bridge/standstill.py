"""Waits that a standstill of the machine does not use up.

A machine that stood still, being overloaded or suspended, wakes with the deadline passed and the
answer unread. To blame the device for that would be wrong: on a shared bus it would then not be
asked for a minute, and a picture that lies there would be missing in the evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TypeVar

__all__ = ["slices_s", "within"]

T = TypeVar("T")

_SLICES = 4


def slices_s(limit_s: float) -> Iterator[float]:
    """``limit_s`` in waits one after the other, of which a standstill takes two at most.

    Yields
    ------
    float
        How long to wait now, s; asked for when the wait before it is over.
    """
    now_s = asyncio.get_running_loop().time
    due_s = now_s()
    for _ in range(_SLICES):
        due_s = max(due_s + limit_s / _SLICES, now_s())
        yield due_s - now_s()


async def within(limit_s: float, answer: Awaitable[T]) -> T:
    """What ``answer`` gives in the waits of `slices_s`.

    Raises
    ------
    TimeoutError
        It gave nothing; it is cancelled.
    """
    loop, slices = asyncio.get_running_loop(), slices_s(limit_s)
    timer: asyncio.Handle
    async with asyncio.timeout(None) as limit:

        def go_on() -> None:
            nonlocal timer
            slice_s = next(slices, None)
            if slice_s is None:
                limit.reschedule(loop.time())
            else:
                timer = loop.call_later(slice_s, go_on)

        timer = loop.call_soon(go_on)
        try:
            return await answer
        finally:
            timer.cancel()
