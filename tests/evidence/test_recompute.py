"""Sealed vehicles weighed again: the same numbers, or the name of what differs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.bundle.archive import unpack
from edge.bundle.dossier import Dossier, Statement
from edge.bundle.gather import Keys, Source
from edge.bundle.layout import dossier_of
from edge.bundle.pages import export
from edge.bundle.recompute import Recomputed, recompute, recompute_many
from edge.cli import main
from edge.config import load_station
from edge.evidence.canonical import canonical, parse_canonical
from edge.records import Flag
from edge.replay import replay_vehicles
from simulator.conditions import CONDITIONS
from simulator.layouts import strips
from tests.evidence.bundled import Sealed
from tests.evidence.sample import opened
from tests.station.test_astride import sealed_by_clerk


def told(outcomes: list[Recomputed]) -> list[str]:
    """What is not equal, in words."""
    return [
        f"{o.index}: {o.problem} {[str(d) for d in o.differences]}" for o in outcomes if not o.equal
    ]


def test_every_vehicle_of_a_store_comes_out_again(sealed: Sealed) -> None:
    with Source(sealed.config.data_dir, sealed.keys) as source:
        outcomes = list(recompute_many(map(source.dossier, source.indices("vehicle"))))
    assert len(outcomes) == len(sealed.records) > 10
    assert told(outcomes) == []
    assert [o.gross_kg for o in outcomes] == [r.body["gross_kg"] for r in sealed.records]


def test_a_bundle_alone_is_enough(dossier: Dossier) -> None:
    outcome = recompute(dossier_of(unpack(export(dossier))))
    assert outcome.equal
    assert outcome.gross_kg == dossier.body["gross_kg"]
    assert outcome.notes == ()


def sealed_as(dossier: Dossier, **changes: Any) -> Dossier:
    """The same, had the station sealed other values."""
    body = parse_canonical(dossier.main.envelope.record_bytes) | changes
    envelope = replace(dossier.main.envelope, record_bytes=canonical(body))
    return replace(dossier, main=Statement(envelope))


@pytest.mark.parametrize("field", ["gross_kg", "u_gross_kg", "speed_mm_s", "configuration"])
def test_a_number_that_does_not_come_out_is_named(dossier: Dossier, field: str) -> None:
    value = dossier.body[field]
    other = value + 1 if isinstance(value, int) else f"{value}+1"
    outcome = recompute(sealed_as(dossier, **{field: other}))
    assert [(d.where, d.sealed, d.found) for d in outcome.differences] == [(field, other, value)]


def test_a_wheel_and_a_limit_that_do_not_come_out_are_named(dossier: Dossier) -> None:
    axles = json.loads(json.dumps(dossier.body["axles"]))
    axles[1]["left_kg"] += 7
    verdict = dossier.body["verdict"] | {"limit_kg": 1}
    outcome = recompute(sealed_as(dossier, axles=axles, verdict=verdict))
    assert [d.where for d in outcome.differences] == ["axles[1].left_kg", "verdict.limit_kg"]


def test_another_program_is_named_but_may_give_the_same(dossier: Dossier) -> None:
    software = dossier.body["software"] | {"version": "0.0.9", "sha256": "ab" * 32}
    outcome = recompute(sealed_as(dossier, software=software))
    assert outcome.equal
    assert "0.0.9" in outcome.notes[0].en
    assert "ab" * 32 in outcome.notes[0].zh


def without(dossier: Dossier, sha256: str) -> Dossier:
    return replace(dossier, blobs={k: v for k, v in dossier.blobs.items() if k != sha256})


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("station file", ("configuration_sha256",)),
        ("calibration certificate", ("calibration", "sha256")),
        ("rule pack", ("verdict", "pack_sha256")),
        ("raw signal", ("blobs", 0, "sha256")),
    ],
)
def test_a_missing_file_is_named_with_its_hash(
    dossier: Dossier, name: str, where: tuple[str | int, ...]
) -> None:
    sha256: Any = dossier.body
    for key in where:
        sha256 = sha256[key]
    outcome = recompute(without(dossier, sha256))
    assert not outcome.equal
    assert outcome.problem is not None
    assert name in outcome.problem.en
    assert sha256 in outcome.problem.zh


def test_dynamics_that_are_missing_are_named(dossier: Dossier) -> None:
    outcome = recompute(sealed_as(dossier, dynamics={"version": 9, "sha256": "cd" * 32}))
    assert outcome.problem is not None
    assert "cd" * 32 in outcome.problem.en


def test_other_records_are_not_weighed(sealed: Sealed) -> None:
    outcome = recompute(sealed.dossier(0))
    assert outcome.problem is not None
    assert not outcome.equal


def test_a_flag_that_a_clip_can_show_is_not_taken_from_the_record(dossier: Dossier) -> None:
    assert "WHEEL_OFF" not in dossier.body["flags"]
    flags = [*dossier.body["flags"], "WHEEL_OFF"]
    outcome = recompute(sealed_as(dossier, flags=flags))
    assert "flags" in outcome.differences[0].where


def test_the_command_says_what_differs(sealed: Sealed, dossier: Dossier, tmp_path: Path) -> None:
    path, runner = tmp_path / "b.zip", CliRunner()
    path.write_bytes(export(sealed_as(dossier, gross_kg=1)))
    said = runner.invoke(main, ["recompute", str(path)])
    assert said.exit_code == 6
    assert "gross_kg" in said.output
    store = runner.invoke(main, ["recompute", str(sealed.config.data_dir), str(sealed.case.index)])
    assert store.exit_code == 0, store.output
    assert "steelyard verify" in store.output, "equal numbers prove no signature"
    other = runner.invoke(main, ["recompute", str(sealed.config.data_dir), "0"])
    assert (other.exit_code, "不是车辆" in other.output) == (2, True)


def test_a_vehicle_without_a_weight_is_recomputed_too(
    dossier: Dossier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(export(dossier))
    equal = Recomputed(dossier.main.index, None)
    monkeypatch.setattr("edge.bundle.recompute.recompute", lambda _dossier: equal)
    said = CliRunner().invoke(main, ["recompute", str(path)])
    assert (said.exit_code, "None" in said.output) == (0, False)


# ------------------------------------------------------------------------------------- astride


def toml(value: Any) -> str:
    """A value as TOML writes it on one line."""
    if isinstance(value, Mapping):
        said = (f"{key} = {toml(item)}" for key, item in value.items() if item is not None)
        return "{ " + ", ".join(said) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def test_vehicles_astride_and_without_a_certificate_come_out_again(tmp_path: Path) -> None:
    made = CONDITIONS["straddle"].world(strips(4, lanes=4), 31, 6)
    model = made.station.model.model_dump(mode="json")
    path = tmp_path / "station.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in model.items()))
    made.recording(tmp_path / "recording", made.last_leave_s() + 10.0)
    config = load_station(path)
    vehicles = list(replay_vehicles(tmp_path / "recording", config, progress=lambda _: None))

    async def seal() -> None:
        async with opened(tmp_path / "data") as store:
            scale = made.scenario.electronics.newton_per_count
            await sealed_by_clerk(store, config, vehicles, scale)
            await store.put_blob(config.raw, "station_file", "application/toml")

    asyncio.run(seal())
    with Source(tmp_path / "data", Keys("")) as source:
        outcomes = list(recompute_many(map(source.dossier, source.indices("vehicle"))))
    assert told(outcomes) == []
    assert sum(len(v.passage.lanes) > 1 for v in vehicles) >= 3
    assert any(Flag.STRADDLING.name in str(note) for o in outcomes for note in o.notes)
