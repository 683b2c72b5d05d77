"""Power that fails at any byte of the flash, words that are lost, hosts that are killed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.stream import StreamDecoder
from simulator.firmware_flash import PowerCut
from simulator.firmware_slots import BootRecord
from tests.unit.test_update import NEW, OLD, Bench

CHANGED_BYTES = 1_800
"""More than an update of the bench changes in its flash."""


@given(
    cuts=st.lists(st.integers(0, CHANGED_BYTES), min_size=1, max_size=4),
    lost=st.sets(st.integers(1, 40), max_size=10),
    killed=st.sets(st.integers(1, 60), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_whatever_breaks_a_whole_program_runs_and_the_update_ends(
    cuts: list[int], lost: set[int], killed: set[int]
) -> None:
    bench = Bench(lose=lost)
    floors, waiting, switched = [bench.report_now.rollback], list(cuts), False
    for tick in range(1, 800):
        if waiting and bench.slots.flash.cut_after is None:
            bench.slots.flash.cut_after = waiting.pop()
        bench.tick()
        steps = [step.name for step in bench.host.take_steps()]
        switched = switched or "switching" in steps
        if bench.host.ended is None and tick in killed:
            bench.host = bench.new_host(switched=switched)
        floors.append(bench.report_now.rollback)
        if bench.host.ended == "confirmed":
            break
        if bench.host.ended == "rolled-back":  # three cuts within one trial: ordered once more
            bench.host, switched = bench.new_host(), False
    assert bench.host.ended == "confirmed"
    assert bench.device.image == NEW
    assert set(bench.ran) <= {OLD, NEW}
    assert floors == sorted(floors)
    assert floors[-1] == 4


@given(cut=st.integers(0, 31), active=st.integers(0, 1), floor=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_boot_record_is_the_old_one_or_the_new_one(cut: int, active: int, floor: int) -> None:
    slots = Bench().slots
    before = slots.write_record(BootRecord(active=1 - active, floor=7))
    slots.flash.cut_after = cut
    try:
        slots.write_record(BootRecord(active=active, floor=floor))
    except PowerCut:
        assert slots.record() == before
    else:
        raise AssertionError("32 bytes are changed, and the power fails before")


@given(st.binary(max_size=400), st.sampled_from([0x05, 0x85, 0x86, 0x87, 0x88]))
@settings(max_examples=100, deadline=None)
def test_no_body_of_a_frame_raises(body: bytes, code: int) -> None:
    from tests.unit.test_stream import _frame

    decoder = StreamDecoder()
    messages = decoder.feed(b"\0" + _frame(code, body))
    assert len(messages) + decoder.counters["malformed"] == 1
