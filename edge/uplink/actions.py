"""What the centre can command, and with which arguments."""

from __future__ import annotations

import hashlib
from typing import Any

from edge.evidence.command import Command
from edge.evidence.message import is_count

ACTIONS = frozenset({"message", "resend", "retry_poisoned", "checkpoint", "rule_pack"})

_MOST_PACK_CHARS = 512 * 1024
_MOST_TEXT_CHARS = 2_000
_MOST_RESENT = 100_000


def is_known(command: Command) -> bool:
    """Whether the action is known, and its arguments are what it needs."""
    given = command.arguments
    match command.action:
        case "retry_poisoned" | "checkpoint":
            return not given
        case "message":
            return given.keys() == {"zh", "en"} and all(_is_text(text) for text in given.values())
        case "resend":
            return given.keys() == {"first", "last"} and _is_range(given["first"], given["last"])
        case "rule_pack":
            return given.keys() == {"sha256", "toml"} and _is_pack(given["sha256"], given["toml"])
        case _:
            return False


def _is_text(text: object) -> bool:
    return isinstance(text, str) and len(text) <= _MOST_TEXT_CHARS


def _is_range(first: object, last: object) -> bool:
    if not (is_count(first) and is_count(last)):
        return False
    return first <= last < first + _MOST_RESENT  # type: ignore[operator, no-any-return]


def _is_pack(sha256: object, toml: object) -> bool:
    if not isinstance(toml, str) or len(toml) > _MOST_PACK_CHARS:
        return False
    return hashlib.sha256(toml.encode()).hexdigest() == sha256


def for_the_log(command: Command) -> dict[str, Any]:
    """The arguments as they are stated; a whole rule pack is stated by its hash."""
    return {name: value for name, value in command.arguments.items() if name != "toml"}
