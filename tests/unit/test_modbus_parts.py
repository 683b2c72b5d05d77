"""Parts of Modbus without a line: whose turn it is, what a device may waste, what can be."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest

from firmware_bridge.modbus_budget import SHARE, Budget
from firmware_bridge.modbus_bus import ModbusBuses, Turns
from firmware_bridge.modbus_map import Register
from firmware_bridge.modbus_plausible import Plausibility
from firmware_bridge.modbus_requests import states_its_length


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> int:
        return round(self.s * 1e9)


def test_the_turn_goes_to_whoever_is_due_first() -> None:
    clock, order = Clock(), []

    async def work(turns: Turns, name: str, patience_s: float) -> None:
        async with turns.turn(patience_s):
            order.append(name)
            await asyncio.sleep(0)

    async def scenario() -> None:
        turns = Turns(clock)
        async with asyncio.TaskGroup() as group, turns.turn(0.0):
            for name, patience_s in (("low", 10.0), ("first", 1.0), ("second", 1.0)):
                group.create_task(work(turns, name, patience_s))
            await asyncio.sleep(0)
            clock.s = 0.5
            group.create_task(work(turns, "command", 0.0))
            await asyncio.sleep(0)
            clock.s = 9.5
            group.create_task(work(turns, "later", 1.0))
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert order == ["command", "first", "second", "low", "later"]


def test_who_gave_up_waiting_gets_no_turn_and_loses_none() -> None:
    async def scenario() -> None:
        turns, got = Turns(Clock()), []

        async def work(name: str) -> None:
            async with turns.turn(0.0):
                got.append(name)

        async with turns.turn(0.0):
            tasks = [asyncio.create_task(work(name)) for name in "abc"]
            await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.sleep(0)
        tasks[1].cancel()  # it has the turn by now, and does not know it yet
        await asyncio.wait(tasks)
        assert got == ["c"]
        async with asyncio.timeout(60), turns.turn(0.0):
            pass

    asyncio.run(scenario())


@pytest.mark.parametrize("answers_every", [0, 2, 3])
def test_what_a_bad_device_wastes_is_bounded(answers_every: int) -> None:
    clock = Clock()
    budget = Budget(0.5, clock)
    wasted_s, asked = 0.0, 0
    while clock.s < 600:
        clock.s += budget.wait_s
        asked += 1
        if answers_every and asked % answers_every == 0:
            clock.s += 0.02
            budget.answered(0.02)
            continue
        cost_s = budget.answer_s
        clock.s += cost_s
        wasted_s += cost_s
        budget.wasted(cost_s)
    assert wasted_s < 2 * 0.5 + 1.1 * SHARE * 600
    assert asked > 10


def test_one_answer_missing_costs_no_wait_and_a_dead_device_is_looked_for_shortly() -> None:
    clock = Clock()
    budget = Budget(0.5, clock)
    budget.answered(0.02)
    budget.wasted(0.5)
    assert (budget.spent, budget.wait_s) == (False, 0)
    budget.wasted(0.5)
    assert budget.spent
    assert 0 < budget.wait_s < 30
    assert budget.answer_s < 0.1
    clock.s += budget.wait_s
    assert budget.wait_s == pytest.approx(0, abs=1e-6)


def test_a_device_that_was_never_heard_gets_its_whole_timeout() -> None:
    budget = Budget(0.5, Clock())
    for _ in range(20):
        budget.wasted(0.5)
        assert budget.answer_s == 0.5


def test_a_device_that_became_slow_is_found_again() -> None:
    budget = Budget(0.5, Clock())
    budget.answered(0.01)
    waits = []
    for _ in range(17):
        budget.wasted(0.1)
        waits.append(budget.answer_s)
    assert waits.count(0.5) == 2


def probe(rate: float) -> Register:
    return Register("t", "input", 0, "i16", "big", 1, 0, "", -50, 90, rate, None)


def test_a_jump_is_held_back_until_it_is_repeated() -> None:
    counted: Counter[str] = Counter()

    def count(name: str) -> None:
        counted[name] += 1

    plausible, register = Plausibility(count), probe(2.0)
    told = [(20.0, 0), (21.5, 1), (60.0, 2), (22.0, 3), (60.0, 4), (61.0, 5), (None, 6), (62.0, 7)]
    believed = [plausible.believes(register, value, s * 1_000_000_000) for value, s in told]
    assert believed == [True, True, False, True, False, True, False, True]
    assert counted == {"jumps": 2, "out_of_range": 1}
    plausible.forget()
    assert plausible.believes(register, -40.0, 8_000_000_000)


def test_without_a_rate_anything_may_follow() -> None:
    plausible = Plausibility(lambda _: None)
    assert all(plausible.believes(probe(math.inf), v, 0) for v in (0.0, 80.0, -40.0))


def test_devices_on_one_line_share_its_owner() -> None:
    buses = ModbusBuses()
    first = buses.bus("rtu:///dev/ttyS90?baud=19200&parity=E")
    assert buses.bus("rtu:///dev/../dev/ttyS90?baud=19200&parity=E") is first
    assert buses.bus("tcp://192.0.2.1") is buses.bus("tcp://192.0.2.1:502")
    assert buses.bus("tcp://192.0.2.1") is not buses.bus("tcp://192.0.2.2")
    with pytest.raises(ValueError, match="elsewhere"):
        buses.bus("rtu:///dev/ttyS90?baud=9600&parity=E")


@pytest.mark.parametrize(
    ("pdu", "right"),
    [
        ("020107", True),
        ("028307", False),  # says 131 bytes of bits, and has one
        ("0304000100", False),
        ("03020001", True),
        ("8302", True),
        ("0600010002", True),
        ("03", False),
        ("", False),
    ],
)
def test_a_reply_is_as_long_as_it_says(pdu: str, right: bool) -> None:
    assert states_its_length(bytes.fromhex(pdu)) is right
