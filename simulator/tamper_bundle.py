"""Bundles that somebody altered: every one must fail its verification.

Two kinds of hand: damage, anywhere in the file, and a forger who packs the altered part anew with
a list of files and an archive that fit, but holds no key.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from edge.bundle.archive import pack, unpack
from edge.bundle.layout import dossier_of
from edge.bundle.pages import MANIFEST, manifest
from edge.bundle.steps import verify_files
from edge.errors import SteelyardError
from edge.evidence.note import NoteVerifier

__all__ = ["Tampered", "repacked", "run"]


@dataclass(slots=True)
class Tampered:
    """How many alterations were tried and found; those that were not, in words."""

    tried: int = 0
    found: int = 0
    unseen: list[str] = field(default_factory=list)

    def take(self, what: str, found: bool) -> None:
        """Count one."""
        self.tried += 1
        self.found += found
        if not found:
            self.unseen.append(what)


def run(bundle: bytes, mutations: int, seed: int) -> Tampered:
    """Damage a bundle at random places, one at a time; all bytes of the archive take part."""
    dice = random.Random(seed)
    outcome = Tampered()
    while outcome.tried < mutations:
        what, altered = _altered(bundle, dice)
        if altered != bundle:
            outcome.take(what, _is_found(altered))
    return outcome


def repacked(bundle: bytes, mutations: int, seed: int) -> Tampered:
    """Alter one file, then make list and archive anew, as one without keys could.

    The verifier has the keys from elsewhere, and the program that made the pages.
    """
    dice = random.Random(seed)
    files = unpack(bundle)
    dossier = dossier_of(files)
    time_us = dossier.body["time_us"]
    keys = dossier.station_key, dossier.centre_key
    # By name, not by size: a large picture takes no more than its share.
    names = [name for name in sorted(files) if name != MANIFEST]
    outcome = Tampered()
    while outcome.tried < mutations:
        name = dice.choice(names)
        what, altered = _altered(files[name], dice)
        if altered == files[name]:
            continue
        forged = files | {name: altered}
        forged[MANIFEST] = manifest(dossier, forged)
        outcome.take(f"{name}: {what}", _is_found(pack(forged, time_us), *keys))
    return outcome


def _is_found(archive: bytes, station: str | None = None, centre: str | None = None) -> bool:
    verifiers = [NoteVerifier(key) if key else None for key in (station, centre)]
    try:
        files = unpack(archive)
    except SteelyardError:
        return True
    steps = verify_files(files, archive, verifiers[0], verifiers[1], until_failed=True)
    return steps[-1].state == "failed"


def _altered(data: bytes, dice: random.Random) -> tuple[str, bytes]:
    at = dice.randrange(max(len(data), 1))
    kind = dice.choice(_KINDS)
    return f"{kind.__name__.strip('_')} at {at}", kind(data, at, dice)


def _flipped(data: bytes, at: int, dice: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _exchanged(data: bytes, at: int, dice: random.Random) -> bytes:
    return data[:at] + dice.randbytes(1) + data[at + 1 :]


def _removed(data: bytes, at: int, dice: random.Random) -> bytes:
    return data[:at] + data[at + dice.randint(1, 8) :]


def _added(data: bytes, at: int, dice: random.Random) -> bytes:
    return data[:at] + dice.randbytes(dice.randint(1, 8)) + data[at:]


def _cut(data: bytes, at: int, _dice: random.Random) -> bytes:
    return data[:at]


_KINDS = (_flipped, _flipped, _flipped, _exchanged, _removed, _added, _cut)
"""Single bits come most often: they are the hardest to see."""
