"""Pictures in a real directory: whole, growing, foreign, hostile."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from edge.records import Picture
from edge.sources.pictures import MAX_PICTURE_BYTES, PictureFolder, sweep_pictures
from tests.standstill import stand_still

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40 + b"\xff\xd9"


def take(
    folder: Path,
    reference: str,
    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None,
    wait_s: float = 0.3,
) -> tuple[Picture | None, Counter[str]]:
    """What becomes of a reference while something else goes on in the directory."""
    counters: Counter[str] = Counter()

    async def scenario() -> Picture | None:
        pictures = PictureFolder(folder, lambda name: counters.update([name]))
        other = asyncio.create_task(meanwhile()) if meanwhile else None
        picture = await pictures.take(reference, asyncio.get_running_loop().time() + wait_s)
        if other:
            await other
        return picture

    return asyncio.run(scenario()), counters


def test_a_picture_is_hashed_as_it_arrived(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEG)
    picture, counters = take(tmp_path, "a.jpg")
    assert picture is not None
    assert picture.sha256 == hashlib.sha256(JPEG).hexdigest()
    assert (picture.reference, picture.size_bytes) == ("a.jpg", len(JPEG))
    assert Path(picture.path).read_bytes() == JPEG
    assert counters == {"pictures": 1}


def test_a_picture_that_came_while_the_machine_stood_still_is_taken(tmp_path: Path) -> None:
    async def camera() -> None:
        await asyncio.sleep(0.1)
        stand_still(0.5)
        (tmp_path / "a.jpg").write_bytes(JPEG)

    assert take(tmp_path, "a.jpg", camera)[1] == {"pictures": 1}


def test_a_picture_renamed_into_place_is_waited_for(tmp_path: Path) -> None:
    async def camera() -> None:
        (tmp_path / "a.tmp").write_bytes(JPEG)
        await asyncio.sleep(0.1)
        (tmp_path / "a.tmp").rename(tmp_path / "a.jpg")

    picture, _ = take(tmp_path, "a.jpg", camera)
    assert picture is not None
    assert picture.sha256 == hashlib.sha256(JPEG).hexdigest()


def test_a_picture_that_grows_is_taken_whole(tmp_path: Path) -> None:
    """The end mark also stands inside (a thumbnail); only rest and mark together are the end."""
    data = JPEG + JPEG + JPEG

    async def camera() -> None:
        with (tmp_path / "a.jpg").open("wb", buffering=0) as file:
            for start in range(0, len(data), 3000):
                file.write(data[start : start + 3000])
                await asyncio.sleep(0.01)

    picture, _ = take(tmp_path, "a.jpg", camera, wait_s=1.0)
    assert picture is not None
    assert picture.size_bytes == len(data)


@pytest.mark.parametrize(
    "reference",
    [
        "../secret.jpg",
        "sub/secret.jpg",
        "/etc/hostname",
        "..",
        ".",
        ".hidden.jpg",
        "a\\b.jpg",
        "a\x00.jpg",
        "a\n.jpg",
        "",
        "x" * 129,
    ],
)
def test_a_reference_that_is_no_plain_name_is_refused(tmp_path: Path, reference: str) -> None:
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for path in (tmp_path / "secret.jpg", folder / "sub" / "secret.jpg", folder / ".hidden.jpg"):
        path.write_bytes(JPEG)
    picture, counters = take(folder, reference, wait_s=0.05)
    assert picture is None
    assert counters == {"pictures_refused": 1}


def link_outside(folder: Path) -> None:
    outside = folder.parent / "outside.jpg"
    outside.write_bytes(JPEG)
    (folder / "a.jpg").symlink_to(outside)


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "cut off": lambda d: (d / "a.jpg").write_bytes(JPEG[:-2]),
    "no JPEG": lambda d: (d / "a.jpg").write_bytes(b"GIF89a" + JPEG[2:]),
    "empty": lambda d: (d / "a.jpg").write_bytes(b""),
    "too large": lambda d: (d / "a.jpg").write_bytes(
        b"\xff\xd8" + bytes(MAX_PICTURE_BYTES) + b"\xff\xd9"
    ),
    "link": link_outside,
    "directory": lambda d: (d / "a.jpg").mkdir(),
    "pipe": lambda d: os.mkfifo(d / "a.jpg"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_no_whole_picture_is_left(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    UNUSABLE[kind](folder)
    picture, counters = take(folder, "a.jpg", wait_s=0.05)
    assert picture is None
    assert counters == {"pictures_unusable": 1}


def test_a_picture_of_just_the_largest_size_is_taken(tmp_path: Path) -> None:
    data = b"\xff\xd8" + bytes(MAX_PICTURE_BYTES - 4) + b"\xff\xd9"
    (tmp_path / "a.jpg").write_bytes(data)
    picture, _ = take(tmp_path, "a.jpg", wait_s=1.0)
    assert picture is not None
    assert picture.size_bytes == MAX_PICTURE_BYTES


def test_a_picture_that_never_comes_is_not_waited_for_longer(tmp_path: Path) -> None:
    picture, counters = take(tmp_path / "nowhere", "a.jpg", wait_s=0.1)
    assert picture is None
    assert counters == {"pictures_missing": 1}


def test_sweeping_takes_old_pictures_and_nothing_else(tmp_path: Path) -> None:
    for name in ("old.jpg", "old.jpeg", "old.txt", "new.jpg"):
        (tmp_path / name).write_bytes(b"x")
        if name.startswith("old"):
            os.utime(tmp_path / name, (1_000, 1_000))
    (tmp_path / "link.jpg").symlink_to(tmp_path / "old.txt")
    assert sweep_pictures(tmp_path, 2_000) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"old.txt", "new.jpg", "link.jpg"}
    assert sweep_pictures(tmp_path / "none", 2_000) == 0
