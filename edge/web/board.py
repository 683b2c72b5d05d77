"""The live parts of the start page, rendered for one language.

A page is a set of parts, each a piece of HTML under a name. A stream sends the parts that changed
since it last sent; a new or reconnected stream starts with all, so nothing can stay stale.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from jinja2 import Environment

from edge.errors import SteelyardError
from edge.health import Snapshot
from edge.records import Record
from edge.web.desk import Desk
from edge.web.ledger import cosigned, delivery, state_of
from edge.web.present import VehicleView, vehicle_view
from edge.web.status import (
    headline,
    parts,
    store_trouble,
    troubles,
)
from edge.web.terms import SELECTIONS
from edge.web.texts import Speaker
from edge.web.view import StationView

_RECENT = 12
_PERIOD_S = 1.0
_SHOWN_CASES = 3
_LINKED_CASES = 30
"""Of those that are not shown; in an hour when nobody guides, hundreds wait."""
_SHOWN_MESSAGES = 3


class Board:
    """Renders the start page's parts from the store, the health and the desk."""

    def __init__(self, station: StationView, desk: Desk, templates: Environment) -> None:
        self._station = station
        self._desk = desk
        self._templates = templates

    async def stream(self, t: Speaker) -> AsyncIterator[bytes]:
        """Server-sent events ``parts``, once a second and at once when something happened."""
        with self._station.feed.subscribe() as news:
            known, day = await self.everything(t), self._midnight_us()
            yield _event(known)
            while True:
                happened = await news.take(_PERIOD_S)
                if news.ended:
                    return
                before, day = day, self._midnight_us()
                now = await (self.everything(t) if happened or day != before else self.state(t))
                yield _event({name: html for name, html in now.items() if known.get(name) != html})
                known |= now

    async def everything(self, t: Speaker) -> dict[str, str]:
        """All parts; with a store that cannot be read, what is known without it."""
        try:
            return await self._vehicles(t) | await self._state(t)
        except SteelyardError as error:
            return self._without_store(error, t)

    async def state(self, t: Speaker) -> dict[str, str]:
        """The parts that change without a vehicle."""
        try:
            return await self._state(t)
        except SteelyardError as error:
            return self._without_store(error, t)

    async def _vehicles(self, t: Speaker) -> dict[str, str]:
        store, lanes = self._station.store, self._station.config.model.lane
        recent = await store.latest(kind="vehicle", limit=_RECENT)
        views = [self.view(record, t) for record in recent]
        today = await store.counts_since(self._midnight_us())
        result = {"recent": self._render("recent", t, vehicles=views, today=today)}
        for lane in lanes:
            newest = await store.latest(kind="vehicle", lane=lane.id, limit=1)
            vehicle = self.view(newest[0], t) if newest else None
            result[f"lane-{lane.id}"] = self._render("lane", t, lane=lane, vehicle=vehicle)
        return result

    def _midnight_us(self) -> int:
        now = self._station.local(self._station.utc_ns() // 1_000)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return round(midnight.timestamp()) * 1_000_000

    async def _state(self, t: Speaker) -> dict[str, str]:
        return {
            **self._devices(self._station.health.snapshot(), t),
            "outbox": self._render("outbox", t, d=await delivery(self._station, self._desk, t)),
            "log": await self._log(t),
        }

    def _devices(self, snapshot: Snapshot, t: Speaker) -> dict[str, str]:
        rows = parts(snapshot, t)
        now_us = self._station.utc_ns() // 1_000
        return {
            "clock": f"{self._station.local(now_us):%H:%M:%S}",
            "headline": self._render("headline", t, head=headline(rows, t)),
            "todo": self._render("todo", t, troubles=troubles(rows), **self._cases(t)),
            "devices": self._render("devices", t, rows=rows),
        }

    def _cases(self, t: Speaker) -> dict[str, Any]:
        waiting = self._desk.floor.waiting()[::-1]
        mono_ns = self._station.mono_ns()
        shown = [
            (case, t.pick(SELECTIONS[case.selection]), (mono_ns - case.opened_ns) // 60_000_000_000)
            for case in waiting[:_SHOWN_CASES]
        ]
        messages = self._desk.messages.unread[:_SHOWN_MESSAGES]
        more = waiting[_SHOWN_CASES:]
        linked = more[:_LINKED_CASES]
        return {"cases": shown, "more": len(more), "linked": linked, "messages": messages}

    async def _log(self, t: Speaker) -> str:
        return self._render(
            "log",
            t,
            size=self._station.store.size,
            cosigned=await cosigned(self._station),
            clock=state_of(self._station.health.snapshot(), "clock", t),
        )

    def _without_store(self, error: SteelyardError, t: Speaker) -> dict[str, str]:
        shown = self._devices(self._station.health.snapshot(), t)
        head = store_trouble(error.what, error.next_step, t)
        return shown | {"headline": self._render("headline", t, head=head)}

    def view(self, record: Record, t: Speaker) -> VehicleView:
        """A vehicle record in words, with its case on the floor."""
        case = self._desk.floor.case(record.index)
        return vehicle_view(record.body, record.record_id, self._station, case, t)

    def _render(self, part: str, t: Speaker, **values: Any) -> str:
        return self._templates.get_template(f"parts/{part}.html").render(t=t, **values)


def _event(changed: dict[str, str]) -> bytes:
    data = json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
    return f"retry: 1500\nevent: parts\ndata: {data}\n\n".encode()
