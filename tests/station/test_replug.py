"""An adapter falls out and comes back under another name: samples again, gap flagged."""

from __future__ import annotations

import asyncio

import pytest

from simulator.bench import bridge_replug

pytestmark = [pytest.mark.slow]


def test_samples_come_back_and_the_gap_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_replug, "AGAIN_S", 20.0)  # how soon is for the bench to say
    trials = asyncio.run(bridge_replug.measure(3, seed=7))
    assert [trial.ok for trial in trials] == [True] * 3, trials
