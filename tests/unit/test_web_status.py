"""One plain sentence about the station, and how long it can do without the line."""

from __future__ import annotations

import pytest

from edge.errors import Text
from edge.health import Health, Level
from edge.records import Blob, Record
from edge.web.status import bytes_per_hour, headline, outage_text, parts, troubles
from edge.web.texts import Speaker

ZH, EN = Speaker("zh"), Speaker("en")


def station(**levels: Level) -> Health:
    health = Health(lambda: 0)
    for part, level in levels.items():
        health.state(part.replace("_", "."), level, f"{part} 的话", f"{part} says")
    return health


def test_all_well_is_said_in_three_words() -> None:
    rows = parts(station(digitiser_D1=Level.OK, uplink=Level.OK).snapshot(), ZH)
    assert headline(rows, ZH).title == "一切正常"
    assert troubles(rows) == []


def test_the_worst_comes_first_and_says_what_to_do() -> None:
    health = station(camera_C1=Level.WARNING, digitiser_D1=Level.DOWN, store=Level.OK)
    rows = parts(health.snapshot(), EN)
    assert [row.part for row in rows] == ["digitiser.D1", "camera.C1", "store"]
    head = headline(rows, EN)
    assert head.level is Level.DOWN
    assert head.more == "Digitiser D1: digitiser_D1 says"
    assert "D1" in troubles(rows)[0].next_step


def test_a_part_that_knows_its_next_step_is_quoted() -> None:
    health = station()
    health.state("uplink", Level.DOWN, "断", "cut", next_step=Text("插上网线", "plug the cable in"))
    assert parts(health.snapshot(), EN)[0].next_step == "plug the cable in"


def test_a_part_nobody_named_is_still_explained() -> None:
    (row,) = parts(station(flux_capacitor=Level.DOWN).snapshot(), ZH)
    assert row.name == "flux.capacitor"
    assert "维护" in row.next_step


def test_a_station_that_has_said_nothing_is_starting() -> None:
    assert headline([], EN).level is Level.WAITING


def record(time_us: int, size: int) -> Record:
    blob = Blob("signal", "audio/flac", "00", size - 100)
    return Record(0, "", "vehicle", b"x" * 100, {"time_us": time_us}, (blob,))


def test_outage_hours_follow_from_traffic_and_free_disk() -> None:
    hour_us = 3_600_000_000
    newest = [record(hour_us, 1_000_000), record(2 * hour_us, 3_000_000)]
    per_hour = bytes_per_hour(newest, now_us=3 * hour_us)
    assert per_hour == pytest.approx(2_000_000)
    assert outage_text(20_000_000, per_hour, EN) == "10 h"
    assert outage_text(10**15, per_hour, EN) == "more than 99 days"


def test_too_little_traffic_gives_no_number() -> None:
    assert bytes_per_hour([record(0, 500)], 10) is None
    assert outage_text(10**12, None, ZH) == "车流量还不够估算"
