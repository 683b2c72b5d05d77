"""The same facts as the pages, as JSON, and the bytes behind a record. Everything is read only."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from edge.health import Level
from edge.records import Record
from edge.store.signal import decode_clip
from edge.web.status import free_bytes
from edge.web.view import StationView
from edge.web.waveform import MOST_BUCKETS, Trace, signal_view

router = APIRouter()

Index = Annotated[int, Path(ge=0, le=2**53)]
"""Number of a record, in the range that its canonical form can say."""

_SIGNAL_ROLE = "signal"


def station_of(request: Request) -> StationView:
    """The station behind an application."""
    station: StationView = request.app.state.station
    return station


async def record_of(request: Request, index: int, kind: str | None = None) -> Record:
    """A record by its number, or a plain 404."""
    record = await station_of(request).store.record(index)
    if record is None or kind not in {None, record.kind}:
        raise HTTPException(404)
    return record


@router.get("/healthz")
async def healthz(request: Request) -> JSONResponse:
    """For supervisors: 200 while nothing is down, 503 otherwise."""
    worst = station_of(request).health.snapshot().worst
    return JSONResponse({"level": worst.value}, status_code=503 if worst is Level.DOWN else 200)


@router.get("/api/state.json")
async def state(request: Request) -> dict[str, Any]:
    """Health, outbox and log of the station at one moment."""
    station = station_of(request)
    snapshot = station.health.snapshot()
    outbox = await station.store.outbox_summary()
    head = await station.store.head()
    return {
        "station": station.station_id,
        "time_us": station.utc_ns() // 1_000,
        "level": snapshot.worst.value,
        "parts": {
            part: {
                "level": state.level.value,
                "zh": state.text.zh,
                "en": state.text.en,
                "since_s": (snapshot.taken_mono_ns - state.since_mono_ns) // 1_000_000_000,
            }
            for part, state in snapshot.states.items()
        },
        "counters": snapshot.counters,
        "gauges": snapshot.gauges,
        "outbox": {"waiting": outbox.waiting, "bytes": outbox.bytes, "poisoned": outbox.poisoned},
        "log": {"size": head.checkpoint.size, "root": head.checkpoint.root.hex(), "note": head.note}
        if head
        else None,
        "waiting_cases": [case.index for case in request.app.state.desk.floor.waiting()],
        "free_bytes": free_bytes(station.config.data_dir),
        "configuration_sha256": station.config.sha256,
        "rule_pack": {"id": station.pack.id, "sha256": station.pack.sha256},
        "software": station.software,
        "verifier_key": station.verifier_key,
    }


@router.get("/api/vehicles.json")
async def vehicles(
    request: Request,
    lane: str | None = None,
    before: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[dict[str, Any]]:
    """Vehicle records, the newest first; ``before`` is an index to go on from."""
    records = await station_of(request).store.latest(
        kind="vehicle", lane=lane, limit=limit, before=before
    )
    return [{**record.body, "record_id": record.record_id} for record in records]


@router.get("/api/vehicles/{index}.json")
async def vehicle(request: Request, index: Index) -> dict[str, Any]:
    """One vehicle record."""
    record = await record_of(request, index, "vehicle")
    return {**record.body, "record_id": record.record_id}


@router.get("/records/{index}/record.json")
async def canonical(request: Request, index: Index) -> Response:
    """The record byte for byte: what the leaf hash covers."""
    record = await record_of(request, index)
    name = f"{station_of(request).station_id}-{index}.json"
    return Response(
        record.canonical,
        media_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.get("/records/{index}/blobs/{sha256}")
async def blob(request: Request, index: Index, sha256: str) -> FileResponse:
    """A picture or signal file that the record names; nothing else of the disk is served."""
    record = await record_of(request, index)
    found = next((b for b in record.blobs if b.sha256 == sha256), None)
    path = station_of(request).store.blob_path(sha256) if found else None
    if found is None or path is None or not path.is_file():
        raise HTTPException(404)
    picture = found.media_type.startswith("image/") and found.media_type != "image/svg+xml"
    return FileResponse(
        path,
        media_type=found.media_type,
        filename=f"{station_of(request).station_id}-{index}-{sha256[:8]}{_suffix(found.media_type)}",
        content_disposition_type="inline" if picture else "attachment",
    )


@router.get("/api/vehicles/{index}/signal.json")
async def signal(
    request: Request,
    index: Index,
    begin: int = 0,
    end: int = 2**62,
    buckets: Annotated[int, Query(ge=10, le=MOST_BUCKETS)] = 800,
) -> dict[str, Any]:
    """The stored signal between two samples, thinned to least and greatest of each bucket."""
    station = station_of(request)
    record = await record_of(request, index, "vehicle")
    paths = [station.store.blob_path(b.sha256) for b in record.blobs if b.role == _SIGNAL_ROLE]
    if not paths or not all(path.is_file() for path in paths):
        raise HTTPException(404)
    described = record.body["signal"]

    def read() -> dict[str, Any]:
        clip = decode_clip([path.read_bytes() for path in paths])
        traces = traces_of(station, record.body["lane"], described["channels"])
        return signal_view(clip, described["channels"], traces, (begin, end), buckets)

    wheels = [described["first_wheel_sample"], described["last_wheel_sample"]]
    return {**await asyncio.to_thread(read), "wheels": wheels}


def traces_of(station: StationView, lane_id: str, channels: list[str]) -> list[Trace]:
    """Left and right of each row of the lane; all channels for a lane the file no longer names."""
    lane = station.lane(lane_id)
    traces = [
        Trace(channel, number, row.position_m, side)
        for number, row in enumerate(lane.row if lane else [], 1)
        for channel, side in ((row.left, "left"), (row.right, "right"))
        if channel in channels
    ]
    return traces or [Trace(name, n, None, "left") for n, name in enumerate(channels, 1)]


def _suffix(media_type: str) -> str:
    return {"image/jpeg": ".jpg", "image/png": ".png", "audio/flac": ".flac"}.get(media_type, "")
