"""The Modbus devices of a simulated station: what its maps name, on the lines of its file."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from edge.config import ModbusSection, StationConfig
from firmware_bridge.modbus_map import BIT_KINDS, FORMATS, Register, RegisterMap
from firmware_bridge.modbus_toml import load_map
from simulator.modbus_slave import Memory, RtuSlave, TcpSlave

__all__ = ["cabinet_values", "modbus_lines", "simulated"]

Values = Callable[[], Mapping[str, float]]


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


def modbus_lines(
    station: StationConfig, wanted: Mapping[str, str], values: Values
) -> list[tuple[list[str], RtuSlave | TcpSlave]]:
    """The lines of a station's Modbus devices, with the names of those on each.

    ``wanted`` gives other lines by the device's name. A pty that is no path of ``/dev`` is found
    under the path of the station file.
    """
    lines: dict[str, list[ModbusSection]] = {}
    for section in station.model.modbus:
        lines.setdefault(wanted.get(section.id, section.url), []).append(station.with_map(section))
    return [
        (
            [section.id for section in sections],
            _line(url, {s.unit: simulated(load_map(s.map), values) for s in sections}),
        )
        for url, sections in lines.items()
    ]


def _line(url: str, units: Mapping[int, Memory]) -> RtuSlave | TcpSlave:
    parts = urlsplit(url)
    if parts.scheme == "tcp":
        return TcpSlave(units, port=parts.port or 0)
    path = Path(parts.netloc + parts.path)
    return RtuSlave(units, link=None if path.is_relative_to("/dev") else path)


def simulated(register_map: RegisterMap, values: Values) -> Memory:
    """A device with the registers of a map; names that ``values`` lacks read as zero."""
    cells: dict[str, dict[int, int]] = {}
    for span in register_map.spans:
        cells.setdefault(span.kind, {}).update(
            dict.fromkeys(range(span.start, span.start + span.count), 0)
        )
    device = Memory(cells)

    def refresh() -> None:
        now = values()
        for register in register_map.registers:
            counted = len(device.requests) if register.name == register_map.counter else 0.0
            raw = raw_words(register, now.get(register.name, counted))
            cells[register.kind].update(enumerate(raw, register.register))

    device.before = refresh
    return device


def raw_words(register: Register, value: float) -> list[int]:
    """A value as the words, or the bit, that stand in the device."""
    raw = (value - register.offset) / register.scale
    if register.kind in BIT_KINDS:
        return [int(raw != 0)]
    packed = struct.pack(FORMATS[register.type], raw if register.type == "f32" else round(raw))
    words = [int.from_bytes(packed[i : i + 2]) for i in range(0, len(packed), 2)]
    return words[::-1] if register.words == "little" else words
