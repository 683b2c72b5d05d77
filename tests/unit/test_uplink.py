"""Topics, presence, access files and the words for refusals."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import UplinkSection
from edge.errors import ConfigError
from edge.uplink import refusals
from edge.uplink.access import read_access
from edge.uplink.topics import (
    ALL_STATIONS_UP,
    Presence,
    Topics,
    Upward,
    blob_of_state,
    parse_up,
)

SHA256 = "0123456789abcdef" * 4


def test_what_a_station_names_the_case_system_reads() -> None:
    topics = Topics("S1")
    assert parse_up(topics.record) == Upward("S1", "record")
    assert parse_up(topics.telemetry) == Upward("S1", "telemetry")
    assert parse_up(topics.state) == Upward("S1", "state")
    assert parse_up(topics.key) == Upward("S1", "key")
    assert parse_up(topics.records) == Upward("S1", "records")
    assert parse_up(topics.checkpoint) == Upward("S1", "checkpoint")
    assert parse_up(topics.manifest(SHA256)) == Upward("S1", "manifest", SHA256)
    assert parse_up(topics.chunk(SHA256, 0)) == Upward("S1", "chunk", SHA256, 0)
    assert parse_up(topics.chunk(SHA256, 99_999)) == Upward("S1", "chunk", SHA256, 99_999)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "wim/v1/S1/down/receipt",
        "wim/v2/S1/up/record",
        "wim/v1//up/record",
        "wim/v1/../up/record",
        "wim/v1/S1/up/record/x",
        "wim/v1/S1/up/record\n",
        f"wim/v1/S1/up/blob/{SHA256}",
        f"wim/v1/S1/up/blob/{SHA256}/00",
        f"wim/v1/S1/up/blob/{SHA256}/-1",
        f"wim/v1/S1/up/blob/{SHA256}/0/1",
        f"wim/v1/S1/up/blob/{SHA256}/999999",
        f"wim/v1/S1/up/blob/{SHA256}/٠",
        f"wim/v1/S1/up/blob/{SHA256.upper()}/0",
        f"wim/v1/S1/up/blob/{SHA256}/manifest/0",
        "wim/v1/S1/up/blob/../../etc/passwd/0",
    ],
)
def test_a_topic_that_is_none_of_ours_names_nothing(topic: str) -> None:
    assert parse_up(topic) is None


def test_the_subscriptions_cover_every_topic_of_a_station() -> None:
    topics = Topics("S1")
    up = [
        topics.record,
        topics.records,
        topics.checkpoint,
        topics.telemetry,
        topics.state,
        topics.key,
        topics.manifest(SHA256),
        topics.chunk(SHA256, 0),
    ]
    down = [topics.receipt, topics.witness, topics.command, topics.blob_state(SHA256)]
    all_up, all_down = ALL_STATIONS_UP.replace("+", "S1"), topics.all_down
    assert all(topic.startswith(all_up.removesuffix("#")) for topic in up)
    assert all(topic.startswith(all_down.removesuffix("#")) for topic in down)
    assert not any(parse_up(topic) for topic in down)
    assert [blob_of_state(topic) for topic in down] == [None, None, None, SHA256]


@pytest.mark.parametrize(
    "presence",
    [Presence("online"), Presence("offline", "stopped"), Presence("offline", "lost")],
)
def test_presence_is_read_as_it_was_written(presence: Presence) -> None:
    assert Presence.decode(presence.encode()) == presence


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=50))
def test_presence_is_read_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        Presence.decode(data)
    except ValueError:
        return
    raise AssertionError("random bytes are no presence")


@pytest.mark.parametrize(
    "text",
    [
        '{"state":"on"}',
        '{"state":"online","reason":"x"}',
        "[]",
        "1",
        '{"state":[]}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_presence_of_another_meaning_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"state|object|deep"):
        Presence.decode(text.encode())


# ----------------------------------------------------------------------------------------------


def _access(directory: Path, **section: object) -> object:
    return read_access(UplinkSection(**section), lambda path: directory / path)


def test_ports_follow_the_scheme_unless_one_is_given(tmp_path: Path) -> None:
    def address(url: str) -> str:
        return str(_access(tmp_path, broker=url))

    assert address("mqtt://centre.example") == "centre.example:1883"
    assert address("mqtts://centre.example") == "centre.example:8883"
    assert address("mqtts://centre.example:1234") == "centre.example:1234"


def test_a_password_is_read_and_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text("秘密 secret\n")
    access = _access(tmp_path, username="S1", password_file="password")
    assert access.password == "秘密 secret"
    assert "secret" not in repr(access) + str(access)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "secret"
    file.write_text("x")
    file.chmod(mode)
    key = {"broker": "mqtts://h", "cert_file": file, "key_file": file}
    for section in ({"password_file": file}, key):
        with pytest.raises(ConfigError, match="open to other users") as caught:
            _access(tmp_path, **section)
        assert "chmod 600" in caught.value.next_step.en


@pytest.mark.parametrize(
    "section",
    [
        {"password_file": "missing"},
        {"broker": "mqtts://h", "ca_file": "missing"},
        {"broker": "mqtts://h", "ca_file": "nonsense"},
        {"broker": "mqtts://h", "cert_file": "nonsense", "key_file": "nonsense"},
    ],
)
def test_a_file_that_is_missing_or_nonsense_is_the_installers_to_mend(
    tmp_path: Path, section: dict[str, str]
) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.touch(mode=0o600)
    nonsense.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"\[uplink\]"):
        _access(tmp_path, **section)


def test_tls_checks_the_host_and_takes_nothing_below_1_2(tmp_path: Path) -> None:
    context = _access(tmp_path, broker="mqtts://h").tls
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert _access(tmp_path, broker="mqtt://h").tls is None


# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [128, 130, 132, 133, 134, 135, 136, 137, 142, 149, 151, 255])
def test_every_refusal_names_the_broker_and_a_next_step_in_both_languages(code: int) -> None:
    for refusal in (refusals.refused, refusals.refused_at_door):
        error = refusal("centre:8883", code, "Some reason")
        assert all("centre:8883" in text for text in error.what)
        assert all(error.next_step)


def test_reasons_are_told_apart() -> None:
    errors: list[OSError] = [
        socket.gaierror(-2, "Name or service not known"),
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(110, "timed out"),
        OSError(101, "Network is unreachable"),
        ssl.SSLError(1, "wrong version number"),
    ]
    told = [refusals.unreachable("centre:8883", error).what for error in errors]
    assert len({t.zh for t in told}) == len({t.en for t in told}) == len(errors)
