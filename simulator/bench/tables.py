"""Tables of the benches in Markdown, Chinese first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from simulator.bench import adversarial
from simulator.bench.adversarial import Outcome
from simulator.bench.again import misses
from simulator.bench.rows import Row
from simulator.bench.targets import TARGETS, Target, target_lines
from simulator.conditions import CONDITIONS
from simulator.layouts import best_spacing_m

__all__ = ["again", "cells", "conditions", "measured", "spacing", "targets", "worst"]

_WORST = 12
_WANTED_GAIN_PCT = 12.0
DESIGN_M = round(best_spacing_m(4, 80.0), 2)
_JUDGED = (
    ("axle_sd", "Steelyard", "Steelyard"),
    ("axle_alone_sd", "单轴极限", "the bound of an axle alone"),
    ("axle_oracle_sd", "联合极限", "the joint bound"),
)
_LAYOUTS = {
    "strips": "排条形 / rows of strips",
    "plate": "块弯板 / plate",
    "plates": "块弯板 / plates",
}


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """One table; all columns but the first hold numbers."""
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def targets(found: Mapping[str, float | str], aims: Sequence[Target] = TARGETS) -> str:
    """What was aimed at and what was reached."""
    head = ("目标 / target", "要求 / wanted", "实测 ± 标准误 / reached ± standard error", "结果")
    return "### 目标与现状 / Targets and where we stand\n\n" + table(
        head, target_lines(found, aims)
    )


def spacing(rows: Sequence[Row]) -> str:
    """Scatter over the distance of the rows, and where the weights gain what was aimed at."""
    if not rows:
        return ""
    head = (
        "排距 / apart, m",
        "n",
        "轴 / axle sd %",
        "平均 / mean sd %",
        "得益 / gain %",
        "单轴极限 / alone %",
        "同类 / kind %",
        "联合极限 / joint %",
    )
    lines = (
        [
            f"{r.cell.spacing_m:g}",
            str(r.vehicles),
            _with(r, "axle_sd"),
            _two(r.axle_mean_sd),
            f"{r.gain('axle_sd'):.1f} ± {100 * r.se.get('mean_ratio', math.nan):.1f}",
            *(f"{r.gain(f):.1f}" for f in ("axle_alone_sd", "axle_kind_sd", "axle_oracle_sd")),
        ]
        for r in rows
    )
    title = "### 排距 / Distance of the rows\n\n"
    return title + table(head, lines) + "\n\n" + _where(rows)


def _where(rows: Sequence[Row]) -> str:
    """What physics leaves to gain at the design distance, and at which one is gained enough."""
    zh, en = [], []
    for field, name_zh, name_en in _JUDGED:
        at = [f"{r.cell.spacing_m:g}" for r in rows if r.gain(field) >= _WANTED_GAIN_PCT]
        zh.append(f"{name_zh}：{'、'.join(at) + ' m' if at else '没有'}")
        en.append(f"{name_en}: {', '.join(at) + ' m' if at else 'nowhere'}")
    told = [_at_design(r) for r in rows if r.cell.spacing_m == DESIGN_M]
    told.append(
        f"比平均好 {_WANTED_GAIN_PCT:g} % 的排距：{'；'.join(zh)}。\n"
        f"Distances at which {_WANTED_GAIN_PCT:g} % are gained over the mean: {'; '.join(en)}."
    )
    return "\n\n".join(told)


def _at_design(row: Row) -> str:
    most = row.gain("axle_oracle_sd")
    beyond_zh, beyond_en = (
        ("物理不允许", "physics forbids it")
        if most < _WANTED_GAIN_PCT
        else ("物理允许，但要知道每辆车的弹簧", "physics allows it to one who knows the springs")
    )
    return (
        f"设计排距 {DESIGN_M:g} m：联合极限也只比平均好 {most:.1f} %（Steelyard "
        f"{row.gain('axle_sd'):.1f} %）；目标 {_WANTED_GAIN_PCT:g} %：{beyond_zh}。\n"
        f"At the design distance of {DESIGN_M:g} m the joint bound itself gains {most:.1f} % over "
        f"the mean (Steelyard {row.gain('axle_sd'):.1f} %); the target of {_WANTED_GAIN_PCT:g} %: "
        f"{beyond_en}."
    )


def conditions(told: Sequence[Outcome]) -> str:
    """Hard conditions: what was right, flagged, wrong."""
    head = ("工况 / condition", "n", "right", "flagged", "**wrong, unflagged**", "missed", "bold")
    lines = (
        [
            f"{CONDITIONS[c.condition].zh} / {c.condition}",
            *map(str, (c.vehicles, c.right, c.flagged, c.wrong, c.missed, c.bold)),
        ]
        for c in adversarial.table(told)
    )
    return "### 难工况 / Hard conditions\n\n" + table(head, lines)


def again(
    first: Sequence[Row],
    rows: Sequence[Row],
    told_first: Sequence[Outcome],
    told: Sequence[Outcome],
) -> str:
    """Both passes of what missed a target in the first; the second counts."""
    later = {row.cell: row for row in rows}
    retold = {case.condition: case for case in adversarial.table(told)}
    lines = [
        [
            f"{row.cell.name}: {extreme.field}",
            _with(row, extreme.field, digits=3),
            str(row.vehicles),
            _with(later[row.cell], extreme.field, digits=3),
            str(later[row.cell].vehicles),
        ]
        for row in first
        for extreme in misses(row)
    ]
    lines += [
        [
            f"{case.condition}: wrong, unflagged %",
            *(part for c in (case, retold[case.condition]) for part in _wrong(c)),
        ]
        for case in adversarial.table(told_first)
    ]
    if not lines:
        return ""
    head = ("单元或工况 / cell or condition", "首测 / first", "n", "再测 / again", "n")
    return "### 再测，以再测为准 / Measured again; the second counts\n\n" + table(head, lines)


def _wrong(case: adversarial.Case) -> tuple[str, str]:
    return f"{case.wrong_pct:.3g} ({case.wrong})", str(case.vehicles)


def worst(told: Sequence[Outcome]) -> str:
    """Wrong and unflagged ones, so that they can be looked at: condition, seed, vehicle."""
    wrong = [o for o in told if o.kind == "wrong"]
    if not wrong:
        return ""
    lines = (f"- {o.condition}, seed {o.seed}, vehicle {o.number}: {o.detail}" for o in wrong)
    shown = "\n".join(line for _, line in zip(range(_WORST), lines, strict=False))
    return f"### 出错且无标记 / Wrong and unflagged ({len(wrong)})\n\n{shown}"


def measured(bench: str, title: str, found: Mapping[str, float | str]) -> str:
    """The flat figures of one bench, with machine and date."""
    own = {key: value for key, value in found.items() if key.startswith(f"{bench}.")}
    return f"### {title}\n\n{_listed(own)}" if own else ""


def _listed(found: Mapping[str, float | str]) -> str:
    told = ((key, v if isinstance(v, str) else f"{v:.10g}") for key, v in found.items())
    return table(("key", "value"), ([f"`{key}`", value] for key, value in told))


def cells(rows: Sequence[Row]) -> str:
    """All cells, each array under a heading of its own."""
    parts = [
        f"#### {layout}: {_title(layout)}\n\n" + table(_HEAD, map(_cell_line, own))
        for layout, own in groupby(rows, key=lambda r: r.cell.layout)
    ]
    return "\n\n".join(["### 单元表 / Cells", *parts])


def _title(layout: str) -> str:
    kind, _, number = layout.partition("_")
    return f"{number} {_LAYOUTS[kind]}"


_HEAD = (
    "路面 / road, km/h",
    "n",
    "轴 / axle: bias %",
    "sd %",
    "mean sd %",
    "sd/mean",
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


def _cell_line(row: Row) -> list[str]:
    return [
        f"{row.cell.road} {row.cell.speed_kmh:g}",
        str(row.vehicles - row.wrong_axles - row.flagged),
        _two(row.axle_bias),
        _with(row, "axle_sd"),
        _two(row.axle_mean_sd),
        _with(row, "mean_ratio"),
        *map(_two, (row.axle_alone_sd, row.axle_oracle_sd, row.axle_alone_bound, row.axle_bound)),
        _with(row, "ratio"),
        _with(row, "joint_ratio"),
        *map(_two, (row.gross_bias, row.gross_sd, row.gross_mean_sd, row.gross_bound)),
        _with(row, "coverage", digits=1),
        _with(row, "gross_coverage", digits=1),
        row.mass_class,
    ]


def _with(row: Row, field: str, digits: int = 2) -> str:
    """A value with its standard error."""
    value, se = float(getattr(row, field)), row.se.get(field, math.nan)
    if not math.isfinite(value):
        return ""
    return f"{value:.{digits}f} ± {se:.{digits}f}" if math.isfinite(se) else f"{value:.{digits}f}"


def _two(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else ""
