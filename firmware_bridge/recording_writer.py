"""Writes recordings, see ``firmware_bridge/recording.py``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording_format import (
    COUNT_MAX,
    COUNT_MIN,
    JUSTIFY_BITS,
    MAX_RATE_HZ,
    SCHEMA,
    RecordingError,
    crc_of,
    parts_of,
    write_head,
)
from firmware_bridge.recording_tables import INPUTS, PLATES, TRUTH, TableWriter, Truth


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
        write_head(directory, self._head)
        self._signals = [
            self._open_signal(number, part) for number, part in enumerate(parts_of(len(channels)))
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
        if counts.min() < COUNT_MIN or counts.max() > COUNT_MAX:
            raise RecordingError(f"block at sample {first_sample} does not fit 24 bits")
        if first_sample > self._next_sample:
            self._gaps.append((self._next_sample, first_sample - self._next_sample))
        for file, part in zip(self._signals, parts_of(counts.shape[1]), strict=True):
            file.write(counts[:, part].astype(np.int32) << JUSTIFY_BITS)
        self._crc = crc_of(counts, self._crc)
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
        write_head(self._directory, self._head | tail)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
