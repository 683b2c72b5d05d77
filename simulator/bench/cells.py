"""One cell of the accuracy table: an array, a road, a speed; many lorries; errors and bounds.

The gains are true, speeds are even and the rows lie straight and flush (what a row adds of its own
is a matter of calibration), so that what is left is the moving
axle, lateral spread, noise, hum and drift: what estimation is about.
Every vehicle meets a road of its own. How axles
swing was learned before, from other vehicles of the same array and road, as a station does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice

import numpy as np

from edge.config import StationConfig
from edge.core.fitting import fit
from edge.core.learn import Variogram
from edge.core.modes import Dynamics
from edge.records import Flag, Floats, Indices, LaneLayout, Passage
from simulator.bench.bound import Readings, fused, plate_readings, strip_readings
from simulator.bench.drive import drive
from simulator.layouts import LAYOUTS, best_spacing_m, strips
from simulator.scenario import RoadSection, Scenario, TrafficSection
from simulator.traffic import Passing, Plan, traffic_plans
from simulator.world import World

__all__ = ["Cell", "Sample", "learn", "measure"]

_OF_ONE_ROW = {"strips_1": "strips_2", "plate_1": "plates_2"}
"""One row gives no speed: the first row of two is read, the second tells the speed alone."""

_VEHICLES_A_SITE = 20
_TAIL_S = 8.0
_NEAR_S = 0.5
_LEARNING_SEEDS = 1_000_000
_COUNTS = ("passed", "wrong_axles", "flagged")


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in the table; ``spacing_m`` moves the rows of strips from where they belong."""

    layout: str
    road: str
    speed_kmh: float
    spacing_m: float | None = None

    @property
    def name(self) -> str:
        """Array, road, speed."""
        apart = "" if self.spacing_m is None else f" {self.spacing_m:g} m"
        return f"{self.layout}{apart} {self.road} {self.speed_kmh:g}"

    @property
    def array(self) -> tuple[str, str, float | None]:
        """What a station learns for: rows, road, distance."""
        return self.layout, self.road, self.spacing_m

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.layout.rpartition("_")[2])

    @property
    def single(self) -> bool:
        """Whether it is about one row alone."""
        return self.layout in _OF_ONE_ROW

    @property
    def plate(self) -> bool:
        """Whether its rows are plates."""
        return self.layout.startswith("plate")

    def station(self) -> StationConfig:
        """The station whose array is driven over."""
        if self.spacing_m is not None:
            return strips(self.rows, design_kmh=self.spacing_m / best_spacing_m(self.rows, 1.0))
        return LAYOUTS[_OF_ONE_ROW.get(self.layout, self.layout)]()

    def scenario(self) -> Scenario:
        """Lorries in a queue of even speed."""
        traffic = TrafficSection(
            flow_per_h=4_000.0,
            gap_m=15.0,
            speed_kmh=(0.999 * self.speed_kmh, 1.001 * self.speed_kmh),
            speed_change_sd=0.0,
        )
        road = RoadSection.model_validate(
            {"road_class": self.road, "fresh_for_each": True, "receptor_step_mm": 0.0}
        )
        return Scenario(lane=(traffic,), road=road)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Axles of all vehicles of a cell, (n_axles_in_all,) each; loads in kilograms.

    Attributes
    ----------
    vehicle : int array
        Number of the vehicle, from 0.
    true_kg, load_kg, u_kg, mean_kg : float arrays
        ``mean_kg`` is the plain mean over the rows.
    oracle_kg, alone_kg, kind_kg : float arrays
        The same readings under better weights: of one who knows the vehicle's springs, for all its
        axles together or for each axle by itself, and of one who knows the mean covariance of its
        type; NaN for plates.
    u_bound_kg, u_alone_kg : float arrays
        What the oracle's estimates scatter by, all axles together and each by itself.
    gross_kg, u_gross_kg, u_gross_bound_kg : float arrays (n_vehicles,)
        ``gross_kg`` is the true one.
    passed, wrong_axles, flagged : int
        Vehicles that passed; of these, with a wrong number of axles, and with a flag (left out).
    """

    vehicle: Indices
    true_kg: Floats
    load_kg: Floats
    u_kg: Floats
    mean_kg: Floats
    oracle_kg: Floats
    alone_kg: Floats
    kind_kg: Floats
    u_bound_kg: Floats
    u_alone_kg: Floats
    gross_kg: Floats
    u_gross_kg: Floats
    u_gross_bound_kg: Floats
    passed: int
    wrong_axles: int
    flagged: int

    def gross_of(self, axle_kg: Floats) -> Floats:
        """Sums over the axles of each vehicle."""
        return np.asarray(np.bincount(self.vehicle, axle_kg, len(self.gross_kg)), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Weighed:
    """A vehicle with its passage and what theory says of it."""

    code: str
    true_kg: Floats
    load_kg: Floats
    u_kg: Floats
    u_gross_kg: float
    row_kg: Floats
    readings: Readings


def learn(
    layout: str,
    road: str,
    speeds_kmh: Sequence[float],
    vehicles: int,
    seed: int,
    spacing_m: float | None = None,
) -> Dynamics:
    """What a station learns from ``vehicles`` lorries at each of some speeds."""
    seen = Variogram.empty(_lane(Cell(layout, road, speeds_kmh[0], spacing_m).station()))
    for number, speed_kmh in enumerate(speeds_kmh):
        cell = Cell(layout, road, speed_kmh, spacing_m)
        own_seed = _LEARNING_SEEDS + seed * 1_000 + number
        for _, passage in _paired(cell.station(), cell.scenario(), own_seed, vehicles, None):
            if passage is not None:
                seen.add(passage)
    return fit(seen, one_road=False)


def measure(cell: Cell, vehicles: int, seed: int, dynamics: Dynamics | None) -> Sample:
    """Let ``vehicles`` lorries pass and compare; the same seed gives the same sample."""
    station, scenario = cell.station(), cell.scenario()
    lane = _lane(station)
    weighed: list[_Weighed] = []
    passed = wrong = flagged = 0
    for site in range(-(-vehicles // _VEHICLES_A_SITE)):
        here = min(_VEHICLES_A_SITE, vehicles - site * _VEHICLES_A_SITE)
        for passing, passage in _paired(station, scenario, seed * 10_000 + site, here, dynamics):
            passed += 1
            if passage is None or len(passage.axles) != len(passing.vehicle.axle_kg):
                wrong += 1
            elif passage.flags & ~Flag.SPEED_OUT_OF_RANGE:
                flagged += 1
            else:
                weighed.append(_compared(cell, passing, passage, lane, scenario))
    return _sample(weighed, passed, wrong, flagged)


def _lane(station: StationConfig) -> LaneLayout:
    return station.lanes_of(station.model.digitiser[0].id)[0]


def _paired(
    station: StationConfig, scenario: Scenario, seed: int, vehicles: int, dynamics: Dynamics | None
) -> Iterator[tuple[Passing, Passage | None]]:
    def plans(number: int, lane: LaneLayout) -> Iterator[Plan]:
        section = scenario.traffic_of(number)
        return islice(traffic_plans(section, number, lane, scenario.lead_in_s, seed), vehicles)

    world = World(station, scenario, seed, plans=plans)
    device = station.model.digitiser[0].id
    rate_hz = world.digitiser(device).true_rate_hz
    known = {lane.id: dynamics for lane in station.model.lane} if dynamics else None
    driven = drive(world, device, _TAIL_S, known)
    passages = {p.last_wheel_sample / rate_hz: p for p in driven}
    for passing in world.left_between(0.0, np.inf):
        near_s = min(passages, key=lambda s: abs(s - passing.last_wheel_s), default=np.inf)
        found = abs(near_s - passing.last_wheel_s) < _NEAR_S
        yield passing, passages.pop(near_s) if found else None


def _compared(
    cell: Cell, passing: Passing, passage: Passage, lane: LaneLayout, scenario: Scenario
) -> _Weighed:
    axles = passage.axles
    load_kg, u_kg, row_kg = axles.load_kg, axles.u_load_kg, axles.row_load_kg
    if cell.single:
        lane = LaneLayout(lane.lane, lane.rows[:1])
        load_kg, u_kg, row_kg = row_kg[:, 0], np.full(len(axles), np.nan), row_kg[:, :1]
    readings_of = plate_readings if cell.plate else strip_readings
    return _Weighed(
        passing.vehicle.code,
        np.array(passing.vehicle.axle_kg),
        load_kg,
        u_kg,
        np.nan if cell.single else passage.u_gross_kg,
        row_kg,
        readings_of(passing.vehicle, passing.speed_mps, lane, scenario),
    )


def _sample(weighed: list[_Weighed], passed: int, wrong: int, flagged: int) -> Sample:
    shapes = _relative_by_kind(weighed)
    columns: dict[str, list[Floats]] = {field.name: [] for field in fields(Sample)}
    for number, w in enumerate(weighed):
        weight, covariance = fused(w.readings)
        same = w.readings.axle[:, None] == w.readings.axle
        single = Readings(w.readings.axle, w.readings.covariance_kg2 * same)
        alone, alone_covariance = fused(single)
        rows, strips = w.row_kg.ravel(), w.row_kg.size == len(w.readings.axle)
        unknown = np.full(len(w.true_kg), np.nan)
        kind = Readings(w.readings.axle, shapes[w.code] * _squares(w)) if strips else w.readings
        values = {
            "vehicle": np.full(len(w.true_kg), number),
            "true_kg": w.true_kg,
            "load_kg": w.load_kg,
            "u_kg": w.u_kg,
            "mean_kg": np.nanmean(w.row_kg, axis=1),
            "oracle_kg": weight @ rows if strips else unknown,
            "alone_kg": alone @ rows if strips else unknown,
            "kind_kg": fused(kind)[0] @ rows if strips else unknown,
            "u_bound_kg": np.sqrt(np.diag(covariance)),
            "u_alone_kg": np.sqrt(np.diag(alone_covariance)),
            "gross_kg": w.true_kg.sum(keepdims=True),
            "u_gross_kg": np.array([w.u_gross_kg]),
            "u_gross_bound_kg": np.sqrt(covariance.sum(keepdims=True)).ravel(),
        }
        for name, value in values.items():
            columns[name].append(value)
    arrays = {
        name: np.concatenate([np.empty(0), *parts])
        for name, parts in columns.items()
        if name not in _COUNTS
    }
    numbers = arrays.pop("vehicle").astype(np.int64)
    return Sample(numbers, **arrays, passed=passed, wrong_axles=wrong, flagged=flagged)


def _squares(w: _Weighed) -> Floats:
    load_kg = w.true_kg[w.readings.axle]
    return np.outer(load_kg, load_kg)


def _relative_by_kind(weighed: list[_Weighed]) -> dict[str, Floats]:
    """Mean relative covariance of the vehicles of each type: what a good station could learn."""
    by_kind: defaultdict[str, list[Floats]] = defaultdict(list)
    for w in weighed:
        by_kind[w.code].append(w.readings.covariance_kg2 / _squares(w))
    return {code: np.mean(parts, axis=0) for code, parts in by_kind.items()}
