"""What a child process costs while it works: processor time and resident memory, from /proc."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

__all__ = ["Cost", "Watch"]

_PERIOD_S = 0.1
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WARM_PART = 0.25


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds, and the resident set once the first quarter of the time is over."""

    cpu_s: float
    rss_mb: float
    """In the end."""
    rss_growth_mb: float
    """From the second quarter to the last."""


@dataclass(slots=True)
class _Seen:
    at_s: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)


class Watch:
    """Looks at processes by their ids ten times a second while the block runs."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._seen = {name: _Seen() for name in pids}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bench-watch")

    def costs(self, from_s: float, to_s: float) -> dict[str, Cost]:
        """What each cost between two moments of the monotonic clock."""
        return {name: _cost(seen, from_s, to_s) for name, seen in self._seen.items()}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_PERIOD_S):
            for name, pid in self._pids.items():
                self._look(self._seen[name], Path(f"/proc/{pid}"))

    def _look(self, seen: _Seen, process: Path) -> None:
        try:
            pages = int((process / "statm").read_bytes().split()[1])
            ticks = (process / "stat").read_bytes().rpartition(b")")[2].split()[11:13]
        except OSError:
            return  # it has ended
        seen.at_s.append(time.monotonic())
        seen.rss_bytes.append(pages * _PAGE_BYTES)
        seen.cpu_s.append(sum(map(int, ticks)) / _TICKS_PER_S)


def _cost(seen: _Seen, from_s: float, to_s: float) -> Cost:
    at_s, cpu_s = np.array(seen.at_s), np.array(seen.cpu_s)
    rss_mb = np.array(seen.rss_bytes) / 1e6
    inside = (at_s >= from_s) & (at_s <= to_s + _PERIOD_S)
    at_s, cpu_s, rss_mb = at_s[inside], cpu_s[inside], rss_mb[inside]
    quarter_s = _WARM_PART * (to_s - from_s)
    second = (at_s >= from_s + quarter_s) & (at_s < from_s + 2 * quarter_s)
    last = at_s >= to_s - quarter_s
    if not second.any() or not last.any():
        return Cost(float("nan"), float("nan"), float("nan"))
    end_mb = float(np.median(rss_mb[last]))
    return Cost(float(cpu_s[-1] - cpu_s[0]), end_mb, end_mb - float(np.median(rss_mb[second])))
