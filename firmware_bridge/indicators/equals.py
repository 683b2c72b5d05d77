"""The "=" formats: Yaohua A26 formats 1 and 2, A23P format 2, D2+, Keli D2008F tF=2 and tF=3.

``=`` and then the number as shown, point and all; nine bytes, or eight (D2008F tF=3). Two mirrored
forms are sold under one name::

    straight   =0003.000   =-0001.00     sign first, high digit first
    mirrored   =000.3000   =00.1000-     low digit first, sign last

Which of the two it is cannot be told from every value (``=00000000``, ``=010.0010``), so it is a
setting without a default; `looks_mirrored` tells it at commissioning from a load that changes.
The frames have no end mark, no checksum, no unit, no motion and no range.
Source: manuals of XK3190-A26 and A23P; tF=2 and tF=3 from published driver code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, kilograms

_LEAST_CHANGES = 5


def equals(
    *, mirrored: bool, characters: int = 9, unit: str = "kg", bits: Bits = "8n"
) -> IndicatorDecoder:
    """Decoder of frames of ``characters`` bytes, the equals sign among them."""
    form = re.compile(rb"=([-+ .0-9]{%d})" % (characters - 1))

    def read(found: re.Match[bytes]) -> Outcome:
        number = found[1].decode()
        weight_kg = kilograms(number[::-1] if mirrored else number, unit)
        if weight_kg is None:
            return "malformed"
        return IndicatorReading(weight_kg, found[0], unit)

    return IndicatorDecoder(form, read, characters, TABLES[bits])


def looks_mirrored(frames: Sequence[bytes]) -> bool | None:
    """Whether frames of a load that moved are of the mirrored form; None if they don't tell.

    A minus stands at one end only; without one, the low digit changes more often than the high.
    """
    negative = [frame for frame in frames if b"-" in frame]
    if negative:
        return negative[0].endswith(b"-")
    first, last = (_changes([frame[at] for frame in frames]) for at in (1, -1))
    if max(first, last) < _LEAST_CHANGES or first == last:
        return None
    return first > last


def _changes(characters: list[int]) -> int:
    return sum(a != b for a, b in pairwise(characters))
