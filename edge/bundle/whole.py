"""Whether a bundle is as it was packed: its list of files, their hashes, the archive itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from edge.bundle.archive import damaged, pack
from edge.bundle.dossier import Dossier
from edge.bundle.pages import MANIFEST, manifest
from edge.errors import IntegrityError, Text, why_zh
from edge.evidence.canonical import parse_canonical

State = Literal["ok", "failed", "absent"]
"""How a step came out; absent: there is nothing to check, which proves nothing."""


def whole(
    files: Mapping[str, bytes], archive: bytes | None, dossier: Dossier | None
) -> tuple[State, Text]:
    """Every listed file has its hash, there is no other, and the archive is the one of these."""
    listed = _listed(files)
    wrong = [
        name
        for name in sorted(listed.keys() | files.keys() - {MANIFEST})
        if name not in files or listed.get(name) != _entry(files[name])
    ]
    if wrong:
        return "failed", named("损坏、缺少或多出的文件", "damaged, missing or foreign files", wrong)
    if dossier is None:
        return "ok", Text(f"{len(files)} 个文件", f"{len(files)} files")
    if not _is_own_manifest(files, dossier):
        return "failed", named("损坏的文件", "damaged files", [MANIFEST])
    if archive is not None:
        made = pack(files, dossier.body["time_us"])
        if made != archive:
            at = next((i for i, (a, b) in enumerate(zip(made, archive, strict=False)) if a != b), 0)
            raise damaged(at or min(len(made), len(archive)), "ZIP")
    return "ok", Text(f"{len(files)} 个文件", f"{len(files)} files")


def _listed(files: Mapping[str, bytes]) -> dict[str, tuple[str, int]]:
    try:
        entries = parse_canonical(files[MANIFEST])["files"]
        return {e["name"]: (e["sha256"], e["size_bytes"]) for e in entries}
    except (KeyError, ValueError, TypeError) as error:
        raise IntegrityError(
            f"{MANIFEST} 缺失或损坏{why_zh(error)}", f"{MANIFEST} is missing or damaged ({error})"
        ) from error


def _is_own_manifest(files: Mapping[str, bytes], dossier: Dossier) -> bool:
    """Whether the list says of the record what the record says; who made it may be another."""
    stated = parse_canonical(files[MANIFEST])
    own = parse_canonical(manifest(dossier, files))
    by = stated.get("made_by")
    return isinstance(by, dict) and stated == own | {"made_by": by}


def _entry(data: bytes) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), len(data)


def unlike(expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    return [n for n in sorted(expected.keys() | found.keys()) if expected.get(n) != found.get(n)]


def named(zh: str, en: str, names: list[str]) -> Text:
    shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    return Text(f"{zh}：{shown}", f"{en}: {shown}")
