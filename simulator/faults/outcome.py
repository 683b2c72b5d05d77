"""What a trial found: how often it hurt the system, and every promise that was broken."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from edge.errors import Text

_SHOWN = 12


@dataclass(slots=True)
class Outcome:
    """The row of one trial.

    ``blows`` is how often the fault struck; ``figures`` are further numbers under their keys.
    """

    name: str
    title: Text
    seed: int
    blows: int = 0
    records: int = 0
    lost: int = 0
    doubled: int = 0
    unverifiable: int = 0
    inconsistent: int = 0
    forged_accepted: int = 0
    checkpoints: int = 0
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        broken = self.lost + self.doubled + self.unverifiable + self.inconsistent
        return not (broken + self.forged_accepted or self.problems)

    def note(self, text: str) -> None:
        """Something that a reader should know, no fault."""
        self.notes.append(text)

    def problem(self, text: str) -> None:
        """A promise that was not kept."""
        if len(self.problems) < _SHOWN:
            self.problems.append(text)

    def expect(self, holds: bool, text: str) -> None:
        """A promise: ``text`` says what is wrong where it does not hold."""
        if not holds:
            self.problem(text)


def figures(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """The figures of a run, flat."""
    rows = list(outcomes)
    total: dict[str, float] = {
        "faults.records_lost": sum(row.lost for row in rows),
        "faults.records_doubled": sum(row.doubled for row in rows),
        "faults.receipted_unverifiable": sum(row.unverifiable for row in rows),
        "faults.receipts_forged_accepted": sum(row.forged_accepted for row in rows),
        "faults.checkpoints_checked": sum(row.checkpoints for row in rows),
        "faults.checkpoints_inconsistent": sum(row.inconsistent for row in rows),
        "faults.records": sum(row.records for row in rows),
        "faults.trials": len(rows),
        "faults.trials_failed": sum(not row.ok for row in rows),
        "faults.seconds": round(sum(row.seconds for row in rows), 1),
    }
    for row in rows:
        for key, value in row.figures.items():
            total[key] = total.get(key, 0) + value
    _share(total, "faults.mutations_found_pct", "faults.mutations_found", "faults.mutations")
    _share(total, "faults.recompute_equal_pct", "faults.recomputed_equal", "faults.recomputed")
    return total


def _share(total: dict[str, float], name: str, part: str, whole: str) -> None:
    """Percent, rounded down so that 100 means all of them."""
    if total.get(whole):
        total[name] = math.floor(1e4 * total[part] / total[whole]) / 1e2


def markdown(outcomes: Iterable[Outcome]) -> str:
    """The table of a run."""
    lines = [
        "| 故障 Fault | 次数 Times | 记录 Records | 丢失 Lost | 重复 Doubled "
        "| 不可验证 Unverifiable | 检查点不一致 Inconsistent | 秒 s | 结果 Result |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    rows = list(outcomes)
    for row in rows:
        result = "✓" if row.ok else "✗"
        lines.append(
            f"| {row.title.zh} {row.title.en} | {row.blows} | {row.records} | {row.lost} "
            f"| {row.doubled} | {row.unverifiable} | {row.inconsistent} of {row.checkpoints} "
            f"| {row.seconds:.0f} | {result} |"
        )
    lines += [
        "",
        *(f"- ✗ `{row.name}`: {text}" for row in rows for text in row.problems),
        *(f"- `{row.name}`: {text}" for row in rows for text in row.notes),
    ]
    return "\n".join(lines).rstrip() + "\n"
