"""Statements that wait on the disk while the database can't take them.

::

    <directory>/waiting/000000000001.json    one statement as it will be sealed, oldest first

A crash between sealing a statement and removing its file does no harm: what the log holds already
is not sealed again.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path

from edge.errors import StoreError
from edge.evidence.canonical import canonical
from edge.evidence.seal import SALT_BYTES, seal
from edge.health import Health
from edge.records import Blob, Draft
from edge.store.blobs import disk_refused
from edge.store.files import replace_file

MOST_WAITING = 20_000
"""More than an hour of a busy station; some 3 kB each, their blobs lie with the others."""


class WaitingRoom:
    """Drafts in the order in which they came; one thread at a time."""

    def __init__(self, directory: Path, health: Health) -> None:
        self._directory = directory
        self._health = health
        self._names = sorted(int(path.stem) for path in directory.glob("*.json"))

    def __len__(self) -> int:
        return len(self._names)

    def keep(self, draft: Draft) -> None:
        """Keep a draft; on the disk for good when this returns.

        Raises
        ------
        StoreError
            The disk refuses, or too many wait.
        """
        if len(self._names) >= MOST_WAITING:
            raise StoreError("等待封存的记录太多", "too many statements wait for the database")
        name = self._names[-1] + 1 if self._names else 1
        try:
            self._directory.mkdir(exist_ok=True)
            replace_file(self._path(name), canonical(asdict(draft)))
        except OSError as error:
            raise disk_refused(error) from error
        self._names.append(name)

    def oldest(self) -> Draft | None:
        """The draft that waits longest; None for one that can't be read: it is put aside."""
        path = self._path(self._names[0])
        try:
            fields = json.loads(path.read_bytes())
            blobs = tuple(Blob(**blob) for blob in fields.pop("blobs"))
            return _whole(Draft(**fields, blobs=blobs))
        except (OSError, ValueError, LookupError, TypeError):
            self._health.count("store.waiting_unreadable")
            with contextlib.suppress(OSError):
                path.rename(path.with_suffix(".unreadable"))
            self._names.pop(0)
            return None

    def remove_oldest(self) -> None:
        """It was sealed; a file that the disk does not let go is known again at the next start."""
        with contextlib.suppress(OSError):
            self._path(self._names.pop(0)).unlink(missing_ok=True)

    def _path(self, name: int) -> Path:
        return self._directory / f"{name:012}.json"


def _whole(draft: Draft) -> Draft:
    """The draft, if the log could seal it.

    Raises
    ------
    ValueError
        A disk has altered its file.
    """
    seal(draft, station="-", index=0, passage=None, salt=bytes(SALT_BYTES))
    return draft
