"""Orders of people reach the keepers of the devices, and what became of them reaches people."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from edge.firmware_orders import Acceptance, Mailbox, Order
from edge.keeping import DeviceKeeper

__all__ = ["Updating"]

LOOK_S = 0.5
"""How often the files of people are looked at."""


class Updating:
    """All keepers, and the files between them and people."""

    def __init__(self, keepers: Mapping[str, DeviceKeeper], mailboxes: Mapping[str, Mailbox]):
        self._keepers, self._mailboxes = keepers, mailboxes
        self._written: dict[str, dict[str, Any]] = {}

    async def load(self, newest: Mapping[str, Mapping[str, Any]]) -> None:
        """What the log said last of each device, and what was ordered for it: both before it is
        heard, so that an update under way is not taken for a broken seal."""
        await self._look_at_all()
        for device, keeper in self._keepers.items():
            keeper.load(newest.get(device))

    async def run(self) -> None:
        """Look at the files of people until cancelled."""
        while True:
            await self._look_at_all()
            await asyncio.sleep(LOOK_S)

    async def _look_at_all(self) -> None:
        for device, keeper in self._keepers.items():
            await self._look(keeper, self._mailboxes[device])

    async def _look(self, keeper: DeviceKeeper, mailbox: Mailbox) -> None:
        found, acceptance = await asyncio.to_thread(_open, mailbox)
        if acceptance:
            keeper.accept(acceptance)
        if found and _is_new(found, keeper.order):
            keeper.take_order(found)
        status = keeper.status()
        if status != self._written.get(keeper.device):
            await asyncio.to_thread(_close, mailbox, keeper, found, status)
            self._written[keeper.device] = status


def _open(mailbox: Mailbox) -> tuple[Order | None, Acceptance | None]:
    return mailbox.order(), mailbox.take_acceptance()


def _close(
    mailbox: Mailbox, keeper: DeviceKeeper, found: Order | None, status: dict[str, Any]
) -> None:
    """Note how far an order is; one that has ended goes before people can see that it has."""
    if found and keeper.order and not _is_new(found, keeper.order):
        if keeper.ended:
            mailbox.end_order()
        elif found != keeper.order:
            mailbox.put_order(keeper.order)
    mailbox.write_status(status)


def _is_new(found: Order, known: Order | None) -> bool:
    return known is None or (found.sha256, found.ordered_us) != (known.sha256, known.ordered_us)
