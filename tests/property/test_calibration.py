"""Relations that every fit keeps, whatever the sensors and the runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.fit import LaneRuns, fit_gains

STATIC_KG = np.array([6_000.0, 11_000.0])


def lane_runs(seed: int, reading: np.ndarray, dynamic_rel: float) -> LaneRuns:
    rng = np.random.default_rng(seed)
    bounce = 1 + dynamic_rel * rng.standard_normal((14, 2, len(reading), 1))
    wheel_kg = STATIC_KG[:, None, None] / 2 * bounce * reading
    share = STATIC_KG[None] / STATIC_KG.sum()
    one, three = np.zeros(14, dtype=np.int64), np.arange(14) % 3
    return LaneRuns(wheel_kg, one, three, STATIC_KG.sum(keepdims=True), share)


gains = st.lists(st.floats(0.5, 2.0), min_size=2, max_size=5)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), gains)
def test_without_noise_every_row_makes_the_reference(seed, row_gains):
    reading = np.array(row_gains)[:, None] * [1.0, 1.0]
    runs = lane_runs(seed, reading, 0.0)
    fit = fit_gains(runs)
    rows = (runs.wheel_kg * fit.correction).sum(axis=-1)
    assert rows == pytest.approx(np.broadcast_to(STATIC_KG[:, None], rows.shape), rel=1e-6)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), gains, st.floats(0.2, 5.0))
def test_scaling_the_readings_scales_the_corrections_back(seed, row_gains, factor):
    runs = lane_runs(seed, np.array(row_gains)[:, None] * [1.1, 0.9], 0.04)
    scaled = replace(runs, wheel_kg=factor * runs.wheel_kg)
    plain, other = fit_gains(runs), fit_gains(scaled)
    assert factor * other.correction == pytest.approx(plain.correction, rel=1e-5)
    assert other.u_row_rel == pytest.approx(plain.u_row_rel, rel=1e-3, abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), gains)
def test_left_and_right_are_treated_alike(seed, row_gains):
    runs = lane_runs(seed, np.array(row_gains)[:, None] * [1.05, 0.95], 0.04)
    mirrored = replace(runs, wheel_kg=runs.wheel_kg[..., ::-1])
    plain, other = fit_gains(runs), fit_gains(mirrored)
    assert other.correction[:, ::-1] == pytest.approx(plain.correction, rel=1e-6)
    assert (plain.u_split_rel > 0).all()
