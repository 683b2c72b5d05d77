"""The pages for people: live, vehicle, log, devices; and the one thing an operator can do."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from edge.evidence.events import corrected_us
from edge.inspection.floor import CaseState
from edge.records import Record
from edge.web.api import Index, record_of, station_of
from edge.web.board import Board
from edge.web.gist import gist
from edge.web.ledger import ledger
from edge.web.present import vehicle_view
from edge.web.status import parts
from edge.web.terms import KINDS
from edge.web.texts import Speaker, language
from edge.web.view import StationView

router = APIRouter()

_PAGE = 40
_CLOCK_STATEMENTS = 500
_YEAR_S = 365 * 86_400


def speaker_of(request: Request) -> Speaker:
    """The language that was asked for, then the one remembered, then Chinese."""
    return Speaker(language(request.query_params.get("lang") or request.cookies.get("lang")))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Render a page, and remember a language that was asked for."""
    t = speaker_of(request)
    html = request.app.state.templates.get_template(template).render(
        t=t,
        station=station_of(request),
        path=request.url.path,
        in_other=request.url.include_query_params(lang="zh" if t.lang == "en" else "en").query,
        other="zh" if t.lang == "en" else "en",
        **values,
    )
    response = HTMLResponse(html, status_code=status)
    if "lang" in request.query_params:
        response.set_cookie("lang", t.lang, max_age=_YEAR_S, httponly=True, samesite="strict")
    return response


@router.get("/")
async def start(request: Request) -> HTMLResponse:
    """Is the station healthy, what just passed, what do I do next."""
    board: Board = request.app.state.board
    return page(request, "start.html", parts=await board.everything(speaker_of(request)))


@router.get("/events")
async def events(request: Request) -> StreamingResponse:
    """The live parts as server-sent events."""
    board: Board = request.app.state.board
    return StreamingResponse(
        board.stream(speaker_of(request)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


@router.get("/vehicles/{index}")
async def vehicle(request: Request, index: Index) -> HTMLResponse:
    """Everything about one vehicle, and why it was judged so."""
    station, t = station_of(request), speaker_of(request)
    record = await record_of(request, index, "vehicle")
    case = request.app.state.desk.floor.case(index)
    return page(
        request,
        "vehicle.html",
        v=vehicle_view(record.body, record.record_id, station, case, t),
        waits=case is not None and case.state is CaseState.WAITING,
        record=record,
        delivery=await station.store.delivery(index),
        head=await station.store.head(),
        clock=await _clock_text(station, record, t),
        pictures={b.sha256 for b in record.blobs if b.role == "picture"},
        signals=[b for b in record.blobs if b.role == "signal"],
    )


@router.post("/cases/{index}/guided")
async def guided(request: Request, index: Index) -> RedirectResponse:
    """The operator guided a vehicle to the precise scale: sealed, then shown."""
    await request.app.state.desk.guided(index)
    return RedirectResponse("/", status_code=303)


@router.get("/records")
async def records(
    request: Request, before: Annotated[int | None, Query(ge=0, le=2**53)] = None
) -> HTMLResponse:
    """The station log, the newest first."""
    station, t = station_of(request), speaker_of(request)
    found = await station.store.latest(kind=None, limit=_PAGE + 1, before=before)
    shown = found[:_PAGE]
    return page(
        request,
        "records.html",
        rows=[(r, t.pick(KINDS[r.kind]) if r.kind in KINDS else r.kind, gist(r, t)) for r in shown],
        older=shown[-1].index if len(found) > _PAGE else None,
        newest=before is None,
    )


@router.get("/records/{index}")
async def record(request: Request, index: Index) -> HTMLResponse:
    """Any record of the log as it is written."""
    found = await record_of(request, index)
    written = json.dumps(found.body, ensure_ascii=False, indent=2)
    return page(
        request,
        "record.html",
        record=found,
        written=written,
        delivery=await station_of(request).store.delivery(index),
    )


@router.get("/log")
async def log(request: Request) -> HTMLResponse:
    """How the log stands, what waits for the centre, the clock, messages, what happened here."""
    station, t = station_of(request), speaker_of(request)
    return page(request, "ledger.html", **await ledger(station, request.app.state.desk, t))


@router.post("/messages/{index}/read")
async def read_message(request: Request, index: Index) -> RedirectResponse:
    """The operator has read a message of the centre: sealed, then taken off the page."""
    await request.app.state.desk.messages.read(index)
    return RedirectResponse("/", status_code=303)


@router.get("/devices")
async def devices(request: Request) -> HTMLResponse:
    """Every state, counter and present value, for whoever comes to repair."""
    station = station_of(request)
    snapshot = station.health.snapshot()
    return page(
        request,
        "devices.html",
        rows=parts(snapshot, speaker_of(request)),
        counters=sorted(snapshot.counters.items()),
        gauges=sorted(snapshot.gauges.items()),
    )


async def _clock_text(station: StationView, record: Record, t: Speaker) -> str:
    """How far the time of a vehicle may be trusted, in words."""
    body = record.body
    host = body.get("clock_host")
    device_ms = body["clock"]["bound_us"] / 1000
    if host is None:
        return f"{device_ms:.1f} ms"
    right = corrected_us(body, await station.store.latest(kind="clock", limit=_CLOCK_STATEMENTS))
    if right is not None:
        time_us, index = right
        shown = f"{station.local(time_us):%Y-%m-%d %H:%M:%S}"
        return t("proof.clock.right", time=shown, index=index)
    if not host["synchronised"]:
        return t("proof.clock.unsure")
    bound_ms = device_ms + (host["bound_us"] or 0) / 1000
    return f"{bound_ms:.1f} ms · {host['source']}"
