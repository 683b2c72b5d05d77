"""Wakes those who wait for the log to grow."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

from edge.errors import StoreError


class Growth:
    """How long the log is; the writer thread tells it, tasks of the event loop wait for it."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._newest = -1
        self._closed = False
        self._waiting: dict[Future[int], int] = {}

    def grown(self, size: int) -> None:
        """The log has ``size`` records now."""
        with self._gate:
            self._newest = size - 1
            ready = [f for f, after in self._waiting.items() if after < self._newest]
            for future in ready:
                del self._waiting[future]
        for future in ready:
            if future.set_running_or_notify_cancel():
                future.set_result(self._newest)

    @property
    def size(self) -> int:
        """Number of records in the log."""
        with self._gate:
            return self._newest + 1

    async def wait(self, after_index: int) -> int:
        """Index of the newest record, once there is one past ``after_index``.

        Raises
        ------
        StoreError
            The store was closed meanwhile.
        """
        future: Future[int] = Future()
        with self._gate:
            if self._newest > after_index:
                return self._newest
            if self._closed:
                raise _closed()
            self._waiting[future] = after_index
        try:
            return await asyncio.wrap_future(future)
        finally:
            with self._gate:
                self._waiting.pop(future, None)

    def close(self) -> None:
        """Wake everybody; nothing comes any more."""
        with self._gate:
            self._closed = True
            waiting, self._waiting = list(self._waiting), {}
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(_closed())


def _closed() -> StoreError:
    return StoreError("证据库已关闭", "the store is closed")
