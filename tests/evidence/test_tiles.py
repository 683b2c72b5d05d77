"""The published log can be followed from its files alone, by the words of C2SP tlog-tiles."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InputError, IntegrityError
from edge.evidence.note import Checkpoint, NoteVerifier
from edge.evidence.statement import other_draft
from edge.evidence.tiles import entry_bundle, number_path, tiles_of
from edge.store.tiles import write_tiles
from tests.evidence.sample import opened, station_signer


def published(directory: Path, store: Path) -> tuple[Checkpoint, list[bytes]]:
    """Checkpoint and records, every hash on the way checked as a stranger would."""
    note = (directory / "checkpoint").read_text()
    checkpoint = Checkpoint.parse(NoteVerifier(station_signer(store).verifier_key).verify(note))
    entries: list[bytes] = []
    below: list[bytes] = []
    for tile in tiles_of(checkpoint.size):
        data = (directory / tile.path).read_bytes()
        hashes = [data[i : i + 32] for i in range(0, len(data), 32)]
        assert len(hashes) == tile.width
        if tile.level == 0:
            bundle = unbundled((directory / tile.entries_path).read_bytes())
            assert [hashlib.sha256(b"\0" + entry).digest() for entry in bundle] == hashes
            entries += bundle
        if tile.number == 0:
            above = below[:]
            below = []
        if tile.level > 0:
            assert hashes == above[tile.first : tile.first + tile.width]
        if tile.width == 256:
            below.append(root(hashes))
    assert root([hashlib.sha256(b"\0" + entry).digest() for entry in entries]) == checkpoint.root
    return checkpoint, entries


def root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    cut = 1 << (len(hashes) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(hashes[:cut]) + root(hashes[cut:])).digest()


def unbundled(data: bytes) -> list[bytes]:
    entries = []
    while data:
        length = int.from_bytes(data[:2], "big")
        entries.append(data[2 : 2 + length])
        data = data[2 + length :]
    return entries


async def grow(directory: Path, records: int) -> list[bytes]:
    async with opened(directory) as store:
        drafts = [other_draft("note", time_ns=n, fields={"n": n}) for n in range(records)]
        sealed = await asyncio.gather(*map(store.append, drafts))
    return [record.canonical for record in sealed]


def test_a_stranger_follows_the_log_while_it_grows(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "tiles"
    expected: list[bytes] = []
    for more in (1, 254, 1, 1, 400):
        expected += asyncio.run(grow(store, more))
        shares: list[float] = []
        write_tiles(store, out, shares.append)
        checkpoint, entries = published(out, store)
        assert sorted(entries) == sorted(expected)
        assert checkpoint.size == len(expected)
        assert shares[-1] == 1.0


def test_full_tiles_are_written_once(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "tiles"
    asyncio.run(grow(store, 300))
    write_tiles(store, out, lambda _: None)
    full = out / "tile/0/000"
    before = full.stat().st_ino
    asyncio.run(grow(store, 10))
    write_tiles(store, out, lambda _: None)
    assert full.stat().st_ino == before
    assert (out / "tile/0/001.p/54").exists()


def test_no_store_no_record_and_a_hole_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store"):
        write_tiles(tmp_path, tmp_path / "out", lambda _: None)
    store = tmp_path / "store"
    asyncio.run(grow(store, 0))
    with pytest.raises(InputError, match="no record"):
        write_tiles(store, tmp_path / "out", lambda _: None)


def test_a_missing_record_is_told(tmp_path: Path) -> None:

    store = tmp_path / "store"
    asyncio.run(grow(store, 3))
    connection = sqlite3.connect(store / "station.db")
    with connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("DROP TRIGGER records_no_delete")
        connection.execute("DELETE FROM records WHERE idx = 1")
    connection.close()
    with pytest.raises(IntegrityError, match="tile/0/000"):
        write_tiles(store, tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out/checkpoint").exists()


@given(st.integers(0, 10**9 - 1))
def test_numbers_become_paths_and_back(number: int) -> None:
    parts = number_path(number).split("/")
    assert all(part.startswith("x") for part in parts[:-1])
    assert int("".join(part.removeprefix("x") for part in parts)) == number
    assert number_path(1234067) == "x001/x234/067"


@pytest.mark.parametrize(
    ("size", "full", "partial"),
    [
        (70_000, {0: 273, 1: 1}, {0: 112, 1: 17, 2: 1}),
        (256, {0: 1}, {1: 1}),
        (0, {}, {}),
    ],
)
def test_tiles_of_the_examples_of_the_standard(
    size: int, full: dict[int, int], partial: dict[int, int]
) -> None:
    tiles = list(tiles_of(size))
    for level in {tile.level for tile in tiles}:
        widths = [tile.width for tile in tiles if tile.level == level]
        assert widths.count(256) == full.get(level, 0)
        assert [w for w in widths if w < 256] == ([partial[level]] if level in partial else [])
    assert {tile.level for tile in tiles} == full.keys() | partial.keys()


def test_an_entry_too_long_for_two_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="65536"):
        entry_bundle([b"x" * 65_536])
