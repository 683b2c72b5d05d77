"""From a flat document in a maker's words to one reading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from firmware_bridge.anpr import MAX_DIRECTION, MAX_LANE, MAX_PLATE
from firmware_bridge.cameras.dialect import Dialect, TimeWord
from firmware_bridge.cameras.documents import Flat
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.plate_grammar import normalised

MAX_WORD = 64
"""Longest word of a field that is kept, in characters."""

_LAST_NS = 1 << 62
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_DIGITS = re.compile(r"([0-9]{14})([0-9]{0,6})", re.ASCII)
_TRUE = frozenset({"true", "1", "yes"})


def events_of(flat: Flat, key: str) -> Iterator[Flat]:
    """The events of a document that holds a list of them under ``key``; else the whole."""
    grouped: dict[int, Flat] = {}
    pattern = re.compile(rf"{re.escape(key)}\[([0-9]{{1,3}})\]\.(.+)") if key else None
    for path, value in flat.items():
        if pattern and (found := pattern.fullmatch(path)):
            grouped.setdefault(int(found[1]), {})[found[2]] = value
    yield from (grouped[number] for number in sorted(grouped)) if grouped else [flat]


class Normaliser:
    """Reads flat documents by a dialect; never raises.

    Parameters
    ----------
    dialect : Dialect
    utc_offset_s : int
        How far the camera's local time is ahead of UTC, where it states local time only.

    Attributes
    ----------
    counters : Counter[str]
        ``other_events`` documents that are no readings (heartbeats, states); ``malformed``
        readings without what a reading must have; ``unknown_words`` colours that the dialect does
        not name.
    """

    def __init__(self, dialect: Dialect, utc_offset_s: int = 0) -> None:
        self.counters: Counter[str] = Counter()
        self._dialect = dialect
        self._offset_s = utc_offset_s

    def event(self, flat: Flat) -> CameraEvent | None:
        """The reading of a document, without pictures; None, and counted, where it is none."""
        kind = self._dialect.kind_event
        if kind.path and flat.get(kind.path, "") not in kind.values:
            self.counters["other_events"] += 1
            return None
        sent = self._first(flat, "plate")
        if sent is None or len(sent) > MAX_WORD or not sent.isprintable():
            self.counters["malformed" if sent or kind.path else "other_events"] += 1
            return None
        plate = self._plate(sent)
        if len(plate) > MAX_PLATE:
            self.counters["malformed"] += 1
            return None
        time_ns, step_ns = self._time(flat)
        return CameraEvent(
            plate=plate,
            colour=self._colour(flat),
            kind=self._word(flat, "kind"),
            confidence=self._confidence(flat),
            direction=self._direction(flat),
            lane=self._word(flat, "lane")[:MAX_LANE],
            device=self._word(flat, "device"),
            event_id=self._word(flat, "event_id"),
            camera_time_ns=time_ns,
            time_step_ns=step_ns,
            resent=self._word(flat, "resent").lower() in _TRUE,
            more_to_come=self._word(flat, "more_to_come").lower() in _TRUE,
        )

    def picture_count(self, flat: Flat) -> int | None:
        """How many pictures the document announces; None where it does not say."""
        count = self._word(flat, "picture_count")
        return int(count) if len(count) < 3 and _WHOLE.fullmatch(count) else None

    def _first(self, flat: Flat, field: str) -> str | None:
        """The first of a field's paths that says something; else the first that is there."""
        found = [flat[path] for path in self._dialect.fields.get(field, ()) if path in flat]
        return next(filter(None, found), found[0] if found else None)

    def _word(self, flat: Flat, field: str) -> str:
        word = (self._first(flat, field) or "").strip()
        return word if len(word) <= MAX_WORD and word.isprintable() else ""

    def _plate(self, sent: str) -> str:
        separator = self._dialect.plate_separator
        plate = (sent.split(separator)[0] if separator else sent).strip()
        return "" if plate in self._dialect.unread or not normalised(plate) else plate

    def _colour(self, flat: Flat) -> str:
        word = self._word(flat, "colour").lower()
        colour = self._dialect.colours.get(word)
        self.counters["unknown_words"] += bool(word) and colour is None
        return colour or "unknown"

    def _direction(self, flat: Flat) -> str:
        word = self._word(flat, "direction").lower()
        return self._dialect.directions.get(word, word)[:MAX_DIRECTION]

    def _confidence(self, flat: Flat) -> float | None:
        word = self._word(flat, "confidence")
        share = float(word) / self._dialect.confidence_scale if _DECIMAL.fullmatch(word) else -1.0
        return share if 0.0 <= share <= 1.0 else None

    def _time(self, flat: Flat) -> tuple[int | None, int]:
        """UTC of the picture and its step, by the first statement that reads.

        A fraction of just zero is one that the camera does not know: most fill it in so.
        """
        for word in self._dialect.times:
            found = _TIMES[word.form](flat, word, self._offset_s)
            if found is not None and 0 <= found[0] < _LAST_NS:
                return found
        return None, 1_000_000_000


def _epoch(flat: Flat, word: TimeWord, offset_s: int) -> tuple[int, int] | None:
    text = flat.get(word.path, "")
    if _WHOLE.fullmatch(text) is None:
        return None
    step_ns = 1_000_000_000 // word.per_s
    time_ns = int(text) * step_ns
    rest = flat.get(word.fraction, "") if word.fraction else ""
    if _WHOLE.fullmatch(rest) and 0 < int(rest) < word.fraction_per_s:
        step_ns = 1_000_000_000 // word.fraction_per_s
        time_ns += int(rest) * step_ns
    return time_ns - (offset_s * 1_000_000_000 if word.local else 0), step_ns


def _digits(flat: Flat, word: TimeWord, offset_s: int) -> tuple[int, int] | None:
    found = _DIGITS.fullmatch(flat.get(word.path, ""))
    if found is None:
        return None
    try:
        moment = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    fraction_ns = int(found[2].ljust(9, "0"))
    step_ns = 10 ** (9 - len(found[2])) if fraction_ns else 1_000_000_000
    time_ns = round(moment.timestamp()) * 1_000_000_000 + fraction_ns
    return time_ns - (offset_s * 1_000_000_000 if word.local else 0), step_ns


def _iso(flat: Flat, word: TimeWord, offset_s: int) -> tuple[int, int] | None:
    text = flat.get(word.path, "")
    if len(text) > MAX_WORD:
        return None
    try:
        moment = datetime.fromisoformat(text)
        local = moment.tzinfo is None
        moment = moment.replace(tzinfo=UTC) if local else moment.astimezone(UTC)
        whole_s = round(moment.replace(microsecond=0).timestamp())
    except (ValueError, OverflowError):
        return None
    step_ns = 1_000_000 if moment.microsecond else 1_000_000_000
    time_ns = whole_s * 1_000_000_000 + moment.microsecond * 1_000
    return time_ns - (offset_s * 1_000_000_000 if local else 0), step_ns


_TIMES = {"epoch": _epoch, "digits": _digits, "iso": _iso}
