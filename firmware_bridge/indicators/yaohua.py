"""Yaohua XK3190 (A9, A9+, A6, DS1, DS3, C8, D9, A23P, A26 format 0) and Keli D2008F tF=0.

Continuous output (tF=0), 12 bytes::

    02 | '+' or '-' | six digits, high first | '0'..'4' decimals | XOR high | XOR low | 03

Command mode (DS3, A23P): the host asks with 6 bytes and is answered with 14::

    02 | address 'A'..'Z' | command | XOR high | XOR low | 03
    02 | address | command | '+' or '-' | six digits | decimals | XOR high | XOR low | 03

XOR runs over the bytes between 02 and itself and is sent as two characters, 0-9 and A-F, one a
half byte. Commands: B gross, C tare, D net. The frames hold no unit, and neither motion nor
range: the unit is a setting, rest is for the reader to judge.

Check vector: +20.00 is ``02 2B 30 30 32 30 30 30 32 31 42 03``, XOR 0x1B.
Source: manuals of XK3190-A9+, A1+, A23P, A26, DS3 (Shanghai Yaohua).
"""

from __future__ import annotations

import re
from functools import reduce
from operator import xor

from firmware_bridge.indicators.framing import TABLES, Bits, IndicatorDecoder, Outcome
from firmware_bridge.indicators.reading import IndicatorReading, Mode, scaled_kilograms

_VALUE = rb"([+-])([0-9]{6})([0-4])([0-9A-F]{2})\x03"
_CONTINUOUS = re.compile(rb"\x02" + _VALUE)
_REPLY = re.compile(rb"\x02([A-Z])([BCD])" + _VALUE)

COMMANDS: dict[str, str] = {"gross": "B", "tare": "C", "net": "D"}
_MODES: dict[bytes, Mode] = {b"B": "gross", b"C": "tare", b"D": "net"}


def yaohua(*, unit: str = "kg", bits: Bits = "8n") -> IndicatorDecoder:
    """Decoder of the continuous output."""

    def read(found: re.Match[bytes]) -> Outcome:
        return _reading(found[0], found.groups(), "unknown", unit)

    return IndicatorDecoder(_CONTINUOUS, read, 12, TABLES[bits])


def yaohua_command(
    *, address: str = "A", ask: str = "gross", unit: str = "kg", bits: Bits = "8n"
) -> IndicatorDecoder:
    """Decoder of replies in command mode; takes those to this question, of this address, only."""
    expected = (address.encode(), COMMANDS[ask].encode())

    def read(found: re.Match[bytes]) -> Outcome:
        who, command, *value = found.groups()
        outcome = _reading(found[0], tuple(value), _MODES[command], unit)
        return outcome if outcome == "damaged" or (who, command) == expected else "foreign"

    return IndicatorDecoder(_REPLY, read, 14, TABLES[bits])


def yaohua_request(*, address: str = "A", ask: str = "gross") -> bytes:
    """The six bytes that ask an indicator in command mode."""
    asked = (address + COMMANDS[ask]).encode()
    return b"\x02%s%s\x03" % (asked, _check(asked))


def _check(guarded: bytes) -> bytes:
    return b"%02X" % reduce(xor, guarded)


def _reading(raw: bytes, value: tuple[bytes, ...], mode: Mode, unit: str) -> Outcome:
    sign, digits, decimals, check = value
    if check != _check(raw[1:-3]):
        return "damaged"
    weight_kg = scaled_kilograms(digits.decode(), -int(decimals), unit)
    if weight_kg is None:
        return "malformed"
    return IndicatorReading(weight_kg * (-1 if sign == b"-" else 1) + 0.0, raw, unit, mode)
