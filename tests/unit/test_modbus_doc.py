"""The page's table of register maps is the maps; its station file finds them."""

from __future__ import annotations

from pathlib import Path

from edge.config import load_station
from edge.health import Health
from edge.sources.modbus import ModbusBuses, ModbusSource
from firmware_bridge.modbus_map import RegisterMap
from firmware_bridge.modbus_toml import load_map, own_maps

_DOCS = Path(__file__).parents[2] / "docs"
_BEGIN, _END = "<!-- maps: begin -->", "<!-- maps: end -->"


def loaded(name: str, directory: Path) -> RegisterMap:
    """A map; one that needs to be told the point is told one."""
    if name != "dini-dgt4x":
        return load_map(name)
    own = directory / "own.toml"
    own.write_text(f'like = "{name}"\n[weight]\ndecimals = 0\n')
    return load_map(own)


def table(directory: Path) -> str:
    lines = [
        "| `map` | instruments | confirmed | rest | range | tare | commands | sent twice |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join(lines + [line(name, loaded(name, directory)) for name in own_maps()])


def line(name: str, found: RegisterMap) -> str:
    rule = found.weight
    says = ["–"] * 3
    if rule is not None:
        kept = (rule.stable or rule.moving, rule.over or rule.under, rule.net)
        says = ["yes" if part else "–" for part in kept]
    commands = ", ".join(command.name for command in found.commands) or "–"
    cells = (name, found.models, "yes" if found.verified else "no", *says, commands)
    return f"| {' | '.join(cells)} | {'counter' if found.counter else '–'} |"


def test_the_table_of_maps_is_the_maps(tmp_path: Path) -> None:
    page = (_DOCS / "instruments.md").read_text(encoding="utf-8")
    said = page.split(_BEGIN)[1].split(_END)[0].strip()
    assert said == table(tmp_path), f"the page should say:\n{table(tmp_path)}"


def test_the_devices_of_the_example_can_be_asked() -> None:
    config = load_station(_DOCS / "stations" / "modbus.toml")
    buses = ModbusBuses()
    for section in config.model.modbus:
        ModbusSource(config.with_map(section), Health(lambda: 0), lambda: 0, buses)
    lines = {id(buses.bus(section.url)) for section in config.model.modbus}
    assert (len(config.model.modbus), len(lines)) == (5, 2)
