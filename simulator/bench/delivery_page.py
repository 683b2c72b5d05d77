"""The page of the delivery bench: what was aimed at, what was reached, all figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge.errors import Text
from simulator.bench import tables
from simulator.bench.pages import put
from simulator.bench.targets import Target

__all__ = ["BEGIN", "END", "TARGETS", "markdown", "write_page"]

BEGIN = "<!-- begin: figures, written by steelyard bench delivery -->"
END = "<!-- end -->"

TARGETS = (
    Target(
        Text("封存并落盘，每条 p99 / 裸提交 p99", "seal + commit, p99 / bare commit's"),
        "delivery.seal_commit_over_bare_p99",
        most=2.0,
        tail=("delivery.seal_commit_ms_p99", "ms"),
    ),
    Target(
        Text("持续封存（多路同时）/ 裸提交的速率", "sustained, several at once / bare rate"),
        "delivery.sealed_together_over_bare",
        least=1.0,
        tail=("delivery.sealed_together_per_s", "条/s / records a second"),
    ),
    Target(
        Text("持续封存（逐条）/ 裸提交的速率", "sustained, one at a time / bare rate"),
        "delivery.sealed_over_bare",
        least=1.0,
        tail=("delivery.sealed_per_s", "条/s / records a second"),
    ),
    Target(
        Text("积压送完（含回执）/ 裸 QoS 1", "backlog with receipts / bare QoS 1"),
        "delivery.drain_ratio",
        least=0.6,
        tail=("delivery.drain_records_per_s", "条/s / records a second"),
    ),
    Target(
        Text("末轮到回执 p99，不含分车时间", "last wheel to receipt p99, without separation"),
        "delivery.receipt_ms_p99",
        most=300.0,
        unit=" ms",
        tail=("delivery.receipt_vehicles_per_s", "辆/s / vehicles a second"),
    ),
    Target(
        Text("送积压时站点内存增长", "the station's memory growth over the backlog"),
        "delivery.drain_station_rss_growth_mb",
        most=2.0,
        unit=" MB",
        tail=("delivery.drain_station_rss_mb", "MB"),
    ),
)


def markdown(figures: Mapping[str, float | str]) -> str:
    """Targets first, then every figure with machine and date."""
    return "\n\n".join(
        (
            tables.targets(figures, TARGETS),
            tables.measured("delivery", "全部数字 / Figures", figures),
        )
    )


def write_page(figures: Mapping[str, float | str], page: Path) -> None:
    """Put the tables between the marks of a page; the rest of it stays."""
    put(page, BEGIN, END, markdown(figures))
