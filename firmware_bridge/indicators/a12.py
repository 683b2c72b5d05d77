"""Yaohua XK3190-A12 and A12E, and a dialect of it without a checksum.

15 bytes with a checksum::

    'W' | 'G' or 'N' | seven characters | "kg" | XOR, two hexadecimal digits | CR LF

XOR runs over the eleven bytes before it. The number holds its point; its first character is ``-``
when negative, its last a blank when there is no point. ``WG004.139kg`` is followed by ``3D``. Over
the range nine blanks and ``OL`` stand in their place, under it (by 20 divisions) ``LO``: both have
the checksum 23, so only the letters tell one from the other.

The dialect sends ``ww000.000kg`` (weight), ``wn-0000.1kg`` (net) and ``wt`` (tare), and no more.
Source: manual of XK3190-A12; the dialect from published driver code.
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, kilograms, outside

_FRAME = re.compile(rb"(?:W([GN])([- 0-9][ .0-9]{6})kg| {9}(OL|LO))([0-9A-F]{2})\r\n")
_DIALECT = re.compile(rb"w([wnt])([- 0-9][ .0-9]{6})kg")
_MODES: dict[bytes, Mode] = {b"G": "gross", b"N": "net", b"w": "gross", b"n": "net", b"t": "tare"}


def a12(*, bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of the format with a checksum."""
    return IndicatorDecoder(_FRAME, _read, 15, TABLES[bits])


def a12_dialect(*, bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of the dialect without one."""
    return IndicatorDecoder(_DIALECT, _weight, 11, TABLES[bits])


def _read(found: re.Match[bytes]) -> Outcome:
    if found[4] != b"%02X" % reduce(xor, found[0][:-4]):
        return "damaged"
    if found[3]:
        return outside(found[0], "kg", "over" if found[3] == b"OL" else "under")
    return _weight(found)


def _weight(found: re.Match[bytes]) -> Outcome:
    weight_kg = kilograms(found[2].decode(), "kg")
    if weight_kg is None:
        return "malformed"
    return IndicatorReading(weight_kg, found[0], "kg", _MODES[found[1]])
