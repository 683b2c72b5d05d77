"""The clerk over a real store: blobs first, doubts follow, a full disk costs no vehicle."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from edge import clerk as module
from edge.clerk import Clerk
from edge.config import load_station
from edge.errors import StoreError
from edge.evidence.identity import software_identity
from edge.health import Health
from edge.records import (
    Draft,
    Flag,
    Gains,
    JoinKind,
    Picture,
    PlateDoubt,
    PlateJoin,
    Record,
    Vehicle,
)
from edge.rules.pack import RulePack
from edge.store.signal import decode_clip
from edge.store.store import Store
from tests.evidence.sample import opened
from tests.unit.test_config import GOOD
from tests.unit.test_statement import READ, vehicle

JPEG = b"\xff\xd8 a picture \xff\xd9"


def lawful() -> Vehicle:
    """A vehicle that nothing speaks against."""
    return dataclasses.replace(vehicle(gross_kg=12_000.0), flags=Flag.NONE)


def pictured(path: Path) -> Vehicle:
    path.write_bytes(JPEG)
    picture = Picture("p.jpg", str(path), hashlib.sha256(JPEG).hexdigest(), len(JPEG))
    read = dataclasses.replace(READ, picture=picture)
    return vehicle(join=PlateJoin(JoinKind.READ, read, (read,), (0,), ""))


async def seal_all(
    store: Store, directory: Path, *statements: Vehicle | PlateDoubt, health: Health | None = None
) -> list[Record]:
    """Hand everything to a clerk and let it end."""
    station_file = directory / "station.toml"
    station_file.write_text(GOOD)
    config = load_station(station_file)
    sealed: list[Record] = []
    clerk = Clerk(
        config,
        store,
        RulePack.parse(config.pack_bytes()),
        health or Health(lambda: 0),
        software=software_identity(),
        gains=lambda device: Gains(np.ones(4), np.full(4, 0.01), certificate_id="K1"),
        on_sealed=sealed.append,
    )
    for statement in statements:
        clerk.hand(statement)
    clerk.end()
    await clerk.run()
    return sealed


def test_the_raw_signal_of_every_vehicle_is_kept_but_only_a_case_sends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            case, fine = await seal_all(store, tmp_path, vehicle(), lawful())
            assert [b.deliver for b in case.blobs] == [True]
            assert [b.deliver for b in fine.blobs] == [False]
            stored = store.blob_path(fine.blobs[0].sha256).read_bytes()
            clip = decode_clip([stored])
            assert np.array_equal(clip.counts, lawful().passage.clip.counts)
            assert (case.urgent, fine.urgent) == (True, False)

    asyncio.run(scenario())


def test_a_picture_goes_into_the_store_as_it_arrived(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            (record,) = await seal_all(store, tmp_path, pictured(tmp_path / "p.jpg"))
            (picture,) = [b for b in record.blobs if b.role == "picture"]
            assert store.blob_path(picture.sha256).read_bytes() == JPEG

    asyncio.run(scenario())


@pytest.mark.parametrize("defect", ["gone", "changed"])
def test_a_picture_that_is_not_what_arrived_is_no_evidence(tmp_path: Path, defect: str) -> None:
    health = Health(lambda: 0)

    async def scenario() -> Record:
        path = tmp_path / "p.jpg"
        one = pictured(path)
        path.write_bytes(b"\xff\xd8 another \xff\xd9") if defect == "changed" else path.unlink()
        async with opened(tmp_path) as store:
            (record,) = await seal_all(store, tmp_path, one, health=health)
        return record

    record = asyncio.run(scenario())
    assert {b.role for b in record.blobs} == {"signal"}
    assert health.snapshot().counters[f"clerk.pictures_{defect}"] == 1


def test_a_doubt_follows_the_record_that_it_sets_right(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(tmp_path) as store:
            first = vehicle()
            join = PlateJoin(JoinKind.AMBIGUOUS, None, (READ,), (5,), "fits-two-vehicles")
            doubt = PlateDoubt(first.time_ns, first.passage.key, join)
            record, correction = await seal_all(store, tmp_path, first, doubt)
            assert correction.kind == "correction"
            assert correction.body["corrects"] == record.index
            assert correction.body["corrects_record_id"] == record.record_id
            assert correction.body["plate"]["join"] == "ambiguous"
            assert correction.urgent == record.urgent
            assert READ.text in str(correction.body["plate"])
            assert READ.text.encode() not in correction.canonical, "it could never be erased"
            assert record.body["plate"]["text"] == READ.text
            assert (await store.record(record.index)) == record

    asyncio.run(scenario())


def test_a_store_that_refuses_for_a_while_loses_no_vehicle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    refusals = iter(range(3))
    health = Health(lambda: 0)

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            append = store.append

            async def full(draft: Draft) -> Record:
                if next(refusals, None) is not None:
                    raise StoreError("磁盘满", "disk full")
                return await append(draft)

            monkeypatch.setattr(store, "append", full)
            records = await seal_all(store, tmp_path, vehicle(), lawful(), health=health)
            assert [r.index for r in records] == [0, 1]

    asyncio.run(scenario())
    assert health.snapshot().counters["clerk.store_refused"] == 3


def test_a_vehicle_that_can_not_be_sealed_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    health = Health(lambda: 0)
    good = vehicle()
    clip = dataclasses.replace(good.passage.clip, counts=good.passage.clip.counts[:0])
    bad = dataclasses.replace(good, passage=dataclasses.replace(good.passage, clip=clip))

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            sealed = await seal_all(store, tmp_path, bad, good, health=health)
            assert [record.index for record in sealed] == [0]

    asyncio.run(scenario())
    snapshot = health.snapshot()
    assert snapshot.counters["clerk.defects"] == 1
    assert "without samples" in snapshot.states["clerk"].text.en
    assert "without samples" in caplog.text


def test_vehicles_wait_on_the_disk_while_the_database_is_recovered(tmp_path: Path) -> None:
    """They are sealed once, in their order, before those that came later; a crash loses none."""

    async def scenario() -> None:
        async with opened(tmp_path) as store:
            store._damage = "for this test"  # as note_damage does, without the healing
            doubt = PlateDoubt(1, vehicle().passage.key, vehicle().join)
            assert await seal_all(store, tmp_path, lawful(), vehicle(), doubt) == []
            assert (store.size, len(store.waiting)) == (0, 2)
        async with opened(tmp_path) as store:
            twice = store.waiting.oldest()
            assert twice is not None
            await store.append_many([twice])  # sealed, then killed before its file was removed
            *_, last = await seal_all(store, tmp_path, vehicle(gross_kg=23_000.0))
            records = await store.latest(kind="vehicle", limit=9)
            assert [r.body["passage"] for r in records] == [3, 2, 1]
            assert (last.index, last.body["gross_kg"], len(store.waiting)) == (2, 23_000, 0)

    asyncio.run(scenario())
