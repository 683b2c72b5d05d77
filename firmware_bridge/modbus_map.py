"""Register maps: which Modbus registers of a device mean what, as TOML data.

::

    name = "cabinet"
    block = 125                  # most registers that the device answers in one request

    [[register]]
    name = "road_temperature"
    kind = "input"               # input | holding | coil | discrete
    register = 0                 # address on the wire, 0..65535
    type = "i16"                 # u16 | i16 | u32 | i32 | f32; coils and inputs have none
    words = "big"                # order of the words of 32-bit types: big | little
    scale = 0.1                  # value = raw * scale + offset
    offset = 0.0
    unit = "°C"
    range = [-50, 90]            # a value outside is dropped and counted

Word order is a property of a device's firmware and settings, so it stands in the map and is
checked at commissioning with a known value.
"""

from __future__ import annotations

import math
import re
import struct
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

BIT_KINDS = ("coil", "discrete")
WORD_KINDS = ("holding", "input")

MAX_WORDS, MAX_BITS = 125, 2000
"""Most registers and bits of one read (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""

_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}
_KEYS = {"name", "kind", "register", "type", "words", "scale", "offset", "unit", "range"}


class MapError(ValueError):
    """A register map can't be read; the message names the file, the register and the key."""


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a device: where it stands and what its bits mean.

    ``size`` is the number of 16-bit words, or of bits for coils and discrete inputs.
    """

    name: str
    kind: str
    register: int
    type: str
    words: str
    scale: float
    offset: float
    unit: str
    low: float
    high: float

    @property
    def size(self) -> int:
        """Words or bits that it takes."""
        return 1 if self.kind in BIT_KINDS else struct.calcsize(_FORMATS[self.type]) // 2

    def value(self, raw: Sequence[int]) -> float | None:
        """The value out of its ``size`` raw words or bits; None if it is outside the range."""
        if self.kind in BIT_KINDS:
            return float(raw[0])
        words = raw if self.words == "big" else raw[::-1]
        (number,) = struct.unpack(_FORMATS[self.type], struct.pack(f">{len(words)}H", *words))
        value = number * self.scale + self.offset
        # A NaN fails both comparisons and is dropped with the rest.
        return value if self.low <= value <= self.high else None


@dataclass(frozen=True, slots=True)
class Span:
    """Neighbouring registers of one kind that are read in one request."""

    kind: str
    start: int
    count: int
    registers: tuple[Register, ...]


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """All values of a device, and the requests that read them."""

    name: str
    registers: tuple[Register, ...]
    block: int = MAX_WORDS

    @property
    def spans(self) -> tuple[Span, ...]:
        """Requests in ascending order; only registers without a hole between are joined."""
        runs: list[list[Register]] = []
        for register in sorted(self.registers, key=lambda r: (r.kind, r.register)):
            if runs and _follows(register, runs[-1], self.block):
                runs[-1].append(register)
            else:
                runs.append([register])
        return tuple(_span(run) for run in runs)


def _follows(register: Register, run: list[Register], block: int) -> bool:
    first, last = run[0], run[-1]
    most = MAX_BITS if register.kind in BIT_KINDS else block
    return (
        register.kind == last.kind
        and register.register == last.register + last.size
        and register.register + register.size - first.register <= most
    )


def _span(run: list[Register]) -> Span:
    count = run[-1].register + run[-1].size - run[0].register
    return Span(run[0].kind, run[0].register, count, tuple(run))


def load_map(name_or_path: str | Path) -> RegisterMap:
    """A map of the bridge by its name (``cabinet``), or a TOML file.

    Raises
    ------
    MapError
        There is no such map, or it is not as agreed.
    """
    text = str(name_or_path)
    source = Path(text) if text.endswith(".toml") else _own_map(text)
    try:
        tree = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise MapError(f"register map {text}: {error.strerror}") from error
    except ValueError as error:
        raise MapError(f"register map {text}: is no TOML: {error}") from error
    return _map_of(tree, text)


def _own_map(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise MapError(f"register map {name}: neither a name nor a .toml file")
    return Path(str(files("firmware_bridge"))) / "maps" / f"{name}.toml"


def _map_of(tree: dict[str, Any], where: str) -> RegisterMap:
    if unknown := sorted(set(tree) - {"name", "block", "register"}):
        raise MapError(f"register map {where}: unknown key {unknown[0]}")
    rows = tree.get("register")
    if not isinstance(rows, list) or not rows:
        raise MapError(f"register map {where}: no [[register]]")
    registers = tuple(
        _register_of(row, f"register map {where}, entry {i}") for i, row in enumerate(rows, 1)
    )
    names = [register.name for register in registers]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise MapError(f"register map {where}: {doubled[0]} stands twice")
    block = tree.get("block", MAX_WORDS)
    if not isinstance(block, int) or not 2 <= block <= MAX_WORDS:
        raise MapError(f"register map {where}: block is outside 2..{MAX_WORDS}")
    return RegisterMap(str(tree.get("name", where)), registers, block)


def _register_of(row: object, where: str) -> Register:
    if not isinstance(row, dict):
        raise MapError(f"{where}: is no table")
    if unknown := sorted(set(row) - _KEYS):
        raise MapError(f"{where}: unknown key {unknown[0]}")
    low, high = _range_of(row, where)
    register = Register(
        name=row.get("name", ""),
        kind=row.get("kind", ""),
        register=row.get("register", -1),
        type=row.get("type", "bit" if row.get("kind") in BIT_KINDS else ""),
        words=row.get("words", "big"),
        scale=row.get("scale", 1.0),
        offset=row.get("offset", 0.0),
        unit=row.get("unit", ""),
        low=low,
        high=high,
    )
    if problem := _problem(register):
        raise MapError(f"{where}: {problem}")
    return register


def _range_of(row: dict[str, Any], where: str) -> tuple[float, float]:
    match row.get("range", [-math.inf, math.inf]):
        case [int() | float() as low, int() | float() as high] if low < high:
            return float(low), float(high)
    raise MapError(f"{where}: range is not [lowest, highest]")


def _problem(register: Register) -> str:
    """What is wrong with an entry; empty if nothing is."""
    types = ("bit",) if register.kind in BIT_KINDS else tuple(_FORMATS)
    checks = (
        (isinstance(register.name, str) and register.name, "name is missing"),
        (register.kind in BIT_KINDS + WORD_KINDS, "kind is not input, holding, coil or discrete"),
        (
            _is_number(register.register) and isinstance(register.register, int),
            "register is no whole number",
        ),
        (register.type in types, f"type is not {' or '.join(types)}"),
        (register.words in ("big", "little"), "words is not big or little"),
        (_is_number(register.scale) and register.scale != 0, "scale is no number, or 0"),
        (_is_number(register.offset), "offset is no number"),
        (isinstance(register.unit, str), "unit is no text"),
    )
    problem = next((text for holds, text in checks if not holds), "")
    if not problem and not 0 <= register.register <= 65_536 - register.size:
        return "register is outside 0..65535"
    return problem


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
