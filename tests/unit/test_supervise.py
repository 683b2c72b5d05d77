"""Retry by class of error; an outage is one line in the log, its end another."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge import supervise as module
from edge.errors import ConfigError, LinkDown
from edge.health import Health, Level
from edge.supervise import OutageLog, SystemdNotifier, end_tasks, supervise


def ticking() -> Callable[[], int]:
    count = iter(range(1_000_000))
    return lambda: next(count)


def failing(times: int, error: Exception, health: Health) -> Callable[[], Awaitable[None]]:
    left = [times]

    async def run() -> None:
        if left[0]:
            left[0] -= 1
            raise error
        health.state("port", Level.OK, "正常", "works")

    return run


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_wait_s", lambda attempt, bounds: 0.0)


def test_an_outage_is_logged_once_down_and_once_up(
    quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    health = Health(ticking(), OutageLog())
    asyncio.run(supervise("port", failing(7, LinkDown("断开", "gone"), health), health))
    assert [r.getMessage() for r in caplog.records] == ["port: 断开 / gone", "port: 正常 / works"]
    assert health.snapshot().counters["port.outages"] == 7


def test_what_no_retry_can_mend_ends_the_station(quick: None) -> None:
    health = Health(ticking())
    with pytest.raises(ConfigError):
        asyncio.run(supervise("port", failing(1, ConfigError("错", "wrong"), health), health))


def test_a_defect_is_counted_and_tried_again(quick: None, caplog: pytest.LogCaptureFixture) -> None:
    health = Health(ticking())
    asyncio.run(supervise("port", failing(2, ZeroDivisionError("x"), health), health))
    assert health.snapshot().counters["port.defects"] == 2
    assert "ZeroDivisionError" in caplog.text


def test_waits_grow_to_their_bound_and_never_past_it() -> None:
    waits = [module._wait_s(n, (0.3, 5.0)) for n in range(40)]
    assert waits[0] < 0.4
    assert all(4.0 <= w <= 6.0 for w in waits[8:])


def test_systemd_hears_datagrams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(path)
        ear.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        notifier = SystemdNotifier()
        notifier.send("READY=1")
        assert ear.recv(100) == b"READY=1"
        assert notifier.interval_s == 2.0


def test_a_task_that_swallows_its_cancellation_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CANCEL_AGAIN_S", 0.02)
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while swallowed < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
        await asyncio.sleep(60)

    async def scenario() -> None:
        tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(60))]
        await asyncio.sleep(0)
        await asyncio.wait_for(end_tasks(tasks), 60)
        assert all(task.cancelled() for task in tasks)

    asyncio.run(scenario())
    assert swallowed == 2
