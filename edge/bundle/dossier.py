"""What is known about one record: its bytes, its proof, what answers it, and the files it names.

A dossier comes out of a store (``gather``) or out of a bundle (``layout``); what reads it does not
ask which. Files are kept by the SHA-256 of their bytes, so one that was exchanged is simply not
there under the name that the record calls it by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from edge.evidence.envelope import Envelope
from edge.evidence.seal import reopen
from edge.records import Blob, Record


@dataclass(frozen=True)
class Statement:
    """A sealed statement: its exact bytes, and the proof that it stands in the log."""

    envelope: Envelope

    @property
    def index(self) -> int:
        """Its number in the log."""
        return self.envelope.index

    @cached_property
    def record(self) -> Record:
        """The record that the bytes are.

        Raises
        ------
        ValueError
            They are none, or the private part is not its own.
        """
        return reopen(self.envelope.record_bytes, private=self.envelope.private)

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""
        return self.record.body


@dataclass(frozen=True, eq=False)
class Dossier:
    """One record and all that belongs to it.

    ``others`` are statements that concern it, in their order: settings before it, corrections after
    it, drops of its files. Envelopes hold the signatures of witnesses under their checkpoints.
    ``blobs`` are bytes by their SHA-256. Keys are verifier keys (``name+id+base64``).
    """

    main: Statement
    blobs: Mapping[str, bytes]
    station_key: str
    centre_key: str | None = None
    others: tuple[Statement, ...] = ()
    receipt: str | None = None
    """The centre's signed note that answers it, perhaps among others."""
    second_key: str | None = None
    """Of the station's second signature (SM2), where the log has one."""
    removed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    """What the statements of removals removed, by their number: hashes of files."""

    @property
    def body(self) -> dict[str, Any]:
        """What the record says."""
        return self.main.body

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The record and the others."""
        return (self.main, *self.others)

    @property
    def later(self) -> tuple[Statement, ...]:
        """Statements that were made about the record afterwards."""
        return tuple(s for s in self.others if s.index > self.main.index)

    @property
    def missing(self) -> list[Blob]:
        """Files that the record names and that are not there."""
        return [blob for blob in self.main.record.blobs if blob.sha256 not in self.blobs]

    def files(self, role: str) -> list[tuple[Blob, bytes | None]]:
        """The record's files of a role, in its order; None for one that is not there."""
        own = (blob for blob in self.main.record.blobs if blob.role == role)
        return [(blob, self.blobs.get(blob.sha256)) for blob in own]

    def configuration(self) -> list[tuple[str, str]]:
        """Role and SHA-256 of the settings' files that the record was made with, where known."""
        body = self.body
        named = [
            ("station_file", body.get("configuration_sha256")),
            ("certificate", body.get("calibration", {}).get("sha256")),
            ("rule_pack", body.get("verdict", {}).get("pack_sha256")),
            *(("dynamics", blob.sha256) for blob in self.dynamics_blobs()),
        ]
        return [(role, sha256) for role, sha256 in named if sha256]

    def dynamics_blobs(self) -> list[Blob]:
        """Files of learned dynamics in the newest statement about settings before the record."""
        for statement in reversed(self.others):
            blobs = [blob for blob in statement.record.blobs if blob.role == "dynamics"]
            if blobs and statement.index < self.main.index:
                return blobs
        return []


def by_hash(contents: Iterable[bytes]) -> dict[str, bytes]:
    """Bytes by their SHA-256."""
    return {hashlib.sha256(data).hexdigest(): data for data in contents}
