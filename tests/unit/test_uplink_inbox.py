"""What comes from the broker faster than it is looked at stays on the line."""

from __future__ import annotations

import asyncio
import threading

import pytest

from edge.uplink import inbox
from edge.uplink.inbox import Inbox
from edge.uplink.paho_client import Message

_PIECE = bytes(256 << 10)
_FILL = (2 << 20) // len(_PIECE) + 1
"""Pieces after which the bound is passed."""


def _read(box: Inbox, loop: asyncio.AbstractEventLoop, pieces: int, read: list[int]) -> None:
    """As the network thread does."""
    for number in range(pieces):
        message = Message(f"t/{number}", _PIECE, False, 1, number + 1)
        box.count(message)
        loop.call_soon_threadsafe(box.put, message)
        read.append(number)
        box.pause()


def test_few_bytes_wait_and_all_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_PAUSE_S", 60.0)
    read: list[int] = []

    async def run() -> list[int]:
        box, loop = Inbox(), asyncio.get_running_loop()
        thread = threading.Thread(target=_read, args=(box, loop, 40, read))
        thread.start()
        while len(read) < _FILL:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(read) == _FILL
        taken: list[int] = []
        while len(taken) < 40:
            taken += [message.mid for message in await box.take(64)]
            assert len(read) * len(_PIECE) <= len(taken) * len(_PIECE) + (3 << 20)
        await asyncio.to_thread(thread.join)
        return taken

    assert asyncio.run(run()) == list(range(1, 41))


def test_whoever_waits_for_something_else_gets_it_in_the_end() -> None:
    """Nobody takes a message, and yet what stands behind them on the line is read."""
    read: list[int] = []

    async def run() -> None:
        box, loop = Inbox(), asyncio.get_running_loop()
        await asyncio.to_thread(_read, box, loop, _FILL + 3, read)
        box.end()

    asyncio.run(run())
    assert len(read) == _FILL + 3


def test_what_is_too_many_is_counted_and_weighs_nothing() -> None:
    async def run() -> int:
        box = Inbox()
        for number in range(1_010):
            message = Message("t", b"x" * 4_000, False, 1, number)
            box.count(message)
            box.put(message)
        while (await box.take(64))[-1].mid < 999:
            pass
        box.pause()
        return box.overflows

    assert asyncio.run(run()) == 10
