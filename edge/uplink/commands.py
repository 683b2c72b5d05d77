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

A command, what it does to the store and its statement are one commit: a kill at any moment leaves
all of it or nothing, and then the broker brings the command again. A file written before the
commit is written again, with the same name and bytes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from edge.clock import HostClock
from edge.evidence.command import Command
from edge.evidence.events import command_draft
from edge.evidence.note import NoteVerifier
from edge.health import Health, Level
from edge.records import Draft
from edge.store.files import replace_file, sync_directory
from edge.store.log import StationLog
from edge.store.store import Store
from edge.uplink.actions import for_the_log, is_known
from edge.uplink.centre_time import CentreTime

log = logging.getLogger("steelyard.uplink")

_QUIET_S = 3600.0
_FINAL = frozenset({"taken", "expired", "unknown-action"})
"""What uses up the number of a command."""


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
        self._mono_s = mono_s
        self._stated_s: dict[str, float] = {}
        self._wakes = {
            "resend": wake_pump,
            "retry_poisoned": wake_pump,
            "checkpoint": wake_witness,
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
            await self._refuse("bad-signature", None, str(error))
            return
        outcome = self._judge(command)
        if outcome not in _FINAL:
            await self._refuse(outcome, command)
        elif await self._conclude(outcome, command):
            self._note(outcome, command)
        else:
            await self._refuse("replayed", command)

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

    async def _conclude(self, outcome: str, command: Command) -> bool:
        """Use up the number of a command; false if it, or a higher one, was used before."""
        asked_us = min(command.issued_us, self._now_us() or 0)

        def carry_out(log: StationLog) -> Draft:
            detail = self._effect(log, command, asked_us) if outcome == "taken" else ""
            return self._statement(outcome, command, detail)

        if not await self._store.take_command(command.number, outcome, carry_out):
            return False
        if outcome == "taken":
            self._tell(command.action)
        return True

    def _effect(self, log: StationLog, command: Command, asked_us: int) -> str:
        """Do to the log and the disk what a command asks for; a few words of what came of it."""
        given = command.arguments
        match command.action:
            case "resend":
                return f"queued {log.resend(given['first'], given['last'], asked_us)}"
            case "retry_poisoned":
                return f"queued {log.retry_poisoned(asked_us)}"
            case "rule_pack":
                return self._keep_pack(given["sha256"], given["toml"])
            case "checkpoint":
                return "will be sent"  # with the next connection, where a kill comes first
            case _:
                return "shown"  # a message: its statement is what the page shows

    def _keep_pack(self, sha256: str, toml: str) -> str:
        """Kept as a file; only a person makes it the station's, in the station file."""
        path = self._packs / f"{sha256}.toml"
        try:
            self._packs.mkdir(exist_ok=True)
            sync_directory(self._packs.parent)
            replace_file(path, toml.encode())
        except OSError as error:
            return f"failed: {error.strerror}"
        return f"kept as {path.name}"

    def _tell(self, action: str) -> None:
        """Tell the rooms that what they work on has changed."""
        if action == "retry_poisoned":
            self._health.state(
                "uplink.poisoned", Level.OK, "没有搁置的记录", "no record is put aside"
            )
        if wake := self._wakes.get(action):
            wake()

    # ------------------------------------------------------------------------------------------
    # What the log says of it

    async def _refuse(self, outcome: str, command: Command | None, detail: str = "") -> None:
        """Count what is not for this station or no command at all; state it now and then."""
        self._note(outcome, command)
        if self._mono_s() < self._stated_s.get(outcome, -_QUIET_S) + _QUIET_S:
            return
        self._stated_s[outcome] = self._mono_s()
        await self._seal(self._statement(outcome, command, detail))

    def _note(self, outcome: str, command: Command | None) -> None:
        self._health.count(f"uplink.commands.{outcome}")
        log.info("中心命令 / command of the centre: %s %s", outcome, command and command.action)

    def _statement(self, outcome: str, command: Command | None, detail: str) -> Draft:
        return command_draft(
            self._clock.utc_ns(),
            outcome,
            number=command.number if command else None,
            action=command.action[:64] if command else "",
            arguments=for_the_log(command) if command and outcome == "taken" else {},
            issued_us=command.issued_us if command else None,
            detail=detail[:200],
        )
