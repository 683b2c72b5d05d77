"""Frames between STX and ETX, neither of which may stand inside of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

__all__ = ["ETX", "STX", "MarkedFrames"]

STX, ETX = 0x02, 0x03


class MarkedFrames:
    """Finds frames in a stream of bytes cut anywhere; never raises.

    A damaged frame costs itself alone: a new STX always begins a new frame.

    Parameters
    ----------
    longest_bytes : int
        Longest frame, from STX to ETX; no more than that is held.
    counters : Counter[str]
        Gets ``damaged`` (cut off by a new STX), ``oversize`` and ``noise_bytes`` (outside every
        frame; line ends are none).
    """

    def __init__(self, longest_bytes: int, counters: Counter[str]) -> None:
        self._longest_bytes = longest_bytes
        self._counters = counters
        self._frame: bytearray | None = None

    @property
    def held_bytes(self) -> int:
        """How much is kept between calls."""
        return len(self._frame or b"")

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What stands in the frames that ``data`` completes, in the order of the line."""
        for byte in data:
            if byte == STX:
                self._counters["damaged"] += self._frame is not None
                self._frame = bytearray()
            elif self._frame is None:
                self._counters["noise_bytes"] += byte not in b"\r\n"
            elif byte == ETX:
                body, self._frame = bytes(self._frame), None
                yield body
            else:
                self._collect(self._frame, byte)

    def _collect(self, frame: bytearray, byte: int) -> None:
        frame.append(byte)
        if len(frame) > self._longest_bytes - 2:
            self._counters["oversize"] += 1
            self._frame = None
