"""Whether a device is the one that was accepted: its serial number, its program, the image's hash.

The first that is seen is taken on trust and stated; from then on only an update, or a person, may
change it. What changed stays in question even if it changes back, until a person has accepted it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from edge.records import Record

__all__ = ["Identity", "Seal", "SealState", "newest_identities"]

SETTLE_S = 3.0
"""A device that has said nothing of its image for so long says nothing of it at all."""

MISSING_S = 30.0
"""One that used to give its hash, and does not for so long, has changed. Shorter is a bad line."""


class SealState(enum.Enum):
    """What may be made of a device's weights."""

    UNKNOWN = "unknown"
    """Not heard yet, or the log could not be read yet."""
    UNPROVEN = "unproven"
    """It was accepted with a hash, and has not given it yet."""
    WHOLE = "whole"
    TRIAL = "trial"
    """An update runs on trial."""
    BROKEN = "broken"


BARRED = frozenset({SealState.UNPROVEN, SealState.TRIAL, SealState.BROKEN})
"""States in which no weight is a legal result."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A device as it names itself; ``image_sha256`` None where it gives no hash."""

    serial: str
    model: str
    firmware: str
    image_sha256: str | None

    def to_body(self) -> dict[str, str | None]:
        """As statements carry it."""
        return asdict(self)

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """From a statement."""
        return cls(body["serial"], body["model"], body["firmware"], body["image_sha256"])


class Seal:
    """The seal of one device.

    Attributes
    ----------
    accepted, seen : Identity or None
    state : SealState
    """

    def __init__(self) -> None:
        self.accepted: Identity | None = None
        self.seen: Identity | None = None
        self.state = SealState.UNKNOWN
        self._broken = self._loaded = False
        self._told: Identity | None = None

    @property
    def bars(self) -> bool:
        """Whether its weights are no legal result now."""
        return self.state in BARRED

    def load(self, newest: Mapping[str, Any] | None) -> None:
        """What the log said of it last; None where it says nothing."""
        self._loaded = True
        if newest is None:
            return
        self._broken = newest["event"] == "changed"
        named = newest["before" if self._broken else "now"]
        self.accepted = Identity.from_body(named) if named else None
        self._told = Identity.from_body(newest["now"]) if self._broken else None

    def look(self, seen: Identity, heard_for_s: float, ordered_sha256: str | None) -> str | None:
        """Judge what the device says of itself.

        Parameters
        ----------
        seen : Identity
        heard_for_s : float
            Since it began to name itself.
        ordered_sha256 : str or None
            The image that a person has ordered for it.

        Returns
        -------
        str or None
            ``first`` or ``changed`` where that is worth a statement.
        """
        self.seen = seen
        if not self._loaded:
            return None
        if self.accepted is None and not self._broken:
            return self._first(seen, heard_for_s)
        if self._broken:
            return self._break(seen, heard_for_s)
        if seen == self.accepted:
            self.state = SealState.WHOLE
        elif ordered_sha256 is not None and seen.image_sha256 == ordered_sha256:
            self.state = SealState.TRIAL
        elif self._may_yet_prove(seen, heard_for_s, ordered_sha256 is not None):
            self.state = SealState.UNPROVEN
        else:
            return self._break(seen, heard_for_s)
        return None

    def _first(self, seen: Identity, heard_for_s: float) -> str | None:
        if seen.image_sha256 is None and heard_for_s < SETTLE_S:
            return None
        self.accept(seen)
        return "first"

    def _may_yet_prove(self, seen: Identity, heard_for_s: float, ordered: bool) -> bool:
        """Only the hash is missing, and not for long; an ordered program has another name."""
        if self.accepted is None or seen.image_sha256 is not None or heard_for_s >= MISSING_S:
            return False
        known = replace(self.accepted, image_sha256=None)
        return seen == (replace(known, firmware=seen.firmware) if ordered else known)

    def _break(self, seen: Identity, heard_for_s: float) -> str | None:
        """Once for each thing that it turns into, with its hash if it gives one."""
        self._broken, self.state = True, SealState.BROKEN
        incomplete = seen.image_sha256 is None and heard_for_s < SETTLE_S
        if incomplete or seen in (self._told, self.accepted):
            return None
        self._told = seen
        return "changed"

    def accept(self, identity: Identity) -> None:
        """From now on this is the device."""
        self.accepted, self.seen = identity, identity
        self._broken, self._told = False, None
        self.state = SealState.WHOLE


def newest_identities(statements: list[Record]) -> dict[str, Mapping[str, Any]]:
    """The newest statement of each device, of statements with the newest first."""
    newest: dict[str, Mapping[str, Any]] = {}
    for record in statements:
        newest.setdefault(record.body["device"], record.body)
    return newest
