"""Register maps: which Modbus registers of a device mean what, and the requests that read them.

A map is TOML data. Registers that belong together are read in one request, so that a weight and its
status are of one moment.

::

    name = "cabinet"
    models = "..."               # instruments that it is for
    verified = false             # true once a device of this kind has confirmed it
    source = "..."               # where the map is from
    like = "laumas-tlb"          # take that map, and change what stands here ([weight], keys above)
    block = 32                   # most registers that the device answers in one request
    gap = 0                      # so many unknown registers may be read along
    counter = "refresh"          # a register that changes with each measurement
    writes = "multiple"          # multiple (function 16) | single (function 6)

    [[register]]
    name = "road_temperature"
    kind = "input"               # input | holding | coil | discrete
    register = 0                 # address on the wire, 0..65535; 0x3500 is fine
    type = "i16"                 # u16 | i16 | u32 | i32 | f32; coils and inputs have none
    words = "big"                # order of the words of 32-bit types: big | little
    scale = 0.1                  # value = raw * scale + offset
    offset = 0.0
    unit = "°C"
    range = [-50, 90]            # a value outside is dropped and counted
    rate = 2.0                   # so is one that changed faster, per second, until it is repeated
    sign = ["status", 7]         # the bit that makes an unsigned magnitude negative

    [weight]
    register = "gross"           # whole numbers are the digits of the display
    net = "net"
    unit = "kg"                  # or {of = "format", shift = 8, mask = 255, codes = {0 = "kg"}}
    division = "0.5"             # or the name of a register, or codes as above
    decimals = 1                 # or the name of a register; without it, those of the division
    stable = ["status", 11]      # or moving = [...]
    zero = ["status", 12]
    over = [["status", 2]]       # any of them, and there is no weight
    under = []
    error = [["status", 0]]

    [[command]]
    name = "zero"
    register = 5
    write = [8]
    until = ["status", 12]       # the bit that says it is done; false as a third: the bit is clear

Word order is a property of a device's firmware and settings, so it stands in the map and is
checked at commissioning with a known value.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from firmware_bridge.modbus_weight import WeightRule

BIT_KINDS = ("coil", "discrete")
WORD_KINDS = ("holding", "input")

MAX_WORDS, MAX_BITS = 125, 2000
"""Most registers and bits of one read (Modbus Application Protocol V1.1b3, 6.1 to 6.4)."""

FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}

Words: TypeAlias = Mapping[str, Sequence[int]]
"""What was read, by the register's name: its words, or its bit, in the order of the wire."""


class BitOf(NamedTuple):
    """One bit of a register, 0 the least significant."""

    register: str
    bit: int

    def of(self, words: Words) -> bool:
        """Whether it is set."""
        return bool(words[self.register][0] >> self.bit & 1)


@dataclass(frozen=True, slots=True)
class Register:
    """One value of a device: where it stands and what its bits mean.

    ``size`` is the number of 16-bit words, or of bits for coils and discrete inputs. Where ``sign``
    is given the value is an unsigned magnitude, negative if that bit is set. ``rate`` is the
    fastest change a second that the world allows.
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
    rate: float
    sign: BitOf | None

    @property
    def size(self) -> int:
        """Words or bits that it takes."""
        return 1 if self.kind in BIT_KINDS else struct.calcsize(FORMATS[self.type]) // 2

    def number(self, words: Words) -> float:
        """The number as it stands in the device, signed."""
        raw = words[self.name]
        if self.kind in BIT_KINDS:
            return raw[0]
        ordered = raw if self.words == "big" else raw[::-1]
        packed = struct.pack(f">{len(ordered)}H", *ordered)
        number: float = struct.unpack(FORMATS[self.type], packed)[0]
        return -number if self.sign is not None and self.sign.of(words) else number

    def value(self, words: Words) -> float | None:
        """The value in its unit; None if it is outside its range."""
        value = self.number(words) * self.scale + self.offset
        # A NaN fails both comparisons and is dropped with the rest.
        return value if self.low <= value <= self.high else None


@dataclass(frozen=True, slots=True)
class Span:
    """Registers of one kind that are read in one request."""

    kind: str
    start: int
    count: int
    registers: tuple[Register, ...]

    def words(self, raw: Sequence[int]) -> dict[str, Sequence[int]]:
        """What was read, by name."""
        return {r.name: raw[(at := r.register - self.start) : at + r.size] for r in self.registers}


@dataclass(frozen=True, slots=True)
class Command:
    """Something that a device does when told: words that are written, and how it shows it is done.

    ``until`` is the bit that then stands at ``state``; ``single`` is how a device that does not
    know function 16 is written to.
    """

    name: str
    register: int
    words: tuple[int, ...]
    single: bool
    until: BitOf | None
    state: bool


@dataclass(frozen=True, slots=True)
class RegisterMap:
    """All that a device has to say.

    Attributes
    ----------
    registers : tuple of Register
    block : int
        Most registers that the device answers in one request.
    gap : int
        So many registers without a meaning may be read along, to make one request of two.
    verified : bool
        Whether a device of this kind has confirmed the map; false where it stands on a document
        alone, or on less.
    counter : str or None
        The register that changes with each measurement of the device.
    weight : WeightRule or None
        How a weight is made of the registers.
    commands : tuple of Command
    models : str
        Instruments that it is for.
    """

    name: str
    registers: tuple[Register, ...]
    block: int = MAX_WORDS
    gap: int = 0
    verified: bool = False
    counter: str | None = None
    weight: WeightRule | None = None
    commands: tuple[Command, ...] = ()
    models: str = ""

    @property
    def spans(self) -> tuple[Span, ...]:
        """Requests in ascending order."""
        runs: list[list[Register]] = []
        for register in sorted(self.registers, key=lambda r: (r.kind, r.register)):
            if runs and self._follows(register, runs[-1]):
                runs[-1].append(register)
            else:
                runs.append([register])
        return tuple(_span(run) for run in runs)

    def _follows(self, register: Register, run: list[Register]) -> bool:
        first, end = run[0], max(r.register + r.size for r in run)
        most = MAX_BITS if register.kind in BIT_KINDS else self.block
        return (
            register.kind == first.kind
            and register.register - end <= self.gap
            and register.register + register.size - first.register <= most
        )


def _span(run: list[Register]) -> Span:
    start = run[0].register
    return Span(run[0].kind, start, max(r.register + r.size for r in run) - start, tuple(run))
