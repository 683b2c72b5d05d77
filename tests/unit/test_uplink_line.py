"""Turns on the line, sizes of messages, waits between connections, days of certificates."""

from __future__ import annotations

import asyncio
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import Text
from edge.health import Level
from edge.uplink.backoff import Backoff
from edge.uplink.centre_time import CentreTime
from edge.uplink.certificates import Validity, outlook
from edge.uplink.gate import Gate, Sizes, Turn
from edge.uplink.patience import Patience

# ----------------------------------------------------------------------------------------------
# Turns


class Fixed(Gate):
    """A gate that learns nothing."""

    def _learn(self, bytes_moved: int, took_s: float) -> None:
        pass


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _order(*asked: tuple[Turn, int], budget: int) -> list[int]:
    """The order in which messages go that were asked for while another is on the line."""

    async def run() -> list[int]:
        gate = Fixed()
        gate.budget_bytes = budget
        went: list[int] = []

        async def go(number: int, turn: Turn, size: int) -> None:
            async with gate.turn(turn, size):
                went.append(number)
                await asyncio.sleep(0)

        async with gate.turn(Turn.BLOB, budget):
            waiting = [asyncio.create_task(go(n, *what)) for n, what in enumerate(asked)]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return went

    return asyncio.run(run())


def test_cases_go_before_telemetry_before_records_before_their_blobs() -> None:
    asked = [(Turn.BLOB, 10), (Turn.RECORD, 10), (Turn.CASE, 10), (Turn.CONTROL, 10)]
    assert _order(*asked, budget=10) == [2, 3, 1, 0]


def test_equals_go_in_the_order_in_which_they_asked() -> None:
    assert _order(*[(Turn.CASE, 10)] * 5, budget=10) == [0, 1, 2, 3, 4]


def test_a_small_message_does_not_slip_past_a_large_one_of_more_weight() -> None:
    assert _order((Turn.CASE, 100), (Turn.BLOB, 1), budget=100) == [0, 1]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 300_000), min_size=1, max_size=30), st.data())
def test_bytes_on_the_line_stay_within_the_budget_or_are_one_message(
    sizes: list[int], data: st.DataObject
) -> None:
    cancelled = data.draw(st.sets(st.integers(0, len(sizes) - 1)))

    async def run() -> None:
        gate = Fixed(Clock())
        gate.budget_bytes = 300_000
        on_line: list[int] = []
        most: list[int] = []

        async def go(size: int) -> None:
            async with gate.turn(Turn.RECORD, size):
                on_line.append(size)
                most.append(sum(on_line) if len(on_line) > 1 else 0)
                try:
                    await asyncio.sleep(0)
                finally:
                    on_line.remove(size)

        tasks = [asyncio.create_task(go(size)) for size in sizes]
        await asyncio.sleep(0)
        for number in cancelled:
            tasks[number].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert max(most, default=0) <= 300_000
        async with asyncio.timeout(60), gate.turn(Turn.BLOB, 10**9):
            pass  # nothing was left behind

    asyncio.run(run())


def test_a_slow_line_gets_little_at_once_and_a_fast_one_much() -> None:
    async def budget(bytes_per_s: float) -> int:
        clock = Clock()
        gate = Gate(clock)
        for _ in range(30):
            async with gate.turn(Turn.RECORD, 200_000):
                clock.now_s += 200_000 / bytes_per_s
        return gate.budget_bytes

    slow, fast = asyncio.run(budget(8_000)), asyncio.run(budget(50e6))
    assert slow <= 64 * 1024
    assert fast >= 4_000_000


def test_small_messages_say_nothing_of_how_slow_a_line_is() -> None:
    async def run() -> None:
        clock = Clock()
        gate = Gate(clock)
        before = gate.budget_bytes
        async with gate.turn(Turn.CONTROL, 100):
            clock.now_s += 0.6  # a satellite's echo
        assert gate.budget_bytes == before

    asyncio.run(run())


# ----------------------------------------------------------------------------------------------
# Sizes


def _break_under(sizes: Sizes, *together: int) -> None:
    line = sizes.begin()
    for size_bytes in together:
        sizes.broke(line, size_bytes)


def test_one_break_says_nothing_about_sizes_however_many_messages_were_on_the_line() -> None:
    sizes = Sizes(200_000, Clock())
    _break_under(sizes, 39_000, 200_000, 200_000)
    assert sizes.most_bytes == 200_000


def test_a_size_under_which_the_line_broke_again_is_avoided_for_a_while() -> None:
    clock = Clock()
    sizes = Sizes(200_000, clock)
    _break_under(sizes, 150_000)
    _break_under(sizes, 30_000, 150_000)
    assert sizes.most_bytes == 75_000
    _break_under(sizes, 75_000)
    assert sizes.most_bytes == 75_000
    _break_under(sizes, 75_000)
    assert sizes.most_bytes == 37_500
    clock.now_s += 61
    assert sizes.most_bytes == 200_000


def test_each_time_that_large_ones_fail_again_they_are_avoided_for_longer() -> None:
    clock = Clock()
    sizes = Sizes(200_000, clock)
    waits = []
    for _ in range(9):
        _break_under(sizes, 200_000)
        _break_under(sizes, 200_000)
        began_s = clock.now_s
        while sizes.most_bytes < 200_000:
            clock.now_s += 10
        waits.append(clock.now_s - began_s)
    assert waits == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]


def test_what_was_acknowledged_once_stays_allowed() -> None:
    sizes = Sizes(200_000, Clock())
    sizes.acknowledged(120_000)
    for size_bytes in (120_000, 100_000, 200_000, 150_000, 150_000, 150_000):
        _break_under(sizes, size_bytes)
    assert sizes.most_bytes == 120_000


def test_messages_do_not_shrink_to_nothing() -> None:
    sizes = Sizes(200_000, Clock())
    for _ in range(60):
        _break_under(sizes, sizes.most_bytes)
    assert sizes.most_bytes == 4_096


# ----------------------------------------------------------------------------------------------
# Waiting


def test_waits_are_spread_over_all_of_a_bound_that_doubles() -> None:
    waits = []
    for _ in range(400):
        backoff = Backoff(1.0, 60.0)
        waits.append([backoff.next_s() for _ in range(10)])
    for step, bound_s in enumerate([1, 2, 4, 8, 16, 32, 60, 60, 60, 60]):
        column = [wait[step] for wait in waits]
        assert max(column) <= bound_s
        assert min(column) < 0.1 * bound_s
        assert statistics.mean(column) == pytest.approx(bound_s / 2, rel=0.2)


def test_a_success_sets_the_wait_back() -> None:
    backoff = Backoff(1.0, 60.0)
    for _ in range(100):
        backoff.next_s()
    assert backoff.bound_s() == 60.0
    backoff.succeeded()
    assert backoff.bound_s() == 1.0


def test_a_record_rests_longer_each_time_and_all_wake_when_it_was_not_their_fault() -> None:
    clock = Clock()
    patience = Patience(10.0, clock)
    rests = []
    for _ in range(8):
        patience.missed([7])
        rests.append(patience.next_s())
        clock.now_s += rests[-1]
        assert patience.resting() == set()
    assert rests[0] >= 10
    assert rests[3] >= 60
    assert max(rests) <= 300
    patience.missed(range(10))
    assert len(patience.resting()) == 10
    patience.wake_all()
    assert patience.resting() == set()


def test_what_breaks_the_line_again_and_again_rests_on_the_next_one() -> None:
    patience = Patience(10.0, Clock())
    for _ in range(3):
        patience.broke([1, 2])
        patience.forget([2])
        patience.on_new_line()
    assert patience.resting() == {1}


def test_the_centres_time_goes_on_and_never_back() -> None:
    clock = Clock()
    centre = CentreTime(clock)
    assert centre.now_us() is None
    centre.heard(1_000_000_000)
    clock.now_s += 5
    assert centre.now_us() == 1_005_000_000
    centre.heard(1_001_000_000)  # an old receipt
    assert centre.now_us() == 1_005_000_000
    centre.heard(2_000_000_000)
    assert centre.now_us() == 2_000_000_000


# ----------------------------------------------------------------------------------------------
# Certificates

DAY_S = 86_400.0


def _validity(ends_days: float) -> Validity:
    return Validity(Text("证书", "the certificate"), 0.0, ends_days * DAY_S, Text("换", "renew"))


@pytest.mark.parametrize(
    ("days", "level", "stage"),
    [
        (400, Level.OK, -1),
        (60.5, Level.OK, -1),
        (60, Level.WARNING, 60),
        (31, Level.WARNING, 60),
        (30, Level.WARNING, 30),
        (8, Level.WARNING, 30),
        (7, Level.WARNING, 7),
        (0.1, Level.WARNING, 7),
        (0, Level.DOWN, 0),
        (-5, Level.DOWN, 0),
    ],
)
def test_a_certificate_is_warned_of_60_30_and_7_days_before(
    days: float, level: Level, stage: int
) -> None:
    seen = outlook([_validity(1_000), _validity(100 + days)], 100 * DAY_S)
    assert seen
    assert (seen.level, seen.stage) == (level, stage)
    assert (seen.next_step.en == "renew") == (level is not Level.OK)
    assert ("urgent" in seen.text.en) == (stage == 7)


def test_without_certificates_there_is_nothing_to_say() -> None:
    assert outlook([], 0.0) is None
