"""HBM/HBK AED (AD103, AD104, AD105) and FIT: digital load cells, ASCII output COF3 and COF9.

::

    S01; MSV?;   ->   COF3   value(8) CR LF
                      COF9   value(8) ',' address(2) ',' status(3) CR LF
                 ->   '?' CR LF where the command is not taken

``S01;`` selects a device of the bus and is not answered. The value is a whole number of digits of
the scaling set in the device (NOV), so what a digit is worth is a setting without a default.
Status bits: 1 outside of the range, 2 gross (else net), 3 at rest, 7 error. The text has no
checksum. Binary outputs (COF0 to COF12, +32) are not read: their bytes may be 0D 0A, so frames
in them can only be counted off, and one lost byte shifts all that follow.
Source: manual of AD104-R2; the status bits from that of WE2107, taken to be the same.
"""

from __future__ import annotations

import re
from decimal import Decimal

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, outside

_VALUE = rb"(?<![ -~])(?:([ +-] {0,6}[0-9]{1,7})"
_DECLINED = rb"|\?)\r\n"
_FORMS = {
    3: re.compile(_VALUE + rb"()()" + _DECLINED),
    9: re.compile(_VALUE + rb",([0-9]{2}),([ 0-9]{3})" + _DECLINED),
}
_VALUE_BYTES = 8
_LONGEST = 23
"""Of a value as long as the pattern takes it: one of too many digits is malformed however cut."""
_OUTSIDE, _GROSS, _REST, _ERROR = 1 << 1, 1 << 2, 1 << 3, 1 << 7


def aed(
    *, kg_per_digit: float, form: int = 3, address: int = 1, bits: Bits = "8n"
) -> IndicatorDecoder:
    """Decoder of values in output format COF ``form`` (3 or 9), in COF9 of one address only."""
    worth_kg = Decimal(str(kg_per_digit))

    def read(found: re.Match[bytes]) -> Outcome:
        value, who, status = found.groups()
        if value is None:
            return "declined"
        if len(value) != _VALUE_BYTES:
            return "malformed"
        if form == 9 and int(who) != address:
            return "foreign"
        weight_kg = float(int(value.replace(b" ", b"")) * worth_kg) + 0.0
        if form == 3:
            return IndicatorReading(weight_kg, found[0], "kg")
        return _with_status(weight_kg, found[0], status)

    return IndicatorDecoder(_FORMS[form], read, _LONGEST, TABLES[bits])


def aed_request(*, address: int = 1) -> bytes:
    """Select the device, then ask for one value."""
    return b"S%02d;MSV?;" % address


def _with_status(weight_kg: float, raw: bytes, status: bytes) -> Outcome:
    if not status.strip().isdigit():
        return "malformed"
    bits = int(status)
    mode: Mode = "gross" if bits & _GROSS else "net"
    if bits & _ERROR:
        return outside(raw, "kg", "error", mode)
    if bits & _OUTSIDE:
        return outside(raw, "kg", "under" if weight_kg < 0 else "over", mode)
    return IndicatorReading(weight_kg, raw, "kg", mode, stable=bool(bits & _REST))
