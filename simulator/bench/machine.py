"""Where and when a figure was measured: a time without its machine says nothing."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge import __version__

__all__ = ["stamp"]


def stamp(bench: str) -> dict[str, str]:
    """Machine, versions and date as figures of a bench."""
    return {
        f"{bench}.machine": f"{_processor()}, {os.cpu_count()} CPU, {_memory_gb():.0f} GB",
        f"{bench}.software": (
            f"steelyard {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
            f"{platform.system()} {platform.release().partition('-')[0]}"
        ),
        f"{bench}.date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gb() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
