"""What the channels of a digitiser are worth, as a calibration certificate states it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import ConfigError, Text
from edge.records import STANDARD_GRAVITY_MPS2, Gains, LaneLayout, read_only
from edge.validation import Wrong

__all__ = ["nominal_gains", "parse_gains"]


NOMINAL_U_REL = 0.05
"""How far the scale that a maker declares may be from the truth: no certificate, no promise."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a certificate has to hold: the station, and the lanes on the digitiser."""

    station: str
    lanes: tuple[LaneLayout, ...]


_GRAVITY_MPS2 = 9.7, 9.9
"""Nowhere on a road of this earth is it less or more."""


def nominal_gains(newton_per_count: Sequence[float]) -> Gains:
    """The scale that a device declares by itself, channel by channel; no certificate behind it."""
    worth = np.array(newton_per_count, np.float64)
    return Gains(read_only(worth), read_only(np.full(len(worth), NOMINAL_U_REL)), NOMINAL_U_REL)


def parse_gains(
    raw: bytes, name: Path, digitiser: str, channels: list[str], site: Site | None = None
) -> Gains:
    """Gains of one digitiser out of a calibration certificate (JSON, schema ``steelyard-cal/1``).

    With ``site`` it has to be the certificate of that station, and of the rows as they lie now.

    Raises
    ------
    ConfigError
        The bytes are no certificate, it lacks the digitiser or a channel, states a value that no
        calibration gives, or is of another station or of other rows.
    """
    try:
        body = json.loads(raw)
        if site is not None:
            _check_site(body, site, channels)
        device = body["digitisers"][digitiser]
        by_name = {c["name"]: c for c in device["channels"]}
        rows = [by_name[name] for name in channels]
        issued_us, until_us = body.get("issued_us"), body.get("valid_until_us")
        gains = Gains(
            read_only(np.array([float(c["newton_per_count"]) for c in rows])),
            read_only(np.array([float(c["u_rel"]) for c in rows])),
            float(device["u_rel_common"]),
            float(body.get("gravity_mps2", STANDARD_GRAVITY_MPS2)),
            str(body["certificate_id"]),
            hashlib.sha256(raw).hexdigest(),
            None if until_us is None else int(until_us) * 1000,
            _speeds_mps(body.get("speed_kmh", {})),
            None if issued_us is None else int(issued_us) * 1000,
        )
        _check(gains)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = error.text if isinstance(error, Wrong) else Text(repr(error), repr(error))
        raise ConfigError(
            f"标定证书 {name} 与站点不符：{why.zh}",
            f"the calibration certificate {name} does not fit this station: {why.en}",
            next_zh="用本站点的记录重新运行 steelyard calibrate fit",
            next_en="run steelyard calibrate fit again with a recording of this station",
        ) from error
    return gains


def rows_as_stated(lane: LaneLayout, channels: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a lane as a certificate states them: channels by name, not by number."""
    return [
        {**asdict(row), "left": channels[row.left], "right": channels[row.right]}
        for row in lane.rows
    ]


def _check_site(body: dict[str, Any], site: Site, channels: Sequence[str]) -> None:
    """Gains of another site, or found with rows of another width or place, weigh wrong."""
    if (whose := body.get("station")) != site.station:
        raise Wrong(
            f"它是站点 {whose} 的，本站是 {site.station}",
            f"it is of the station {whose}, this is {site.station}",
        )
    if "rows" not in body:  # a certificate of an older program
        return
    for lane in site.lanes:
        if body["rows"].get(lane.lane) != rows_as_stated(lane, channels):
            raise Wrong(
                f"车道 {lane.lane} 的传感器排（row）与标定时不同",
                f"the rows of lane {lane.lane} are not those of the calibration",
            )


def _check(gains: Gains) -> None:
    """A figure that no calibration gives would weigh everything, and without a doubt."""
    scale, u = gains.newton_per_count, gains.u_rel
    believable = {
        "newton_per_count": bool(((scale > 0) & (scale < np.inf)).all()),
        "u_rel": bool(((u > 0) & (u < 1)).all()),
        "u_rel_common": 0 <= gains.u_rel_common < 1,
        "gravity_mps2": _GRAVITY_MPS2[0] <= gains.gravity_mps2 <= _GRAVITY_MPS2[1],
    }
    if wrong := [name for name, holds in believable.items() if not holds]:
        raise ValueError(f"no such value: {', '.join(wrong)}")


def _speeds_mps(speed_kmh: dict[str, list[float]]) -> dict[str, tuple[float, float]]:
    """Ranges of speeds by lane; certificates of older programs state none."""
    ranges = {
        lane: (float(low) / 3.6, float(high) / 3.6) for lane, (low, high) in speed_kmh.items()
    }
    if not all(0 <= low < high for low, high in ranges.values()):
        raise ValueError("speed_kmh must be [lowest, highest] of each lane")
    return ranges
