"""Files beside the records, named by their SHA-256: written whole, then named, never changed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from pathlib import Path

from edge.errors import StoreError, why_zh
from edge.store.files import sync_directory

GRACE_S = 3_600.0
"""How long a file may wait for the record that names it."""


class BlobDirectory:
    """``blobs/ab/abcdef...`` with unfinished files apart in ``blobs/unfinished``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unfinished = directory / "unfinished"
        self._gate = threading.Lock()
        self._put_s: dict[str, float] = {}

    def prepare(self) -> None:
        """Make the directory and clear away what a crash left unfinished.

        Names that a killed process gave may not be on the disk yet.
        """
        self._unfinished.mkdir(parents=True, exist_ok=True)
        sync_directory(self._directory)
        for leftover in self._unfinished.iterdir():
            leftover.unlink()

    def path(self, sha256: str) -> Path:
        """Where the bytes of that hash are kept, whether or not they are there."""
        return self._directory / sha256[:2] / sha256

    def put(self, data: bytes) -> str:
        """Keep bytes; on the disk for good when this returns. Gives their hash.

        Raises
        ------
        StoreError
            The disk refuses; nothing half written stays behind.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        path = self.path(sha256)
        with self._gate:
            self._put_s[sha256] = time.monotonic()
        try:
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                sync_directory(self._directory)
            if not _holds(path, data):
                self._write(path, data)
            # Also for a file that was there: another thread may have named it just now.
            sync_directory(path.parent)
        except OSError as error:
            raise disk_refused(error) from error
        return sha256

    def discard(self, sha256: str) -> bool:
        """Remove a file that no record names; false if it was put just now and may be named soon.

        Raises
        ------
        OSError
            The disk refuses.
        """
        with self._gate:
            if sha256 in self._put_s:
                return False
            self.path(sha256).unlink(missing_ok=True)
        return True

    def settle(self) -> None:
        """Forget what was put long ago: it is named by now, or never will be."""
        before_s = time.monotonic() - GRACE_S
        with self._gate:
            self._put_s = {name: at for name, at in self._put_s.items() if at > before_s}

    def directories(self) -> list[Path]:
        """Where finished files lie."""
        return sorted(d for d in self._directory.iterdir() if len(d.name) == 2)

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, draft = tempfile.mkstemp(dir=self._unfinished)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o440)
                os.fsync(file.fileno())
            Path(draft).rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(draft).unlink()
            raise


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file is there and whole; one that rotted is written anew."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def disk_refused(error: Exception) -> StoreError:
    """The one sentence for everything that the disk or the database refuses."""
    return StoreError(
        f"磁盘或数据库拒绝写入{why_zh(error)}",
        f"the disk or the database refuses: {error}",
        next_zh="称重照常，案件在内存中等待，断电会丢失。释放磁盘空间：删除与本站无关的文件（旧日志、"
        "安装包），不要动数据目录；之后自动继续。不行就打电话叫维护人员",
        next_en="weighing goes on, cases wait in memory, a power cut would lose them; free disk"
        " space: delete what is not the station's (old logs, installers), nothing in the data"
        " directory; it then goes on by itself. If that does not help call the maintainer",
    )
