"""Commands from the centre: numbered, signed, and what became of them; the command line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.evidence.command import Command
from edge.evidence.note import NoteSigner, NoteVerifier
from simulator.case_commands import MOST_ARGUMENT_BYTES, issue, issued, sent, to_send
from tests.station.case_desk import STATION, TOPICS, Desk, StationLog

NOW_US = 1_790_000_000_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        desk.trusts(StationLog())
        yield desk


def test_a_command_is_signed_for_one_station_and_good_for_its_time(desk: Desk) -> None:
    told = issue(desk.store, STATION, "resend", {"first": 3, "last": 9}, valid_s=60)
    [(command, topic, payload)] = to_send(desk.store, desk.signer, told.issued_us)
    assert topic == TOPICS.command
    read = Command.decode(payload, NoteVerifier(desk.signer.verifier_key))
    assert read == told == command
    assert read.expires_us - read.issued_us == 60_000_000
    assert to_send(desk.store, desk.signer, told.expires_us + 1) == []
    sent(desk.store, command, told.issued_us + 5)
    assert to_send(desk.store, desk.signer, told.issued_us) == []
    forged = payload.replace(b'"last":9', b'"last":8')
    with pytest.raises(ValueError, match="wrong"):
        Command.decode(forged, NoteVerifier(desk.signer.verifier_key))


def test_numbers_rise_for_each_station_even_if_the_store_is_lost(
    desk: Desk, tmp_path: Path
) -> None:
    def tell(desk: Desk, station: str, second: int) -> int:
        now_us = NOW_US + second * 1_000_000
        return issue(
            desk.store, station, "checkpoint", {}, valid_s=60, now_us=lambda: now_us
        ).number

    numbers = [tell(desk, STATION, second) for second in (0, 0, 0, 1, 0, 900)]
    assert numbers == sorted(set(numbers))
    tell(desk, "S2", 0)
    with contextlib.closing(Desk(tmp_path / "bought-anew")) as other:
        assert tell(other, STATION, 901) > numbers[-1]


def test_what_became_of_a_command_stands_in_the_stations_log(desk: Desk) -> None:
    log = StationLog()
    with contextlib.closing(Desk(desk.directory.parent / "other")) as desk:
        desk.trusts(log)
        told = issue(desk.store, STATION, "checkpoint", {}, valid_s=60)
        log.append(kind="command", number=told.number, outcome="done")
        log.append(kind="command", number=told.number, outcome="replayed")
        log.append(kind="command", number=None, outcome="bad-signature")
        log.append(kind="command", number=2**53 - 1, outcome=["odd"])
        assert len(desk.receipts(TOPICS.records, log.batch())) == 4
        assert [item.outcome for item in issued(desk.store, STATION)] == ["done"]
        assert to_send(desk.store, desk.signer, told.issued_us) == []


def test_arguments_have_a_bound_and_a_canonical_form(desk: Desk) -> None:
    for arguments in ({"toml": "x" * MOST_ARGUMENT_BYTES}, {"x": 1.5}, {"x": 2**60}):
        with pytest.raises(ValueError):  # noqa: PT011  # three reasons, three texts
            issue(desk.store, STATION, "rule_pack", arguments, valid_s=60)
    assert issued(desk.store) == []


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["case-system", *arguments])
    return result.exit_code, result.output


def test_commands_are_given_and_seen_on_the_command_line(desk: Desk, tmp_path: Path) -> None:
    store = ("--store", str(desk.directory))
    pack = tmp_path / "pack.toml"
    pack.write_text("name = '规则'", encoding="utf-8")
    for action in (
        ("message", "--zh", "请检修", "--en", "please repair"),
        ("resend", "--first", "2", "--last", "5"),
        ("retry_poisoned",),
        ("checkpoint",),
        ("rule_pack", "--pack", str(pack)),
    ):
        code, output = run("command", STATION, *action, *store)
        assert code == 0, output
    told = [item.command for item in issued(desk.store)]
    assert told[0].arguments == {"zh": "请检修", "en": "please repair"}
    assert told[1].arguments == {"first": 2, "last": 5}
    assert told[4].arguments["toml"] == "name = '规则'"
    code, output = run("commands", *store)
    assert (code, output.count("waiting")) == (0, 5)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("command", STATION, "message", "--zh", "只有中文"), 2),
        (("command", STATION, "rule_pack"), 2),
        (("command", STATION, "explode"), 2),
        (("command", "S9", "checkpoint"), 2),
    ],
)
def test_what_cannot_be_told_is_not(desk: Desk, arguments: tuple[str, ...], code: int) -> None:
    assert run(*arguments, "--store", str(desk.directory))[0] == code
    assert issued(desk.store) == []


def test_alarms_stations_and_proofs_on_the_command_line(desk: Desk) -> None:
    store = ("--store", str(desk.directory))
    assert run("alarms", *store)[0] == 0
    key = NoteSigner.load_or_create(desk.directory / "centre.key", "case-system")
    assert key.verifier_key == desk.signer.verifier_key
    log = StationLog("S3")
    desk.trusts(log)
    log.append(4)
    desk.receipts(TOPICS.records.replace(STATION, "S3"), log.batch(), "S3")
    desk.witness(log.submission(), "S3")
    desk.witness(log.submission(size=3), "S3")
    code, output = run("alarms", "--notes", *store)
    assert (code, "truncated" in output, log.note(3).splitlines()[2] in output) == (6, True, True)
    code, output = run("stations", *store)
    assert code == 0
    [line] = [line for line in output.splitlines() if line.startswith("S3")]
    assert "records 4" in line
    assert "cosigned 4" in line
    assert "truncated" in line
    assert run("verify", *store)[0] == 0


def test_a_directory_without_a_store_is_told(tmp_path: Path) -> None:
    for command in ("alarms", "stations", "verify", "commands"):
        code, output = run(command, "--store", str(tmp_path))
        assert code == 2, output
