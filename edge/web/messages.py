"""Messages of the centre: shown until somebody at the station says that they were read."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from edge.errors import InputError, Text
from edge.evidence.events import operator_draft
from edge.records import Record
from edge.web.view import StationView

__all__ = ["Message", "Messages"]

READ = "message-read"
_KEPT = 50
_LOOKED_AT = 1_000
"""Commands of other kinds, and what else operators did, lie between the messages."""


@dataclass(frozen=True, slots=True)
class Message:
    """What the centre told the operators, by the record of the command that carried it."""

    index: int
    number: int
    time_us: int
    text: Text
    read_us: int | None


class Messages:
    """The newest messages; the log is their only memory."""

    def __init__(self, station: StationView) -> None:
        self.newest: list[Message] = []
        """The newest first."""
        self._station = station
        self._known: tuple[int, int] | None = None
        # Two clicks on one button must not seal one reading twice.
        self._sealing = asyncio.Lock()

    @property
    def unread(self) -> list[Message]:
        """Messages that nobody has read yet, the oldest first."""
        return [message for message in reversed(self.newest) if message.read_us is None]

    async def refresh(self) -> None:
        """Look whether the log has a new command or a new reading."""
        store = self._station.store
        newest = [await store.latest(kind=kind, limit=1) for kind in ("command", "operator")]
        known = (newest[0][0].index if newest[0] else -1, newest[1][0].index if newest[1] else -1)
        if known == self._known:
            return
        commands = await store.latest(kind="command", limit=_LOOKED_AT)
        readings = await store.latest(kind="operator", limit=_LOOKED_AT)
        read = {
            record.body["about"].get("index"): record.body["time_us"]
            for record in reversed(readings)
            if record.body.get("action") == READ
        }
        found = (_message(record, read.get(record.index)) for record in commands)
        self.newest = [message for message in found if message][:_KEPT]
        self._known = known

    async def read(self, index: int) -> None:
        """Seal that a message was read.

        Raises
        ------
        InputError
            There is no such message, or it was read before.
        StoreError
            It could not be kept; nothing changed.
        """
        async with self._sealing:
            await self.refresh()
            message = next((one for one in self.unread if one.index == index), None)
            if message is None:
                raise InputError(
                    f"没有第 {index} 号未读消息",
                    f"there is no unread message {index}",
                    next_zh="回到现场页，看看它是否已经读过",
                    next_en="go back to the live page and see whether it was read before",
                )
            about = {"index": index, "number": message.number}
            draft = operator_draft(self._station.utc_ns(), READ, about)
            await self._station.store.append(draft)
            await self.refresh()


def _message(record: Record, read_us: int | None) -> Message | None:
    body = record.body
    if body.get("action") != "message" or body.get("outcome") != "taken":
        return None
    said = body.get("arguments", {})
    text = Text(str(said.get("zh", "")), str(said.get("en", "")))
    return Message(record.index, int(body.get("number") or 0), body["time_us"], text, read_us)
