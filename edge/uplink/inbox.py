"""What the broker has sent and nobody has looked at yet: a bound of bytes, the rest stays with it.

A broker's own window is no bound: Mosquitto 2.0.11 sends all that waits for a subscriber as soon
as that has acknowledged a few messages. So the network thread reads no further while much waits.
It pauses for a moment only, since what it writes and the acknowledgements that it reads must go
on: whoever waits for one of those looks at no message meanwhile.
"""

from __future__ import annotations

import asyncio
import threading

from edge.uplink.paho_client import Message

_MOST_WAITING_BYTES = 2 << 20
_PAUSE_S = 0.05
_MOST_UNREAD = 1_000
_MOST_AT_ONCE_BYTES = 768 * 1024
"""About half of what a station has on its way: the other half comes while this is looked at."""


class Inbox:
    """Filled by the network thread and the event loop, emptied by the latter.

    Attributes
    ----------
    overflows
        Messages that were let go because of their number.
    """

    def __init__(self) -> None:
        self.overflows = 0
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self._read_bytes = 0  # counted by the network thread alone,
        self._done_bytes = 0  # and this by the event loop: so neither needs a lock
        self._taken = threading.Event()

    def count(self, message: Message) -> None:
        """A message was read from the line; in the network thread."""
        self._read_bytes += len(message.payload)

    def pause(self) -> None:
        """Wait a moment if much waits already; in the network thread."""
        self._taken.clear()
        if self._read_bytes - self._done_bytes > _MOST_WAITING_BYTES:
            self._taken.wait(_PAUSE_S)

    def put(self, message: Message) -> None:
        """A message to be looked at."""
        if self._queue.qsize() >= _MOST_UNREAD:
            self.overflows += 1  # not accepted, so the broker keeps it
            self._done(message)
        else:
            self._queue.put_nowait(message)

    def end(self) -> None:
        """Nothing comes any more: who waits is told."""
        self._queue.put_nowait(None)

    async def take(self, most: int) -> list[Message]:
        """What waits, and at least one, unless this is the end.

        Large ones are given a few at a time: their answers leave while the next are looked at.
        """
        messages = [await self._queue.get()]
        size_bytes = self._done(messages[0])
        while len(messages) < most and size_bytes < _MOST_AT_ONCE_BYTES and self._queue.qsize():
            messages.append(self._queue.get_nowait())
            size_bytes += self._done(messages[-1])
        return [message for message in messages if message]

    def _done(self, message: Message | None) -> int:
        size_bytes = len(message.payload) if message else 0
        self._done_bytes += size_bytes
        self._taken.set()
        return size_bytes
