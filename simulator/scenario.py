"""The scenario: who drives where, how fast, how heavy; and what the site's devices are like.

A scenario file is TOML. Its ``[[lane]]`` tables hold for the lanes of the station file in their
order; the last one holds for all further lanes. Everything random comes from the seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edge.errors import InputError, why_zh
from edge.validation import Wrong, problems, read_toml
from simulator.fleet import LOADS
from simulator.kinds import TYPES, Span
from simulator.planned_faults import Fault


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TrafficSection(_Section):
    """The traffic of one lane."""

    flow_per_h: float = Field(gt=0, le=4_000, default=300.0)
    speed_kmh: Span = (40.0, 80.0)
    speed_change_sd: float = Field(ge=0, le=0.2, default=0.01)
    gap_m: float = Field(ge=0.5, default=2.0)
    """Smallest clear distance from tail to nose, kept everywhere between the devices."""
    lateral_sd_m: float = Field(ge=0, le=0.5, default=0.10)
    stop_rate: float = Field(ge=0, le=1, default=0.0)
    """Part of the vehicles that halt on the array."""
    off_lane_rate: float = Field(ge=0, le=1, default=0.0)
    """Part of the vehicles that pass with one side beside the sensors."""
    lift_rate: float = Field(ge=0, le=1, default=0.0)
    """Part of the vehicles of four axles and more that drive with one axle drawn up."""
    mix: dict[str, float] = {"12": 25, "15": 10, "115": 15, "125": 5, "127": 5, "155": 5, "157": 35}
    """Weights of the axle codes."""
    load: dict[str, float] = {"empty": 20, "part": 25, "legal": 33, "over": 22}
    """Weights of the load states."""

    @field_validator("mix")
    @classmethod
    def _codes(cls, mix: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(mix) - set(TYPES))
        if unknown or not mix:
            raise ValueError(f"unknown axle codes {unknown}; allowed are {sorted(TYPES)}")
        return mix

    @field_validator("load")
    @classmethod
    def _loads(cls, load: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(load) - {"empty", *LOADS})
        if unknown or not load:
            raise ValueError(f"unknown loads {unknown}; allowed are {['empty', *LOADS]}")
        return load


class RoadSection(_Section):
    """The surface and how flush the sensors lie in it."""

    road_class: Literal["smooth", "A", "B", "C", "D", "E"] = "A"
    receptor_step_mm: float = Field(ge=0, le=3, default=0.15)
    fresh_for_each: bool = False
    """Every vehicle meets a surface of its own: all roads of a class instead of one."""


class SensorSection(_Section):
    """How the sensors lie in the road."""

    length_m: float = Field(gt=0.5, le=3, default=1.75)
    """Across the lane: the left sensor ends and the right one begins at the lane's middle."""
    skew_sd_m: float = Field(ge=0, le=0.2, default=0.0)
    """How far the sensors of one row lie ahead of each other or behind."""


class ElectronicsSection(_Section):
    """Sensors and converters; ``_n`` are newtons on one channel, standard deviations or peaks."""

    rate_hz: float = Field(gt=0, le=20_000, default=2_000.0)
    newton_per_count: float = Field(gt=0, default=0.02)
    gain_sd_rel: float = Field(ge=0, le=0.1, default=0.02)
    noise_n: float = Field(ge=0, default=15.0)
    """White noise."""
    pink_n: float = Field(ge=0, default=0.0)
    """Noise with a PSD of 1/f."""
    measured: Literal["", "force-1", "force-2", "strain"] = ""
    """Noise with the spectrum of a real sensor, as ``simulator.measured`` keeps it."""
    measured_n: float = Field(ge=0, default=15.0)
    """Standard deviation of it."""
    noise_file: str = ""
    """A recording of a real sensor at rest, CSV or CSV in a zip: its residual is added."""
    noise_file_n: float = Field(ge=0, default=15.0)
    """Standard deviation to which that residual is scaled."""
    cross_talk_rel: float = Field(ge=0, le=0.05, default=0.0)
    """Part of a channel's force that shows on the channels next to it."""
    hum_n: float = Field(ge=0, default=12.0)
    zero_n: float = Field(ge=0, default=300.0)
    drift_n: float = Field(ge=0, default=60.0)
    zero_n_per_k: float = 3.0
    span_ppm_per_k: float = 20.0
    lateral_rel: float = Field(ge=0, le=0.05, default=0.003)
    oscillator_sd_ppm: float = Field(ge=0, le=200, default=15.0)


class PlateSection(_Section):
    """How well the plate cameras read."""

    miss_rate: float = Field(ge=0, le=1, default=0.03)
    misread_rate: float = Field(ge=0, le=1, default=0.03)
    delay_ms: Span = (80.0, 350.0)
    clock_offset_ms: float = 0.0
    pictures: bool = True


class WeatherSection(_Section):
    """Temperature of road and cabinet over the day."""

    mean_c: float = 22.0
    swing_c: float = 6.0

    def temperature_c(self, time_s: float) -> float:
        """Road temperature: a daily wave, and the shorter waves of sun and cloud."""
        day = np.sin(2 * np.pi * time_s / 86_400)
        return float(self.mean_c + self.swing_c * day + 0.8 * np.sin(2 * np.pi * time_s / 700))


class Scenario(_Section):
    """A whole scenario file."""

    name: str = "traffic"
    seed: int = Field(ge=0, default=1)
    lead_in_s: float = Field(ge=0, default=2.0)
    """Quiet time before the first vehicle reaches the first device."""
    lane: tuple[TrafficSection, ...] = (TrafficSection(),)
    lane_lateral_m: tuple[float, ...] = ()
    """Middle of each lane across the road, in the station file's order, right is positive. Without
    it lanes are so far apart that no wheel reaches the sensors of another."""
    road: RoadSection = RoadSection()
    sensor: SensorSection = SensorSection()
    electronics: ElectronicsSection = ElectronicsSection()
    plate: PlateSection = PlateSection()
    weather: WeatherSection = WeatherSection()
    fault: tuple[Fault, ...] = ()

    @field_validator("lane")
    @classmethod
    def _some_lane(cls, lane: tuple[TrafficSection, ...]) -> tuple[TrafficSection, ...]:
        if not lane:
            raise ValueError("a scenario needs at least one [[lane]]")
        return lane

    def traffic_of(self, lane_number: int) -> TrafficSection:
        """The traffic of the n-th lane of the station file, counted from 0."""
        return self.lane[min(lane_number, len(self.lane) - 1)]


def load_scenario(path: Path | str) -> Scenario:
    """Read a scenario file, or one of those beside this module by its name (``demo``).

    Raises
    ------
    InputError
        Not readable, not TOML, an unknown key or a value outside its range.
    """
    file = Path(path)
    if not file.suffix:
        file = Path(__file__).parent / "scenarios" / f"{file.name}.toml"
    try:
        return Scenario.model_validate(read_toml(file.read_bytes()))
    except (OSError, ValueError) as error:
        why = Wrong(*problems(error)) if isinstance(error, ValidationError) else error
        raise InputError(
            f"场景文件 {file} 不可用{why_zh(why)}",
            f"cannot use the scenario {file}: {why}",
            next_zh="对照 simulator/scenarios/demo.toml 改正",
            next_en="compare it with simulator/scenarios/demo.toml",
        ) from error
