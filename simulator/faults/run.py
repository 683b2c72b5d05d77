"""The trials of ``steelyard faults``: which there are, run side by side, figures and page."""

from __future__ import annotations

import dataclasses
import importlib
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, SteelyardError, Text
from simulator.faults.calibrated import certificate
from simulator.faults.outcome import Outcome, figures, markdown
from simulator.faults.site import Place

BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: where its function is, what it is called, its seed, whether it is in the quick run."""

    function: str
    title: Text
    seed: int = 1
    quick: bool = False

    @property
    def name(self) -> str:
        """What names the trial and its seed."""
        return f"{self.function.partition('.')[2]}.{self.seed}"

    def run(self, place: Place) -> Outcome:
        """Run it; a defect of the trial itself is a failed row, not the end of the others."""
        outcome = Outcome(self.name, self.title, self.seed)
        module, _, function = self.function.partition(".")
        began_s = time.monotonic()
        try:
            room = importlib.import_module(f"simulator.faults.{module}")
            getattr(room, function)(place, outcome)
        except SteelyardError as error:
            outcome.problem(error.what.en)
        except Exception as error:  # noqa: BLE001 - the row says so
            outcome.problem(f"{type(error).__name__}: {error} {_where(error)}")
        outcome.seconds = time.monotonic() - began_s
        return outcome


TRIALS: tuple[Trial, ...] = (
    Trial("kills.daemon_killed", Text("守护进程 kill -9", "SIGKILL of the daemon"), 1, quick=True),
    Trial("kills.daemon_killed", Text("守护进程 kill -9", "SIGKILL of the daemon"), 2),
    Trial("kills.broker_killed", Text("消息平台 kill -9", "SIGKILL of the broker"), 3, quick=True),
    Trial(
        "lines.long_outage",
        Text("断线两小时后补传", "two hours away, then the backlog"),
        4,
    ),
    Trial(
        "kills.case_system_killed",
        Text("案件系统入库后、回执前被杀", "case system killed between storing and receipt"),
        5,
    ),
    Trial("lines.cut_inside_chunk", Text("分块传到一半断线", "line cut inside a chunk"), 6),
    Trial(
        "lines.acknowledgements_cut", Text("只丢确认报文", "acknowledgements alone are lost"), 7
    ),
    Trial("lines.half_open", Text("半开连接", "half-open connection"), 8),
)


def run(
    *,
    quick: bool = False,
    only: Sequence[str] = (),
    keep: Path | None = None,
    jobs: int | None = None,
    tell: Tell = lambda _line: None,
) -> list[Outcome]:
    """Run the trials, ``jobs`` at a time; the rows in the order of ``TRIALS``.

    Parameters
    ----------
    quick : bool
        The shortened run: a few trials, a few blows each.
    only : sequence of str
        Names, or beginnings of names, of the trials that are wanted.
    keep : Path, optional
        Where the trials' directories stay; without it they vanish, except those that failed.
    tell : callable
        Gets a line as each trial ends.
    """
    chosen = [t for t in TRIALS if (t.quick or not quick) and _is_wanted(t, only)]
    if not chosen:
        raise InputError("没有这样的故障试验", f"no trial is called {', '.join(only)}")
    base = keep or Path(tempfile.mkdtemp(prefix="steelyard-faults-"))
    base.mkdir(parents=True, exist_ok=True)
    certificate(base / "certificate.json")
    spawned = multiprocessing.get_context("spawn")
    rows: dict[str, Outcome] = {}
    with ProcessPoolExecutor(jobs or min(3, os.cpu_count() or 2), spawned) as pool:
        waiting = [pool.submit(_run, trial, base, quick) for trial in chosen]
        for number, done in enumerate(as_completed(waiting), 1):
            row = done.result()
            rows[row.name] = row
            tell(f"[{number}/{len(chosen)}] {_line(row)}")
            if row.ok and keep is None:
                shutil.rmtree(base / row.name, ignore_errors=True)
    if keep is None and all(row.ok for row in rows.values()):
        shutil.rmtree(base, ignore_errors=True)
    else:
        tell(f"现场保留在 / kept for a look: {base}")
    return [rows[trial.name] for trial in chosen]


def _run(trial: Trial, base: Path, quick: bool) -> Outcome:
    directory = base / trial.name
    directory.mkdir(exist_ok=True)
    return trial.run(Place(directory, base / "certificate.json", trial.seed, quick))


def _is_wanted(trial: Trial, only: Sequence[str]) -> bool:
    return not only or any(trial.name.startswith(name) for name in only)


def _line(row: Outcome) -> str:
    mark = "✓" if row.ok else "✗"
    found = "; ".join(row.problems)
    return f"{mark} {row.title} ({row.blows}x, {row.records}, {row.seconds:.0f} s) {found}".rstrip()


def _where(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"({Path(last.filename).name}:{last.lineno})"


def gathered(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Rows for people: trials of one kind with several seeds become one."""
    rows: dict[str, Outcome] = {}
    for outcome in outcomes:
        kind = outcome.name.rpartition(".")[0]
        rows[kind] = _added(rows[kind], outcome) if kind in rows else outcome
    return list(rows.values())


def _added(first: Outcome, second: Outcome) -> Outcome:
    summed = {
        name: getattr(first, name) + getattr(second, name)
        for name in (
            "blows", "records", "lost", "doubled", "unverifiable", "inconsistent",
            "forged_accepted", "checkpoints", "seconds", "problems", "notes",
        )
    }  # fmt: skip
    return dataclasses.replace(first, **summed)


def write_page(page: Path, outcomes: Sequence[Outcome], stamp: dict[str, str]) -> None:
    """Put the table between the marks of a page.

    Raises
    ------
    InputError
        The page can't be read or has no marks.
    """
    try:
        text = page.read_text("utf-8")
    except OSError as error:
        raise InputError(
            f"读不到 {page}：{error.strerror}", f"cannot read {page}: {error.strerror}"
        ) from error
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise InputError(f"{page} 里没有标记 {BEGIN}", f"{page} has no marks {BEGIN} and {END}")
    where = "  \n".join(stamp.values())
    numbers = "\n".join(f"| `{k}` | {v:g} |" for k, v in figures(outcomes).items())
    body = f"{where}\n\n{markdown(gathered(outcomes))}\n| 数字 Figure | |\n|---|---:|\n{numbers}"
    page.write_text(f"{head}{begin}\n\n{body}\n\n{end}{tail}", "utf-8")
