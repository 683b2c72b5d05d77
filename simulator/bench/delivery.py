"""``steelyard bench delivery``: what sealing and delivery cost, each against a yardstick beside it.

Four measurements, one after the other, each in a directory of its own that is removed at once:
sealing against bare commits, a backlog and cases with blobs against bare MQTT, and the time from
the last wheel to the receipt. All rates stand beside those of a yardstick in the same run.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulator.bench import commits, drain, last_wheel
from simulator.bench.drain import BLOB_BYTES, WINDOW, Drained
from simulator.bench.processes import Cost
from simulator.faults.calibrated import certificate
from simulator.faults.site import Place

__all__ = ["QUICK", "Size", "run"]

Figures = dict[str, float]
Progress = Callable[[float], None]

_SEED = 1


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each; the defaults are those of the documentation."""

    commits: int = 4_000
    backlog: int = 20_000
    cases: int = 1_000
    stored: int = 1_000_000
    seconds: float = 300.0

    def weights(self) -> tuple[float, ...]:
        """About how long the parts take, in seconds."""
        return (
            self.commits / 100,
            self.backlog / 200,
            self.cases / 5,
            self.stored / 4_000 + self.seconds,
        )


QUICK = Size(commits=100, backlog=1_000, cases=15, stored=5_000, seconds=8.0)


def run(
    size: Size, *, directory: Path | None = None, progress: Progress = lambda _: None
) -> Figures:
    """All figures, by their keys.

    Parameters
    ----------
    directory
        On the disk that is to be measured; the system's place for temporary files if None. The
        whole run needs about 15 GB there.

    Raises
    ------
    ConfigError
        Mosquitto is not installed.
    LinkDown
        A part did not come up, or did not deliver.
    """
    with _directory(directory) as home:
        signed = home / "certificate.json"
        certificate(signed)
        parts = _parts(progress, size.weights())
        sealed = commits.measure(_fresh(home), size.commits, next(parts)).figures()
        emptied = drain.backlog(_place(home, signed), size.backlog, next(parts))
        carried = drain.blobs(_place(home, signed), size.cases, next(parts))
        waited = last_wheel.measure(_place(home, signed), size.stored, size.seconds, next(parts))
        progress(1.0)
    figures = {
        **sealed,
        **_backlog(emptied),
        **_blobs(carried),
        **waited.figures(),
        "receipt_stored_records": size.stored,
        **_memory("live", waited.costs),
    }
    return {f"delivery.{k}": round(float(v), 4) for k, v in figures.items() if math.isfinite(v)}


def _backlog(found: Drained) -> Figures:
    rate = found.records / found.seconds
    return {
        "drain_records": found.records,
        "drain_mean_bytes": found.bytes / found.records,
        "drain_window": WINDOW,
        "drain_s": found.seconds,
        "drain_records_per_s": rate,
        "bare_paho_per_s": found.bare_per_s,
        "bare_paho_before_per_s": found.bare[0].messages / found.bare[0].seconds,
        "bare_paho_after_per_s": found.bare[-1].messages / found.bare[-1].seconds,
        "drain_ratio": rate / found.bare_per_s,
        **{f"drain_{n}_cpu_ms": 1e3 * c.cpu_s / found.records for n, c in found.costs.items()},
        **_memory("drain", found.costs),
    }


def _blobs(found: Drained) -> Figures:
    rate = found.bytes / 1e6 / found.seconds
    return {
        "blob_cases": found.bytes / sum(BLOB_BYTES),
        "blob_mb": found.bytes / 1e6,
        "blob_s": found.seconds,
        "blob_mb_per_s": rate,
        "bare_paho_mb_per_s": found.bare_mb_per_s,
        "blob_ratio": rate / found.bare_mb_per_s,
        **_memory("blob", found.costs),
    }


def _memory(part: str, costs: dict[str, Cost]) -> Figures:
    return {
        key: value
        for name, cost in costs.items()
        for key, value in (
            (f"{part}_{name}_rss_mb", cost.rss_mb),
            (f"{part}_{name}_rss_growth_mb", cost.rss_growth_mb),
        )
    }


# ----------------------------------------------------------------------------------------------
# Places and progress


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="steelyard-delivery-", dir=wanted) as name:
        yield Path(name)


def _fresh(home: Path) -> Path:
    """A directory for the next measurement; that of the last one goes, for it may be large."""
    work = home / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work


def _place(home: Path, signed: Path) -> Place:
    return Place(_fresh(home), signed, _SEED)


def _parts(progress: Progress, weights: tuple[float, ...]) -> Iterator[Progress]:
    """One progress for each part of the whole, by how long it takes."""
    done, whole = 0.0, sum(weights)
    for weight in weights:
        yield _part(progress, done / whole, weight / whole)
        done += weight


def _part(progress: Progress, begin: float, share: float) -> Progress:
    return lambda done: progress(begin + share * done)
