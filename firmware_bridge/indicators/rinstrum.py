"""Rinstrum R300 and R400: the automatic output formats 1, 2, 3 and 5.

::

    FMT_1  02 | sign | weight(7) | G N U O M E | 03
    FMT_2  02 | sign | weight(7) | G N U O E | M or blank | Z or blank | range | unit(3) | 03
    FMT_3  02 | weight(8) | G N | M S | I O U | Z or blank | maybe two blanks | 03
    FMT_5  sign | weight(7) | L K G T | G N | blank M O I | CR LF

Sign is a blank or ``-``; weight holds its point. G gross, N net, U under, O over, M motion, E
error, S at rest, I in range, Z centre of zero; in FMT_5 O is over or under, by its sign, and I an
error. FMT_1 and FMT_3 send no unit, and FMT_2 sends it at rest only: the setting stands in, and a
unit that is sent and is another is refused. FMT_4 is the family of `st_gs`. None has a checksum.
Source: manuals of R320, R427, C530.
"""

from __future__ import annotations

import re

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, Range, kilograms, outside

_WEIGHT = rb"(?P<weight>[- ][-. 0-9]{7})"
_FORMS = {
    1: rb"\x02" + _WEIGHT + rb"(?P<state>[GNUOME])\x03",
    2: rb"\x02" + _WEIGHT + rb"(?P<state>[GNUOE])(?P<motion>[M ])(?P<zero>[Z ])[-12 ]"
    rb"(?P<unit>[ a-z]{3})\x03",
    3: rb"\x02" + _WEIGHT + rb"(?P<state>[GN])(?P<motion>[MS])(?P<range>[IOU])(?P<zero>[Z ])"
    rb"(?:  )?\x03",
    5: rb"(?<![ -~])" + _WEIGHT + rb"(?P<unit>[LKGT])(?P<state>[GN])(?P<motion>[ MOI])\r\n",
}
_LONGEST = 18
_MODES: dict[str, Mode] = {"G": "gross", "N": "net"}
_RANGES: dict[str, Range] = {"U": "under", "O": "over", "E": "error"}
_LAST: dict[str, Range] = {"O": "over", "I": "error"}
_LETTERS = {"K": "kg", "G": "g", "T": "t", "L": "lb"}


def rinstrum(*, form: int = 1, unit: str = "kg", bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of format ``form`` (1, 2, 3 or 5); ``unit`` where the frame holds none."""

    def read(found: re.Match[bytes]) -> Outcome:
        said = {name: (value or b"").decode() for name, value in found.groupdict().items()}
        return _reading(found[0], said, unit)

    return IndicatorDecoder(re.compile(_FORMS[form]), read, _LONGEST, TABLES[bits])


def _reading(raw: bytes, said: dict[str, str], unit: str) -> Outcome:
    sent = said.get("unit", "").strip()
    if sent in _LETTERS:
        unit = _LETTERS[sent]
    elif sent not in ("", unit):
        return "malformed"
    state, motion = said["state"], said.get("motion", "")
    mode = _MODES.get(state, "unknown")
    why = _RANGES.get(state) or _LAST.get(motion) or _RANGES.get(said.get("range", ""))
    if why:
        below = why == "over" and said["weight"].startswith("-")
        return outside(raw, unit, "under" if below else why, mode)
    weight_kg = kilograms(said["weight"], unit)
    if weight_kg is None:
        return "malformed"
    zero = said.get("zero")
    return IndicatorReading(
        weight_kg,
        raw,
        unit,
        mode,
        stable="M" not in (state, motion),
        centre_of_zero=None if zero is None else zero == "Z",
    )
