"""Wrong values out of bad Modbus replies: late, doubled, crossed, damaged, lost.

Every register tells where it stands, of which unit it is, and to which request it was read. A value
is right only if all three are those of the reading it was delivered with; anything else, though it
be the true value of a moment ago, counts as wrong.

Replies of RTU devices come bad one at a time. If two go wrong together, so that an old reply comes
just where the right one is lost, no master can tell, except by a counter in the device: the device
that has one meets a storm, and so do those on TCP. Bits of a TCP reply's registers are not flipped:
Modbus has no check of its own there, TCP has.
"""

from __future__ import annotations

import asyncio
import math
import random
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException

from firmware_bridge.modbus import ModbusBus, ModbusDevice, ModbusLost, ModbusRefused, Reading
from firmware_bridge.modbus_map import Register, RegisterMap
from simulator.modbus_slave import RtuSlave, Sent, TcpSlave, crc16

__all__ = ["bad_replies"]

TIMEOUT_S = 0.06
_RTU_LINES, _TCP_LINES = 9, 3
_TRIED, _QUICK = 2_000, 200
_BARE_SHARE = 4
_LATEST = 3.0
_CLEAR = 6.0
"""Timeouts after which nothing bad is under way: a busy machine sends the latest later still."""


def bad_replies(*, quick: bool) -> dict[str, float]:
    """Read until so many bad replies were sent."""
    return asyncio.run(_bad_replies(_QUICK if quick else _TRIED))


@dataclass(slots=True)
class _Count:
    wanted: int
    tried: int = 0
    wrong: int = 0
    readings: int = 0
    lost: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def bad(self, kind: str) -> None:
        self.tried += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


async def _bad_replies(wanted: int) -> dict[str, float]:
    count, bare = _Count(wanted), _Count(wanted // _BARE_SHARE)
    async with asyncio.TaskGroup() as group:
        for number in range(_RTU_LINES + _TCP_LINES):
            group.create_task(_line(count, number))
    async with asyncio.TaskGroup() as group:
        for number in range(_RTU_LINES):
            group.create_task(_bare_line(bare, number))
    figures: dict[str, float] = {
        "bridge.wrong_values": count.wrong,
        "bridge.bad_replies_tried": count.tried,
        "bridge.bad_replies_readings": count.readings,
        "bridge.bad_replies_readings_lost": count.lost,
        "bridge.bare_wrong_values": bare.wrong,
        "bridge.bare_bad_replies_tried": bare.tried,
    }
    return figures | {f"bridge.bad_replies_{k}": n for k, n in sorted(count.kinds.items())}


async def _line(count: _Count, number: int) -> None:
    """One device on a line of its own: of those on RTU every kind in turn."""
    serial = number < _RTU_LINES
    kind = ("echo", "refuse", "ignore", "counter")[number % 4] if serial else "echo"
    device = _Device(1 + number, kind)
    spoiler = _Spoiler(count, random.Random(number), serial, storm=kind == "counter" or not serial)
    make = RtuSlave if serial else TcpSlave
    async with (
        make({device.unit: device}, spoiler) as slave,
        ModbusDevice(ModbusBus(slave.url), device.unit, device.map, TIMEOUT_S) as master,
    ):
        while spoiler.tried < count.wanted / (_RTU_LINES + _TCP_LINES):
            await _read(count, device, master, spoiler)


async def _read(count: _Count, device: _Device, master: ModbusDevice, spoiler: _Spoiler) -> None:
    first = device.requests
    try:
        reading = await master.read()
    except (ModbusLost, ModbusRefused):
        count.lost += 1
        return
    spoiler.ready()
    count.readings += 1
    count.wrong += not device.told(reading, first)


async def _bare_line(count: _Count, number: int) -> None:
    """The same device and the same bad replies with pymodbus alone, as its examples show it."""
    device = _Device(1 + number, "echo")
    spoiler = _Spoiler(count, random.Random(number), serial=True, storm=False)
    async with RtuSlave({device.unit: device}, spoiler) as slave:
        port = slave.url.removeprefix("rtu://").partition("?")[0]
        client = AsyncModbusSerialClient(port, baudrate=115_200, timeout=TIMEOUT_S, retries=0)
        await client.connect()
        while spoiler.tried < count.wanted / _RTU_LINES:
            first, words = device.requests, []
            try:
                for start in (0, 100, 200):
                    reply = await client.read_holding_registers(
                        start, count=4, device_id=device.unit
                    )
                    words.append((start, reply.registers))
            except ModbusException:
                continue
            spoiler.ready()
            count.readings += 1
            count.wrong += not all(device.read(at, told, first) for at, told in words)
        client.close()


@dataclass(slots=True)
class _Device:
    """Its registers hold unit and address, and the number of the request that read them."""

    unit: int
    kind: str
    requests: int = 0

    @property
    def map(self) -> RegisterMap:
        """What is read of it."""
        return _COUNTING if self.kind == "counter" else _PLAIN

    def __call__(self, pdu: bytes) -> bytes | None:
        self.requests += 1
        if pdu[0] == 8:
            return {"refuse": b"\x88\x01", "ignore": None}.get(self.kind, pdu)
        start, count = struct.unpack(">HH", pdu[1:5])
        words = [self._word(address) for address in range(start, start + count)]
        return struct.pack(f">BB{count}H", pdu[0], 2 * count, *words)

    def _word(self, address: int) -> int:
        return self.requests & 0xFFFF if address % 2 else self.unit << 8 | address

    def told(self, reading: Reading, first: int) -> bool:
        """Whether a reading is what was read since request ``first``."""
        values = [(int(v.name), int(v.value)) for v in reading.values if v.name != "counter"]
        return bool(values) and all(
            self.read(address, divmod(value, 1 << 16), first) for address, value in values
        )

    def read(self, address: int, words: Sequence[int], first: int) -> bool:
        """Whether words are those from an even address on, read since request ``first``."""
        fresh = {number & 0xFFFF for number in range(first + 1, self.requests + 1)}
        own = [self.unit << 8 | address + i for i in range(0, len(words), 2)]
        return bool(words) and list(words[::2]) == own and set(words[1::2]) <= fresh


@dataclass(slots=True)
class _Spoiler:
    """Turns replies into bad ones: one at a time, or as a storm in which every second is bad."""

    count: _Count
    chance: random.Random
    serial: bool
    storm: bool
    before: bytes = b""
    clear_ns: int = 0
    armed: bool = False
    tried: int = 0

    def ready(self) -> None:
        """A reading came through; nothing bad is under way after the latest time."""
        self.armed = self.storm or time.monotonic_ns() > self.clear_ns

    def __call__(self, frame: bytes) -> Iterable[Sent]:
        before, self.before = self.before, frame
        if not self.armed or self.chance.random() > (0.5 if self.storm else 0.25):
            return [(0.0, frame)]
        self.armed = self.storm
        self.clear_ns = time.monotonic_ns() + round(_CLEAR * TIMEOUT_S * 1e9)
        kind = self.chance.choice(("late", "doubled", "crossed", "damaged", "lost"))
        self.tried += 1
        self.count.bad(kind)
        late_s = TIMEOUT_S * self.chance.uniform(0.3, _LATEST)
        match kind:
            case "late":
                return [(TIMEOUT_S * self.chance.uniform(1.0, _LATEST), frame)]
            case "doubled":
                return [(0.0, frame), (late_s, frame)]
            case "crossed":
                return [(0.0, self._foreign(before or frame)), (0.0, frame)]
            case "damaged":
                return [(0.0, self._damaged(frame))]
        return []

    def _foreign(self, before: bytes) -> bytes:
        """Another unit's reply, or that to the request before, in front of the right one."""
        if self.chance.random() < 0.5 or not self.serial:
            return before
        other = bytes((109,)) + before[1:-2]
        return other + crc16(other)

    def _damaged(self, frame: bytes) -> bytes:
        spoilt = bytearray(frame)
        match self.chance.randrange(3):
            case 0:
                return frame[: self.chance.randrange(1, len(frame))]
            case 1 if self.serial:
                at = self.chance.randrange(len(frame))
                return frame[:at] + self.chance.randbytes(self.chance.randint(1, 5)) + frame[at:]
        reach = len(frame) if self.serial else 8
        for _ in range(self.chance.randint(1, 3)):
            spoilt[self.chance.randrange(reach)] ^= 1 << self.chance.randrange(8)
        return bytes(spoilt)


def _register(name: str, address: int, type_: str) -> Register:
    return Register(
        name=name,
        kind="holding",
        register=address,
        type=type_,
        words="big",
        scale=1.0,
        offset=0.0,
        unit="",
        low=0.0,
        high=math.inf,
        rate=math.inf,
        sign=None,
    )


_PLAIN = RegisterMap(
    "plain",
    tuple(_register(str(at), at, "u32") for first in (0, 100, 200) for at in (first, first + 2)),
)
_COUNTING = RegisterMap(
    "counting",
    (_register("counter", 1, "u16"), _register("2", 2, "u32"), _register("4", 4, "u32")),
    counter="counter",
)
