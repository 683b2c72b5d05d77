"""A small central case system: verifies what stations send, keeps it, answers with receipts.

A receipt leaves only after the record and its blobs are proven and on the disk. The system may
be killed at any moment: what has no receipt comes again, what comes twice is counted once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from edge.config import UplinkSection
from edge.errors import LinkDown, StoreError
from edge.evidence.note import NoteSigner
from edge.health import Health, Level
from edge.supervise import OutageLog, supervise
from edge.uplink.access import read_access
from edge.uplink.mqtt import Link, open_link
from edge.uplink.paho_client import MQTT_5, MQTT_311
from edge.uplink.topics import ALL_STATIONS_UP
from simulator import case_commands
from simulator.case_intake import Intake, Outgoing
from simulator.case_store import CaseStore

CENTRE_NAME = "case-system"
CENTRE_KEY_FILE = "centre.key"

_VERSIONS = (MQTT_311, MQTT_5)
"""3.1.1 first: Mosquitto 2.0.11 forgets the sessions of MQTT 5 when it restarts."""
_COMMANDS_S = 0.5
_MOST_UNACKNOWLEDGED = 64


class CaseSystem:
    """Runs at the centre, for all stations of a broker.

    Parameters
    ----------
    broker
        ``mqtt://host:port``, or a whole ``[uplink]`` section with password and certificates.
    directory
        Where records, blobs and the key for receipts are kept.
    station_keys
        Verifier keys by station; a station that is not named is trusted on first use.
    receipt_delay_s
        Wait between storing records and answering: a centre that is slow, or killed in between.

    Raises
    ------
    ConfigError
        The key or a file of the access cannot be used.
    """

    def __init__(
        self,
        broker: str | UplinkSection,
        directory: Path,
        *,
        station_keys: Mapping[str, str] | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        receipt_delay_s: float = 0.0,
    ) -> None:
        self.ready = asyncio.Event()
        self.health = Health(time.monotonic_ns, OutageLog())
        self._section = UplinkSection(broker=broker) if isinstance(broker, str) else broker
        self._directory = directory
        self._station_keys = station_keys
        self._now_ns = now_ns
        self._receipt_delay_s = receipt_delay_s
        self._signer = NoteSigner.load_or_create(directory / CENTRE_KEY_FILE, CENTRE_NAME)

    @property
    def verifier_key(self) -> str:
        """What stations check receipts with (``[uplink] centre_key``)."""
        return self._signer.verifier_key

    async def run(self) -> None:
        """Serve until cancelled; an absent broker or a full disk is waited for."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="case-store") as thread:
            store = await loop.run_in_executor(thread, CaseStore.open, self._directory)
            intake = Intake(store, self._signer, self.health, self._now_ns, self._station_keys)
            try:
                store.blobs.prepare()
                serve = _Serving(self, store, intake, thread).run
                await supervise("case", serve, self.health)
            finally:
                thread.submit(intake.close).result()
                thread.submit(store.close).result()

    def _open_link(self) -> Any:
        access = read_access(self._section, Path.absolute)
        return open_link(access, client_id=CENTRE_NAME, versions=_VERSIONS)


class _Serving:
    """One connection after the other, on one store."""

    def __init__(
        self, system: CaseSystem, store: CaseStore, intake: Intake, thread: ThreadPoolExecutor
    ) -> None:
        self._system = system
        self._store = store
        self._intake = intake
        self._thread = thread
        self._publishing: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Serve on one connection until it is lost."""
        async with self._system._open_link() as link:
            await link.subscribe(ALL_STATIONS_UP)
            self._system.health.state("case", Level.OK, "已连接消息平台", "connected to the broker")
            self._system.ready.set()
            parts = {
                asyncio.create_task(self._take_all(link)),
                asyncio.create_task(self._send_commands(link)),
            }
            try:
                ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in ended:
                    part.result()
            except StoreError as error:  # a full disk: nothing was accepted, all comes again
                raise _waits(error) from error
            finally:
                self._system.ready.clear()
                await self._cancel(*parts, *self._publishing)

    async def _take_all(self, link: Link) -> None:
        while True:
            await self._take_waiting(link)

    async def _take_waiting(self, link: Link) -> None:
        """The next batch is taken while the answers to the one before are on their way."""
        messages = await link.receive()
        answers = await self._in_store(self._intake.take, messages)
        if self._system._receipt_delay_s and any(answer.is_receipt for answer in answers):
            await asyncio.sleep(self._system._receipt_delay_s)
        for message in messages:
            link.accept(message)
        await self._publish(link, answers)

    async def _publish(self, link: Link, answers: Iterable[Outgoing]) -> None:
        for answer in answers:
            if len(self._publishing) >= _MOST_UNACKNOWLEDGED:
                await self._reap(asyncio.FIRST_COMPLETED)
            self._publishing.add(asyncio.create_task(link.publish(*answer)))
        await self._reap(None)

    async def _reap(self, until: Any) -> None:
        """Forget what the broker has acknowledged; a line that was lost is told."""
        if until:
            await asyncio.wait(self._publishing, return_when=until)
        done = {task for task in self._publishing if task.done()}
        self._publishing -= done
        for task in done:
            task.result()

    async def _send_commands(self, link: Link) -> None:
        while True:
            now_us = self._system._now_ns() // 1000
            signer = self._system._signer
            waiting = await self._in_store(case_commands.to_send, self._store, signer, now_us)
            for command, topic, payload in waiting:
                await link.publish(topic, payload)
                await self._in_store(case_commands.sent, self._store, command, now_us)
                self._system.health.count("case.commands_sent")
            await asyncio.sleep(_COMMANDS_S)

    async def _cancel(self, *tasks: asyncio.Task[Any]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._publishing.clear()

    async def _in_store(self, function: Callable[..., Any], *values: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *values)


def _waits(error: StoreError) -> LinkDown:
    return LinkDown(*error.what, next_zh=error.next_step.zh, next_en=error.next_step.en)
