"""Multipart messages, whole or as an endless stream (RFC 2046 5.1, ``x-mixed-replace``).

A part that names its ``Content-Length`` is whole as soon as so many bytes have come: in a stream
its end mark would only come with the next event, seconds later. Without a length a part ends at
the boundary. At most one part is held, of bounded size, and nothing here raises.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

MAX_PART_BYTES = 9 << 20
MAX_HEAD_BYTES = 4_096
MAX_BOUNDARY = 70
"""RFC 2046 5.1.1."""

_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"\r\n]{1,72})"|([^\s;",]{1,72}))""", re.I)
_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


def boundary_of(content_type: str) -> str:
    """The boundary in a ``Content-Type``; empty where there is none that can be.

    Some cameras write the two dashes into it that belong before each part.
    """
    found = _BOUNDARY.search(content_type)
    boundary = (found[1] or found[2]).removeprefix("--") if found else ""
    return boundary if len(boundary) <= MAX_BOUNDARY else ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part; names of headers are lower case."""

    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The type without its parameters, lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def label(self) -> str:
        """What the sender calls the part; it names what a picture shows, never a file."""
        return self.headers.get("content-disposition", "")


class MultipartDecoder:
    """Parts out of bytes cut anywhere.

    Attributes
    ----------
    counters : Counter[str]
        ``parts``; ``malformed`` (a head that does not read, a length that does not meet a
        boundary); ``oversize``; ``noise_bytes`` before the first boundary and after an error.
    """

    def __init__(self, boundary: str, max_part_bytes: int = MAX_PART_BYTES) -> None:
        self.counters: Counter[str] = Counter()
        self._mark = b"--" + boundary.encode("latin-1", "replace")
        self._most = max_part_bytes
        self._held = bytearray()
        self._searched = 0
        self._headers: dict[str, str] | None = None
        self._length: int | None = None
        self._lost = True
        """Outside of any part: before the first boundary, or after an error."""

    def feed(self, data: bytes) -> list[Part]:
        """The parts that ``data`` completes."""
        self._held += data
        parts: list[Part] = []
        while self._step(parts):
            pass
        return parts

    def end(self) -> list[Part]:
        """The message is over: a last part without its boundary is cut off."""
        if not self._lost and (self._headers is not None or self._held.strip(b"\r\n-")):
            self.counters["truncated"] += 1
        self._held.clear()
        self._lost, self._headers, self._searched = True, None, 0
        return []

    def _step(self, parts: list[Part]) -> bool:
        """One step on; false where more bytes are needed."""
        if self._lost:
            return self._seek()
        if self._headers is None:
            return self._read_head()
        if self._length is not None:
            return self._take_counted(parts)
        return self._take_to_mark(parts)

    def _seek(self) -> bool:
        at = self._held.find(self._mark)
        if at < 0:
            keep = len(self._mark) - 1
            noise = max(len(self._held) - keep, 0)
            self._count_noise(self._held[:noise])
            del self._held[:noise]
            return False
        self._count_noise(self._held[:at])
        self._open(at + len(self._mark))
        return True

    def _count_noise(self, noise: bytearray) -> None:
        self.counters["noise_bytes"] += len(noise.translate(None, b"\r\n"))

    def _open(self, end: int) -> None:
        """A boundary ends at ``end``: what follows is the head of the next part."""
        del self._held[:end]
        self._lost, self._headers, self._length, self._searched = False, None, None, 0

    def _lose(self, counter: str) -> bool:
        self.counters[counter] += 1
        self._lost, self._headers, self._searched = True, None, 0
        return True

    def _read_head(self) -> bool:
        if self._held.startswith(b"--"):  # the last boundary; a stream may still go on
            del self._held[:2]
            self._lost = True
            return True
        end = self._held.find(b"\r\n\r\n", max(self._searched - 3, 0))
        if end < 0:
            self._searched = len(self._held)
            return self._lose("oversize") if len(self._held) > MAX_HEAD_BYTES else False
        if end > MAX_HEAD_BYTES:
            return self._lose("oversize")
        headers = _headers(bytes(self._held[:end]))
        if headers is None:
            return self._lose("malformed")
        length = headers.get("content-length", "")
        if length and _LENGTH.fullmatch(length) is None:
            return self._lose("malformed")
        if length and int(length) > self._most:
            return self._lose("oversize")
        del self._held[: end + 4]
        self._headers, self._length = headers, int(length) if length else None
        self._searched = 0
        return True

    def _take_counted(self, parts: list[Part]) -> bool:
        assert self._headers is not None
        assert self._length is not None
        if len(self._held) < self._length:
            return False
        inside = self._held.find(b"\r\n" + self._mark, 0, self._length)
        if inside >= 0:  # the length is wrong: a boundary stands inside
            self._held = self._held[inside:]
            return self._lose("malformed")
        self._finish(parts, self._length)
        self._lost = True
        return True

    def _take_to_mark(self, parts: list[Part]) -> bool:
        end = self._held.find(b"\r\n" + self._mark, self._searched)
        if end < 0:
            self._searched = max(len(self._held) - len(self._mark) - 1, 0)
            return self._lose("oversize") if len(self._held) > self._most else False
        if end > self._most:
            return self._lose("oversize")
        self._finish(parts, end)
        self._open(2 + len(self._mark))
        return True

    def _finish(self, parts: list[Part], length: int) -> None:
        assert self._headers is not None
        parts.append(Part(self._headers, bytes(self._held[:length])))
        self.counters["parts"] += 1
        del self._held[:length]
        self._headers, self._searched = None, 0


def _headers(head: bytes) -> dict[str, str] | None:
    """The lines of a head; None where one is no header or stands twice."""
    rest, *lines = head.decode("utf-8", "replace").split("\r\n")
    if rest.strip(" \t"):  # the boundary was the begin of a longer word
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, mark, value = line.partition(":")
        key = name.strip().lower()
        if not mark or not key or key in headers:
            return None
        headers[key] = value.strip()
    return headers
