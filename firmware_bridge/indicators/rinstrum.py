"""Rinstrum R300 and R400: the automatic output formats 1, 2, 3 and 5.

::

    FMT_1  02 | sign | weight(7) | G N U O M E | 03
    FMT_2  02 | sign | weight(7) | G N U O E | M or blank | Z or blank | range | unit(3) | 03
    FMT_3  02 | weight(8) | G N | M S | I O U | Z or blank | maybe two blanks | 03
    FMT_5  sign | weight(7) | L K G T | G N | blank M O | CR LF

Sign is a blank or ``-``; weight holds its point. G gross, N net, U under, O over, M motion, E
error, S at rest, I in range, Z centre of zero. FMT_1 and FMT_3 send no unit. In FMT_2 the unit is
blank while the weight moves, so the setting stands in for it there. FMT_4 is the family of
`st_gs`. None has a checksum. Source: reference manuals of R320 and R427.
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
    5: rb"(?<![ -~])" + _WEIGHT + rb"(?P<unit>[LKGT])(?P<state>[GN])(?P<motion>[ MO])\r\n",
}
_LONGEST = 18
_MODES: dict[str, Mode] = {"G": "gross", "N": "net"}
_RANGES: dict[str, Range] = {"U": "under", "O": "over", "E": "error"}
_LETTERS = {"K": "kg", "G": "g", "T": "t", "L": "lb"}


def rinstrum(*, form: int = 1, unit: str = "kg", bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of format ``form`` (1, 2, 3 or 5); ``unit`` where the frame holds none."""

    def read(found: re.Match[bytes]) -> Outcome:
        said = {name: (value or b"").decode() for name, value in found.groupdict().items()}
        return _reading(found[0], said, unit)

    return IndicatorDecoder(re.compile(_FORMS[form]), read, _LONGEST, TABLES[bits])


def _reading(raw: bytes, said: dict[str, str], unit: str) -> Outcome:
    sent = said.get("unit", "").strip()
    unit = _LETTERS.get(sent, sent) or unit
    state, motion = said["state"], said.get("motion", "")
    mode = _MODES.get(state, "unknown")
    why = next((_RANGES[k] for k in (state, motion, said.get("range", "")) if k in _RANGES), None)
    if why:
        return outside(raw, unit, why, mode)
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
