"""Accuracy classes: the published table of scatter, and limits without forgiveness."""

from __future__ import annotations

import pytest

from calibration.classes import MASS_CLASSES, best_class, sigma_to_pass


@pytest.mark.parametrize(
    ("limit_pct", "runs", "sigma_pct"),
    [
        (0.1, 10, 0.036),
        (0.5, 10, 0.179),
        (1.0, 30, 0.319),
        (2.5, 30, 0.797),
        (3.5, 10, 1.25),
        (5.0, 90, 1.45),
    ],
)
def test_scatter_that_passes(limit_pct, runs, sigma_pct):
    assert sigma_to_pass(limit_pct, runs) == pytest.approx(sigma_pct, rel=0.01)


def test_more_runs_ask_for_less_scatter():
    sigmas = [sigma_to_pass(1.0, runs) for runs in (1, 10, 30, 90)]
    assert sigmas == sorted(sigmas, reverse=True)
    assert sigma_to_pass(1.0, 30, 0.5) > sigma_to_pass(1.0, 30)
    for runs, probability in ((0, 0.95), (3, 0.0), (3, 1.0)):
        with pytest.raises(ValueError, match="runs"):
            sigma_to_pass(1.0, runs, probability)


def test_every_run_counts_for_the_class():
    assert best_class([0.05, -0.1, 0.02]).name == "0.2"
    assert best_class([0.05, -2.5]).name == "5"
    assert best_class([0.05, -2.51]).name == "10"
    assert best_class([0.05, -2.51], in_service=True).name == "5"
    assert best_class([11.0], in_service=True) is None
    assert best_class([]) is None


def test_memory_is_never_verified():
    assert all(c.initial_verified for c in MASS_CLASSES)
    assert [c.name for c in MASS_CLASSES if c.in_service_verified] == ["10"]
