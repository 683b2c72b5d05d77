"""Receipts: what the centre's signature proves delivered leaves the outbox, and nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from edge.errors import Text, why_zh
from edge.evidence.note import NoteVerifier
from edge.evidence.receipt import Receipt
from edge.health import Health, Level
from edge.store.store import Store
from edge.uplink.centre_time import CentreTime
from edge.uplink.pump import Pump
from edge.uplink.witness import Witness

log = logging.getLogger("steelyard.uplink")

CONFLICTS = ("fork", "rollback", "truncated", "clone")
"""A refusal whose reason begins so is of the log, not of the record: it is offered again."""


class Receipts:
    """Takes receipts, many in one commit."""

    def __init__(
        self,
        store: Store,
        pump: Pump,
        health: Health,
        *,
        station: str,
        centre: NoteVerifier | None,
        on_receipt: Callable[[Receipt], None],
        witness: Witness,
        centre_time: CentreTime,
    ) -> None:
        self._store = store
        self._pump = pump
        self._health = health
        self._station = station
        self._centre = centre
        self._on_receipt = on_receipt
        self._witness = witness
        self._centre_time = centre_time

    async def take(self, payloads: Sequence[bytes]) -> None:
        """Take all receipts of some messages.

        Raises
        ------
        StoreError
            The store failed; the messages come again.
        """
        receipts = [receipt for payload in payloads for receipt in self._read(payload)]
        if not receipts:
            return
        ended = set(await self._store.acknowledge_many(receipts))
        told = [r for r in receipts if r.status == "stored" and r.index in ended]
        self._pump.settle([receipt.index for receipt in told])
        refused = [r for r in receipts if r.status == "refused"]
        told += [receipt for receipt in refused if await self._take_refusal(receipt)]
        if told:
            self._health.count("uplink.receipts", len(told))
            self._tell_trust()
        for receipt in told:
            self._on_receipt(receipt)
        await self._keep_cosignature(receipts)

    def _read(self, payload: bytes) -> list[Receipt]:
        try:
            return Receipt.decode_all(payload, self._centre, self._station)
        except ValueError as error:
            self._distrust(error)
            return []

    async def _keep_cosignature(self, receipts: Sequence[Receipt]) -> None:
        if self._centre is None:
            return
        self._centre_time.heard(max(receipt.time_us for receipt in receipts))
        newest = max(receipts, key=lambda r: r.cosigned_size or 0)
        if newest.cosigned_size and newest.cosignature:
            await self._witness.keep(newest.cosigned_size, newest.cosignature)

    async def _take_refusal(self, receipt: Receipt) -> bool:
        if not await self._store.is_awaited(receipt):
            return False  # decided before: an old refusal undoes nothing
        if receipt.reason.startswith(CONFLICTS):
            self._health.count("uplink.records_held")
            self._pump.hold(receipt.index)
            return False
        reason = Text(f"中心拒收（技术细节：{receipt.reason}）", f"refused: {receipt.reason}")
        await self._pump.poison(receipt.index, reason)
        self._pump.settle([receipt.index])
        return True

    def _distrust(self, error: ValueError) -> None:
        self._health.count("uplink.receipts_bad")
        log.warning("回执无效，已忽略 / a receipt does not hold and was ignored: %s", error)
        self._health.state(
            "uplink.receipts",
            Level.WARNING,
            f"收到无效的回执，已忽略{why_zh(error)}",
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
