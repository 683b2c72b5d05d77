"""Scales whose weight comes over Modbus: ``url = "modbus:W1"`` names a ``[[modbus]]`` device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge.config import ScaleSection
from edge.errors import LinkDown, Text
from edge.health import Health, Level
from edge.records import ScaleReading
from edge.sources.weigher import Companions, Weigher
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.standstill import within

__all__ = ["ModbusScaleSource", "Weights"]

SILENCE_S = 5.0
"""Without a reading for so long the scale counts as away."""

_WAITING = 32


class Weights:
    """Weights on their way from the Modbus devices of a station to its scales."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[IndicatorReading]] = {}

    def of(self, device: str) -> asyncio.Queue[IndicatorReading]:
        """Where the weights of a device arrive from now on."""
        return self._queues.setdefault(device, asyncio.Queue(_WAITING))

    def put(self, device: str, reading: IndicatorReading) -> None:
        """Hand a weight to its scale; one that does not follow loses the oldest."""
        queue = self._queues.get(device)
        if queue is None:
            return
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(reading)


class ModbusScaleSource:
    """One such scale.

    Parameters
    ----------
    section : ScaleSection
        Its part of the station file.
    health : Health
        Gets the state ``scale.<id>`` and counters under that name.
    now_ns : callable
        The station's time in nanoseconds; stamps what arrives.
    companions : Companions
        Shared by all scales of the station.
    weights : Weights
        Shared with the station's Modbus devices.
    """

    def __init__(
        self,
        section: ScaleSection,
        health: Health,
        now_ns: Callable[[], int],
        companions: Companions,
        weights: Weights,
    ) -> None:
        self._device = section.url.removeprefix("modbus:")
        self._now_ns = now_ns
        self._arriving = weights.of(self._device)
        # RTU has a CRC, and TCP its own checksum.
        self._weigher = Weigher(section, health, companions, "checksum")

    async def run(self, deliver: Callable[[ScaleReading], None]) -> None:
        """Deliver readings until cancelled.

        Raises
        ------
        LinkDown
            The Modbus device gives no weight; its own state says why.
        """
        self._weigher.state(Level.WAITING, Text("正在等待 Modbus", "waiting for Modbus"))
        while True:
            try:
                reading = await within(SILENCE_S, self._arriving.get())
            except TimeoutError:
                raise self._away() from None
            deliver(self._weigher.take(reading, self._now_ns()))

    def _away(self) -> LinkDown:
        name = self._weigher.name
        return LinkDown(
            f"{name.zh}：Modbus 设备 {self._device} {SILENCE_S:.0f} 秒没有给出重量",
            f"{name.en}: no weight from Modbus device {self._device} for {SILENCE_S:.0f} s",
            next_zh=f"看 Modbus 设备 {self._device} 的状态；核对它的 map 是否有 [weight]",
            next_en=f"look at the state of {self._device}; see that its map has a [weight]",
        )
