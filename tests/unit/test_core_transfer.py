"""Load that braking and slopes move between axles, against the simulator's whole vehicles."""

from __future__ import annotations

import numpy as np
import pytest

from edge.core.transfer import load_transfer
from edge.records import STANDARD_GRAVITY_MPS2
from simulator.fleet import SimVehicle, make_vehicle
from tests.unit.statics import load_transfer_kg


def lorry(code: str, seed: int) -> SimVehicle:
    return make_vehicle(1, {code: 1.0}, {"legal": 1.0}, 0.1, np.random.default_rng(seed))


def moved(
    vehicle: SimVehicle, mps2: float, u_mps2: float = 0.01, grade: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    load_kg = np.array(vehicle.axle_kg)
    if not grade:
        load_kg = load_kg + load_transfer_kg(vehicle, mps2)
    n = np.ones(len(load_kg))
    behind_m = np.array(vehicle.axle_behind_m)
    return load_transfer(load_kg, behind_m, 0 * n.astype(int), mps2 * n, u_mps2 * n, grade)


@pytest.mark.parametrize("code", ["12", "15", "115", "125", "127", "155", "157"])
@pytest.mark.parametrize("mps2", [-1.5, 0.8])
def test_most_of_what_a_whole_vehicle_moves_is_taken_off(code: str, mps2: float) -> None:
    for seed in range(5):
        vehicle = lorry(code, seed)
        true_kg = load_transfer_kg(vehicle, mps2)
        transfer_kg, u_kg = moved(vehicle, mps2)
        left_kg = np.abs(true_kg - transfer_kg)
        assert left_kg.max() < 0.65 * np.abs(true_kg).max()
        assert np.square(left_kg).sum() < 0.3 * np.square(true_kg).sum()
        assert transfer_kg.sum() == pytest.approx(0.0, abs=1e-6)
        assert left_kg[0] < 2.6 * np.hypot(*u_kg[0])


def test_what_is_not_seen_is_not_taken_off_but_doubted() -> None:
    vehicle = lorry("12", 1)
    transfer_kg, u_kg = moved(vehicle, 0.3, u_mps2=0.2)
    unknown_kg, u_unknown_kg = moved(vehicle, 0.0, u_mps2=np.inf)
    assert transfer_kg == pytest.approx([0.0, 0.0])
    assert unknown_kg == pytest.approx([0.0, 0.0])
    assert (np.abs(u_kg[:, 0]) > 0).all()
    assert np.isfinite(u_unknown_kg).all()


def test_a_slope_is_an_acceleration() -> None:
    vehicle = lorry("15", 2)
    slope_kg, _ = moved(vehicle, 0.0, grade=0.03)
    n = np.ones(3)
    same_kg, _ = load_transfer(
        np.array(vehicle.axle_kg),
        np.array(vehicle.axle_behind_m),
        0 * n.astype(int),
        0.03 * STANDARD_GRAVITY_MPS2 * n,
        0.01 * n,
        0.0,
    )
    assert slope_kg == pytest.approx(same_kg)
    assert slope_kg[0] < 0 < slope_kg[-1]


def test_vehicles_of_a_batch_keep_apart() -> None:
    one, two = lorry("12", 3), lorry("157", 4)
    load_kg = np.concatenate([one.axle_kg, two.axle_kg])
    behind_m = np.concatenate([one.axle_behind_m, two.axle_behind_m])
    n = np.ones(8)
    vehicle = np.array([0, 0, 1, 1, 1, 1, 1, 1])
    both_kg, _ = load_transfer(load_kg, behind_m, vehicle, -n, 0.01 * n, 0.0)
    alone_kg, _ = load_transfer(load_kg[2:], behind_m[2:], vehicle[2:] - 1, -n[2:], n[2:] / 100, 0)
    assert np.array_equal(both_kg[2:], alone_kg)


def test_one_axle_has_nowhere_to_move_its_load() -> None:
    n = np.ones(1)
    transfer_kg, _ = load_transfer(5_000 * n, 0 * n, np.zeros(1, int), -3 * n, 0.01 * n, 0.05)
    assert transfer_kg == pytest.approx([0.0])
