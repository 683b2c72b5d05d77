"""What the accuracy bench found, for people: tables in Markdown, plots, a page of documentation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from edge.errors import InputError
from simulator.bench import adversarial
from simulator.bench.accuracy import Report, Row
from simulator.bench.plots import Curve, plot
from simulator.conditions import CONDITIONS

__all__ = ["markdown", "pictures", "write_page", "write_pictures"]

BEGIN, END = "<!-- begin: written by steelyard bench accuracy -->", "<!-- end -->"
_WORST = 12
_ROAD_ZH = {"A": "A 级路面 / road A", "B": "B 级路面 / road B"}


def markdown(report: Report) -> str:
    """Both tables, the figures and the worst cases."""
    parts = [_cells(report.rows), _conditions(report), _figures(report), _worst(report)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(rows: Sequence[Row]) -> str:
    head = (
        "阵列 / array, 路面 / road, km/h",
        "n",
        "轴 / axle: bias %",
        "sd %",
        "mean sd %",
        "alone sd %",
        "joint sd %",
        "alone bound %",
        "joint bound %",
        "sd/alone",
        "sd/joint",
        "总重 / gross: bias %",
        "sd %",
        "mean sd %",
        "bound %",
        "95 %: axle",
        "gross",
        "R 134",
    )
    return "### 单元表 / Cells\n\n" + _table(head, (_cell_line(row) for row in rows))


def _cell_line(row: Row) -> list[str]:
    cell = row.cell
    return [
        f"{cell.layout} {cell.road} {cell.speed_kmh:g}",
        str(row.vehicles - row.wrong_axles - row.flagged),
        *map(_two, (row.axle_bias, row.axle_sd, row.axle_mean_sd)),
        *map(_two, (row.axle_alone_sd, row.axle_oracle_sd, row.axle_alone_bound, row.axle_bound)),
        *map(_two, (row.ratio, row.joint_ratio)),
        *map(_two, (row.gross_bias, row.gross_sd, row.gross_mean_sd, row.gross_bound)),
        _one(row.coverage),
        _one(row.gross_coverage),
        row.mass_class,
    ]


def _two(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else ""


def _one(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else ""


def _conditions(report: Report) -> str:
    head = ("工况 / condition", "n", "right", "flagged", "**wrong, unflagged**", "missed", "bold")
    lines = (
        [
            f"{CONDITIONS[c.condition].zh} / {c.condition}",
            *map(str, (c.vehicles, c.right, c.flagged, c.wrong, c.missed, c.bold)),
        ]
        for c in adversarial.table(report.outcomes)
    )
    return "### 难工况 / Hard conditions\n\n" + _table(head, lines)


def _figures(report: Report) -> str:
    lines = ([f"`{name}`", f"{value:g}"] for name, value in report.figures.items())
    return "### 汇总 / Figures\n\n" + _table(("key", "value"), lines)


def _worst(report: Report) -> str:
    """Wrong and unflagged ones, so that they can be looked at: condition, seed, vehicle."""
    wrong = [o for o in report.outcomes if o.kind == "wrong"]
    if not wrong:
        return ""
    lines = (f"- {o.condition}, seed {o.seed}, vehicle {o.number}: {o.detail}" for o in wrong)
    shown = "\n".join(line for _, line in zip(range(_WORST), lines, strict=False))
    return f"### 出错且无标记 / Wrong and unflagged ({len(wrong)})\n\n{shown}"


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
        raise _unwritable(directory, error) from error


def write_page(report: Report, page: Path) -> None:
    """Put the tables between the marks of a page; the rest of it stays.

    Raises
    ------
    InputError
        The page can't be read or written, or it has no marks.
    """
    try:
        before, mark, rest = page.read_text("utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not mark or not end:
            raise InputError(
                f"{page} 里没有标记 {BEGIN} … {END}",
                f"{page} has no marks {BEGIN} … {END}",
            )
        page.write_text(f"{before}{BEGIN}\n\n{markdown(report)}\n{END}{after}", "utf-8")
    except OSError as error:
        raise _unwritable(page, error) from error


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"写不了 {path}：{error.strerror}", f"cannot write {path}: {error.strerror}")
