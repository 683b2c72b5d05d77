"""The cabinet beside the road as a Modbus TCP server: temperatures that change, door and power."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware_bridge.modbus_map import BIT_KINDS, Register, RegisterMap

_KIND_OF_FUNCTION = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "f32": ">f"}


def cabinet_values(time_s: float, road_c: float) -> dict[str, float]:
    """What the monitor of a cabinet shows, by the names of the ``cabinet`` map."""
    warm_c = road_c + 7.0 + 2.0 * math.sin(time_s / 97)
    return {
        "road_temperature": road_c,
        "cabinet_temperature": warm_c,
        "cabinet_humidity": 55.0 - 0.8 * (warm_c - 29.0),
        "ups_charge": 100.0,
        "battery_voltage": 27.1 + 0.05 * math.sin(time_s / 13),
        "uptime": time_s + 86_400.0,
        "door_open": 0.0,
        "ups_on_mains": 1.0,
    }


def raw_words(register: Register, value: float) -> list[int]:
    """A value as the words, or the bit, that stand in the device."""
    raw = (value - register.offset) / register.scale
    if register.kind in BIT_KINDS:
        return [int(raw != 0)]
    packed = struct.pack(_FORMATS[register.type], raw if register.type == "f32" else round(raw))
    words = [int.from_bytes(packed[i : i + 2]) for i in range(0, len(packed), 2)]
    return words[::-1] if register.words == "little" else words


class CabinetServer:
    """Serves every register of a map on a TCP port; names it does not know read as zero."""

    def __init__(
        self,
        register_map: RegisterMap,
        unit: int,
        port: int,
        values: Callable[[], dict[str, float]],
    ) -> None:
        self._map, self._unit, self._port, self._values = register_map, unit, port, values
        self.url = ""

    async def __aenter__(self) -> Self:
        device = SimDevice(id=self._unit, simdata=self._blocks(), action=self._refresh)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self._port))
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError as error:  # pymodbus tells no more than that it could not listen
            raise OSError(f"port {self._port}: {error}") from error
        transport: Any = self._server.transport
        self.url = f"tcp://127.0.0.1:{transport.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        server: Any = self._server
        await server.shutdown()

    def _blocks(self) -> tuple[list[SimData], list[SimData], list[SimData], list[SimData]]:
        coils, inputs = (self._bits(kind) for kind in ("coil", "discrete"))
        holding, analogue = (self._words(kind) for kind in ("holding", "input"))
        return coils, inputs, holding, analogue

    def _bits(self, kind: str) -> list[SimData]:
        count = self._end(kind) // 16 + 1
        return [SimData(0, values=[False] * 16 * count, datatype=DataType.BITS)]

    def _words(self, kind: str) -> list[SimData]:
        return [SimData(0, count=self._end(kind) + 1, values=0, datatype=DataType.REGISTERS)]

    def _end(self, kind: str) -> int:
        return max((r.register + r.size for r in self._map.registers if r.kind == kind), default=0)

    async def _refresh(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        written: list[int] | list[bool] | None,
    ) -> None:
        """Put the values of this moment into the block that is about to be read."""
        kind, values = _KIND_OF_FUNCTION.get(function), self._values()
        for register in self._map.registers:
            if register.kind == kind:
                _store(registers, register, raw_words(register, values.get(register.name, 0.0)))


def _store(registers: list[int], register: Register, raw: list[int]) -> None:
    at = register.register
    if register.kind in BIT_KINDS:
        bit = 1 << at % 16
        registers[at // 16] = registers[at // 16] & ~bit | (bit if raw[0] else 0)
    else:
        registers[at : at + len(raw)] = raw
