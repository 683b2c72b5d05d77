"""From the event loop to the writer and back: one message each way, however many tasks wait.

Tasks that ask in one turn of the loop share a commit. Handed over one by one, the first of them
would be committed alone while the others wait for the disk a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from edge.errors import StoreError
from edge.store.log import StationLog
from edge.store.writer import Job, Writer

T = TypeVar("T")

_Asked = tuple[Job, "asyncio.Future[Any]"]


class Callers:
    """Tasks of an event loop that have something written."""

    def __init__(self, writer: Callable[[], Writer]) -> None:
        self._writer = writer
        self._asked: list[_Asked] = []

    async def write(self, work: Callable[[StationLog], T]) -> T:
        """What the work gave, once it is on the disk; raises what it raised, or StoreError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._asked:
            loop.call_soon(self.hand_over, loop)
        self._asked.append((Job(work), future))
        return await future

    def hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the writer what was asked for so far; whoever went away meanwhile gets nothing."""
        asked = [(job, future) for job, future in self._asked if not future.cancelled()]
        self._asked.clear()
        if not asked:
            return
        try:
            self._writer().hand([job for job, _ in asked], lambda: _tell(loop, asked))
        except StoreError as error:
            for job, _ in asked:
                job.error = error
            _settle(asked)


def _tell(loop: asyncio.AbstractEventLoop, asked: Sequence[_Asked]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
        loop.call_soon_threadsafe(_settle, asked)


def _settle(asked: Sequence[_Asked]) -> None:
    for job, future in asked:
        if not future.done():
            job.settle(future)
