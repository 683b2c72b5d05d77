"""A million random frames through the host's codec and the device's, both ways."""

from __future__ import annotations

import tempfile
from pathlib import Path

from simulator.csrc import LARGE, build, compiler
from simulator.twins import Filter, compare

__all__ = ["run"]

_FRAMES, _QUICK_FRAMES = 1_000_000, 10_000
_SEED = 2_026


def run(*, quick: bool) -> dict[str, float]:
    """Frames tried, and batches that differed; nothing where there is no compiler."""
    if compiler() is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        codec = Filter(build("filter", Path(folder), LARGE))
        found = compare(codec, _QUICK_FRAMES if quick else _FRAMES, _SEED)
    return {
        "bridge.twins.frames_encoded": found.encoded,
        "bridge.twins.frames_judged": found.judged,
        "bridge.twins_differing": found.differing_batches,
    }
