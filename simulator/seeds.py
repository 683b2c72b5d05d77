"""One seed, many independent streams of chance: each is named by what it is for.

A stream depends on the seed and its name alone, so the gains of a digitiser are the same in a
calibration run and in traffic, and one more lane does not change the lorries of another.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """The generator for the purpose ``names``; the same words give the same numbers for ever."""
    words = [n if isinstance(n, int) else crc32(n.encode()) for n in names]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))
