"""The newest happenings of the station, from its rooms to the open pages.

Each subscriber has a bounded queue in which the newest wins: a page that sleeps loses old news,
not the station its memory. It is told that it missed some: the store has them all. Everything
runs on the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Any

News = tuple[str, dict[str, Any]]

KEPT_NEWS = 64


class Subscription:
    """News for one subscriber: iterate it, or take what has come. Close it by ``with``."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._news: deque[News] = deque(maxlen=KEPT_NEWS)
        self._stir = asyncio.Event()
        self.ended = False
        self._missed = 0

    def push(self, news: News) -> None:
        """Put news at the end; the oldest falls out where the queue is full."""
        self._missed += len(self._news) == KEPT_NEWS
        self._news.append(news)
        self._stir.set()

    def missed(self) -> int:
        """How much fell out since this was last asked."""
        missed, self._missed = self._missed, 0
        return missed

    def end(self) -> None:
        """No more news: who waits, wakes."""
        self.ended = True
        self._stir.set()

    async def take(self, timeout_s: float) -> list[News]:
        """Everything that has come, after at most ``timeout_s``; empty if nothing came."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._stir.wait()
        except TimeoutError:
            return []
        self._stir.clear()
        taken = list(self._news)
        self._news.clear()
        return taken

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> News:
        while not self._news:
            if self.ended:
                raise StopAsyncIteration
            self._stir.clear()
            await self._stir.wait()
        return self._news.popleft()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._feed.leave(self)


class Feed:
    """Hands each event to every subscriber."""

    def __init__(self) -> None:
        self._subscribers: set[Subscription] = set()

    def publish(self, event: str, data: dict[str, Any]) -> None:
        """Tell everybody; never waits."""
        for subscriber in self._subscribers:
            subscriber.push((event, data))

    def subscribe(self) -> Subscription:
        """A new subscription, listening from now on."""
        subscription = Subscription(self)
        self._subscribers.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        self._subscribers.discard(subscription)

    def end_subscriptions(self) -> None:
        """End those that listen now, so that their streams close; new ones may come later."""
        for subscriber in self._subscribers:
            subscriber.end()
