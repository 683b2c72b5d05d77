"""Errors cross processes: a worker's plain line is the command's."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from edge.config import load_station
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


def test_the_systems_reason_is_told_in_chinese_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_station(tmp_path / "none.toml")
    assert "没有这个文件或目录" in caught.value.what.zh
    assert "No such file" not in caught.value.what.zh
    assert "No such file" in caught.value.what.en
