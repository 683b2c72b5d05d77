"""Blobs in pieces at the centre: resumed after a kill, shared by stations, bounded, never wrong."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.records import Blob
from edge.uplink.blobs import BlobState, Manifest
from edge.uplink.topics import Topics
from simulator import case_blobs
from tests.station.case_desk import STATION, TOPICS, Desk, StationLog

OTHER = Topics("S2")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with contextlib.closing(Desk(tmp_path / "centre")) as desk:
        yield desk


def manifest_of(data: bytes, chunk: int = 1_000) -> Manifest:
    pieces = [data[i : i + chunk] for i in range(0, len(data), chunk)]
    hashes = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    return Manifest(hashlib.sha256(data).hexdigest(), len(data), chunk, hashes)


def offer(desk: Desk, manifest: Manifest, topics: Topics = TOPICS) -> BlobState | None:
    return desk.blob(topics.manifest(manifest.sha256), manifest.encode())


def send(
    desk: Desk, manifest: Manifest, data: bytes, number: int, topics: Topics = TOPICS
) -> BlobState | None:
    start = number * manifest.chunk_bytes
    piece = data[start : start + manifest.chunk_bytes]
    return desk.blob(topics.chunk(manifest.sha256, number), piece)


def partial_files(desk: Desk) -> list[Path]:
    return [path for path in (desk.directory / "partial").rglob("*") if path.is_file()]


def test_a_blob_comes_in_any_order_and_more_than_once(desk: Desk) -> None:
    data = os.urandom(9_500)
    manifest = manifest_of(data)
    assert offer(desk, manifest) == BlobState(manifest.sha256, "missing", ((0, 9),))
    for number in (3, 1, 1, 0, 3, 9, 8, 7, 5):
        assert send(desk, manifest, data, number) is None
    assert offer(desk, manifest) == BlobState(manifest.sha256, "missing", ((2, 2), (4, 4), (6, 6)))
    assert send(desk, manifest, data, 2) is None
    assert send(desk, manifest, data, 4) is None
    assert send(desk, manifest, data, 6) == BlobState(manifest.sha256, "complete")
    assert desk.kept(manifest.sha256) == data
    assert partial_files(desk) == []
    assert desk.store.bytes_of(STATION) == len(data)


def test_an_empty_blob_is_whole_with_its_manifest(desk: Desk) -> None:
    manifest = manifest_of(b"")
    assert offer(desk, manifest) == BlobState(manifest.sha256, "complete")
    assert desk.kept(manifest.sha256) == b""


def test_a_transfer_goes_on_after_the_centre_was_killed(desk: Desk) -> None:
    data = os.urandom(20_000)
    manifest = manifest_of(data)
    offer(desk, manifest)
    for number in range(0, 20, 2):
        send(desk, manifest, data, number)
    desk.close()
    part = desk.directory / "partial" / STATION / f"{manifest.sha256}.part"
    with part.open("r+b") as file:  # what a power cut may do to bytes that were not synced
        file.seek(4_500)
        file.write(bytes(10))
    with contextlib.closing(Desk(desk.directory)) as again:
        state = offer(again, manifest)
        assert state
        assert sorted(state.numbers(20)) == sorted([*range(1, 20, 2), 4])
        for number in state.numbers(20):
            last = send(again, manifest, data, number)
        assert last == BlobState(manifest.sha256, "complete")


def test_pieces_that_come_before_their_manifest_ask_for_it(desk: Desk) -> None:
    data = os.urandom(3_000)
    manifest = manifest_of(data)
    assert send(desk, manifest, data, 0) == BlobState(manifest.sha256, "missing")
    assert partial_files(desk) == []


def test_what_one_station_brought_serves_another(desk: Desk) -> None:
    data = os.urandom(3_000)
    manifest = manifest_of(data)
    offer(desk, manifest)
    for number in range(3):
        send(desk, manifest, data, number)
    assert offer(desk, manifest, OTHER) == BlobState(manifest.sha256, "complete")
    assert desk.store.bytes_of("S2") == 0


def test_two_stations_bring_the_same_blob_at_once(desk: Desk) -> None:
    data = os.urandom(3_000)
    manifest = manifest_of(data)
    offer(desk, manifest)
    offer(desk, manifest, OTHER)
    for number in (0, 1):
        send(desk, manifest, data, number)
        send(desk, manifest, data, number, OTHER)
    assert send(desk, manifest, data, 2, OTHER) == BlobState(manifest.sha256, "complete")
    assert send(desk, manifest, data, 2) == BlobState(manifest.sha256, "complete")
    assert desk.kept(manifest.sha256) == data
    assert partial_files(desk) == []


def test_a_damaged_piece_is_asked_for_again(desk: Desk) -> None:
    data = os.urandom(3_000)
    manifest = manifest_of(data)
    offer(desk, manifest)
    wrong = bytearray(data)
    wrong[1_500] ^= 1
    assert send(desk, manifest, bytes(wrong), 1) == BlobState(manifest.sha256, "missing", ((0, 2),))
    assert desk.blob(TOPICS.chunk(manifest.sha256, 2), b"short") is not None
    assert desk.count("chunks_damaged") == 2


def test_a_manifest_that_lies_keeps_no_honest_blob_out(desk: Desk) -> None:
    """All its pieces fit, but the whole has not its name; an honest one then replaces it."""
    data, lie = os.urandom(3_000), os.urandom(3_000)
    honest = manifest_of(data)
    liar = Manifest(honest.sha256, 3_000, 1_000, manifest_of(lie).chunks)
    offer(desk, liar)
    offer(desk, honest, OTHER)
    for number in range(3):
        assert send(desk, honest, data, number, OTHER) is None or number == 2
        last = send(desk, liar, lie, number)
    assert last == BlobState(honest.sha256, "complete")  # by the other station's bytes
    assert desk.kept(honest.sha256) == data
    assert desk.count("blobs_lied") == 1
    again = os.urandom(2_000)
    honest = manifest_of(again)
    offer(desk, Manifest(honest.sha256, 2_000, 1_000, manifest_of(os.urandom(2_000)).chunks))
    assert offer(desk, honest) == BlobState(honest.sha256, "missing", ((0, 1),))
    send(desk, honest, again, 0)
    assert send(desk, honest, again, 1) == BlobState(honest.sha256, "complete")


@pytest.mark.parametrize("lie", [b"", b"{}", b"[1]", b"\xff", b'{"schema":' * 5_000])
def test_what_is_no_manifest_is_counted(desk: Desk, lie: bytes) -> None:
    assert desk.blob(TOPICS.manifest("a" * 64), lie) is None
    assert desk.count("manifests_bad") == 1


def test_a_manifest_of_another_blob_is_not_taken(desk: Desk) -> None:
    assert desk.blob(TOPICS.manifest("a" * 64), manifest_of(b"x").encode()) is None


def test_unfinished_blobs_have_a_bound_for_each_station(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_blobs, "MOST_BYTES", 10_000)
    held = os.urandom(2_000)
    offer(desk, manifest_of(held), OTHER)
    send(desk, manifest_of(held), held, 0, OTHER)
    for n in range(30):
        data = bytes([n]) * 2_000
        offer(desk, manifest_of(data))
        send(desk, manifest_of(data), data, 0)
    own = [path for path in partial_files(desk) if path.parent.name == STATION]
    assert len(own) == 2 * 5
    assert sum(path.stat().st_size for path in own) <= 12_000
    assert desk.count("partial_dropped") == 25
    assert send(desk, manifest_of(held), held, 1, OTHER) is not None  # another is not displaced
    too_large = Manifest("b" * 64, 20_000, 10_000, ("c" * 64, "d" * 64))
    assert offer(desk, too_large) is None


def test_bounds_on_hashes_and_on_the_number_of_blobs(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(case_blobs, "MOST_CHUNKS", 10)
    monkeypatch.setattr(case_blobs, "MOST_BLOBS", 3)
    for n in range(6):
        offer(desk, manifest_of(bytes([n]) * 4, chunk=1))
    assert len(partial_files(desk)) == 2 * 2
    for n in range(6):
        offer(desk, manifest_of(bytes([9, n]), chunk=2))
    assert len(partial_files(desk)) == 2 * 3


def test_a_blob_that_was_whole_at_the_kill_is_whole_after_it(desk: Desk) -> None:
    data = os.urandom(3_000)
    manifest = manifest_of(data)
    offer(desk, manifest)
    for number in range(3):
        send(desk, manifest, data, number)
    desk.close()
    with contextlib.closing(Desk(desk.directory)) as again:
        assert offer(again, manifest) == BlobState(manifest.sha256, "complete")
        assert again.kept(manifest.sha256) == data


def test_a_name_that_was_given_just_before_a_kill_is_on_the_disk_before_the_receipt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, log = os.urandom(3_000), StationLog()
    manifest = manifest_of(data)
    offer(desk, manifest)
    for number in range(3):
        send(desk, manifest, data, number)
    assert desk.kept(manifest.sha256) == data  # it has its name, and nobody relied on that
    desk.close()
    synced: list[Path] = []
    with contextlib.closing(Desk(desk.directory)) as again:
        monkeypatch.setattr(case_blobs, "sync_directory", synced.append)
        again.trusts(log)
        log.append(blobs=(Blob("picture", "image/jpeg", manifest.sha256, len(data)),))
        [receipt] = again.receipts(TOPICS.record, log.envelope().encode())
        assert receipt.status == "stored"
        assert again.store.blobs.path(manifest.sha256).parent in synced


def test_random_orders_losses_and_kills_end_with_the_bytes(desk: Desk) -> None:
    rng = random.Random(7)
    data = rng.randbytes(40_000)
    manifest = manifest_of(data)
    current = desk
    for _ in range(12):
        state = offer(current, manifest)
        assert state
        wanted = list(state.numbers(len(manifest.chunks)))
        for number in rng.sample(wanted, len(wanted)):
            if rng.random() < 0.4:
                send(current, manifest, data, number)
        current.close()
        current = Desk(desk.directory)
    with contextlib.closing(current):
        while (state := offer(current, manifest)) and state.state == "missing":
            for number in state.numbers(len(manifest.chunks)):
                send(current, manifest, data, number)
        assert current.kept(manifest.sha256) == data
