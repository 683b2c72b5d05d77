"""The station's line to the centre: its records out, what the centre says in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.clock import HostClock
from edge.config import UplinkSection
from edge.errors import ConfigError, LinkDown, StoreError, why_zh
from edge.evidence.note import NoteVerifier
from edge.evidence.receipt import Receipt
from edge.health import Health, Level
from edge.store.store import Store
from edge.uplink.access import Access, read_access
from edge.uplink.backoff import Backoff
from edge.uplink.blobs import BlobState
from edge.uplink.centre_time import CentreTime
from edge.uplink.commands import Commands
from edge.uplink.gate import Sizes
from edge.uplink.line import Line
from edge.uplink.mqtt import VERSIONS, Link, open_link
from edge.uplink.paho_client import Message, Will
from edge.uplink.porter import Porter
from edge.uplink.pump import Pump
from edge.uplink.receipts import Receipts
from edge.uplink.refusals import PublishRefused
from edge.uplink.tasks import first_to_end
from edge.uplink.telemetry import Telemetry
from edge.uplink.topics import MOST_CHUNK_BYTES, Presence, Reads, Topics, blob_of_state
from edge.uplink.witness import Witness

PACKS_DIRECTORY = "rule-packs"
"""Below the data directory: packs that the centre sent, for a person to adopt."""
_GOODBYE_S = 5.0
_STEADY_S = 60.0
"""A connection that stood so long counts as a success, whatever went over it."""


class Uplink:
    """Delivers the outbox, over one connection after the other.

    Raises
    ------
    ConfigError
        A file or key named in ``[uplink]`` cannot be used.
    """

    def __init__(
        self,
        store: Store,
        section: UplinkSection,
        *,
        station: str,
        verifier_key: str,
        resolve: Callable[[Path], Path],
        data_dir: Path,
        health: Health,
        clock: HostClock,
        on_receipt: Callable[[Receipt], None],
        telemetry: Callable[[], dict[str, Any]],
    ) -> None:
        self._store = store
        self._section = section
        self._station = station
        self._topics = topics = Topics(station)
        self._verifier_key = verifier_key
        self._resolve = resolve
        self._health = health
        self._clock = clock
        self._telemetry = Telemetry(health, clock, topics, telemetry)
        self._on_receipt = on_receipt
        self._versions: Sequence[int] = VERSIONS
        self._stopping = asyncio.Event()
        self._backoff = Backoff()
        self._sizes = Sizes(MOST_CHUNK_BYTES)
        self._porter: Porter | None = None
        centre, centre_time = centre_verifier(section.centre_key), CentreTime()
        self._witness = Witness(
            store,
            topics,
            health,
            centre=centre,
            clock=clock,
            centre_time=centre_time,
            seal=store.append,
        )
        self._pump = Pump(store, section, topics, health, on_case=self._witness.nudge)
        self._receipts = Receipts(
            store,
            self._pump,
            health,
            station=station,
            centre=centre,
            on_receipt=self._tell_receipt,
            witness=self._witness,
            centre_time=centre_time,
        )
        self._commands = Commands(
            store,
            health,
            station=station,
            centre=centre,
            clock=clock,
            centre_time=centre_time,
            packs=data_dir / PACKS_DIRECTORY,
            seal=store.append,
            wake_pump=self._pump.wake,
            wake_witness=self._witness.nudge,
        )
        read_access(section, resolve)  # a wrong file is told at the start, not in the field

    async def run(self) -> None:
        """Deliver until cancelled, connecting again and again with a fair wait in between."""
        while True:
            began_s = time.monotonic()
            try:
                await self.connect()
            except (LinkDown, StoreError) as error:  # a full disk passes, and nothing is lost
                self._health.count("uplink.outages")
                self._health.state("uplink", Level.DOWN, *error.what, next_step=error.next_step)
            if time.monotonic() - began_s >= _STEADY_S:
                self._backoff.succeeded()
            await asyncio.sleep(self._backoff.next_s())

    async def connect(self) -> None:
        """Deliver over one connection; when cancelled, drain for a moment and say goodbye.

        Raises
        ------
        LinkDown
            No connection, or it was lost; nothing is lost with it.
        StoreError
            The store failed.
        """
        self._stopping.clear()
        connection = asyncio.create_task(self._connection(), name="uplink-connection")
        try:
            await asyncio.shield(connection)
        except asyncio.CancelledError:
            self._stopping.set()
            await asyncio.wait([connection], timeout=_GOODBYE_S)
            raise
        finally:
            connection.cancel()
            await asyncio.gather(connection, return_exceptions=True)

    async def _connection(self) -> None:
        will = Will(self._topics.state, Presence("offline", "lost").encode())
        self._health.state("uplink", Level.WAITING, "正在连接中心", "connecting to the centre")
        access = self._access()
        self._telemetry.watch(access.certificates)
        async with open_link(
            access,
            client_id=f"steelyard-{self._station}",
            will=will,
            window=self._section.window,
            versions=self._versions,
        ) as link:
            # What the broker took last time is tried first next time.
            self._versions = tuple(sorted(VERSIONS, key=lambda v: v != link.version))
            try:
                await self._serve(link)
            except LinkDown:
                self._health.count("uplink.disconnects")
                raise

    def _access(self) -> Access:
        try:
            return read_access(self._section, self._resolve)
        except ConfigError as error:  # a file that went bad later must not stop the weighing
            raise LinkDown(
                *error.what, next_zh=error.next_step.zh, next_en=error.next_step.en
            ) from error

    async def _serve(self, link: Link) -> None:
        await link.subscribe(self._topics.all_down)
        await self._announce(link, self._topics.key, self._verifier_key.encode())
        await self._announce(link, self._topics.state, Presence("online").encode())
        self._health.state("uplink", Level.OK, "已连接中心", "connected to the centre")
        first = await self._witness.begin()
        line = Line(link, self._sizes)
        self._porter = porter = self._new_porter(line)
        try:
            await first_to_end(
                self._witness.run(line, first),
                self._pump.run(line, porter, self._stopping),
                self._listen(link),
                self._telemetry.run(line),
            )
        finally:
            await porter.close()
        await self._announce(link, self._topics.state, Presence("offline", "stopped").encode())

    def _new_porter(self, line: Line) -> Porter:
        return Porter(
            line,
            self._topics,
            self._store.blob_path,
            self._health,
            answer_s=self._section.receipt_timeout_s,
            lacks=self._pump.lacks,
        )

    async def _announce(self, link: Link, topic: str, payload: bytes) -> None:
        """Publish what is useful but delivers nothing: a refusal is no reason to stop."""
        try:
            await link.publish(topic, payload, retain=True)
        except PublishRefused as refused:
            self._telemetry.note_refusal(refused)

    # ------------------------------------------------------------------------------------------
    # What the centre says

    async def _listen(self, link: Link) -> None:
        while True:
            messages = await link.receive()
            await self._take(messages)
            for message in messages:
                link.accept(message)

    async def _take(self, messages: Sequence[Message]) -> None:
        receipts = []
        for message in messages:
            if message.topic == self._topics.receipt:
                receipts.append(message.payload)
            elif message.topic == self._topics.witness:
                await self._witness.take(message.payload)
            elif message.topic == self._topics.command:
                await self._commands.take(message.payload)
            elif message.topic == self._topics.reads:
                self._take_reads(message.payload)
            elif sha256 := blob_of_state(message.topic):
                self._take_blob_state(sha256, message.payload)
            else:
                self._health.count("uplink.unknown")
        await self._receipts.take(receipts)

    def _take_reads(self, payload: bytes) -> None:
        try:
            self._pump.reads(Reads.decode(payload).schemas)
        except ValueError:
            self._health.count("uplink.unknown")

    def _take_blob_state(self, sha256: str, payload: bytes) -> None:
        try:
            state = BlobState.decode(payload)
        except ValueError:
            state = None
        if state and state.sha256 == sha256 and self._porter:
            self._porter.told(state)
        else:
            self._health.count("uplink.blob_states_bad")

    def _tell_receipt(self, receipt: Receipt) -> None:
        self._backoff.succeeded()
        self._on_receipt(receipt)


def centre_verifier(key: str | None) -> NoteVerifier | None:
    """The key that proves receipts and cosignatures; None where the station file gives none.

    Raises
    ------
    ConfigError
        It is no verifier key.
    """
    try:
        return NoteVerifier(key) if key else None
    except ValueError as error:
        raise ConfigError(
            f"[uplink] centre_key 不是有效的公钥{why_zh(error)}",
            f"[uplink] centre_key is no verifier key: {error}",
            next_zh="向中心索取公钥，格式为 名称+编号+base64",
            next_en="ask the centre for its key, in the form name+id+base64",
        ) from error
