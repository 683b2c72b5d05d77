"""The station's line to the centre: presence, key, telemetry, records out, receipts in."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from edge.config import UplinkSection
from edge.errors import ConfigError, LinkDown, Text
from edge.evidence.note import NoteVerifier
from edge.evidence.receipt import Receipt
from edge.health import Health, Level
from edge.store.store import Store
from edge.uplink.access import Access, read_access
from edge.uplink.mqtt import VERSIONS, Link, MessageTooLarge, open_link
from edge.uplink.paho_client import Will
from edge.uplink.pump import Pump
from edge.uplink.topics import Presence, Topics

log = logging.getLogger("steelyard.uplink")

TELEMETRY_PERIOD_S = 60.0
_TELEMETRY_EXPIRY_S = 600
_GOODBYE_S = 5.0


class Uplink:
    """Delivers the outbox; one call of ``run`` is one connection, the supervisor starts the next.

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
        health: Health,
        now_ns: Callable[[], int],
        on_receipt: Callable[[Receipt], None],
        telemetry: Callable[[], dict[str, Any]],
    ) -> None:
        self._store = store
        self._section = section
        self._station = station
        self._verifier_key = verifier_key
        self._resolve = resolve
        self._health = health
        self._now_ns = now_ns
        self._on_receipt = on_receipt
        self._telemetry = telemetry
        self._topics = Topics(station)
        self._pump = Pump(store, section, self._topics, health)
        self._versions: Sequence[int] = VERSIONS
        self._stopping = asyncio.Event()
        self._centre = _centre_verifier(section.centre_key)
        read_access(section, resolve)  # a wrong file is told at the start, not in the field

    async def run(self) -> None:
        """Deliver until cancelled; then drain for a moment and say goodbye.

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
        async with open_link(
            self._access(),
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
        await link.subscribe(self._topics.receipt)
        await link.publish(self._topics.key, self._verifier_key.encode(), retain=True)
        await link.publish(self._topics.state, Presence("online").encode(), retain=True)
        self._health.state("uplink", Level.OK, "已连接中心", "connected to the centre")
        await _first_to_end(
            self._pump.run(link, self._stopping),
            self._read_receipts(link),
            self._send_telemetry(link),
        )
        await link.publish(self._topics.state, Presence("offline", "stopped").encode(), retain=True)

    # ------------------------------------------------------------------------------------------
    # Receipts

    async def _read_receipts(self, link: Link) -> None:
        while True:
            for message in await link.receive():
                if message.topic == self._topics.receipt:
                    await self._take_receipt(message.payload)
                link.accept(message)

    async def _take_receipt(self, payload: bytes) -> None:
        try:
            receipt = Receipt.decode(payload, self._centre)
        except ValueError as error:
            self._distrust(error)
            return
        if receipt.status == "stored":
            closed = await self._store.acknowledge(receipt)
        else:
            closed = await self._take_refusal(receipt)
        if closed:
            self._health.count("uplink.receipts")
            self._pump.settle(receipt.index)
            self._tell_trust()
            self._on_receipt(receipt)

    async def _take_refusal(self, receipt: Receipt) -> bool:
        record = await self._store.record(receipt.index)
        delivery = await self._store.delivery(receipt.index)
        if record is None or record.record_id != receipt.record_id:
            return False
        if delivery.receipted_us is not None or delivery.poisoned is not None:
            return False  # decided before: an old refusal undoes nothing
        await self._pump.poison(receipt.index, f"中心拒收 / refused: {receipt.reason}")
        return True

    def _distrust(self, error: ValueError) -> None:
        self._health.count("uplink.receipts_bad")
        log.warning("回执无效，已忽略 / a receipt does not hold and was ignored: %s", error)
        self._health.state(
            "uplink.receipts",
            Level.WARNING,
            f"收到无效的回执，已忽略：{error}",
            f"a receipt does not hold and was ignored: {error}",
            next_step=Text(
                "核对 [uplink] centre_key；若正确，可能有人冒充中心",
                "check [uplink] centre_key; if it is right, somebody may pose as the centre",
            ),
        )

    def _tell_trust(self) -> None:
        if self._centre:
            self._health.state("uplink.receipts", Level.OK, "回执正常", "receipts arrive")
            return
        self._health.state(
            "uplink.receipts",
            Level.WARNING,
            "回执未经核对：没有配置中心的公钥",
            "receipts are taken unchecked: the centre's key is not configured",
            next_step=Text("设置 [uplink] centre_key", "set [uplink] centre_key"),
        )

    # ------------------------------------------------------------------------------------------
    # Telemetry

    async def _send_telemetry(self, link: Link) -> None:
        while True:
            body = {"time_us": self._now_ns() // 1000, **self._telemetry()}
            payload = json.dumps(body).encode()
            try:
                await link.publish(self._topics.telemetry, payload, expiry_s=_TELEMETRY_EXPIRY_S)
            except MessageTooLarge:
                self._health.count("uplink.telemetry_too_large")
            self._health.gauge("uplink.overflows", link.overflows)
            await asyncio.sleep(TELEMETRY_PERIOD_S)


def _centre_verifier(key: str | None) -> NoteVerifier | None:
    try:
        return NoteVerifier(key) if key else None
    except ValueError as error:
        raise ConfigError(
            f"[uplink] centre_key 不是有效的公钥：{error}",
            f"[uplink] centre_key is no verifier key: {error}",
            next_zh="向中心索取公钥，格式为 名称+编号+base64",
            next_en="ask the centre for its key, in the form name+id+base64",
        ) from error


async def _first_to_end(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends or fails; the others are cancelled."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
