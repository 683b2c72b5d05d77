"""What the benches found, for people: a page of documentation with tables and pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from edge.errors import InputError, cannot_write, why_zh
from simulator.bench import tables
from simulator.bench.accuracy import Report, Row
from simulator.bench.figures import Figures
from simulator.bench.pages import put
from simulator.bench.plots import Curve, plot

__all__ = [
    "BEGIN",
    "END",
    "markdown",
    "parts_of",
    "pictures",
    "read_figures",
    "write_page",
    "write_pictures",
]

BEGIN = "<!-- begin: {}, written by steelyard bench accuracy -->"
END = "<!-- end -->"
_PICTURES = "images"
_ROAD_ZH = {"A": "A 级路面 / road A", "B": "B 级路面 / road B"}


def markdown(report: Report, figures: Mapping[str, float | str]) -> str:
    """All tables; ``figures`` are those of this bench and of others."""
    return "\n\n".join(parts_of(report, figures).values()) + "\n"


def parts_of(report: Report, figures: Mapping[str, float | str]) -> dict[str, str]:
    """The parts of the page by name: what everybody reads, and what one looks up."""
    drawn = "\n".join(f"![]({_PICTURES}/{name})" for name in pictures(report))
    summary = (tables.targets(figures), drawn, tables.spacing(report.spaced))
    details = (
        tables.conditions(report.outcomes),
        tables.again(report.first, report.rows, report.told_first, report.outcomes),
        tables.worst(report.outcomes),
        tables.measured("speed", "速度 / Speed", figures),
        tables.measured("live", "实时 / Live", figures),
        tables.cells(report.rows),
        tables.measured("accuracy", "汇总 / Figures", figures),
    )
    return {
        "summary": "\n\n".join(part for part in summary if part),
        "details": "\n\n".join(part for part in details if part),
    }


def read_figures(files: Iterable[Path]) -> Figures:
    """Flat figures that other benches wrote.

    Raises
    ------
    InputError
        A file is not there, or holds no figures.
    """
    found: Figures = {}
    for file in files:
        try:
            told = json.loads(file.read_bytes())
        except OSError as error:
            raise InputError(
                f"读不了 {file}{why_zh(error)}", f"cannot read {file}: {error.strerror}"
            ) from error
        except ValueError as error:
            raise InputError(
                f"{file} 不是 JSON{why_zh(error)}", f"{file} is no JSON: {error}"
            ) from error
        if not isinstance(told, dict) or not all(
            isinstance(v, int | float | str) for v in told.values()
        ):
            raise InputError(f"{file} 里不是一层的数字", f"{file} holds no flat figures")
        found |= told
    return found


def pictures(report: Report) -> dict[str, str]:
    """SVG pictures by file name, of what this report holds."""
    found = {
        f"accuracy-{layout}-{road}.svg": [
            r for r in report.rows if r.cell.layout == layout and r.cell.road == road
        ]
        for layout in ("strips_4", "plates_2")
        for road in ("A", "B")
    }
    drawn = {name: _over_speed(rows) for name, rows in found.items() if len(rows) > 1}
    if len(report.spaced) > 1:
        drawn["accuracy-spacing.svg"] = _over_spacing(report.spaced)
    strips = [r for r in report.rows if not r.cell.plate and r.cell.speed_kmh == 79.0]
    if len(strips) > 1:
        drawn["accuracy-rows.svg"] = _over_rows(strips)
    covering = [r for r in report.rows if math.isfinite(r.coverage)]
    if len(covering) > 1:
        drawn["accuracy-coverage.svg"] = _coverage(covering)
    return drawn


def _over_speed(rows: Sequence[Row]) -> str:
    kmh = [r.cell.speed_kmh for r in rows]
    curves = [
        Curve("轴 / axle sd", kmh, [r.axle_sd for r in rows]),
        Curve("各排平均 / plain mean", kmh, [r.axle_mean_sd for r in rows]),
        Curve("单轴极限 / alone bound", kmh, [r.axle_alone_bound for r in rows], dashed=True),
        Curve("联合极限 / joint bound", kmh, [r.axle_bound for r in rows], dashed=True),
        Curve("总重 / gross sd", kmh, [r.gross_sd for r in rows]),
        Curve("总重极限 / bound", kmh, [r.gross_bound for r in rows], dashed=True),
    ]
    cell = rows[0].cell
    return plot(f"{cell.layout}, {_ROAD_ZH[cell.road]}", "km/h", "%", curves)


def _over_rows(rows: Sequence[Row]) -> str:
    curves = []
    for road in sorted({r.cell.road for r in rows}):
        own = [r for r in rows if r.cell.road == road]
        number = [int(r.cell.layout.rpartition("_")[2]) for r in own]
        curves += [
            Curve(f"{road}: 轴 / axle sd", number, [r.axle_sd for r in own]),
            Curve(f"{road}: 平均 / mean", number, [r.axle_mean_sd for r in own]),
            Curve(f"{road}: 极限 / bound", number, [r.axle_alone_bound for r in own], dashed=True),
        ]
    return plot("79 km/h", "排数 / rows", "%", curves)


def _over_spacing(rows: Sequence[Row]) -> str:
    at_m = [r.cell.spacing_m or 0.0 for r in rows]
    curves = [
        Curve("各排平均 / plain mean", at_m, [r.axle_mean_sd for r in rows]),
        Curve("Steelyard", at_m, [r.axle_sd for r in rows]),
        Curve("单轴极限 / alone", at_m, [r.axle_alone_sd for r in rows], dashed=True),
        Curve("同类极限 / kind", at_m, [r.axle_kind_sd for r in rows], dashed=True),
        Curve("联合极限 / joint", at_m, [r.axle_oracle_sd for r in rows], dashed=True),
    ]
    title = "4 排，A 级路面，79 km/h：轴 sd / axle sd, 4 rows, road A"
    return plot(title, "排距 / distance of the rows, m", "%", curves)


def _coverage(rows: Sequence[Row]) -> str:
    curves = []
    for layout in dict.fromkeys(r.cell.layout for r in rows):
        own = [r for r in rows if r.cell.layout == layout and r.cell.road == "A"]
        curves.append(Curve(layout, [r.cell.speed_kmh for r in own], [r.coverage for r in own]))
    title = "95 % 区间覆盖率（轴，A 级）/ coverage, axles, road A"
    return plot(title, "km/h", "%", curves)


def write_pictures(report: Report, directory: Path) -> None:
    """Write the pictures into a directory.

    Raises
    ------
    InputError
        It can't be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures(report).items():
            (directory / name).write_text(picture, "utf-8")
    except OSError as error:
        raise cannot_write(directory, error) from error


def write_page(report: Report, figures: Mapping[str, float | str], page: Path) -> None:
    """Put the parts between the marks of a page; the rest of it stays.

    Raises
    ------
    InputError
        The page can't be read or written, or it lacks marks.
    """
    for name, part in parts_of(report, figures).items():
        put(page, BEGIN.format(name), END, part)
