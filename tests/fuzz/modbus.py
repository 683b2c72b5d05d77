"""Modbus devices that answer anything at all, as targets of the fuzzer.

Bus, guard and maps are the real ones, and pymodbus frames what it hears; only the line between is
left out. A reading may be handed on only if each reply that it was made of came alone and whole:
own unit, own function, own length, right CRC or transaction number. The oracle knows of the
protocol what the specification says, and nothing of pymodbus.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable
from functools import partial

from pymodbus.exceptions import ConnectionException, ModbusIOException
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU

from firmware_bridge.modbus import ModbusBus, ModbusDevice, ModbusLost, ModbusRefused, load_map
from firmware_bridge.modbus_map import RegisterMap
from simulator.modbus_slave import crc16

UNIT = 7
_TIMEOUT_S = 0.0
"""Nothing is waited for: what comes is there at once, or never."""
_MAPS = tuple(map(load_map, ("generic-scale", "laumas-tlb", "cabinet")))
_WRITES = {6, 16}


class _Line:
    """A pymodbus client whose far end says what the fuzzer wants."""

    def __init__(self, bus: ModbusBus, data: bytes) -> None:
        framer = FramerRTU if bus.serial else FramerSocket
        self._framer, self._bus, self._data = framer(DecodePDU(False)), bus, data
        self._before, self._transaction = b"", 0
        self.connected = True
        self.proven: list[bool] = []

    @property
    def at_end(self) -> bool:
        return not self._data

    def close(self) -> None:
        self.connected = False

    async def connect(self) -> bool:
        self.connected = True
        return True

    async def execute(self, _silently: bool, request: ModbusPDU) -> ModbusPDU:
        """What the real client does with a request and the bytes that then come."""
        self._transaction += not self._bus.serial
        request.transaction_id = self._transaction
        asked = self._framer.buildFrame(request)
        self._bus._heard(True, asked)
        heard = self._said(asked)
        self.proven.append(self._belongs(asked, heard))
        try:
            _, reply = self._framer.handleFrame(
                self._bus._heard(False, heard), UNIT, self._transaction
            )
        except Exception as error:  # asyncio closes a connection whose protocol raises
            self.connected = False
            raise ConnectionException from error
        if reply is None:
            raise ModbusIOException("no answer")
        return self._bus._decoded(False, reply)

    def _said(self, asked: bytes) -> bytes:
        """Silence, the right answer, one spoilt in some way, an old one, or mere bytes."""
        kind, size = self._take(2).ljust(2, b"\0")
        right = self._right(asked)
        before, self._before = self._before, right
        match kind % 8:
            case 0:
                return b""
            case 1:
                return self._take(size)
            case 2:
                return before
            case 3:
                return right + self._take(size % 8)
            case 4:
                return self._packed(asked, self._take(size % 64))
            case 5:
                at = size % len(right)
                return right[:at] + self._take(1) + right[at + 1 :]
        return right

    def _right(self, asked: bytes) -> bytes:
        pdu = asked[1:-2] if self._bus.serial else asked[7:]
        if pdu[0] in _WRITES or pdu[0] == 8:
            return self._packed(asked, bytes((UNIT,)) + pdu[:5])
        count = int.from_bytes(pdu[3:5], "big")
        octets = 2 * count if pdu[0] in (3, 4) else -(-count // 8)
        body = self._take(octets).ljust(octets, b"\1")
        return self._packed(asked, bytes((UNIT, pdu[0], octets)) + body)

    def _packed(self, asked: bytes, body: bytes) -> bytes:
        if self._bus.serial:
            return body + crc16(body)
        return asked[:4] + struct.pack(">H", len(body)) + body

    def _belongs(self, asked: bytes, heard: bytes) -> bool:
        """Whether these bytes, and no others, are an answer to that; no refusal."""
        if self._bus.serial:
            pdu, body = asked[1:-2], heard[:-2]
            whole = crc16(body) == heard[-2:]
        else:
            pdu, body = asked[7:], heard[6:]
            whole = heard[:6] == asked[:4] + struct.pack(">H", len(body))
        if not whole or len(body) < 2 or body[0] != UNIT:
            return False
        if pdu[0] == 8 or pdu[0] in _WRITES:
            return body[1:] == pdu[:5] or body[1] == pdu[0] | 0x80
        count = int.from_bytes(pdu[3:5], "big")
        octets = 2 * count if pdu[0] in (3, 4) else -(-count // 8)
        refused = len(body) == 3 and body[1] == pdu[0] | 0x80
        return refused or (body[1] == pdu[0] and body[2] == octets == len(body) - 3)

    def _take(self, size: int) -> bytes:
        taken, self._data = self._data[:size], self._data[size:]
        return taken


def device(url: str, data: bytes) -> None:
    """Whatever it answers: an error of our own, or values that were sent for that very request."""
    asyncio.run(_rounds(url, _MAPS[sum(data[:1]) % len(_MAPS)], data[1:]))


async def _rounds(url: str, register_map: RegisterMap, data: bytes) -> None:
    bus = ModbusBus(url)
    line = _Line(bus, data)
    bus._client = line  # type: ignore[assignment]
    master = ModbusDevice(bus, UNIT, register_map, _TIMEOUT_S)
    bus.users, made_of = 1, len(register_map.spans) + bus.serial
    while not line.at_end:
        line.connected = True
        bus._client = line  # type: ignore[assignment]
        try:
            reading = await master.read()
        except (ModbusLost, ModbusRefused):
            continue
        assert all(line.proven[-made_of:]), "a reading out of a reply that was none"
        told = {register.name: register for register in register_map.registers}
        for value in reading.values:
            assert told[value.name].low <= value.value <= told[value.name].high
        weight = reading.weight
        assert weight is None or math.isfinite(weight.weight_kg or 0.0)


def _seed() -> bytes:
    """Good answers throughout."""
    return b"\x07" * 400


TARGETS: dict[str, Callable[[bytes], None]] = {
    "modbus-rtu": partial(device, "rtu:///dev/null?baud=9600"),
    "modbus-tcp": partial(device, "tcp://127.0.0.1:502"),
}

SEEDS: dict[str, bytes] = dict.fromkeys(TARGETS, _seed())
