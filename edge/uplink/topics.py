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
"""A piece of a blob as this program sends it: 25 s of a line with 64 kbit/s."""
MOST_CHUNK_BYTES = 256 * 1024
"""Largest piece that the wire allows."""

_STATION = r"(?P<station>[A-Za-z0-9_-]{1,32})"
_SHA256 = r"(?P<sha256>[0-9a-f]{64})"
_UP = re.compile(rf"{ROOT}/{_STATION}/up/(?P<what>records|record|checkpoint|telemetry|state|key)")
_MANIFEST = re.compile(rf"{ROOT}/{_STATION}/up/blob/{_SHA256}/manifest")
_CHUNK = re.compile(rf"{ROOT}/{_STATION}/up/blob/{_SHA256}/(?P<number>0|[1-9]\d{{0,4}})")
_BLOB_STATE = re.compile(rf"{ROOT}/{_STATION}/down/blob/{_SHA256}")


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one station."""

    station: str

    @property
    def record(self) -> str:
        """One envelope of a record: a case."""
        return f"{ROOT}/{self.station}/up/record"

    @property
    def records(self) -> str:
        """Many records under one checkpoint."""
        return f"{ROOT}/{self.station}/up/records"

    @property
    def checkpoint(self) -> str:
        """The newest checkpoint, to be cosigned by the centre as witness."""
        return f"{ROOT}/{self.station}/up/checkpoint"

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

    def manifest(self, sha256: str) -> str:
        """What a blob consists of; its pieces follow once the centre has said which it lacks."""
        return f"{ROOT}/{self.station}/up/blob/{sha256}/manifest"

    def chunk(self, sha256: str, number: int) -> str:
        """Piece ``number`` (from 0) of a blob, raw bytes."""
        return f"{ROOT}/{self.station}/up/blob/{sha256}/{number}"

    @property
    def all_down(self) -> str:
        """What a station subscribes to."""
        return f"{ROOT}/{self.station}/down/#"

    @property
    def receipt(self) -> str:
        """Signed receipts of the case system."""
        return f"{ROOT}/{self.station}/down/receipt"

    @property
    def witness(self) -> str:
        """The centre's signed answer to a checkpoint."""
        return f"{ROOT}/{self.station}/down/witness"

    @property
    def reads(self) -> str:
        """Which schemas the centre reads beside those of the first release."""
        return f"{ROOT}/{self.station}/down/reads"

    @property
    def command(self) -> str:
        """Signed commands of the centre."""
        return f"{ROOT}/{self.station}/down/command"

    def blob_state(self, sha256: str) -> str:
        """Which pieces of a blob the centre lacks."""
        return f"{ROOT}/{self.station}/down/blob/{sha256}"


@dataclass(frozen=True, slots=True)
class Upward:
    """What a topic below ``up`` names; ``sha256`` and ``number`` for blobs only."""

    station: str
    what: Literal[
        "record", "records", "checkpoint", "telemetry", "state", "key", "manifest", "chunk"
    ]
    sha256: str = ""
    number: int = 0


def parse_up(topic: str) -> Upward | None:
    """What a topic names, or None where it is none of ours."""
    if match := _UP.fullmatch(topic):
        return Upward(match["station"], match["what"])  # type: ignore[arg-type]
    if match := _MANIFEST.fullmatch(topic):
        return Upward(match["station"], "manifest", match["sha256"])
    if match := _CHUNK.fullmatch(topic):
        return Upward(match["station"], "chunk", match["sha256"], int(match["number"]))
    return None


def blob_of_state(topic: str) -> str | None:
    """The blob of which a topic below ``down`` tells, or None where it tells of none."""
    match = _BLOB_STATE.fullmatch(topic)
    return match["sha256"] if match else None


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


@dataclass(frozen=True, slots=True)
class Reads:
    """What the centre tells a station that is online: schemas that not every centre reads.

    It is not signed. A false one costs at most the time until a receipt is missed.
    """

    schemas: tuple[str, ...]

    def encode(self) -> bytes:
        """As it stands in the payload."""
        return json.dumps({"schemas": self.schemas}).encode()

    @staticmethod
    def decode(data: bytes) -> Reads:
        """The schemas in a payload.

        Raises
        ------
        ValueError
            The payload is something else.
        """
        schemas = read_object(data).get("schemas")
        if not (isinstance(schemas, list) and all(isinstance(s, str) for s in schemas)):
            raise ValueError("schemas is a list of texts")
        return Reads(tuple(schemas))


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
