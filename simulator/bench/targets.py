"""What was aimed at, what was reached: one table that is made from the figures of the benches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.errors import Text

__all__ = ["TARGETS", "Target", "target_lines"]

_SURE = 2.0
_MET = Text("达到", "met")
_BY_CHANCE = Text("未达到，偶然误差之内", "not met, within chance")
_MISSED = Text("**未达到**", "**not met**")
_UNKNOWN = Text("未测", "not measured")


@dataclass(frozen=True, slots=True)
class Target:
    """One figure between two limits; ``tail`` names a further figure to show and what it is."""

    what: Text
    figure: str
    least: float = -math.inf
    most: float = math.inf
    unit: str = ""
    tail: tuple[str, str] | None = None

    @property
    def wanted(self) -> str:
        """The limits, for people."""
        if math.isfinite(self.least) and math.isfinite(self.most):
            return f"{self.least:g} – {self.most:g}{self.unit}"
        sign, limit = ("≥", self.least) if math.isfinite(self.least) else ("≤", self.most)
        return f"{sign} {limit:g}{self.unit}"

    def outcome(self, value: float, se: float) -> Text:
        """Whether it is met; a miss by less than two standard errors may be chance."""
        if self.least <= value <= self.most:
            return _MET
        may_be = self.least <= value + _SURE * se and value - _SURE * se <= self.most
        return _BY_CHANCE if may_be else _MISSED


TARGETS = (
    Target(
        Text("轴数正确：自由流，混合载重，噪声和漂移", "right number of axles in free flow"),
        "accuracy.axle_count_right_pct",
        least=99.95,
        unit=" %",
        tail=("accuracy.axle_count_vehicles", "辆 / vehicles"),
    ),
    Target(
        Text("每种难工况：出错且无标记", "each hard condition: wrong and unflagged"),
        "accuracy.adversarial_wrong_unflagged_max_pct",
        most=0.1,
        unit=" %",
    ),
    Target(
        Text("条形 3 排以上：轴 sd / 单轴极限", "3 strips and more: axle sd / bound alone"),
        "accuracy.strip_sd_over_bound_max",
        most=1.05,
    ),
    Target(
        Text("条形 3 排以上：轴 sd / 各排平均的 sd", "3 strips and more: axle sd / mean's"),
        "accuracy.strip_sd_over_mean_max",
        most=1.0,
        tail=("accuracy.strip_cells_above_mean_by_2se", "格高出 2 se / cells above by 2 se"),
    ),
    Target(
        Text("比平均好：4 排，A 级，79 km/h", "better than the mean: 4 rows, road A, 79 km/h"),
        "accuracy.gain_over_mean_4rows_79kmh_pct",
        least=12.0,
        unit=" %",
        tail=("accuracy.joint_bound_gain_over_mean_4rows_79kmh_pct", "% 联合极限 / joint bound"),
    ),
    Target(
        Text("弯板见 0.6 个跳动周期以上：sd / 极限", "plates, 0.6 bounce cycles: sd / bound"),
        "accuracy.plate_sd_over_bound_max",
        most=1.25,
    ),
    Target(
        Text("弯板：轴 sd / 各排平均的 sd", "plates: axle sd / mean's"),
        "accuracy.plate_sd_over_mean_max",
        most=1.0,
        tail=("accuracy.plate_cells_above_mean_by_2se", "格高出 2 se / cells above by 2 se"),
    ),
    Target(
        Text("95 % 区间的覆盖率，轴", "coverage of 95 % intervals, axles"),
        "accuracy.coverage95_pct",
        least=93.0,
        most=97.0,
        unit=" %",
    ),
    Target(
        Text("95 % 区间的覆盖率，总重", "coverage of 95 % intervals, gross"),
        "accuracy.coverage95_gross_pct",
        least=93.0,
        most=97.0,
        unit=" %",
    ),
    Target(
        Text("覆盖率最低的一格", "the cell with the least coverage"),
        "accuracy.coverage95_cell_min_pct",
        least=90.0,
        unit=" %",
        tail=("accuracy.coverage95_cells_outside_90_99", "格在界外 / cells outside"),
    ),
    Target(
        Text("覆盖率最高的一格", "the cell with the most coverage"),
        "accuracy.coverage95_cell_max_pct",
        most=99.0,
        unit=" %",
    ),
    Target(
        Text("正好在限值上而判超限", "exactly at the limit, called over"),
        "accuracy.false_over_at_limit_pct",
        most=2.5,
        unit=" %",
        tail=("accuracy.at_limit_vehicles", "辆 / vehicles"),
    ),
    Target(
        Text("核心的速度 / `x.max()` 的速度", "speed of the core / of `x.max()`"),
        "speed.ratio",
        least=0.05,
    ),
    Target(
        Text("核心的速度 / 开源同类公布的速度", "speed of the core / published by the open peer"),
        "speed.vs_peer",
        least=100.0,
    ),
    Target(
        Text("实时四车道：占一个核", "live, four lanes: share of one core"),
        "live.core_share_pct",
        most=30.0,
        unit=" %",
    ),
    Target(
        Text("实时：每 100 ms 一步，p99", "live: step of 100 ms, p99"),
        "live.step_ms_p99",
        most=10.0,
        unit=" ms",
    ),
    Target(
        Text("实时：内存增长（0，测到 0.1 MB）", "live: memory growth (0, to 0.1 MB)"),
        "live.rss_growth_mb",
        most=0.1,
        unit=" MB",
        tail=("live.seconds", "s"),
    ),
)


def target_lines(
    figures: Mapping[str, float | str], targets: Sequence[Target] = TARGETS
) -> list[list[str]]:
    """Rows of the table: target, wanted, reached, outcome."""
    return [
        [str(t.what), t.wanted, _reached(t, figures), str(_outcome(t, figures))] for t in targets
    ]


def _outcome(target: Target, figures: Mapping[str, float | str]) -> Text:
    if target.figure not in figures:
        return _UNKNOWN
    return target.outcome(float(figures[target.figure]), _se(target, figures) or 0.0)


def _se(target: Target, figures: Mapping[str, float | str]) -> float | None:
    found = figures.get(f"{_bare(target)}_se")
    return None if found is None else float(found)


def _bare(target: Target) -> str:
    return target.figure.removesuffix("_pct")


def _reached(target: Target, figures: Mapping[str, float | str]) -> str:
    """Value, standard error, the cell it is of, and what else is to be known."""
    if target.figure not in figures:
        return ""
    se, cell = _se(target, figures), figures.get(f"{_bare(target)}_cell")
    vehicles = figures.get(f"{_bare(target)}_vehicles")
    parts = [f"{float(figures[target.figure]):.4g}"]
    parts += [f"± {se:.2g}"] if se is not None else []
    parts = [" ".join(parts) + target.unit]
    parts += [f"`{cell}`"] if cell else []
    parts += [f"n {vehicles}"] if vehicles else []
    if target.tail is not None and target.tail[0] in figures:
        parts.append(f"{_plain(float(figures[target.tail[0]]))} {target.tail[1]}")
    return "; ".join(parts)


def _plain(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"
