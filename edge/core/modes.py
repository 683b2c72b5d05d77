"""How the force of a moving axle swings about its static load: damped modes, by kind and speed.

The dynamic part is taken as a stationary process of three modes: the body on soft or laden springs
(1.5 to 4 Hz), the body on springs that are stiff for what it carries (4 to 6 Hz), and the axle on
its tyres (8 to 15 Hz). The slope of a road is white noise (ISO 8608, w = 2), so each is a damped
oscillator driven by white noise, and its variance grows as the speed. Frequencies differ from
vehicle to vehicle. A light axle swings more, for its load, than a laden one. The road is met in
turn by all axles, so what one axle shows at a place the next shows again: dynamic errors of one
vehicle go together, the more so the faster it is.

What a station has learned of its own lane (``edge.core.learn``) is a :class:`Dynamics` as well:
frozen, with a hash, so that a record can be computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

import numpy as np

from edge.records import Floats, Indices, read_only

__all__ = [
    "CENTRES_KMH",
    "DAMPING",
    "KINDS",
    "LOAD_EXPONENT",
    "PRIOR",
    "REFERENCE_KG",
    "SPEED_EDGES_KMH",
    "Cell",
    "Dynamics",
    "Kind",
    "kind_of",
    "lie_correlation",
    "load_scale",
    "oscillation",
    "relative_load",
    "speed_bin",
]

REFERENCE_KG = 6_000.0
LOAD_EXPONENT = 0.75
"""The coefficient of variation of all modes together falls with this power of the axle's load."""

SPEED_EDGES_KMH = (15.0, 25.0, 35.0, 45.0, 55.0, 65.0, 75.0, 85.0, 100.0)
_SPEED_EDGES_MPS: Floats = read_only(np.array(SPEED_EDGES_KMH) / 3.6)
CENTRES_KMH = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 92.0, 110.0)

KINDS = 4
"""Two axles or more, light or laden."""
_LADEN_KG = 5_000.0
"""A vehicle whose axles carry more than this on average is laden."""


STIFF_HZ, U_STIFF_HZ, U_HOP_HZ = 4.7, 0.7, 1.0
"""Frequencies that are not learned, and their spread over vehicles."""
DAMPING: Floats = read_only(np.array([0.08, 0.12, 0.25]))
"""Parts of the critical damping of bounce, stiff body and hop."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Modes of one kind of vehicle: frequencies, and how far its bounce spreads over the fleet."""

    bounce_hz: float
    u_bounce_hz: float
    hop_hz: float

    @property
    def hz(self) -> tuple[float, float, float]:
        """Frequencies of bounce, stiff body and hop."""
        return self.bounce_hz, STIFF_HZ, self.hop_hz

    @property
    def u_hz(self) -> tuple[float, float, float]:
        """How far each spreads over vehicles."""
        return self.u_bounce_hz, U_STIFF_HZ, U_HOP_HZ


@dataclass(frozen=True, slots=True)
class Cell:
    """Swing of one kind of vehicle in one span of speeds.

    Attributes
    ----------
    bounce, stiff, hop : float
        Variance over the square of the static load, per km/h, of an axle of ``REFERENCE_KG``.
    lie : float
        Variance by how the road lies, of the same axle: a wheel of a bogie that stands on a rise
        of a millimetre carries more, at any speed.
    group_correlation, axle_correlation : float
        Correlation of the errors of two axles of one group, and of two groups of a vehicle.
    weight : float
        Degrees of freedom that the variance is worth against the scatter of one vehicle's rows.
    row_bias : tuple of float
        What the road's fixed profile adds on each row, part of the load, to an axle of
        ``REFERENCE_KG``; empty where unknown.
    """

    bounce: float
    stiff: float
    hop: float
    lie: float
    group_correlation: float
    axle_correlation: float
    weight: float
    row_bias: tuple[float, ...] = ()

    def scatter(self, kmh: float) -> float:
        """Standard deviation of one reading of an axle of ``REFERENCE_KG``, part of its load."""
        return math.sqrt((self.bounce + self.stiff + self.hop) * kmh + self.lie)


@dataclass(frozen=True, slots=True)
class Dynamics:
    """Swing by kind and speed: ``cells[speed bin][kind]``; immutable, the same for ever."""

    version: int
    kinds: tuple[Kind, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def __hash__(self) -> int:
        """Quick, for it is looked up with every vehicle; few are alike in so little."""
        return hash((self.version, self.cells[-1][-1].bounce))

    def to_json(self) -> str:
        """One line of JSON with sorted keys; floats as the shortest text that reads back."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Dynamics:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            Not JSON, or not of that shape.
        """
        try:
            body = json.loads(text)
            cells = tuple(
                tuple(Cell(**{**c, "row_bias": tuple(c["row_bias"])}) for c in row)
                for row in body["cells"]
            )
            read = cls(int(body["version"]), tuple(Kind(**k) for k in body["kinds"]), cells)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a description of dynamics: {error!r}") from error
        if len(read.kinds) != KINDS or {len(row) for row in cells} != {KINDS}:
            raise ValueError("a description of dynamics needs four kinds in each span of speed")
        if len(cells) != len(CENTRES_KMH):
            raise ValueError(f"a description of dynamics needs {len(CENTRES_KMH)} spans of speed")
        return read

    @property
    def sha256(self) -> str:
        """Hash of :meth:`to_json`, hexadecimal: what a record names to be computed again."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def speed_bin(speed_mps: Floats) -> Indices:
    """Number of the span of speeds that a speed falls into."""
    return _SPEED_EDGES_MPS.searchsorted(speed_mps, "right")


def kind_of(n_axles: Indices, mean_axle_kg: Floats) -> Indices:
    """Kind of a vehicle: 0 light and 1 laden of two axles or one, 2 light and 3 laden of more."""
    return np.asarray(2 * (n_axles > 2) + (mean_axle_kg > _LADEN_KG), np.int64)


def load_scale(load_kg: Floats) -> Floats:
    """How much more an axle swings, for its load, than one of ``REFERENCE_KG``."""
    return np.asarray(relative_load(load_kg) ** -LOAD_EXPONENT)


def relative_load(load_kg: Floats) -> Floats:
    """Load against the reference, of axles that press at all."""
    return np.asarray(np.maximum(load_kg, 300.0) / REFERENCE_KG)


def oscillation(
    lag_s: Floats, hz: Floats | float, u_hz: Floats | float, damping: Floats | float
) -> Floats:
    """Correlation of a damped mode with itself after a time; positive definite for any times.

    The speed of an oscillator that white noise drives (Newland, Random Vibrations (1993), 7), the
    mean over a normal spread of frequencies: both factors have spectra that are not negative.
    """
    turn = 2 * np.pi * hz * np.abs(lag_s)
    apart = np.pi * u_hz * lag_s
    fade = np.exp(-damping * turn - 2 * apart * apart)
    return np.asarray(fade * (np.cos(turn) - damping * np.sin(turn)))


_LIE_WAVE_PER_M = 0.1


def lie_correlation(distance_m: Floats) -> Floats:
    """Correlation of what two places do to a wheel by how they lie.

    A body on three axles or more feels how far one of them stands off the line of the others:
    nothing of waves longer than itself, little of shorter ones than its bogies. The spectrum
    ``n^2 / (n^2 + n_0^2)^3`` does the same, ``n_0`` being a wave of ten metres.
    """
    part = 2 * np.pi * _LIE_WAVE_PER_M * np.abs(distance_m)
    return np.asarray(np.exp(-part) * (1 + part - part * part))


_SHARES = ((0.12, 0.58, 0.30), (0.84, 0.04, 0.12), (0.15, 0.30, 0.55), (0.68, 0.05, 0.27))
_LIE_REL = (0.001, 0.001, 0.0175, 0.0175)
"""By kind: parts of bounce, stiff body and hop; and what a rise of the road does. A millimetre
under a spring of steel is 1 kN, 2 % of a laden wheel, where other axles can take what this one
loses; two axles stand alike on any road."""


def _prior_cell(kind: int, kmh: float, sill: float) -> Cell:
    bounce, stiff, hop = (part * sill for part in _SHARES[kind])
    group, axle = _alike(kind, kmh)
    return Cell(bounce, stiff, hop, _LIE_REL[kind] ** 2, group, axle, weight=3.0)


def _alike(kind: int, kmh: float) -> tuple[float, float]:
    """Correlation of the errors of two axles of a group, and of two groups of a vehicle.

    A laden body on two axles bounces as one at any speed; an empty one hops more, each axle by
    itself. Under a body on more axles one takes what another loses by how the road lies; they err
    as one from the speed on at which a swing is as long as the body.
    """
    speedy = min(kmh / 80.0, 1.0)
    many = 0.1 + 0.65 * min(kmh / 40.0, 1.0)
    axle = (0.4 + 0.4 * speedy, 0.8, many, many)[kind]
    return max(0.25 + 0.6 * speedy, axle), axle


def _prior() -> Dynamics:
    """What is known before a station has seen any traffic.

    Laden quarter lorries on steel bounce at 1.9 Hz and on air at 1.3 Hz, and with the road's
    slope for an input 85 % of their variance lies there; light ones move at 4 to 6 Hz, for the
    springs of a lorry are made for its load. Rigid bodies on many axles bounce less and hop the
    same. On ISO class A steel swings by 0.86 % and air by 0.48 % times the root of the speed in
    km/h, on class B by twice that (facts: metrology 6.1, 6.5). The prior stands between, and is
    worth little against what the rows themselves show.
    """
    kinds = (
        Kind(2.8, 0.6, 11.0),
        Kind(2.0, 0.3, 11.0),
        Kind(2.6, 0.6, 10.5),
        Kind(2.0, 0.35, 11.0),
    )
    sill = 0.008**2
    cells = tuple(
        tuple(_prior_cell(kind, kmh, sill) for kind in range(KINDS)) for kmh in CENTRES_KMH
    )
    return Dynamics(3, kinds, cells)


PRIOR = _prior()
