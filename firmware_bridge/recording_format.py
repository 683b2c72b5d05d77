"""What the writer and the reader of recordings agree on: the head, the parts, the checksum."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = "steelyard-recording/1"

CHANNELS_PER_FILE = 8
"""FLAC carries at most eight channels (RFC 9639, section 9.1.3)."""

MAX_RATE_HZ = 655_350
"""Highest rate that every FLAC frame header can state (RFC 9639, sections 9.1.2 and 9.1.7)."""

COUNT_MIN, COUNT_MAX = -(1 << 23), (1 << 23) - 1
_CRC_POLYNOMIAL = 0xEDB88320
JUSTIFY_BITS = 8
"""libsndfile carries 24-bit samples in the upper bits of an int32."""


class RecordingError(ValueError):
    """A recording can't be read or written; the message names the file and what is wrong."""


def parts_of(n_channels: int) -> list[slice]:
    """Channels of each signal file."""
    starts = range(0, n_channels, CHANNELS_PER_FILE)
    return [slice(start, min(start + CHANNELS_PER_FILE, n_channels)) for start in starts]


def crc_of(counts: NDArray[np.int32], crc: int) -> int:
    """CRC-32 (zlib) of rows as little-endian int32, going on from ``crc``."""
    return zlib.crc32(np.ascontiguousarray(counts, dtype="<i4").data, crc)


def joined_crc(first: int, second: int, second_bytes: int) -> int:
    """CRC-32 of two runs of bytes from the CRC-32 of each and the length of the second.

    A CRC is a remainder modulo a polynomial: zeros appended to the first multiply it by a power
    of x (bits reflected, as in zlib's ``crc32_combine``).
    """
    power, square = 1 << 31, 1 << 30  # x^0 and x^1, reflected
    bits = 8 * second_bytes
    while bits:
        if bits & 1:
            power = _times(power, square)
        square = _times(square, square)
        bits >>= 1
    return _times(first, power) ^ second


def _times(a: int, b: int) -> int:
    """Product of two reflected polynomials modulo that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_CRC_POLYNOMIAL if b & 1 else 0)
    return product


def write_head(directory: Path, tree: dict[str, Any]) -> None:
    """Put a new ``recording.json`` in the place of the old one, whole or not at all."""
    fresh = directory / "recording.tmp"
    fresh.write_text(json.dumps(tree, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    fresh.replace(directory / "recording.json")


def read_head(path: Path) -> dict[str, Any]:
    """Read a ``recording.json``.

    Raises
    ------
    RecordingError
        It is missing, of another kind, or the recording was never finished.
    """
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
