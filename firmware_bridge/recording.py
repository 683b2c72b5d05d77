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
import csv
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from firmware_bridge.anpr import PlateFrame

SCHEMA = "steelyard-recording/1"
CHANNELS_PER_FILE = 8
"""FLAC carries at most eight channels (RFC 9639, section 9.1.3)."""

MAX_RATE_HZ = 655_350
"""Highest rate that a FLAC frame header can state in 16 bits (RFC 9639, section 9.1.2)."""

INPUT_COLUMNS = ("sample", "input", "active")
PLATE_COLUMNS = (
    "sequence",
    "lane",
    "plate",
    "colour",
    "confidence",
    "direction",
    "camera_time_ns",
    "picture_ref",
    "received_ns",
)
TRUTH_COLUMNS = ("vehicle", "lane", "time_ns", "speed_mps", "axle_kg", "spacing_m", "plate")

_COUNT_MIN, _COUNT_MAX = -(1 << 23), (1 << 23) - 1
_JUSTIFY = 8
"""libsndfile carries 24-bit samples in the upper bits of an int32."""

Edge = tuple[int, int, bool]
"""Sample, number of the input, active."""

Gap = tuple[int, int]
"""First missing sample, number of missing samples."""

_Row = TypeVar("_Row")


class RecordingError(ValueError):
    """A recording can't be read or written; the message names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Truth:
    """One vehicle as it really was.

    Attributes
    ----------
    vehicle : int
        Running number in the recording.
    lane : str
    time_ns : int
        UTC at which its last wheel leaves the last row of sensors.
    speed_mps : float
        Mean speed over the rows.
    axle_kg : tuple of float
        Static load of each axle, front to rear.
    spacing_m : tuple of float
        Distances from axle to axle, one fewer than axles.
    plate : str
        Its plate; empty where it has none.
    """

    vehicle: int
    lane: str
    time_ns: int
    speed_mps: float
    axle_kg: tuple[float, ...]
    spacing_m: tuple[float, ...]
    plate: str


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
        The directory already holds a recording, or a value can't be recorded.
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
            raise RecordingError(f"{directory} already holds a recording")
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
        self._gaps: list[Gap] = []
        # Without n_samples until close: a recording that was cut off says so to its reader.
        _write_json(directory / "recording.json", self._head)
        self._signals = self._open_signals()
        self._tables = {
            name: _TableWriter(directory / f"{name}.csv", columns)
            for name, columns in (("inputs", INPUT_COLUMNS), ("plates", PLATE_COLUMNS))
        }

    def _open_signals(self) -> list[soundfile.SoundFile]:
        names: list[str] = self._head["channels"]
        files = []
        for number, part in enumerate(_parts(len(names))):
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
                f"channels {','.join(names[part])}; rate_hz {self._head['rate_hz']!r}; "
                f"newton_per_count {self._head['newton_per_count']!r}; {self._head['scale']}"
            )
            files.append(file)
        return files

    def samples(self, first_sample: int, counts: NDArray[np.int32]) -> None:
        """Append a block: ``counts`` int32 (n, channels) from the counter ``first_sample`` on.

        Raises
        ------
        RecordingError
            Wrong shape, more than 24 bits, or samples from before the end of the last block.
        """
        if counts.ndim != 2 or counts.shape[1] != len(self._head["channels"]):
            raise RecordingError(f"block of shape {counts.shape} does not fit the channels")
        if first_sample < self._next_sample:
            raise RecordingError(f"sample {first_sample} comes again, at {self._next_sample}")
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
        self._tables["inputs"].row(sample, input, int(active))

    def plate(self, frame: PlateFrame, received_ns: int) -> None:
        """Note a reading of a plate camera and when it came in, UTC."""
        confidence = "" if frame.confidence is None else repr(frame.confidence)
        self._tables["plates"].row(
            frame.sequence,
            frame.lane,
            frame.plate,
            frame.colour,
            confidence,
            frame.direction,
            frame.camera_time_ns,
            frame.picture_ref,
            received_ns,
        )

    def truth(self, row: Truth) -> None:
        """Note a vehicle as it really was."""
        if "truth" not in self._tables:
            self._tables["truth"] = _TableWriter(self._directory / "truth.csv", TRUTH_COLUMNS)
        self._tables["truth"].row(
            row.vehicle,
            row.lane,
            row.time_ns,
            repr(float(row.speed_mps)),
            _list_text(row.axle_kg),
            _list_text(row.spacing_m),
            row.plate,
        )

    def close(self) -> None:
        """Finish every file; only now is the recording whole. Closing twice does no harm."""
        if not self._tables:
            return
        for file in (*self._signals, *self._tables.values()):
            file.close()
        self._tables = {}
        _write_json(
            self._directory / "recording.json",
            self._head
            | {
                "n_samples": self._rows,
                "end_sample": self._next_sample,
                "counts_crc32": f"{self._crc:08x}",
                "gaps": self._gaps,
            },
        )

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
    """A recording on disk. The signal is read as it is asked for, the tables at once.

    Attributes
    ----------
    n_samples : int
        Rows that were received; rows in ``gaps`` are not among them.
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
    edges: tuple[Edge, ...]
    plates: tuple[tuple[PlateFrame, int], ...]
    truth: tuple[Truth, ...]
    gaps: tuple[Gap, ...]

    @classmethod
    def open(cls, directory: Path) -> Recording:
        """Read everything but the signal.

        Raises
        ------
        RecordingError
            A file is missing, cut off or not as agreed.
        """
        head = _read_json(directory / "recording.json")
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
                edges=_read_table(directory / "inputs.csv", INPUT_COLUMNS, _edge_of),
                plates=_read_table(directory / "plates.csv", PLATE_COLUMNS, _plate_of),
                truth=_read_table(directory / "truth.csv", TRUTH_COLUMNS, _truth_of, needed=False),
                gaps=tuple((int(sample), int(lost)) for sample, lost in head["gaps"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, RecordingError):
                raise
            raise RecordingError(f"{directory / 'recording.json'}: wrong {error}") from error
        recording._check_signals()
        return recording

    def _check_signals(self) -> None:
        """The signal files are there, with the channels and rows that recording.json states."""
        with self._signals() as files:
            for file, part in zip(files, _parts(len(self.channels)), strict=True):
                if (file.frames, file.channels) != (self.n_samples, part.stop - part.start):
                    raise RecordingError(
                        f"{file.name}: {file.frames} rows of {file.channels} channels, "
                        f"recording.json says {self.n_samples} of {part.stop - part.start}"
                    )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[list[soundfile.SoundFile]]:
        with contextlib.ExitStack() as stack:
            files = []
            for number, _ in enumerate(_parts(len(self.channels))):
                path = self.directory / f"signal-{number}.flac"
                try:
                    files.append(stack.enter_context(soundfile.SoundFile(path)))
                except soundfile.LibsndfileError as error:
                    raise RecordingError(f"{path}: {error.error_string}") from error
            yield files

    def utc_ns(self, sample: int) -> int:
        """UTC of a sample by the nominal rate."""
        return self.start_utc_ns + round((sample - self.first_sample) * 1e9 / self.rate_hz)

    def blocks(self, n: int) -> Iterator[tuple[int, NDArray[np.int32], int]]:
        """Blocks of at most ``n`` rows in order; a block never reaches over a gap.

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
            raise RecordingError(f"{self.directory}: the signal's checksum is wrong")

    def _pieces(self, n: int) -> Iterator[tuple[int, int, int]]:
        """(first sample, rows, lost before) of the blocks."""
        sample, lost, rows_left = self.first_sample, 0, self.n_samples
        gaps = list(self.gaps)
        while rows_left:
            if gaps and gaps[0][0] == sample:
                _, lost = gaps.pop(0)
                sample += lost
            until = gaps[0][0] if gaps else sample + rows_left
            rows = min(n, until - sample, rows_left)
            if rows <= 0:
                raise RecordingError(f"{self.directory / 'recording.json'}: gaps do not fit")
            yield sample, rows, lost
            sample, lost, rows_left = sample + rows, 0, rows_left - rows


def find_recordings(path: Path) -> list[Path]:
    """The recording at ``path``, or those directly below it, by name.

    Raises
    ------
    RecordingError
        There is none.
    """
    found = [path] if (path / "recording.json").is_file() else []
    if not found and path.is_dir():
        found = sorted(file.parent for file in path.glob("*/recording.json"))
    if not found:
        raise RecordingError(f"{path}: no recording.json there, nor one directory below")
    return found


def _parts(n_channels: int) -> list[slice]:
    """Channels of each signal file."""
    starts = range(0, n_channels, CHANNELS_PER_FILE)
    return [slice(start, min(start + CHANNELS_PER_FILE, n_channels)) for start in starts]


def _crc_of(counts: NDArray[np.int32], crc: int) -> int:
    return zlib.crc32(np.ascontiguousarray(counts, dtype="<i4"), crc)


def _read_rows(files: Sequence[soundfile.SoundFile], rows: int) -> NDArray[np.int32]:
    parts = []
    for file in files:
        try:
            part = file.read(rows, dtype="int32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise RecordingError(f"{file.name}: {error.error_string}") from error
        if len(part) != rows:
            raise RecordingError(f"{file.name}: the signal ends early, it was cut off")
        parts.append(part >> _JUSTIFY)
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(fresh, path)


def _read_json(path: Path) -> dict[str, Any]:
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


class _TableWriter:
    """A CSV file (RFC 4180) with a heading, written row by row."""

    def __init__(self, path: Path, columns: Iterable[str]) -> None:
        self._file = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(columns)

    def row(self, *values: object) -> None:
        self._writer.writerow(values)

    def close(self) -> None:
        self._file.close()


def _read_table(
    path: Path,
    columns: tuple[str, ...],
    row_of: Callable[[list[str]], _Row],
    *,
    needed: bool = True,
) -> tuple[_Row, ...]:
    if not needed and not path.exists():
        return ()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            heading, *rows = csv.reader(file)
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordingError(f"{path}: no table: {error}") from error
    if tuple(heading) != columns:
        raise RecordingError(f"{path}: columns are not {','.join(columns)}")
    found = []
    for number, row in enumerate(rows, start=2):
        try:
            found.append(row_of(row))
        except ValueError as error:
            raise RecordingError(f"{path}, row {number}: {error}") from error
    return tuple(found)


def _edge_of(row: list[str]) -> Edge:
    sample, number, active = row
    return int(sample), int(number), bool(int(active))


def _plate_of(row: list[str]) -> tuple[PlateFrame, int]:
    sequence, lane, plate, colour, confidence, direction, camera_ns, picture_ref, received = row
    share = float(confidence) if confidence else None
    frame = PlateFrame(
        int(sequence), lane, plate, colour, share, direction, int(camera_ns), picture_ref
    )
    return frame, int(received)


def _truth_of(row: list[str]) -> Truth:
    vehicle, lane, time_ns, speed, axles, spacings, plate = row
    return Truth(
        int(vehicle), lane, int(time_ns), float(speed), _list_of(axles), _list_of(spacings), plate
    )


def _list_text(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _list_of(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split())
