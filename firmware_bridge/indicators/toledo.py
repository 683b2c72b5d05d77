"""Mettler-Toledo "standard continuous output", and the short form without tare (Cardinal 225).

::

    02 | SWA SWB SWC | six digits weight | six digits tare | CR | CHK
    02 | SWA SWB SWC | six digits weight | CR | CHK              (short)

CHK, where it is switched on, makes the sum of the low seven bits of the whole frame zero. Digits
are without point and sign, leading zeros may be blanks; a tare of blanks only is none told. Often
seven bits with even parity.

====  ======  ==================================================================================
word  bits    meaning
====  ======  ==================================================================================
SWA   0-2     0: x100, 1: x10, 2: x1, 3: 0.1, 4: 0.01, 5: 0.001, 6: 0.0001, 7: 0.00001
SWA   3-4     increment 1, 2, 5 (codes 1, 2, 3)
SWB   0-4     net, negative, out of range, motion, kilograms (else pounds)
SWB   6       zero not captured since power-up: such a reading is no weight here
SWC   0-2     0: kg or lb as in SWB, 1: g, 2: t; the rest differs by maker and is refused
SWC   4       expanded x10: refused, as makers differ in what the digits then are
====  ======  ==================================================================================

The constants in bits 5 (and 6 of SWA) are not looked at: copies of the format change them.
Source: manuals of Wildcat, IND445, Kern FTC, Rockwell 57C428, Fairbanks FB3000, Rice Lake 680,
Triner TS-700; CHK recomputed.
"""

from __future__ import annotations

import re

from firmware_bridge.indicators.framing import SEVEN_BITS, TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, outside, scaled_kilograms

_UNITS = {1: "g", 2: "t"}
_STEPS = {1: 1, 2: 2, 3: 5}


def toledo(*, checksum: bool = True, short: bool = False, bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of the continuous output; with ``bits="8n"`` the eighth bit is not looked at."""
    tare = rb"()" if short else rb"([ 0-9]{6})"
    form = rb"\x02([\x00-\x7f]{3})([ 0-9]{6})" + tare + rb"\r" + (rb"[\x00-\x7f]" * checksum)

    def read(found: re.Match[bytes]) -> Outcome:
        if checksum and sum(found[0]) % 128:
            return "damaged"
        return _reading(found)

    longest = (11 if short else 17) + checksum
    table = SEVEN_BITS if bits == "8n" else TABLES[bits]
    return IndicatorDecoder(re.compile(form), read, longest, table)


def _reading(found: re.Match[bytes]) -> Outcome:
    (a, b, c), weight, tare = found[1], found[2].decode(), found[3].lstrip().decode()
    unit = _UNITS.get(c & 7, "" if c & 7 else "kg" if b & 16 else "lb")
    if not unit or c & 16:
        return "malformed"
    exponent = 2 - (a & 7)
    mode: Mode = "net" if b & 1 else "gross"
    if b & 4:
        return outside(found[0], unit, "under" if b & 2 else "over", mode)
    if b & 64:
        return outside(found[0], unit, "error", mode)
    weight_kg = scaled_kilograms(weight, exponent, unit)
    tare_kg = scaled_kilograms(tare or "0", exponent, unit)
    if weight_kg is None or tare_kg is None:
        return "malformed"
    step = _STEPS.get(a >> 3 & 3)
    return IndicatorReading(
        weight_kg * (-1 if b & 2 else 1) + 0.0,
        found[0],
        unit,
        mode,
        stable=not b & 8,
        tare_kg=tare_kg if tare else None,
        division_kg=scaled_kilograms(str(step), exponent, unit) if step else None,
    )
