"""The site: where the sensors lie and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from edge.records.values import Floats

__all__ = ["STANDARD_GRAVITY_MPS2", "Gains", "LaneLayout", "Row", "Separator"]


STANDARD_GRAVITY_MPS2 = 9.80665
"""Newton to conventional kilogram (3rd CGPM, 1901), unless the certificate states another."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of sensors across a lane.

    ``position_m`` runs along the lane's direction, ``width_m`` is the sensing length along the
    direction of travel, ``left`` and ``right`` are channel numbers of the digitiser. A ``plate``
    is longer than the tyre's contact patch and shows a plateau; a ``strip`` is narrower.
    """

    position_m: float
    width_m: float
    kind: Literal["strip", "plate"]
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Separator:
    """A vehicle separator (light curtain or loop): input number, and where it stands."""

    input: int
    position_m: float


@dataclass(frozen=True, slots=True)
class LaneLayout:
    """A lane on one digitiser: its rows in order of travel and what its certificate covers."""

    lane: str
    rows: tuple[Row, ...]
    separator: Separator | None = None
    speed_min_mps: float = 3 / 3.6
    speed_max_mps: float = 120 / 3.6
    speed_change_max: float = 0.15
    """Largest tolerated relative change of speed over the array."""
    axle_min_kg: float = 200.0
    axle_max_kg: float = 30_000.0
    grade: float = 0.0
    """Rise of the lane over its length where the array lies, positive uphill."""
    beside: tuple[str, ...] = ()
    """Lanes that lie directly beside it: a vehicle may press on the sensors of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """What a count is worth, per channel of one digitiser.

    Attributes
    ----------
    newton_per_count : float array (n_channels,)
    u_rel : float array (n_channels,)
        Relative standard uncertainty of each gain.
    u_rel_common : float
        Part of it that all channels share (the reference mass): it does not average out.
    certificate_id, certificate_sha256 : str
        Empty where no certificate is loaded (``calibrated`` is false then).
    """

    newton_per_count: Floats
    u_rel: Floats
    u_rel_common: float = 0.0
    gravity_mps2: float = STANDARD_GRAVITY_MPS2
    certificate_id: str = ""
    certificate_sha256: str = ""
    valid_until_ns: int | None = None
    """End of the certificate's validity; None where it states none."""
    speed_mps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest speed that the certificate covers, by lane; empty where it states none."""
    issued_ns: int | None = None
    """When the certificate was issued; None where it does not say."""

    @property
    def calibrated(self) -> bool:
        """Whether a certificate stands behind the gains."""
        return bool(self.certificate_id)

    def expired(self, time_ns: int) -> bool:
        """Whether the certificate was out of date at a time."""
        return self.valid_until_ns is not None and time_ns > self.valid_until_ns

    def premature(self, time_ns: int) -> bool:
        """Whether the certificate was issued after a time: by that clock it does not hold yet."""
        return self.issued_ns is not None and time_ns < self.issued_ns
