"""The sentences that are sealed: integers in stated units, text, and nothing that can round.

Kilograms are rounded half up, uncertainties never down, times to microseconds towards the past.
What could not be measured is null, never zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from edge.records import (
    Blob,
    Draft,
    Flag,
    Floats,
    Gains,
    Passage,
    PlateDoubt,
    PlateJoin,
    PlateRead,
    Record,
    Vehicle,
    Verdict,
    VerdictKind,
)

_RESERVED = frozenset({"schema", "station", "index", "kind", "time_us", "passage", "blobs"})


def vehicle_draft(
    vehicle: Vehicle,
    verdict: Verdict,
    *,
    channels: Sequence[str],
    gains: Gains,
    dynamics: Mapping[str, Any],
    config_sha256: str,
    software: Mapping[str, str],
    blobs: Sequence[Blob] = (),
) -> Draft:
    """The statement about one vehicle; the log adds station, index, passage and blobs.

    Parameters
    ----------
    vehicle, verdict : Vehicle, Verdict
        What was measured and what the law says of it.
    channels : sequence of str
        Names of the digitiser's channels, in the order of the clip's columns.
    gains : Gains
        What the passage was weighed with; its certificate is bound in.
    dynamics : mapping
        ``version`` and ``sha256`` of how axles swing on the lane, as the rows were fused with.
    config_sha256 : str
        Hash of the station file.
    software : mapping
        As ``software_identity`` gives it.
    blobs : sequence of Blob
        Signal and pictures, already durable in the store.

    Returns
    -------
    Draft
        Urgent if the verdict is over or indeterminate.
    """
    passage = vehicle.passage
    body = {
        "schema": "steelyard/vehicle/2",
        "kind": "vehicle",
        "perhaps_with": passage.perhaps_with or None,
        "time_us": vehicle.time_ns // 1000,
        "clock": _clock(vehicle),
        **(vehicle.host.to_body() if vehicle.host else {}),
        **measured_fields(passage, vehicle.flags, verdict, channels),
        "calibration": _calibration(gains),
        "dynamics": dict(dynamics),
        "configuration_sha256": config_sha256,
        "software": dict(software),
    }
    urgent = verdict.kind is not VerdictKind.WITHIN
    return Draft("vehicle", body, tuple(blobs), urgent, private={"plate": _plate(vehicle.join)})


def measured_fields(
    passage: Passage, flags: Flag, verdict: Verdict, channels: Sequence[str]
) -> dict[str, Any]:
    """What of a vehicle's statement follows from signal, gains, dynamics and rules alone."""
    return {
        "lane": passage.lane,
        "lanes": list(passage.lanes),
        "speed_mm_s": _nearest(passage.speed_mps * 1e3),
        "u_speed_mm_s": _upward(passage.u_speed_mps * 1e3),
        "speed_change_ppm": _nearest(passage.speed_change * 1e6),
        "gross_kg": _nearest(passage.gross_kg),
        "u_gross_kg": _upward(passage.u_gross_kg),
        "configuration": passage.configuration,
        "axles": _axles(passage),
        "spacings_mm": [_nearest(m * 1e3) for m in passage.axles.spacing_m.tolist()],
        "groups": _groups(passage),
        "flags": flag_names(flags),
        "verdict": _verdict(verdict),
        "signal": _signal(passage, channels),
    }


def other_draft(
    kind: str,
    *,
    time_ns: int,
    fields: Mapping[str, Any],
    blobs: Sequence[Blob] = (),
    version: int = 1,
) -> Draft:
    """A statement of another kind: start, stop, config, device, case ...

    Raises
    ------
    ValueError
        A field has a name that the statement or the log sets itself.
    """
    if reserved := _RESERVED & fields.keys():
        raise ValueError(f"{', '.join(sorted(reserved))} can't be given as fields")
    head = {"schema": f"steelyard/{kind}/{version}", "kind": kind, "time_us": time_ns // 1000}
    return Draft(kind, head | dict(fields), tuple(blobs))


def plate_correction_draft(doubt: PlateDoubt, corrected: Record) -> Draft:
    """A statement that sets right the plate of a vehicle record; the record itself stays."""
    fields = {"corrects": corrected.index, "corrects_record_id": corrected.record_id}
    fields |= doubt.host.to_body() if doubt.host else {}
    draft = other_draft("correction", time_ns=doubt.time_ns, fields=fields, version=2)
    return replace(draft, urgent=corrected.urgent, private={"plate": _plate(doubt.join)})


def flag_names(flags: int) -> list[str]:
    """Names of the flags that are set, in the order of their bits."""
    return [str(flag.name) for flag in Flag if flags & flag]


def _calibration(gains: Gains) -> dict[str, Any]:
    """The certificate with its validity; without one, the nominal scale of the device."""
    stated: dict[str, Any] = {
        "certificate": gains.certificate_id,
        "sha256": gains.certificate_sha256,
        "issued_us": _microseconds(gains.issued_ns),
        "valid_until_us": _microseconds(gains.valid_until_ns),
    }
    if not gains.calibrated:
        stated["nominal_newton_per_count"] = [repr(n) for n in gains.newton_per_count.tolist()]
    return stated


def _clock(vehicle: Vehicle) -> dict[str, Any]:
    clock = vehicle.clock
    return {
        "bound_us": -(-clock.bound_ns // 1000),
        "rate_ppb": _nearest(clock.rate_error_ppm * 1e3),
        "settled": clock.settled,
        "stepped": clock.stepped,
    }


def _axles(passage: Passage) -> list[dict[str, Any]]:
    axles = passage.axles
    return [
        {
            "load_kg": _nearest(float(axles.load_kg[i])),
            "u_kg": _upward(float(axles.u_load_kg[i])),
            "left_kg": _nearest(float(axles.left_kg[i])),
            "right_kg": _nearest(float(axles.right_kg[i])),
            "rows_kg": [_nearest(kg) for kg in axles.row_load_kg[i].tolist()],
            "wheels_kg": _left_and_right(axles.wheel_kg[i], 1.0),
            "areas_count_ms": _left_and_right(axles.wheel_area_s[i], 1e3),
            "flags": flag_names(int(axles.flags[i])),
        }
        for i in range(len(axles))
    ]


def _left_and_right(of_rows: Floats, scale: float) -> list[list[int | None]]:
    """Row by row the left and the right wheel of an axle."""
    return [[_nearest(scale * value) for value in row] for row in of_rows.tolist()]


def _groups(passage: Passage) -> list[dict[str, Any]]:
    return [
        {
            "first": group.first,
            "count": group.count,
            "load_kg": _nearest(group.load_kg),
            "u_kg": _upward(group.u_load_kg),
        }
        for group in passage.groups
    ]


def _plate(join: PlateJoin) -> dict[str, Any]:
    chosen = join.chosen
    return {
        "join": join.kind.value,
        "text": chosen.text if chosen else "",
        "colour": chosen.colour if chosen else "",
        "confidence_permille": _permille(chosen),
        "reason": join.reason,
        "candidates": [
            _candidate(read, offset_ns)
            for read, offset_ns in zip(join.candidates, join.offsets_ns, strict=True)
        ],
    }


def _candidate(read: PlateRead, offset_ns: int) -> dict[str, Any]:
    more: dict[str, list[str]] = {
        "doubts": list(read.doubts),
        "could_be": list(read.could_be),
        "files_sha256": [file.sha256 for file in read.files],
    }
    return {name: said for name, said in more.items() if said} | {
        "text": read.text,
        "raw_text": read.raw_text,
        "colour": read.colour,
        "confidence_permille": _permille(read),
        "offset_us": offset_ns // 1000,
        "grammar": read.grammar,
        "picture_sha256": read.picture.sha256 if read.picture else None,
        "camera": read.camera,
    }


def _permille(read: PlateRead | None) -> int | None:
    if read is None or read.confidence is None:
        return None
    return _nearest(read.confidence * 1e3)


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "kind": verdict.kind.value,
        "measured_kg": verdict.measured_kg,
        "u_kg": verdict.u_kg,
        "lower_kg": verdict.lower_kg,
        "level_ppm": _nearest(verdict.level * 1e6),
        "limit_kg": verdict.limit_kg,
        "excess_kg": verdict.excess_kg,
        "excess_bp": _basis_points(verdict.excess_pct),
        "article": verdict.article,
        "limits": [asdict(limit) for limit in verdict.limits],
        "reasons": list(verdict.reasons),
        "pack": verdict.pack,
        "pack_sha256": verdict.pack_sha256,
        "verified": verdict.verified,
        "information": [[key, value] for key, value in verdict.information],
    }


def _microseconds(time_ns: int | None) -> int | None:
    return None if time_ns is None else time_ns // 1000


def _signal(passage: Passage, channels: Sequence[str]) -> dict[str, Any]:
    clip = passage.clip
    return {
        "device": clip.device,
        "first_sample": clip.first_sample,
        "end_sample": clip.end_sample,
        "rate_mhz": _nearest(clip.rate_hz * 1e3),
        "channels": list(channels),
        "first_wheel_sample": _nearest(passage.first_wheel_sample),
        "last_wheel_sample": _nearest(passage.last_wheel_sample),
    }


def _nearest(value: float) -> int | None:
    """Rounded half up, as ``whole_kg``; None where there is no number."""
    return math.floor(value + 0.5) if math.isfinite(value) else None


def _upward(value: float) -> int | None:
    """Rounded up, so that no doubt gets lost; None where there is no number."""
    return math.ceil(value) if math.isfinite(value) else None


def _basis_points(percent: float) -> int:
    """Hundredths of a percent, rounded down: an excess is never overstated.

    The inner rounding takes the binary dust off first, so that 5.2 % is 520 and not 519.
    """
    return math.floor(round(percent * 100, 6))
