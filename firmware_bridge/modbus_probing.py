"""Who on a Modbus line answers to a read of one register: replies in due form, found in any bytes.

Sans-I/O. Modbus over serial line V1.02 for RTU; Modbus messaging on TCP/IP V1.0b for servers:
units 255 and 0 mean a server that is a device itself (4.4.2.3), exceptions 10 and 11 come from a
gateway in the name of a unit that does not answer (V1.1b3, section 7).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

from firmware_bridge.lines import Parity
from firmware_bridge.recognising import Live, Speaker
from firmware_bridge.rtu_frames import crc16

UNITS = (1, 2, 3, 4, 5, 6, 7, 8, 247)
SERVERS_OWN = (255, 0)
NOBODYS_UNIT = 199
"""Who answers for this one too answers for whomever is asked."""

_READ = struct.Struct(">BHH")
_REPLY = rb"(?s:\x03\x02..|\x83.)"
"""The value of one register, or an exception: an echo of the question is neither."""
_REFUSED, _NOBODY_THERE = 0x83, (10, 11)


def rtu_question(unit: int) -> bytes:
    """A read of one register."""
    body = bytes([unit]) + _READ.pack(3, 0, 1)
    return body + struct.pack("<H", crc16(body))


def tcp_question(number: int, unit: int) -> bytes:
    """The same over TCP; the reply repeats the number."""
    return struct.pack(">HHHB", number, 0, 1 + _READ.size, unit) + _READ.pack(3, 0, 1)


def rtu_reply(heard: bytes, unit: int) -> bytes:
    """The reply's function and data, if the bytes hold one of this unit to a read; else empty."""
    due = re.compile(b"(?s)(?=(%b(%b))(..))" % (re.escape(bytes([unit])), _REPLY))
    for frame in due.finditer(heard):
        body, reply, crc = frame.groups()
        if struct.pack("<H", crc16(body)) == crc:
            return reply
    return b""


def tcp_replies(heard: bytes | bytearray, units: Sequence[int]) -> dict[int, bytes]:
    """What answers to the n-th question, which was of the n-th unit.

    Parameters
    ----------
    heard : bytes
        All that came since the first question.
    units : sequence of int
        Whom the questions were put to, in order.

    Returns
    -------
    dict of int to bytes
        Function and data of replies in due form, by unit, in the order in which they came.
    """
    replies, rest = {}, bytes(heard)
    while len(rest) > 8:
        number, protocol, length, unit = struct.unpack(">HHHB", rest[:7])
        whole = 3 <= length <= len(rest) - 6
        if protocol or not whole or number >= len(units) or units[number] != unit:
            break
        reply, rest = rest[7 : 6 + length], rest[6 + length :]
        if re.fullmatch(_REPLY, reply):
            replies[unit] = reply
    return replies


def devices(replies: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """The devices behind a server: one alone, where it answers for whomever is asked.

    What a server says for itself is left out where it is what one of its units says.

    Parameters
    ----------
    replies : dict of int to bytes
        As `tcp_replies` gives them.

    Yields
    ------
    int, bytes
        Unit, its reply.
    """
    there = {u: r for u, r in replies.items() if r[0] != _REFUSED or r[1] not in _NOBODY_THERE}
    if NOBODYS_UNIT in there:
        yield next(iter(there.items()))
        return
    told = set()
    for unit, reply in sorted(there.items(), key=lambda item: item[0] in SERVERS_OWN):
        if unit not in SERVERS_OWN or reply not in told:
            yield unit, reply
        told.add(reply)


def speaker(unit: int, reply: bytes, protection: str, parity: Parity) -> Speaker:
    """Who answered so."""
    value = int.from_bytes(reply[2:])
    live = () if reply[0] == _REFUSED else (Live("register 0", value, "", ""),)
    return Speaker("modbus", "Modbus", {}, 8, parity, protection, 1, 1.0, live, ("map",), unit)
