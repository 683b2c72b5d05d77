"""Which axles the separator's oldest interval claims from those that no vehicle has."""

from __future__ import annotations

from collections.abc import Sequence

from edge.core.conditioning import TYPICAL_CONTACT_M
from edge.core.lineup import Axle, in_rows, line_up, plain_axles
from edge.core.pulses import Touch
from edge.core.separator import Beam
from edge.records import Row

__all__ = ["BUMPER_M", "claim"]

BUMPER_M = 1.5
"""An axle farther than this from the vehicle that the separator saw does not belong to it."""


def claim(
    beam: Beam, touches: Sequence[Touch], rows: Sequence[Row], rate_hz: float
) -> tuple[list[Axle], list[Axle]]:
    """Axles of the oldest interval, and earlier ones that the beam never saw."""
    mine = _in_turn(beam, touches, rows, rate_hz)
    return _nearest(beam, touches, rows, rate_hz) if mine is None else (mine, [])


def _in_turn(
    beam: Beam, touches: Sequence[Touch], rows: Sequence[Row], rate_hz: float
) -> list[Axle] | None:
    """Axles of the oldest interval as the first touches of every row; None where in doubt.

    Vehicles of a lane keep their order, so a follower at another speed has no say. Which
    touches of the first row are its own, the beam tells, if it stands beside that row.
    """
    ahead_m = beam.position_m - rows[0].position_m
    if abs(ahead_m) > BUMPER_M:
        return None
    by_row = in_rows(touches, len(rows))
    early, late = beam.reach
    crossings = [_crossing(touch, rows[0], ahead_m, rate_hz) for touch in by_row[0]]
    number = sum(early <= crossing <= late for crossing in crossings)
    if not number or min(crossings) < early or any(len(own) < number for own in by_row):
        return None
    return plain_axles([own[:number] for own in by_row], rows, rate_hz)


def _crossing(touch: Touch, row: Row, ahead_m: float, rate_hz: float) -> float:
    """When a wheel on the first row was before the beam, by the speed from its own length."""
    duration_s = (touch.leave_sample - touch.enter_sample) / rate_hz
    way_s = ahead_m * duration_s / (row.width_m + TYPICAL_CONTACT_M)
    return (touch.enter_sample + touch.leave_sample) / 2 + way_s * rate_hz


def _nearest(
    beam: Beam, touches: Sequence[Touch], rows: Sequence[Row], rate_hz: float
) -> tuple[list[Axle], list[Axle]]:
    """Axles nearest to the oldest interval; those before it that lie in none were missed."""
    mine: list[Axle] = []
    missed: list[Axle] = []
    ahead_m = beam.position_m - rows[0].position_m
    for axle in line_up(touches, rows, rate_hz):
        crossing = (axle.at_row_0_s + ahead_m / axle.speed_mps) * rate_hz
        number, away = beam.nearest(crossing)
        strange = away / rate_hz * abs(axle.speed_mps) > BUMPER_M
        if strange and crossing < beam.intervals[0].start_sample:
            missed.append(axle)
        elif number == 0 and not strange:
            mine.append(axle)
    return mine, missed
