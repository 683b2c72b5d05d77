"""The certificate of a calibration: gains with uncertainty, every run with its errors, remarks.

JSON of the schema ``steelyard-cal/1``, which the station reads at its start. It documents the
site's own calibration; it stands beside the compulsory verification and never replaces it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from edge.errors import Text

__all__ = [
    "Certificate",
    "ChannelGain",
    "Contribution",
    "DigitiserGains",
    "LaneSummary",
    "Run",
    "speed_ranges_kmh",
]

SCHEMA = "steelyard-cal/1"
VALID_DAYS = 365
"""One year, the usual interval; from memory (JJG 907-2006), so the certificate says unverified."""

SPEED_FACTOR = 1.10
"""How far beyond its slowest and fastest run a calibration holds: runs within this factor count as
one condition, for axles bounce alike at the same places."""

_US_PER_S = 1_000_000
_US_PER_DAY = 86_400 * _US_PER_S


@dataclass(frozen=True, slots=True)
class ChannelGain:
    """What a count of one channel is worth.

    Attributes
    ----------
    name : str
    newton_per_count : float
    u_rel : float
        Relative standard uncertainty as the weighing uses it: the channels of a row taken as
        independent give the row the uncertainty that it has; ``u_rel_common`` is part of it.
    u_rel_split : float
        What left and right of the row are unsure of against each other. It cancels in the row
        where the wheels weigh alike, so it enters ``u_rel`` only by the unevenness of wheels.
    runs : int
        Passes behind it; 0 where the maker's scale was kept because no lane uses the channel.
    """

    name: str
    newton_per_count: float
    u_rel: float
    u_rel_split: float
    runs: int


@dataclass(frozen=True, slots=True)
class DigitiserGains:
    """Channels of one digitiser, and the part of their uncertainty that does not average out."""

    u_rel_common: float
    channels: tuple[ChannelGain, ...]


@dataclass(frozen=True, slots=True)
class Contribution:
    """One line of the uncertainty budget, common to all channels."""

    name: Text
    u_rel: float
    source: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Run:
    """One reference pass with its errors after the fit, in per cent of the reference.

    ``status`` is ``used``, ``outlier`` (hardly counted, ``weight`` tells) or ``excluded``
    (``why`` names the flags; it has no loads). Axle errors of vehicles other than two-axle rigid
    ones are deviations from their corrected means (OIML R 134-1).
    """

    device: str
    lane: str
    vehicle: str
    first_wheel_sample: int
    speed_kmh: float
    status: str
    why: str
    weight: float
    gross_kg: float | None = None
    gross_error_pct: float | None = None
    axle_kg: tuple[float, ...] = ()
    axle_error_pct: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneSummary:
    """Errors of the gross mass over the runs of one vehicle in one lane, per cent.

    Outliers are in it: R 134 allows none. ``initial_class`` and ``in_service_class`` are the
    tightest classes that all these runs keep, empty where there is none; the flags beside them say
    whether the limits of that class were seen in a source (False for those from memory).
    """

    lane: str
    vehicle: str
    runs: int
    bias_pct: float
    sd_pct: float
    worst_pct: float
    initial_class: str
    initial_verified: bool
    in_service_class: str
    in_service_verified: bool


@dataclass(frozen=True, slots=True)
class Certificate:
    """A calibration of all digitisers of a station at one time."""

    station: str
    issued_us: int
    gravity_mps2: float
    digitisers: dict[str, DigitiserGains]
    rows: dict[str, list[dict[str, Any]]]
    """Rows of each lane as they lay: gains found with another width or place do not hold."""
    references: tuple[dict[str, Any], ...]
    budget: tuple[Contribution, ...]
    summary: tuple[LaneSummary, ...]
    runs: tuple[Run, ...]
    remarks: tuple[Text, ...]

    @property
    def valid_until_us(self) -> int:
        """UTC microseconds after which it should be renewed."""
        return self.issued_us + VALID_DAYS * _US_PER_DAY

    @property
    def certificate_id(self) -> str:
        """Station, day of issue (UTC) and the start of the content's hash."""
        day = datetime.fromtimestamp(self.issued_us / _US_PER_S, UTC).strftime("%Y%m%d")
        digest = hashlib.sha256(_bytes(self._content())).hexdigest()
        return f"CAL-{self.station}-{day}-{digest[:8]}"

    def to_json(self) -> bytes:
        """The certificate as a file.

        Returns
        -------
        bytes
            UTF-8 JSON with sorted keys, the same bytes for the same content.

        Raises
        ------
        ValueError
            A number is not finite.
        """
        return _bytes({**self._content(), "certificate_id": self.certificate_id})

    def _content(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "station": self.station,
            "issued_us": self.issued_us,
            "valid_until_us": self.valid_until_us,
            "validity_verified": False,
            "gravity_mps2": self.gravity_mps2,
            "digitisers": {name: asdict(d) for name, d in self.digitisers.items()},
            "rows": self.rows,
            "references": list(self.references),
            "budget": [asdict(c) | {"name": c.name._asdict()} for c in self.budget],
            "speed_kmh": speed_ranges_kmh(self.runs),
            "speed_factor": SPEED_FACTOR,
            "summary": [asdict(s) for s in self.summary],
            "runs": [asdict(r) for r in self.runs],
            "remarks": [text._asdict() for text in self.remarks],
        }


def speed_ranges_kmh(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Lowest and highest speed that the used runs cover, km/h by lane.

    Parameters
    ----------
    runs : sequence of Run
        Outliers and excluded ones widen nothing.

    Returns
    -------
    dict of str to list of float
        Slowest run over ``SPEED_FACTOR``, fastest run times it; a vehicle outside has no legal
        result (OIML R 134-1: operating speeds are those of the test).
    """
    speeds: dict[str, list[float]] = {}
    for run in runs:
        if run.status == "used":
            speeds.setdefault(run.lane, []).append(run.speed_kmh)
    return {
        lane: [round(min(own) / SPEED_FACTOR, 1), round(max(own) * SPEED_FACTOR, 1)]
        for lane, own in speeds.items()
    }


def _bytes(tree: dict[str, Any]) -> bytes:
    text = json.dumps(tree, ensure_ascii=False, indent=1, sort_keys=True, allow_nan=False)
    return text.encode() + b"\n"
