"""One connection as the rooms use it: every message waits its turn and fits."""

from __future__ import annotations

import asyncio

from edge.errors import LinkDown
from edge.uplink.gate import Gate, Sizes, Turn
from edge.uplink.mqtt import Link
from edge.uplink.refusals import MessageTooLarge, PublishRefused


class Line:
    """A link with its turns; ``sizes`` outlives it."""

    def __init__(self, link: Link, sizes: Sizes) -> None:
        self.link = link
        self.gate = Gate()
        self._sizes = sizes
        self._number = sizes.begin()

    def room_bytes(self, topic: str) -> int:
        """Largest payload that may be sent on a topic."""
        stated = self.link.max_packet_bytes - self.link.overhead_bytes(topic)
        return max(1, min(self._sizes.most_bytes, stated))

    async def send(
        self,
        turn: Turn,
        topic: str,
        payload: bytes,
        *,
        expiry_s: int | None = None,
        answered: asyncio.Future[bool] | None = None,
    ) -> int:
        """Publish in turn; the broker's reason code, raises as ``Link.publish``."""
        async with self.gate.turn(turn, len(payload)):
            try:
                code = await self.link.publish(topic, payload, expiry_s=expiry_s, answered=answered)
            except (MessageTooLarge, PublishRefused):
                raise
            except LinkDown:
                self._sizes.broke(self._number, len(payload))
                raise
        self._sizes.acknowledged(len(payload))
        return code
