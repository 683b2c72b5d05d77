"""Plain text over TCP or a serial line: ``STX YYYYMMDDHHMMSS CC PLATE ETX``.

The form of FF Group's CaptureSpeed and relatives: local time to the second, two digits of the
camera's number (taken as its lane), the plate, "Not defined" where none was read. Blanks between
the fields are left out by some. There is no checksum, so a form is all that a frame must keep:
what the line damages into another plate is taken for that plate ("unprotected"). Over TCP the
transport's own checksum guards it; on a serial line choose the station's own frame
(`firmware_bridge.anpr`) where the camera can send it.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

from firmware_bridge.anpr import MAX_PLATE
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.marked_frames import MarkedFrames
from firmware_bridge.plate_grammar import normalised

MAX_FRAME_BYTES = 128
_FRAME = re.compile(r"([0-9]{14}) ?([0-9]{2}) ?(.*)", re.ASCII)


class TcpTextDecoder:
    """Readings in a stream of bytes cut anywhere; never raises.

    Parameters
    ----------
    utc_offset_s : int
        How far the camera's local time is ahead of UTC.

    Attributes
    ----------
    counters : Counter[str]
        ``frames``; ``damaged`` cut off, or not UTF-8; ``malformed``; ``oversize``;
        ``noise_bytes`` outside of frames.
    """

    def __init__(self, utc_offset_s: int = 0) -> None:
        self.counters: Counter[str] = Counter()
        self._offset_s = utc_offset_s
        self._frames = MarkedFrames(MAX_FRAME_BYTES, self.counters)

    def feed(self, data: bytes) -> list[CameraEvent]:
        """Readings that ``data`` completes, in the order of the line."""
        decoded = map(self._decode, self._frames.feed(data))
        return [event for event in decoded if event is not None]

    def _decode(self, body: bytes) -> CameraEvent | None:
        try:
            text = body.decode()
        except UnicodeDecodeError:
            self.counters["damaged"] += 1
            return None
        event = self._read(text, body)
        self.counters["frames" if event else "malformed"] += 1
        return event

    def _read(self, text: str, body: bytes) -> CameraEvent | None:
        found = _FRAME.fullmatch(text)
        if found is None or not found[3].isprintable() or len(found[3].strip()) > MAX_PLATE:
            return None
        try:
            local = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            return None
        sent = found[3].strip()
        return CameraEvent(
            plate=sent if normalised(sent) else "",
            lane=found[2],
            camera_time_ns=max(round(local.timestamp()) - self._offset_s, 0) * 1_000_000_000,
            document=body,
        )
