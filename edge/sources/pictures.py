"""Pictures of plate cameras: matched by reference, awaited until whole, hashed on arrival."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edge.health import Health
from edge.records import Picture

MAX_PICTURE_BYTES = 8 << 20
WAIT_S = 0.5
"""How long a plate waits for its picture."""

MESSAGE_SUFFIX = ".message"
"""Ends the names under which messages of network cameras are laid down."""

PICTURE_AGE_S = 3_600.0
"""Pictures older than this are swept from the cameras' directories."""

_POLL_S = 0.02
_LAST_LOOKS = 3
_STEP_US = 1_000_000
_PLAIN_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,128}")
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class PictureFolder:
    """The directory into which one camera puts its pictures.

    Parameters
    ----------
    directory : Path
    count : callable
        Counts ``pictures``, ``pictures_refused`` (no plain file name), ``pictures_missing`` and
        ``pictures_unusable`` (too large, cut off, no JPEG, no file).
    """

    def __init__(self, directory: Path, count: Callable[[str], None]) -> None:
        self._directory = directory
        self._count = count

    async def take(self, reference: str, deadline_s: float) -> Picture | None:
        """The picture once it is whole, or None at ``deadline_s`` of the running loop's clock."""
        if _PLAIN_NAME.fullmatch(reference) is None:
            self._count("pictures_refused")
            return None
        path = self._directory / reference
        data = await self._await_whole(path, deadline_s)
        if data is None:
            seen = await asyncio.to_thread(os.path.lexists, path)
            self._count("pictures_unusable" if seen else "pictures_missing")
            return None
        self._count("pictures")
        return Picture(reference, str(path), hashlib.sha256(data).hexdigest(), len(data))

    async def _await_whole(self, path: Path, deadline_s: float) -> bytes | None:
        """The file once its end mark is there and its size rests.

        The last looks come after the deadline: the machine may have stood still until then.
        """
        size_before, looks_left = -1, _LAST_LOOKS
        while looks_left:
            data = await asyncio.to_thread(_read, path)
            whole = data.startswith(_JPEG_START) and data.endswith(_JPEG_END)
            if whole and len(data) == size_before:
                return data
            looks_left -= asyncio.get_running_loop().time() >= deadline_s
            size_before = len(data)
            await asyncio.sleep(_POLL_S)
        return None


def lay_down(directory: Path, name: str, data: bytes, media_type: str) -> Picture:
    """Write what a camera sent under a name of ours, whole or not at all.

    Raises
    ------
    OSError
        The disk refuses.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path, fresh = directory / name, directory / f".{name}.tmp"
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return Picture(name, str(path), hashlib.sha256(data).hexdigest(), len(data), media_type)


def sweep_pictures(directory: Path, before_s: float) -> int:
    """Remove JPEG files, and messages that were laid down, last written before ``before_s`` (UTC).

    Other files stay. How many went.
    """
    swept = 0
    for path in (*directory.glob("*.jp*g"), *directory.glob(f"*{MESSAGE_SUFFIX}")):
        if path.is_file() and not path.is_symlink() and path.stat().st_mtime < before_s:
            path.unlink(missing_ok=True)
            swept += 1
    return swept


async def keep_swept(
    directories: Mapping[str, Path], offset_us: Callable[[], int], health: Health
) -> None:
    """Sweep the directory of each camera for ever: what belongs to a record is in the store.

    ``offset_us`` tells how far the wall clock is off the steady one: across a step of it the ages
    of files mean nothing.
    """
    now_us = offset_us()
    while True:
        before_us, now_us = now_us, offset_us()
        for camera, directory in directories.items() if abs(now_us - before_us) <= _STEP_US else ():
            swept = await asyncio.to_thread(sweep_pictures, directory, time.time() - PICTURE_AGE_S)
            health.count(f"camera.{camera}.pictures_swept", swept)
        await asyncio.sleep(PICTURE_AGE_S / 6)


def _read(path: Path) -> bytes:
    """What stands in a plain file of permitted size by now; empty where there is none.

    A symbolic link could lead out of the directory and a pipe could stall the reader: neither is
    opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        data = os.read(descriptor, MAX_PICTURE_BYTES + 1)
    finally:
        os.close(descriptor)
    return data if len(data) <= MAX_PICTURE_BYTES else b""
