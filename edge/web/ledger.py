"""The page of the log: how it stands with the centre, what waits, the clock, what happened here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.health import Level, Snapshot
from edge.records import Record
from edge.web.desk import Desk
from edge.web.gist import gist
from edge.web.status import free_bytes, outage_text
from edge.web.terms import KINDS, LEVELS
from edge.web.texts import Speaker
from edge.web.view import StationView

_OWN_KINDS = (
    "start",
    "stop",
    "clock",
    "configuration",
    "software",
    "device",
    "identity",
    "firmware",
    "gap",
    "operator",
    "command",
    "witness",
    "retention",
    "recovered",
)
_SHOWN = 24
_S_PER_H = 3_600


@dataclass(frozen=True, slots=True)
class Cosigned:
    """What the centre vouched for, in words; the log's length beside it."""

    level: Level
    size: int
    behind: int
    when: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What waits for the centre and how long the station can wait with it."""

    waiting: int
    waiting_mb: float
    oldest: str
    hours: str
    free_gb: float
    written_gb: float | None
    refused: int


async def ledger(station: StationView, desk: Desk, t: Speaker) -> dict[str, Any]:
    """Everything of the page of the log."""
    snapshot = station.health.snapshot()
    standing = await station.store.standing()
    return {
        "head": await station.store.head(),
        "size": station.store.size,
        "cosigned": await cosigned(station),
        "refused": [(one, _kind(one.kind, t)) for one in standing.refused],
        "delivery": await delivery(station, desk, t),
        "clock": state_of(snapshot, "clock", t),
        "witness": state_of(snapshot, "log", t),
        "messages": desk.messages.newest,
        "statements": [(r, _kind(r.kind, t), gist(r, t)) for r in await _own(station)],
    }


async def cosigned(station: StationView) -> Cosigned:
    """How much of the log the centre has cosigned."""
    standing, size = await station.store.standing(), station.store.size
    if standing.cosigned_s is None:
        return Cosigned(Level.WAITING, 0, size, "")
    when = f"{station.local(standing.cosigned_s * 1_000_000):%m-%d %H:%M:%S}"
    conflict = station.health.snapshot().states.get("log")
    level = conflict.level if conflict else Level.OK
    return Cosigned(level, standing.cosigned_size, max(0, size - standing.cosigned_size), when)


async def delivery(station: StationView, desk: Desk, t: Speaker) -> Delivery:
    """What waits for the centre, and room for what will."""
    summary = await station.store.outbox_summary()
    gauges = station.health.snapshot().gauges
    free = free_bytes(station.config.data_dir)
    oldest_s = max(0, station.utc_ns() - summary.oldest_ns) / 1e9 if summary.oldest_ns else 0.0
    return Delivery(
        waiting=summary.waiting,
        waiting_mb=summary.bytes / 1e6,
        oldest=t.age(oldest_s) if summary.waiting else "",
        hours=_hours(gauges, free, desk, t),
        free_gb=free / 1e9,
        written_gb=_scaled(gauges.get("store.bytes_written_today"), 1e-9),
        refused=summary.poisoned,
    )


def state_of(snapshot: Snapshot, part: str, t: Speaker) -> tuple[Level, str, str, str] | None:
    """Level, its word, what is so, and what to do, of one part; None where nothing is known."""
    state = snapshot.states.get(part)
    if state is None:
        return None
    return state.level, t.pick(LEVELS[state.level]), t.pick(state.text), t.pick(state.next_step)


def _hours(gauges: Mapping[str, float], free: int, desk: Desk, t: Speaker) -> str:
    """How long the line may stay down: the store's own account, or free disk over traffic."""
    hours = gauges.get("store.outage_hours_left")
    if hours is None:
        return outage_text(free, desk.bytes_per_hour, t)
    return t.age(hours * _S_PER_H) if hours < 99 * 24 else t("outbox.hours.long")


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by


def _kind(kind: str, t: Speaker) -> str:
    return t.pick(KINDS[kind]) if kind in KINDS else kind


async def _own(station: StationView) -> list[Record]:
    """The newest statements that are about the station and not about vehicles."""
    found: list[Record] = []
    for kind in _OWN_KINDS:
        found += await station.store.latest(kind=kind, limit=_SHOWN)
    return sorted(found, key=lambda record: -record.index)[:_SHOWN]
