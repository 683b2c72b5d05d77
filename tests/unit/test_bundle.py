"""Archives with one spelling, and station files that hold no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from edge.bundle.archive import pack, read, unpack
from edge.config import StationFile, StationSection, parse_station
from edge.errors import ConfigError, InputError, IntegrityError
from tests.unit.test_config import GOOD

FILES = {"a.txt": b"one", "b/c.bin": bytes(range(256)), "empty": b""}
TIME_US = 1_700_000_000_000_000


def test_no_byte_of_an_archive_can_change_and_give_the_same_files() -> None:
    archive = pack(FILES, TIME_US)
    for place in range(len(archive)):
        altered = archive[:place] + bytes([archive[place] ^ 0x21]) + archive[place + 1 :]
        try:
            found = unpack(altered)
        except IntegrityError:
            continue
        assert found != FILES or pack(found, TIME_US) != altered


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"no archive"])
def test_what_is_no_archive_is_told(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        unpack(data)


def test_what_is_larger_than_any_bundle_is_refused_unread(tmp_path: Path) -> None:
    huge = tmp_path / "folder" / "huge.zip"
    huge.parent.mkdir()
    with huge.open("wb") as file:
        file.truncate(1 << 40)
    for path in (huge, huge.parent):
        with pytest.raises(InputError, match="too large"):
            read(path)


@pytest.mark.parametrize("time_us", [0, -(10**18), 10**18, TIME_US])
def test_any_time_can_be_written(time_us: int) -> None:
    assert unpack(pack(FILES, time_us)) == FILES


def test_a_station_file_holds_no_password() -> None:
    text = f'{GOOD}\n[uplink]\nbroker = "mqtts://user:secret@centre:8883"\n'
    with pytest.raises(ConfigError, match="password") as caught:
        parse_station(Path("station.toml"), text.encode())
    assert "secret" not in str(caught.value)


def fields(model: type[BaseModel]) -> set[str]:
    """Names of all keys of a model and of the tables in it."""
    found: set[str] = set()
    for name, field in model.model_fields.items():
        found.add(name)
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= fields(kind)
    return found


def test_secrets_are_named_by_their_paths_only() -> None:
    suspicious = {
        name
        for name in fields(StationFile)
        if any(word in name for word in ("password", "secret", "token", "key"))
    }
    public = {"centre_key", "firmware_keys"}  # verifier keys: meant to be known
    assert {n for n in suspicious - public if not n.endswith("_file")} <= {"sm2_key"}
    assert StationSection.model_fields["sm2_key"].annotation == Path | None
