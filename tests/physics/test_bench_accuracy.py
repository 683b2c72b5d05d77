"""The bench's own parts: a bound that theory knows, tables, pictures, a comparison with truth."""

from __future__ import annotations

import os
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edge.errors import InputError
from edge.records import Flag
from simulator.bench import adversarial, tables
from simulator.bench.accuracy import CELLS, FULL, QUICK, SPACED, Report
from simulator.bench.adversarial import Outcome
from simulator.bench.again import conditions_that_miss, later_of, misses, rows_that_miss
from simulator.bench.bound import Readings, fused, plate_readings, strip_readings
from simulator.bench.cells import Cell, Sample
from simulator.bench.drive import flag_names
from simulator.bench.figures import ANCHOR, figures_of
from simulator.bench.free_flow import Counted
from simulator.bench.jobs import Job, together
from simulator.bench.plots import Curve, plot
from simulator.bench.report import (
    BEGIN,
    END,
    markdown,
    parts_of,
    pictures,
    read_figures,
    write_page,
)
from simulator.bench.rows import Row, row_of
from simulator.bench.targets import TARGETS, target_lines
from simulator.fleet import reference_vehicle

CELL = Cell("strips_4", "A", 60.0)
LANE = CELL.station().lanes_of("D1")[0]
LORRY = reference_vehicle(1, "157", 0.0, np.random.default_rng(1))


def test_independent_readings_give_the_inverse_variance_mean() -> None:
    variance = np.array([1.0, 4.0, 4.0, 9.0])
    weight, covariance = fused(Readings(np.array([0, 0, 1, 1]), np.diag(variance)))
    np.testing.assert_allclose(weight, [[0.8, 0.2, 0, 0], [0, 0, 9 / 13, 4 / 13]])
    np.testing.assert_allclose(covariance, np.diag([0.8, 36 / 13]))


def test_the_bound_is_unbiased_and_never_above_the_mean_or_an_axle_alone() -> None:
    readings = strip_readings(LORRY, CELL.speed_kmh / 3.6, LANE, CELL.scenario())
    weight, joint = fused(readings)
    np.testing.assert_allclose(weight @ readings.design(), np.eye(6), atol=1e-9)
    mean = readings.design().T / 4
    of_mean = np.diag(mean @ readings.covariance_kg2 @ mean.T)
    same = readings.axle[:, None] == readings.axle
    alone = np.diag(fused(Readings(readings.axle, readings.covariance_kg2 * same))[1])
    assert (np.diag(joint) <= alone + 1e-6).all()
    assert (alone <= of_mean + 1e-6).all()


def test_the_bound_grows_with_the_road_and_falls_with_the_speed_on_plates() -> None:
    speed_mps = 30 / 3.6
    rough = Cell("strips_4", "B", 30.0)
    smooth, bumpy = (
        fused(strip_readings(LORRY, speed_mps, LANE, cell.scenario()))[1] for cell in (CELL, rough)
    )
    # Road B has four times the PSD of road A: twice the scatter, but for noise and lateral spread.
    assert np.sqrt(np.diag(bumpy) / np.diag(smooth)) == pytest.approx(2.0, abs=0.15)
    plates = Cell("plates_2", "A", 10.0)
    lane = plates.station().lanes_of("D1")[0]
    slow, fast = (
        np.diag(fused(plate_readings(LORRY, kmh / 3.6, lane, plates.scenario()))[1])
        for kmh in (5.0, 30.0)
    )
    assert slow.sum() < fast.sum()


def sample(error_rel: float, u_rel: float) -> Sample:
    vehicle = np.repeat(np.arange(50), 2)
    true_kg = np.full(100, 8_000.0)
    sign = np.resize([1, 1, -1, -1], 100)
    load_kg = true_kg * (1 + error_rel * sign)
    u_kg = np.full(100, 8_000.0 * u_rel)
    gross = np.full(50, 16_000.0)
    half = true_kg + (load_kg - true_kg) / 2
    return Sample(
        vehicle, true_kg, load_kg, u_kg, load_kg, half, half, half, u_kg, u_kg,
        gross, gross * u_rel, gross * u_rel, 52, 1, 1,
    )  # fmt: skip


def test_a_row_tells_scatter_coverage_ratio_and_class() -> None:
    row = row_of(CELL, sample(0.01, 0.006))
    assert (row.axle_sd, row.axle_bias) == pytest.approx((1.0, 0.0), abs=1e-9)
    assert (row.ratio, row.joint_ratio) == pytest.approx((2.0, 2.0))
    assert (row.coverage, row.gross_coverage) == (100.0, 100.0)
    assert row_of(CELL, sample(0.01, 0.005)).coverage == 0.0
    # 30 runs of class 5 (2.5 % initially) need 0.80 %, those of class 10 (5 %) 1.59 %.
    assert row.mass_class == "10"
    assert row_of(CELL, sample(0.007, 0.005)).mass_class == "5"


def test_standard_errors_are_those_of_the_sampling() -> None:
    """Cells drawn anew scatter as the bootstrap of each of them says; axles come in vehicles."""
    chance = np.random.default_rng(3)
    rows = [row_of(CELL, clustered(chance)) for _ in range(150)]
    for field in ("axle_sd", "coverage", "mean_ratio"):
        seen = np.std([getattr(row, field) for row in rows])
        told = np.mean([row.se[field] for row in rows])
        assert told == pytest.approx(seen, rel=0.2), field
    # As if axles were independent the standard error would be half of that.
    alone = rows[0].axle_sd / np.sqrt(2 * 60 * 4)
    assert rows[0].se["axle_sd"] > 1.5 * alone


def clustered(chance: np.random.Generator) -> Sample:
    """Sixty vehicles whose four axles share their error."""
    vehicle = np.repeat(np.arange(60), 4)
    error = np.repeat(chance.normal(0, 0.02, 60), 4)
    true_kg = np.full(240, 8_000.0)
    load_kg = true_kg * (1 + error)
    mean_kg = load_kg + chance.normal(0, 100.0, 240)
    u_kg = np.full(240, 8_000.0 * 0.02)
    gross = np.full(60, 32_000.0)
    return Sample(
        vehicle, true_kg, load_kg, u_kg, mean_kg, mean_kg, mean_kg, mean_kg, u_kg, u_kg,
        gross, gross * 0.02, gross * 0.02, 60, 0, 0,
    )  # fmt: skip


def outcome(kind: str, number: int = 1) -> Outcome:
    return Outcome("straddle", 3, number, "1", kind, False, "detail")


def test_the_adversarial_table_counts_vehicles_not_ghosts() -> None:
    told = [outcome("right"), outcome("flagged", 2), outcome("missed", 3), outcome("wrong", 0)]
    (case,) = adversarial.table(told)
    assert (case.vehicles, case.right, case.flagged, case.wrong, case.missed) == (3, 1, 1, 1, 1)
    assert case.wrong_pct == pytest.approx(100 / 3)
    assert flag_names(Flag.GAP | Flag.REVERSED) == "GAP REVERSED"


def report() -> Report:
    rows = tuple(row_of(Cell("strips_4", "A", kmh), sample(0.01, 0.006)) for kmh in (20.0, 79.0))
    spaced = tuple(row_of(cell, sample(0.01, 0.006)) for cell in SPACED)
    told = (outcome("wrong"), *(outcome("right", n) for n in range(2, 41)))
    free = Counted(vehicles=2_000, right=1_999, wrong=1)
    return Report(rows, told, figures_of(rows, spaced, told, free, (3, 100)), spaced)


def test_figures_name_the_cell_and_the_standard_error_of_their_largest() -> None:
    rows: list[Row] = [
        row_of(Cell("strips_4", "A", 20.0), sample(0.01, 0.006)),
        row_of(ANCHOR, clustered(np.random.default_rng(1))),
    ]
    free = Counted(vehicles=2_000, right=1_999, missed=1)
    found = figures_of(rows, (), [outcome("right")], free, (3, 100))
    worst = max(rows, key=lambda r: r.mean_ratio)
    assert found["accuracy.strip_sd_over_mean_max"] == pytest.approx(worst.mean_ratio, abs=1e-4)
    assert found["accuracy.strip_sd_over_mean_max_cell"] == worst.cell.name
    assert found["accuracy.axle_count_right_pct"] == pytest.approx(99.95)
    assert found["accuracy.false_over_at_limit_pct"] == 3.0
    gain = found["accuracy.gain_over_mean_4rows_79kmh_pct"]
    assert gain == pytest.approx(100 * (1 - rows[1].mean_ratio), abs=1e-3)
    # Nothing wrong among one is no proof: its standard error is not zero.
    assert found["accuracy.adversarial_wrong_unflagged_max_se"] == 100.0


def test_what_misses_is_measured_again_and_the_second_figure_counts() -> None:
    wide, narrow = sample(0.01, 0.02), clustered(np.random.default_rng(2))
    first = [row_of(Cell("strips_4", "A", kmh), wide) for kmh in (20.0, 30.0)]
    single = row_of(Cell("strips_1", "A", 20.0), wide)
    good = row_of(Cell("strips_4", "B", 20.0), narrow)
    assert rows_that_miss([*first, single, good]) == first
    assert [e.figure for e in misses(first[0])][-1] == "coverage95_cell_max_pct"
    again = [row_of(row.cell, narrow) for row in first]
    told = [outcome("right", n) for n in range(1, 999)]
    assert conditions_that_miss([*told, outcome("wrong", 999), outcome("right", 1000)]) == []
    told += [outcome("wrong", 999), outcome("wrong", 1000)]
    assert conditions_that_miss(told) == ["straddle"]
    other = replace(outcome("right"), condition="free_flow")
    retold = [outcome("wrong", n) for n in range(1, 5)]
    rows, outcomes = later_of([first[0], good, first[1]], [*told, other], again, retold)
    assert rows == (again[0], good, again[1])
    assert outcomes == (other, *retold)
    shown = tables.again(first, rows, told, outcomes)
    assert "| strips_4 A 20: coverage | 100.000" in shown
    assert "| straddle: wrong, unflagged % | 0.2 (2) | 1000 | 100 (4) | 4 |" in shown
    assert tables.again((), rows, (), outcomes) == ""
    assert QUICK.again == 0


def test_targets_tell_what_is_met_missed_and_missed_by_chance() -> None:
    figures: dict[str, float | str] = {
        "accuracy.axle_count_right_pct": 99.96,
        "accuracy.gain_over_mean_4rows_79kmh_pct": 3.0,
        "accuracy.gain_over_mean_4rows_79kmh_se": 1.0,
        "accuracy.strip_sd_over_mean_max": 1.01,
        "accuracy.strip_sd_over_mean_max_se": 0.008,
        "accuracy.strip_sd_over_mean_max_cell": "strips_4 B 70",
    }
    told = {t.figure: line for t, line in zip(TARGETS, target_lines(figures), strict=True)}
    assert told["accuracy.axle_count_right_pct"][-1] == "达到 / met"
    assert "**" in told["accuracy.gain_over_mean_4rows_79kmh_pct"][-1]
    assert "within chance" in told["accuracy.strip_sd_over_mean_max"][-1]
    assert "`strips_4 B 70`" in told["accuracy.strip_sd_over_mean_max"][-2]
    assert told["live.step_ms_p99"][-1] == "未测 / not measured"
    # A report without plates tells all figures that are aimed at but theirs.
    wanted = {t.figure for t in TARGETS if t.figure.startswith("accuracy.")}
    assert {name for name in wanted - set(report().figures) if "plate" not in name} == set()


def test_pages_keep_their_text_and_pictures_are_well_formed(tmp_path: Path) -> None:
    done = report()
    figures = {**done.figures, "speed.ratio": 0.07, "speed.machine": "a machine"}
    page = tmp_path / "page.md"
    page.write_text(
        f"before\n{BEGIN.format('summary')}\nobsolete\n{END}\nreasons\n"
        f"{BEGIN.format('details')}\n{END}\nafter\n"
    )
    for _ in range(2):
        write_page(done, figures, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "reasons" in text
    assert "obsolete" not in text
    assert all(part in text for part in parts_of(done, figures).values())
    assert "straddle, seed 3, vehicle 1" in text
    assert "a machine" in text
    assert text.count("#### strips_4") == 1
    drawn = pictures(done)
    assert {"accuracy-strips_4-A.svg", "accuracy-spacing.svg"} <= set(drawn)
    assert all(f"images/{name}" in text for name in drawn)
    for picture in drawn.values():
        ElementTree.fromstring(picture)
    (tmp_path / "bare.md").write_text("no marks")
    with pytest.raises(InputError):
        write_page(done, figures, tmp_path / "bare.md")


def test_the_text_on_distances_follows_the_figures() -> None:
    """The bounds of this sample are half as wrong as the mean, which Steelyard takes."""
    text = markdown(report(), {})
    assert "Steelyard: nowhere" in text
    assert "the joint bound: 0.5, 0.75, 1, 1.5, 2, 2.78, 3.5, 4 m." in text
    assert "gains 50.0 %" in text
    assert "physics allows it" in text


def test_other_benches_bring_flat_figures(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text('{"live.x": 1.5, "live.machine": "m"}')
    assert read_figures([good]) == {"live.x": 1.5, "live.machine": "m"}
    for content in ('{"a": [1]}', "nonsense", "[1]"):
        bad.write_text(content)
        with pytest.raises(InputError):
            read_figures([good, bad])
    with pytest.raises(InputError):
        read_figures([tmp_path / "none.json"])


def test_the_full_table_has_every_cell_once_and_enough_of_each() -> None:
    assert len(set(CELLS)) == len(CELLS) == 144
    assert min(FULL.vehicles_of(cell) for cell in CELLS) >= 100
    spacings = {cell.spacing_m: cell.station().lanes_of("D1")[0].rows for cell in SPACED}
    for spacing_m, rows in spacings.items():
        apart = np.diff([row.position_m for row in rows])
        np.testing.assert_allclose(apart, spacing_m, atol=2e-3)


@pytest.fixture(autouse=True, scope="module")
def _tracker() -> None:
    """Python's own helper of spawned processes stays until the end: it is no leak of a test."""
    resource_tracker.ensure_running()


def test_jobs_come_back_in_order_and_progress_counts_their_cost() -> None:
    told: list[float] = []
    jobs = [Job(divmod, (7, n), cost) for n, cost in ((1, 1.0), (2, 8.0), (3, 1.0))]
    assert together(jobs, told.append) == [(7, 0), (3, 1), (2, 1)]
    assert told[-1] == 1.0
    assert sorted(np.diff([0.0, *told]).round(6)) == [0.1, 0.1, 0.8]


def test_a_job_that_fails_stops_the_rest(tmp_path: Path) -> None:
    marks = [Job(os.system, (f"sleep 0.2; : > {tmp_path}/{n}",)) for n in range(200)]
    with pytest.raises(ZeroDivisionError):
        together([Job(divmod, (1, 0), 9.0), *marks], lambda _: None)
    assert len(list(tmp_path.iterdir())) < len(marks)


def test_a_plot_leaves_out_what_is_no_number_and_escapes_names() -> None:
    picture = plot("a < b", "x", "y", [Curve("<c>", [1, 2, 3], [1.0, float("nan"), 3.0])])
    tree = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f"{space}circle")) == 2
    with pytest.raises(ValueError, match="nothing"):
        plot("t", "x", "y", [Curve("c", [1], [float("nan")])])
