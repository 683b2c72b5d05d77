"""A shortened run of the fault trials: the same trials with fewer blows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import Text
from simulator.faults.outcome import Outcome, figures, markdown
from simulator.faults.run import BEGIN, END, TRIALS, gathered

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]

ZERO = (
    "faults.records_lost",
    "faults.records_doubled",
    "faults.receipted_unverifiable",
    "faults.receipts_forged_accepted",
    "faults.checkpoints_inconsistent",
    "faults.trials_failed",
)


def test_the_quick_run_keeps_every_promise(tmp_path: Path) -> None:
    page = tmp_path / "faults.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    arguments = ["faults", "--quick", "--json", str(tmp_path / "f.json"), "--page", str(page)]
    ran = subprocess.run(
        [sys.executable, "-m", "edge.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    assert {name: found[name] for name in ZERO} == dict.fromkeys(ZERO, 0)
    assert found["faults.mutations_found_pct"] == 100
    assert found["faults.kills"] >= 3
    assert found["bridge.bad_replies_tried"] >= 200
    assert found["faults.records"] > 30
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert "SIGKILL of the daemon" in written


def test_a_broken_promise_fails_its_row_and_stands_in_the_table() -> None:
    good = Outcome("x.1", Text("甲", "x"), 1, blows=2, records=10)
    bad = Outcome("x.2", Text("甲", "x"), 2, blows=3, records=20)
    bad.expect(True, "not this")
    bad.expect(False, "this was promised")
    bad.figures = {"faults.recomputed": 3, "faults.recomputed_equal": 2}
    assert good.ok
    assert not bad.ok
    assert figures([good, bad])["faults.trials_failed"] == 1
    assert figures([good, bad])["faults.recompute_equal_pct"] == 66.66
    (row,) = gathered([good, bad])
    assert (row.blows, row.records, row.ok) == (5, 30, False)
    assert "this was promised" in markdown([row])


def test_every_trial_has_a_seed_of_its_own() -> None:
    assert len({trial.seed for trial in TRIALS}) == len(TRIALS)
