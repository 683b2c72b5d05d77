"""The modes of a lane laid out for axles: which swing each of them may be expected to make.

A :class:`Dynamics` tells the modes by kind of vehicle and speed, of an axle of reference load; what
an axle carries beyond that makes it swing slower, and less for its load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edge.core.modes import (
    KINDS,
    LOAD_EXPONENT,
    Cell,
    Dynamics,
    Kind,
    relative_load,
    speed_bin,
)
from edge.records import Floats, Indices, read_only

__all__ = ["Swing"]

_MODE_EXPONENT = np.array([[0.5], [0.5], [1.0]])
"""The coefficient of variation of a mode falls with this power of the load. On a road whose slope
is white noise the force of a mass m on a spring k with a damper c goes by k^2 m / c: on the same
spring as its mass, and the hop of an axle not at all (Newland, Random Vibrations (1993), 7)."""
_BESIDE_EXPONENT: Floats = read_only(2 * (LOAD_EXPONENT - _MODE_EXPONENT))

_SPRUNG_KG = 7_000.0
"""Up to this mean axle load a vehicle bounces as its kind does; springs are made for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Swing:
    """A :class:`Dynamics` laid out for axles.

    ``hz``, ``u_hz``, ``variance`` (3, n) of bounce, stiff body and hop, the variances at the
    axles' speeds, and ``variance_of_all`` their sum; ``row_bias`` (n, n_rows); all others (n,).
    """

    hz: Floats
    u_hz: Floats
    variance: Floats
    variance_of_all: Floats
    lie: Floats
    group_correlation: Floats
    axle_correlation: Floats
    weight: Floats
    row_bias: Floats

    @classmethod
    def of(
        cls,
        dynamics: Sequence[Dynamics],
        number: Indices,
        speed_mps: Floats,
        kind: Indices,
        n_rows: int,
        load_kg: Floats,
        mean_axle_kg: Floats,
    ) -> Swing:
        """Look up the cell of each axle by its lane's dynamics, its speed and its kind, (n,).

        Under loads (n,) of vehicles of such mean axle loads (n,): what is heavier swings slower on
        its springs. An overladen lorry of 14 t an axle bounces at 1.4 Hz where lawful ones do at
        2.0 Hz, and rows that those cross in a whole swing show it a part of one only.
        """
        tables, biases = zip(*(_table(known, n_rows) for known in dynamics), strict=True)
        table, bias = tables[0], biases[0]
        cell = speed_bin(speed_mps) * KINDS + kind
        if len(dynamics) > 1:
            table, bias = np.concatenate(tables, axis=1), np.concatenate(biases)
            cell += len(biases[0]) * number
        lines = table.take(cell, axis=1)
        hz, u_hz = lines[:3], lines[3:6]
        slower = np.sqrt(_SPRUNG_KG / np.maximum(mean_axle_kg, _SPRUNG_KG))
        hz[0] *= slower
        u_hz[0] *= slower
        variance = lines[6:9] * (3.6 * speed_mps) * relative_load(load_kg) ** _BESIDE_EXPONENT
        of_all = variance[0] + variance[1] + variance[2]
        lie, group, axle, weight = lines[9:]
        row_bias = bias.take(cell, axis=0)
        return cls(hz, u_hz, variance, of_all, lie, group, axle, weight, row_bias)


def _line(k: Kind, c: Cell) -> list[float]:
    modes = [*k.hz, *k.u_hz, c.bounce, c.stiff, c.hop, c.lie]
    return [*modes, c.group_correlation, c.axle_correlation, c.weight]


@lru_cache(maxsize=64)
def _table(dynamics: Dynamics, n_rows: int) -> tuple[Floats, Floats]:
    pairs = [pair for row in dynamics.cells for pair in zip(dynamics.kinds, row, strict=True)]
    table = np.array([_line(kind, cell) for kind, cell in pairs]).T.copy()
    bias = np.zeros((len(pairs), n_rows))
    for i, (_, cell) in enumerate(pairs):
        if len(cell.row_bias) == n_rows:
            bias[i] = cell.row_bias
    return read_only(table), read_only(bias)
