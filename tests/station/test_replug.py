"""An adapter falls out and comes back under another name: samples again, gap flagged."""

from __future__ import annotations

import asyncio

import pytest

from simulator.bench import bridge_replug

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_samples_come_back_and_the_gap_is_flagged() -> None:
    trials = asyncio.run(bridge_replug.measure(3, seed=7))
    assert [trial.ok for trial in trials] == [True] * 3, trials
