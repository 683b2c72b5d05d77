"""Blobs on their way to the centre: chunks are checked as they come and lie on the disk at once.

``partial/<station>/<sha256>.json`` is the manifest, ``.part`` the bytes so far. Which chunks are
there is not written down: it is found by their hashes, so that neither a kill nor a power cut can
make it a lie. Partial blobs belong to the station that sends them, since anybody can write a
manifest; whole ones prove themselves and serve every station.

The disk is waited for by those records alone that name a blob: while it takes one, the chunks of
the next go on coming.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.health import Health
from edge.store.blobs import BlobDirectory, disk_refused
from edge.store.files import sync_directory
from edge.uplink.blobs import BlobState, Manifest

MOST_BYTES = 512 * 1024 * 1024
"""Declared bytes of the unfinished blobs of one station; the longest untouched go first."""
MOST_CHUNKS = 65_536
"""Their chunks, whose hashes are kept in memory."""
MOST_BLOBS = 256
_DISK_THREADS = 4
"""Waits for the disk that go on at once: its journal takes them together."""


@dataclass(slots=True)
class _Partial:
    manifest: Manifest
    path: Path
    absent: set[int]

    def fits(self, number: int, data: bytes) -> bool:
        """Whether these are the bytes of that chunk."""
        if len(data) != self.manifest.size_of(number):
            return False
        return hashlib.sha256(data).hexdigest() == self.manifest.chunks[number]


@dataclass(frozen=True, slots=True)
class _Whole:
    """A blob that has its name by its bytes, on its way to the disk."""

    station: str
    path: Path
    size_bytes: int
    on_disk: Future[None]


class IncomingBlobs:
    """Takes manifests and chunks; a blob that is whole moves to the others. One thread."""

    def __init__(self, directory: Path, blobs: BlobDirectory, health: Health) -> None:
        self._directory = directory
        self._blobs = blobs
        self._health = health
        self._partial: dict[str, OrderedDict[str, _Partial]] = {}
        self._whole: dict[str, _Whole] = {}
        self._relied_on: set[str] = set()
        self._disk = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="case-blobs")

    def close(self) -> None:
        """Wait for the disk; what has no name yet is found by its bytes at the next start."""
        self._disk.shutdown()

    def rely_on(self, sha256: str) -> bool:
        """Whether a blob is here; if so, ``settle`` waits until the disk has it."""
        if found := self._has(sha256):
            self._relied_on.add(sha256)
        return found

    def _has(self, sha256: str) -> bool:
        """What has its name was whole when it got it."""
        return sha256 in self._whole or self._blobs.path(sha256).exists()

    def state(self, station: str, sha256: str) -> BlobState:
        """What is here and what is missing of a blob."""
        if self._has(sha256):
            return BlobState(sha256, "complete")
        partial = self._of(station).get(sha256)
        return BlobState.lacking(sha256, partial.absent) if partial else _nothing_of(sha256)

    def take_manifest(self, station: str, sha256: str, payload: bytes) -> BlobState | None:
        """Begin or resume a blob; None for what is no manifest."""
        try:
            manifest = Manifest.decode(payload)
        except ValueError:
            manifest = None
        if manifest is None or manifest.sha256 != sha256 or manifest.size_bytes > MOST_BYTES:
            self._health.count("case.manifests_bad")
            return None
        self._of(station)  # a blob may have been whole when the centre was killed
        if not self._has(sha256):
            self._begin(station, manifest, payload)
        return self.state(station, sha256)

    def take_chunk(self, station: str, sha256: str, number: int, data: bytes) -> BlobState | None:
        """Keep a chunk; an answer where the blob is whole, or where something is wrong."""
        partial = self._of(station).get(sha256)
        if partial is None or number >= len(partial.manifest.chunks):
            self._health.count("case.chunks_unknown")
            return self.state(station, sha256)
        if number not in partial.absent:
            self._health.count("case.chunks_again")
            return None
        if not partial.fits(number, data):
            self._health.count("case.chunks_damaged")
            return self.state(station, sha256)
        self._of(station).move_to_end(sha256)
        _write_at(partial.path, number * partial.manifest.chunk_bytes, data)
        partial.absent.discard(number)
        return self._finish(station, partial) if not partial.absent else None

    def settle(self) -> dict[str, int]:
        """Bring to the disk what the coming commit relies on, and the names of it.

        Gives the bytes that each station has brought since.
        """
        brought: dict[str, int] = {}
        with _refusals_told():
            for sha256, whole in list(self._whole.items()):
                if sha256 in self._relied_on or whole.on_disk.done():
                    self._name(sha256, whole)
                    brought[whole.station] = brought.get(whole.station, 0) + whole.size_bytes
            # Also of a blob that a killed process has named: nothing else says that the disk knows.
            named = {self._blobs.path(sha256).parent for sha256 in self._relied_on}
            list(self._disk.map(sync_directory, named))
        self._relied_on.clear()
        return brought

    # ------------------------------------------------------------------------------------------
    # Unfinished blobs

    def _of(self, station: str) -> OrderedDict[str, _Partial]:
        """The station's unfinished blobs; read from the disk the first time."""
        if station not in self._partial:
            self._partial[station] = OrderedDict()
            drafts = (self._directory / station).glob("*.json")
            for draft in sorted(drafts, key=lambda path: path.stat().st_mtime_ns):
                self._reopen(station, draft)
        return self._partial[station]

    def _reopen(self, station: str, draft: Path) -> None:
        try:
            manifest = Manifest.decode(draft.read_bytes())
            partial = _survey(manifest, draft.with_suffix(".part"))
            self._of(station)[draft.stem] = partial
            if not partial.absent:
                self._finish(station, partial)
        except (OSError, ValueError):
            self._remove(station, draft.stem)

    def _begin(self, station: str, manifest: Manifest, payload: bytes) -> None:
        """Another manifest for the same bytes by the same station takes the place of the first."""
        partial = self._of(station).get(manifest.sha256)
        if partial and partial.manifest == manifest:
            return
        self._remove(station, manifest.sha256)
        draft = self._directory / station / f"{manifest.sha256}.json"
        with _refusals_told():
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.with_suffix(".part").touch()
            draft.write_bytes(payload)
        absent = set(range(len(manifest.chunks)))
        partial = _Partial(manifest, draft.with_suffix(".part"), absent)
        self._of(station)[manifest.sha256] = partial
        if not absent:
            self._finish(station, partial)
        self._keep_bounds(station)

    def _keep_bounds(self, station: str) -> None:
        partial = self._of(station)
        while (
            len(partial) > MOST_BLOBS
            or sum(p.manifest.size_bytes for p in partial.values()) > MOST_BYTES
            or sum(len(p.manifest.chunks) for p in partial.values()) > MOST_CHUNKS
        ):
            self._remove(station, next(iter(partial)))
            self._health.count("case.partial_dropped")

    def _finish(self, station: str, partial: _Partial) -> BlobState:
        """Every chunk fits the manifest; if the whole does not fit its name, that was a lie."""
        sha256, size_bytes = partial.manifest.sha256, partial.manifest.size_bytes
        with _refusals_told():
            if not _is_whole(partial):
                self._health.count("case.blobs_lied")
                self._remove(station, sha256)
            elif self._has(sha256):  # another station was faster
                self._remove(station, sha256)
            else:
                on_disk = self._disk.submit(_sync, partial.path)
                self._whole[sha256] = _Whole(station, partial.path, size_bytes, on_disk)
                self._of(station).pop(sha256)
        return self.state(station, sha256)

    def _name(self, sha256: str, whole: _Whole) -> None:
        """Give a blob its name; where the disk refuses it, it must come again."""
        del self._whole[sha256]
        try:
            whole.on_disk.result()
            path = self._blobs.path(sha256)
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                sync_directory(path.parent.parent)
            whole.path.rename(path)
        finally:
            self._remove(whole.station, sha256)

    def _remove(self, station: str, sha256: str) -> None:
        self._of(station).pop(sha256, None)
        for suffix in (".json", ".part"):
            (self._directory / station / f"{sha256}{suffix}").unlink(missing_ok=True)


def _nothing_of(sha256: str) -> BlobState:
    return BlobState(sha256, "missing")


def _survey(manifest: Manifest, path: Path) -> _Partial:
    """Which chunks lie on the disk, by their hashes."""
    partial = _Partial(manifest, path, set())
    with path.open("rb") as file:
        for number in range(len(manifest.chunks)):
            if not partial.fits(number, file.read(manifest.size_of(number))):
                partial.absent.add(number)
    return partial


def _is_whole(partial: _Partial) -> bool:
    """Whether the bytes have the name."""
    with partial.path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == partial.manifest.sha256


def _sync(path: Path) -> None:
    """Bring the bytes to the disk, never to be changed."""
    with path.open("rb") as file:
        os.fchmod(file.fileno(), 0o440)
        os.fsync(file.fileno())


def _write_at(path: Path, offset: int, data: bytes) -> None:
    with _refusals_told():
        descriptor = os.open(path, os.O_WRONLY)
        try:
            while data:  # a full disk may take a part
                written = os.pwrite(descriptor, data, offset)
                data, offset = data[written:], offset + written
        finally:
            os.close(descriptor)


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_refused(error) from error
