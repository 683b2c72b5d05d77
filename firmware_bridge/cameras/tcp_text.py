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
from firmware_bridge.plate_grammar import normalised

MAX_FRAME_BYTES = 128
_STX, _ETX = 0x02, 0x03
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
        self._frame: bytearray | None = None

    def feed(self, data: bytes) -> list[CameraEvent]:
        """Readings that ``data`` completes, in the order of the line."""
        found = []
        for byte in data:
            if byte == _STX:
                self.counters["damaged"] += self._frame is not None
                self._frame = bytearray()
            elif self._frame is None:
                self.counters["noise_bytes"] += byte not in b"\r\n"
            elif byte == _ETX:
                event, self._frame = self._decode(bytes(self._frame)), None
                if event is not None:
                    found.append(event)
            else:
                self._collect(byte)
        return found

    def _collect(self, byte: int) -> None:
        assert self._frame is not None
        self._frame.append(byte)
        if len(self._frame) > MAX_FRAME_BYTES - 2:
            self.counters["oversize"] += 1
            self._frame = None

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
