"""Patterns that no whole vehicle makes are doubted; ordinary vehicles are not."""

from __future__ import annotations

import numpy as np
import pytest

from edge.core.doubt import doubts
from edge.records import Flag

SEMITRAILER_M = (3.3, 1.35, 6.5, 1.31, 1.31)
SEMITRAILER_KG = (6_500.0, 8_000.0, 8_000.0, 7_500.0, 7_500.0, 7_500.0)
FAULT = Flag.SEPARATOR_FAULT


def wheels(axle_kg: tuple[float, ...], left: float | tuple[float, ...] = 0.5) -> np.ndarray:
    """(n_axles, 4 rows, 2): every row sees the same."""
    share = np.broadcast_to(np.asarray(left, float), len(axle_kg))
    sides = np.stack([share, 1 - share], axis=1) * np.array(axle_kg)[:, None]
    return np.repeat(sides[:, None, :], 4, axis=1)


def doubt(
    wheel_kg: np.ndarray,
    spacing_m: tuple[float, ...],
    speed_mps: float = 15.0,
    known: Flag = Flag.NONE,
    apart: bool = True,
) -> Flag:
    vehicle = np.zeros(len(wheel_kg), np.int64)
    bits = np.array([int(known)], np.uint32)
    found = doubts(wheel_kg, np.array(spacing_m), vehicle, np.array([speed_mps]), bits, apart)
    return Flag(int(found[0]))


def test_an_ordinary_vehicle_is_not_doubted() -> None:
    for apart in (True, False):
        assert not doubt(wheels(SEMITRAILER_KG, 0.51), SEMITRAILER_M, apart=apart)
    assert not doubt(wheels(SEMITRAILER_KG), SEMITRAILER_M, known=FAULT)


def test_half_a_vehicle_is_doubted() -> None:
    assert doubt(wheels((7_000.0,)), ()) == Flag.AMBIGUOUS
    tridem = wheels((7_500.0,) * 3), (1.31, 1.31)
    assert doubt(*tridem, known=FAULT) == Flag.AMBIGUOUS
    assert not doubt(*tridem)


def test_slow_axles_that_only_distance_parted_are_doubted() -> None:
    assert not doubt(wheels(SEMITRAILER_KG), SEMITRAILER_M, 12.0, FAULT)
    assert doubt(wheels(SEMITRAILER_KG), SEMITRAILER_M, 2.0, FAULT) == Flag.AMBIGUOUS
    assert not doubt(wheels(SEMITRAILER_KG), SEMITRAILER_M, 2.0)


@pytest.mark.parametrize("second_m", [(4.2,), (3.3, 1.35, 6.5), (1.9, 3.0, 1.35)])
def test_two_vehicles_that_look_like_one_are_doubted_without_a_separator(
    second_m: tuple[float, ...],
) -> None:
    spacing_m = (3.8, 1.35, 5.0, *second_m)
    loads = wheels((7_000.0,) * (len(spacing_m) + 1))
    assert doubt(loads, spacing_m, apart=False) == Flag.AMBIGUOUS
    assert not doubt(loads, spacing_m)


@pytest.mark.parametrize("aside_m", np.arange(0.66, 1.5, 0.04).round(2))
def test_wheels_partly_beside_the_sensors_are_seen_wherever_they_are(aside_m: float) -> None:
    # Sensors reach 1.75 m to either side and meet in the middle; the track is 1.9 m wide.
    def share(middle_m: float, width_m: float, low_m: float, high_m: float) -> float:
        covered = min(middle_m + width_m / 2, high_m) - max(middle_m - width_m / 2, low_m)
        return max(covered, 0.0) / width_m

    rows = []
    for load_kg, width_m in ((6_500.0, 0.3), (9_000.0, 0.6), (8_500.0, 0.6)):
        sides = [
            sum(share(aside_m + x, width_m, low, low + 1.75) for x in (-0.95, 0.95)) * load_kg / 2
            for low in (-1.75, 0.0)
        ]
        rows.append(np.repeat([sides], 4, axis=0))
    assert doubt(np.stack(rows), (3.8, 1.35)) == Flag.WHEEL_OFF


def test_a_side_that_one_row_misses_or_that_changes_over_the_rows_is_doubted() -> None:
    dead = wheels(SEMITRAILER_KG)
    dead[:, 2, 0] = 0.0
    assert doubt(dead, SEMITRAILER_M) == Flag.WHEEL_OFF
    drifting = wheels(SEMITRAILER_KG)
    drifting[:, :, 0] *= np.array([1.3, 1.1, 0.9, 0.7])
    assert doubt(drifting, SEMITRAILER_M) == Flag.WHEEL_OFF
    unseen = wheels(SEMITRAILER_KG)
    unseen[1, 2] = np.nan
    assert not doubt(unseen, SEMITRAILER_M)


def test_vehicles_of_a_batch_are_doubted_each_by_itself() -> None:
    lone, whole = wheels((7_000.0,)), wheels(SEMITRAILER_KG)
    leaning = wheels(SEMITRAILER_KG, 0.62)
    vehicle = np.repeat([0, 1, 2], [1, 6, 6])
    spacing_m = np.array([4.0, *SEMITRAILER_M, 3.0, *SEMITRAILER_M])
    found = doubts(
        np.concatenate([lone, whole, leaning]),
        spacing_m,
        vehicle,
        np.full(3, 15.0),
        np.zeros(3, np.uint32),
        True,
    )
    assert found.tolist() == [Flag.AMBIGUOUS, 0, Flag.WHEEL_OFF]
