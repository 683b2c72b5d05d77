"""The second reader: a real process that answers, dawdles, babbles or dies; it only adds doubt."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from edge.records import PlateRead
from edge.sources import second_opinion
from edge.sources.second_opinion import SecondOpinion
from simulator.camera import _font

READER = """
import json, signal, sys
for line in sys.stdin:
    path = line.rstrip("\\n")
    {body}
    print(json.dumps({{"path": path, "texts": {texts}}}), flush=True)
"""


def reader(texts: list[str], body: str = "pass") -> tuple[str, ...]:
    return sys.executable, "-c", READER.format(body=body, texts=texts)


def read_of(text: str) -> PlateRead:
    return PlateRead("C1", "1", text, text, "yellow", 0.99, "", 0, 0, 0)


def with_reader(
    command: tuple[str, ...], scenario: Callable[[SecondOpinion, Counter[str]], Awaitable[None]]
) -> Counter[str]:
    counted: Counter[str] = Counter()

    async def run() -> None:
        opinion = SecondOpinion(command)
        try:
            async with asyncio.timeout(60):
                await scenario(opinion, counted)
        finally:
            await opinion.close()

    asyncio.run(run())
    return counted


async def answered(
    opinion: SecondOpinion, read: PlateRead, counted: Counter[str], path: str = "a.jpg"
) -> PlateRead:
    """The opinion of a reader that has had the time to start."""
    async with asyncio.timeout(60):
        while True:
            late = counted["second_late"]
            found = await opinion.on(read, path, lambda name: counted.update([name]))
            if counted["second_late"] == late and not counted["second_busy"]:
                return found
            counted["second_busy"] = 0
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "texts", "disagrees"),
    [
        ("冀B12345", ["冀B·12345"], False),  # the same plate
        ("冀B12345", ["冀B12346"], True),
        ("冀B12345", ["/B1234S", "km/h 63"], False),  # no plate: no opinion
        ("冀B12345", [], False),
        ("冀B12345", ["冀B99999", "冀B12345"], False),  # another lorry stands behind
        ("冀B12045", ["冀BI2O45"], False),  # I and O are not issued
        ("翼B12345", ["冀B12345"], True),
    ],
)
def test_it_only_ever_adds_a_doubt(text: str, texts: list[str], disagrees: bool) -> None:
    async def scenario(opinion: SecondOpinion, counted: Counter[str]) -> None:
        read = read_of(text)
        found = await answered(opinion, read, counted)
        assert (found.text, found.confidence) == (read.text, read.confidence)
        assert found.doubts == (("second-opinion",) if disagrees else ())
        assert found.could_be == ((texts[0],) if disagrees else ())
        assert replace(found, doubts=(), could_be=()) == read

    with_reader(reader(texts), scenario)


def test_nobody_is_asked_about_no_plate() -> None:
    async def scenario(opinion: SecondOpinion, counted: Counter[str]) -> None:
        read = read_of("")
        assert await opinion.on(read, "a.jpg", lambda name: counted.update([name])) == read
        assert opinion._process is None

    assert not with_reader(reader([]), scenario)


def test_a_dawdler_is_not_waited_for_and_its_queue_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_opinion, "STUCK_S", 600.0)

    async def scenario(opinion: SecondOpinion, counted: Counter[str]) -> None:
        read = read_of("冀B12345")
        found = await asyncio.gather(
            *(opinion.on(read, f"{n}.jpg", lambda c: counted.update([c])) for n in range(12))
        )
        assert list(found) == [read] * 12

    counted = with_reader(reader(["冀B99999"], "signal.pause()"), scenario)
    assert counted == {"second_asked": 8, "second_late": 8, "second_busy": 4}


@pytest.mark.parametrize(
    "body", ["sys.exit(1)", "print('babble', flush=True)", "print([1], flush=True)"]
)
def test_one_that_fails_rests_and_starts_again(monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setattr(second_opinion, "REST_S", 0.05)

    async def scenario(opinion: SecondOpinion, counted: Counter[str]) -> None:
        read = read_of("冀B12345")
        for _ in range(3):
            assert await opinion.on(read, "a.jpg", lambda name: counted.update([name])) == read
            while (serving := opinion._listening) is None or not serving.done():
                await asyncio.sleep(0.01)
            assert opinion._process is None
            await asyncio.sleep(0.1)

    counted = with_reader(reader([], body), scenario)
    assert counted["second_late"] == 3


@pytest.mark.skipif(
    not SecondOpinion.is_there(), reason="left out: the extra ocr (rapidocr) is not installed"
)
def test_the_real_reader_reads_drawn_plates(tmp_path: Path) -> None:
    font = _font(64)
    assert hasattr(font, "path"), "Debian package fonts-wqy-microhei is not installed"

    async def scenario(opinion: SecondOpinion, counted: Counter[str]) -> None:
        plates = ("冀B12345", "豫A7K908", "晋K123B挂")
        for number, plate in enumerate(plates):
            picture = Image.new("RGB", (440, 140), "#f2b705")
            ImageDraw.Draw(picture).text((220, 70), plate, fill="#111", font=font, anchor="mm")
            path = tmp_path / f"{number}.jpg"
            picture.save(path)
            right, wrong = read_of(plate), read_of(plates[number - 1])
            assert (await answered(opinion, right, counted, str(path))).doubts == ()
            doubted = await answered(opinion, wrong, counted, str(path))
            assert (doubted.doubts, doubted.could_be) == (("second-opinion",), (plate,))

    with_reader((), scenario)
