"""The trials of ``steelyard faults``: which there are, run side by side, figures and page."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from edge.errors import InputError, SteelyardError, Text
from simulator.bench.pages import put
from simulator.children import die_with_parent
from simulator.faults.calibrated import certificate
from simulator.faults.outcome import Outcome, figures, markdown
from simulator.faults.site import Place

BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial: its function, its title, its seed, and whether the quick run has it.

    ``alone``: it measures a time that has a limit, so nothing else may run beside it.
    """

    function: str
    title: Text
    seed: int = 1
    quick: bool = False
    alone: bool = False

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
    Trial(
        "stores.long_log",
        Text("一百万条记录后重启", "restart with 1,000,000 records"),
        3,
        alone=True,
    ),
    Trial("lines.long_outage", Text("断线两小时后补传", "two hours away, then the backlog"), 4),
    Trial("kills.broker_killed", Text("消息平台 kill -9", "SIGKILL of the broker"), 5),
    Trial(
        "kills.case_system_killed",
        Text("案件系统入库后、回执前被杀", "case system killed between storing and receipt"),
        6,
    ),
    Trial(
        "lines.cut_inside_chunk", Text("分块传到一半断线", "line cut inside a chunk"), 7, quick=True
    ),
    Trial("lines.acknowledgements_cut", Text("只丢确认报文", "acknowledgements alone are lost"), 8),
    Trial("lines.half_open", Text("半开连接", "half-open connection"), 9),
    Trial("disks.full_at_commit", Text("提交时磁盘满", "disk full during a commit"), 10),
    Trial("disks.full_at_blob", Text("写附件时磁盘满", "disk full during a blob write"), 11),
    Trial("disks.full_at_start", Text("启动时磁盘已满", "disk full at the start"), 23),
    Trial("stores.killed_in_migration", Text("升级库表时被杀", "SIGKILL during migration"), 12),
    Trial("stores.killed_in_backup", Text("备份时被杀", "SIGKILL during backup"), 13),
    Trial("stores.pages_overwritten", Text("数据库页被改写", "database pages overwritten"), 14),
    Trial("clocks.stepped", Text("时钟跳变一小时", "clock stepped by an hour, both ways"), 15),
    Trial("clocks.nineteen_seventy", Text("开机时为 1970 年", "1970 at boot"), 16),
    Trial("doubles.image_restored", Text("恢复旧磁盘镜像", "an old disk image restored"), 17),
    Trial("doubles.key_cloned", Text("两台机器同一密钥", "a cloned key"), 18),
    Trial(
        "forgers.receipts_forged",
        Text("伪造和重放的回执", "forged and replayed receipts"),
        19,
        quick=True,
    ),
    Trial(
        "forgers.hostile_messages",
        Text("案件系统门口的恶意消息", "hostile messages at the case system's door"),
        20,
    ),
    Trial("proofs.tampering", Text("逐字节篡改", "tampering"), 21, quick=True),
    Trial("proofs.bundles", Text("证据包损坏与重算", "bundles damaged, weighed again"), 22),
    Trial(
        "buses.bad_modbus_replies",
        Text(
            "迟到、重复、串扰、损坏的 Modbus 应答", "late, doubled, crossed, damaged Modbus replies"
        ),
        26,
        quick=True,
    ),
    Trial(
        "buses.dead_modbus_device",
        Text("总线上八台设备死一台", "one of eight devices on a bus dies"),
        24,
    ),
    Trial(
        "ports.replugged",
        Text("适配器换名重插", "an adapter comes back under another name"),
        25,
        alone=True,
    ),
)


def run(
    *,
    quick: bool = False,
    only: Sequence[str] = (),
    keep: Path | None = None,
    jobs: int | None = None,
    tell: Tell = lambda _line: None,
) -> list[Outcome]:
    """Run the trials, ``jobs`` at a time, then those that stand alone; rows as in ``TRIALS``.

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
    rows: dict[str, Outcome] = {}
    for number, row in enumerate(_rows(chosen, base, quick, jobs), 1):
        rows[row.name] = row
        tell(f"[{number}/{len(chosen)}] {_line(row)}")
        if row.ok and keep is None:
            shutil.rmtree(base / row.name, ignore_errors=True)
    if keep is None and all(row.ok for row in rows.values()):
        shutil.rmtree(base, ignore_errors=True)
    else:
        tell(f"现场保留在 / kept for a look: {base}")
    return [rows[trial.name] for trial in chosen]


def _rows(chosen: Sequence[Trial], base: Path, quick: bool, jobs: int | None) -> Iterator[Outcome]:
    """The row of each trial as it ends."""
    beside = [trial for trial in chosen if not trial.alone]
    alone = [trial for trial in chosen if trial.alone]
    spawned = multiprocessing.get_context("spawn")
    for trials, together in ((beside, jobs or min(4, (os.cpu_count() or 1) + 1)), (alone, 1)):
        with ProcessPoolExecutor(together, spawned, initializer=_be_a_worker) as pool:
            waiting = [pool.submit(_run, trial, base, quick) for trial in trials]
            for done in as_completed(waiting):
                yield done.result()


def _be_a_worker() -> None:
    die_with_parent()
    # A bare pymodbus is tried beside ours and raises into the loop, where nobody needs to read it.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


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
        The page can't be read or written, or has no marks.
    """
    where = "  \n".join(stamp.values())
    numbers = "\n".join(f"| `{k}` | {v:.10g} |" for k, v in figures(outcomes).items())
    body = f"{where}\n\n{markdown(gathered(outcomes))}\n| 数字 Figure | |\n|---|---:|\n{numbers}"
    put(page, BEGIN, END, body)
