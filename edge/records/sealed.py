"""What is sealed: drafts, their blobs, records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Blob", "Draft", "Record"]


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes beside a record, addressed by their SHA-256."""

    role: str
    """``signal``, ``picture`` ..."""
    media_type: str
    sha256: str
    size_bytes: int
    deliver: bool = True
    """Whether it goes to the centre with its record, or stays in the station's archive."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a room wants sealed: the statement without number and station, and its blobs.

    ``body`` holds canonical JSON values only (integers, strings, booleans, None, lists, dicts).
    ``urgent`` marks a case (over or indeterminate), delivered before everything else.
    ``private`` holds further fields of the statement that can be erased later: the log binds
    them by a salted hash alone.
    """

    kind: str
    body: dict[str, Any]
    blobs: tuple[Blob, ...] = ()
    urgent: bool = False
    private: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A sealed statement of the station log: exact bytes, number and identity for ever."""

    index: int
    record_id: str
    """Hex of the RFC 6962 leaf hash of ``canonical``."""
    kind: str
    canonical: bytes
    """What the log binds; of the private part only its hash."""
    body: dict[str, Any] = field(repr=False)
    """For reading: the statement with its private fields, or with ``erased`` where they went."""
    blobs: tuple[Blob, ...] = ()
    urgent: bool = False
    private: bytes | None = field(default=None, repr=False)
    """Exact bytes of the private part; None where there is none or it was erased."""
