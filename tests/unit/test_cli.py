"""The command line: one plain line and the exit code of the error's class."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from tests.unit.test_config import GOOD


def steelyard(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def station(tmp_path: Path) -> str:
    path = tmp_path / "station.toml"
    path.write_text(GOOD)
    return str(path)


def test_a_right_station_file_is_told_as_right(station: str) -> None:
    result = steelyard("check", station)
    assert result.exit_code == 0, result.output
    assert "cn-national" in result.output


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ('[rules]\npack = "nowhere"\n', "nowhere"),
        ('[calibration]\nfile = "none.json"\n', "none.json"),
        ('[uplink]\nbroker = "http://x"\n', "mqtt://host:port"),
        ('[uplink]\nbroker = "mqtts://x"\nca_file = "none.pem"\n', "ca_file"),
        ('[uplink]\npassword_file = "none"\n', "password_file"),
        ('[uplink]\ncentre_key = "rubbish"\n', "centre_key"),
    ],
)
def test_check_explains_configuration(station: str, change: str, named: str) -> None:
    Path(station).write_text(GOOD + change)
    result = steelyard("check", station)
    assert result.exit_code == 3
    assert named in result.output
    assert "Traceback" not in result.output


def test_check_knows_no_other_time_zones_than_the_machine(station: str) -> None:
    Path(station).write_text(GOOD.replace("[station]", '[station]\ntime_zone = "Mars/X"'))
    result = steelyard("check", station)
    assert (result.exit_code, "Mars/X" in result.output) == (3, True)


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_check_warns_of_a_page_that_others_can_open(station: str, host: str, warns: bool) -> None:
    Path(station).write_text(GOOD + f'[web]\nhost = "{host}"\n')
    result = steelyard("check", station)
    assert (result.exit_code, "没有口令" in result.output) == (0, warns)


@pytest.mark.parametrize(
    "arguments",
    [
        ("replay", "nowhere", "--station", "{station}", "--out", "x.csv"),
        ("simulate", "nowhere", "--for", "{station}"),
        ("case-system", "--broker", "ftp://x", "--store", "x"),
        ("verify", "nowhere"),
        ("calibrate", "fit", "nowhere", "--station", "{station}", "--out", "x.json"),
    ],
)
def test_a_wrong_argument_is_its_writers_matter(station: str, arguments: tuple[str, ...]) -> None:
    result = steelyard(*(a.format(station=station) for a in arguments))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("demo", "--home", "x"), "没有这个选项 --home / No such option '--home'"),
        (("check",), "缺少参数 'STATION_FILE' / Missing argument"),
        (("verify", "nowhere"), "参数的值不对 'PATH' / Invalid value for 'PATH'"),
        (("case-system",), "用法不对 / --broker and --store are needed"),
    ],
)
def test_a_wrong_call_is_told_in_chinese_first(arguments: tuple[str, ...], said: str) -> None:
    result = steelyard(*arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert f"{arguments[0]} --help" in result.output.split("→")[1]


def test_a_directory_for_a_file_of_firmware_is_told_plainly(station: str, tmp_path: Path) -> None:
    key, program = str(tmp_path / "key"), tmp_path / "program"
    program.write_bytes(b"x" * 64)
    assert steelyard("firmware", "key", key, "--name", "n").exit_code == 0
    what = ("--hardware", "h", "--version", "1", "--rollback", "1", "--key", key)
    for arguments in (
        ("update", station, "D1", str(tmp_path), "--by", "x", "--no-wait"),
        ("sign", str(tmp_path), *what, "--out", str(tmp_path / "image")),
        ("sign", str(program), *what, "--out", str(tmp_path)),
    ):
        result = steelyard("firmware", *arguments)
        assert result.exit_code == 2, result.output
        assert str(tmp_path) in result.output


def test_a_group_without_a_command_shows_its_help() -> None:
    assert "Commands:" in steelyard("bench").output


@pytest.mark.parametrize(
    "arguments",
    [("record", "{station}", "--out", "{full}"), ("demo", "--dir", "{full}")],
    ids=lambda arguments: str(arguments[0]),
)
def test_new_data_is_not_mixed_with_old(station: str, arguments: tuple[str, ...]) -> None:
    full = str(Path(station).parent)
    result = steelyard(*(a.format(station=station, full=full) for a in arguments))
    assert (result.exit_code, "不是空的" in result.output) == (2, True), result.output


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simulator.demo", None)
    result = steelyard("demo", "--seconds", "1")
    assert result.exit_code == 3
    assert "steelyard[demo]" in result.output


def test_a_table_of_unknown_kind_is_refused_before_the_work(station: str, tmp_path: Path) -> None:
    result = steelyard("replay", str(tmp_path), "--station", station, "--out", "x.docx")
    assert result.exit_code == 2
    assert "x.docx" in result.output


def test_verify_ends_with_the_code_of_broken_evidence(tmp_path: Path) -> None:
    (tmp_path / "station.db").write_bytes(b"no database at all" * 100)
    result = steelyard("verify", str(tmp_path))
    assert result.exit_code == 6
    assert "✗ 1." in result.output


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command: str) -> None:
    result = steelyard(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3
