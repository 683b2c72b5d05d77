"""The tables of a recording: edges, plates and truth as CSV files (RFC 4180, UTF-8, a heading).

Each table says in one place how a value becomes a row and how a row becomes the value again.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording_format import RecordingError

Edge = tuple[int, int, bool]
"""Sample, number of the input, active."""

PlateSeen = tuple[PlateFrame, int]
"""A reading and when it came in, UTC nanoseconds."""

T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """Name and columns of a table, and the two ways between a value and its row."""

    name: str
    columns: tuple[str, ...]
    row_of: Callable[[T], tuple[object, ...]]
    value_of: Callable[[list[str]], T]

    def path(self, directory: Path) -> Path:
        """Where the table lies in a recording."""
        return directory / f"{self.name}.csv"

    def read(self, directory: Path) -> tuple[T, ...]:
        """All values of the table.

        Raises
        ------
        RecordingError
            The file is missing, is no table, or a row is not as agreed; the row is named.
        """
        path = self.path(directory)
        try:
            # Spreadsheets put a byte order mark before the heading.
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.reader(file, strict=True))
        except OSError as error:
            raise RecordingError(f"{path}: {error.strerror}") from error
        except (ValueError, csv.Error) as error:
            raise RecordingError(f"{path}: is no table: {error}") from error
        if not rows or tuple(rows[0]) != self.columns:
            found = ",".join(rows[0]) if rows else "no heading"
            raise RecordingError(
                f"{path}: the columns are not {','.join(self.columns)}, but {found}"
            )
        return tuple(self._value(path, number, row) for number, row in enumerate(rows[1:], 2))

    def _value(self, path: Path, number: int, row: list[str]) -> T:
        if len(row) != len(self.columns):
            wanted = len(self.columns)
            raise RecordingError(f"{path}, row {number}: {len(row)} fields instead of {wanted}")
        try:
            return self.value_of(row)
        except ValueError as error:
            raise RecordingError(f"{path}, row {number}: {error}") from error


class TableWriter(Generic[T]):
    """Writes a table value by value."""

    def __init__(self, table: Table[T], directory: Path) -> None:
        self._table = table
        self._file = table.path(directory).open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(table.columns)

    def append(self, value: T) -> None:
        """Write one more row."""
        self._writer.writerow(self._table.row_of(value))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def _edge_row(edge: Edge) -> tuple[object, ...]:
    sample, number, active = edge
    return sample, number, int(active)


def _edge_of(row: list[str]) -> Edge:
    sample, number, active = row
    if active not in ("0", "1"):
        raise ValueError(f"active is {active!r}, not 0 or 1")
    return int(sample), int(number), active == "1"


def _plate_row(seen: PlateSeen) -> tuple[object, ...]:
    frame, received_ns = seen
    return (
        frame.sequence,
        frame.lane,
        frame.plate,
        frame.colour,
        "" if frame.confidence is None else repr(float(frame.confidence)),
        frame.direction,
        frame.camera_time_ns,
        frame.picture_ref,
        received_ns,
    )


def _plate_of(row: list[str]) -> PlateSeen:
    sequence, lane, plate, colour, confidence, direction, camera_ns, picture_ref, received = row
    share = float(confidence) if confidence else None
    frame = PlateFrame(
        int(sequence), lane, plate, colour, share, direction, int(camera_ns), picture_ref
    )
    return frame, int(received)


def _truth_row(truth: Truth) -> tuple[object, ...]:
    return (
        truth.vehicle,
        truth.lane,
        truth.time_ns,
        repr(float(truth.speed_mps)),
        _list_text(truth.axle_kg),
        _list_text(truth.spacing_m),
        truth.plate,
    )


def _truth_of(row: list[str]) -> Truth:
    vehicle, lane, time_ns, speed, axles, spacings, plate = row
    return Truth(
        int(vehicle), lane, int(time_ns), float(speed), _list_of(axles), _list_of(spacings), plate
    )


def _list_text(values: Iterable[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _list_of(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split())


INPUTS = Table("inputs", ("sample", "input", "active"), _edge_row, _edge_of)
PLATES = Table(
    "plates",
    (
        "sequence",
        "lane",
        "plate",
        "colour",
        "confidence",
        "direction",
        "camera_time_ns",
        "picture_ref",
        "received_ns",
    ),
    _plate_row,
    _plate_of,
)
TRUTH = Table(
    "truth",
    ("vehicle", "lane", "time_ns", "speed_mps", "axle_kg", "spacing_m", "plate"),
    _truth_row,
    _truth_of,
)
