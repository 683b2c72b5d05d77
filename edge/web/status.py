"""How the station is doing, in one sentence, and what an operator does about it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import Text
from edge.health import Level, Snapshot
from edge.records import Record
from edge.web.terms import LEVELS, next_step, part_name
from edge.web.texts import Speaker

_ORDER = (Level.DOWN, Level.WARNING, Level.WAITING, Level.OK)
_NS_PER_S = 1_000_000_000
_LONG_S = 99 * 86_400
_US_PER_H = 3_600_000_000


@dataclass(frozen=True, slots=True)
class PartView:
    """One part of the station for the table and the list of things to do."""

    part: str
    name: str
    level: Level
    word: str
    text: str
    line: str
    """Name and text: what is read to maintenance on the telephone."""
    since: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Headline:
    """The station in one glance."""

    level: Level
    title: str
    more: str


def parts(snapshot: Snapshot, t: Speaker) -> list[PartView]:
    """Every part, the worst first, then by name."""
    colon = "：" if t.lang == "zh" else ": "
    rows = [
        PartView(
            part=part,
            name=t.pick(part_name(part)),
            line=t.pick(part_name(part)) + colon + t.pick(state.text),
            level=state.level,
            word=t.pick(LEVELS[state.level]),
            text=t.pick(state.text),
            since=t.age((snapshot.taken_mono_ns - state.since_mono_ns) / _NS_PER_S),
            next_step=t.pick(state.next_step) or t.pick(next_step(part)),
        )
        for part, state in snapshot.states.items()
    ]
    return sorted(rows, key=lambda row: (_ORDER.index(row.level), row.part))


def headline(rows: Sequence[PartView], t: Speaker) -> Headline:
    """One plain sentence: everything works, or what does not."""
    worst = rows[0].level if rows else Level.WAITING
    if worst is Level.OK:
        return Headline(worst, t("head.ok"), t("head.ok.more"))
    joint = "；" if t.lang == "zh" else "; "
    bad = [row for row in rows if row.level is worst]
    if worst is Level.WAITING:
        return Headline(
            worst, t("head.waiting"), t("head.waiting.more") + joint.join(r.name for r in bad)
        )
    return Headline(worst, t(f"head.{worst.value}"), joint.join(row.line for row in bad))


def troubles(rows: Sequence[PartView]) -> list[PartView]:
    """Parts about which somebody must do something."""
    return [row for row in rows if row.level in {Level.DOWN, Level.WARNING}]


def bytes_per_hour(newest: Sequence[Record], now_us: int) -> float | None:
    """What the traffic of the newest records fills in an hour; None where there is too little.

    Counted from the oldest of them until now, so that a quiet night lowers it by itself.
    """
    if len(newest) < 2:
        return None
    size = sum(len(r.canonical) + sum(b.size_bytes for b in r.blobs) for r in newest)
    span_us: int = now_us - min(r.body["time_us"] for r in newest)
    return size * _US_PER_H / max(span_us, _US_PER_H / 60)


def free_bytes(directory: Path) -> int:
    """Room that is left on the disk of the records."""
    return shutil.disk_usage(directory).free


def outage_text(free: int, per_hour: float | None, t: Speaker) -> str:
    """How long the station can keep everything while the line is down."""
    if not per_hour:
        return t("outbox.hours.unknown")
    seconds = 3600 * free / per_hour
    return t.age(seconds) if seconds < _LONG_S else t("outbox.hours.long")


def store_trouble(what: Text, then: Text, t: Speaker) -> Headline:
    """The headline when the store itself cannot be read."""
    return Headline(Level.DOWN, t("head.store"), f"{t.pick(what)} {t.pick(then)}".strip())
