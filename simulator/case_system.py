"""A small central case system: verifies what stations send, keeps it, answers with receipts.

A receipt leaves only after the record and its blobs are proven and on the disk. The system may
be killed at any moment: what has no receipt comes again, what comes twice is counted once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edge.config import UplinkSection
from edge.evidence.note import NoteSigner
from edge.health import Health, Level
from edge.supervise import OutageLog, supervise
from edge.uplink.access import read_access
from edge.uplink.mqtt import open_link
from edge.uplink.paho_client import MQTT_5, MQTT_311
from edge.uplink.topics import ALL_STATIONS_UP, Topics
from simulator.case_intake import Answer, Intake
from simulator.case_store import CaseStore

CENTRE_NAME = "case-system"
CENTRE_KEY_FILE = "centre.key"

_VERSIONS = (MQTT_311, MQTT_5)
"""3.1.1 first: Mosquitto 2.0.11 forgets the sessions of MQTT 5 when it restarts."""


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
    ) -> None:
        self.ready = asyncio.Event()
        self.health = Health(time.monotonic_ns, OutageLog())
        self._section = UplinkSection(broker=broker) if isinstance(broker, str) else broker
        self._directory = directory
        self._station_keys = station_keys
        self._now_ns = now_ns
        self._signer = NoteSigner.load_or_create(directory / CENTRE_KEY_FILE, CENTRE_NAME)

    @property
    def verifier_key(self) -> str:
        """What stations check receipts with (``[uplink] centre_key``)."""
        return self._signer.verifier_key

    async def run(self) -> None:
        """Serve until cancelled; an absent broker is waited for."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, thread_name_prefix="case-store") as thread:
            store = await loop.run_in_executor(thread, CaseStore.open, self._directory)
            try:
                store.blobs.prepare()
                intake = Intake(store, self.health, self._now_ns, self._station_keys)
                await supervise("case", lambda: self._serve(intake, thread), self.health)
            finally:
                thread.submit(store.close).result()

    async def _serve(self, intake: Intake, thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        access = read_access(self._section, Path.absolute)
        async with open_link(access, client_id=CENTRE_NAME, versions=_VERSIONS) as link:
            await link.subscribe(ALL_STATIONS_UP)
            self.health.state("case", Level.OK, "已连接消息平台", "connected to the broker")
            self.ready.set()
            try:
                while True:
                    messages = await link.receive()
                    answers = await loop.run_in_executor(thread, intake.take, messages)
                    for message in messages:
                        link.accept(message)
                    await asyncio.gather(*(link.publish(*self._sealed(a)) for a in answers))
            finally:
                self.ready.clear()

    def _sealed(self, answer: Answer) -> tuple[str, bytes]:
        return Topics(answer.station).receipt, answer.receipt.encode(self._signer)
