"""The bench's own parts: a bound that theory knows, tables, pictures, a comparison with truth."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from edge.errors import InputError
from edge.records import Flag
from simulator.bench import adversarial
from simulator.bench.accuracy import Report, row_of
from simulator.bench.adversarial import Outcome
from simulator.bench.bound import Readings, fused, plate_readings, strip_readings
from simulator.bench.cells import Cell, Sample
from simulator.bench.drive import flag_names
from simulator.bench.plots import Curve, plot
from simulator.bench.report import BEGIN, END, markdown, pictures, write_page
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


def outcome(kind: str, number: int = 1) -> Outcome:
    return Outcome("straddle", 3, number, "1", kind, False, "detail")


def test_the_adversarial_table_counts_vehicles_not_ghosts() -> None:
    told = [outcome("right"), outcome("flagged", 2), outcome("missed", 3), outcome("wrong", 0)]
    (case,) = adversarial.table(told)
    assert (case.vehicles, case.right, case.flagged, case.wrong, case.missed) == (3, 1, 1, 1, 1)
    assert case.wrong_pct == pytest.approx(100 / 3)
    assert flag_names(Flag.GAP | Flag.REVERSED) == "GAP REVERSED"


def test_pages_keep_their_text_and_pictures_are_well_formed(tmp_path: Path) -> None:
    rows = tuple(row_of(Cell("strips_4", "A", kmh), sample(0.01, 0.006)) for kmh in (20.0, 79.0))
    report = Report(rows, (outcome("wrong"),), {"accuracy.x": 1.5})
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nobsolete\n{END}\nafter\n")
    write_page(report, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "obsolete" not in text
    assert markdown(report) in text
    assert "straddle, seed 3, vehicle 1" in text
    drawn = pictures(report)
    assert "accuracy-strips_4-A.svg" in drawn
    for picture in drawn.values():
        ElementTree.fromstring(picture)
    (tmp_path / "bare.md").write_text("no marks")
    with pytest.raises(InputError):
        write_page(report, tmp_path / "bare.md")


def test_a_plot_leaves_out_what_is_no_number_and_escapes_names() -> None:
    picture = plot("a < b", "x", "y", [Curve("<c>", [1, 2, 3], [1.0, float("nan"), 3.0])])
    tree = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert len(tree.findall(f"{space}circle")) == 2
    with pytest.raises(ValueError, match="nothing"):
        plot("t", "x", "y", [Curve("c", [1], [float("nan")])])
