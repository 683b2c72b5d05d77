"""What a store takes of its disk, and what the process has written to it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import NamedTuple

from edge.store.schema import DATABASE

DAY_S = 86_400


class Share(NamedTuple):
    """Blobs of one class (case, lawful, config) and role (signal, picture ...)."""

    kept_as: str
    role: str


def free_bytes(directory: Path) -> int:
    """Space on the disk of a directory that this process may still take."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


def statement_bytes(directory: Path) -> int:
    """What database and journal take."""
    paths = [directory / f"{DATABASE}{suffix}" for suffix in ("", "-wal")]
    paths += [Path(entry.path) for entry in os.scandir(directory / "journal")]
    return sum(_size(path) for path in paths)


def written_bytes() -> int | None:
    """Bytes that this process had written to disks since it began; None where nobody counts."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), None)


def shares(connection: sqlite3.Connection, first: int) -> dict[Share, int]:
    """Bytes of the blobs that records from ``first`` on name, by class and role."""
    rows = connection.execute(
        "SELECT class, role, sum(size_bytes) FROM blob_uses WHERE idx >= ? GROUP BY class, role",
        (first,),
    )
    return {Share(kept_as, role): size for kept_as, role, size in rows}


def reclaimable_bytes(connection: sqlite3.Connection) -> int:
    """What of lawful vehicles could go: blobs of records before the oldest that waits."""
    (size,) = connection.execute(
        "SELECT coalesce(sum(size_bytes), 0) FROM blob_uses WHERE class = 'lawful'"
        " AND idx < coalesce((SELECT min(idx) FROM outbox), 9e18)"
    ).fetchone()
    return int(size)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
