"""How a process that runs for months uses memory again, and gives back what it does not need.

Left to itself, glibc lets its bound for buffers with pages of their own grow with each large one
that is freed, keeps a heap for every thread, each as large as it ever was, and gives the top of a
heap back with every vehicle, to fetch it anew for the next. A busy station then grows by megabytes
an hour without holding anything. The bounds are fixed here instead, and one heap serves all
(mallopt(3)).

A page that is new to the process costs microseconds at its first touch, and two vehicles need some
hundreds of them. So the buffers of a few vehicles come from the heap, whose pages have been
touched, and stay; only what is larger by far, and finds no room there, gets pages of its own.

CPython keeps freed tuples for use again, by length. One that was cut to its length, as tuple() does
with what a generator gives, was taken from the store of another length: each adds one to its own
store, until that is full. The stores are full from the start; a search for cycles among old objects
empties them, and what the process gives back then is more than they take again.

Python looks for garbage in cycles among old objects once a quarter as many have joined them. What
the start has made lives to the end and is left out, so that little garbage is enough, and the
search is short.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["settle_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_OWN_PAGES_BYTES = 1 << 20
"""Larger buffers that the heap has no room for get pages of their own, which go back."""
_AT_HAND_BYTES = 16 << 20
"""Free memory that the heap has at the start: what some vehicles of dense traffic need at once."""
_PIECE_BYTES = 1 << 16
_STORED_LENGTHS, _STORED_TUPLES = range(1, 20), 2_000
"""What CPython 3.11 keeps at most; together 5 MB."""


def settle_memory() -> None:
    """For a process that has imported what it needs, and before its threads start.

    A C library other than glibc keeps its own ways.
    """
    gc.collect()
    _fill_stores()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, 2 * _AT_HAND_BYTES)
        mallopt(_M_ARENA_MAX, 1)
        _touch_heap()


def _touch_heap() -> None:
    """Fill free memory once, in pieces that come from the heap, so that its pages are there."""
    pieces = [b"\1" * _PIECE_BYTES for _ in range(_AT_HAND_BYTES // _PIECE_BYTES)]
    pieces.clear()


def _fill_stores() -> None:
    """Make as many tuples of each length as are kept, and free them."""
    for length in _STORED_LENGTHS:
        made = [tuple([None] * length) for _ in range(_STORED_TUPLES)]
        made.clear()
