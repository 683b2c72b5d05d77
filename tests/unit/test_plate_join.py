"""Plates and vehicles: joined where there is no doubt, otherwise not."""

from __future__ import annotations

from dataclasses import replace

from edge.core.plates import Expected, join
from edge.records import JoinKind, PlateRead

MS = 1_000_000
TOLERANCE_NS = 600 * MS


def read(at_ms: int, text: str = "冀A12345", lane: str = "1", confidence: float = 0.9) -> PlateRead:
    return PlateRead(
        "C1", lane, text, text, "yellow", confidence, "in", at_ms * MS, at_ms * MS, at_ms * MS
    )


def expected(at_ms: int, lane: str = "1", u_ms: int = 0) -> Expected:
    return Expected((lane,), at_ms * MS, u_ms * MS)


def test_one_plate_one_vehicle() -> None:
    plate = read(1_100)
    (found,) = join([expected(1_000)], [plate], TOLERANCE_NS)
    assert (found.kind, found.chosen, found.offsets_ns) == (JoinKind.READ, plate, (100 * MS,))


def test_no_plate_near() -> None:
    (found,) = join([expected(1_000)], [read(1_601), read(1_000, lane="2")], TOLERANCE_NS)
    assert (found.kind, found.chosen, found.candidates) == (JoinKind.MISSING, None, ())
    assert found.reason == "no-read"


def test_uncertain_moment_reaches_farther() -> None:
    (found,) = join([expected(1_000, u_ms=50)], [read(1_650)], TOLERANCE_NS)
    assert found.kind is JoinKind.READ


def test_a_read_that_fits_two_vehicles_is_joined_to_neither() -> None:
    vehicles = [expected(1_000), expected(1_800)]
    one, two = join(vehicles, [read(1_400)], TOLERANCE_NS)
    assert one.kind is two.kind is JoinKind.AMBIGUOUS
    assert one.chosen is two.chosen is None
    assert one.candidates == two.candidates
    assert one.reason == "fits-two-vehicles"


def test_two_vehicles_well_apart() -> None:
    found = join([expected(1_000), expected(3_000)], [read(3_050, "B"), read(1_020)], TOLERANCE_NS)
    assert [f.chosen.text if f.chosen else "" for f in found] == ["冀A12345", "B"]


def test_different_texts_are_ambiguous_and_kept() -> None:
    (found,) = join([expected(1_000)], [read(1_200, "B"), read(1_050)], TOLERANCE_NS)
    assert found.kind is JoinKind.AMBIGUOUS
    assert [c.text for c in found.candidates] == ["冀A12345", "B"]


def test_read_twice_takes_the_surer() -> None:
    unsure = replace(read(1_000), confidence=None)
    sure = read(1_300, confidence=0.99)
    (found,) = join([expected(1_000)], [unsure, sure, read(1_100, confidence=0.5)], TOLERANCE_NS)
    assert (found.kind, found.chosen) == (JoinKind.READ, sure)


def test_unread_plate_is_missing_but_stays_a_candidate() -> None:
    (found,) = join([expected(1_000)], [read(1_000, "")], TOLERANCE_NS)
    assert (found.kind, found.reason, len(found.candidates)) == (JoinKind.MISSING, "unread", 1)


def test_no_vehicles() -> None:
    assert join([], [read(0)], TOLERANCE_NS) == []
