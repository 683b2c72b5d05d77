"""A station's store and uplink and a case system around a broker, for the uplink's tests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.clock import HostClock
from edge.config import UplinkSection
from edge.errors import Text
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.health import Health, Level, State
from edge.records import Draft, Record
from edge.store.store import Store
from edge.supervise import supervise
from edge.uplink.backoff import Backoff
from edge.uplink.uplink import Uplink
from simulator.case_store import CaseStore
from simulator.case_system import CaseSystem

STATION = "S1"


@dataclass
class Post:
    """A station that only appends and delivers."""

    directory: Path
    store: Store
    signer: NoteSigner
    health: Health = field(default_factory=lambda: Health(time.monotonic_ns))
    receipts: list[Receipt] = field(default_factory=list)

    async def append(
        self, blob: bytes | None = None, *, urgent: bool = False, text: str = "试 test"
    ) -> Record:
        """Seal one record, with a blob if given."""
        blobs = ()
        if blob is not None:
            blobs = (await self.store.put_blob(blob, "picture", "image/jpeg"),)
        draft = Draft("note", {"time_us": time.time_ns() // 1000, "text": text}, blobs, urgent)
        return await self.store.append(draft)

    @contextlib.asynccontextmanager
    async def delivering(self, broker: str, **section: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Run the uplink under the supervisor while the block runs."""
        uplink = self.uplink(broker, **section)
        task = asyncio.create_task(supervise("uplink", uplink.run, self.health))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def uplink(self, broker: str, **section: Any) -> Uplink:
        made = Uplink(
            self.store,
            UplinkSection(broker=broker, **section),
            station=STATION,
            verifier_key=self.signer.verifier_key,
            resolve=lambda path: self.directory / path,
            health=self.health,
            data_dir=self.directory,
            clock=HostClock(),
            on_receipt=self.receipts.append,
            telemetry=lambda: {"counters": self.health.snapshot().counters},
        )
        made._backoff = Backoff(longest_s=1.0)  # its waits are chance, up to a minute of it
        return made

    async def is_empty(self) -> bool:
        """Whether the outbox is empty."""
        return (await self.store.outbox_summary()).waiting == 0

    def state(self, name: str) -> State:
        """A state of the uplink, of the line itself where ``name`` is empty."""
        part = f"uplink.{name}" if name else "uplink"
        unknown = State(Level.WAITING, Text("", ""), 0)
        return self.health.snapshot().states.get(part, unknown)

    def count(self, name: str) -> int:
        """A counter of the uplink."""
        return self.health.snapshot().counters.get(f"uplink.{name}", 0)


@contextlib.asynccontextmanager
async def post(directory: Path) -> AsyncIterator[Post]:
    """A station's post with a fresh or an old store."""
    signer = NoteSigner.load_or_create(directory / "station.key", f"steelyard/{STATION}")
    store = await Store.open(
        directory,
        station=STATION,
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    try:
        yield Post(directory, store, signer)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def case_system(broker: str | UplinkSection, directory: Path) -> AsyncIterator[CaseSystem]:
    """A case system that listens while the block runs."""
    system = CaseSystem(broker, directory)
    task = asyncio.create_task(system.run())
    try:
        async with asyncio.timeout(60):
            await system.ready.wait()
        yield system
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], within_s: float = 180.0) -> None:
    """Wait until a condition, or a coroutine that tells it, holds."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.02)


@contextlib.contextmanager
def cases(directory: Path) -> Any:
    """The case system's store, read beside it."""
    with contextlib.closing(CaseStore.open(directory)) as store:
        yield store


def runs(test: Callable[..., Any]) -> Callable[..., None]:
    """An ``async def`` test, run to its end."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
