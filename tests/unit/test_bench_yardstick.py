"""The yardstick weighs what it was made for, else it would be no yardstick."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.bench.yardstick import weigh_window
from tests.unit.core_signals import NEWTON_PER_COUNT, RATE_HZ, Lorry, Scene, strip_lane


def test_yardstick_weighs_a_plain_lorry() -> None:
    lorry = Lorry(0.5, 15.0)
    counts = Scene(strip_lane(), [lorry], 2.6).counts()
    load_kg = weigh_window(counts, strip_lane().rows, RATE_HZ, NEWTON_PER_COUNT)
    assert load_kg == pytest.approx(np.array(lorry.axle_kg), rel=0.01)
