"""Restarts what failed, by class of error; logs an outage once down and once up; feeds systemd.

=====================  ==========================================================
error                  policy
=====================  ==========================================================
``LinkDown``           try again soon, 0.3 s growing to 5 s with jitter; at once when the path of
                       its port appears
``DeviceFault``        try again slowly, 2 s growing to 30 s
``StoreError``         as a device: a full disk is cleared, and the weighing must not end meanwhile
other ``SteelyardError``  not for us: it ends the station with its own exit code
anything else          a defect of the program: counted, logged whole, tried again
=====================  ==========================================================
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from edge.errors import DeviceFault, LinkDown, SteelyardError, StoreError
from edge.health import Health, Level, State

log = logging.getLogger("steelyard")

CANCEL_AGAIN_S = 5.0
"""Time for a task to put its things away before it is cancelled once more."""

_RETRY_S: dict[type[SteelyardError], tuple[float, float]] = {
    LinkDown: (0.3, 5.0),
    DeviceFault: (2.0, 30.0),
    StoreError: (2.0, 30.0),
}
_DEFECT_RETRY_S = (1.0, 30.0)

_LOOK_S = 0.25
"""How often a path is looked for whose line went away."""


class OutageLog:
    """Listens to health: one line when a part goes down, one when it is up again."""

    def __init__(self) -> None:
        self._down: set[str] = set()

    def __call__(self, part: str, state: State) -> None:
        if state.level is Level.DOWN and part not in self._down:
            self._down.add(part)
            log.warning("%s: %s", part, state.text)
        elif state.level is Level.OK and part in self._down:
            self._down.remove(part)
            log.info("%s: %s", part, state.text)


async def supervise(part: str, run: Callable[[], Awaitable[None]], health: Health) -> None:
    """Run ``run`` until it ends by itself or is cancelled; start it again when it fails.

    The wait starts over once the part was up, so that a line that drops once a day is back at
    once, and one that never comes costs next to nothing.
    """
    attempt = 0
    while True:
        try:
            await run()
            return
        except SteelyardError as error:
            bounds = next((b for kind, b in _RETRY_S.items() if isinstance(error, kind)), None)
            if bounds is None:
                raise
            attempt = 0 if _was_up(part, health) else attempt
            health.count(f"{part}.outages")
            health.state(part, Level.DOWN, *error.what, next_step=error.next_step)
            appears = error.appears if isinstance(error, LinkDown) else None
        except Exception as error:  # a defect in one part must not stop the weighing
            log.exception("%s: defect in the program", part)
            bounds, appears = _DEFECT_RETRY_S, None
            health.count(f"{part}.defects")
            health.state(
                part, Level.DOWN, f"程序缺陷（技术细节：{error!r}）", f"program defect: {error!r}"
            )
        appeared = await _pause(_wait_s(attempt, bounds), appears)
        attempt = 0 if appeared else attempt + 1


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended.

    Once is not enough: ``asyncio.wait_for`` of Python 3.11 swallows a cancellation that meets the
    answer it waits for, and libraries use it.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)


async def _pause(wait_s: float, appears: Path | None) -> bool:
    """Wait; no longer than until a path appears, and true if it did."""
    end_s = asyncio.get_running_loop().time() + wait_s
    while (left_s := end_s - asyncio.get_running_loop().time()) > 0:
        await asyncio.sleep(min(left_s, _LOOK_S) if appears else left_s)
        if appears is not None and os.access(appears, os.F_OK):
            return True
    return False


def _was_up(part: str, health: Health) -> bool:
    state = health.snapshot().states.get(part)
    return state is not None and state.level is Level.OK


def _wait_s(attempt: int, bounds: tuple[float, float]) -> float:
    first, most = bounds
    return min(most, first * 2.0 ** min(attempt, 16)) * random.uniform(0.8, 1.2)


class SystemdNotifier:
    """READY, STATUS and WATCHDOG datagrams for systemd; silent where systemd does not listen.

    sd_notify(3): one datagram to ``$NOTIFY_SOCKET``; a leading ``@`` is the abstract namespace.
    """

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.interval_s = int(os.environ.get("WATCHDOG_USEC", "0")) / 2e6
        """Half the watchdog's time, 0 where there is none."""

    def send(self, message: str) -> None:
        """Send one message, such as ``READY=1``."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            try:
                door.sendto(message.encode(), self._address)
            except OSError as error:
                log.warning("systemd does not listen: %s", error)

    async def feed_watchdog(self) -> None:
        """Tell systemd that the event loop turns, for as long as it asks."""
        while self.interval_s:
            self.send("WATCHDOG=1")
            await asyncio.sleep(self.interval_s)


async def notify_systemd() -> None:
    """Tell systemd that the station runs, then feed its watchdog until cancelled."""
    notifier = SystemdNotifier()
    notifier.send("READY=1")
    await notifier.feed_watchdog()
