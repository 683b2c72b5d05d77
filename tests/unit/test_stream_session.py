"""The host's side of a digitiser's stream: loss, order, restarts, inputs."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.session import (
    OLD_FRAMES,
    BlockSeen,
    DigitiserSession,
    EdgesSeen,
    Event,
    HelloSeen,
    StatusSeen,
)
from firmware_bridge.stream import (
    Hello,
    Inputs,
    Samples,
    Start,
    Status,
    Stop,
    StreamDecoder,
    Time,
    encode,
)

NS = 1_000_000
"""One sample at 1 kHz, in nanoseconds."""


def hello(sequence: int, *, boot_id: int = 1, rate_hz: float = 1_000.0, number: int = 3) -> bytes:
    return encode(Hello(number, sequence, 0, "S", "M", "1", 2, rate_hz, 0.5, boot_id))


def block(sequence: int, sample: int, n: int = 10, *, channels: int = 2, number: int = 3) -> bytes:
    return encode(Samples(number, sequence, sample, np.zeros((n, channels), np.int32)))


def edge(sequence: int, sample: int, number: int, active: bool) -> bytes:
    return encode(Inputs(3, sequence, sample, ((sample, number, active),)))


def status(sequence: int, sample: int, inputs_mask: int = 0) -> bytes:
    return encode(Status(3, sequence, sample, 20.0, 24.0, 0, 0, inputs_mask))


def told(*frames: bytes) -> tuple[list[Event], dict[str, int]]:
    session = DigitiserSession(3, now_ns=lambda: 0)
    events = [e for i, f in enumerate(frames) for e in session.receive(f, i * 10 * NS)]
    return events, {k: v for k, v in session.counters.items() if v and k != "frames"}


def blocks(events: list[Event]) -> list[tuple[int, int, bool]]:
    return [
        (e.first_sample, e.lost_before, e.restarted) for e in events if isinstance(e, BlockSeen)
    ]


def test_an_unbroken_stream_has_nothing_to_tell() -> None:
    events, counted = told(hello(0), block(1, 0), edge(2, 12, 4, True), block(3, 10), status(4, 20))
    assert blocks(events) == [(0, 0, False), (10, 0, False)]
    assert isinstance(events[0], HelloSeen)
    assert events[0].first
    assert events[2] == EdgesSeen(((12, 4, True),))
    assert counted == {"inputs_mended": 1}  # this STATUS says that input 4 is not active


def test_nothing_is_taken_before_the_device_named_itself() -> None:
    events, counted = told(block(0, 0), edge(1, 3, 0, True), hello(2), block(3, 20))
    assert blocks(events) == [(20, 0, False)]
    assert counted == {"unannounced": 2}


def test_a_lost_block_stands_before_the_next() -> None:
    events, counted = told(hello(0), block(1, 0), block(4, 30))
    assert blocks(events) == [(0, 0, False), (30, 20, False)]
    assert counted == {"lost_frames": 2, "lost_samples": 20}


def test_samples_that_the_device_itself_dropped_are_lost_too() -> None:
    events, counted = told(hello(0), block(1, 0), block(2, 15))
    assert blocks(events) == [(0, 0, False), (15, 5, False)]
    assert counted == {"lost_samples": 5}


def test_a_damaged_frame_is_a_loss() -> None:
    bent = bytearray(block(2, 10))
    bent[30] ^= 4
    events, counted = told(hello(0), block(1, 0), bytes(bent), block(3, 20))
    assert blocks(events) == [(0, 0, False), (20, 10, False)]
    assert counted == {"damaged": 1, "lost_frames": 1, "lost_samples": 10}


def test_a_frame_twice_and_an_old_frame_are_dropped() -> None:
    events, counted = told(hello(0), block(1, 0), block(1, 0), block(3, 20), block(2, 10))
    assert blocks(events) == [(0, 0, False), (20, 10, False)]
    assert counted == {"duplicates": 1, "reordered": 1, "lost_frames": 1, "lost_samples": 10}


def test_sequence_numbers_go_round() -> None:
    last = (1 << 32) - 1
    events, counted = told(hello(last - 1), block(last, 0), block(0, 10), block(1, 20))
    assert [b[0] for b in blocks(events)] == [0, 10, 20]
    assert not counted


def test_another_boot_is_a_restart_flagged_in_the_next_block() -> None:
    events, counted = told(
        hello(0), block(1, 0), block(2, 10), hello(0, boot_id=2), block(1, 0), block(2, 10)
    )
    assert blocks(events) == [(0, 0, False), (10, 0, False), (0, 0, True), (10, 0, False)]
    assert [e.first for e in events if isinstance(e, HelloSeen)] == [True, True]
    assert counted == {"restarts": 1}


def test_a_counter_that_fell_back_is_a_restart() -> None:
    events, counted = told(hello(0), block(1, 100), block(2, 0), block(3, 10))
    assert blocks(events) == [(100, 0, False), (0, 0, True), (10, 0, False)]
    assert counted == {"restarts": 1}


def test_a_sequence_far_behind_is_a_restart() -> None:
    events, counted = told(hello(OLD_FRAMES), block(OLD_FRAMES + 1, 500), block(0, 0))
    assert blocks(events) == [(500, 0, False), (0, 0, True)]
    assert counted == {"restarts": 1}


def test_a_restart_soon_after_the_start_is_known_by_its_hello_at_the_latest() -> None:
    events, counted = told(
        hello(0), block(1, 0), block(2, 10), block(1, 0), hello(2, boot_id=2), block(3, 20)
    )
    assert blocks(events) == [(0, 0, False), (10, 0, False), (20, 0, True)]
    assert counted == {"reordered": 1, "restarts": 1}


def test_many_frames_at_once_tell_what_they_tell_one_by_one() -> None:
    sent = [block(i, 10 * i) for i in (1, 2, 3, 3, 4, 5, 2, 8, 9, 10)]
    sent += [hello(0, boot_id=2), *(block(i, 10 * i - 10) for i in (1, 2, 3, 4))]
    sent += [block(i, 10 * i, channels=3) for i in (5, 6, 7)]
    one_by_one, counted = told(hello(0), *sent)
    at_once, counted_at_once = told(hello(0) + b"".join(sent))
    assert counted_at_once == counted
    assert counted["duplicates"] == counted["reordered"] == counted["restarts"] == 1
    assert counted["misshapen"] == 3
    for kind in (HelloSeen, BlockSeen):
        assert any(isinstance(event, kind) for event in at_once)
    assert _each_sample(at_once) == _each_sample(one_by_one)


def _each_sample(events: list[Event]) -> list[tuple[int, int, bool]]:
    """Sample, loss before it, restart before it: for every sample, however blocks were joined."""
    return [
        (e.first_sample + i, 0 if i else e.lost_before, not i and e.restarted)
        for e in events
        if isinstance(e, BlockSeen)
        for i in range(len(e.counts))
    ]


def test_overlapping_samples_are_never_joined_to_what_was_given() -> None:
    events, _ = told(hello(0), block(1, 0), block(2, 5))
    assert blocks(events) == [(0, 0, False), (5, 0, True)]


def test_another_number_of_channels_is_dropped_and_leaves_a_gap() -> None:
    events, counted = told(hello(0), block(1, 0), block(2, 10, channels=3), block(3, 20))
    assert blocks(events) == [(0, 0, False), (20, 10, False)]
    assert counted == {"misshapen": 1, "lost_samples": 10}


def test_other_devices_and_hosts_are_foreign() -> None:
    events, counted = told(
        hello(0, number=4), encode(Stop(3, 0, 0)), hello(0), block(9, 0, number=4)
    )
    assert blocks(events) == []
    assert counted == {"foreign": 3}


def test_a_lost_edge_is_made_up_for_by_the_status() -> None:
    events, counted = told(hello(0), edge(1, 3, 0, True), block(2, 0), status(4, 10), status(5, 12))
    edges = [e.edges for e in events if isinstance(e, EdgesSeen)]
    assert edges == [((3, 0, True),), ((10, 0, False),)]
    assert counted == {"lost_frames": 1, "inputs_mended": 1}
    assert sum(isinstance(e, StatusSeen) for e in events) == 2


def test_inputs_active_at_the_start_are_told_by_the_status() -> None:
    events, _ = told(hello(0), status(1, 5, inputs_mask=0b1001))
    assert events[1] == EdgesSeen(((5, 0, True), (5, 3, True)))


def test_the_greeting_is_the_time_and_start_numbered_on() -> None:
    session = DigitiserSession(3, now_ns=lambda: 123)
    line = session.greeting() + session.greeting()
    assert StreamDecoder().feed(line) == [
        Time(3, 0, 0, 123),
        Start(3, 1, 0),
        Time(3, 2, 0, 123),
        Start(3, 3, 0),
    ]


@pytest.mark.parametrize("rate_hz", [1_000.0, 2_000.0])
def test_the_clock_follows_the_rate_of_the_hello(rate_hz: float) -> None:
    session = DigitiserSession(3, hidden_delay_ns=5)
    session.receive(hello(0, rate_hz=rate_hz), 0)
    session.receive(block(1, 0, n=10), 77)
    fit = session.clock.reading()
    assert (fit.ref_sample, fit.ref_utc_ns) == (10, 77)
    assert fit.ns_per_sample == pytest.approx(1e9 / rate_hz)


def test_a_restart_makes_the_clock_unsure_again() -> None:
    session = DigitiserSession(3)
    session.receive(hello(0) + block(1, 0), 0)
    session.receive(hello(0, boot_id=2) + block(1, 0), 50 * NS)
    fit = session.clock.reading()
    assert fit.stepped
    assert not fit.settled
    assert (fit.ref_sample, fit.ref_utc_ns) == (10, 50 * NS)
