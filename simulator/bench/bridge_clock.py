"""UTC over a device's counter, from late and bursty receive times whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from firmware_bridge.device_clock import DeviceClock

__all__ = ["BLOCK", "RATE_HZ", "T0_NS", "LateLine", "run"]

T0_NS = 1_767_225_600_000_000_000
RATE_HZ = 2_000.0
BLOCK = 40
_SHARED_DELAY_NS = 3_000_000

_DRIFTS_PPM = (-50.0, 0.0, 50.0)
_STEPS_NS = (-3_600_000_000_000, -40_000_000, 40_000_000, 3_600_000_000_000)
_STALLS = 0.005
_STEP_AT_S, _END_S = 150.0, 300.0
_SETTLED_S = 60.0
_SEEDS, _QUICK_SEEDS = 5, 1


class LateLine:
    """A device with an oscillator that is off, on a line that delays and now and then stalls."""

    def __init__(
        self, *, ppm: float = 0.0, jitter_ns: float = 20e6, stalls: float = 0.0, seed: int = 1
    ) -> None:
        self.ns_per_sample = 1e9 / (RATE_HZ * (1 + ppm * 1e-6))
        self.jitter_ns = jitter_ns
        self.stalls = stalls
        self.chance = np.random.default_rng(seed)

    def true_ns(self, sample: int) -> float:
        """When a sample was taken, and the delay later that all blocks share."""
        return T0_NS + _SHARED_DELAY_NS + sample * self.ns_per_sample

    def receipts(self, seconds: float) -> Iterator[tuple[int, int]]:
        """Blocks in order, each received after its end, none before the one before it."""
        free_ns = 0.0
        for end in range(BLOCK, int(seconds * RATE_HZ), BLOCK):
            at_ns = self.true_ns(end) + self.chance.uniform(0, self.jitter_ns)
            if self.chance.random() < self.stalls:
                free_ns = max(free_ns, at_ns + self.chance.uniform(0, 2e9))
            free_ns = max(free_ns, at_ns)
            yield end, round(free_ns)

    def error_ns(self, clock: DeviceClock) -> float:
        """How far the clock is off, beside the shared delay."""
        fit = clock.reading()
        return fit.ref_utc_ns - self.true_ns(fit.ref_sample)


@dataclass(slots=True)
class _Seen:
    """Of one run: readings more than a minute after its start, or after the step."""

    worst_ns: float = 0.0
    beyond_bound: int = 0
    readings: int = 0
    flagged_after_s: float | None = None


def run(*, quick: bool) -> dict[str, float]:
    """Largest error of all readings of all runs; whether steps, and nothing else, were flagged."""
    seeds = range(_QUICK_SEEDS if quick else _SEEDS)
    cases = [(p, s, seed) for p in _DRIFTS_PPM for s in _STEPS_NS for seed in seeds]
    runs = [_run(*case) for case in cases]
    seen = [each for each, _ in runs]
    readings = sum(each.readings for each in seen)
    figures = {
        "bridge.clock_error_ms": max(each.worst_ns for each in seen) / 1e6,
        "bridge.clock.runs": len(runs),
        "bridge.clock.steps_flagged_pct": 100
        * sum(each.flagged_after_s is not None and steps == 1 for each, steps in runs)
        / len(runs),
        "bridge.clock.step_flagged_after_s_max": max(each.flagged_after_s or 0.0 for each in seen),
        "bridge.clock.within_bound_pct": 100
        * (1 - sum(each.beyond_bound for each in seen) / readings),
    }
    return {name: round(value, 3) for name, value in figures.items()}


def _run(ppm: float, step_ns: int, seed: int) -> tuple[_Seen, int]:
    line, clock, seen = LateLine(ppm=ppm, stalls=_STALLS, seed=seed), DeviceClock(RATE_HZ), _Seen()
    for end, received_ns in line.receipts(_END_S):
        time_s = end / RATE_HZ
        stepped = time_s > _STEP_AT_S
        clock.observe(end, received_ns + (step_ns if stepped else 0))
        if stepped and seen.flagged_after_s is None and clock.reading().stepped:
            seen.flagged_after_s = time_s - _STEP_AT_S
        since_s = time_s - _STEP_AT_S if stepped else time_s
        if since_s > _SETTLED_S:
            error_ns = abs(line.error_ns(clock) - (step_ns if stepped else 0))
            seen.worst_ns = max(seen.worst_ns, error_ns)
            seen.beyond_bound += error_ns > clock.reading().bound_ns
            seen.readings += 1
    return seen, clock.steps
