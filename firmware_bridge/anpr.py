"""Plate readings on a serial line: one text frame a reading, in UTF-8, guarded by a CRC-32.

::

    STX "SYP1" TAB sequence TAB lane TAB plate TAB colour TAB confidence TAB direction
        TAB camera_time TAB picture TAB crc ETX CR LF

The layout follows the text telegrams of common plate cameras (STX, fields, ETX), with what those
lack: a version, a sequence number and a checksum. TAB parts the fields and no control character
may stand inside one, so nothing is ever escaped, and STX and ETX bytes cannot occur within a
UTF-8 character. ``docs/wire.md`` describes every field.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass

from firmware_bridge.marked_frames import MarkedFrames

COLOURS = ("blue", "yellow", "green", "yellow-green", "white", "black", "unknown")
"""Ground colours of plates; ``green`` is the small, ``yellow-green`` the large new-energy plate."""

MAX_FRAME_BYTES = 512
"""Longest frame, from STX to ETX."""

MAX_LANE, MAX_PLATE, MAX_DIRECTION, MAX_PICTURE_REF = 32, 24, 16, 128
"""Longest texts, in characters."""

_VERSION = "SYP1"
_WHOLE = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class PlateFrame:
    """One reading as the camera sent it.

    Attributes
    ----------
    sequence : int
        u32, one more for each reading, wraps to 0; shows lost and repeated readings.
    lane : str
        Name of the lane, 1 to 32 characters.
    plate : str
        Characters as read, at most 24; empty where the camera saw a vehicle but read no plate.
    colour : str
        One of ``COLOURS``.
    confidence : float or None
        0..1 in steps of 0.001; None where the camera states none.
    direction : str
        ``toward``, ``away`` or another short word of the camera; empty where unknown.
    camera_time_ns : int
        UTC of the exposure by the camera's own clock, u64 nanoseconds.
    picture_ref : str
        File name of the picture, at most 128 characters; empty where there is none.
    """

    sequence: int
    lane: str
    plate: str
    colour: str
    confidence: float | None
    direction: str
    camera_time_ns: int
    picture_ref: str


def encode_plate(frame: PlateFrame) -> bytes:
    """The bytes of one reading on the line.

    Raises
    ------
    ValueError
        A field is outside what the frame can carry; the message names it.
    """
    confidence = "" if frame.confidence is None else str(round(frame.confidence * 1000))
    fields = (
        _VERSION,
        str(frame.sequence),
        frame.lane,
        frame.plate,
        frame.colour,
        confidence,
        frame.direction,
        str(frame.camera_time_ns),
        frame.picture_ref,
    )
    if problem := _problem(fields):
        raise ValueError(f"plate frame: {problem}")
    guarded = ("\t".join(fields) + "\t").encode()
    return b"\x02%s%08X\x03\r\n" % (guarded, zlib.crc32(guarded))


def _problem(fields: tuple[str, ...]) -> str:
    """What is wrong with the fields of a frame; empty if nothing is."""
    _, sequence, lane, plate, colour, confidence, direction, time_ns, picture_ref = fields
    checks = (
        (_is_whole(sequence, (1 << 32) - 1), "sequence is no u32"),
        (1 <= len(lane) <= MAX_LANE, "lane is empty or too long"),
        (len(plate) <= MAX_PLATE, "plate is too long"),
        (colour in COLOURS, "colour is not one of the list"),
        (confidence == "" or _is_whole(confidence, 1000), "confidence is outside 0..1"),
        (len(direction) <= MAX_DIRECTION, "direction is too long"),
        (_is_whole(time_ns, (1 << 64) - 1), "camera_time_ns is no u64"),
        (len(picture_ref) <= MAX_PICTURE_REF, "picture_ref is too long"),
        (not any(map(_CONTROL.search, fields)), "a control character stands in a field"),
    )
    return next((text for holds, text in checks if not holds), "")


def _is_whole(text: str, largest: int) -> bool:
    return _WHOLE.fullmatch(text) is not None and int(text) <= largest


class PlateDecoder:
    """Finds readings in a stream of bytes cut anywhere; never raises.

    Attributes
    ----------
    counters : Counter[str]
        ``frames`` good ones; ``damaged`` checksum wrong, cut off or not UTF-8; ``malformed``
        checksum right but a field is not as agreed; ``unknown_version``; ``oversize``;
        ``noise_bytes`` bytes outside every frame.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._frames = MarkedFrames(MAX_FRAME_BYTES, self.counters)

    def feed(self, data: bytes) -> list[PlateFrame]:
        """Readings that ``data`` completes, in the order of the line."""
        decoded = map(self._decode, self._frames.feed(data))
        return [frame for frame in decoded if frame is not None]

    def _decode(self, body: bytes) -> PlateFrame | None:
        """A frame without STX and ETX; None, and counted, if it is not as agreed."""
        guarded, check = body[:-8], body[-8:]
        if check != b"%08X" % zlib.crc32(guarded):
            self.counters["damaged"] += 1
            return None
        try:
            version, *fields = guarded.decode().split("\t")
        except UnicodeDecodeError:
            self.counters["damaged"] += 1
            return None
        if version != _VERSION:
            self.counters["unknown_version"] += 1
            return None
        # The TAB before the checksum leaves an empty last part.
        if len(fields) != 9 or fields[-1] or _problem((version, *fields[:-1])):
            self.counters["malformed"] += 1
            return None
        self.counters["frames"] += 1
        return _frame_of(fields)


def _frame_of(fields: list[str]) -> PlateFrame:
    sequence, lane, plate, colour, confidence, direction, time_ns, picture_ref, _ = fields
    return PlateFrame(
        int(sequence),
        lane,
        plate,
        colour,
        int(confidence) / 1000 if confidence else None,
        direction,
        int(time_ns),
        picture_ref,
    )
