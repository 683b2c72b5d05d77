"""How full the store is, how fast it fills, and how long it can go on without the centre."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from edge.config import StorageSection
from edge.errors import Text
from edge.health import Health, Level
from edge.store import queries
from edge.store.opening import log_size
from edge.store.readers import Readers
from edge.store.settings import setting
from edge.store.usage import (
    DAY_S,
    Share,
    free_bytes,
    reclaimable_bytes,
    shares,
    statement_bytes,
    written_bytes,
)

GB = 1_000_000_000
MOST_HOURS = 9_999.0
WRITTEN_KEY = "written"

_WINDOW_S = 3_600.0
_RECOUNT_S = 3_600.0
_LEAST_WINDOW_S = 60.0


class Budget:
    """Measures the disk; ``has_room`` says whether lawful vehicles' files may still be written."""

    def __init__(
        self, directory: Path, section: StorageSection, health: Health, now_ns: Callable[[], int]
    ) -> None:
        self._directory = directory
        self._section = section
        self._health = health
        self._now_ns = now_ns
        self.has_room = True
        self.free = 0
        self._used: Counter[Share] = Counter()
        self._counted = 0
        self._recount_s = 0.0
        self._reclaimable = 0
        self._taken: deque[tuple[float, int]] = deque()
        self._grown = 0
        self._before: int | None = None
        self._day = -1
        self._day_base = 0
        self._written_before = 0

    @property
    def used(self) -> int:
        """Bytes of all blobs that records name."""
        return sum(self._used.values())

    def used_by(self, share: Share) -> int:
        """Bytes of one class and role."""
        return self._used[share]

    def dropped(self, share: Share, size: int) -> None:
        """Blobs were removed."""
        self._used[share] -= size

    def measure(self, readers: Readers) -> None:
        """Look at disk and database and set the gauges.

        Raises
        ------
        StoreError, OSError
            They can't be read.
        """
        readers.answer(self._count)
        self.free = free_bytes(self._directory)
        waiting = readers.answer(queries.outbox_summary)
        rate = self._rate_per_s()
        self._health.gauge("store.free_bytes", self.free)
        self._health.gauge("store.blob_bytes", self.used)
        self._health.gauge("store.statement_bytes", self._before or 0)
        self._health.gauge("store.bytes_waiting", waiting.bytes)
        self._health.gauge("store.bytes_per_hour", rate * 3_600)
        self._health.gauge("store.outage_hours_left", self._hours_left(rate))
        for share, size in self._used.items():
            self._health.gauge(f"store.bytes.{share.kept_as}.{share.role}", size)
        self._judge()

    def written_today(self, readers: Readers) -> tuple[int, int] | None:
        """Day since 1970 and bytes written on it, over all runs; None where nobody counts."""
        written, day = written_bytes(), self._now_ns() // 1_000_000_000 // DAY_S
        if written is None:
            return None
        if self._day < 0:
            self._take_up_day(readers.answer(lambda c: setting(c, WRITTEN_KEY)), day)
        elif day != self._day:
            self._day, self._day_base, self._written_before = day, written, 0
        today = self._written_before + written - self._day_base
        self._health.gauge("store.bytes_written_today", today)
        return day, today

    def shortage(self) -> int:
        """Bytes that should go so that the disk and the bound of all blobs have room again."""
        room = min(self.free - self._section.min_free_gb * GB, self._bound - self.used)
        return max(0, int(0.01 * self._bound - room)) if room < 0 else 0

    @property
    def _bound(self) -> float:
        return self._section.cap_gb * GB

    def _take_up_day(self, stored: str | None, day: int) -> None:
        """Bytes that runs before this one wrote today count as well."""
        self._day = day
        if stored is not None:
            stored_day, written = (int(part) for part in stored.split())
            self._written_before = written if stored_day == day else 0

    def _count(self, connection: sqlite3.Connection) -> None:
        """Blobs of new records; all of them once an hour, because some may have gone."""
        now_s = time.monotonic()
        size = log_size(connection)
        if now_s >= self._recount_s or size < self._counted:
            self._used, self._counted = Counter(), 0
            self._reclaimable = reclaimable_bytes(connection)
            self._recount_s = now_s + _RECOUNT_S
        new = shares(connection, self._counted)
        if self._counted:
            self._grown += sum(new.values())
        self._used.update(new)
        self._counted = size

    def _rate_per_s(self) -> float:
        """How fast statements and blobs came in during the last hour."""
        now_s, statements = time.monotonic(), statement_bytes(self._directory)
        if self._before is not None:
            self._grown += max(0, statements - self._before)
        self._before = statements
        self._taken.append((now_s, self._grown))
        while now_s - self._taken[0][0] > _WINDOW_S:
            self._taken.popleft()
        first_s, first = self._taken[0]
        passed_s = now_s - first_s
        return (self._grown - first) / passed_s if passed_s >= _LEAST_WINDOW_S else 0.0

    def _hours_left(self, rate_per_s: float) -> float:
        """Until files would have to be left out, were nothing delivered from now on."""
        room = min(self.free - self._section.min_free_gb * GB, self._bound - self.used)
        room = max(0.0, room + self._reclaimable)
        return min(MOST_HOURS, room / rate_per_s / 3_600) if rate_per_s > 0 else MOST_HOURS

    def _judge(self) -> None:
        low = self.free < self._section.min_free_gb * GB
        self.has_room = not low and self.used < self._bound
        if self.has_room:
            self._health.state("storage", Level.OK, "磁盘空间足够", "the disk has room")
            return
        why = "磁盘剩余空间低于 min_free_gb" if low else "图像和信号已达到 cap_gb"
        because = "free space is below min_free_gb" if low else "pictures and signals reach cap_gb"
        self._health.state(
            "storage",
            Level.WARNING,
            f"{why}：继续称重并保存案件，合法车辆的图像和信号不再保存",
            f"{because}: weighing goes on and cases are kept, pictures and signals of lawful"
            " vehicles are not",
            next_step=Text(
                "恢复网络以便送出案件，清理磁盘或换更大的磁盘",
                "restore the network so that cases leave, free disk space or fit a larger disk",
            ),
        )
