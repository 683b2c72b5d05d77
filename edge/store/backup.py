"""A copy of a store while its station runs: one state of the database and the files that it names.

::

    <to>/station.db     renamed into place when every file that it names is there
    <to>/blobs/ab/...   links where both lie on one disk, else copies
    <to>/backup.json    written last: whose copy, how long its log is, its signed head

Killed at any moment, the copy before stays as it was; called again, files that are there are not
copied again. The key is never in it unless it is asked for.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, IntegrityError
from edge.evidence.note import Checkpoint, NoteSigner, origin_of, split_note
from edge.evidence.station_key import KEY_FILE
from edge.store.blobs import BlobDirectory, disk_refused
from edge.store.files import replace_file, sync_directory
from edge.store.lock import DirectoryLock
from edge.store.schema import DATABASE, connect_reader, migrate
from edge.store.verify import Step, verify_store

_PART = f"{DATABASE}.part"
_PAGES_AT_ONCE = 4_096
_TRIES = 5
"""A file may be removed by rule while it is copied; then a newer state is copied."""

Progress = Callable[[str, int, int], None]
"""What is being done (``database``, ``files``, ``verify``), how far it is, and of how much."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was verified."""

    records: int
    files: int
    copied: int
    head: str


def back_up(source: Path, to: Path, progress: Progress, *, with_key: bool = False) -> BackedUp:
    """Copy the store in ``source`` to ``to`` and verify the copy.

    Raises
    ------
    InputError
        There is no store, or ``to`` is no place for its copy.
    StoreError
        The disk refuses, or ``to`` is in use.
    IntegrityError
        The copy does not prove itself.
    """
    _check_places(source, to)
    try:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.closing(_Held(to)):
            return _Backup(source, to, progress).run(with_key=with_key)
    except (OSError, sqlite3.Error) as error:
        raise disk_refused(error) from error


class _Held:
    """The directory of a backup, locked against a station or another backup."""

    def __init__(self, directory: Path) -> None:
        self._lock = DirectoryLock(directory)

    def close(self) -> None:
        self._lock.release()


class _Backup:
    def __init__(self, source: Path, to: Path, progress: Progress) -> None:
        self._source = source
        self._to = to
        self._progress = progress
        self._from = BlobDirectory(source / "blobs")
        self._blobs = BlobDirectory(to / "blobs")
        self._copied = 0

    def run(self, *, with_key: bool) -> BackedUp:
        self._blobs.prepare()
        for _ in range(_TRIES):
            self._copy_database()
            names = self._names()
            if not (gone := self._copy_files(names)):
                break
        else:
            raise IntegrityError(
                f"文件 {gone} 读不到，备份不完整",
                f"the file {gone} can't be read: the backup is incomplete",
                step="blobs",
                next_zh="运行 steelyard verify 查明缺失的文件",
                next_en="run steelyard verify to see what is missing",
            )
        (self._to / "backup.json").unlink(missing_ok=True)
        (self._to / _PART).rename(self._to / DATABASE)
        sync_directory(self._to)
        self._remove_unnamed(names)
        if with_key:
            self._copy_key()
        return self._verified(names)

    def _copy_database(self) -> None:
        """One state, whatever the station writes meanwhile."""
        part = self._to / _PART
        part.unlink(missing_ok=True)
        with (
            contextlib.closing(connect_reader(self._source / DATABASE)) as live,
            contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy,
        ):
            copy.execute("PRAGMA synchronous=OFF")
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            live.backup(copy, pages=_PAGES_AT_ONCE, progress=self._tell_pages)
            live.execute("COMMIT")
            copy.execute("PRAGMA journal_mode=DELETE").fetchone()
            migrate(copy)  # a store of an earlier version is brought on in the copy
        with part.open("rb") as file:
            os.fsync(file.fileno())

    def _tell_pages(self, _status: int, remaining: int, total: int) -> None:
        self._progress("database", total - remaining, total)

    def _names(self) -> dict[str, int]:
        """Files that the copied records name, with their sizes."""
        with contextlib.closing(sqlite3.connect(self._to / _PART)) as copy:
            return dict(copy.execute("SELECT sha256, max(size_bytes) FROM blob_uses GROUP BY 1"))

    def _copy_files(self, names: dict[str, int]) -> str:
        """Bring every file over; the hash of the first that is gone, or nothing."""
        fresh: set[Path] = set()
        for done, (name, size) in enumerate(names.items()):
            path = self._blobs.path(name)
            self._progress("files", done, len(names))
            if _size(path) == size:
                continue
            try:
                self._bring(self._from.path(name), path)
            except FileNotFoundError:
                return name
            fresh.add(path.parent)
        for directory in fresh:
            sync_directory(directory)
        sync_directory(self._to / "blobs")
        return ""

    def _bring(self, source: Path, path: Path) -> None:
        """Link a file, or copy it where that is another disk; it gets its name when it is whole."""
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            self._copy(source, path)
        self._copied += 1

    def _copy(self, source: Path, path: Path) -> None:
        draft = self._to / "blobs" / "unfinished" / path.name
        with source.open("rb") as there, draft.open("wb") as here:
            shutil.copyfileobj(there, here, 1 << 20)
            here.flush()
            os.fchmod(here.fileno(), 0o440)
            os.fsync(here.fileno())
        draft.rename(path)

    def _remove_unnamed(self, names: dict[str, int]) -> None:
        """Files of an older copy that its records do not name any more."""
        for directory in self._blobs.directories():
            for entry in os.scandir(directory):
                if entry.name not in names:
                    Path(entry.path).unlink()

    def _copy_key(self) -> None:
        draft = self._to / f"{KEY_FILE}.new"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write((self._source / KEY_FILE).read_bytes())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._to / KEY_FILE)
        sync_directory(self._to)

    def _verified(self, names: dict[str, int]) -> BackedUp:
        """Prove the copy, then write down what it is."""
        with contextlib.closing(connect_reader(self._to / DATABASE)) as copy:
            (station,) = copy.execute("SELECT id FROM station").fetchone()
            row = copy.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        note = row[0] if row else ""
        size = Checkpoint.parse(split_note(note)[0]).size if note else 0
        key = NoteSigner.load(self._source / KEY_FILE, origin_of(station)).verifier_key
        for step in verify_store(self._to, key, self._tell_step):
            if not step.ok:
                raise IntegrityError(
                    f"备份核对第 {step.number} 步不通过：{step.detail.zh}",
                    f"step {step.number} of verifying the backup failed: {step.detail.en}",
                    step=str(step.number),
                    next_zh="不要使用这份备份；对站点运行 steelyard verify",
                    next_en="do not use this backup; run steelyard verify on the station",
                )
        about = {"station": station, "verifier_key": key, "records": size, "head": note}
        replace_file(self._to / "backup.json", json.dumps(about, indent=1).encode())
        return BackedUp(size, len(names), self._copied, note)

    def _tell_step(self, step: Step) -> None:
        self._progress("verify", step.number, 10)


def _check_places(source: Path, to: Path) -> None:
    if not (source / DATABASE).exists():
        raise InputError(
            f"{source} 中没有证据库",
            f"there is no store in {source}",
            next_zh="检查站点文件中的 data_dir",
            next_en="check data_dir in the station file",
        )
    if to.resolve().is_relative_to(source.resolve()):
        raise InputError(
            "备份目录不能放在数据目录里",
            "a backup can't lie inside the data directory",
            next_zh="用 --to 指定另一个目录，最好在另一块磁盘上",
            next_en="name another directory with --to, best on another disk",
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
