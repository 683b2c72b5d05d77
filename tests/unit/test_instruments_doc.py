"""The page of instruments: its table is the catalogue, its worked example works."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from firmware_bridge.indicators.catalogue import CATALOGUE, Format, Value
from simulator.bench.bridge_indicators import BEGIN, END

_PAGE = (Path(__file__).parents[2] / "docs" / "instruments.md").read_text(encoding="utf-8")


def between(mark: str) -> str:
    """What stands between the marks of a table."""
    found = re.search(rf"<!-- {mark}: begin -->\n(.*?)\n?<!-- {mark}: end -->", _PAGE, re.DOTALL)
    assert found is not None, mark
    return found[1]


def formats_table() -> str:
    lines = [
        "| `format` | instruments | line | asked | settings | protection | layout |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_line, CATALOGUE)])


def _line(row: Format) -> str:
    bits = f"{row.data_bits}{row.parity[0].upper()}1"
    layout = "manuals" if row.verified else "partly from memory"
    settings = ", ".join(
        name if setting.default is None else f"{name} ({_toml(setting.default)})"
        for name, setting in row.settings.items()
    )
    return (
        f"| {row.name} | {'; '.join(row.models)} | {row.baud} {bits} | {'yes' if row.ask else '–'} "
        f"| {settings or '–'} | {row.protection} | {layout} |"
    )


def _toml(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_table_of_formats_is_the_catalogue() -> None:
    assert between("formats") == formats_table(), f"the page should say:\n{formats_table()}"


def test_every_format_stands_in_the_other_tables() -> None:
    said = _PAGE.split("### 1.2")[1].split("### 1.3")[0]
    bad_line = _PAGE.split(BEGIN)[1].split(END)[0]
    for row in CATALOGUE:
        assert re.search(rf"^\|[^|]*\b{row.name}\b", said, re.MULTILINE), row.name
        assert f"| {row.name} |" in bad_line, row.name


def test_every_order_stands_on_the_page_with_its_bytes() -> None:
    said = _PAGE.split("### 1.6")[1].split("---\n\n##")[0]
    for row in CATALOGUE:
        assert not row.orders or re.search(rf"^\| [^|]*\b{row.name}\b", said, re.MULTILINE)
        for name, form in row.orders.items():
            sent = form.request.removesuffix(b"\r\n").decode()
            assert re.search(rf"\| {name}[^|]* \| `{sent}` \|", said), (row.name, name)


def test_the_worked_example_is_one_file_and_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    file, row = re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    module = ModuleType("and_standard")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(file, "and_standard.py", "exec"), module.__dict__)
    names: dict[str, Any] = {"Format": Format, "and_standard": module.and_standard}
    made: Format = eval(row, names)
    wire = b"ST,+000123.4 kg\r\nUS,-00000.50  t\r\nOL,+000000.0 kg\r\nOL,-000000.0 kg\r\n"
    wire += b"ST,+00.12.40 kg\r\n"
    decoder = made.make({})
    readings = [(r.weight_kg, r.stable, r.out_of_range) for r in decoder.feed(wire)]
    assert readings[:2] == [(123.4, True, None), (-500.0, False, None)]
    assert readings[2:] == [(None, False, "over"), (None, False, "under")]
    assert decoder.counters["malformed"] == 1
