"""Fusing, learning, uncertainty: relations that hold whatever the constants are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from edge.core.fitting import fit
from edge.core.learn import Variogram
from edge.core.modes import KINDS, PRIOR, Dynamics, kind_of, lie_correlation, oscillation
from edge.core.uncertainty import Fusion, Observations, axle_variance, fuse, sum_variance
from edge.records import Flag, Floats, Indices, LaneLayout, Passage, Row

SPACING_M = 2.8
RATE_HZ = 2_000.0


def lane(rows: int) -> LaneLayout:
    strips = (Row(i * SPACING_M, 0.07, "strip", 2 * i, 2 * i + 1) for i in range(rows))
    return LaneLayout("L1", tuple(strips))


def fading(lag_s: Floats, hz: float, u_hz: float) -> Floats:
    """A mode of a fleet that is none of the core's: its memory fades in another way."""
    fade = 2 * np.pi * u_hz * np.abs(lag_s)
    return np.asarray(np.cos(2 * np.pi * hz * lag_s) * np.exp(-(fade**1.5)))


class Lorries:
    """Five-axle lorries whose axles swing as two damped modes, all axles partly together."""

    def __init__(
        self,
        rows: int,
        mps: float,
        seed: int,
        *,
        sd: float = 0.05,
        hz: float = 2.0,
        uneven: float = 0.0,
    ):
        self.rows, self.mps, self.uneven = rows, mps, uneven
        self.lane = lane(rows)
        self.load_kg = np.array([6_000.0, 10_000, 8_000, 8_000, 8_000])
        self.behind_m = np.array([0.0, 3.5, 9.5, 10.8, 12.1])
        self.group = np.array([0, 1, 2, 2, 2])
        self.time_s = (self.behind_m[:, None] + np.arange(rows) * SPACING_M) / mps
        lag_s = self.time_s[0][:, None] - self.time_s[0]
        force = 0.8 * fading(lag_s, hz, 0.4) + 0.2 * fading(lag_s, 11.0, 2.0)
        alike = 0.5 + 0.5 * np.eye(5)
        self.covariance = sd**2 * np.kron(alike, force + 0.02 * np.eye(rows))
        self._root = np.linalg.cholesky(self.covariance)
        self._chance = np.random.default_rng(seed)

    def seen(self, n: int = 1, row_bias: Floats | float = 0.0) -> Observations:
        """Readings of ``n`` lorries, one after the other."""
        swing = self._chance.standard_normal((n, len(self._root))) @ self._root.T
        swing *= np.exp(self.uneven * self._chance.standard_normal((n, 1)))
        rel = 1 + swing.reshape(n, 5, self.rows) + row_bias
        load_kg = (rel * self.load_kg[:, None]).reshape(-1, self.rows)
        return observations(load_kg, np.tile(self.time_s, (n, 1)))

    def vehicle(self, n: int) -> Indices:
        return np.repeat(np.arange(n), 5)

    def fused(self, seen: Observations, dynamics: Dynamics = PRIOR) -> Fusion:
        vehicle = self.vehicle(len(seen.load_kg) // 5)
        return fuse(seen, np.full(len(vehicle), self.mps), vehicle, [dynamics])

    def passages(self, n: int, row_bias: Floats | float = 0.0) -> list[Passage]:
        """The same as passages, with the fields that learning reads."""
        seen = self.seen(n, row_bias)
        load_kg = self.fused(seen).load_kg
        return [
            self._passage(load_kg[i : i + 5], seen.load_kg[i : i + 5]) for i in range(0, 5 * n, 5)
        ]

    def _passage(self, load_kg: Floats, row_load_kg: Floats, flags: Flag = Flag.NONE) -> Passage:
        class Table(SimpleNamespace):
            def __len__(self) -> int:
                return len(load_kg)

        table = Table(load_kg=load_kg, row_load_kg=row_load_kg, row_sample=self.time_s * RATE_HZ)
        groups = [SimpleNamespace(count=c) for c in np.bincount(self.group)]
        clip = SimpleNamespace(rate_hz=RATE_HZ)
        passage = SimpleNamespace(
            axles=table, groups=groups, clip=clip, flags=flags, speed_mps=self.mps
        )
        return cast(Passage, passage)


def observations(load_kg: Floats, time_s: Floats) -> Observations:
    columns = np.arange(load_kg.shape[1])
    each = np.full(load_kg.shape, 1.0)
    return Observations(load_kg, time_s, 0.015 * each, 3.0 * each, columns)


def learned(passages: list[Passage], rows: int) -> Variogram:
    variogram = Variogram.empty(lane(rows))
    for passage in passages:
        variogram.add(passage)
    return variogram


@pytest.mark.parametrize("rows", [2, 3, 4, 8])
def test_weights_sum_to_one_and_more_rows_know_more(rows: int) -> None:
    more = Lorries(rows, 18.0, 1)
    calm = np.repeat(more.load_kg[:, None], rows, axis=1)
    fusion = more.fused(observations(calm, more.time_s))
    fewer = more.fused(observations(calm[:, :-1], more.time_s[:, :-1]))
    assert fusion.weight.sum(axis=1) == pytest.approx([1.0] * 5)
    assert fusion.load_kg == pytest.approx(more.load_kg)
    assert (fusion.u_kg < fewer.u_kg).all()


def test_one_vehicle_is_weighed_alike_alone_and_among_many() -> None:
    lorries = Lorries(4, 18.0, 2)
    seen = lorries.seen(23)
    together = lorries.fused(seen)
    for first in range(0, len(seen.load_kg), 5):
        part = slice(first, first + 5)
        alone = lorries.fused(observations(seen.load_kg[part].copy(), seen.time_s[part].copy()))
        assert np.array_equal(alone.load_kg, together.load_kg[part])
        assert np.array_equal(alone.u_kg, together.u_kg[part])


def test_sums_of_axles_follow_from_the_whole_covariance() -> None:
    lorries = Lorries(4, 18.0, 3)
    n = 3
    fusion = lorries.fused(lorries.seen(n))
    vehicle = lorries.vehicle(n)
    group = np.tile(lorries.group, n) + 3 * vehicle
    shared_kg = np.random.default_rng(4).standard_normal((5 * n, 3)) * 20
    same = (group[:, None] == group) * fusion.group_correlation[:, None]
    other = (group[:, None] != group) * fusion.axle_correlation[:, None]
    full = (same + other) * np.outer(fusion.u_kg, fusion.u_kg)
    np.fill_diagonal(full, fusion.u_kg**2)
    full += shared_kg @ shared_kg.T
    axles = np.diag(full)
    assert axle_variance(fusion, shared_kg) == pytest.approx(axles)
    for part in (group, vehicle):
        into = (part[:, None] == np.unique(part)).astype(float)
        assert sum_variance(fusion, shared_kg, group, part) == pytest.approx(
            np.diag(into.T @ full @ into)
        )


def test_a_row_that_contradicts_all_others_is_left_out() -> None:
    lorries = Lorries(4, 5.0, 5, sd=0.01)
    broken = lorries.seen(6, np.array([0.0, 0.0, -0.6, 0.0]))
    fusion = lorries.fused(broken)
    assert fusion.left_out[:, 2].all()
    assert not fusion.left_out[:, [0, 1, 3]].any()
    assert fusion.weight[:, 2] == pytest.approx(0.0)
    assert fusion.load_kg == pytest.approx(np.tile(lorries.load_kg, 6), rel=0.05)


def test_a_lorry_that_swings_keeps_its_rows() -> None:
    lorries = Lorries(4, 22.0, 6, sd=0.12)
    assert not lorries.fused(lorries.seen(300)).left_out.any()


def test_a_row_that_is_off_for_all_traffic_is_named() -> None:
    lorries = Lorries(4, 18.0, 17, sd=0.06)
    good = learned(lorries.passages(60), 4)
    bad = learned(lorries.passages(60, np.array([0.0, 0.0, 0.0, 0.25])), 4)
    assert good.rows_off() == ()
    assert bad.rows_off() == (3,)
    assert Variogram.empty(lane(4)).rows_off() == ()


def test_two_rows_that_differ_are_both_kept() -> None:
    lorries = Lorries(2, 5.0, 7, sd=0.01)
    assert not lorries.fused(lorries.seen(4, np.array([0.0, -0.6]))).left_out.any()


@pytest.mark.parametrize(
    ("hz", "u_hz", "damping"), [(1.6, 0.1, 0.05), (4.7, 0.7, 0.2), (11, 2, 0.4)]
)
def test_modes_are_positive_definite_for_any_times(hz: float, u_hz: float, damping: float) -> None:
    times = np.sort(np.random.default_rng(8).uniform(0, 3, 40))
    lag = times[:, None] - times
    assert np.linalg.eigvalsh(oscillation(lag, hz, u_hz, damping)).min() > -1e-9
    assert np.linalg.eigvalsh(lie_correlation(10 * lag)).min() > -1e-9
    assert oscillation(np.zeros(1), hz, u_hz, damping) == lie_correlation(np.zeros(1)) == 1.0


def test_nothing_seen_is_nothing_learned() -> None:
    assert fit(Variogram.empty(lane(4))) == PRIOR


def test_flagged_passages_and_missing_rows_teach_nothing() -> None:
    lorries = Lorries(4, 18.0, 9)
    clean = lorries.passages(1)[0]
    variogram = Variogram.empty(lane(4))
    flagged = lorries._passage(clean.axles.load_kg, clean.axles.row_load_kg, Flag.SPEED_CHANGE)
    holed_kg = clean.axles.row_load_kg.copy()
    holed_kg[1, 2] = np.nan
    assert not variogram.add(flagged)
    assert not variogram.add(lorries._passage(clean.axles.load_kg, holed_kg))
    assert variogram.vehicles == 0
    assert variogram.add(clean)
    assert variogram.vehicles == 1


def test_order_and_parts_of_the_traffic_do_not_matter() -> None:
    passages = Lorries(4, 18.0, 10).passages(30)
    whole = learned(passages, 4)
    parts = learned(passages[20:], 4) + learned(passages[:20][::-1], 4)
    assert np.array_equal(whole.pairs, parts.pairs)
    assert np.array_equal(whole.whole, parts.whole)
    assert fit(whole).sha256 == fit(parts).sha256
    with pytest.raises(ValueError, match="two lanes"):
        whole + Variogram.empty(lane(3))


def test_what_was_learned_survives_the_file_and_weighs_the_same() -> None:
    lorries = Lorries(4, 18.0, 11)
    dynamics = fit(learned(lorries.passages(40), 4))
    again = Dynamics.from_json(dynamics.to_json())
    seen = lorries.seen(3)
    assert again == dynamics
    assert again.sha256 == dynamics.sha256 != PRIOR.sha256
    assert np.array_equal(lorries.fused(seen, dynamics).load_kg, lorries.fused(seen, again).load_kg)


@pytest.mark.parametrize("text", ["", "[]", '{"version":1}', '{"version":1,"kinds":[],"cells":[]}'])
def test_no_dynamics_in_a_wrong_file(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|dynamics|value"):
        Dynamics.from_json(text)


@pytest.mark.parametrize(("rows", "sd"), [(2, 0.03), (3, 0.1), (4, 0.03), (4, 0.1), (8, 0.06)])
def test_uncertainty_is_true_once_learned(rows: int, sd: float) -> None:
    lorries = Lorries(rows, 18.0, 12, sd=sd, uneven=0.35)
    dynamics = fit(learned(lorries.passages(150), rows))
    n = 400
    fusion = lorries.fused(lorries.seen(n), dynamics)
    vehicle = lorries.vehicle(n)
    group = np.tile(lorries.group, n) + 3 * vehicle
    error_kg = fusion.load_kg - np.tile(lorries.load_kg, n)
    nothing = np.zeros((5 * n, 1))
    of_axle, of_gross = np.arange(5 * n), vehicle
    for part, variance in (
        (of_axle, axle_variance(fusion, nothing)),
        (of_gross, sum_variance(fusion, nothing, group, vehicle)),
    ):
        u_kg = np.sqrt(variance)
        inside = np.abs(np.bincount(part, error_kg)) < 1.96 * u_kg
        assert 0.9 < inside.mean() < 0.995


@pytest.mark.parametrize(("rows", "mps"), [(3, 18.0), (4, 9.0), (4, 22.0), (8, 22.0)])
def test_learned_weights_stand_near_the_bound_and_below_the_mean(rows: int, mps: float) -> None:
    lorries = Lorries(rows, mps, 13, sd=0.08)
    dynamics = fit(learned(lorries.passages(150), rows))
    weight = lorries.fused(lorries.seen(1), dynamics).weight[1]
    one = lorries.covariance[rows : 2 * rows, rows : 2 * rows]
    bound = 1 / np.linalg.solve(one, np.ones(rows)).sum()
    assert np.sqrt(weight @ one @ weight / bound) < 1.05
    assert weight @ one @ weight < 1.01 * one.mean()


@pytest.mark.parametrize("rows", [3, 4, 8])
@pytest.mark.parametrize("mps", [5.0, 14.0, 22.0])
def test_weights_for_the_expected_modes_cost_little_where_any_may_be(rows: int, mps: float) -> None:
    lorries = Lorries(rows, mps, 18)
    weight = lorries.fused(lorries.seen(1)).weight[1]
    lag_s = lorries.time_s[1][:, None] - lorries.time_s[1]
    forces = [fading(lag_s, hz, 0.3) for hz in np.geomspace(1.0, 12.0, 60).tolist()]
    ours, plain = (sum(w @ f @ w for f in forces) for w in (weight, np.full(rows, 1 / rows)))
    assert ours < 1.02**2 * plain


def test_an_axle_that_no_row_can_speak_for_spoils_no_other() -> None:
    lorries = Lorries(4, 18.0, 19)
    seen = lorries.seen(2)
    seen.load_kg[2] = np.nan
    fusion = lorries.fused(seen)
    others = np.arange(10) != 2
    assert np.isnan([fusion.load_kg[2], fusion.u_kg[2]]).all()
    assert np.isfinite(fusion.load_kg[others]).all()
    assert (fusion.u_kg[others] > 0).all()
    u_kg = np.sqrt(sum_variance(fusion, np.zeros((10, 1)), np.arange(10), lorries.vehicle(2)))
    assert np.array_equal(np.isnan(u_kg), [True, False])


def test_known_loads_tell_what_all_rows_share() -> None:
    lorries = Lorries(3, 22.0, 14, sd=0.1, hz=0.4)
    blind, told = Variogram.empty(lane(3)), Variogram.empty(lane(3))
    for passage in lorries.passages(120):
        blind.add(passage)
        told.add(passage, lorries.load_kg)
    seen = lorries.seen(300)
    true_sd = np.std(lorries.fused(seen).load_kg / np.tile(lorries.load_kg, 300) - 1)
    guess, known = (
        np.sqrt(np.mean((lorries.fused(seen, fit(v)).u_kg / np.tile(lorries.load_kg, 300)) ** 2))
        for v in (blind, told)
    )
    assert abs(np.log(known / true_sd)) < abs(np.log(guess / true_sd))


def test_the_fixed_road_is_taken_off_and_chance_is_not() -> None:
    bias = np.array([0.06, -0.02, -0.05, 0.01])
    still, moved = Lorries(4, 18.0, 15, sd=0.03), Lorries(4, 18.0, 15, sd=0.03)
    no_bias = fit(learned(still.passages(80), 4))
    with_bias = fit(learned(moved.passages(80, bias), 4))
    kind = int(kind_of(np.array(5), np.array(8_000.0)))
    found = [cells[kind].row_bias for cells in with_bias.cells if cells[kind].row_bias]
    chance = [cells[kind].row_bias for cells in no_bias.cells if cells[kind].row_bias]
    scale = (8_000 / 6_000) ** 0.75
    assert np.array(found[0]) == pytest.approx(bias * scale, abs=0.015)
    assert np.abs(chance[0]).max() < 0.012
    seen = moved.seen(200, bias)
    spread = [np.mean(moved.fused(seen, d).u_kg) for d in (no_bias, with_bias)]
    assert spread[1] < 0.9 * spread[0]


def test_light_and_laden_two_axles_and_more_are_kinds_of_their_own() -> None:
    kinds = {int(kind_of(np.array(n), np.array(kg))) for n in (2, 5) for kg in (3_000.0, 9_000.0)}
    assert kinds == set(range(KINDS))
    heavy = replace(PRIOR.cells[0][3], bounce=1.0)
    cells = tuple((*row[:3], heavy) for row in PRIOR.cells)
    noisy = Dynamics(1, PRIOR.kinds, cells)
    lorries = Lorries(3, 18.0, 16)
    seen = lorries.seen(1)
    assert (lorries.fused(seen, noisy).u_kg > 2 * lorries.fused(seen).u_kg).all()


@pytest.mark.parametrize("mps", [1.2, 2.0, 4.0, 8.0, 12.0])
def test_plateaus_of_a_fleet_are_not_read_worse_than_by_their_mean(mps: float) -> None:
    parts, flat_m = 8, 0.5
    at_m = ((np.arange(parts) + 0.5) / parts - 0.5) * flat_m
    time_s = (at_m[:, None] + np.array([0.0, 2.4])).ravel() / mps
    lag_s = time_s[:, None] - time_s
    # One whole bounce on the plate is the mean's best case; a fleet has all frequencies.
    bounce = np.mean([fading(lag_s, hz, 0.2) for hz in (1.4, 1.7, 2.0, 2.4, 3.0)], axis=0)
    force = 0.9 * bounce + 0.1 * fading(lag_s, 11.0, 2.0)
    n = np.ones((5, 2 * parts))
    seen = Observations(
        8_000 * n, time_s * n, flat_m / parts / mps * n, 3 * n, np.tile([0, 1], parts)
    )
    weight = fuse(seen, np.full(5, mps), np.zeros(5, np.int64)).weight[2]
    assert weight @ force @ weight < 1.01 * force.mean()


def test_a_plate_that_holds_a_bounce_beats_its_mean() -> None:
    flat_s = 0.3
    time_s = (np.arange(8) + 0.5) / 8 * flat_s
    lag_s = time_s[:, None] - time_s
    force = fading(lag_s, 2.2, 0.3)
    n = np.ones((5, 8))
    seen = Observations(8_000 * n, time_s * n, flat_s / 8 * n, 3 * n, np.zeros(8, np.int64))
    weight = fuse(seen, np.full(5, 1.8), np.zeros(5, np.int64)).weight[2]
    assert weight @ force @ weight < 0.8 * force.mean()
