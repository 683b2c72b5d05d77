"""What people at the centre tell a station: numbered, signed, sent once, and what became of it.

Whoever issues a command writes it into the store; the running case system signs and sends it.
A number is the time in seconds, or one more than the last: it rises even if the store is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.evidence.canonical import canonical, parse_canonical
from edge.evidence.command import Command
from edge.evidence.note import NoteSigner
from edge.uplink.topics import Topics
from simulator.case_store import CaseStore

MOST_ARGUMENT_BYTES = 128 * 1024
_SECOND_US = 1_000_000
_PENDING = "sent_us IS NULL AND outcome IS NULL AND expires_us > ?"


@dataclass(frozen=True, slots=True)
class Issued:
    """A command and what is known of it."""

    command: Command
    sent_us: int | None
    outcome: str | None


def issue(
    store: CaseStore,
    station: str,
    action: str,
    arguments: dict[str, Any],
    *,
    valid_s: float,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> Command:
    """Write a command down; the case system sends it as soon as it runs.

    Raises
    ------
    ValueError
        The arguments have no canonical form, or are too large for a message.
    """
    text = canonical(arguments).decode()
    if len(text) > MOST_ARGUMENT_BYTES:
        raise ValueError(f"more than {MOST_ARGUMENT_BYTES} bytes of arguments")
    issued_us = now_us()
    with store.transaction():
        last = store.one("SELECT max(number) FROM commands WHERE station = ?", station)[0]
        number = max((last or 0) + 1, issued_us // _SECOND_US)
        expires_us = issued_us + round(valid_s * _SECOND_US)
        store.database.execute(
            "INSERT INTO commands (station, number, action, arguments, issued_us, expires_us)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (station, number, action, text, issued_us, expires_us),
        )
    return Command(station, number, issued_us, expires_us, action, arguments)


def to_send(store: CaseStore, signer: NoteSigner, now_us: int) -> list[tuple[Command, str, bytes]]:
    """Commands that wait, each with its topic and signed payload, in their order."""
    rows = store.database.execute(
        f"SELECT * FROM commands WHERE {_PENDING} ORDER BY station, number LIMIT 100", (now_us,)
    )
    commands = [_command(row) for row in rows]
    return [(c, Topics(c.station).command, c.encode(signer)) for c in commands]


def sent(store: CaseStore, command: Command, now_us: int) -> None:
    """The broker has the command."""
    store.database.execute(
        "UPDATE commands SET sent_us = ? WHERE (station, number) = (?, ?)",
        (now_us, command.station, command.number),
    )


def note_outcome(store: CaseStore, station: str, body: dict[str, Any]) -> None:
    """A station's log says what became of a command."""
    number, outcome = body.get("number"), body.get("outcome")
    if type(number) is int and isinstance(outcome, str) and abs(number) < 2**53:
        store.database.execute(
            "UPDATE commands SET outcome = coalesce(outcome, ?) WHERE (station, number) = (?, ?)",
            (outcome[:200], station, number),
        )


def issued(store: CaseStore, station: str | None = None) -> list[Issued]:
    """Commands of one station or of all, the newest last."""
    rows = store.database.execute(
        "SELECT * FROM commands WHERE ?1 IS NULL OR station = ?1 ORDER BY issued_us, number",
        (station,),
    )
    return [Issued(_command(row), row[6], row[7]) for row in rows]


def _command(row: tuple[Any, ...]) -> Command:
    station, number, action, arguments, issued_us, expires_us = row[:6]
    return Command(
        station, number, issued_us, expires_us, action, parse_canonical(arguments.encode())
    )
