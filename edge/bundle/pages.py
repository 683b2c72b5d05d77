"""The whole bundle: files of the dossier, pages made from them, and the list of all.

::

    sheet.html           what it says, for reading and printing
    HOW-TO-CHECK.html    how anybody checks it with openssl, and check.py
    manifest.json        every file with its SHA-256
    record/ log/ ...     the evidence
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from edge import __version__
from edge.bundle.archive import WORK, pack
from edge.bundle.dossier import Dossier
from edge.bundle.layout import RECORD, cosignature_of, files_of, names_of
from edge.bundle.sheet import proof_of, render, sheet
from edge.evidence.canonical import canonical
from edge.evidence.note import NoteVerifier

SCHEMA = "steelyard/bundle/1"
MANIFEST, SHEET, HOW_TO, CHECK = "manifest.json", "sheet.html", "HOW-TO-CHECK.html", "check.py"
PAGES = (SHEET, HOW_TO, CHECK)
_ROOT = Path(__file__).parents[1]


def export(dossier: Dossier) -> bytes:
    """The bundle of a dossier as one archive; the same dossier gives the same bytes.

    Raises
    ------
    ValueError
        A statement, a note or a key of it is malformed.
    """
    return pack(with_pages(dossier), dossier.body["time_us"])


def with_pages(dossier: Dossier) -> dict[str, bytes]:
    """All files of a bundle."""
    files = files_of(dossier)
    files |= {SHEET: sheet(dossier), HOW_TO: how_to(dossier, files), CHECK: check_script()}
    return files | {MANIFEST: manifest(dossier, files)}


def manifest(dossier: Dossier, files: Mapping[str, bytes]) -> bytes:
    """The list of files, and which program made their pages."""
    body = {
        "schema": SCHEMA,
        "station": dossier.body["station"],
        "index": dossier.main.index,
        "record_id": dossier.main.record.record_id,
        "time_us": dossier.body["time_us"],
        "made_by": dict(maker()),
        "files": [
            {"name": name, "sha256": _sha256(data), "size_bytes": len(data)}
            for name, data in sorted(files.items())
            if name != MANIFEST
        ],
    }
    return canonical(body)


def how_to(dossier: Dossier, files: Mapping[str, bytes]) -> bytes:
    """The page that says how to check, with commands for this very record."""
    proof = proof_of(dossier)
    return render(
        "how_to.html",
        d=dossier,
        body=dossier.body,
        record_id=dossier.main.record.record_id,
        proof=proof,
        sides=path_sides(dossier.main.index, proof.checkpoint.size),
        cosigned=cosignature_of(dossier),
        second="log/checkpoint.sm2.sig" in files,
        answered="receipt/receipt.sig" in files,
        private=f"{RECORD}.private.json" in files,
        named={name: sha for name, sha in names_of(dossier).items() if name in files},
        keys=[NoteVerifier(key) for key in (dossier.station_key, dossier.centre_key) if key],
        work=WORK,
    )


def path_sides(index: int, size: int) -> list[bool]:
    """For each hash of an inclusion proof, whether it stands left (RFC 9162, 2.1.3.1)."""
    sides, begin, end = [], 0, size
    while end - begin > 1:
        split = begin + (1 << ((end - begin - 1).bit_length() - 1))
        sides.append(index >= split)
        begin, end = (split, end) if index >= split else (begin, split)
    return sides[::-1]


def check_script() -> bytes:
    """The script that goes with every bundle."""
    return (resources.files("edge.bundle") / CHECK).read_bytes()


@cache
def maker() -> Mapping[str, Any]:
    """Version of this program, and one hash over all that can show in a page of a bundle."""
    paths = sorted(p for kind in ("py", "html") for p in _ROOT.rglob(f"*.{kind}"))
    lines = "".join(
        f"{_sha256(path.read_bytes())}  {path.relative_to(_ROOT).as_posix()}\n" for path in paths
    )
    return {"version": __version__, "sha256": _sha256(lines.encode())}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
