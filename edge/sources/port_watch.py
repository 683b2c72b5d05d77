"""Looks at the ports of the station file now and then: names that change, adapters that hold back.

Both cost nothing today and a night's work later, so they stand on the page as warnings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from edge.config import StationFile
from edge.errors import Text
from edge.health import Health, Level
from edge.sources.taps import device_of
from firmware_bridge.ports import LATENCY_GOOD_MS, ROOT, SerialPort, is_numbered, serial_ports

PERIOD_S = 60.0


class PortWatch:
    """Sets the state ``scale.<id>.port``, and so on, of devices whose port wants attention."""

    def __init__(self, model: StationFile, health: Health, root: Path = ROOT) -> None:
        self._model, self._health, self._root = model, health, root
        self._warned: set[str] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look(await asyncio.to_thread(serial_ports, self._root))
            await asyncio.sleep(PERIOD_S)

    def look(self, ports: list[SerialPort]) -> None:
        """Warn of what is wrong, and take back what was and is no longer."""
        by_device = {port.device.resolve(): port for port in ports}
        for part, url in self._lines():
            device = device_of(url)
            port = by_device.get(device) if device else None
            trouble = _trouble(url, port)
            if trouble:
                self._warned.add(part)
                self._health.state(part, Level.WARNING, *trouble[0], next_step=trouble[1])
            elif part in self._warned and port is not None:
                self._warned.remove(part)
                self._health.state(part, Level.OK, "端口正常", "the port is as it should be")

    def _lines(self) -> Iterator[tuple[str, str]]:
        for kind in ("digitiser", "camera", "scale", "modbus"):
            for section in getattr(self._model, kind):
                yield f"{kind}.{section.id}.port", section.url


def _trouble(url: str, port: SerialPort | None) -> tuple[Text, Text] | None:
    """What is wrong with a port, and what to do."""
    if port is not None and port.holds_back:
        return (
            Text(
                f"USB 适配器延迟 {port.latency_ms} 毫秒",
                f"the USB adapter holds bytes back for {port.latency_ms} ms",
            ),
            Text(
                f"把 latency_timer 设为 {LATENCY_GOOD_MS}（docs/installing.md 2）",
                f"set its latency_timer to {LATENCY_GOOD_MS} (docs/installing.md 2)",
            ),
        )
    if is_numbered(url):
        lasting = str(port.lasting) if port else "/dev/serial/by-id/…"
        return (
            Text(f"{url} 会随插拔改变", f"{url} changes when it is plugged again"),
            Text(f"站点文件改用 {lasting}", f"use {lasting} in the station file"),
        )
    return None
