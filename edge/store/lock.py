"""One process, one store: a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from edge.errors import StoreError


class DirectoryLock:
    """Exclusive hold of a directory through ``flock`` on the file ``lock`` in it."""

    def __init__(self, directory: Path) -> None:
        """Take the lock.

        Raises
        ------
        StoreError
            Another process holds it.
        """
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"数据目录 {directory} 正被另一个进程使用（进程号 {holder}）",
                f"the data directory {directory} is in use by process {holder}",
                next_zh="先停止另一个 steelyard，再启动本程序",
                next_en="stop the other steelyard first, then start this one",
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its number
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the directory free."""
        os.close(self._descriptor)
