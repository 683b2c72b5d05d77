"""Says what speaks on a line, from its bytes alone: every codec listens, the best explanation wins.

Frames that prove themselves (CRC-32, checksum) decide at once. Formats without a checksum must
explain nearly all bytes, and where two explain the same, both are told: whether an "=" format is
mirrored can't be known from a load that stands still. Sans-I/O: bytes in, findings out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal, TypeAlias

from firmware_bridge.anpr import PlateDecoder
from firmware_bridge.cameras.tcp_text import TcpTextDecoder
from firmware_bridge.indicators.catalogue import CATALOGUE, Format, Setting, Value
from firmware_bridge.indicators.equals import looks_mirrored
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.lines import Parity
from firmware_bridge.messages import Hello, Message, Status
from firmware_bridge.stream import StreamDecoder

_CharacterBits: TypeAlias = tuple[Literal[7, 8], Parity]

Kind: TypeAlias = Literal["digitiser", "camera", "scale", "modbus"]

_LEAST_FRAMES = {"checksum": 2, "parity": 3, "none": 3}
_LEAST_SHARE = 0.8
"""Of the bytes, what frames must explain where nothing else speaks for a format."""

_TRUST = {"crc": 3, "checksum": 2, "parity": 1, "none": 0}

_MUCH_BYTES = 1_500

_FEW = 4
"""Settings with more values than this are addresses: tried only where a device tells its own."""


@dataclass(frozen=True, slots=True)
class Live:
    """A value as it stands now."""

    name: str
    value: float | str
    unit: str
    quality: str
    """``""`` if good, else ``moving``, ``over``, ``under``, ``error``, ``unproved``."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """What speaks on a line.

    Attributes
    ----------
    kind : {"digitiser", "camera", "scale", "modbus"}
    what : str
        The format of an indicator or camera; the model of a digitiser.
    settings : mapping
        Of the format, as they were recognised.
    data_bits, parity
        Of the characters on the line.
    protection : {"crc", "checksum", "parity", "none"}
    frames : int
        Good frames heard.
    share : float
        Of the bytes, how many good frames explain.
    live : tuple of Live
    open_settings : tuple of str
        Settings that the bytes can't tell: a person must.
    unit : int
        Device id of a digitiser, unit of a Modbus device; else 0.
    channels : int
        Of a digitiser; else 0.
    maps : tuple of str
        Register maps of which a Modbus device has every register.
    """

    kind: Kind
    what: str
    settings: Mapping[str, Value]
    data_bits: Literal[7, 8]
    parity: Parity
    protection: str
    frames: int
    share: float
    live: tuple[Live, ...]
    open_settings: tuple[str, ...] = ()
    unit: int = 0
    channels: int = 0
    maps: tuple[str, ...] = ()

    @property
    def rank(self) -> tuple[int, float, int]:
        """How well the bytes speak for it."""
        return _TRUST[self.protection], round(self.share, 1), self.frames


def recognise(data: bytes) -> list[Speaker]:
    """Who may have said these bytes, the best explanation first; empty if nobody known."""
    found = [*_digitisers(data), *_cameras(data), *_indicators(data)]
    ranked = sorted(found, key=lambda speaker: speaker.rank, reverse=True)
    return [s for s in ranked if _TRUST[s.protection] > 1] or ranked


def is_hopeless(data: bytes) -> bool:
    """Whether more of the same would not be known either: much was said, and nothing of it read.

    A digitiser that streams tells its name once a second only, but its blocks prove themselves.
    """
    return len(data) >= _MUCH_BYTES and not StreamDecoder().feed(data)


def requests_of(row: Format) -> tuple[bytes, ...]:
    """What to ask an instrument of eight bits, and one of seven, that does not send by itself."""
    given = _given(row)
    return (row.request(given), row.request(given, 7, "even")) if row.ask else ()


def _digitisers(data: bytes) -> Iterator[Speaker]:
    decoder = StreamDecoder()
    messages = decoder.feed(data)
    hellos = {m.device_id: m for m in messages if isinstance(m, Hello)}
    for device_id, hello in hellos.items():
        own = [m for m in messages if m.device_id == device_id]
        yield Speaker(
            "digitiser",
            f"{hello.model} {hello.firmware} ({hello.serial})",
            {},
            8,
            "none",
            "crc",
            len(own),
            1.0,
            tuple(device_live(own)),
            unit=device_id,
            channels=hello.channels,
        )


def device_live(messages: Sequence[Message]) -> Iterator[Live]:
    """What a digitiser last said of itself."""
    newest = {type(message): message for message in messages}
    if isinstance(hello := newest.get(Hello), Hello):
        yield Live("rate", hello.rate_hz, "Hz", "")
    if isinstance(status := newest.get(Status), Status):
        yield Live("temperature", round(status.temperature_c, 1), "°C", "")
        yield Live("supply", round(status.supply_v, 2), "V", "")


def _cameras(data: bytes) -> Iterator[Speaker]:
    if frames := PlateDecoder().feed(data):
        yield _camera("steelyard", "crc", len(frames), frames[-1].plate, frames[-1].lane)
    if events := TcpTextDecoder().feed(data):
        yield _camera("tcp-text", "none", len(events), events[-1].plate, events[-1].lane)


def _camera(form: str, protection: str, frames: int, plate: str, lane: str) -> Speaker:
    live = plate_live(plate, lane)
    return Speaker("camera", form, {}, 8, "none", protection, frames, 1.0, live)


def plate_live(plate: str, lane: str) -> tuple[Live, ...]:
    """What a camera read."""
    return Live("plate", plate or "-", "", "" if plate else "error"), Live("lane", lane, "", "")


def _indicators(data: bytes) -> Iterator[Speaker]:
    bits = _bits_of(data)
    for row in CATALOGUE:
        tries = [_Try(row, settings, data, bits) for settings in variants(row)]
        if any(each.foreign for each in tries):
            tries = [_Try(row, settings, data, bits) for settings in variants(row, spared=False)]
        yield from _one_of(row, [each for each in tries if each.holds])


class _Try:
    """A format, in some settings, on some bytes."""

    def __init__(
        self, row: Format, settings: dict[str, Value], data: bytes, bits: _CharacterBits
    ) -> None:
        decoder = row.make(settings, *bits)
        self.readings = decoder.feed(data)
        self.foreign = decoder.counters["foreign"]
        share = 1 - decoder.counters["noise_bytes"] / max(len(data), 1)
        protection = row.protection_on(*bits)
        enough = len(self.readings) >= _LEAST_FRAMES[protection]
        self.holds = enough and share >= _LEAST_SHARE
        live = tuple(weight_live(reading, protection) for reading in self.readings[-1:])
        self.speaker = Speaker(
            "scale", row.name, settings, *bits, protection, len(self.readings), share, live
        )


def weight_live(reading: IndicatorReading, protection: str) -> Live:
    """A reading with what it is worth on a line of this protection."""
    unproved = "unproved" if protection == "none" else ""
    quality = reading.out_of_range or ("moving" if reading.stable is False else unproved)
    value = "-" if reading.weight_kg is None else reading.weight_kg
    return Live("weight" if reading.mode == "unknown" else reading.mode, value, "kg", quality)


def _one_of(row: Format, tries: list[_Try]) -> Iterator[Speaker]:
    """The settings of a format that explain most; those that explain as much stay open."""
    if not tries:
        return
    best = max(tries, key=lambda each: each.speaker.rank)
    equal = [each.speaker for each in tries if each.speaker.rank == best.speaker.rank]
    if "mirrored" in row.settings:
        mirrored = looks_mirrored([reading.raw for reading in best.readings])
        equal = [s for s in equal if s.settings["mirrored"] == mirrored] or equal
    names = [n for n in row.settings if len({s.settings[n] for s in equal}) > 1]
    untold = [n for n, setting in row.settings.items() if isinstance(setting.allowed, str)]
    yield replace(equal[0], open_settings=(*names, *untold))


def variants(row: Format, *, spared: bool = True) -> Iterator[dict[str, Value]]:
    """Settings worth trying: all combinations of those that have few values, or of all."""
    free = {
        name: setting.allowed
        for name, setting in row.settings.items()
        if not isinstance(setting.allowed, str)
        and name != "unit"
        and not (spared and (name == "ask" or len(setting.allowed) > _FEW))
    }
    for values in product(*free.values()):
        yield {**_given(row), **dict(zip(free, values, strict=True))}


def _given(row: Format) -> dict[str, Value]:
    """Defaults, and something for settings that have none."""
    return {name: _any_value(setting) for name, setting in row.settings.items()}


def _any_value(setting: Setting) -> Value:
    if setting.default is not None:
        return setting.default
    return 1.0 if isinstance(setting.allowed, str) else setting.allowed[0]


def _bits_of(data: bytes) -> _CharacterBits:
    """Seven bits if every byte has the same parity and the eighth bit is used."""
    if max(data, default=0) < 0x80:
        return 8, "none"
    odd = sum(byte.bit_count() % 2 for byte in data)
    if odd * 50 <= len(data):
        return 7, "even"
    return (7, "odd") if odd * 50 >= len(data) * 49 else (8, "none")
