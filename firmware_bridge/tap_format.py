"""What a line carried, byte for byte with its times, in a file: ``docs/wire.md`` 9.

::

    F5 'T' 'A' 'P' | kind u8 | length u24 | time i64 | payload | CRC-32 of kind .. payload

Little-endian. The time is in nanoseconds since the tap began. Every piece proves itself, so a file
that was cut off or damaged is read up to the damage and on from the next whole piece. Sans-I/O:
bytes in, pieces out, and the other way round.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

SCHEMA = "steelyard-tap/1"

MARK = b"\xf5TAP"

Kind: TypeAlias = Literal["header", "opened", "heard", "sent", "lost", "missed"]
"""``header``: first piece; ``opened``, ``lost``: the line came and went; ``heard``: from the
device; ``sent``: to it; ``missed``: so many bytes (u64) could not be written down in time."""

KINDS: tuple[Kind, ...] = ("header", "opened", "heard", "sent", "lost", "missed")

MAX_PAYLOAD = 1 << 18

_HEAD = struct.Struct("<4sIq")
_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Piece:
    """Something that happened on the line, ``time_ns`` after the tap began."""

    kind: Kind
    time_ns: int
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class TapHeader:
    """Which line it was, how it was set, and when the tap began by the station's UTC."""

    url: str
    start_utc_ns: int
    baud: int = 0
    data_bits: int = 8
    parity: str = "none"
    stop_bits: int = 1
    part: str = ""
    """What the station calls it, as ``scale.F1``; empty where no station ran."""

    def piece(self) -> Piece:
        """The header as the first piece."""
        told = {"schema": SCHEMA, **asdict(self)}
        return Piece("header", 0, json.dumps(told, ensure_ascii=False).encode())


def header_of(piece: Piece) -> TapHeader | None:
    """The header that a piece is; None if it is none, or of another version."""
    try:
        told = json.loads(piece.payload) if piece.kind == "header" else None
        if not isinstance(told, dict) or told.pop("schema", None) != SCHEMA:
            return None
        return TapHeader(**told)
    except (ValueError, TypeError):
        return None


def encode_piece(piece: Piece) -> bytes:
    """A piece as bytes.

    Raises
    ------
    ValueError
        Its payload is longer than ``MAX_PAYLOAD``.
    """
    if len(piece.payload) > MAX_PAYLOAD:
        raise ValueError(f"a piece holds at most {MAX_PAYLOAD} bytes")
    kind = KINDS.index(piece.kind)
    told = _HEAD.pack(MARK, kind | len(piece.payload) << 8, piece.time_ns) + piece.payload
    return told + _CRC.pack(zlib.crc32(told[len(MARK) :]))


class TapDecoder:
    """Pieces out of bytes that were cut anywhere. Never raises; holds one piece at most.

    Attributes
    ----------
    counters : Counter[str]
        ``pieces`` read; ``damaged_bytes`` passed over.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._held = b""

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that ``data`` completes."""
        return self._pieces(self._held + data, at_end=False)

    def finish(self) -> list[Piece]:
        """Nothing more will come: the pieces behind one whose end is missing."""
        return self._pieces(self._held, at_end=True)

    def _pieces(self, buffer: bytes, *, at_end: bool) -> list[Piece]:
        pieces: list[Piece] = []
        at = 0
        while (start := buffer.find(MARK, at)) >= 0:
            self.counters["damaged_bytes"] += start - at
            at = start
            size = _size(buffer, at)
            if not at_end and at + size > len(buffer):
                break
            piece = _open(buffer[at : at + size])
            if piece is None:
                self.counters["damaged_bytes"] += 1
            else:
                pieces.append(piece)
            at += size if piece else 1
        else:  # no mark is left, but one may have begun
            end = len(buffer) - (0 if at_end else len(MARK) - 1)
            self.counters["damaged_bytes"] += max(end - at, 0)
            at = max(end, at)
        self.counters["pieces"] += len(pieces)
        self._held = buffer[at:]
        return pieces


def _size(buffer: bytes, at: int) -> int:
    """Bytes of the piece that begins here; of a head alone where it is no piece or unfinished."""
    if len(buffer) - at < _HEAD.size:
        return _HEAD.size
    length = _HEAD.unpack_from(buffer, at)[1] >> 8
    return _HEAD.size + _CRC.size + (length if length <= MAX_PAYLOAD else 0)


def _open(told: bytes) -> Piece | None:
    """The piece, if it proves itself."""
    if len(told) < _HEAD.size + _CRC.size:
        return None
    body, (crc,) = told[: -_CRC.size], _CRC.unpack(told[-_CRC.size :])
    _, kind, time_ns = _HEAD.unpack_from(body)
    payload = body[_HEAD.size :]
    if crc != zlib.crc32(body[len(MARK) :]) or len(payload) != kind >> 8:
        return None
    number = kind & 0xFF
    return Piece(KINDS[number], time_ns, payload) if number < len(KINDS) else None
