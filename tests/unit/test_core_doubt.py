"""Patterns that no whole vehicle makes are doubted; ordinary vehicles are not."""

from __future__ import annotations

import numpy as np
import pytest

from edge.core.doubt import doubts
from edge.core.leaning import Pressed
from edge.records import Flag

SEMITRAILER_M = (3.3, 1.35, 6.5, 1.31, 1.31)
SEMITRAILER_KG = (6_500.0, 8_000.0, 8_000.0, 7_500.0, 7_500.0, 7_500.0)
FAULT = Flag.SEPARATOR_FAULT


def wheels(axle_kg: tuple[float, ...], left: float | tuple[float, ...] = 0.5) -> np.ndarray:
    """(n_axles, 4 rows, 2): every row sees the same."""
    share = np.broadcast_to(np.asarray(left, float), len(axle_kg))
    sides = np.stack([share, 1 - share], axis=1) * np.array(axle_kg)[:, None]
    return np.repeat(sides[:, None, :], 4, axis=1)


def patches(axle_kg: np.ndarray, tyres: np.ndarray) -> np.ndarray:
    """Lengths of the patches (n_axles,) of tyres of 0.875 MN/m with a radius of half a metre."""
    tyre_n = 9.81 * axle_kg / 2 / tyres
    return np.asarray(0.65 * 2 * np.sqrt(2 * 0.5 * tyre_n / 0.875e6))


def pressing(wheel_kg: np.ndarray, patch_m: np.ndarray | None, vehicles: int) -> Pressed:
    """With patches as the loads ask for: steering tyres in front, pairs behind."""
    if patch_m is None:
        axle_kg = np.nanmean(wheel_kg.sum(axis=2), axis=1)
        patch_m = patches(axle_kg, np.where(np.arange(len(axle_kg)) == 0, 1, 2))
    unseen = np.isnan(wheel_kg)
    contact_m = np.where(unseen[:, :, 0], np.nan, patch_m[:, None])
    held_kg = np.where(unseen, 0.0, wheel_kg)
    sides_kg = held_kg.sum(axis=1)
    return Pressed(
        held_kg, sides_kg, contact_m, np.full(len(wheel_kg), 0.015), np.full(vehicles, 0.01)
    )


def doubt(
    wheel_kg: np.ndarray,
    spacing_m: tuple[float, ...],
    known: Flag = Flag.NONE,
    apart: bool = True,
    patch_m: np.ndarray | None = None,
) -> Flag:
    vehicle = np.zeros(len(wheel_kg), np.int64)
    bits = np.array([int(known)], np.uint32)
    pressed = pressing(wheel_kg, patch_m, 1)
    found = doubts(pressed, np.array(spacing_m), vehicle, bits, apart)
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


@pytest.mark.parametrize("second_m", [(4.2,), (3.3, 1.35, 6.5), (1.9, 3.0, 1.35)])
def test_two_vehicles_that_look_like_one_are_doubted_without_a_separator(
    second_m: tuple[float, ...],
) -> None:
    spacing_m = (3.8, 1.35, 5.0, *second_m)
    loads = wheels((7_000.0,) * (len(spacing_m) + 1))
    assert doubt(loads, spacing_m, apart=False) == Flag.AMBIGUOUS
    assert not doubt(loads, spacing_m)


def seen_aside(aside_m: float, axle_kg: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(n_axles, 4 rows, 2) of a lorry beside the middle of its lane.

    Sensors reach 1.75 m to either side and meet in the middle; the track is 1.9 m wide.
    """
    seen = np.zeros((len(axle_kg), 2))
    for axle, (load_kg, pair) in enumerate(zip(axle_kg, pairs, strict=True)):
        tyres_m = [x + d for x in (-0.95, 0.95) for d in ((-0.17, 0.17) if pair else (0.0,))]
        half_m = 0.12 if pair else 0.15
        for tyre_m in tyres_m:
            low_m, high_m = aside_m + tyre_m - half_m, aside_m + tyre_m + half_m
            for side, (from_m, to_m) in enumerate(((-1.75, 0.0), (0.0, 1.75))):
                share = max(min(high_m, to_m) - max(low_m, from_m), 0.0) / (2 * half_m)
                seen[axle, side] += share * load_kg / len(tyres_m)
    return np.repeat(seen[:, None, :], 4, axis=1)


@pytest.mark.parametrize("aside_m", np.arange(-1.5, 1.51, 0.06).round(2))
@pytest.mark.parametrize("pairs", [(False, True), (False, True, True), (False, False, True, True)])
def test_wheels_partly_beside_the_sensors_are_seen_wherever_they_are(
    aside_m: float, pairs: tuple[bool, ...]
) -> None:
    axle_kg = np.array([6_500.0, 8_000.0, 8_500.0, 8_400.0][: len(pairs)])
    wheel_kg = seen_aside(aside_m, axle_kg, np.array(pairs))
    patch_m = patches(axle_kg, np.where(pairs, 2, 1))
    lost = 1 - wheel_kg[:, 0].sum() / axle_kg.sum()
    found = doubt(wheel_kg, (4.0, 1.35, 1.35)[: len(pairs) - 1], patch_m=patch_m)
    if lost > 0.07:
        assert found == Flag.WHEEL_OFF
    if abs(aside_m) < 0.45:
        assert not found


def test_a_load_that_lies_to_one_side_is_no_wheel_beside() -> None:
    assert not doubt(wheels(SEMITRAILER_KG, 0.52), SEMITRAILER_M)
    # Half of the wheels on the right stand beside: the same lean, but patches know the load.
    lost = wheels(SEMITRAILER_KG)
    lost[1:, :, 1] *= 0.83
    whole_m = patches(np.array(SEMITRAILER_KG), np.array([1, 2, 2, 2, 2, 2]))
    assert doubt(lost, SEMITRAILER_M, patch_m=whole_m) == Flag.WHEEL_OFF


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
    leaning = wheels(SEMITRAILER_KG, 0.64)
    vehicle = np.repeat([0, 1, 2], [1, 6, 6])
    spacing_m = np.array([4.0, *SEMITRAILER_M, 3.0, *SEMITRAILER_M])
    loads = [pressing(one, None, 1) for one in (lone, whole, leaning)]
    found = doubts(
        Pressed(*(np.concatenate(parts) for parts in zip(*loads, strict=True))),
        spacing_m,
        vehicle,
        np.zeros(3, np.uint32),
        True,
    )
    assert found.tolist() == [Flag.AMBIGUOUS, 0, Flag.WHEEL_OFF]
