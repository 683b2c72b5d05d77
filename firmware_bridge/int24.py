"""Counts of 24 bits on the wire, three bytes each and little-endian, as arrays of int32."""

from __future__ import annotations

import numpy as np

from firmware_bridge.messages import Counts

__all__ = ["BYTES", "pack", "unpack"]

BYTES = 3
"""Length of a count on the wire."""

_WORD = np.dtype("<i4")
_ONE_BYTE = np.array(8, np.int32)


def pack(counts: Counts) -> bytes:
    """Counts as bytes, row by row.

    Parameters
    ----------
    counts : ndarray of int32
        Any shape; a count beyond 24 bits loses its upper part.

    Returns
    -------
    bytes
        Three for each count.
    """
    octets = np.ascontiguousarray(counts, _WORD).reshape(-1).view(np.uint8).reshape(-1, 4)
    return octets[:, :BYTES].tobytes()


def unpack(raw: bytes, first: int, count: int, *, rows: int = 1, apart: int = 0) -> Counts:
    """Counts out of one place of a buffer, or out of several at equal distances.

    Parameters
    ----------
    raw : bytes
        The buffer; at least one byte stands before each place.
    first : int
        Offset of the first count of the first place.
    count : int
        Counts at each place.
    rows, apart : int
        Number of places, and bytes from one to the next.

    Returns
    -------
    ndarray of int32, shape (rows, count)
        Contiguous and writable.
    """
    # A 32-bit word that begins one byte before each 24-bit count holds it in its upper part;
    # the arithmetic shift drops the stranger's byte and keeps the sign.
    words: Counts = np.ndarray((rows, count), _WORD, raw, first - 1, (apart, BYTES))
    counts = words.copy()
    counts >>= _ONE_BYTE
    return counts
