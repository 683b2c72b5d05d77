"""A Modbus device as the station reads it: polled, each value in its unit, outages told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from edge.config import ModbusSection
from edge.errors import ConfigError, DeviceFault, LinkDown, SteelyardError, Text
from edge.health import Health, Level
from edge.records import Measurement
from firmware_bridge.modbus import MapError, ModbusDevice, ModbusLost, ModbusRefused, load_map

MISSED_POLLS = 3
"""So many polls in a row without a trusted answer, and the device counts as away."""


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

    Raises
    ------
    ConfigError
        There is no such register map.
    """

    def __init__(self, section: ModbusSection, health: Health, now_ns: Callable[[], int]) -> None:
        self._section = section
        self._health = health
        self._now_ns = now_ns
        self._part = f"modbus.{section.id}"
        self._name = Text(f"Modbus 设备 {section.id}", f"Modbus device {section.id}")
        try:
            self._map = load_map(section.map)
        except MapError as error:
            raise self._config_error("map", error) from error

    async def run(self, deliver: Callable[[Measurement], None]) -> None:
        """Poll and deliver until cancelled.

        Raises
        ------
        LinkDown
            The device can't be reached, or stays silent.
        DeviceFault
            The device has no such registers.
        ConfigError
            ``url`` or ``unit`` of the station file can't be.
        """
        self._health.state(self._part, Level.WAITING, "正在连接", "connecting")
        section = self._section
        try:
            device = ModbusDevice(section.url, section.unit, self._map, section.timeout_s)
        except ValueError as error:
            raise self._config_error("url / unit", error) from error
        try:
            async with device:
                await self._poll(device, deliver)
        except ModbusLost as error:
            raise self._link_down(error) from error
        except ModbusRefused as error:
            raise DeviceFault(
                f"{self._name.zh}：设备拒绝读取寄存器：{error}",
                f"{self._name.en}: the device refuses a register: {error}",
                next_zh="核对站点文件的 unit 和 map 与设备型号",
                next_en="check unit and map in the station file against the device",
            ) from error

    async def _poll(self, device: ModbusDevice, deliver: Callable[[Measurement], None]) -> None:
        loop = asyncio.get_running_loop()
        missed, due_s = 0, loop.time()
        counted: Counter[str] = Counter()
        while True:
            missed = 0 if await self._read(device, deliver, missed) else missed + 1
            for name, number in (device.counters - counted).items():
                self._health.count(f"{self._part}.{name}", number)
            counted = device.counters.copy()
            due_s = max(due_s + self._section.poll_s, loop.time())
            await asyncio.sleep(due_s - loop.time())

    async def _read(
        self, device: ModbusDevice, deliver: Callable[[Measurement], None], missed: int
    ) -> bool:
        """One poll; false if it brought nothing and that may still be passed over."""
        try:
            values = await device.read()
        except ModbusLost as error:
            self._health.count(f"{self._part}.missed_polls")
            if error.reason == "closed" or missed + 1 >= MISSED_POLLS:
                raise
            self._health.state(
                self._part,
                Level.WARNING,
                "一次没有应答，正在重试",
                "one answer is missing, asking again",
            )
            return False
        time_ns = self._now_ns()
        for value in values:
            deliver(Measurement(self._section.id, value.name, value.value, value.unit, time_ns))
        self._health.state(self._part, Level.OK, "正在读取", "reading")
        return True

    def _link_down(self, lost: ModbusLost) -> SteelyardError:
        return LinkDown(
            f"{self._name.zh}：没有可信的应答（{self._section.url}）",
            f"{self._name.en}: no answer that can be trusted: {lost}",
            next_zh="检查设备电源、接线、unit 和波特率；恢复后自动重连",
            next_en="check power, wiring, unit and baud; it reconnects by itself",
        )

    def _config_error(self, key: str, error: ValueError) -> ConfigError:
        return ConfigError(
            f"{self._name.zh}：站点文件的 {key} 不正确：{error}",
            f"{self._name.en}: {key} of the station file is wrong: {error}",
            next_zh="改正后运行 steelyard check",
            next_en="mend it, then run steelyard check",
        )
