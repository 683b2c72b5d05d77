"""The bench of the firmware bridge: each figure has a room of its own and one row here.

A room's function takes ``quick`` and gives flat figures, ``bridge.NAME``; the targets that belong
to them stand in its row.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import InputError, Text
from simulator.bench import tables
from simulator.bench.pages import put
from simulator.bench.targets import Target

__all__ = ["BEGIN", "END", "MEASURES", "Measure", "markdown", "run", "write_page"]

BEGIN = "<!-- begin: figures, written by steelyard bench bridge -->"
END = "<!-- end: figures -->"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: ``function`` is ``room.name`` in this package, called as ``name(quick=...)``."""

    name: str
    function: str
    targets: tuple[Target, ...]
    table: str = ""
    """``room.name`` that puts a table of its own into the page, called with figures and page."""

    def run(self, *, quick: bool) -> dict[str, float]:
        """Measure."""
        found: dict[str, float] = _function(self.function)(quick=quick)
        return found


def _function(path: str) -> Callable[..., Any]:
    room, _, name = path.partition(".")
    found: Callable[..., Any] = getattr(importlib.import_module(f"simulator.bench.{room}"), name)
    return found


MEASURES: tuple[Measure, ...] = (
    Measure(
        "modbus",
        "bridge_modbus.bad_replies",
        (
            Target(
                Text(
                    "迟到、重复、串扰、损坏的 Modbus 应答中交付的错误值",
                    "wrong values delivered of late, doubled, crossed, damaged Modbus replies",
                ),
                "bridge.wrong_values",
                most=0.0,
                tail=("bridge.bad_replies_tried", "次 / tried"),
            ),
        ),
    ),
    Measure(
        "bus",
        "bridge_bus.dead_device",
        (
            Target(
                Text("八台中一台失效，其余变慢", "one of 8 devices dead: slowdown of the others"),
                "bridge.dead_device_slowdown_pct",
                most=10.0,
                unit=" %",
            ),
        ),
    ),
    Measure(
        "indicators",
        "bridge_indicators.run",
        (
            Target(
                Text(
                    "有校验的仪表格式，千分之一误码：错误读数每百万帧",
                    "indicator formats with protection, one bit in a thousand: wrong in a million",
                ),
                "bridge.indicators.protected_wrong_ppm_max",
                most=500,
            ),
        ),
        "bridge_indicators.write_table",
    ),
    Measure(
        "stream",
        "bridge_stream.run",
        (
            Target(
                Text(
                    "数据流解码速度与 zlib.crc32 加 cobs.decode 之比",
                    "stream decode, one core, as a part of the speed of zlib.crc32 + cobs.decode",
                ),
                "bridge.decode_ratio",
                least=0.5,
            ),
        ),
    ),
    Measure(
        "baud",
        "bridge_baud.run",
        (
            Target(
                Text(
                    "C 设备按 921,600 与 3,000,000 波特满速：丢失的采样",
                    "the C device at a full 921,600 and 3,000,000 baud: lost samples",
                ),
                "bridge.samples_lost",
                most=0,
            ),
            Target(
                Text("921,600 波特时占一个核心", "share of a core at 921,600 baud"),
                "bridge.core_share_921600_pct",
                most=20,
                unit=" %",
            ),
        ),
    ),
    Measure(
        "clock",
        "bridge_clock.run",
        (
            Target(
                Text(
                    "设备时钟一分钟后的误差：50 ppm，抖动 20 ms，停顿，跳变",
                    "device clock after a minute: error under 50 ppm, 20 ms jitter, stalls, a step",
                ),
                "bridge.clock_error_ms",
                most=1,
                unit=" ms",
            ),
            Target(
                Text("时钟跳变被标记", "clock steps flagged, and nothing else"),
                "bridge.clock.steps_flagged_pct",
                least=100,
                unit=" %",
            ),
        ),
    ),
    Measure(
        "twins",
        "bridge_twins.run",
        (
            Target(
                Text(
                    "一百万随机帧，C 与 Python 编解码不一致的批次",
                    "a million random frames: batches on which C and Python differ",
                ),
                "bridge.twins_differing",
                most=0,
            ),
        ),
    ),
    Measure(
        "cameras",
        "bridge_cameras.run",
        (
            Target(
                Text(
                    "本站车牌帧，千分之一误码：错误车牌每百万帧",
                    "the station's own plate frame, one bit in a thousand: wrong in a million",
                ),
                "bridge.cameras.wrong_ppm.steelyard",
                most=1,
            ),
        ),
        "bridge_cameras.write_table",
    ),
    Measure(
        "replug",
        "bridge_replug.run",
        (
            Target(
                Text(
                    "适配器换名重插：未在 2 秒内恢复，或缺口没有标记",
                    "re-plug under another name: not back in 2 s, or gap not flagged",
                ),
                "bridge.replug_failed",
                most=0,
                tail=("bridge.replug_tried", "次 / trials"),
            ),
            Target(
                Text(
                    "适配器换名重插：恢复采样的最长时间",
                    "re-plug under another name: longest until samples flow again",
                ),
                "bridge.replug_again_max_s",
                most=2.0,
                unit=" s",
            ),
        ),
    ),
)


def run(
    *, quick: bool = False, only: Sequence[str] = (), progress: Callable[[float], None]
) -> dict[str, float]:
    """All figures, or those of the measures named in ``only``.

    Raises
    ------
    InputError
        There is no such measure.
    """
    chosen = [m for m in MEASURES if not only or m.name in only]
    if not chosen:
        raise InputError(
            f"没有这样的测量：{', '.join(only)}",
            f"no measure is called {', '.join(only)}",
            next_zh=f"可选：{', '.join(m.name for m in MEASURES)}",
            next_en=f"there are {', '.join(m.name for m in MEASURES)}",
        )
    figures: dict[str, float] = {}
    for number, measure in enumerate(chosen):
        progress(number / len(chosen))
        figures |= measure.run(quick=quick)
    progress(1.0)
    return figures


def markdown(figures: Mapping[str, float | str]) -> str:
    """Targets first, then every figure with machine and date."""
    aims = [target for measure in MEASURES for target in measure.targets]
    shown = (
        tables.targets(figures, aims),
        tables.measured("bridge", "全部数字 / Figures", figures),
    )
    return "\n\n".join(shown)


def write_page(figures: Mapping[str, float | str], page: Path) -> None:
    """Put the tables between the marks of a page; the rest of it stays."""
    put(page, BEGIN, END, markdown(figures))
    for measure in MEASURES:
        if measure.table and any(name.startswith(f"bridge.{measure.name}.") for name in figures):
            _function(measure.table)(figures, page)
