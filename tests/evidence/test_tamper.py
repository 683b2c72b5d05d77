"""Random alterations of a store: every one is found (the full count runs with the faults)."""

from __future__ import annotations

from simulator.faults_tamper import trials


def test_every_alteration_is_found() -> None:
    done = list(trials(300, seed=1))
    assert len(done) == 300
    assert [trial for trial in done if not trial.found] == []
    assert len({trial.place for trial in done}) >= 15
