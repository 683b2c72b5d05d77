"""Where programs of this computer ask the running station for a line or an act: a local socket.

The socket lies in the station's data directory, for its own user alone. A question is one line of
JSON: ``{"tap": "scale.F1"}`` or ``{"list": true}``. The answer is one line of JSON, and for a tap
the pieces of ``firmware_bridge.tap_format`` after it, until the asker hangs up. The station writes
no file for anybody, and an asker who does not read is dropped. ``{"command": "zero", "device":
"W1", "by": "..."}`` is carried out and answered by ``{"done": true}``, or by ``{"error": ...}``
with the error's class and words.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edge.errors import SteelyardError, why_zh
from edge.health import Health, Level
from edge.sources.taps import Listener, Taps, find_line
from firmware_bridge.tap_format import encode_piece

SOCKET = "tap.sock"
MOST_ASKERS = 8
PATIENCE_S = 5.0
"""Time for an asker to say what he wants, or to take what he asked for."""

_QUESTION_BYTES = 1_024


class LocalDoor:
    """Answers askers until cancelled; the station weighs on where the socket can't be made."""

    def __init__(
        self,
        taps: Taps,
        data_dir: Path,
        health: Health,
        carry_out: Callable[[str, str, str], Awaitable[None]],
    ) -> None:
        self._taps, self._directory, self._health = taps, data_dir, health
        self._carry_out = carry_out
        self._askers = 0

    async def run(self) -> None:
        """Listen at the door."""
        try:
            door = open_door(self._directory)
        except OSError as error:
            self._health.state(
                "taps",
                Level.WARNING,
                f"不能监听线路{why_zh(error)}",
                f"lines cannot be tapped: {error}",
            )
            return
        server = await asyncio.start_unix_server(self._answer, sock=door, limit=_QUESTION_BYTES)
        try:
            async with server:
                await server.serve_forever()
        finally:
            (self._directory / SOCKET).unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._askers += 1
        try:
            if self._askers <= MOST_ASKERS:
                async with asyncio.timeout(PATIENCE_S):
                    question = _question(await reader.readline())
                await self._serve(question, reader, writer)
        except (OSError, ValueError, TimeoutError):  # the asker's trouble, not the station's
            pass
        finally:
            self._askers -= 1
            await _hang_up(writer)

    async def _serve(
        self, question: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if "command" in question:
            await _say(writer, await self._done(question))
            return
        headers = self._taps.headers
        wanted = find_line(headers, str(question.get("tap", "")))
        if wanted is None:
            await _say(writer, {"ports": [asdict(header) for header in headers]})
            return
        with self._taps.listen(wanted.part) as listener:
            told = replace(wanted, start_utc_ns=self._taps.utc_ns())
            await _say(writer, {"tap": asdict(told)})
            await _first_to_end(_pour(listener, writer), reader.read(1))

    async def _done(self, question: dict[str, Any]) -> dict[str, Any]:
        """Carry a command out; what became of it."""
        told = (str(question.get(key, "")) for key in ("command", "device", "by"))
        try:
            await self._carry_out(*told)
        except SteelyardError as error:
            words = {"what": error.what, "next": error.next_step}
            return {"error": {"class": type(error).__name__} | words}
        return {"done": True}


def _question(line: bytes) -> dict[str, Any]:
    told = json.loads(line)
    if not isinstance(told, dict):
        raise ValueError("a question is an object")
    return told


async def _say(writer: asyncio.StreamWriter, told: dict[str, Any]) -> None:
    writer.write(json.dumps(told).encode() + b"\n")
    await _drain(writer)


async def _pour(listener: Listener, writer: asyncio.StreamWriter) -> None:
    async for pieces in listener.pieces():
        writer.write(b"".join(map(encode_piece, pieces)))
        await _drain(writer)


async def _drain(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await writer.drain()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Let the last words out; who does not take them is cut off."""
    writer.close()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def _first_to_end(*jobs: Any) -> None:
    """Run jobs until one ends: the pouring, or the asker's hanging up."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def open_door(directory: Path) -> socket.socket:
    """A listening socket in a directory; one that a dead station left behind is taken away."""
    (directory / SOCKET).unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with _short(directory) as path:
            before = os.umask(0o177)
            try:
                door.bind(path)
            finally:
                os.umask(before)
        door.listen(MOST_ASKERS)
    except OSError:
        door.close()
        raise
    return door


def call_station(directory: Path) -> socket.socket | None:
    """A connection to the station that runs on a data directory; None if none does."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(directory) as path:
            line.connect(path)
    except OSError:
        line.close()
        return None
    return line


@contextlib.contextmanager
def _short(directory: Path) -> Iterator[str]:
    """The socket's path through a descriptor: a name of a socket has 107 characters at most."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
