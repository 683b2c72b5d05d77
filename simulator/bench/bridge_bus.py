"""What a dead device costs the others on its bus.

Two buses run at the same time, so that both meet the same machine: one with seven devices, one with
the same seven and an eighth that dies. All are read as fast as the bus allows. The slowdown is by
how much fewer readings the seven get, from the moment of the death on, so that finding out counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from firmware_bridge.modbus import ModbusBus, ModbusDevice, ModbusLost
from firmware_bridge.modbus_map import RegisterMap
from firmware_bridge.modbus_toml import load_map
from simulator.modbus_slave import Memory, RtuSlave, Sent

__all__ = ["dead_device"]

TIMEOUT_S = 0.5
REPLY_S = 0.012
"""What a weight of ten registers takes at 19,200 baud, and its device."""
_SECONDS, _QUICK = 60.0, 12.0
_ALIVE_S = 2.0
_DEVICES = 8


def dead_device(*, quick: bool) -> dict[str, float]:
    """Slowdown of seven devices by the eighth."""
    return asyncio.run(_dead_device(_QUICK if quick else _SECONDS))


async def _dead_device(seconds: float) -> dict[str, float]:
    without, beside = await asyncio.gather(
        _Bus(_DEVICES - 1, None).run(seconds), _Bus(_DEVICES, _ALIVE_S).run(seconds)
    )
    return {
        "bridge.dead_device_slowdown_pct": round(100 * (1 - beside / without), 2),
        "bridge.dead_device_readings_per_s": round(beside / seconds, 1),
        "bridge.dead_device_readings_per_s_without": round(without / seconds, 1),
        "bridge.dead_device_seconds": seconds,
    }


class _Bus:
    """Devices on one pty; the last of them dies ``dies_s`` after the beginning."""

    def __init__(self, devices: int, dies_s: float | None) -> None:
        self._dies_s = dies_s
        self._dead = False
        self._readings = 0
        self._units = {unit: self._device(last=unit == _DEVICES) for unit in range(1, devices + 1)}

    async def run(self, seconds: float) -> int:
        """Readings of the first seven in ``seconds`` after the death."""
        async with RtuSlave(self._units, _in_time) as slave:
            bus, weights = ModbusBus(slave.url), load_map("generic-scale")
            tasks = [
                asyncio.create_task(self._read(bus, unit, weights)) for unit in sorted(self._units)
            ]
            await asyncio.sleep(self._dies_s or _ALIVE_S)
            self._dead, before = self._dies_s is not None, self._readings
            await asyncio.sleep(seconds)
            found = self._readings - before
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return found

    def _device(self, *, last: bool) -> _Mortal | Memory:
        memory = Memory({"holding": dict.fromkeys(range(32), 0)})
        memory.before = lambda: memory.cells["holding"].update({6: len(memory.requests)})
        return _Mortal(self, memory) if last else memory

    @property
    def dead(self) -> bool:
        """Whether the last device has died."""
        return self._dead

    async def _read(self, bus: ModbusBus, unit: int, weights: RegisterMap) -> None:
        async with ModbusDevice(bus, unit, weights, TIMEOUT_S) as device:
            while True:
                try:
                    await device.read()
                except ModbusLost:
                    await asyncio.sleep(0)
                    continue
                self._readings += unit < _DEVICES


class _Mortal:
    """Answers until its bus says that it is dead."""

    def __init__(self, bus: _Bus, memory: Memory) -> None:
        self._bus, self._memory = bus, memory

    def __call__(self, pdu: bytes) -> bytes | None:
        return None if self._bus.dead else self._memory(pdu)


def _in_time(frame: bytes) -> Iterable[Sent]:
    return [(REPLY_S, frame)]
