"""How the C library gives memory back: buffer by buffer, not all or nothing.

Left to itself, glibc lets its bound for buffers with pages of their own grow with each large one
that is freed. In the end every clip and block lies in one heap, which can only shrink from its
top, and small things that live for seconds keep it from shrinking: a busy station then grows by
megabytes an hour without holding anything. The bounds are fixed here instead (mallopt(3)).
"""

from __future__ import annotations

import ctypes

__all__ = ["give_back_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_OWN_PAGES_BYTES = 128 << 10
"""Larger buffers get pages of their own, which go back when they are freed."""
_KEPT_FREE_BYTES = 1 << 20
"""Free memory kept at the top of the heap, so that it does not breathe with every vehicle."""


def give_back_freed_memory() -> None:
    """Fix glibc's bounds for this process; where the C library has none, do nothing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
