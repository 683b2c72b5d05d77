"""A second copy of the log's statements: plain lines in plain files, written after each commit.

::

    <directory>/journal/00000.jsonl     canonical bytes of records 0..8191, one a line
    <directory>/journal/00000.private   private parts of those records, until they are erased
    <directory>/journal/head            the newest checkpoint that was brought to the disk
    <directory>/journal/behind          where a copy is not complete yet

A line is written before anybody is told of its record, but brought to the disk at a calm pace: a
commit costs no second wait. Order and repetition do not matter: each line says its own number, and
where nothing else knows it the lines beside it bear it out, for a disk can turn a bit in it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from edge.evidence.message import is_count
from edge.health import Health
from edge.store.files import replace_file, sync_directory

RECORDS_A_FILE = 8192

JournalRow = tuple[int, bytes, bytes | None]
"""Number, canonical bytes and private part of a record."""


class JournalLine(NamedTuple):
    """A record as it stands in the journal."""

    number: int
    data: bytes
    is_placed: bool
    """Whether a line beside it has the number before or after its own."""


class Journal:
    """Lines of the records in a directory; one writes at a time, anybody may read."""

    def __init__(self, directory: Path, health: Health) -> None:
        self.directory = directory
        self._health = health
        self._gate = threading.Lock()
        self._unsynced: set[Path] = set()

    def beside(self, directory: Path) -> Journal:
        """One that was set aside."""
        return Journal(directory, self._health)

    def prepare(self) -> None:
        """Make the directory, and end a line that a power cut left half written."""
        self.directory.mkdir(exist_ok=True)
        for path in (*self._newest("jsonl"), *self._newest("private")):
            _end_last_line(path)

    def end(self) -> int:
        """One past the largest number of a record that stands in it."""
        for path in self._newest("jsonl"):
            first = int(path.stem) * RECORDS_A_FILE
            placed = (line.number for line in _lines_of_records(path) if line.is_placed)
            return max(placed, default=first - 1) + 1
        return 0

    def append(self, rows: Sequence[JournalRow]) -> bool:
        """Write lines; a disk that refuses is counted, and what is missing is written later."""
        parts = [(index, private) for index, _, private in rows if private is not None]
        return self._append([(index, data) for index, data, _ in rows], parts)

    def fill(self, first: int, rows: Sequence[JournalRow]) -> bool:
        """Write those records of the file of ``first`` that it lacks."""
        have = {line.number for line in _lines_of_records(self._path(first, "jsonl"))}
        have_part = {index for index, _ in _privates_of(self._path(first, "private"))}
        return self._append(
            [(index, data) for index, data, _ in rows if index not in have],
            [(i, part) for i, _, part in rows if part is not None and i not in have_part],
        )

    def _append(
        self, records: Iterable[tuple[int, bytes]], parts: Iterable[tuple[int, bytes]]
    ) -> bool:
        lines: dict[tuple[int, str], list[bytes]] = {}
        for index, data in records:
            lines.setdefault((index // RECORDS_A_FILE, "jsonl"), []).append(data + b"\n")
        for index, private in parts:
            line = _private_line(index, private)
            lines.setdefault((index // RECORDS_A_FILE, "private"), []).append(line)
        with self._gate:
            try:
                for (segment, suffix), some in lines.items():
                    self._write(self._file(segment, suffix), b"".join(some))
            except OSError:
                self._health.count("store.journal_failures")
                return False
        return True

    def sync(self, head: str | None) -> None:
        """Bring the lines to the disk, and the checkpoint that covers them.

        Raises
        ------
        OSError
            The disk refuses; the next call tries again.
        """
        with self._gate:
            paths, self._unsynced = self._unsynced, set()
        try:
            for path in paths:
                _sync_file(path)
            if head is not None and paths:
                replace_file(self.directory / "head", head.encode())
        except OSError:
            with self._gate:
                self._unsynced |= paths
            raise

    def head(self) -> str | None:
        """The checkpoint that was written last."""
        try:
            return (self.directory / "head").read_text()
        except (OSError, UnicodeDecodeError):
            return None

    def behind(self) -> tuple[int, int] | None:
        """The range of records that may be missing, where a copy was not finished."""
        try:
            first, last = (self.directory / "behind").read_text().split()
            return int(first), int(last)
        except (OSError, ValueError):
            return None

    def mark_behind(self, missing: tuple[int, int] | None) -> None:
        """Keep in mind which records are missing, or that none are."""
        path = self.directory / "behind"
        if missing is None:
            path.unlink(missing_ok=True)
            sync_directory(self.directory)
        else:
            replace_file(path, "{} {}\n".format(*missing).encode())

    def lines(self) -> Iterator[JournalLine]:
        """Every line of a record that is an object with a number."""
        for path in sorted(self.directory.glob("*.jsonl")):
            yield from _lines_of_records(path)

    def privates(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of every private part."""
        for path in sorted(self.directory.glob("*.private")):
            yield from _privates_of(path)

    def forget(self, erased: Collection[int]) -> None:
        """Write the files of private parts anew without those that were erased.

        Raises
        ------
        OSError
            The disk refuses; nothing was lost.
        """
        doomed = set(erased)
        for path in {self._path(index, "private") for index in doomed}:
            with self._gate:
                kept = [pair for pair in _privates_of(path) if pair[0] not in doomed]
                if kept:
                    replace_file(path, b"".join(_private_line(*pair) for pair in kept))
                else:
                    path.unlink(missing_ok=True)

    def _write(self, path: Path, data: bytes) -> None:
        """Add to the end of a file: all of it, or nothing."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            before = os.lseek(descriptor, 0, os.SEEK_END)
            try:
                if os.write(descriptor, data) != len(data):
                    raise OSError("the disk took a part of the line only")
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        self._unsynced.add(path)
        if before == 0:
            self._unsynced.add(self.directory)

    def _path(self, index: int, suffix: str) -> Path:
        return self._file(index // RECORDS_A_FILE, suffix)

    def _file(self, segment: int, suffix: str) -> Path:
        return self.directory / f"{segment:05}.{suffix}"

    def _newest(self, suffix: str) -> list[Path]:
        return sorted(self.directory.glob(f"*.{suffix}"))[-1:]


def _lines_of_records(path: Path) -> Iterator[JournalLine]:
    numbered = (
        (int(body["index"]), line)
        for line, body in _objects_of(path)
        if is_count(body.get("index"))
    )
    before = int(path.stem) * RECORDS_A_FILE - 1
    for (index, line), (after, _) in pairwise(chain(numbered, [(-1, b"")])):
        yield JournalLine(index, line, before == index - 1 or after == index + 1)
        before = index


def _privates_of(path: Path) -> Iterator[tuple[int, bytes]]:
    for _, body in _objects_of(path):
        with contextlib.suppress(KeyError, TypeError, binascii.Error):
            yield int(body["index"]), base64.b64decode(body["data"], validate=True)


def _objects_of(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines that are JSON objects; a line that was damaged is passed over."""
    for line in _lines_of(path):
        try:
            body = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(body, dict):
            yield line, body


def _lines_of(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for raw in file:
            yield raw.removesuffix(b"\n")


def _private_line(index: int, private: bytes) -> bytes:
    return b'{"data":"%s","index":%d}\n' % (base64.b64encode(private), index)


def _end_last_line(path: Path) -> None:
    with path.open("r+b") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _sync_file(path: Path) -> None:
    if path.is_dir():
        sync_directory(path)
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # its last private part was erased
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
