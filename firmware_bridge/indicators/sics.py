"""MT-SICS, level 0: lines of upper-case ASCII, fields parted by blanks, CR LF.

::

    SI  -> S S     100.00 kg     at rest
           S D     100.02 kg     moving
           S I                   understood, but not executable now
           S +    S -            over, under the range
           ES  ET  EL            syntax, transmission, logical error

Some devices answer ``SI S`` for ``S S``. The weight is right-aligned in ten characters; it is read
by fields, for copies of the format do not keep the columns. It is the net weight while a tare is
set, and the line does not say whether. The lines have no checksum. ``S`` would wait for rest and
``SR`` for a change, so ``SI`` is asked. Source: reference manuals of MT balances and T104; the
error lines are known from memory only.
"""

from __future__ import annotations

import re

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Range, kilograms, outside

_WEIGHT = rb"([SD]) {1,10}(-? {0,9}[0-9]{1,9}(?:\.[0-9]{0,8})?) {1,4}([A-Za-z]{1,5}) {0,4}"
_LINE = re.compile(rb"(?<![ -~])(?:SI? (?:" + _WEIGHT + rb"|([I+-]))|E[STL])\r\n")
_LONGEST = 57
_OUTSIDE: dict[bytes, Range] = {b"+": "over", b"-": "under"}


def sics(*, bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of weight replies."""
    return IndicatorDecoder(_LINE, _read, _LONGEST, TABLES[bits])


def sics_request() -> bytes:
    """The line that asks for the weight of this moment."""
    return b"SI\r\n"


def _read(found: re.Match[bytes]) -> Outcome:
    rest, number, unit, special = found.groups()
    if special in _OUTSIDE:
        return outside(found[0], "", _OUTSIDE[special])
    if number is None:
        return "declined"
    weight_kg = kilograms(number.decode(), unit.decode())
    if weight_kg is None:
        return "malformed"
    return IndicatorReading(weight_kg, found[0], unit.decode(), stable=rest == b"S")
