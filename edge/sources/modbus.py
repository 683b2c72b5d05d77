"""A Modbus device as the station reads it: polled, each value in its unit, outages told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from edge.config import ModbusSection
from edge.errors import ConfigError, DeviceFault, InputError, LinkDown, SteelyardError, Text
from edge.health import Health, Level
from edge.records import Measurement
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.modbus import (
    MapError,
    ModbusBuses,
    ModbusDevice,
    ModbusLost,
    ModbusRefused,
    Reading,
    RegisterMap,
    load_map,
)

__all__ = ["ModbusBuses", "ModbusSource", "modbus_map"]

MISSED_POLLS = 3
"""So many polls in a row without a trusted answer, and the device counts as away."""

_PATIENCE_S = {"high": 0.0, "normal": 1.0, "low": 10.0}
"""How long a poll can wait for a bus that others use; a command waits for nobody."""


class ModbusSource:
    """One Modbus device of the station file.

    Parameters
    ----------
    section : ModbusSection
        Its part of the station file.
    health : Health
        Gets the state ``modbus.<id>`` and counters under that name.
    now_ns : callable
        UTC in nanoseconds; stamps the values.
    buses : ModbusBuses
        The station's buses.
    weigh : callable
        Gets the device's name and each weight, for the scales of the station.

    Raises
    ------
    ConfigError
        There is no such register map, or ``url`` or ``unit`` can't be.
    """

    def __init__(
        self,
        section: ModbusSection,
        health: Health,
        now_ns: Callable[[], int],
        buses: ModbusBuses,
        weigh: Callable[[str, IndicatorReading], None] = lambda _device, _reading: None,
    ) -> None:
        self._section = section
        self._health = health
        self._now_ns = now_ns
        self._weigh = weigh
        self._part = f"modbus.{section.id}"
        self._counted: Counter[str] = Counter()
        self._name = _name(section)
        register_map = modbus_map(section)
        self._commands = [command.name for command in register_map.commands]
        try:
            # One device for good: what it knows of old replies outlives an outage.
            self._device = ModbusDevice(
                buses.bus(section.url),
                section.unit,
                register_map,
                section.timeout_s,
                _PATIENCE_S[section.priority],
            )
        except ValueError as error:
            given = f"{section.url}, {section.unit}"
            raise _config_error(self._name, "url / unit", given, error) from error

    async def run(self, deliver: Callable[[Measurement], None]) -> None:
        """Poll and deliver until cancelled.

        Raises
        ------
        LinkDown
            The device can't be reached, or stays silent.
        DeviceFault
            The device has no such registers.
        """
        if not self._device.silent:  # else it stays down until it answers
            self._health.state(self._part, Level.WAITING, "正在连接", "connecting")
        try:
            async with self._device as device:
                await self._poll(device, deliver)
        except ModbusLost as error:
            raise self._link_down(error) from error
        except ModbusRefused as error:
            raise DeviceFault(
                f"{self._name.zh}：设备拒绝读取寄存器",
                f"{self._name.en}: the device refuses a register: {error}",
                next_zh="核对站点文件的 unit 和 map 与设备型号",
                next_en="check unit and map in the station file against the device",
            ) from error

    async def command(self, name: str) -> None:
        """Have the device do something (``zero``, ``tare``), once, and see that it is done.

        Raises
        ------
        InputError
            Its map has no such command.
        LinkDown
            It can't be reached, or did not answer: what it did, its display tells.
        DeviceFault
            It refuses, or does not show that it is done.
        """
        if name not in self._commands:
            raise InputError(
                f"{self._name.zh}：没有命令 {name}",
                f"{self._name.en} has no command {name}",
                next_zh=f"可用：{'、'.join(self._commands) or '无，请用仪表按键'}",
                next_en=f"it has: {', '.join(self._commands) or 'none, use its keys'}",
            )
        look = {
            "next_zh": "看仪表显示再决定",
            "next_en": "look at its display before anything else",
        }
        try:
            async with self._device as device:
                await device.command(name)
        except ModbusLost as error:
            kind = DeviceFault if error.reason == "unconfirmed" else LinkDown
            raise kind(
                f"{self._name.zh}：没有证实 {name} 已完成",
                f"{self._name.en}: nothing proves that {name} is done: {error}",
                **look,
            ) from error
        except ModbusRefused as error:
            raise DeviceFault(
                f"{self._name.zh}：设备拒绝 {name}",
                f"{self._name.en}: the device refuses {name}: {error}",
                **look,
            ) from error
        finally:
            self._count(self._device.counters)

    async def _poll(self, device: ModbusDevice, deliver: Callable[[Measurement], None]) -> None:
        loop = asyncio.get_running_loop()
        missed, due_s = 0, loop.time()
        while True:
            try:
                missed = 0 if await self._read(device, deliver, missed) else missed + 1
            finally:
                self._count(device.counters)
            due_s = max(due_s + self._section.poll_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    async def _read(
        self, device: ModbusDevice, deliver: Callable[[Measurement], None], missed: int
    ) -> bool:
        """One poll; false if it brought nothing and that may still be passed over."""
        try:
            reading = await device.read()
        except ModbusLost as error:
            self._health.count(f"{self._part}.missed_polls")
            away = error.reason in ("closed", "missing") or device.resting
            if away or missed + 1 >= MISSED_POLLS:
                raise
            self._health.state(
                self._part,
                Level.WARNING,
                "一次没有应答，正在重试",
                "one answer is missing, asking again",
            )
            return False
        for measured in self._measured(reading):
            deliver(measured)
        if reading.weight is not None:
            self._weigh(self._section.id, reading.weight)
        self._health.state(self._part, Level.OK, "正在读取", "reading")
        return True

    def _count(self, counters: Counter[str]) -> None:
        for name, number in (counters - self._counted).items():
            self._health.count(f"{self._part}.{name}", number)
        self._counted = counters.copy()

    def _measured(self, reading: Reading) -> Iterator[Measurement]:
        time_ns, device = self._now_ns(), self._section.id
        if reading.doubt_s:
            self._health.count(f"{self._part}.gaps")
        for value in reading.values:
            yield Measurement(device, value.name, value.value, value.unit, time_ns, reading.doubt_s)
        weight = reading.weight
        if weight is not None and weight.weight_kg is not None:
            yield Measurement(device, "weight", weight.weight_kg, "kg", time_ns, reading.doubt_s)

    def _link_down(self, lost: ModbusLost) -> SteelyardError:
        return LinkDown(
            f"{self._name.zh}：没有可信的应答（{self._section.url}）",
            f"{self._name.en}: no answer that can be trusted: {lost}",
            next_zh="检查设备电源、接线、unit 和波特率；恢复后自动重连",
            next_en="check power, wiring, unit and baud; it reconnects by itself",
        )


def modbus_map(section: ModbusSection) -> RegisterMap:
    """The register map of a device.

    Raises
    ------
    ConfigError
        There is no such map, or it is not as agreed.
    """
    try:
        return load_map(section.map)
    except MapError as error:
        raise _config_error(_name(section), "map", section.map, error) from error


def _name(section: ModbusSection) -> Text:
    return Text(f"Modbus 设备 {section.id}", f"Modbus device {section.id}")


def _config_error(name: Text, key: str, given: str, error: ValueError) -> ConfigError:
    return ConfigError(
        f"{name.zh}：站点文件的 {key} 不正确（{given}）",
        f"{name.en}: {key} of the station file is wrong: {error}",
        next_zh="改正后运行 steelyard check",
        next_en="mend it, then run steelyard check",
    )
