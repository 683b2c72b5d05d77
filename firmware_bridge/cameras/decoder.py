"""Messages of network cameras, whole (a POST) or as a stream, into readings with their pictures.

A reading is its document and the pictures that follow it, in the same message or stream, before
the next document. Nothing raises, and no more than one reading with its pictures is held.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice

from firmware_bridge.cameras.dialect import Dialect
from firmware_bridge.cameras.documents import Flat, Form, Malformed, flatten
from firmware_bridge.cameras.event import CameraEvent, CameraPicture, Role
from firmware_bridge.cameras.multipart import MultipartDecoder, Part, boundary_of
from firmware_bridge.cameras.normalise import Normaliser, events_of

MAX_EVENTS = 16
"""Of one document; cameras send one."""

MAX_PICTURES = 8
MAX_PICTURE_BYTES = 8 << 20
MAX_DOCUMENT_BYTES = 24 << 20

_TYPES: dict[Form, str] = {
    "xml": "application/xml",
    "json": "application/json",
    "lines": "text/plain",
}
_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


@dataclass(slots=True)
class _Open:
    """A reading whose pictures may still follow."""

    event: CameraEvent
    expected: int | None
    pictures: list[CameraPicture] = field(default_factory=list)
    lengths: list[tuple[int, int]] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return self.expected is not None and len(self.pictures) >= self.expected

    def closed(self) -> CameraEvent:
        return replace(self.event, pictures=tuple(self.pictures[:MAX_PICTURES]))


class CameraDecoder:
    """Readings out of what one camera sends.

    Parameters
    ----------
    dialect : Dialect
    utc_offset_s : int
        How far the camera's local time is ahead of UTC.
    boundary : str
        Of the stream that `feed` gets; not needed for whole messages.

    Attributes
    ----------
    counters : Counter[str]
        ``readings``; those of `Normaliser` and `MultipartDecoder`; ``malformed`` documents that
        do not read; ``pictures_unusable`` (cut off, too large, no JPEG) and ``pictures_stray``
        (without a reading).
    """

    def __init__(self, dialect: Dialect, utc_offset_s: int = 0, boundary: str = "") -> None:
        self._dialect = dialect
        self._normaliser = Normaliser(dialect, utc_offset_s)
        self._stream = MultipartDecoder(boundary)
        self._open: _Open | None = None
        self._counted: Counter[str] = Counter()

    @property
    def counters(self) -> Counter[str]:
        """What was met so far."""
        return self._counted + self._normaliser.counters + self._stream.counters

    def takes(self, content_type: str) -> bool:
        """Whether a message of this type can hold readings."""
        media_type = content_type.partition(";")[0].strip().lower()
        if media_type.startswith("multipart/"):
            return bool(boundary_of(content_type))
        return media_type in self._dialect.media_types

    def message(self, content_type: str, body: bytes) -> list[CameraEvent]:
        """The readings of a whole message."""
        boundary = (
            boundary_of(content_type) if content_type.lower().startswith("multipart/") else ""
        )
        if not boundary:
            media_type = content_type.partition(";")[0].strip().lower()
            return [*self._take(Part({"content-type": media_type}, body)), *self.flush()]
        parts = MultipartDecoder(boundary)
        found = parts.feed(body)
        parts.end()
        self._counted += parts.counters
        return [*self._all(found), *self.flush()]

    def feed(self, data: bytes) -> list[CameraEvent]:
        """The readings that more of the stream completes."""
        return self._all(self._stream.feed(data))

    def flush(self) -> list[CameraEvent]:
        """What is complete but for pictures that did not come."""
        done, self._open = self._open, None
        if done is None:
            return []
        self._counted["readings"] += 1
        return [done.closed()]

    @property
    def waits(self) -> bool:
        """Whether a reading waits for its pictures."""
        return self._open is not None

    def _all(self, parts: list[Part]) -> list[CameraEvent]:
        return [event for part in parts for event in self._take(part)]

    def _take(self, part: Part) -> list[CameraEvent]:
        if part.media_type.startswith("image/") or part.body.startswith(_JPEG_START):
            return self._take_picture(part)
        done = self.flush()
        if len(part.body) > MAX_DOCUMENT_BYTES:
            self._counted["oversize"] += 1
            return done
        try:
            flat = flatten(self._dialect.form, part.body, self._dialect.encodings)
        except Malformed:
            self._counted["malformed"] += 1
            return done
        for each in islice(events_of(flat, self._dialect.events), MAX_EVENTS):
            done += self.flush()
            self._begin(each, part)
        return done + (self.flush() if self._open and self._open.whole else [])

    def _begin(self, flat: Flat, part: Part) -> None:
        event = self._normaliser.event(flat)
        if event is None:
            return
        event = replace(event, document=part.body, media_type=_TYPES[self._dialect.form])
        lengths = _lengths(flat, self._dialect.picture_table)
        expected = self._normaliser.picture_count(flat)
        self._open = _Open(event, len(lengths) or None if expected is None else expected)
        self._open.lengths = lengths
        for word in self._dialect.pictures:
            if text := flat.get(word.path, ""):
                self._add(word.role, _from_base64(text))

    def _take_picture(self, part: Part) -> list[CameraEvent]:
        if self._open is None:
            self._counted["pictures_stray"] += 1
            return []
        for data in _cut(part.body, self._open.lengths):
            self._add(self._role(part.label.lower()), data)
        return self.flush() if self._open.whole else []

    def _role(self, label: str) -> Role:
        words = self._dialect.picture_labels.items()
        return next((role for word, role in words if word in label), "scene")

    def _add(self, role: Role, data: bytes) -> None:
        assert self._open is not None
        if is_jpeg(data) and len(self._open.pictures) < MAX_PICTURES:
            self._open.pictures.append(CameraPicture(role, data))
        else:
            self._counted["pictures_unusable"] += 1
            if self._open.expected:  # it came, though it is of no use
                self._open.expected -= 1


def is_jpeg(data: bytes) -> bool:
    """Whether these are the bytes of a whole JPEG of permitted size; padding may follow it."""
    ends = data[-64:].rstrip(b"\x00\r\n").endswith(_JPEG_END)
    return data.startswith(_JPEG_START) and ends and len(data) <= MAX_PICTURE_BYTES


def _from_base64(text: str) -> bytes:
    """The bytes of base64, also behind ``data:image/jpeg;base64,``; empty if it is none."""
    if len(text) > MAX_PICTURE_BYTES * 4 // 3 + 128:
        return b""
    start = text.find(",", 0, 64) + 1 if text.startswith("data:") else 0
    try:
        return base64.b64decode("".join(text[start:].split()), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _lengths(flat: Flat, table: str) -> list[tuple[int, int]]:
    """Begin and length of the pictures in one part, as the document tells them."""
    keys = [f"{table}[{number}]" for number in range(MAX_PICTURES if table else 0)]
    told = [(flat.get(f"{key}.Offset", ""), flat.get(f"{key}.Length", "")) for key in keys]
    return [(int(a), int(b)) for a, b in told if _NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)]


def _cut(data: bytes, lengths: list[tuple[int, int]]) -> list[bytes]:
    """The pictures of one part; the whole where the document's lengths do not fit it."""
    pieces = [data[offset : offset + length] for offset, length in lengths]
    fits = sum(length for _, length in lengths) == len(data) and all(map(is_jpeg, pieces))
    return pieces if len(pieces) > 1 and fits else [data]
