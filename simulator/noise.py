"""Slow and real noise of converters: long tables that repeat, one place in them a channel.

White noise has no memory and is drawn as it is needed. Noise with a memory must go on from one
chunk to the next in whatever order chunks are asked for, so it comes from tables of some minutes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, resample, sosfiltfilt

from edge.errors import InputError, why_zh
from edge.records import Floats, read_only
from simulator.seeds import stream

Table = NDArray[np.float32]

_PINK_LENGTH = 1 << 19
_RESIDUAL_HZ = 0.25
"""What changes slower than this in a noise file is load, not noise."""


class TableNoise:
    """Noise of several channels out of one table of unit variance.

    Every channel reads the table from a place of its own; ``size`` is its standard deviation.
    """

    def __init__(self, table: Table, channels: int, size: float, chance: np.random.Generator):
        self._table = table * np.float32(size)
        self._place = chance.integers(0, len(table), channels)

    def at(self, first: int, n: int) -> Table:
        """Samples (n, channels) from ``first`` on."""
        out = np.empty((len(self._place), n), np.float32)
        for own, place in zip(out, self._place.tolist(), strict=True):
            begin = (place + first) % len(self._table)
            part = self._table[begin : begin + n]
            own[: len(part)] = part
            own[len(part) :] = self._table[: n - len(part)]
        return out.T


@lru_cache(maxsize=1)
def pink_table() -> Table:
    """Noise with a PSD of 1/f, unit variance."""
    chance = stream(0, "pink")
    n = _PINK_LENGTH // 2
    phase = chance.uniform(0, 2 * np.pi, n)
    spectrum = np.zeros(n + 1, np.complex128)
    spectrum[1:] = np.exp(1j * phase) / np.sqrt(np.arange(1, n + 1))
    return unit(np.fft.irfft(spectrum))


@lru_cache(maxsize=4)
def file_table(path: Path, rate_hz: float) -> Table:
    """The residual noise of a recording of a real sensor, at ``rate_hz``, unit variance.

    The file is CSV, or CSV in a zip: a header, then rows of an ISO time and one value or more, of
    which the first is taken.

    Raises
    ------
    InputError
        Not readable, or no such rows.
    """
    try:
        values, file_hz = read_noise(path)
        resampled = resample(residual(values, file_hz), round(len(values) * rate_hz / file_hz))
        return unit(np.asarray(resampled))
    except (OSError, ValueError, IndexError, ZeroDivisionError, zipfile.BadZipFile) as error:
        raise InputError(
            f"噪声文件 {path} 不可用{why_zh(error)}",
            f"cannot use the noise file {path}: {error}",
            next_zh="给出一个 CSV 文件（第一列时间，第二列数值），可以放在 zip 里",
            next_en="give a CSV file (first column a time, second a value), in a zip if you like",
        ) from error


def read_noise(path: Path, column: int = 1) -> tuple[Floats, float]:
    """Values of a column of a file as of ``file_table``, and their rate in hertz."""
    rows = [line.split(b",") for line in _content(path).splitlines()[1:] if line.strip()]
    ends = np.array([_first_and_last(rows)], "datetime64[ms]").astype(np.int64)
    values = np.array([float(row[column]) for row in rows])
    return values, (len(rows) - 1) * 1e3 / float(np.ptp(ends))


def residual(values: Floats, rate_hz: float) -> Floats:
    """What varies faster than a load would."""
    high = butter(4, _RESIDUAL_HZ, "highpass", fs=rate_hz, output="sos")
    return np.asarray(sosfiltfilt(high, values))


def _first_and_last(rows: Sequence[Sequence[bytes]]) -> list[str]:
    return [rows[i][0].decode().strip() for i in (0, -1)]


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(archive.namelist()[0])


def unit(noise: Floats) -> Table:
    """Noise about zero, with a variance of one."""
    spread = noise.std()
    if not spread > 0:
        raise ValueError("no noise in it")
    return read_only(((noise - noise.mean()) / spread).astype(np.float32))
