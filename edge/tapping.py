"""Writes down what a line carries: through the running station, or from the port itself.

The file is bounded in bytes, holds whole pieces only, and is written by the process that asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from edge.errors import InputError, Text, cannot_make
from edge.sources.local_door import call_station
from edge.sources.ports import bad_line, link_down
from edge.sources.taps import find_line
from firmware_bridge.lines import Parity
from firmware_bridge.tap_format import Piece, TapDecoder, TapHeader, encode_piece
from firmware_bridge.transports import BadLine, Bits, PortLost, PortReader

_CHUNK_BYTES = 65_536


@dataclass(slots=True)
class TapFile:
    """A tap on its way to the disk.

    Attributes
    ----------
    heard, sent, missed : int
        Bytes from the device, to it, and bytes that could not be written down in time.
    full : bool
        The bound is reached: nothing more is written.
    """

    path: Path
    most_bytes: int
    heard: int = 0
    sent: int = 0
    missed: int = 0
    full: bool = False
    _written: int = 0
    _file: BinaryIO = field(init=False)

    def __enter__(self) -> Self:
        try:
            self._file = self.path.open("xb")
        except OSError as error:
            raise cannot_make(self.path, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self._written:
            self.path.unlink()

    def write(self, piece: Piece) -> None:
        """Write a piece, if there is room for it."""
        told = encode_piece(piece)
        self.full = self.full or self._written + len(told) > self.most_bytes
        if self.full:
            return
        self._file.write(told)
        self._written += len(told)
        if piece.kind in ("heard", "sent"):
            setattr(self, piece.kind, getattr(self, piece.kind) + len(piece.payload))
        elif piece.kind == "missed":
            self.missed += int.from_bytes(piece.payload, "little")


class StationLine:
    """A question to the running station, and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def call(cls, data_dir: Path) -> StationLine | None:
        """Call the station of a data directory; None if none runs there."""
        line = call_station(data_dir)
        if line is None:
            return None
        return cls(*await asyncio.open_unix_connection(sock=line))

    async def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Its answer; empty if it hung up."""
        self._writer.write(json.dumps(question).encode() + b"\n")
        answer = await self._reader.readline()
        return dict(json.loads(answer)) if answer else {}

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """What follows the answer to ``tap``, until the station ends."""
        decoder = TapDecoder()
        while data := await self._reader.read(_CHUNK_BYTES):
            for piece in decoder.feed(data):
                yield piece

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:  # the station was quicker
            return


async def held_lines(data_dir: Path) -> list[TapHeader]:
    """The lines that the running station owns; none where no station runs."""
    station = await StationLine.call(data_dir)
    if station is None:
        return []
    try:
        answer = await station.ask({"list": True})
    finally:
        await station.close()
    return [TapHeader(**told) for told in answer.get("ports", ())]


async def through_station(data_dir: Path, part: str) -> AsyncGenerator[Piece, None]:
    """What a line of the running station carries, its header first; nothing if it has no such."""
    station = await StationLine.call(data_dir)
    if station is None:
        return
    try:
        answer = await station.ask({"tap": part})
        if "tap" in answer:
            yield TapHeader(**answer["tap"]).piece()
            async with aclosing(station.pieces()) as pieces:
                async for piece in pieces:
                    yield piece
    finally:
        await station.close()


async def from_port(line: TapHeader) -> AsyncGenerator[Piece, None]:
    """What a port brings that no station holds, its header first.

    Seven bits with parity are opened as eight without, and come as such, as from the station.

    Raises
    ------
    LinkDown
        The port can't be had.
    ConfigError
        ``url`` is no line.
    """
    start_ns, queue = time.monotonic_ns(), asyncio.Queue[Piece]()
    loop, what = asyncio.get_running_loop(), Text("抓取", "tap")

    def take(kind: Any, time_ns: int, data: bytes) -> None:
        piece = Piece(kind, time_ns - start_ns, data)
        loop.call_soon_threadsafe(queue.put_nowait, piece)

    parity = "none" if line.data_bits == 7 else line.parity
    try:
        async with PortReader(
            line.url,
            baud=line.baud,
            bits=Bits(8, cast(Parity, parity), 2 if line.stop_bits == 2 else 1),
            name="tap",
            now_ns=time.monotonic_ns,
            tap=take,
        ) as reader:
            yield replace(line, start_utc_ns=time.time_ns()).piece()
            while True:
                await reader.read()  # an outage is told by it, the bytes by the tap
                while not queue.empty():
                    yield queue.get_nowait()
    except PortLost as error:
        while not queue.empty():
            yield queue.get_nowait()
        raise link_down(what, error) from error
    except BadLine as error:
        raise bad_line(what, error) from error


async def write_down(pieces: AsyncIterator[Piece], file: TapFile) -> None:
    """Write pieces until they end or the file is full."""
    async for piece in pieces:
        file.write(piece)
        if file.full:
            return


async def tap_line(
    line: TapHeader, data_dir: Path | None, told: Callable[[TapHeader], None]
) -> AsyncGenerator[Piece, None]:
    """What a line carries: through the station that holds it, else from the port itself.

    ``line`` says by its ``url`` which one, and how to open it; ``told`` is called with the line
    as it is set, where the station holds it by the station.

    Raises
    ------
    LinkDown
        The port can't be had.
    ConfigError
        ``port`` is no line, and no name of one.
    """
    lines = await held_lines(data_dir) if data_dir else []
    held = find_line(lines, line.url)
    if not held and lines and not line.url.startswith(("/", "socket://")):
        raise _unknown(line.url, lines)
    told(held or line)
    pieces = through_station(data_dir, held.part) if held and data_dir else from_port(line)
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


def _unknown(port: str, lines: list[TapHeader]) -> InputError:
    known = ", ".join(header.part for header in lines)
    return InputError(
        f"运行中的站点没有线路 {port}",
        f"the running station has no line {port}",
        next_zh=f"它的线路：{known}",
        next_en=f"its lines: {known}",
    )
