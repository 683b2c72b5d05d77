"""kill -9 wherever a station waits while it takes a command: it is done whole, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from edge.evidence.command import Command
from edge.store.store import Store
from tests.station.test_uplink_centre import Desk, desk

PACK = 'name = "x"\n'
PACK_SHA256 = hashlib.sha256(PACK.encode()).hexdigest()

STATION = textwrap.dedent(
    """
    import asyncio, os, signal, sys
    from pathlib import Path
    from tests.station.test_uplink_centre import desk

    class Killed:
        def __init__(self, work, wait):
            self.work, self.wait = work, wait

        def __await__(self):
            steps = self.work.__await__()
            for number, future in enumerate(steps, 1):
                yield future
                if number == self.wait:  # what it waited for has just become true
                    os.kill(os.getpid(), signal.SIGKILL)

    async def scenario(directory, payload, wait):
        async with desk(directory) as d:
            await Killed(d.commands.take(payload), wait)

    asyncio.run(scenario(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes(), int(sys.argv[3])))
    """
)


def _is_killed(directory: Path, payload: Path, wait: int) -> bool:
    arguments = [sys.executable, "-c", STATION, str(directory), str(payload), str(wait)]
    station = subprocess.run(
        arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert station.returncode in (0, -signal.SIGKILL), station.stderr
    return station.returncode != 0


async def _queued(store: Store) -> set[int]:
    """What waits of the six records before the command."""
    return {entry.index for entry in await store.outbox(100)} & set(range(6))


async def _prepare(d: Desk) -> None:
    await d.fill(6)
    await d.answered(*range(6))
    await d.fill(1)
    await d.store.poison(6, "too large")


ACTIONS: dict[str, dict[str, Any]] = {
    "resend": {"first": 1, "last": 3},
    "retry_poisoned": {},
    "rule_pack": {"sha256": PACK_SHA256, "toml": PACK},
    "message": {"zh": "请检查", "en": "please check"},
}


async def _is_done(d: Desk, action: str) -> bool:
    if action == "resend":
        return await _queued(d.store) == {1, 2, 3}
    if action == "retry_poisoned":
        return (await d.store.outbox_summary()).poisoned == 0
    if action == "rule_pack":
        return (d.packs / f"{PACK_SHA256}.toml").exists()
    return True


@pytest.mark.parametrize("action", ACTIONS)
def test_a_command_survives_a_kill_at_any_moment(tmp_path: Path, action: str) -> None:
    payload = tmp_path / "command"

    async def scenario(directory: Path, wait: int) -> bool:
        async with desk(directory) as d:
            await _prepare(d)
            command = Command("S1", 5, 1, 2**52, action, ACTIONS[action])
            payload.write_bytes(command.encode(d.centre))
        killed = await asyncio.to_thread(_is_killed, directory, payload, wait)
        async with desk(directory) as d:
            stated = await d.outcomes()
            assert stated in ([], ["taken"])
            if stated:  # what the log says was done
                assert await _is_done(d, action)
            await d.commands.take(payload.read_bytes())  # the broker never had its answer
            assert await _is_done(d, action)
            assert await d.outcomes() == ["taken", *(["replayed"] if stated else [])]
        return killed

    waits = 0
    while asyncio.run(scenario(tmp_path / str(waits), waits + 1)):
        waits += 1
    assert waits
