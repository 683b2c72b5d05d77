"""Errors cross processes: a worker's plain line is the command's."""

from __future__ import annotations

import pickle

import pytest

from edge.errors import ConfigError, InputError, IntegrityError, SteelyardError


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("坏", "bad", next_zh="改", next_en="mend"),
        InputError("坏", "bad"),
        IntegrityError("断", "broken", step="3", next_zh="停", next_en="stop"),
    ],
)
def test_an_error_of_another_process_arrives_whole(error: SteelyardError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert arrived.line() == error.line()
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
