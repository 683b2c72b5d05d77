"""kill -9 at any moment: what was acknowledged is there, the numbers have no hole."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.note import NoteVerifier
from edge.store.verify import TITLES, verify_store
from tests.evidence.sample import opened, station_signer

KILLS = 7

STATIONS = textwrap.dedent(
    """
    import asyncio, os, sys
    from pathlib import Path
    from tests.evidence.sample import opened, vehicle

    async def lane(store, name):
        while True:
            blob = await store.put_blob(os.urandom(20_000), "picture", "image/jpeg")
            record = await store.append(vehicle(name, verdict="over", blobs=(blob,)))
            print(record.index, record.record_id, flush=True)

    async def scenario(directory):
        async with opened(directory) as store:
            print(os.getpid(), flush=True)
            await asyncio.gather(lane(store, "1"), lane(store, "2"))

    for _ in sys.stdin:  # each station is a process of its own, and only this one has to import
        if station := os.fork():
            os.waitpid(station, 0)
            print("killed", flush=True)
        else:
            asyncio.run(scenario(Path(sys.argv[1])))
    """
)


def stations(directory: Path) -> subprocess.Popen[str]:
    """Starts a station for each line that it is told, when the one before was killed."""
    return subprocess.Popen(
        [sys.executable, "-c", STATIONS, str(directory)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_and_kill(started: subprocess.Popen[str], after: int, later_s: float) -> dict[int, str]:
    """Kill a station a moment after so many appends; what it had acknowledged by then."""
    assert started.stdin is not None
    assert started.stdout is not None
    print("one more", file=started.stdin, flush=True)
    station = int(started.stdout.readline())
    told = [started.stdout.readline() for _ in range(after)]
    time.sleep(later_s)
    os.kill(station, signal.SIGKILL)
    told += iter(started.stdout.readline, "killed\n")
    return {int(index): record_id for index, record_id in (line.split() for line in told)}


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    chance = random.Random(5)
    acknowledged: dict[int, str] = {}
    with stations(tmp_path) as started:
        for _ in range(KILLS):
            told = run_and_kill(started, chance.randrange(4), chance.uniform(0.0, 0.06))
            assert not acknowledged.keys() & told.keys(), "a number was given twice"
            acknowledged |= told
    assert len(acknowledged) > KILLS

    key = station_signer(tmp_path).verifier_key
    steps = verify_store(tmp_path, key, lambda _step: None)
    assert len(steps) == len(TITLES)
    assert all(step.ok for step in steps), steps
    asyncio.run(_check_acknowledged(tmp_path, acknowledged, NoteVerifier(key)))


async def _check_acknowledged(
    directory: Path, acknowledged: dict[int, str], verifier: NoteVerifier
) -> None:
    async with opened(directory) as store:
        waiting = {entry.index: entry.record_id for entry in await store.outbox(1_000_000)}
        assert acknowledged.items() <= waiting.items()
        assert sorted(waiting) == list(range(len(waiting)))
        for index in acknowledged:
            envelope = Envelope.decode(await store.envelope(index))
            assert verify_envelope(envelope, verifier)["index"] == index
            (blob,) = await store.deliverable_blobs(index)
            assert store.blob_path(blob.sha256).stat().st_size == blob.size_bytes
