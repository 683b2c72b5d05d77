"""Which software made a record: one hash over the legally relevant source files.

The hash can be made without this program: it is the SHA-256 of what ``sha256sum`` prints for the
files in order of their names, with ``/`` between folders.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge import __version__

_ROOT = Path(__file__).parents[2]
_LEGALLY_RELEVANT = (
    "edge/records/*.py",
    "edge/gains.py",
    "edge/frozen.py",
    "edge/core/**/*.py",
    "edge/rules/**/*.py",
    "edge/evidence/**/*.py",
)
"""What weighs, judges and seals, and what reads certificate and dynamics for it (OIML D 31 calls it
the legally relevant part). Rule packs are data with hashes of their own."""


def software_identity() -> dict[str, str]:
    """Name, version and ``sha256`` of the legally relevant part, as records carry them."""
    return {
        "name": "steelyard",
        "version": __version__,
        "sha256": hashlib.sha256(legally_relevant_lines().encode()).hexdigest(),
    }


def legally_relevant_lines() -> str:
    """The text that is hashed: a line with hash and name for every file."""
    return "".join(
        f"{hashlib.sha256((_ROOT / name).read_bytes()).hexdigest()}  {name}\n"
        for name in legally_relevant_files()
    )


def legally_relevant_files() -> list[str]:
    """Their names from the root of the installation, sorted."""
    found = (path for pattern in _LEGALLY_RELEVANT for path in _ROOT.glob(pattern))
    return sorted(path.relative_to(_ROOT).as_posix() for path in found)
