"""A wait for an answer that a standstill of the machine does not use up.

A machine that stood still, being overloaded or suspended, wakes with the deadline passed and the
answer unread. To blame the device for that would be wrong: on a shared bus it would then not be
asked for a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["within"]

T = TypeVar("T")

_SLICES = 4


async def within(limit_s: float, answer: Coroutine[Any, Any, T]) -> T:
    """What ``answer`` gives, waited for in slices of which a standstill takes two at most.

    Raises
    ------
    TimeoutError
        It gave nothing in ``limit_s``; it is cancelled.
    """
    task, now_s = asyncio.ensure_future(answer), asyncio.get_running_loop().time
    due_s = now_s()
    try:
        for _ in range(_SLICES):
            due_s = max(due_s + limit_s / _SLICES, now_s())
            if (await asyncio.wait({task}, timeout=due_s - now_s()))[0]:
                return task.result()
        raise TimeoutError
    finally:
        task.cancel()
        await asyncio.wait({task})
