"""Network cameras: each maker's message becomes the same reading; what is not as agreed, none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware_bridge.cameras import decoder
from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.dialect import BadDialect, dialect_names, load_dialect
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.cameras.tcp_text import TcpTextDecoder
from simulator.network_cameras import (
    BOUNDARY,
    SPEAKERS,
    Shown,
    dahua,
    dahua_heartbeat,
    hikvision_xml,
    tcp_text,
)

SCENE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8 + b"\xff\xd9"
CLOSE = b"\xff\xd8\xff\xe0" + b"\r\n--my" * 40 + b"\xff\xd9"
EIGHT_HOURS = 8 * 3600

each_maker = pytest.mark.parametrize("maker", SPEAKERS)


def decoder_of(name: str, utc_offset_s: int = EIGHT_HOURS) -> CameraDecoder:
    return CameraDecoder(load_dialect(name), utc_offset_s, BOUNDARY)


def read(maker: str, shown: Shown, dialect: str = "") -> CameraEvent:
    reader = decoder_of(dialect or maker)
    content_type, body = SPEAKERS[maker](shown)
    assert reader.takes(content_type)
    (event,) = reader.message(content_type, body)
    assert reader.counters["readings"] == 1
    return event


@each_maker
@pytest.mark.parametrize("colour", ["blue", "yellow", "white", "black", "green", "yellow-green"])
def test_every_maker_says_the_same(maker: str, colour: str) -> None:
    shown = Shown("冀B12345", colour, lane=2, pictures=(SCENE, CLOSE))
    event = read(maker, shown)
    assert (event.plate, event.colour) == ("冀B12345", colour)
    assert event.camera_time_ns == shown.utc_ms * 1_000_000
    assert event.time_step_ns <= 1_000_000
    assert event.confidence == pytest.approx(0.93, abs=0.005)
    assert (event.lane, event.direction, event.resent) == ("2", "toward", False)
    assert sorted(p.data for p in event.pictures) == sorted((SCENE, CLOSE))
    assert read(maker, replace(shown, toward=False)).direction == "away"


@each_maker
def test_no_plate_is_no_plate_in_every_language(maker: str) -> None:
    event = read(maker, Shown("", "unknown"))
    assert event.plate == ""
    assert event.pictures == ()


@pytest.mark.parametrize("maker", ["hikvision", "milesight", "vzenith"])
def test_the_close_up_is_known_from_the_scene(maker: str) -> None:
    event = read(maker, Shown("冀B12345", pictures=(SCENE, CLOSE)))
    assert {p.role: p.data for p in event.pictures} == {"scene": SCENE, "plate": CLOSE}


@pytest.mark.parametrize("maker", ["hikvision", "vzenith"])
def test_what_a_camera_sends_late_is_told(maker: str) -> None:
    assert read(maker, Shown("冀B12345", resent=True)).resent


def test_the_namespace_and_its_prefix_do_not_matter() -> None:
    plain = hikvision_xml(Shown("冀B12345"))
    other = plain.replace(b"www.isapi.org", b"www.hikvision.com")
    prefixed = plain.replace(b"</", b"</h:").replace(b"<", b"<h:").replace(b"<h:/h:", b"</h:")
    prefixed = prefixed.replace(b"<h:?xml", b"<?xml").replace(b"xmlns=", b"xmlns:h=")
    for document in (plain, other, prefixed):
        (event,) = decoder_of("hikvision").message("application/xml", document)
        assert (event.plate, event.lane) == ("冀B12345", "1")


def test_a_document_may_name_an_older_national_encoding() -> None:
    document = hikvision_xml(Shown("冀B12345")).decode().replace("UTF-8", "GB2312")
    (event,) = decoder_of("hikvision").message("text/xml", document.encode("gbk"))
    assert event.plate == "冀B12345"


def test_entities_and_document_types_are_refused() -> None:
    document = hikvision_xml(Shown("冀B12345"))
    bomb = document.replace(
        b"?>\n", b'?>\n<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n', 1
    )
    outside = document.replace(b"?>\n", b'?>\n<!DOCTYPE a SYSTEM "file:///etc/hostname">\n', 1)
    for hostile in (bomb, outside):
        reader = decoder_of("hikvision")
        assert reader.message("text/xml", hostile) == []
        assert reader.counters["malformed"] == 1


@pytest.mark.parametrize(
    ("maker", "body"),
    [
        ("vzenith", b"[" * 100_000),
        ("vzenith", b'{"a":' * 100 + b"1" + b"}" * 100),
        ("vzenith", b'{"AlarmInfoPlate": NaN}'),
        ("vzenith", b"\xff\xfe\x00"),
        ("milesight", b'{"plate": "A", "plate": "B"}'),
        ("milesight", b"[" + b"1," * 5_000 + b"1]"),
        ("hikvision", b"<a>" * 100 + b"</a>" * 100),
        ("hikvision", b"<a><b/></a"),
        ("dahua", b"Events[0].UTC=1\nEvents[0].UTC=2\n"),
    ],
)
def test_documents_beyond_what_a_camera_has_to_say(maker: str, body: bytes) -> None:
    reader = decoder_of(maker)
    content_type = load_dialect(maker).media_types[0]
    assert reader.message(content_type, body) == []
    assert reader.counters["malformed"] == 1


def test_one_document_does_not_hold_a_hundred_readings() -> None:
    lines = "".join(
        f"Events[{n}].EventBaseInfo.Code=TrafficJunction\nEvents[{n}].TrafficCar.PlateNumber=A{n}\n"
        for n in range(100)
    )
    events = decoder_of("dahua").message("text/plain", lines.encode())
    assert [event.plate for event in events] == [f"A{n}" for n in range(16)]


def test_heartbeats_and_other_events_are_no_readings() -> None:
    other = hikvision_xml(Shown("冀B12345")).replace(b">ANPR</", b">videoloss</")
    reader = decoder_of("hikvision")
    assert reader.message("text/xml", other) == []
    heartbeat = decoder_of("vzenith")
    assert heartbeat.message("application/json", b'{"heartbeat": {"countid": 1}}') == []
    assert reader.counters["other_events"] == heartbeat.counters["other_events"] == 1


def test_of_two_plates_in_one_text_the_first_counts() -> None:
    event = read("vzenith", Shown("粤ZF023港|HK1234", "black"))
    assert event.plate == "粤ZF023港"


def test_a_stream_gives_a_reading_as_soon_as_its_pictures_are_there() -> None:
    reader = decoder_of("dahua")
    shown = Shown("冀B12345", pictures=(SCENE, CLOSE))
    assert reader.feed(dahua_heartbeat()) == []
    (event,) = reader.feed(dahua(shown)[1])
    assert [p.data for p in event.pictures] == [SCENE, CLOSE]
    assert reader.feed(dahua(replace(shown, pictures=()))[1]) == []
    assert reader.waits
    (late,) = reader.feed(dahua_heartbeat())
    assert (late.plate, late.pictures) == ("冀B12345", ())


def test_local_time_in_place_of_utc_is_a_table_of_its_own() -> None:
    shown = Shown("冀B12345", utc_ms=1_790_000_000_250 + EIGHT_HOURS * 1000)
    assert read("dahua", shown, "dahua-local").camera_time_ns == 1_790_000_000_250_000_000


@pytest.mark.parametrize(
    "bad", [CLOSE[:-2], b"GIF89a" + CLOSE, CLOSE[:-2] + bytes(4_000) + CLOSE], ids=len
)
def test_a_picture_that_is_none_is_left(bad: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder, "MAX_PICTURE_BYTES", 4_000)
    reader = decoder_of("milesight")
    (event,) = reader.message(*SPEAKERS["milesight"](Shown("A", pictures=(SCENE, bad))))
    assert [picture.data for picture in event.pictures] == [SCENE]
    assert reader.counters["pictures_unusable"] == 1


def test_plain_text_with_and_without_blanks() -> None:
    reader = TcpTextDecoder(EIGHT_HOURS)
    shown = Shown("冀B12345", lane=3)
    frames = tcp_text(shown), tcp_text(replace(shown, plate="")), b"\x022026092122264007ABC\x03"
    full, unread, dense = reader.feed(b"\r\n".join(frames))
    assert (full.plate, full.lane) == ("冀B12345", "03")
    assert full.camera_time_ns == shown.utc_ms // 1000 * 1_000_000_000
    assert unread.plate == ""
    assert (dense.plate, dense.lane) == ("ABC", "07")


def test_plain_text_of_another_form_is_malformed() -> None:
    reader = TcpTextDecoder()
    frames = (
        b"\x0220261399999999 01 A\x03",  # no such day
        b"\x022026112214 01 A\x03",
        b"\x0220261122144000 01 A\tB\x03",
        b"\x0220261122144000 01 " + b"A" * 25 + b"\x03",
        b"\x0220261122144000 01 \xff\x03",
        b"\x02" + b"A" * 200,
    )
    assert reader.feed(b"".join(frames)) == []
    assert reader.counters["malformed"] == 4
    assert reader.counters["damaged"] == reader.counters["oversize"] == 1


def test_a_camera_of_the_site_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('base = "milesight"\n[fields]\nplate = ["lpr.text"]\n', "utf-8")
    reader = CameraDecoder(load_dialect(str(file)))
    (event,) = reader.message("application/json", b'{"lpr": {"text": "AB 123"}}')
    assert event.plate == "AB 123"


@pytest.mark.parametrize(
    "text",
    [
        'base = "milesight"\nplates = 1\n',
        'base = "milesight"\n[colours]\nred = "red"\n',
        'base = "nobody"\n',
        'form = "yaml"\nmodels = ""\nmedia_types = []\ntimes = []\n[fields]\nplate = ["a"]\n',
        'form = "json"\n',
        "no toml",
    ],
)
def test_a_wrong_table_is_told(tmp_path: Path, text: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(BadDialect):
        load_dialect(str(file))


@pytest.mark.parametrize("name", dialect_names())
def test_every_table_that_ships_reads(name: str) -> None:
    assert load_dialect(name).models
