"""Recordings: what one digitiser and its cameras sent, as plain files that anybody can open.

A recording is a directory::

    recording.json   device, rate, channels, scale, times, gaps; read it first
    signal-0.flac    channels 0..7 as 24-bit FLAC (RFC 9639), signal-1.flac channels 8..15 ...
    inputs.csv       edges of the digital inputs
    plates.csv       readings of the plate cameras
    truth.csv        what really passed, where it is known (simulated or reference vehicles)

The signal files hold the rows that were received and nothing else; ``gaps`` in
``recording.json`` tells where rows are missing. ``docs/wire.md`` describes every column.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from firmware_bridge.recording_format import (
    JUSTIFY_BITS,
    MAX_RATE_HZ,
    RecordingError,
    crc_of,
    parts_of,
    read_head,
)
from firmware_bridge.recording_tables import (
    INPUTS,
    PLATES,
    TRUTH,
    Edge,
    PlateSeen,
    Truth,
)
from firmware_bridge.recording_writer import RecordingWriter

__all__ = ["Recording", "RecordingError", "RecordingWriter", "Truth", "find_recordings"]

READ_AHEAD_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording on disk. The tables are read at once, the signal as it is asked for.

    Attributes
    ----------
    n_samples : int
        Rows that were received; rows in ``gaps`` are not among them.
    counts_crc32 : int
        CRC-32 (zlib) of all rows as little-endian int32, all channels of a row together.
    edges : tuple of (sample, input, active)
    plates : tuple of (PlateFrame, received_ns)
    truth : tuple of Truth
    gaps : tuple of (first missing sample, number of missing samples)
    """

    directory: Path
    device: str
    rate_hz: float
    channels: tuple[str, ...]
    newton_per_count: float
    start_utc_ns: int
    first_sample: int
    n_samples: int
    counts_crc32: int
    gaps: tuple[tuple[int, int], ...]
    edges: tuple[Edge, ...]
    plates: tuple[PlateSeen, ...]
    truth: tuple[Truth, ...]

    @classmethod
    def open(cls, directory: Path) -> Recording:
        """Read everything but the signal.

        Raises
        ------
        RecordingError
            A file is missing, cut off or not as agreed.
        """
        head = read_head(directory / "recording.json")
        edges, plates = INPUTS.read(directory), PLATES.read(directory)
        truth = TRUTH.read(directory) if TRUTH.path(directory).exists() else ()
        try:
            recording = cls(
                directory=directory,
                device=str(head["device"]),
                rate_hz=float(head["rate_hz"]),
                channels=tuple(str(name) for name in head["channels"]),
                newton_per_count=float(head["newton_per_count"]),
                start_utc_ns=int(head["start_utc_ns"]),
                first_sample=int(head["first_sample"]),
                n_samples=int(head["n_samples"]),
                counts_crc32=int(head["counts_crc32"], 16),
                gaps=tuple((int(sample), int(lost)) for sample, lost in head["gaps"]),
                edges=edges,
                plates=plates,
                truth=truth,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{directory / 'recording.json'}: {error!r}") from error
        recording._check()
        return recording

    def _check(self) -> None:
        """Raise unless the files hold the rows and channels that recording.json states."""
        head = self.directory / "recording.json"
        if self.n_samples < 1 or not 1 <= self.rate_hz <= MAX_RATE_HZ or not self.channels:
            raise RecordingError(f"{head}: holds no samples, no channels or no rate")
        stored = self.first_sample
        for sample, lost in self.gaps:
            if sample < stored or lost < 1:
                raise RecordingError(f"{head}: the gaps are out of order")
            stored = sample + lost
        with self._signals() as files:
            for file, part in zip(files, parts_of(len(self.channels)), strict=True):
                if (file.frames, file.channels) != (self.n_samples, part.stop - part.start):
                    raise RecordingError(
                        f"{file.name}: holds {file.frames} rows of {file.channels} channels, "
                        f"recording.json says {self.n_samples} of {part.stop - part.start}"
                    )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[list[soundfile.SoundFile]]:
        with contextlib.ExitStack() as stack:
            paths = [
                self.directory / f"signal-{number}.flac"
                for number, _ in enumerate(parts_of(len(self.channels)))
            ]
            yield [stack.enter_context(_open_flac(path)) for path in paths]

    def utc_ns(self, sample: int) -> int:
        """UTC of a sample by the nominal rate."""
        return self.start_utc_ns + round((sample - self.first_sample) * 1e9 / self.rate_hz)

    def blocks(self, n: int) -> Iterator[tuple[int, NDArray[np.int32], int]]:
        """Blocks of at most ``n`` (>= 1) rows in order; a block never reaches over a gap.

        Yields
        ------
        first_sample : int
        counts : int32 array (rows, channels), read-only
        lost_before : int
            Samples missing directly before the block.

        Raises
        ------
        RecordingError
            The signal ends early or its checksum is wrong; the latter shows at the end.
        """
        crc = 0
        for first_sample, counts, lost in self.part(n, 0, None):
            crc = crc_of(counts, crc)
            yield first_sample, counts, lost
        if crc != self.counts_crc32:
            raise RecordingError(f"{self.directory}: the checksum of the signal is wrong")

    def part(
        self, n: int, first: int, end: int | None
    ) -> Iterator[tuple[int, NDArray[np.int32], int]]:
        """Blocks number ``first`` to ``end`` (exclusive) of :meth:`blocks`, without the checksum.

        Raises
        ------
        RecordingError
            The signal ends early.
        """
        pieces = list(self.pieces(n))
        with self._signals() as files:
            signal = _Rows(files, sum(rows for _, rows, _ in pieces[:first]))
            for first_sample, rows, lost in pieces[first:end]:
                yield first_sample, signal.take(rows), lost

    def pieces(self, n: int) -> Iterator[tuple[int, int, int]]:
        """(first sample, rows, lost before) of :meth:`blocks`; the signal is not read."""
        sample, lost, rows_left = self.first_sample, 0, self.n_samples
        gaps = list(self.gaps)
        while rows_left:
            while gaps and gaps[0][0] == sample:
                missing = gaps.pop(0)[1]
                sample, lost = sample + missing, lost + missing
            until = gaps[0][0] if gaps else sample + rows_left
            rows = min(n, until - sample, rows_left)
            yield sample, rows, lost
            sample, lost, rows_left = sample + rows, 0, rows_left - rows


def find_recordings(path: Path) -> list[Path]:
    """The recording at ``path``, or those directly below it, by name.

    Raises
    ------
    RecordingError
        There is none.
    """
    if (path / "recording.json").is_file():
        return [path]
    found = sorted(file.parent for file in path.glob("*/recording.json"))
    if not found:
        raise RecordingError(f"{path}: no recording.json there, nor one directory below")
    return found


def _open_flac(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path}: {error.error_string}") from error


class _Rows:
    """Rows of all signal files side by side, read ahead in large pieces.

    python-soundfile seeks after every read, which for FLAC means to decode a frame anew: small
    reads would be ten times slower.
    """

    def __init__(self, files: Sequence[soundfile.SoundFile], first_row: int) -> None:
        self._files = files
        for file in files:
            _seek(file, first_row)
        self._held = self._load(READ_AHEAD_ROWS)

    def take(self, rows: int) -> NDArray[np.int32]:
        """The next ``rows`` rows, int32 (rows, channels), read-only."""
        while len(self._held) < rows:
            fresh = self._load(READ_AHEAD_ROWS)
            if not len(fresh):
                raise RecordingError(f"{self._files[0].name}: the signal ends early")
            self._held = np.concatenate([self._held, fresh])
        piece, self._held = self._held[:rows], self._held[rows:]
        piece.flags.writeable = False
        return piece

    def _load(self, rows: int) -> NDArray[np.int32]:
        parts = [_decode(file, rows) for file in self._files]
        if len({len(part) for part in parts}) > 1:
            raise RecordingError(f"{self._files[0].name}: not as many rows as its neighbours")
        return np.concatenate(parts, axis=1) >> JUSTIFY_BITS


def _seek(file: soundfile.SoundFile, row: int) -> None:
    try:
        file.seek(row)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{file.name}: {error.error_string}") from error


def _decode(file: soundfile.SoundFile, rows: int) -> NDArray[np.int32]:
    try:
        decoded: NDArray[np.int32] = file.read(rows, dtype="int32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{file.name}: {error.error_string}") from error
    return decoded
