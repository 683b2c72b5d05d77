"""Finds out what speaks on a port: listens at every speed, then asks, and never changes a setting.

Who sends by himself is found by listening; a wrong speed gives bytes too, but wrong ones, so a line
that is silent at one speed is silent at all. Only then is it asked: for a weight in the formats
that have a question, and for one register of each Modbus unit. Questions read and change nothing.
A bus that another master asks is left alone: two who ask disturb one another.
Opening a serial port raises its control lines; the station's own ports are therefore never opened
while it runs (see ``edge.doctor``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from firmware_bridge.indicators.catalogue import CATALOGUE
from firmware_bridge.lines import BadLine, Bits, Parity, PortLost
from firmware_bridge.modbus_probing import (
    NOBODYS_UNIT,
    SERVERS_OWN,
    UNITS,
    devices,
    rtu_question,
    rtu_reply,
    speaker,
    tcp_question,
    tcp_replies,
)
from firmware_bridge.recognising import Speaker, is_hopeless, recognise, requests_of
from firmware_bridge.rtu_frames import units_asked_besides, units_of_others
from firmware_bridge.standstill import within
from firmware_bridge.transports import PortReader

BAUDS = (9_600, 115_200, 921_600, 19_200, 38_400, 4_800, 57_600, 2_400, 460_800, 230_400, 1_200)
"""Speeds in the order in which they are likely."""

ASK_BAUDS = (9_600, 19_200, 38_400, 115_200, 4_800, 2_400)

LISTEN_S = (0.4, 0.8, 1.6, 3.2)
"""Times after which the bytes so far are judged."""

SILENCE_S = 1.6
"""Silence for so long is believed, unless the caller knows that somebody speaks seldom."""

ANSWER_S = 0.25
MODBUS_ANSWER_S = 0.12
GATEWAY_S = 1.2
"""So long a gateway may wait for a silent unit, while the questions after it wait behind."""
TCP_UNITS = (*UNITS, *SERVERS_OWN)

MOST_BYTES = 32_768
_TIMES_ASKED = 4

Outcome: TypeAlias = Literal["found", "mastered", "noise", "silent", "away"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found on a port.

    Attributes
    ----------
    url : str
    outcome : {"found", "mastered", "noise", "silent", "away"}
        ``mastered``: another Modbus master asks on the line; ``noise``: bytes come, but nobody
        known says such; ``away``: it can't be opened.
    speakers : tuple of Speaker
        The best explanation first; more than one only where bytes fit several formats, or where
        several units of a Modbus bus answer.
    baud : int
        Of a serial line where something was found; else 0.
    asked : bool
        Whether it spoke only when asked.
    sample : bytes
        The first bytes heard.
    lost : PortLost or None
        Why it can't be opened.
    units : tuple of int
        Modbus units of the frames of another master's traffic.
    """

    url: str
    outcome: Outcome
    speakers: tuple[Speaker, ...] = ()
    baud: int = 0
    asked: bool = False
    sample: bytes = b""
    lost: PortLost | None = None
    units: tuple[int, ...] = ()


class _OtherMaster(Exception):
    """Somebody else asks on the bus."""

    def __init__(self, units: tuple[int, ...]) -> None:
        super().__init__(units)
        self.units = units


async def probe(url: str, tell: Callable[[str], None], silence_s: float = SILENCE_S) -> Finding:
    """What speaks on a line.

    Parameters
    ----------
    url : str
        Path of a serial device, or ``socket://host:port``.
    tell : callable
        Hears what is being tried.
    silence_s : float
        How long nothing may be heard before questions are asked.

    Raises
    ------
    BadLine
        ``url`` is neither a path nor ``socket://host:port``.
    """
    try:
        one = _probe_serial if url.startswith("/") else _probe_tcp
        return await one(url, tell, silence_s)
    except PortLost as error:
        return Finding(url, "away", lost=error)
    except _OtherMaster as other:
        return Finding(url, "mastered", units=other.units)


async def _probe_serial(url: str, tell: Callable[[str], None], silence_s: float) -> Finding:
    sample = b""
    for baud in BAUDS:
        tell(f"{baud} Bd")
        async with PortReader(url, baud=baud, name="probe") as port:
            heard, speakers = await _listen(port, silence_s)
        if speakers:
            return Finding(url, "found", tuple(speakers), baud, sample=heard[:64])
        if units := units_of_others(heard):
            raise _OtherMaster(units)
        sample = sample or heard[:64]
        if not heard:
            break
    if sample:
        if units := await _others_at_even_parity(url, silence_s):
            raise _OtherMaster(units)
        return Finding(url, "noise", sample=sample)
    for baud in ASK_BAUDS:
        tell(f"{baud} Bd ?")
        if speakers := await _ask_serial(url, baud):
            return Finding(url, "found", tuple(speakers), baud, asked=True)
    return Finding(url, "silent")


async def _probe_tcp(url: str, tell: Callable[[str], None], silence_s: float) -> Finding:
    tell("TCP")
    async with PortReader(url, name="probe") as port:
        heard, speakers = await _listen(port, silence_s)
        if units := () if speakers else units_of_others(heard):
            raise _OtherMaster(units)
        if heard:
            outcome: Outcome = "found" if speakers else "noise"
            return Finding(url, outcome, tuple(speakers), sample=heard[:64])
        tell("TCP ?")
        with contextlib.suppress(PortLost):  # some Modbus servers hang up at anything else
            speakers = await _ask_formats(port)
    if not speakers:
        tell("Modbus TCP ?")
        speakers = await _ask_modbus_tcp(url)
    return Finding(url, "found" if speakers else "silent", tuple(speakers), asked=True)


async def _listen(port: PortReader, silence_s: float) -> tuple[bytes, list[Speaker]]:
    """What is heard, and who it is: as soon as somebody is known, or after the last time."""
    heard = await collect(port, silence_s, 1)
    passed_s = 0.0
    for until_s in LISTEN_S if heard else ():
        heard += await collect(port, until_s - passed_s, MOST_BYTES - len(heard))
        passed_s = until_s
        if speakers := recognise(heard):
            return heard, speakers
        if is_hopeless(heard):
            break
    return heard, []


async def collect(port: PortReader, seconds: float, most: int) -> bytes:
    """What a port brings in so long, until there is so much of it."""
    heard = bytearray()
    await _hear(port, heard, lambda: len(heard) >= most, seconds)
    return bytes(heard)


async def _hear(
    port: PortReader, heard: bytearray, enough: Callable[[], bool], seconds: float
) -> None:
    """Add what a port brings in, until it is enough or the time is over."""

    async def hear() -> None:
        while not enough():
            heard.extend((await port.read()).data)

    with contextlib.suppress(TimeoutError):
        await within(seconds, hear())


async def _others_at_even_parity(url: str, seconds: float) -> tuple[int, ...]:
    """Units of a bus of eight bits with even parity, which is what Modbus has by its standard."""
    for baud in ASK_BAUDS:
        try:
            async with PortReader(url, baud=baud, bits=Bits(8, "even"), name="probe") as port:
                heard = await collect(port, seconds, MOST_BYTES)
        except PortLost as error:
            if error.reason != "refused":  # a port without parity
                raise
            return ()
        if units := units_of_others(heard):
            return units
    return ()


async def _ask_serial(url: str, baud: int) -> list[Speaker]:
    async with PortReader(url, baud=baud, name="probe") as port:
        if speakers := await _ask_formats(port):
            return speakers
        if speakers := await _ask_modbus_rtu(port, "none"):
            return speakers
    try:
        async with PortReader(url, baud=baud, bits=Bits(8, "even"), name="probe") as port:
            return await _ask_modbus_rtu(port, "even")
    except PortLost as error:
        if error.reason != "refused":  # a port without parity
            raise
    return []


async def _ask_formats(port: PortReader) -> list[Speaker]:
    """Ask for a weight in every format that has a question."""
    for row in CATALOGUE:
        for request in requests_of(row):
            heard = b""
            for _ in range(_TIMES_ASKED):
                answer = await _answer(port, request, ANSWER_S)
                heard += answer
                if not answer or recognise(heard):
                    break
            if speakers := [s for s in recognise(heard) if s.what == row.name]:
                return speakers
    return []


async def _answer(port: PortReader, question: bytes, seconds: float) -> bytes:
    """What follows a question."""
    port.write(question)
    heard = await collect(port, seconds, MOST_BYTES)
    if units := units_asked_besides(heard, question):
        raise _OtherMaster(units)
    return heard


# Modbus, by hand: one read of one register, and whatever answers to it in due form.


async def _ask_modbus_rtu(port: PortReader, parity: Parity) -> list[Speaker]:
    """Every unit of the bus that answers."""
    found = []
    for unit in UNITS:
        heard = await _answer(port, rtu_question(unit), MODBUS_ANSWER_S)
        if reply := rtu_reply(heard, unit):
            found.append(speaker(unit, reply, "checksum", parity))
    return found


async def _ask_modbus_tcp(url: str) -> list[Speaker]:
    """Every unit behind a server that answers; a late answer names its unit too."""
    units, heard = (*TCP_UNITS, NOBODYS_UNIT), bytearray()
    async with PortReader(url, name="probe") as port:

        async def hear_of(unit: int, seconds: float) -> None:
            await _hear(port, heard, lambda: unit in tcp_replies(heard, units), seconds)

        with contextlib.suppress(PortLost):  # it hung up: no Modbus server, or tired of questions
            for number, unit in enumerate(units):
                port.write(tcp_question(number, unit))
                await hear_of(unit, 2 * MODBUS_ANSWER_S)
            for unit in units if heard else ():
                before = len(heard)
                await hear_of(unit, GATEWAY_S)
                if unit not in tcp_replies(heard, units) and len(heard) == before:
                    break
    return [speaker(u, reply, "none", "none") for u, reply in devices(tcp_replies(heard, units))]


__all__ = [
    "BAUDS",
    "SILENCE_S",
    "BadLine",
    "Finding",
    "Outcome",
    "collect",
    "probe",
]
