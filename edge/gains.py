"""What the channels of a digitiser are worth, as a calibration certificate states it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge.errors import ConfigError
from edge.records import STANDARD_GRAVITY_MPS2, Gains, read_only

__all__ = ["nominal_gains", "parse_gains"]


NOMINAL_U_REL = 0.05
"""How far the scale that a maker declares may be from the truth: no certificate, no promise."""

_GRAVITY_MPS2 = 9.7, 9.9
"""Nowhere on a road of this earth is it less or more."""


def nominal_gains(newton_per_count: Sequence[float]) -> Gains:
    """The scale that a device declares by itself, channel by channel; no certificate behind it."""
    worth = np.array(newton_per_count, np.float64)
    return Gains(read_only(worth), read_only(np.full(len(worth), NOMINAL_U_REL)), NOMINAL_U_REL)


def parse_gains(raw: bytes, name: Path, digitiser: str, channels: list[str]) -> Gains:
    """Gains of one digitiser out of a calibration certificate (JSON, schema ``steelyard-cal/1``).

    Raises
    ------
    ConfigError
        The bytes are no certificate, it lacks the digitiser or a channel, or states a value that
        no calibration gives.
    """
    try:
        body = json.loads(raw)
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
        raise ConfigError(
            f"标定证书 {name} 与站点不符：{error!r}",
            f"the calibration certificate {name} does not fit this station: {error!r}",
            next_zh="用本站点的记录重新运行 steelyard calibrate fit",
            next_en="run steelyard calibrate fit again with a recording of this station",
        ) from error
    return gains


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
