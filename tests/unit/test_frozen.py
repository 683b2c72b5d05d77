"""Frozen dynamics: what a lane weighs with is named, bound to its rows and gains, or refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.config import load_station
from edge.core.modes import PRIOR
from edge.errors import ConfigError, InputError
from edge.frozen import Frozen, known_dynamics, of_device
from edge.health import Health
from edge.learning import freeze, from_station
from edge.records import STANDARD_GRAVITY_MPS2
from edge.replay import vehicle_rows
from tests.unit.test_lessons import passages, station, taught

WIRE = Path(__file__).parents[2] / "docs" / "wire.md"


def frozen_file(directory: Path, n: int = 30, row_off: float = 0.0) -> Path:
    """The file that a person freezes after some traffic."""
    config = station(directory)
    taught(config, Health(lambda: 0), passages(n, row_off=row_off))
    ((path, _),) = freeze(
        config, from_station(config, []), "张工", lambda: 1_700_000_000_000_000_000
    )
    return path


@pytest.fixture(scope="module")
def frozen_raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What such a file says, made once: fitting takes a while."""
    return frozen_file(tmp_path_factory.mktemp("frozen")).read_bytes()


def named_in_station_file(directory: Path, path: Path) -> None:
    file = directory / "station.toml"
    file.write_text(file.read_text().replace('id = "1"', f'id = "1"\ndynamics = "{path.name}"'))


def learn(directory: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["learn", "--station", str(directory / "station.toml"), *more])


def test_without_a_file_the_prior_is_named(tmp_path: Path) -> None:
    known = known_dynamics(station(tmp_path))["1"]
    assert known.name == {"version": PRIOR.version, "sha256": PRIOR.sha256}


def test_a_frozen_file_reads_back_to_itself(tmp_path: Path) -> None:
    raw = frozen_file(tmp_path).read_bytes()
    frozen = Frozen.parse(raw)
    assert frozen.to_json() == raw
    assert (frozen.frozen_by, frozen.vehicles, frozen.lane) == ("张工", 30, "1")
    assert frozen.dynamics != PRIOR


def test_the_file_is_as_the_wire_document_says(tmp_path: Path) -> None:
    section = WIRE.read_text(encoding="utf-8").split("## 7. ")[1].split("\n## ")[0]
    keys = [key for row in re.findall(r"^\| (`.*?`) \|", section, re.M) for key in row.split(", ")]
    body = json.loads(frozen_file(tmp_path).read_bytes())
    assert [key.strip("`") for key in keys] == list(body)
    at_m = (0.0, 2.0, 4.0)
    rows = [
        {"kind": "strip", "left": 2 * i, "position_m": m, "right": 2 * i + 1, "width_m": 0.07}
        for i, m in enumerate(at_m)
    ]
    gains = [[0.01] * 6, STANDARD_GRAVITY_MPS2]
    hashed = [
        hashlib.sha256(json.dumps(part, separators=(",", ":"), sort_keys=True).encode()).hexdigest()
        for part in (["1", rows], gains, body["dynamics"])
    ]
    assert hashed == [body["layout_sha256"], body["gains_sha256"], body["sha256"]]


def test_the_lane_weighs_with_what_the_record_names(tmp_path: Path) -> None:
    path = frozen_file(tmp_path)
    named_in_station_file(tmp_path, path)
    config = load_station(tmp_path / "station.toml")
    frozen = Frozen.parse(path.read_bytes())
    name = known_dynamics(config)["1"].name
    assert name == {"version": frozen.version, "sha256": frozen.dynamics.sha256}
    assert of_device(config, "D1") == {"1": frozen.dynamics}
    assert of_device(config.without_dynamics(), "D1") == {"1": PRIOR}
    assert config.without_certificate().model.lane[0].dynamics is None
    assert list(vehicle_rows([], config)) == []


def test_each_freezing_has_its_own_number_and_file(tmp_path: Path) -> None:
    first = frozen_file(tmp_path)
    before = first.read_bytes()
    second = frozen_file(tmp_path)
    numbers = [Frozen.parse(path.read_bytes()).version for path in (first, second)]
    assert numbers == [PRIOR.version + 1, PRIOR.version + 2]
    assert first.read_bytes() == before


def _tampered(raw: bytes) -> bytes:
    body = json.loads(raw)
    body["dynamics"]["cells"][3][1]["weight"] += 1
    return json.dumps(body).encode()


def _of_another_program(raw: bytes) -> bytes:
    frozen = Frozen.parse(raw)
    other = dataclasses.replace(frozen.dynamics, version=frozen.dynamics.version + 1)
    return dataclasses.replace(frozen, dynamics=other).to_json()


WRONG = {
    "not there": (None, "cannot read"),
    "cut": (lambda raw: raw[:300], "damaged"),
    "list": (lambda raw: b"[]", "damaged"),
    "other schema": (lambda raw: raw.replace(b"steelyard-dynamics/1", b"x"), "damaged"),
    "tampered": (_tampered, "sha256"),
    "binary": (lambda raw: b"\xff" + raw, "damaged"),
    "other program": (_of_another_program, "another version of the program"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_refused_with_what_to_do(
    tmp_path: Path, frozen_raw: bytes, wrong: str
) -> None:
    change, said = WRONG[wrong]
    station(tmp_path)
    path = tmp_path / "1-v9.dynamics.json"
    path.write_bytes(frozen_raw)
    named_in_station_file(tmp_path, path)
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ConfigError, match=said) as caught:
        known_dynamics(load_station(tmp_path / "station.toml"))
    assert "dynamics" in caught.value.next_step.zh


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"second_m": 2.5}, "other rows"), ({"newton_per_count": 0.02}, "another calibration")],
)
def test_other_rows_or_gains_refuse_what_was_learned(
    tmp_path: Path, frozen_raw: bytes, changed: dict[str, float], said: str
) -> None:
    station(tmp_path, **changed)
    path = tmp_path / "1-v9.dynamics.json"
    path.write_bytes(frozen_raw)
    named_in_station_file(tmp_path, path)
    with pytest.raises(ConfigError, match=said):
        known_dynamics(load_station(tmp_path / "station.toml"))
    result = CliRunner().invoke(main, ["check", str(tmp_path / "station.toml")])
    assert result.exit_code == ConfigError.exit_code
    assert "删去" in result.output


def test_a_row_that_reads_apart_is_shown_and_not_frozen(tmp_path: Path) -> None:
    config = station(tmp_path)
    seen = passages(30)
    taught(config, Health(lambda: 0), seen)
    (good,) = from_station(config, [])
    for passage in passages(200, row_off=0.6):
        good.seen.add(passage)
    with pytest.raises(InputError, match="row 3 of lane 1"):
        freeze(config, [good], "张工", lambda: 0)
    assert not list(tmp_path.glob("*.dynamics.json"))


def test_the_command_shows_first_and_writes_only_when_told(tmp_path: Path) -> None:
    taught(station(tmp_path), Health(lambda: 0), passages(30))
    shown = learn(tmp_path)
    assert shown.exit_code == 0, shown.output
    assert "二轴重车 / 2 axles, laden" in shown.output
    assert "--freeze-by" in shown.output
    assert not list(tmp_path.glob("*.dynamics.json"))
    frozen = learn(tmp_path, "--freeze-by", "李工", "--lane", "1")
    assert frozen.exit_code == 0, frozen.output
    (path,) = tmp_path.glob("*.dynamics.json")
    assert f'dynamics = "{path.name}"' in frozen.output
    named_in_station_file(tmp_path, path)
    checked = CliRunner().invoke(main, ["check", str(tmp_path / "station.toml")])
    assert path.name in checked.output


def test_the_command_says_when_there_is_nothing_to_learn(tmp_path: Path) -> None:
    station(tmp_path)
    for more in ([], ["--lane", "9"]):
        result = learn(tmp_path, *more)
        assert result.exit_code == InputError.exit_code
        assert "steelyard calibrate fit" in result.output
