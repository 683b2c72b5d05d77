"""The sheet of a record: what a person reads and prints, made of the dossier alone.

The same dossier gives the same bytes, so that a sheet which says something else is found.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from edge.bundle.dossier import Dossier, Statement
from edge.bundle.layout import cosignature_of
from edge.bundle.settings import layouts, station_of
from edge.bundle.waveform import Waveform, waveform
from edge.config import StationConfig
from edge.errors import IntegrityError, SteelyardError, Text
from edge.evidence.note import Checkpoint, split_note
from edge.evidence.receipt import Receipt
from edge.records import LaneLayout
from edge.rules.pack import RulePack
from edge.store.signal import MEDIA_TYPE, decode_clip
from edge.web.drawing import draw
from edge.web.present import kg, spaced_plate, verdict_sentence
from edge.web.terms import CHECKED, FLAGS, KINDS, VERDICTS, figures_text, flag_text, join_text

_SHAPE = frozenset(
    {"time_us", "lane", "passage", "clock", "axles", "spacings_mm", "groups", "gross_kg", "flags"}
    | {"u_gross_kg", "configuration", "speed_mm_s", "u_speed_mm_s", "plate", "verdict"}
    | {"calibration", "dynamics", "software", "signal"}
)
"""What the page of a vehicle shows; a statement without it is shown value by value."""
_PICTURES = ("image/jpeg", "image/png")

_environment = Environment(
    loader=ChoiceLoader(
        [PackageLoader("edge.bundle", "templates"), PackageLoader("edge.web", "templates")]
    ),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def render(template: str, **values: Any) -> bytes:
    """A page of the bundle."""
    return _environment.get_template(template).render(kg=kg, **values).encode()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture for the page: the bytes in its address, so that the page is one file."""

    number: int
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What the notes of the dossier say, for reading; whether they hold is not checked here."""

    checkpoint: Checkpoint
    cosigned: datetime | None
    receipt: Receipt | None
    receipt_time: datetime | None


def sheet(dossier: Dossier) -> bytes:
    """The page ``sheet.html``."""
    body = dossier.body
    config = _config(dossier)
    zone = _zone(config)
    shared = {
        "d": dossier,
        "body": body,
        "record_id": dossier.main.record.record_id,
        "station": config.model.station if config else None,
        "time": _time(body["time_us"], zone),
        "zone": str(zone),
        "proof": proof_of(dossier, zone),
        "later": [_later(statement, zone) for statement in dossier.later],
        "rows": _rows(body),
    }
    vehicle = _vehicle(dossier, config, zone) if body["kind"] == "vehicle" else None
    if vehicle is None:
        kind = KINDS.get(body["kind"], Text(body["kind"], ""))
        return render("statement.html", kind=kind, **shared)
    return render("sheet.html", checked=CHECKED, **shared, **vehicle)


def proof_of(dossier: Dossier, zone: tzinfo = UTC) -> Proof:
    """What the checkpoint, the witness and the receipt say."""
    checkpoint = Checkpoint.parse(split_note(dossier.main.envelope.checkpoint_note)[0])
    cosigned = cosignature_of(dossier)
    receipt = answer_of(dossier)
    return Proof(
        checkpoint,
        _time(cosigned[1] * 1_000_000, zone) if cosigned else None,
        receipt,
        _time(receipt.time_us, zone) if receipt else None,
    )


def answer_of(dossier: Dossier) -> Receipt | None:
    """The centre's answer to the record, as its note says; None if that is of others."""
    if dossier.receipt is None:
        return None
    try:
        answers = Receipt.decode_all(dossier.receipt.encode(), None)
    except ValueError:
        return None
    return next((a for a in answers if a.record_id == dossier.main.record.record_id), None)


def _vehicle(dossier: Dossier, config: StationConfig | None, zone: tzinfo) -> dict[str, Any] | None:
    """Values of the page of a vehicle; None for a statement of another shape than we know."""
    body = dossier.body
    if _SHAPE - body.keys():
        return None
    verdict = body["verdict"]
    pack = _pack(dossier)
    plate = body["plate"]
    lanes = list(body.get("lanes", [body["lane"]]))
    until_us = body["calibration"].get("valid_until_us")
    return {
        "valid_until": _time(until_us, zone) if until_us else None,
        "verdict": VERDICTS[verdict["kind"]],
        "sentence": verdict_sentence(verdict),
        "reasons": [_words(key, pack) for key in verdict["reasons"]],
        "information": [
            (_words(key, pack), figures_text(value)) for key, value in verdict["information"]
        ],
        "flags": [flag_text(name) for name in body["flags"]],
        "axle_flags": [[flag_text(name) for name in axle["flags"]] for axle in body["axles"]],
        "plate": spaced_plate(plate["text"]) if plate["text"] else "",
        "join": Text("已按规定删除。", "Erased by rule.")
        if plate["join"] == "erased"
        else join_text(plate["reason"]),
        "lanes": [_lane_title(name, config) for name in lanes],
        "vehicle": {"body": body, "drawing": draw(body)},
        "pictures": _pictures(dossier),
        "wave": _wave(dossier, config, lanes),
    }


def _pictures(dossier: Dossier) -> list[Shown]:
    return [
        Shown(
            number,
            f"data:{blob.media_type};base64,{base64.b64encode(data).decode()}",
            blob.sha256,
        )
        for number, (blob, data) in enumerate(dossier.files("picture"), 1)
        if data is not None and blob.media_type in _PICTURES
    ]


def _wave(dossier: Dossier, config: StationConfig | None, lanes: list[str]) -> Waveform | None:
    files = [data for blob, data in dossier.files("signal") if blob.media_type == MEDIA_TYPE]
    whole = [data for data in files if data is not None]
    if not whole or len(whole) < len(files):
        return None
    try:
        clip = decode_clip(whole)
    except IntegrityError:
        return None
    if clip.counts.shape[1] != len(dossier.body["signal"]["channels"]):
        return None
    return waveform(clip, dossier.body["signal"]["channels"], _layout(config, clip.device, lanes))


def _layout(config: StationConfig | None, device: str, lanes: list[str]) -> LaneLayout | None:
    try:
        return layouts(config, device, lanes)[0] if config else None
    except SteelyardError:
        return None


def _config(dossier: Dossier) -> StationConfig | None:
    try:
        return station_of(dossier)
    except (SteelyardError, KeyError):
        return None


def _pack(dossier: Dossier) -> RulePack | None:
    raw = dossier.blobs.get(dossier.body["verdict"]["pack_sha256"])
    try:
        return RulePack.parse(raw) if raw else None
    except SteelyardError:
        return None


def _words(key: str, pack: RulePack | None) -> Text:
    known = FLAGS.get(key.upper())
    if known is not None:
        return known
    return pack.text(key) if pack else Text(key, key)


def _lane_title(name: str, config: StationConfig | None) -> Text:
    lanes = config.model.lane if config else ()
    section = next((lane for lane in lanes if lane.id == name), None)
    return Text(section.title("zh"), section.title("en")) if section else Text(name, name)


def _zone(config: StationConfig | None) -> tzinfo:
    try:
        return ZoneInfo(config.model.station.time_zone) if config else UTC
    except (KeyError, ValueError):
        return UTC


def _time(time_us: int, zone: tzinfo) -> datetime:
    try:
        return datetime.fromtimestamp(time_us / 1e6, zone)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, zone)


def _later(statement: Statement, zone: tzinfo) -> Mapping[str, Any]:
    record = statement.record
    return {
        "index": record.index,
        "kind": KINDS.get(record.kind, Text(record.kind, record.kind)),
        "time": _time(record.body["time_us"], zone),
        "rows": _rows(record.body),
    }


def _rows(body: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every value of a statement with its path, for those who want to see all of it."""
    rows: list[tuple[str, str]] = []
    for key, value in body.items():
        where = f"{prefix}{key}"
        if isinstance(value, dict):
            rows += _rows(value, f"{where}.")
        elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
            rows += _rows({str(n): item for n, item in enumerate(value)}, f"{where}.")
        elif isinstance(value, list):
            rows.append((where, ", ".join(map(str, value))))
        else:
            rows.append((where, "–" if value is None else str(value)))
    return rows
