"""What a sealed statement says of a vehicle: rounding, nulls, units, and a text for all of it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from edge.evidence.canonical import canonical
from edge.evidence.identity import legally_relevant_files, software_identity
from edge.evidence.seal import reopen, seal
from edge.evidence.statement import flag_names, other_draft, plate_correction_draft, vehicle_draft
from edge.records import (
    AxleGroup,
    AxleTable,
    Blob,
    ClockReading,
    Draft,
    Flag,
    Gains,
    HostStamp,
    JoinKind,
    Limit,
    Passage,
    Picture,
    PlateDoubt,
    PlateJoin,
    PlateRead,
    RawClip,
    Vehicle,
    Verdict,
    VerdictKind,
)

READ = PlateRead(
    "C1", "1", "川A12345", "川A·12345", "blue", 0.9876, "in", 1, 2, 3,
    Picture("p1", "/p1.jpg", "ab" * 32, 10), "cn-ordinary",
)  # fmt: skip
VERDICT = Verdict(
    VerdictKind.OVER, 19_000, 40, 18_921, 0.975, 18_000, 1_000, 5.2, "GB 1589-2016 4.2",
    (Limit(18_000, "4.2", "GB 1589-2016", True),), (), "cn-national", "cd" * 32, False,
    (("tariff", "art. 43"),),
)  # fmt: skip
NAN = math.nan


def vehicle(**changes: Any) -> Vehicle:
    """Two axles on two rows; the rear axle missed by the second row."""
    axles = AxleTable(
        load_kg=np.array([6499.5, 12500.49]),
        u_load_kg=np.array([12.001, 30.0]),
        left_kg=np.array([3200.0, 6000.0]),
        right_kg=np.array([3299.5, 6500.49]),
        spacing_m=np.array([3.8004]),
        u_spacing_m=np.array([0.01]),
        row_load_kg=np.array([[6499.5, 6499.5], [12500.49, NAN]]),
        row_sample=np.array([[1.0, 2.0], [3.0, NAN]]),
        wheel_kg=np.array([[[3200.0, 3299.5]] * 2, [[6000.0, 6500.49], [NAN, NAN]]]),
        wheel_area_s=np.array([[[16.0006, 16.5]] * 2, [[30.0, 32.5], [NAN, NAN]]]),
        flags=np.array([0, int(Flag.ROW_MISSING)], dtype=np.uint32),
    )
    clip = RawClip("D1", 1_000, 4_000.0, np.zeros((500, 4), np.int32))
    passage = Passage(
        "D1", "1", 1_100.4, 1_400.6, 1_450, 13.8888, 0.01001, -0.0125, axles,
        (AxleGroup(0, 1, 6499.5, 12.001), AxleGroup(1, 1, 12500.49, 30.0)),
        "1+1", 18_999.99, 40.2, Flag.ROW_MISSING, clip,
    )  # fmt: skip
    passage_fields = {f.name for f in dataclasses.fields(Passage)}
    of_passage = {k: v for k, v in changes.items() if k in passage_fields}
    of_vehicle = {k: v for k, v in changes.items() if k not in passage_fields}
    made = Vehicle(
        "S1",
        1_700_000_000_123_456_789,
        ClockReading(0, 0, 250_000.0, 1_500_001, -12.3456, True),
        dataclasses.replace(passage, **of_passage),
        PlateJoin(JoinKind.READ, READ, (READ,), (-1_234_567,), "nearest"),
        Flag.ROW_MISSING | Flag.CLOCK_UNSURE,
    )
    return dataclasses.replace(made, **of_vehicle)


def statement(of: Vehicle, verdict: Verdict = VERDICT) -> Draft:
    return vehicle_draft(
        of,
        verdict,
        channels=["1L", "1R", "2L", "2R"],
        gains=Gains(
            np.ones(4),
            np.ones(4),
            certificate_id="K1",
            certificate_sha256="ef" * 32,
            valid_until_ns=1_800_000_000_000_000_000,
        ),
        dynamics={"version": 1, "sha256": "0d" * 32},
        config_sha256="01" * 32,
        software={"name": "steelyard", "version": "0", "sha256": "02" * 32},
        blobs=(Blob("signal", "audio/flac", "03" * 32, 99),),
    )


def test_a_statement_has_canonical_bytes_that_give_it_back() -> None:
    record = seal(statement(vehicle()), station="S1", index=7, passage=3, salt=bytes(16))
    again = reopen(record.canonical, private=record.private, urgent=True)
    assert again == record
    assert (record.body["index"], record.body["passage"], record.body["station"]) == (7, 3, "S1")
    assert again.blobs == (Blob("signal", "audio/flac", "03" * 32, 99),)


def test_the_plate_stands_in_the_private_part_alone() -> None:
    record = seal(statement(vehicle()), station="S1", index=7, passage=3, salt=bytes(16))
    plate = record.body["plate"]["text"]
    assert plate
    assert plate.encode() not in record.canonical
    erased = reopen(record.canonical)
    assert (erased.body["plate"]["join"], erased.body["plate"]["text"]) == ("erased", "")
    assert erased.body["erased"] is True
    assert erased.record_id == record.record_id


def test_rounding_never_loses_doubt() -> None:
    body = statement(vehicle()).body
    assert (body["gross_kg"], body["u_gross_kg"]) == (19_000, 41)
    assert [axle["load_kg"] for axle in body["axles"]] == [6_500, 12_500]
    assert [axle["u_kg"] for axle in body["axles"]] == [13, 30]
    assert (body["speed_mm_s"], body["u_speed_mm_s"]) == (13_889, 11)
    assert body["speed_change_ppm"] == -12_500
    assert body["spacings_mm"] == [3_800]
    assert body["time_us"] == 1_700_000_000_123_456
    assert body["clock"] == {
        "bound_us": 1_501, "rate_ppb": -12_346, "settled": True, "stepped": False
    }  # fmt: skip


def test_what_was_not_measured_is_null_never_zero() -> None:
    nothing = vehicle(speed_mps=NAN, u_speed_mps=math.inf, gross_kg=NAN, u_gross_kg=NAN)
    body = statement(nothing).body
    unmeasured = ("speed_mm_s", "u_speed_mm_s", "gross_kg", "u_gross_kg")
    assert [body[key] for key in unmeasured] == [None] * 4
    assert body["axles"][1]["rows_kg"] == [12_500, None]
    canonical(body)


def test_each_wheel_of_each_row_is_bound_in_kilograms_and_as_bare_area() -> None:
    front, rear = statement(vehicle()).body["axles"]
    assert front["wheels_kg"] == [[3_200, 3_300], [3_200, 3_300]]
    assert front["areas_count_ms"] == [[16_001, 16_500], [16_001, 16_500]]
    assert rear["wheels_kg"] == [[6_000, 6_500], [None, None]]
    assert rear["areas_count_ms"][1] == [None, None]


def test_a_statement_says_where_its_time_comes_from() -> None:
    host = HostStamp("boot-1", 86_400_000_000_999, True, "chrony 10.0.0.1", 1_700)
    body = statement(vehicle(host=host)).body
    assert (body["boot_id"], body["mono_us"]) == ("boot-1", 86_400_000_000)
    assert body["clock_host"] == {
        "synchronised": True, "source": "chrony 10.0.0.1", "bound_us": 1_700
    }  # fmt: skip
    doubt = PlateDoubt(5_000, vehicle().passage.key, vehicle().join, host)
    record = seal(statement(vehicle()), station="S1", index=7, passage=3, salt=bytes(16))
    assert plate_correction_draft(doubt, record).body["mono_us"] == 86_400_000_000


def test_the_certificate_is_bound_with_its_validity() -> None:
    body = statement(vehicle()).body["calibration"]
    assert (body["issued_us"], body["valid_until_us"]) == (None, 1_800_000_000_000_000)


def test_flags_are_words_in_the_order_of_their_bits() -> None:
    body = statement(vehicle()).body
    assert body["flags"] == ["ROW_MISSING", "CLOCK_UNSURE"]
    assert [axle["flags"] for axle in body["axles"]] == [[], ["ROW_MISSING"]]
    every = flag_names(sum(Flag))
    assert every == [flag.name for flag in sorted(Flag)]


def test_excess_is_never_overstated() -> None:
    percents = {5.2: 520, 5.209: 520, 0.29: 29, 0.0: 0, 100.0: 10_000, 1.1 * 3: 330}
    for percent, basis_points in percents.items():
        verdict = dataclasses.replace(VERDICT, excess_pct=percent)
        assert statement(vehicle(), verdict).body["verdict"]["excess_bp"] == basis_points


@pytest.mark.parametrize("kind", list(VerdictKind))
def test_a_case_is_urgent(kind: VerdictKind) -> None:
    draft = statement(vehicle(), dataclasses.replace(VERDICT, kind=kind))
    assert draft.urgent is (kind is not VerdictKind.WITHIN)


def test_a_plate_carries_its_candidates() -> None:
    plate = statement(vehicle()).private["plate"]
    assert (plate["text"], plate["confidence_permille"]) == ("川A12345", 988)
    assert plate["candidates"][0]["offset_us"] == -1_235
    assert plate["candidates"][0]["picture_sha256"] == "ab" * 32
    unread = dataclasses.replace(READ, confidence=None, picture=None)
    ambiguous = PlateJoin(JoinKind.AMBIGUOUS, None, (unread, READ), (0, 1), "two fit")
    plate = statement(vehicle(join=ambiguous)).private["plate"]
    assert (plate["join"], plate["text"], plate["confidence_permille"]) == ("ambiguous", "", None)
    assert plate["candidates"][0]["confidence_permille"] is None
    assert plate["candidates"][0]["picture_sha256"] is None


def test_other_kinds_can_not_pose_as_the_log() -> None:
    draft = other_draft("start", time_ns=1_999, fields={"boot_id": "b"})
    assert draft.body == {
        "schema": "steelyard/start/1", "kind": "start", "time_us": 1, "boot_id": "b"
    }  # fmt: skip
    for name in ("index", "station", "passage", "blobs", "time_us"):
        with pytest.raises(ValueError, match=name):
            other_draft("start", time_ns=0, fields={name: 1})


@pytest.mark.parametrize(
    "draft",
    [
        Draft("start", {}),
        Draft("start", {"time_us": 1.5}),
        Draft("start", {"time_us": True}),
        Draft("vehicle", {"time_us": 1}),
        Draft("vehicle", {"time_us": 1, "lane": 2}),
        Draft("start", {"time_us": 1, "value": 0.5}),
    ],
)
def test_a_draft_that_is_no_statement_is_not_sealed(draft: Draft) -> None:
    with pytest.raises(ValueError, match=r"."):
        seal(draft, station="S1", index=0, passage=None)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b'{"blobs":[],"index":0,"kind":"start"}',
        b'{"blobs":[],"index":"0","kind":"start","time_us":1}',
        b'{"blobs":[{"sha256":"ab"}],"index":0,"kind":"start","time_us":1}',
        b'{"blobs":7,"index":0,"kind":"start","time_us":1}',
    ],
)
def test_bytes_that_are_no_record_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        reopen(data)


def test_software_identity_covers_what_weighs_judges_and_seals() -> None:
    files = legally_relevant_files()
    assert files == sorted(files)
    assert {"edge/records/flags.py", "edge/evidence/statement.py"} <= set(files)
    assert any(name.startswith("edge/core/") for name in files)
    assert not any(name.startswith(("edge/web", "edge/uplink")) for name in files)
    identity = software_identity()
    assert len(identity["sha256"]) == 64
    assert identity == software_identity()
