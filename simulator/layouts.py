"""Stations in code: the arrays whose accuracy is compared, and a mixed site of four lanes.

Rows of strips lie at the distance that cancels best about a body bounce of 3 Hz at the design
speed, ``2 (n - 1) V / (f n^2)`` (Cebon and Winkler; see the facts of multiple-sensor arrays).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from edge.config import (
    CameraSection,
    DigitiserSection,
    LaneSection,
    RowSection,
    SeparatorSection,
    StationConfig,
    StationFile,
    StationSection,
)

_BOUNCE_HZ = 3.0
_STRIP_M = 0.07
_PLATE_M = 0.8
_PLATES_APART_M = 2.4
_SEPARATOR_AHEAD_M = 0.5
_LANES_A_DIGITISER = 2
_STRIP_KMH = (3.0, 120.0)
_PLATE_KMH = (3.0, 40.0)


def best_spacing_m(rows: int, speed_kmh: float) -> float:
    """Distance of strips for a number of rows and a speed."""
    return 2 * (rows - 1) * speed_kmh / 3.6 / (_BOUNCE_HZ * rows**2)


def strips(rows: int, lanes: int = 1, design_kmh: float = 80.0) -> StationConfig:
    """``lanes`` lanes of ``rows`` strips each."""
    spacing_m = best_spacing_m(rows, design_kmh)
    at_m = [round(spacing_m * row, 3) for row in range(rows)]
    return _station(f"strips-{rows}", [_Lane("strip", _STRIP_M, at_m)] * lanes)


def plates(rows: int, lanes: int = 1) -> StationConfig:
    """``lanes`` lanes of ``rows`` plates each, 0.8 m long."""
    at_m = [_PLATES_APART_M * row for row in range(rows)]
    return _station(f"plates-{rows}", [_Lane("plate", _PLATE_M, at_m)] * lanes)


def mixed() -> StationConfig:
    """Two fast lanes of four strips, two slow ones of two plates: 24 channels."""
    spacing_m = best_spacing_m(4, 80.0)
    fast = _Lane("strip", _STRIP_M, [round(spacing_m * row, 3) for row in range(4)])
    slow = _Lane("plate", _PLATE_M, [0.0, _PLATES_APART_M])
    return _station("mixed", [fast, fast, slow, slow])


LAYOUTS: dict[str, Callable[[], StationConfig]] = {
    **{f"strips_{rows}": partial(strips, rows) for rows in (1, 2, 3, 4, 6, 8)},
    "plate_1": partial(plates, 1),
    "plates_2": partial(plates, 2),
    "mixed": mixed,
}
"""Stations by name; ``strips_1`` and ``plate_1`` have a single row and cannot be written as a
station file, which wants two so that a speed can be measured."""


def without_separators(station: StationConfig) -> StationConfig:
    """The same station with nothing that tells vehicles apart but their axles."""
    lanes = [lane.model_copy(update={"separator": None}) for lane in station.model.lane]
    return _config(station.model.model_copy(update={"lane": lanes}))


class _Lane:
    """Rows of one kind at given positions."""

    def __init__(self, kind: str, width_m: float, at_m: Sequence[float]) -> None:
        self.kind, self.width_m, self.at_m = kind, width_m, at_m

    def names(self, lane: int) -> list[str]:
        """Channels of the lane, left and right of each row in turn."""
        return [f"{lane}-{row + 1}{side}" for row in range(len(self.at_m)) for side in "LR"]

    def section(self, lane: int, device: str, place: int) -> LaneSection:
        """The lane as in a station file, without the check of how many rows there are."""
        names = self.names(lane)
        return LaneSection.model_construct(
            id=str(lane),
            name=f"{lane} 车道",
            name_en=f"Lane {lane}",
            digitiser=device,
            direction="",
            speed_kmh=_STRIP_KMH if self.kind == "strip" else _PLATE_KMH,
            speed_change_max=0.15,
            axle_kg=(200.0, 30_000.0),
            separator=SeparatorSection(
                input=place, position_m=self.at_m[0] - _SEPARATOR_AHEAD_M - self.width_m / 2
            ),
            row=[
                RowSection.model_validate(
                    {
                        "position_m": at_m,
                        "width_m": self.width_m,
                        "kind": self.kind,
                        "left": names[2 * row],
                        "right": names[2 * row + 1],
                    }
                )
                for row, at_m in enumerate(self.at_m)
            ],
        )


def _station(name: str, lanes: Sequence[_Lane]) -> StationConfig:
    sections: list[LaneSection] = []
    digitisers: list[DigitiserSection] = []
    for first in range(0, len(lanes), _LANES_A_DIGITISER):
        device = f"D{first // _LANES_A_DIGITISER + 1}"
        own = list(enumerate(lanes[first : first + _LANES_A_DIGITISER], start=first + 1))
        channels = [channel for number, lane in own for channel in lane.names(number)]
        digitisers.append(
            DigitiserSection(
                id=device, device_id=len(digitisers) + 1, url=f"run/{device}", channels=channels
            )
        )
        sections += [
            lane.section(number, device, place) for place, (number, lane) in enumerate(own)
        ]
    camera = CameraSection(
        id="C1", url="run/C1", lanes=[section.id for section in sections], position_m=1.0
    )
    return _config(
        StationFile(
            station=StationSection(id=name),
            digitiser=digitisers,
            lane=sections,
            camera=[camera],
        )
    )


def _config(model: StationFile) -> StationConfig:
    return StationConfig(Path(f"{model.station.id}.toml"), model.model_dump_json().encode(), model)
