"""How a process that runs for months gives memory back.

Left to itself, glibc lets its bound for buffers with pages of their own grow with each large one
that is freed. In the end every clip and block lies in one heap, which can only shrink from its
top, and small things that live for seconds keep it from shrinking; and every thread has a heap of
its own, each as large as it ever was. A busy station then grows by megabytes an hour without
holding anything. The bounds are fixed here instead, and one heap serves all (mallopt(3)).

Python looks for garbage in cycles among old objects once a quarter as many have joined them. What
the start has made lives to the end and is left out, so that little garbage is enough, and the
search is short.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["give_back_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_OWN_PAGES_BYTES = 128 << 10
"""Larger buffers get pages of their own, which go back when they are freed."""
_KEPT_FREE_BYTES = 1 << 20
"""Free memory kept at the top of the heap, so that it does not breathe with every vehicle."""


def give_back_freed_memory() -> None:
    """For a process that has imported what it needs, and before its threads start.

    A C library other than glibc keeps its own ways.
    """
    gc.collect()
    gc.freeze()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
        mallopt(_M_ARENA_MAX, 1)
