"""Commands of the centre: signed, numbered, good for a time; each leaves a statement in the log.

===================  ==============================================================
outcome              when
===================  ==============================================================
``taken``            its number is above all before; it is carried out once
``expired``          its time is over
``replayed``         its number, or a higher one, was taken before
``other-station``    it names another station
``unknown-action``   the action or its arguments are not known here
``clock-unsure``     nobody vouches for the time here; it may come again
``bad-signature``    not signed by the centre
===================  ==============================================================

What anybody can send over and over (the last one, replays, commands to others) is counted, and
stated in the log once an hour.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from edge.clock import HostClock
from edge.evidence.command import Command
from edge.evidence.events import command_draft
from edge.evidence.note import NoteVerifier
from edge.health import Health, Level
from edge.records import Draft
from edge.store.files import replace_file
from edge.store.store import Store
from edge.uplink.actions import for_the_log, is_known
from edge.uplink.centre_time import CentreTime

log = logging.getLogger("steelyard.uplink")

_QUIET_S = 3600.0
_CHEAP = frozenset({"replayed", "other-station", "clock-unsure", "bad-signature"})
"""What costs a sender nothing to cause again."""


class Commands:
    """Takes commands and carries them out."""

    def __init__(
        self,
        store: Store,
        health: Health,
        *,
        station: str,
        centre: NoteVerifier | None,
        clock: HostClock,
        centre_time: CentreTime,
        packs: Path,
        seal: Callable[[Draft], Awaitable[object]],
        wake_pump: Callable[[], None],
        wake_witness: Callable[[], None],
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._health = health
        self._station = station
        self._centre = centre
        self._clock = clock
        self._centre_time = centre_time
        self._packs = packs
        self._seal = seal
        self._wake_pump = wake_pump
        self._wake_witness = wake_witness
        self._mono_s = mono_s
        self._stated_s: dict[str, float] = {}
        self._actions: dict[str, Callable[[dict[str, Any]], Awaitable[str]]] = {
            "message": self._message,
            "resend": self._resend,
            "retry_poisoned": self._retry_poisoned,
            "checkpoint": self._checkpoint,
            "rule_pack": self._rule_pack,
        }

    async def take(self, payload: bytes) -> None:
        """Take one message of the command topic.

        Raises
        ------
        StoreError
            The store failed; the message comes again.
        """
        try:
            if self._centre is None:
                raise ValueError("the centre's key is not configured")
            command = Command.decode(payload, self._centre)
        except ValueError as error:
            await self._state("bad-signature", None, str(error))
            return
        outcome = self._judge(command)
        if outcome in ("taken", "expired", "unknown-action") and not (
            await self._store.take_command(command.number, outcome)
        ):
            outcome = "replayed"
        detail = await self._carry_out(command) if outcome == "taken" else ""
        await self._state(outcome, command, detail)

    def _judge(self, command: Command) -> str:
        if command.station != self._station:
            return "other-station"
        now_us = self._now_us()
        if now_us is None:
            return "clock-unsure"
        if now_us >= command.expires_us:
            return "expired"
        return "taken" if is_known(command) else "unknown-action"

    def _now_us(self) -> int | None:
        """The time that counts: ours if somebody vouches for it, else the centre's."""
        if self._clock.sync.synchronised:
            return self._clock.utc_ns() // 1000
        return self._centre_time.now_us()

    async def _carry_out(self, command: Command) -> str:
        try:
            return await self._actions[command.action](command.arguments)
        except OSError as error:
            return f"failed: {error.strerror}"

    async def _state(self, outcome: str, command: Command | None, detail: str) -> None:
        self._health.count(f"uplink.commands.{outcome}")
        log.info("中心命令 / command of the centre: %s %s", outcome, command and command.action)
        if outcome in _CHEAP and self._mono_s() < self._stated_s.get(outcome, -_QUIET_S) + _QUIET_S:
            return
        self._stated_s[outcome] = self._mono_s()
        await self._seal(
            command_draft(
                self._clock.utc_ns(),
                outcome,
                number=command.number if command else None,
                action=command.action[:64] if command else "",
                arguments=for_the_log(command) if command and outcome == "taken" else {},
                issued_us=command.issued_us if command else None,
                detail=detail[:200],
            )
        )

    # ------------------------------------------------------------------------------------------
    # Actions: each gives a few words of what came of it

    async def _message(self, _arguments: dict[str, Any]) -> str:
        return "shown"  # the statement itself is what the page shows

    async def _resend(self, arguments: dict[str, Any]) -> str:
        count = await self._store.resend(arguments["first"], arguments["last"])
        self._wake_pump()
        return f"queued {count}"

    async def _retry_poisoned(self, _arguments: dict[str, Any]) -> str:
        count = await self._store.retry_poisoned()
        self._health.state("uplink.poisoned", Level.OK, "没有搁置的记录", "no record is put aside")
        self._wake_pump()
        return f"queued {count}"

    async def _checkpoint(self, _arguments: dict[str, Any]) -> str:
        self._wake_witness()
        return "sent"

    async def _rule_pack(self, arguments: dict[str, Any]) -> str:
        """Kept as a file; only a person makes it the station's, in the station file."""
        path = self._packs / f"{arguments['sha256']}.toml"
        self._packs.mkdir(exist_ok=True)
        await asyncio.to_thread(replace_file, path, arguments["toml"].encode())
        return f"kept as {path.name}"
