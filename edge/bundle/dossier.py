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

CONFIGURATION = ("station_file", "certificate", "rule_pack", "dynamics")
"""Roles of the files that a station weighs and judges by."""


@dataclass(frozen=True)
class Statement:
    """A sealed statement: its exact bytes, where it stands, and the proof of that."""

    data: bytes
    index: int
    proof: tuple[bytes, ...]
    private: bytes | None = None

    @cached_property
    def record(self) -> Record:
        """The record that the bytes are.

        Raises
        ------
        ValueError
            They are none, or the private part is not its own.
        """
        return reopen(self.data, private=self.private)

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""
        return self.record.body

    def envelope(self, checkpoint: str) -> Envelope:
        """As it travels, under a checkpoint."""
        return Envelope(self.data, self.index, self.proof, checkpoint, self.private)


@dataclass(frozen=True, eq=False)
class Dossier:
    """One record and all that belongs to it.

    ``others`` are statements that concern it: settings before it, corrections after it, drops of
    its files. ``checkpoint`` is the signed note that all proofs lead to, with the signatures of
    witnesses. ``blobs`` are bytes by their SHA-256. Keys are verifier keys (``name+id+base64``).
    """

    main: Statement
    checkpoint: str
    blobs: Mapping[str, bytes]
    station_key: str
    centre_key: str | None = None
    others: tuple[Statement, ...] = ()
    receipt: str | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    """What made the bundle; its pages can be compared with its own."""

    @property
    def body(self) -> dict[str, Any]:
        """What the record says."""
        return self.main.body

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The record and the others."""
        return (self.main, *self.others)

    def files(self, role: str) -> list[bytes | None]:
        """The record's files of a role, in its order; None for one that is not there."""
        return [self.blobs.get(blob.sha256) for blob in self.main.record.blobs if blob.role == role]

    def configuration(self) -> list[tuple[str, str]]:
        """Role and SHA-256 of the settings' files that the record was made with, where known."""
        named = [
            ("station_file", self.body.get("configuration_sha256")),
            ("certificate", self.body.get("calibration", {}).get("sha256")),
            ("rule_pack", self.body.get("verdict", {}).get("pack_sha256")),
            *(("dynamics", blob.sha256) for blob in self.dynamics_blobs()),
        ]
        return [(role, sha256) for role, sha256 in named if sha256]

    def dynamics_blobs(self) -> list[Blob]:
        """Files of learned dynamics that were sealed before the record, newest statement only."""
        for statement in reversed(self.others):
            blobs = [blob for blob in statement.record.blobs if blob.role == "dynamics"]
            if blobs and statement.index < self.main.index:
                return blobs
        return []


def by_hash(contents: Iterable[bytes]) -> dict[str, bytes]:
    """Bytes by their SHA-256."""
    return {hashlib.sha256(data).hexdigest(): data for data in contents}
