"""Waits during which the machine stands still."""

from __future__ import annotations

import asyncio
import time

import pytest

from firmware_bridge.standstill import slices_s, within
from tests.standstill import stand_still

LIMIT_S = 0.2


def test_a_standstill_takes_no_more_than_two_of_the_slices() -> None:
    async def wait() -> float:
        begun_s = time.monotonic()
        asyncio.get_running_loop().call_soon(stand_still, 2 * LIMIT_S)
        for slice_s in slices_s(LIMIT_S):
            await asyncio.sleep(slice_s)
        return time.monotonic() - begun_s

    assert asyncio.run(wait()) >= 2.49 * LIMIT_S


def test_an_answer_that_lay_there_unread_is_taken() -> None:
    async def answer() -> str:
        stand_still(2 * LIMIT_S)
        await asyncio.sleep(0)
        return "here"

    assert asyncio.run(within(LIMIT_S, answer())) == "here"


def test_what_never_comes_is_cancelled_and_what_fails_is_told() -> None:
    ended = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(TimeoutError):
        asyncio.run(within(0.01, never()))
    assert ended
    with pytest.raises(ValueError, match="no"):
        asyncio.run(within(LIMIT_S, fails()))
