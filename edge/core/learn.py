"""What a lane's traffic shows of moving axles: the variogram of its rows.

The static load is common to all rows, so half the mean square difference of two rows is the
variogram of the dynamic part, without any known weight (Matheron 1963). ``edge.core.fitting``
makes a description of it. Sums are whole numbers: order and parts of the traffic do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.core.modes import CENTRES_KMH, KINDS, kind_of, load_scale, speed_bin
from edge.records import LEGAL_BARRIERS, Floats, Indices, LaneLayout, Passage

__all__ = [
    "AXLE_DOT",
    "AXLE_NORM",
    "GROUP_DOT",
    "GROUP_NORM",
    "KNOWN",
    "KNOWN_SQUARE",
    "UNIT",
    "VEHICLES",
    "Variogram",
]

UNIT = 1e-9
"""Sums are kept in whole numbers of this."""
_WILD = 1.0
"""A difference beyond this part of the load was no bounce."""

GROUP_DOT, GROUP_NORM, AXLE_DOT, AXLE_NORM, VEHICLES, KNOWN, KNOWN_SQUARE = range(7)
"""Columns of ``Variogram.whole``."""


@dataclass(frozen=True, slots=True, eq=False)
class Variogram:
    """Sums over the clean passages of one lane; add two of them and nothing is lost.

    Attributes
    ----------
    lane : LaneLayout
    pairs : int array (n_cells, n_pairs, 4)
        For two rows: count, difference, its square, and lag in seconds; the last three in units.
    whole : int array (n_cells, 7)
        Products and norms of the contrasts of two axles, of a group and of a vehicle; vehicles;
        readings of known loads and their squared errors.
    """

    lane: LaneLayout
    pairs: Indices
    whole: Indices

    @classmethod
    def empty(cls, lane: LaneLayout) -> Variogram:
        """No passage seen yet."""
        n = len(lane.rows)
        cells = len(CENTRES_KMH) * KINDS
        pairs = np.zeros((cells, n * (n - 1) // 2, 4), np.int64)
        return cls(lane, pairs, np.zeros((cells, 7), np.int64))

    def __add__(self, other: Variogram) -> Variogram:
        """What both have seen.

        Raises
        ------
        ValueError
            They are of different lanes.
        """
        if self.lane != other.lane:
            raise ValueError("variograms of two lanes do not add")
        return Variogram(self.lane, self.pairs + other.pairs, self.whole + other.whole)

    @property
    def vehicles(self) -> int:
        """How many passages it has taken in."""
        return int(self.whole[:, VEHICLES].sum())

    def rows_off(self, limit_rel: float = 0.1) -> tuple[int, ...]:
        """Rows that read apart from the others over all traffic: to be looked at by people.

        Parameters
        ----------
        limit_rel : float
            Mean difference from the other rows, of an axle of reference load.

        Returns
        -------
        tuple of int
            Their numbers in the lane. A lane of two rows names both or none.
        """
        n = len(self.lane.rows)
        sums = self.pairs.sum(axis=0)
        step = sums[:, 1] * UNIT / np.maximum(sums[:, 0], 1)
        first, second = np.triu_indices(n, 1)
        off = np.zeros((n, n))
        off[second, first], off[first, second] = step, -step
        # The lower median: of three rows two agree, and the third is the one that is off.
        apart = [np.sort(np.abs(np.delete(row, i)))[(n - 2) // 2] for i, row in enumerate(off)]
        return tuple(np.flatnonzero(np.array(apart) > limit_rel).tolist())

    def add(self, passage: Passage, true_axle_kg: Floats | None = None) -> bool:
        """Take in a passage if nothing casts doubt on it.

        Parameters
        ----------
        passage : Passage
        true_axle_kg : float array (n_axles,), optional
            Loads of a reference vehicle, known from elsewhere.

        Returns
        -------
        bool
            Whether it was taken in.
        """
        table = passage.axles
        load_kg = table.load_kg
        if passage.flags & LEGAL_BARRIERS or np.isnan(table.row_load_kg).any():
            return False
        kind = kind_of(np.array(len(table)), np.array(load_kg.mean()))
        cell = int(speed_bin(np.array(passage.speed_mps))) * KINDS + int(kind)
        scale = load_scale(load_kg)[:, None]
        off = (table.row_load_kg / load_kg[:, None] - 1) / scale
        first, second = np.triu_indices(off.shape[1], 1)
        step = np.clip(off[:, second] - off[:, first], -_WILD, _WILD)
        rate_hz = passage.clip.rate_hz
        lag_s = np.abs(table.row_sample[:, second] - table.row_sample[:, first]) / rate_hz
        terms = np.stack([np.full_like(step, UNIT), step, step**2, lag_s], axis=2)
        self.pairs[cell] += _whole(terms).sum(axis=0)
        self.whole[cell, :4] += self._alike(off, passage)
        self.whole[cell, VEHICLES] += 1
        if true_axle_kg is not None:
            error = (table.row_load_kg / true_axle_kg[:, None] - 1) / scale
            self.whole[cell, KNOWN] += error.size
            self.whole[cell, KNOWN_SQUARE] += _whole(np.minimum(error**2, _WILD)).sum()
        return True

    @staticmethod
    def _alike(off: Floats, passage: Passage) -> Indices:
        """How far the contrasts of two axles go together, inside groups and between them."""
        contrast = off - off.mean(axis=1, keepdims=True)
        number = np.repeat(np.arange(len(passage.groups)), [g.count for g in passage.groups])
        one, two = np.triu_indices(len(off), 1)
        dot = (contrast[one] * contrast[two]).sum(axis=1)
        square = (contrast**2).sum(axis=1)
        norm = np.sqrt(square[one] * square[two])
        same = number[one] == number[two]
        sums = [values[where] for where in (same, ~same) for values in (dot, norm)]
        return np.array([_whole(values).sum() for values in sums])


def _whole(values: Floats) -> Indices:
    """Values in whole units."""
    return np.rint(values / UNIT).astype(np.int64)
