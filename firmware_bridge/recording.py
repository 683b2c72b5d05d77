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
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording_tables import (
    INPUTS,
    PLATES,
    TRUTH,
    Edge,
    PlateSeen,
    RecordingError,
    TableWriter,
    Truth,
)

__all__ = ["Recording", "RecordingError", "RecordingWriter", "Truth", "find_recordings"]

SCHEMA = "steelyard-recording/1"

CHANNELS_PER_FILE = 8
"""FLAC carries at most eight channels (RFC 9639, section 9.1.3)."""

MAX_RATE_HZ = 655_350
"""Highest rate that every FLAC frame header can state (RFC 9639, section 9.1.5)."""

_COUNT_MIN, _COUNT_MAX = -(1 << 23), (1 << 23) - 1
_JUSTIFY = 8
"""libsndfile carries 24-bit samples in the upper bits of an int32."""


class RecordingWriter:
    """Writes a recording as it happens; blocks, edges and plates may come in any mixture.

    Parameters
    ----------
    directory : Path
        Made if missing; must not hold a recording.
    device : str
        Name of the digitiser.
    rate_hz : float
        Nominal sample rate, 1 to 655,350.
    channels : sequence of str
        Names of the channels in the order of ``counts``.
    newton_per_count : float
        Nominal scale: force in newton = count * newton_per_count.
    start_utc_ns : int
        UTC of ``first_sample``.
    first_sample : int
        The device's counter at the first row.

    Raises
    ------
    RecordingError
        The directory already holds a recording, or the rate or channels can't be recorded.
    """

    def __init__(
        self,
        directory: Path,
        *,
        device: str,
        rate_hz: float,
        channels: Sequence[str],
        newton_per_count: float,
        start_utc_ns: int,
        first_sample: int = 0,
    ) -> None:
        if not 1 <= rate_hz <= MAX_RATE_HZ or not channels:
            raise RecordingError(f"{directory}: {len(channels)} channels at {rate_hz} Hz")
        directory.mkdir(parents=True, exist_ok=True)
        if (directory / "recording.json").exists():
            raise RecordingError(f"{directory}: already holds a recording")
        self._directory = directory
        self._head: dict[str, Any] = {
            "schema": SCHEMA,
            "device": device,
            "rate_hz": float(rate_hz),
            "channels": list(channels),
            "newton_per_count": float(newton_per_count),
            "scale": "force_N = count * newton_per_count",
            "start_utc_ns": start_utc_ns,
            "first_sample": first_sample,
        }
        self._next_sample = first_sample
        self._rows = 0
        self._crc = 0
        self._gaps: list[tuple[int, int]] = []
        self._open = contextlib.ExitStack()
        # Without n_samples until close: a recording that was cut off says so to its reader.
        _write_head(directory, self._head)
        self._signals = [
            self._open_signal(number, part) for number, part in enumerate(_parts(len(channels)))
        ]
        self._inputs = self._open.enter_context(contextlib.closing(TableWriter(INPUTS, directory)))
        self._plates = self._open.enter_context(contextlib.closing(TableWriter(PLATES, directory)))
        self._truth: TableWriter[Truth] | None = None

    def _open_signal(self, number: int, part: slice) -> soundfile.SoundFile:
        file = soundfile.SoundFile(
            self._directory / f"signal-{number}.flac",
            "w",
            samplerate=round(self._head["rate_hz"]),
            channels=part.stop - part.start,
            format="FLAC",
            subtype="PCM_24",
        )
        file.title = self._head["device"]
        file.comment = (
            f"channels {','.join(self._head['channels'][part])}; rate_hz {self._head['rate_hz']}; "
            f"newton_per_count {self._head['newton_per_count']}; {self._head['scale']}"
        )
        return self._open.enter_context(file)

    def samples(self, first_sample: int, counts: NDArray[np.int32]) -> None:
        """Append a block: ``counts`` int32 (n, channels) from the counter ``first_sample`` on.

        A jump of the counter is noted as a gap.

        Raises
        ------
        RecordingError
            Wrong shape, more than 24 bits, or samples from before the end of the last block.
        """
        if counts.ndim != 2 or counts.shape[1] != len(self._head["channels"]):
            raise RecordingError(f"block of shape {counts.shape} does not fit the channels")
        if first_sample < self._next_sample:
            raise RecordingError(f"sample {first_sample} comes after {self._next_sample - 1}")
        if not len(counts):
            return
        if counts.min() < _COUNT_MIN or counts.max() > _COUNT_MAX:
            raise RecordingError(f"block at sample {first_sample} does not fit 24 bits")
        if first_sample > self._next_sample:
            self._gaps.append((self._next_sample, first_sample - self._next_sample))
        for file, part in zip(self._signals, _parts(counts.shape[1]), strict=True):
            file.write(counts[:, part].astype(np.int32) << _JUSTIFY)
        self._crc = _crc_of(counts, self._crc)
        self._rows += len(counts)
        self._next_sample = first_sample + len(counts)

    def edge(self, sample: int, input: int, active: bool) -> None:  # noqa: A002
        """Note that a digital input changed at a sample of the device's counter."""
        self._inputs.append((sample, input, active))

    def plate(self, frame: PlateFrame, received_ns: int) -> None:
        """Note a reading of a plate camera and when it came in, UTC."""
        self._plates.append((frame, received_ns))

    def truth(self, row: Truth) -> None:
        """Note a vehicle as it really was."""
        if self._truth is None:
            writer = contextlib.closing(TableWriter(TRUTH, self._directory))
            self._truth = self._open.enter_context(writer)
        self._truth.append(row)

    def close(self) -> None:
        """Finish every file; only now is the recording whole."""
        self._open.close()
        tail = {
            "n_samples": self._rows,
            "end_sample": self._next_sample,
            "counts_crc32": f"{self._crc:08x}",
            "gaps": self._gaps,
        }
        _write_head(self._directory, self._head | tail)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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
        head = _read_head(directory / "recording.json")
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
            for file, part in zip(files, _parts(len(self.channels)), strict=True):
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
                for number, _ in enumerate(_parts(len(self.channels)))
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
        with self._signals() as files:
            for first_sample, rows, lost in self._pieces(n):
                counts = _read_rows(files, rows)
                crc = _crc_of(counts, crc)
                counts.flags.writeable = False
                yield first_sample, counts, lost
        if crc != self.counts_crc32:
            raise RecordingError(f"{self.directory}: the checksum of the signal is wrong")

    def _pieces(self, n: int) -> Iterator[tuple[int, int, int]]:
        """(first sample, rows, lost before) of the blocks."""
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


def _parts(n_channels: int) -> list[slice]:
    """Channels of each signal file."""
    starts = range(0, n_channels, CHANNELS_PER_FILE)
    return [slice(start, min(start + CHANNELS_PER_FILE, n_channels)) for start in starts]


def _crc_of(counts: NDArray[np.int32], crc: int) -> int:
    return zlib.crc32(np.ascontiguousarray(counts, dtype="<i4").data, crc)


def _open_flac(path: Path) -> soundfile.SoundFile:
    try:
        return soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        raise RecordingError(f"{path}: {error.error_string}") from error


def _read_rows(files: Sequence[soundfile.SoundFile], rows: int) -> NDArray[np.int32]:
    parts = []
    for file in files:
        try:
            part = file.read(rows, dtype="int32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"{file.name}: {error.error_string}") from error
        if len(part) != rows:
            raise RecordingError(f"{file.name}: the signal ends early")
        parts.append(part >> _JUSTIFY)
    return np.concatenate(parts, axis=1)


def _write_head(directory: Path, tree: dict[str, Any]) -> None:
    fresh = directory / "recording.tmp"
    fresh.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(directory / "recording.json")


def _read_head(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordingError(f"{path}: is no JSON: {error}") from error
    if not isinstance(tree, dict) or tree.get("schema") != SCHEMA:
        raise RecordingError(f"{path}: is not of the schema {SCHEMA}")
    if "n_samples" not in tree:
        raise RecordingError(f"{path}: the recording was never finished")
    return tree
