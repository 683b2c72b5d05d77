"""UTC over a sample counter, from late and bursty receive times; truth is known here."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.device_clock import (
    STEP_WINDOWS,
    UNKNOWN_BOUND_NS,
    UNSETTLED_BOUND_NS,
    DeviceClock,
    line_below,
)
from simulator.bench.bridge_clock import RATE_HZ, LateLine


@pytest.mark.parametrize("ppm", [50.0, -50.0, 0.0])
@pytest.mark.parametrize("stalls", [0.0, 0.01])
def test_after_a_minute_of_jitter_and_stalls_the_error_is_below_a_millisecond(
    ppm: float, stalls: float
) -> None:
    line, clock = LateLine(ppm=ppm, stalls=stalls), DeviceClock(RATE_HZ)
    errors = []
    for end, received_ns in line.receipts(130):
        clock.observe(end, received_ns)
        if end > 60 * RATE_HZ:
            errors.append(abs(line.error_ns(clock)))
    fit = clock.reading()
    assert max(errors) < 1e6
    assert np.quantile(errors, 0.95) <= fit.bound_ns
    assert fit.rate_error_ppm == pytest.approx(ppm, abs=2.0)
    assert fit.settled
    assert not fit.stepped
    assert clock.steps == 0


def test_later_receipts_can_never_make_the_clock_earlier() -> None:
    on_time, late = DeviceClock(RATE_HZ), DeviceClock(RATE_HZ)
    for end, received_ns in LateLine(jitter_ns=1e6).receipts(30):
        on_time.observe(end, received_ns)
        late.observe(end, received_ns + 7_000_000)
    assert late.reading().ref_utc_ns - on_time.reading().ref_utc_ns == pytest.approx(7e6, abs=10)


def test_samples_apart_are_seconds_apart() -> None:
    line, clock = LateLine(ppm=40, jitter_ns=2e6), DeviceClock(RATE_HZ)
    for end, received_ns in line.receipts(60):
        clock.observe(end, received_ns)
    assert clock.reading().ns_per_sample * RATE_HZ == pytest.approx(1e9 / (1 + 40e-6), rel=1e-6)


def test_a_clock_without_blocks_knows_no_time() -> None:
    fit = DeviceClock(RATE_HZ, hidden_delay_ns=9).reading()
    assert fit.bound_ns == UNKNOWN_BOUND_NS
    assert not fit.settled


def test_until_settled_the_doubt_is_large_and_the_rate_nominal() -> None:
    line, clock = LateLine(ppm=50), DeviceClock(RATE_HZ, hidden_delay_ns=1_000)
    for end, received_ns in line.receipts(5):
        clock.observe(end, received_ns)
    fit = clock.reading()
    assert not fit.settled
    assert fit.bound_ns == UNSETTLED_BOUND_NS + 1_000
    assert fit.rate_error_ppm == 0.0
    assert abs(line.error_ns(clock)) < fit.bound_ns


@pytest.mark.parametrize("step_ns", [-40_000_000, 40_000_000, -3_600 * 10**9, 3_600 * 10**9])
def test_a_step_of_the_host_is_flagged_and_the_fit_begins_anew(step_ns: int) -> None:
    line, clock = LateLine(ppm=50, stalls=0.005), DeviceClock(RATE_HZ)
    found_s = None
    for end, received_ns in line.receipts(120):
        after = end > 60 * RATE_HZ
        clock.observe(end, received_ns + (step_ns if after else 0))
        if found_s is None and clock.reading().stepped:
            found_s = end / RATE_HZ
    assert clock.steps == 1
    assert found_s is not None
    assert 60 < found_s < 60 + STEP_WINDOWS + 4
    fit = clock.reading()
    assert fit.settled
    assert not fit.stepped
    assert abs(line.error_ns(clock) - step_ns) < 1e6


def test_a_stall_of_ten_seconds_is_no_step() -> None:
    line, clock = LateLine(), DeviceClock(RATE_HZ)
    for end, received_ns in line.receipts(60):
        held_ns = round(line.true_ns(int(40 * RATE_HZ)))
        stalled = 30 * RATE_HZ < end < 40 * RATE_HZ
        clock.observe(end, max(received_ns, held_ns) if stalled else received_ns)
    assert clock.steps == 0
    assert abs(line.error_ns(clock)) < 1e6


def test_a_restart_is_flagged_until_the_new_fit_has_settled() -> None:
    line, clock = LateLine(), DeviceClock(RATE_HZ)
    for end, received_ns in line.receipts(20):
        clock.observe(end, received_ns)
    clock.restart()
    flags = []
    for end, received_ns in line.receipts(20):
        clock.observe(end, received_ns + 20 * 10**9)
        flags.append((clock.reading().stepped, clock.reading().settled))
    assert flags[0] == (True, False)
    assert flags[-1] == (False, True)
    assert set(flags) == {(True, False), (False, True)}


def test_the_line_below_is_below_and_touches() -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        x = np.sort(random.uniform(0, 100, 30))
        y = 3 - 0.2 * x + random.exponential(2, 30)
        offset, slope = line_below(list(zip(x.tolist(), y.tolist(), strict=True)))
        above = y - offset - slope * x
        assert above.min() == pytest.approx(0, abs=1e-9)
        assert np.sum(np.isclose(above, 0, atol=1e-9)) == 2
        # No other line through two points lies below all and nearer in the mean.
        i, j = np.triu_indices(30, 1)
        slopes = (y[j] - y[i]) / (x[j] - x[i])
        rests = y[None] - (y[i] - slopes * x[i])[:, None] - slopes[:, None] * x
        feasible = rests.min(axis=1) > -1e-9
        assert above.mean() <= rests[feasible].mean(axis=1).min() + 1e-9


def test_the_line_below_one_point_is_level() -> None:
    assert line_below([(4.0, 7.0)]) == (7.0, 0.0)
