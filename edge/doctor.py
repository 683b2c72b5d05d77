"""Looks at the computer's ports: which there are, who holds them, what speaks there.

A port that the running station holds is never opened: the station is asked for what the line
carries (``edge.sources.local_door``), and that is looked at. A port that any other program holds is
left alone and named.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import InputError
from edge.sources.taps import find_line
from edge.tapping import held_lines, through_station
from firmware_bridge.modbus import ModbusBuses, ModbusDevice, ModbusLost, Reading, load_map
from firmware_bridge.modbus_toml import own_maps
from firmware_bridge.ports import Holder, SerialPort, holders, port_at, serial_ports
from firmware_bridge.probing import SILENCE_S, BadLine, Finding, Outcome, probe
from firmware_bridge.recognising import Live, Speaker, recognise, weight_live
from firmware_bridge.tap_format import Piece, TapHeader

HELD_LISTEN_S = 4.0
"""How long a line of the running station is listened to."""

_ASKED_S = 0.5


@dataclass(frozen=True, slots=True)
class Look:
    """A port as it was found.

    Attributes
    ----------
    url : str
        As for the station file.
    port : SerialPort or None
        Its hardware; None for TCP and pseudo-terminals.
    finding : Finding or None
        What speaks; None where another program holds the port.
    held : TapHeader or None
        The running station's line, if it holds it.
    holders : tuple of Holder
        Other programs that hold it.
    """

    url: str
    port: SerialPort | None
    finding: Finding | None = None
    held: TapHeader | None = None
    holders: tuple[Holder, ...] = ()

    @property
    def speaker(self) -> Speaker | None:
        """The best explanation of what is heard."""
        return self.finding.speakers[0] if self.finding and self.finding.speakers else None

    @property
    def devices(self) -> tuple[Speaker, ...]:
        """The devices of the line: one, or all units of a Modbus bus."""
        speakers = self.finding.speakers if self.finding else ()
        return speakers if speakers and speakers[0].kind == "modbus" else speakers[:1]


def lines_to_look_at(wanted: Sequence[str], root: Path = Path("/")) -> list[str]:
    """The ports that were named, or all that this computer has, by names that stay."""
    return list(wanted) or [str(port.lasting) for port in serial_ports(root)]


async def examine(
    urls: Sequence[str],
    data_dir: Path | None,
    tell: Callable[[str, str], None],
    silence_s: float = SILENCE_S,
) -> AsyncGenerator[Look, None]:
    """Look at lines side by side; each is given as soon as it is known.

    ``tell`` hears the line and what is being tried on it; ``silence_s`` is how long a line may be
    silent before it is asked.

    Raises
    ------
    InputError
        One is no line.
    """
    lines = await held_lines(data_dir) if data_dir else []
    jobs = [
        asyncio.create_task(_look(url, data_dir, lines, tell, silence_s), name=url) for url in urls
    ]
    try:
        for job in asyncio.as_completed(jobs):
            yield await job
    finally:
        for each in jobs:
            each.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def _look(
    url: str,
    data_dir: Path | None,
    lines: list[TapHeader],
    tell: Callable[[str, str], None],
    silence_s: float,
) -> Look:
    path = Path(url) if url.startswith("/") else None
    look = Look(url, port_at(path) if path else None)
    held = find_line(lines, url)
    if held and data_dir:
        tell(url, held.part)
        return replace(look, held=held, finding=await _overhear(data_dir, held))
    if path and (others := tuple(holders(path))):
        return replace(look, holders=others)
    try:
        look = replace(look, finding=await probe(url, lambda step: tell(url, step), silence_s))
    except BadLine as error:
        raise _no_line(url, error) from error
    if look.speaker and look.speaker.kind == "modbus":
        return await _with_maps(look)
    return look


async def _overhear(data_dir: Path, held: TapHeader) -> Finding:
    """What the running station hears on a line."""
    heard = bytearray()

    async def listen() -> None:
        async with aclosing(through_station(data_dir, held.part)) as pieces:
            async for piece in pieces:
                heard.extend(_heard(piece))

    try:
        async with asyncio.timeout(HELD_LISTEN_S):
            await listen()
    except TimeoutError:
        pass
    speakers = tuple(recognise(bytes(heard))) or tuple(_of_the_station(held) if heard else ())
    outcome: Outcome = "found" if speakers else "noise" if heard else "silent"
    return Finding(held.url, outcome, speakers, held.baud, sample=bytes(heard[:64]))


def _of_the_station(held: TapHeader) -> Iterator[Speaker]:
    """Replies on a bus are no format of their own: that it is one, the station file says."""
    if held.part.startswith("modbus."):
        yield Speaker("modbus", "Modbus", {}, 8, "none", "checksum", 0, 0.0, ())


def _heard(piece: Piece) -> bytes:
    return piece.payload if piece.kind == "heard" else b""


async def _with_maps(look: Look) -> Look:
    """Try the register maps that ship with the bridge on every Modbus device of a line."""
    assert look.finding is not None
    known = [await _mapped(modbus_url(look), speaker) for speaker in look.devices]
    return replace(look, finding=replace(look.finding, speakers=tuple(known)))


async def _mapped(url: str, speaker: Speaker) -> Speaker:
    fitting: list[str] = []
    live = speaker.live
    for name in own_maps():
        if values := await _values(url, speaker.unit, name):
            live = live if fitting else values
            fitting.append(name)
    return replace(speaker, live=live, maps=tuple(fitting))


async def _values(url: str, unit: int, name: str) -> tuple[Live, ...]:
    """All values of a map; none if the device has not every register of it.

    A map that only others build upon, for it leaves something open, is passed over.
    """
    try:
        async with ModbusDevice(ModbusBuses().bus(url), unit, load_map(name), _ASKED_S) as device:
            return values_of(await device.read())
    except (ModbusLost, ValueError):  # refusals and such maps are values that can't be
        return ()


def values_of(reading: Reading) -> tuple[Live, ...]:
    """What a Modbus device said: its weight first, as a scale of the station would show it."""
    values = tuple(Live(v.name, v.value, v.unit, "") for v in reading.values)
    return (weight_live(reading.weight, "checksum"), *values) if reading.weight else values


def modbus_url(look: Look) -> str:
    """A line as Modbus devices name it in the station file."""
    if look.url.startswith("/"):
        assert look.finding is not None
        assert look.speaker is not None
        parity = look.speaker.parity[0].upper()
        return f"rtu://{look.url}?baud={look.finding.baud}&parity={parity}&stop=1"
    return look.url.replace("socket://", "tcp://")


def _no_line(url: str, error: BadLine) -> InputError:
    return InputError(
        f"{url} 不是端口",
        f"{url} is no port: {error}",
        next_zh="给出设备路径或 socket://主机:端口",
        next_en="give the path of a device or socket://host:port",
    )
