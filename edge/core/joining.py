"""Two halves, one vehicle: passages of lanes side by side that one vehicle astride them made.

Each half pressed on one side only, the one towards the other lane, at the same moment and with the
same axles. Then the sensors on both sides of the line between the lanes are weighed as a lane of
their own, from one clip: its loads, uncertainties and doubts are those of any vehicle. A half waits
for the other one a fixed time on the sample clock, and its lane's next vehicles wait behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.core.modes import PRIOR, Dynamics
from edge.core.weigh import weigh
from edge.records import Flag, Gains, LaneLayout, Passage, RawClip, Row, read_only

__all__ = ["Joiner", "alike", "pressed_side", "seam"]

WAIT_S = 3.0
"""How long a half waits: without separators the lanes close by distance, each at its own speed."""

_SPILL = 0.03
"""Part of a half's load on its far side: more is a wheel that rolled on the middle of its lane."""

_SKEW_M = 0.3
"""Left and right wheels of an axle meet the rows of two lanes that near each other."""

_SPACING_M, _SPEED_REL = 0.10, 0.02
_SIGMAS = 3.0
"""Spacings and speeds of the halves differ by that at most, beyond their uncertainties."""

_OF_HALVES = Flag.WHEEL_OFF | Flag.LOAD_OUT_OF_RANGE
"""What is true of half a vehicle and not of the whole."""


def pressed_side(passage: Passage) -> str:
    """``left`` or ``right``, where all wheels pressed there; else nothing."""
    left_kg, right_kg = float(passage.axles.left_kg.sum()), float(passage.axles.right_kg.sum())
    least_kg = _SPILL * (left_kg + right_kg)
    if left_kg < least_kg:
        return "right"
    return "left" if right_kg < least_kg else ""


def alike(one: Passage, other: Passage) -> bool:
    """Whether two passages have the same axles: as many, as far apart, as fast."""
    if len(one.axles) != len(other.axles):
        return False
    reach_m = _SIGMAS * np.hypot(one.axles.u_spacing_m, other.axles.u_spacing_m) + _SPACING_M
    speed = (one.speed_mps + other.speed_mps) / 2
    reach_mps = _SIGMAS * np.hypot(one.u_speed_mps, other.u_speed_mps) + _SPEED_REL * speed
    return bool(
        (np.abs(one.axles.spacing_m - other.axles.spacing_m) <= reach_m).all()
        and abs(one.speed_mps - other.speed_mps) <= reach_mps
    )


def seam(left: LaneLayout, right: LaneLayout) -> LaneLayout | None:
    """The lane that a vehicle astride two lanes uses: right sensors of one, left of the other.

    Parameters
    ----------
    left, right : LaneLayout
        As the driver sees them.

    Returns
    -------
    LaneLayout or None
        Under the name of the left lane, with the narrower range of each limit; None where the rows
        of the two do not lie side by side.
    """
    pairs = list(zip(left.rows, right.rows, strict=False))
    if len(left.rows) != len(right.rows) or any(
        (a.position_m, a.width_m, a.kind) != (b.position_m, b.width_m, b.kind) for a, b in pairs
    ):
        return None
    return replace(
        left,
        rows=tuple(Row(a.position_m, a.width_m, a.kind, a.right, b.left) for a, b in pairs),
        speed_min_mps=max(left.speed_min_mps, right.speed_min_mps),
        speed_max_mps=min(left.speed_max_mps, right.speed_max_mps),
        speed_change_max=min(left.speed_change_max, right.speed_change_max),
        axle_min_kg=max(left.axle_min_kg, right.axle_min_kg),
        axle_max_kg=min(left.axle_max_kg, right.axle_max_kg),
    )


@dataclass(slots=True)
class _Held:
    """A passage that waits, until a sample, for its other half or behind one that does."""

    passage: Passage
    until_sample: int


class Joiner:
    """Passages of one digitiser in, each in time; the same with halves joined out.

    Every decision falls at a sample that the passages fix, whenever they are handed in.

    Parameters
    ----------
    lanes : sequence of LaneLayout
        Those of the digitiser; ``beside`` names the neighbours of each.
    gains : Gains
    dynamics : mapping of str to Dynamics
        By lane; a vehicle astride is weighed with that of the left one.
    """

    def __init__(
        self, lanes: Sequence[LaneLayout], gains: Gains, dynamics: Mapping[str, Dynamics]
    ) -> None:
        self._lanes = {lane.lane: lane for lane in lanes}
        self._gains, self._dynamics = gains, dynamics
        self._held: list[_Held] = []

    def step(self, passages: Sequence[Passage], until_sample: int) -> list[Passage]:
        """Passages that closed up to a sample, in that order; gives those that wait for nothing.

        Returns
        -------
        list of Passage
            Of each lane in the order of closing.
        """
        ready: list[Passage] = []
        for passage in passages:
            ready += self._due(passage.closed_sample)
            if self._held or Flag.STRADDLING in passage.flags:
                self._hold(passage)
            else:
                ready.append(passage)
        return ready + self._due(until_sample)

    def flush(self) -> list[Passage]:
        """No other half will come."""
        held, self._held = self._held, []
        return [one.passage for one in held]

    # ------------------------------------------------------------------------------------------

    def _due(self, sample: int) -> list[Passage]:
        """Those whose wait ends up to a sample, moment by moment."""
        moments = sorted({one.until_sample for one in self._held if one.until_sample <= sample})
        return [passage for moment in moments for passage in self._free(moment)]

    def _free(self, sample: int) -> list[Passage]:
        """What waits no longer, and for no earlier one of its lane."""
        free: list[Passage] = []
        kept: list[_Held] = []
        for one in self._held:
            behind = any(before.passage.lane == one.passage.lane for before in kept)
            if behind or one.until_sample > sample:
                kept.append(one)
            else:
                free.append(one.passage)
        self._held = kept
        return free

    def _hold(self, passage: Passage) -> None:
        closed = passage.closed_sample
        if Flag.STRADDLING not in passage.flags:
            self._held.append(_Held(passage, closed))
            return
        new = _Held(passage, closed + round(WAIT_S * passage.clip.rate_hz))
        self._held.append(new)
        for other in self._held[:-1]:
            if self._may_be_one(other.passage, passage) and self._join(other, new):
                return

    def _may_be_one(self, one: Passage, other: Passage) -> bool:
        return (
            Flag.STRADDLING in one.flags
            and not one.astride
            and other.lane in self._lanes[one.lane].beside
            and one.first_wheel_sample < other.last_wheel_sample
            and other.first_wheel_sample < one.last_wheel_sample
        )

    def _join(self, one: _Held, new: _Held) -> bool:
        """Put the whole vehicle in the place of its halves, or let each name the other's lane."""
        whole = self._whole(one.passage, new.passage)
        if whole is None:
            one.passage, new.passage = (
                replace(one.passage, perhaps_with=new.passage.lane),
                replace(new.passage, perhaps_with=one.passage.lane),
            )
            return False
        keeper, half = (one, new) if one.passage.lane == whole.lane else (new, one)
        self._held.remove(half)
        keeper.passage, keeper.until_sample = whole, whole.closed_sample
        return True

    def _whole(self, one: Passage, other: Passage) -> Passage | None:
        """The vehicle of two halves; None where they do not fit."""
        sides = {pressed_side(one): one, pressed_side(other): other}
        if sides.keys() != {"left", "right"} or not alike(one, other):
            return None
        apart_s = abs(one.first_wheel_sample - other.first_wheel_sample) / one.clip.rate_hz
        # The left half pressed on the right side of its lane.
        left, right = sides["right"], sides["left"]
        layout = seam(self._lanes[left.lane], self._lanes[right.lane])
        if layout is None or apart_s * one.speed_mps > _SKEW_M:
            return None
        try:
            whole = weigh(
                _together(one.clip, other.clip),
                layout,
                self._gains,
                known=(one.flags | other.flags) & ~_OF_HALVES | Flag.STRADDLING,
                closed_sample=max(one.closed_sample, other.closed_sample),
                dynamics=self._dynamics.get(left.lane, PRIOR),
            )
        except ValueError:
            return None
        fits = len(whole.axles) == len(one.axles)
        return replace(whole, astride=(left.lane, right.lane)) if fits else None


def _together(one: RawClip, other: RawClip) -> RawClip:
    """One clip over the time of two that overlap."""
    early, late = sorted((one, other), key=lambda clip: clip.first_sample)
    more = late.counts[max(early.end_sample - late.first_sample, 0) :]
    return RawClip(
        early.device,
        early.first_sample,
        early.rate_hz,
        read_only(np.concatenate([early.counts, more])),
        tuple(sorted({*early.edges, *late.edges}, key=lambda e: (e.sample, e.input))),
        tuple(sorted({*early.gaps, *late.gaps})),
    )
