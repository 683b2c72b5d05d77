"""Taps of a running station's lines, of ports, and their playback."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config import ScaleSection
from edge.doctor import examine
from edge.doctor_text import describe
from edge.errors import InputError
from edge.health import Health
from edge.records import ScaleReading
from edge.sources import taps as taps_module
from edge.sources.local_door import SOCKET, LocalDoor, call_station
from edge.sources.scale import Companions, ScaleSource
from edge.sources.taps import Taps
from edge.tapping import TapFile, held_lines, tap_line, through_station
from firmware_bridge.indicators.catalogue import FORMATS
from firmware_bridge.tap_format import Piece, TapHeader, encode_piece
from firmware_bridge.transports import Bits, PortLost
from simulator.lines import PtyLine
from simulator.playback import Playback, Tape, play_tape, read_tape
from tests.station.line_up import LineUp

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "taps").glob("*.tap"))


async def nobody(_command: str, _device: str, _by: str) -> None:
    """No device can be told anything."""


class SmallStation:
    """One scale, its tap and the door, as the station wires them."""

    def __init__(self, section: ScaleSection, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.taps = Taps(time.monotonic_ns, time.time_ns)
        self.health = Health(time.monotonic_ns)
        self.readings: list[ScaleReading] = []
        header = TapHeader(section.url, 0, section.baud, section.data_bits, section.parity)
        tap = self.taps.of(f"scale.{section.id}", header)
        self.source = ScaleSource(section, self.health, time.monotonic_ns, Companions(), tap)
        self.door = LocalDoor(self.taps, data_dir, self.health, nobody)

    async def __aenter__(self) -> SmallStation:
        self._tasks = [
            asyncio.create_task(self.source.run(self.readings.append)),
            asyncio.create_task(self.door.run()),
        ]
        await until(lambda: bool(self.readings) and (self.data_dir / SOCKET).exists())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def until(holds: Callable[[], bool], within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.005)


def section_of(url: str, form: str, **keys: object) -> ScaleSection:
    row = FORMATS[form]
    made = {
        "id": "F1", "url": url, "format": form, "data_bits": row.data_bits, "parity": row.parity,
        "max_kg": 60_000, "division_kg": 20, "stable_for_s": 0.1, "poll_s": 0.05,
    }  # fmt: skip
    return ScaleSection.model_validate(made | keys)


def with_station(
    directory: Path,
    form: str,
    scenario: Callable[[SmallStation, str], Awaitable[None]],
) -> None:
    async def whole() -> None:
        row = FORMATS[form]
        async with LineUp() as devices:
            url = devices.indicator(
                PtyLine(), form, {}, load_kg=12_340, request=row.request({}), parity=row.parity
            )
            async with SmallStation(section_of(url, form), directory) as station:
                await scenario(station, url)

    asyncio.run(whole())


async def some(pieces: object, enough: Callable[[list[Piece]], bool]) -> list[Piece]:
    found: list[Piece] = []
    async with asyncio.timeout(60), aclosing(pieces) as stream:  # type: ignore[type-var]
        async for piece in stream:
            found.append(piece)
            if enough(found):
                break
    return found


def bytes_of(pieces: list[Piece], kind: str) -> bytes:
    return b"".join(piece.payload for piece in pieces if piece.kind == kind)


def test_a_tap_holds_the_very_bytes_while_the_station_weighs_on(tmp_path: Path) -> None:
    async def scenario(station: SmallStation, url: str) -> None:
        pieces = await some(through_station(tmp_path, "scale.F1"), lambda found: len(found) > 20)
        count = len(station.readings)
        heard, sent = bytes_of(pieces, "heard"), bytes_of(pieces, "sent")
        assert heard.count(b"S S    12340.0 kg\r\n") >= 5
        assert sent.count(b"SI\r\n") >= 5
        assert pieces[0].kind == "header"
        told = json.loads(pieces[0].payload)
        assert (told["url"], told["part"]) == (url, "scale.F1")
        assert abs(told["start_utc_ns"] - time.time_ns()) < 60e9
        times = [piece.time_ns for piece in pieces[1:]]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] < 60e9
        await until(lambda: len(station.readings) > count + 3)

    with_station(tmp_path, "sics", scenario)


def test_a_line_is_found_by_its_part_its_id_and_its_path(tmp_path: Path) -> None:
    async def scenario(station: SmallStation, url: str) -> None:
        link = tmp_path / "by-id"
        link.symlink_to(url)
        for name in ("scale.F1", "F1", url, str(link)):
            held: list[TapHeader] = []
            wanted = tap_line(TapHeader(name, 0), tmp_path, held.append)
            await some(wanted, lambda found: len(found) > 2)
            assert [header.part for header in held] == ["scale.F1"]
        with pytest.raises(InputError, match="no line F9"):
            await some(tap_line(TapHeader("F9", 0), tmp_path, lambda _: None), bool)

    with_station(tmp_path, "yaohua", scenario)


def test_the_doctor_only_listens_to_the_stations_lines(tmp_path: Path) -> None:
    async def scenario(station: SmallStation, url: str) -> None:
        async with aclosing(examine([url], tmp_path, lambda *_: None)) as looks:
            (look,) = [look async for look in looks]
        text = "\n".join(describe(look))
        assert "scale.F1" in text
        assert "12,340 kg" in text
        assert station.health.snapshot().counters.get("scale.F1.outages", 0) == 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge.doctor.HELD_LISTEN_S", 3.0)
        with_station(tmp_path, "yaohua", scenario)


def test_the_door_is_its_users_own_and_answers_nonsense_with_silence(tmp_path: Path) -> None:
    async def scenario(station: SmallStation, _: str) -> None:
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
        for question in (b"no json\n", b"[1]\n", b"x" * 5_000 + b"\n", b""):
            line = call_station(tmp_path)
            assert line is not None
            reader, writer = await asyncio.open_unix_connection(sock=line)
            writer.write(question)
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
        assert [header.part for header in await held_lines(tmp_path)] == ["scale.F1"]

    with_station(tmp_path, "yaohua", scenario)


def test_no_station_no_lines_and_a_dead_ones_socket_is_no_hindrance(tmp_path: Path) -> None:
    async def scenario() -> None:
        assert await held_lines(tmp_path) == []
        door = LocalDoor(
            Taps(time.monotonic_ns, time.time_ns), tmp_path, Health(time.monotonic_ns), nobody
        )
        (tmp_path / SOCKET).touch()
        task = asyncio.create_task(door.run())
        await until(lambda: (call := call_station(tmp_path)) is not None and not call.close())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not (tmp_path / SOCKET).exists()

    asyncio.run(scenario())


def test_a_long_path_is_no_hindrance(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()

    async def scenario(_: SmallStation, __: str) -> None:
        assert len(await held_lines(deep)) == 1

    with_station(deep, "yaohua", scenario)


def test_a_slow_listener_misses_bytes_that_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps_module, "HELD_BYTES", 100)

    async def scenario() -> None:
        taps = Taps(time.monotonic_ns, time.time_ns)
        take = taps.of("scale.F1", TapHeader("/dev/x", 0))
        with taps.listen("scale.F1") as listener:
            for n in range(10):
                take("heard", n, bytes([n]) * 30)
            stream = listener.pieces()
            first = await anext(stream)
            take("heard", 11, b"later")
            second = await anext(stream)
            await stream.aclose()
        assert [piece.payload[0] for piece in first] == [0, 1, 2]
        assert [(p.kind, int.from_bytes(p.payload, "little")) for p in second[:1]] == [
            ("missed", 210)
        ]
        assert second[1].payload == b"later"

    asyncio.run(scenario())


def test_the_file_is_new_bounded_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "line.tap"
    with TapFile(path, 300) as file:
        file.write(TapHeader("/dev/x", 1).piece())
        while not file.full:
            file.write(Piece("heard", 5, b"0123456789"))
    assert path.stat().st_size <= 300
    tape = read_tape(path)
    assert len(tape.heard) == file.heard > 0
    assert tape.counters["damaged_bytes"] == 0
    with pytest.raises(InputError), TapFile(path, 300):
        pass
    with TapFile(tmp_path / "empty.tap", 300):
        pass
    assert not (tmp_path / "empty.tap").exists()


def test_the_command_taps_a_port_that_no_station_holds(tmp_path: Path) -> None:
    path = tmp_path / "port.tap"
    done = CliRunner().invoke(
        main, ["tap", str(tmp_path / "nothing"), str(path), "--seconds", "0.3"]
    )
    assert done.exit_code == 4, done.output
    assert not path.exists()

    async def scenario() -> list[Piece]:
        async with LineUp() as devices:
            url = devices.indicator(PtyLine(), "yaohua", {}, load_kg=12_340)
            line = TapHeader(url, 0, 9_600)
            return await some(tap_line(line, None, lambda _: None), lambda found: len(found) > 9)

    pieces = asyncio.run(scenario())
    assert bytes_of(pieces, "heard").count(b"\x02+123400") >= 5


def test_a_port_is_tapped_with_the_speed_and_the_bits_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "port.tap"

    async def scenario() -> tuple[int | None, str]:
        async with LineUp() as devices:
            line = PtyLine(baud=2_400)
            url = devices.indicator(line, "toledo", {}, load_kg=12_340, parity="even")
            options = ["--baud", "2400", "--data-bits", "7", "--parity", "even", "--seconds", "1"]
            command = [sys.executable, "-m", "edge.cli", "tap", url, str(path), *options]
            tap = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE)
            _, told = await tap.communicate()
            return tap.returncode, told.decode()

    code, told = asyncio.run(scenario())
    assert (code, "2400 7E1" in told) == (0, True), told
    tape = read_tape(path)
    assert (tape.header.baud, tape.header.data_bits, tape.header.parity) == (2_400, 7, "even")
    decoder = FORMATS["toledo"].make({}, 7, "even")
    readings = decoder.feed(tape.heard)
    assert {reading.weight_kg for reading in readings} == {12_340}


@pytest.mark.parametrize(
    ("options", "bits"),
    [
        ([], Bits()),
        (["--parity", "even"], Bits(8, "even")),
        (["--parity", "odd", "--stop-bits", "2"], Bits(8, "odd", 2)),
        (["--data-bits", "7", "--parity", "odd"], Bits()),
    ],
)
def test_characters_are_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], bits: Bits
) -> None:
    asked: list[tuple[int, Bits]] = []

    def refuse(url: str, baud: int, bits: Bits) -> None:
        asked.append((baud, bits))
        raise PortLost(url, "refused", "no such port")

    monkeypatch.setattr("firmware_bridge.transports.open_line", refuse)
    done = CliRunner().invoke(main, ["tap", "/dev/x", str(tmp_path / "x.tap"), *options])
    assert (done.exit_code, asked) == (4, [(9_600, bits)])


def test_seven_bits_without_a_parity_and_silence_are_told_in_words(tmp_path: Path) -> None:
    path = str(tmp_path / "x.tap")
    done = CliRunner().invoke(main, ["tap", "/dev/x", path, "--data-bits", "7"])
    assert (done.exit_code, "--parity even" in done.output) == (2, True)
    line = PtyLine()
    done = CliRunner().invoke(main, ["tap", line.url, path, "--seconds", "0.3"])
    line.unplug()
    assert (done.exit_code, "没有收到数据" in done.output) == (0, True)


# ----------------------------------------------------------------------------------------------
# Playback


def played(tape: Tape, form: str, enough: int, **keys: object) -> list[ScaleReading]:
    """What a station weighs from a playback."""

    async def whole() -> list[ScaleReading]:
        line = PtyLine()
        playback = Playback(tape, line)
        section = section_of(line.url, form, **keys)
        readings: list[ScaleReading] = []
        source = ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
        task = asyncio.create_task(source.run(readings.append))
        try:
            async with asyncio.timeout(60):
                while len(readings) < enough:
                    playback.tick(time.monotonic())
                    await asyncio.sleep(0.002)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            line.unplug()
        return readings

    return asyncio.run(whole())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_taps_weigh_what_was_shown(path: Path) -> None:
    tape = read_tape(path)
    expected = json.loads(path.with_suffix(".json").read_text())
    readings = played(tape, expected["format"], len(expected["load_kg"]), **expected["section"])
    assert [r.load_kg for r in readings] == expected["load_kg"]
    assert tape.counters["damaged_bytes"] == 0


def test_there_are_golden_taps() -> None:
    assert {path.stem for path in GOLDEN} >= {"toledo-lorry", "sics-asked"}


def test_the_playback_keeps_the_timing() -> None:
    pieces = [Piece("heard", n * 50_000_000, bytes([n])) for n in range(8)]
    tape = Tape(TapHeader("/dev/x", 0), pieces, Counter())
    played_ms: dict[int, int] = {}
    line = PtyLine()
    playback = Playback(tape, line, speed=2.0)
    host = os.open(line.url, os.O_RDWR | os.O_NOCTTY)
    for now_ms in range(1_000, 1_200, 5):
        before = playback._at
        playback.tick(now_ms / 1e3)
        played_ms.update(dict.fromkeys(range(before, playback._at), now_ms))
    assert playback.ended
    heard = b""
    while len(heard) < len(pieces):
        heard += os.read(host, 99)
    os.close(host)
    line.unplug()
    assert heard == bytes(range(8))
    assert [at_ms - played_ms[0] for at_ms in played_ms.values()] == list(range(0, 200, 25))


def test_a_tape_with_an_outage_goes_on_when_the_host_is_back() -> None:
    pieces = [Piece("heard", 0, b"a"), Piece("lost", 10, b""), Piece("heard", 20, b"b")]
    line = PtyLine()
    playback = Playback(Tape(TapHeader("x", 0), pieces, Counter()), line)
    host = os.open(line.url, os.O_RDWR | os.O_NOCTTY)
    playback.tick(0.0)
    assert os.read(host, 9) == b"a"
    os.close(host)
    playback.tick(1.0)
    playback.tick(2.0)
    assert not playback.ended
    host = os.open(line.url, os.O_RDWR | os.O_NOCTTY)
    playback.tick(60.0)
    assert playback.ended
    assert os.read(host, 9) == b"b"
    os.close(host)
    line.unplug()


def test_the_command_plays_a_tap(tmp_path: Path) -> None:
    path = tmp_path / "a.tap"
    header = TapHeader("/dev/x", 0).piece()
    path.write_bytes(encode_piece(header) + encode_piece(Piece("heard", 0, b"hello")))

    async def whole() -> bytes:
        link = tmp_path / "line"
        job = asyncio.create_task(
            play_tape(path, link=link, speed=1, loop=False, stop=asyncio.Event(), announce=print)
        )
        await until(link.exists)
        host = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            return await asyncio.to_thread(os.read, host, 9)
        finally:
            os.close(host)
            await job

    assert asyncio.run(whole()) == b"hello"
    wrong = CliRunner().invoke(main, ["simulate", "--tap", str(tmp_path / "line.toml")])
    assert wrong.exit_code == 2


def test_a_bus_that_the_station_asks_is_not_opened_a_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many transmitters take one connection only: a second one would cost the station its own."""
    monkeypatch.setattr("edge.doctor.HELD_LISTEN_S", 2.0)

    async def whole() -> str:
        taps = Taps(time.monotonic_ns, time.time_ns)
        bus = taps.of("modbus.W1", TapHeader("tcp://192.0.2.20:502", 0))
        health = Health(time.monotonic_ns)
        door = asyncio.create_task(LocalDoor(taps, tmp_path, health, nobody).run())
        await until((tmp_path / SOCKET).exists)

        async def answers() -> None:
            while True:
                bus("heard", time.monotonic_ns(), bytes.fromhex("000100000005010302002A"))
                await asyncio.sleep(0.02)

        asked = asyncio.create_task(answers())
        url = "socket://192.0.2.20:502"
        async with aclosing(examine([url], tmp_path, lambda *_: None)) as looks:
            (look,) = [each async for each in looks]
        for task in (asked, door):
            task.cancel()
        await asyncio.gather(asked, door, return_exceptions=True)
        return "\n".join(describe(look))

    told = asyncio.run(whole())
    assert "modbus.W1" in told
    assert "✓ Modbus 设备 / Modbus device" in told
    assert "格式" not in told
