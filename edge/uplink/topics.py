"""Names on the broker and the small payloads: ``wim/v1/{station}/up/...`` and ``.../down/...``.

A broker can bind a station to its tree by its certificate's name: ``pattern write wim/v1/%u/up/#``
and ``pattern read wim/v1/%u/down/#``. ``docs/asyncapi.json`` says the same to other programs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

ROOT = "wim/v1"
ALL_STATIONS_UP = f"{ROOT}/+/up/#"
"""What a case system subscribes to."""

CHUNK_BYTES = 192 * 1024
"""Largest piece of a blob in one message; brokers commonly stop at 256 KiB."""

_STATION = r"(?P<station>[A-Za-z0-9_-]{1,32})"
_UP = re.compile(rf"{ROOT}/{_STATION}/up/(?P<what>record|telemetry|state|key)")
_BLOB = re.compile(
    rf"{ROOT}/{_STATION}/up/blob/(?P<sha256>[0-9a-f]{{64}})"
    r"/(?P<number>0|[1-9]\d{0,4})/(?P<count>[1-9]\d{0,4})"
)


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one station."""

    station: str

    @property
    def record(self) -> str:
        """Envelopes of records, QoS 1."""
        return f"{ROOT}/{self.station}/up/record"

    @property
    def telemetry(self) -> str:
        """Counters, gauges and states, once a minute."""
        return f"{ROOT}/{self.station}/up/telemetry"

    @property
    def state(self) -> str:
        """Retained: online, or offline by the last will."""
        return f"{ROOT}/{self.station}/up/state"

    @property
    def key(self) -> str:
        """Retained: the verifier key of the station's log."""
        return f"{ROOT}/{self.station}/up/key"

    @property
    def receipt(self) -> str:
        """Signed receipts of the case system, QoS 1."""
        return f"{ROOT}/{self.station}/down/receipt"

    def blob(self, sha256: str, number: int, count: int) -> str:
        """Piece ``number`` (from 0) of ``count`` of a blob."""
        return f"{ROOT}/{self.station}/up/blob/{sha256}/{number}/{count}"


@dataclass(frozen=True, slots=True)
class Upward:
    """What a topic below ``up`` names; ``sha256``, ``number`` and ``count`` for blobs only."""

    station: str
    what: Literal["record", "telemetry", "state", "key", "blob"]
    sha256: str = ""
    number: int = 0
    count: int = 0


def parse_up(topic: str) -> Upward | None:
    """What a topic names, or None where it is none of ours."""
    if match := _UP.fullmatch(topic):
        return Upward(match["station"], match["what"])  # type: ignore[arg-type]
    if (match := _BLOB.fullmatch(topic)) and int(match["number"]) < int(match["count"]):
        return Upward(
            match["station"], "blob", match["sha256"], int(match["number"]), int(match["count"])
        )
    return None


def chunks(data: bytes, size: int = CHUNK_BYTES) -> list[bytes]:
    """A blob in pieces of at most ``size`` bytes; an empty blob is one empty piece."""
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


@dataclass(frozen=True, slots=True)
class Presence:
    """The retained state of a station; ``reason`` tells a stop from a lost line."""

    state: Literal["online", "offline"]
    reason: Literal["", "stopped", "lost"] = ""

    def encode(self) -> bytes:
        """As it stands in the payload."""
        return json.dumps({"state": self.state, "reason": self.reason}).encode()

    @staticmethod
    def decode(data: bytes) -> Presence:
        """The state in a payload.

        Raises
        ------
        ValueError
            The payload is something else.
        """
        body = read_object(data)
        state, reason = body.get("state"), body.get("reason")
        if state not in ("online", "offline") or reason not in ("", "stopped", "lost"):
            raise ValueError("state or reason of a station is unknown")
        return Presence(state, reason)


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a payload.

    Raises
    ------
    ValueError
        The payload is something else.
    """
    try:
        body = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(body, dict):
        raise ValueError("not a JSON object")
    return body
