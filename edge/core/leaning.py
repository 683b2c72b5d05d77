"""Wheels partly beside their sensors: two explanations of how a vehicle presses are compared.

Either it drove in its lane: then its sides differ by how it is laden, by roll and by the road, and
every tyre's patch is as long as its load asks for. Or it drove beside it: then the outer wheels
lose load over the edge, the inner ones reach over the seam in the middle, wide pairs and narrow
steering tyres at different places, and patches are longer than what is left of their load. It is
doubted where the second explanation is clearly the better one (a ratio of likelihoods, Neyman and
Pearson 1933), and would hide more of its mass than its uncertainty owns to.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge.records import STANDARD_GRAVITY_MPS2, Bools, Floats, Indices

__all__ = ["Pressed", "beside"]

_SENSOR_M = 1.75
"""Length of a sensor across the lane: from the seam in the middle to its outer end."""

_TRACK_M = 1.9
_SINGLE_TYRE_M = 0.30
_PAIR_TYRE_M, _PAIR_APART_M = 0.24, 0.34
"""Treads of lorries, and the middles of a pair of tyres (295/80 R 22.5 and the like)."""

_ASIDE_M = np.concatenate([np.arange(0.56, 1.0, 0.02), np.arange(1.0, 1.56, 0.05)])

_U_LADEN, _U_LADEN_VEHICLE = 0.016, 0.005
"""How far an axle's right side is from half its load, and what all axles of a vehicle share."""

_ROLL, _ROLL_VEHICLE = 0.35, 0.4
"""The same of a moving vehicle, against the relative uncertainty of its axle loads: whatever makes
the loads swing makes the sides swing."""

_TYRE_N_PER_M2 = 550e3
"""Load over the square of the patch's length, of one tyre: stiffness 0.875 MN/m, radius 0.5 m, a
patch of 0.65 of the chord (Cebon 1999, as in the facts of vehicle dynamics)."""

_U_TYRE, _U_TYRE_VEHICLE = 0.05, 0.12
"""Relative: tyres of one vehicle are alike, those of two differ by pressure and make."""

_LIGHT_KG = 1_500.0
"""Vehicles with lighter axles roll on other tyres, about which nothing is taken as known."""

_LEAST_LOSS, _LOSS_OF_U = 0.06, 2.5
"""Part of the mass, and multiple of its uncertainty, below which it does not matter."""

_DOUBTED = 5.0
"""Twice the logarithm of the ratio that is believed."""


def _seen_aside(tread_m: float, apart_m: float) -> tuple[Floats, Floats]:
    """Lean to the right of what sensors see of an axle, and the part that they see, by place."""
    wheel_m = np.stack([_ASIDE_M - _TRACK_M / 2, _ASIDE_M + _TRACK_M / 2])
    tyre_m = np.stack([wheel_m - apart_m / 2, wheel_m + apart_m / 2])
    edges_m = np.array([-_SENSOR_M, 0.0, _SENSOR_M])[:, None, None, None]
    below = np.clip((edges_m - tyre_m) / tread_m + 0.5, 0.0, 1.0)
    left, right = np.diff(below, axis=0).sum(axis=(1, 2)) / 4
    return (right - left) / (right + left) / 2, right + left


_SINGLE, _PAIR = _seen_aside(_SINGLE_TYRE_M, 0.0), _seen_aside(_PAIR_TYRE_M, _PAIR_APART_M)
_LOG_SINGLE, _LOG_PAIR, _LOG_TWO = np.log(_SINGLE[1]), np.log(_PAIR[1]), float(np.log(2.0))
_SQUARES = _SINGLE[0] ** 2, _PAIR[0] ** 2, _LOG_SINGLE**2, _LOG_PAIR**2


class Pressed(NamedTuple):
    """How vehicles pressed; axles of all of them, one after the other.

    Attributes
    ----------
    wheel_kg : float array (n_axles, n_rows, 2)
        Left and right of every row, 0 where unseen.
    side_kg : float array (n_axles, 2)
        Sums of the wheels over all rows that saw them.
    contact_m : float array (n_axles, n_rows)
        Lengths of the tyres' patches, NaN where unseen.
    u_load_rel, u_gross_rel : float arrays (n_axles,), (n_vehicles,)
        Relative standard uncertainties.
    """

    wheel_kg: Floats
    side_kg: Floats
    contact_m: Floats
    u_load_rel: Floats
    u_gross_rel: Floats


def beside(pressed: Pressed, first: Indices, count: Indices, u_mean_rel: Floats) -> Bools:
    """Vehicles whose wheels may well have been partly beside the sensors: (n_vehicles,).

    Parameters
    ----------
    pressed : Pressed
    first, count : int arrays (n_vehicles,)
        Each vehicle's first axle and how many it has.
    u_mean_rel : float array (n_vehicles,)
        Mean of ``pressed.u_load_rel``.
    """
    _, side_kg, contact_m, u_load_rel, u_gross_rel = pressed
    unseen = np.isnan(contact_m)
    left_kg, right_kg = side_kg.T / np.maximum((~unseen).sum(axis=1), 1)
    load_kg = np.maximum(left_kg + right_kg, 1.0)
    lean = (right_kg - left_kg) / load_kg / 2
    patch = _patch_log(load_kg, np.where(unseen, 0.0, contact_m))
    of_lean = 1 / (_U_LADEN**2 + (_ROLL * u_load_rel) ** 2)
    of_patch = 1 / (_U_TYRE**2 + u_load_rel**2)
    terms = np.array(
        [
            *(of_lean, of_lean * lean, of_lean * lean**2),
            *(of_patch, of_patch * patch, of_patch * patch**2),
            load_kg,
        ]
    ).T
    total = np.add.reduceat(terms, first, axis=0)
    begin = terms[first]
    # The first two axles, of one with a single axle this one; each sum begins with nothing.
    second = terms[np.minimum(first + 1, len(terms) - 1)] * (count > 1)[:, None]
    single = np.array([begin, begin + second, total]).transpose(1, 0, 2)
    common_lean = _U_LADEN_VEHICLE**2 + (_ROLL_VEHICLE * u_mean_rel) ** 2
    light = total[:, -1] < _LIGHT_KG * count
    common_patch = np.where(light, 1.0, _U_TYRE_VEHICLE**2)
    pair = total[:, None] - single
    sums = _Sums.of(single, pair, common_lean, common_patch)
    left_over = sums.within()
    within = left_over.min(axis=(1, 2))
    doubted = within > _DOUBTED
    # No explanation leaves less over than nothing: who fits well in the lane is beyond doubt.
    if doubted.any():
        least = np.maximum(_LEAST_LOSS, _LOSS_OF_U * u_gross_rel)[:, None, None]
        aside = np.where(_loss(single, pair) >= least, sums.aside(left_over), np.inf)
        doubted &= within - aside.min(axis=(1, 2)) > _DOUBTED
    return np.asarray(doubted)


def _patch_log(load_kg: Floats, contact_m: Floats) -> Floats:
    """Load of a wheel against what one tyre with its patch would carry, as a logarithm."""
    mean_m = contact_m.sum(axis=1) / np.maximum((contact_m > 0).sum(axis=1), 1)
    tyre_n = _TYRE_N_PER_M2 * np.maximum(mean_m, 0.01) ** 2
    return np.asarray(np.log(load_kg * STANDARD_GRAVITY_MPS2 / 2 / tyre_n))


class _Sums(NamedTuple):
    """What each explanation leaves over, for each guess of which axles have pairs.

    Errors are those of the axles and one that all axles of a vehicle share; the inverse of such a
    covariance is a diagonal less one product (Sherman and Morrison 1950).

    Attributes
    ----------
    one, both : float arrays (7, n_vehicles, n_guesses, 1)
        Sums over the axles with single tyres and with pairs: weight, weight times lean, times its
        square; the same of patches; load.
    lean, patch : float arrays (n_vehicles, n_guesses, 1)
        Of both together, the second without what two tyres carry more than one.
    k_lean, k_patch : float arrays (n_vehicles, n_guesses, 1)
        Parts that the shared errors take of the squares of those.
    """

    one: Floats
    both: Floats
    lean: Floats
    patch: Floats
    k_lean: Floats
    k_patch: Floats

    @classmethod
    def of(cls, single: Floats, pair: Floats, common_lean: Floats, common_patch: Floats) -> _Sums:
        """Of sums (n_vehicles, n_guesses, 7) and variances of the shared errors (n_vehicles,)."""
        one, both = single.transpose(2, 0, 1)[..., None], pair.transpose(2, 0, 1)[..., None]
        lean_weight, lean = one[:2] + both[:2]
        patch = one[4] + (both[4] - _LOG_TWO * both[3])
        lean_all, patch_all = common_lean[:, None, None], common_patch[:, None, None]
        k_lean = lean_all / (1 + lean_all * lean_weight)
        k_patch = patch_all / (1 + patch_all * (one[3] + both[3]))
        return cls(one, both, lean, patch, k_lean, k_patch)

    def within(self) -> Floats:
        """Squares left over by a vehicle in its lane: (n_vehicles, n_guesses, 1)."""
        one, both, lean, patch, k_lean, k_patch = self
        lean_square = one[2] + both[2]
        patch_square = one[5] + both[5] - 2 * _LOG_TWO * both[4] + _LOG_TWO**2 * both[3]
        return np.asarray(lean_square - k_lean * lean**2 + patch_square - k_patch * patch**2)

    def aside(self, within: Floats) -> Floats:
        """By one beside it, to the likelier side: (n_vehicles, n_guesses, n_places)."""
        one, both, lean, patch, k_lean, k_patch = self
        (m_one, _), (m_pair, _) = _SINGLE, _PAIR
        c_one, c_pair = _LOG_SINGLE, _LOG_PAIR
        m_one_2, m_pair_2, c_one_2, c_pair_2 = _SQUARES
        shift = one[0] * m_one + both[0] * m_pair
        leaned = one[0] * m_one_2 + both[0] * m_pair_2 - k_lean * shift**2
        leaned = leaned - 2 * np.abs(one[1] * m_one + both[1] * m_pair - k_lean * lean * shift)
        short = one[3] * c_one + both[3] * c_pair
        shortened = one[3] * c_one_2 + both[3] * c_pair_2 - k_patch * short**2
        patched = one[4] * c_one + (both[4] - _LOG_TWO * both[3]) * c_pair
        shortened = shortened - 2 * (patched - k_patch * patch * short)
        return np.asarray(within + leaned + shortened)


def _loss(single: Floats, pair: Floats) -> Floats:
    """Part of the mass that a vehicle would have beside the sensors, for each place."""
    one_kg, both_kg = single[..., -1:], pair[..., -1:]
    whole_kg = one_kg / _SINGLE[1] + both_kg / _PAIR[1]
    return np.asarray(1 - (one_kg + both_kg) / whole_kg)
