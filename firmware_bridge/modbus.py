"""Modbus devices, TCP and RTU, read by a register map.

`firmware_bridge.modbus_guard` sees to it that a reply belongs to its request,
`firmware_bridge.modbus_plausible` that a value can be, `firmware_bridge.modbus_weight` makes the
weight; here they become the readings of one device.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.modbus_bus import ModbusBus, ModbusBuses, ModbusLost
from firmware_bridge.modbus_guard import Guard, ModbusRefused
from firmware_bridge.modbus_map import Command, RegisterMap, Words
from firmware_bridge.modbus_plausible import Plausibility
from firmware_bridge.modbus_toml import MapError, load_map

__all__ = [
    "MapError",
    "ModbusBus",
    "ModbusBuses",
    "ModbusDevice",
    "ModbusLost",
    "ModbusRefused",
    "Reading",
    "RegisterMap",
    "Value",
    "load_map",
]

COMMAND_S = 3.0
"""Longest time until a command shows that it is done."""

STALE_READS = 3
"""So many reads in a row with a counter that did not move on; then the device has started anew."""

_LOOK_S = 0.1

# What it logs is raised or counted here; a silent device must not fill the journal.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a register map, in its unit."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of a device.

    Attributes
    ----------
    values : list of Value
        Those outside their range, or that jumped, are left out and counted.
    weight : IndicatorReading or None
        The weight, where the map makes one.
    doubt_s : float
        How long before this reading no reply could be trusted; 0 if there was no doubt.
    """

    values: list[Value]
    weight: IndicatorReading | None
    doubt_s: float


class ModbusDevice:
    """One device on a bus, used as ``async with``.

    Parameters
    ----------
    bus : ModbusBus
        Its line, shared with whoever else is on it.
    unit : int
        Unit identifier, 0..255; 1..247 on RTU, where 0 is broadcast and never answered.
    register_map : RegisterMap
    timeout_s : float
        Longest wait for one reply.
    patience_s : float
        How long its reads can well wait for the bus: the smaller, the more urgent.

    Attributes
    ----------
    counters : Counter[str]
        ``reads``, ``timeouts``, ``late_replies``, ``out_of_range``, ``jumps``, ``stale``,
        ``commands``.

    Raises
    ------
    ValueError
        The unit is wrong.
    """

    def __init__(
        self,
        bus: ModbusBus,
        unit: int,
        register_map: RegisterMap,
        timeout_s: float,
        patience_s: float = 1.0,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._guard = Guard(bus, unit, timeout_s, register_map.spans, mono_ns)
        self._map = register_map
        self._patience_s = patience_s
        self._mono_ns = mono_ns
        self._plausible = Plausibility(self._count)
        self._trusted_ns = mono_ns()
        self._counted: int | None = None
        self._stale = 0

    @property
    def counters(self) -> Counter[str]:
        """What was counted, see the class."""
        return self._guard.counters

    @property
    def silent(self) -> bool:
        """Whether it was asked in vain for more than its budget of the bus."""
        return self._guard.silent

    @property
    def resting(self) -> bool:
        """Whether it wasted so much of a shared bus that it is asked only now and then."""
        return self._guard.resting

    async def __aenter__(self) -> Self:
        await self._guard.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._guard.__aexit__(kind, error, trace)

    async def read(self) -> Reading:
        """All that the map names, of one round of requests.

        Raises
        ------
        ModbusLost
            The device is away, silent or busy, or a reply could not be trusted.
        ModbusRefused
            The device has no such register.
        """
        await self._guard.rest()
        doubted = self._guard.doubted
        async with self._guard.turn(self._patience_s):
            words = await self._guard.read()
            self._believe_counter(words)
        now_ns = self._mono_ns()
        doubt_s = (now_ns - self._trusted_ns) / 1e9 if doubted else 0.0
        self._trusted_ns = now_ns
        self._count("reads")
        return self._told(words, doubt_s, now_ns)

    async def command(self, name: str) -> None:
        """Tell the device to do something (``zero``, ``tare``), once, and see that it is done.

        It goes before all reads that wait. It is never sent twice: whether a command whose answer
        was lost was carried out, a person has to see.

        Raises
        ------
        KeyError
            The map has no such command.
        ModbusLost
            The device did not answer, or did not show within ``COMMAND_S`` that it is done
            (``unconfirmed``).
        ModbusRefused
            The device refuses it.
        """
        command = {c.name: c for c in self._map.commands}[name]
        async with self._guard.turn(0.0):
            await self._guard.write(command)
        self._plausible.forget()
        await self._done(command)
        self._count("commands")

    async def _done(self, command: Command) -> None:
        deadline_ns = self._mono_ns() + round(COMMAND_S * 1e9)
        while not await self._shows(command):
            if self._mono_ns() > deadline_ns:
                raise ModbusLost(
                    "unconfirmed", f"{self._guard.where} does not show that {command.name} is done"
                )
            await asyncio.sleep(_LOOK_S)

    async def _shows(self, command: Command) -> bool:
        if command.until is None:
            return True
        async with self._guard.turn(0.0):
            return command.until.of(await self._guard.read()) is command.state

    def _believe_counter(self, words: Words) -> None:
        """An old reply shows an old count; a device that hangs always the same."""
        if self._map.counter is None:
            return
        before, now = self._counted, words[self._map.counter][0]
        if before is None or 0 < (now - before) & 0xFFFF < 0x8000 or self._stale == STALE_READS:
            self._counted, self._stale = now, 0
            return
        self._stale += 1
        self._count("stale")
        raise ModbusLost("stale", f"{self._guard.where}: its counter does not move on")

    def _told(self, words: Words, doubt_s: float, now_ns: int) -> Reading:
        rule = self._map.weight
        inside = {self._map.counter, *(rule.uses if rule is not None else ())}
        values, believed = [], True
        for register in self._map.registers:
            value = register.value(words)
            good = self._plausible.believes(register, value, now_ns)
            if register.name in inside:
                believed = believed and good
            elif good and value is not None:
                values.append(Value(register.name, value, register.unit))
        weight = rule.reading(words) if rule is not None and believed else None
        return Reading(values, weight, doubt_s)

    def _count(self, name: str) -> None:
        self._guard.counters[name] += 1
