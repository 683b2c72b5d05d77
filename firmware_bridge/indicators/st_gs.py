"""The "ST,GS" family: General Measure GM8804 and M02, PT650D, Rinstrum FMT_4, and many copies.

18 or 19 bytes::

    ST US OL ZR | ',' | GS GR NT TR | ',' | sign | seven or eight characters | unit | CR LF

ST at rest, US moving, OL out of range, ZR at rest and at zero; GS or GR gross, NT net, TR tare.
The sign is ``+``, ``-`` or a blank. The unit has two characters (``kg``, `` t``, ``lb``); some
copies set a comma or a blank before it, and some send `` g`` or one letter. No checksum.

Vector: ``53 54 2C 47 53 2C 2B 30 31 31 2E 31 32 30 6B 67 0D 0A`` is +11.120 kg at rest.
Source: manuals of General Measure M02, Tiger TI-02-P, Rinstrum R320.
"""

from __future__ import annotations

import re

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, kilograms, outside

_LINE = re.compile(
    rb"(ST|US|OL|ZR),(GS|GR|NT|TR),([-+ ][- .0-9]{7,8})[, ]?( ?(?:kg|g|t|lb|oz))\r\n"
)
_LONGEST = 21
_MODES: dict[bytes, Mode] = {b"GS": "gross", b"GR": "gross", b"NT": "net", b"TR": "tare"}


def st_gs(*, bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of the family's lines."""
    return IndicatorDecoder(_LINE, _read, _LONGEST, TABLES[bits])


def _read(found: re.Match[bytes]) -> Outcome:
    state, kind, number, unit = found.groups()
    mode, name = _MODES[kind], unit.decode().strip()
    if state == b"OL":
        return outside(found[0], name, "under" if number.startswith(b"-") else "over", mode)
    weight_kg = kilograms(number.decode(), name)
    if weight_kg is None:
        return "malformed"
    return IndicatorReading(
        weight_kg,
        found[0],
        name,
        mode,
        stable=state != b"US",
        centre_of_zero=True if state == b"ZR" else None,
    )
