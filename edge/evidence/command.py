"""What the centre tells a station to do: signed, numbered, and good for a stated time only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.evidence.message import exactly, is_count, read_message, write_message
from edge.evidence.note import NoteSigner, NoteVerifier

SCHEMA = "steelyard/command/1"

_FIELDS = ("station", "number", "issued_us", "expires_us", "action", "arguments")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the centre.

    ``number`` rises strictly for each station: a command is taken once, and none older than one
    that was taken. Whether the action is known is for the station to say.
    """

    station: str
    number: int
    issued_us: int
    expires_us: int
    action: str
    arguments: dict[str, Any] = field(default_factory=dict)
    note: str = field(default="", compare=False, repr=False)

    def encode(self, signer: NoteSigner) -> bytes:
        """The command as a note signed by the centre."""
        return write_message(SCHEMA, {name: getattr(self, name) for name in _FIELDS}, signer)

    @classmethod
    def decode(cls, data: bytes, verifier: NoteVerifier | None) -> Command:
        """A command from its bytes; without a verifier the signature is not checked.

        Raises
        ------
        ValueError
            Not a command, or not signed by the key of the verifier.
        """
        _, body, note = read_message(data, verifier, (SCHEMA,))
        command = cls(**exactly(body, _FIELDS), note=note)
        numbers = (command.number, command.issued_us, command.expires_us)
        if not all(is_count(number) for number in numbers):
            raise ValueError("number, issued_us and expires_us are integers, not negative")
        if not (isinstance(command.station, str) and isinstance(command.action, str)):
            raise ValueError("station and action are texts")
        if not isinstance(command.arguments, dict):
            raise ValueError("arguments are an object")
        return command
