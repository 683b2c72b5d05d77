"""The doctor at a station's ports: six serial lines, two on the network, one in use."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.config import CameraSection, DigitiserSection, ModbusSection, ScaleSection
from edge.doctor import Look, examine
from edge.doctor_text import describe, live_line, station_piece
from edge.doctor_watch import watch
from edge.errors import Text
from firmware_bridge import probing
from firmware_bridge.indicators.catalogue import FORMATS
from firmware_bridge.modbus_toml import load_map
from firmware_bridge.recognising import Live
from firmware_bridge.rtu_frames import crc16
from firmware_bridge.transports import EIGHT_BITS, Bits, Chunk, PortReader
from simulator.cabinet import cabinet_values, simulated
from simulator.lines import PtyLine, TcpLine
from simulator.modbus_slave import RtuSlave, Slave, TcpSlave
from tests.station.line_up import LineUp

pytestmark = [pytest.mark.slow]

SECTIONS = {
    "digitiser": DigitiserSection,
    "camera": CameraSection,
    "scale": ScaleSection,
    "modbus": ModbusSection,
}


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer speeds, and time for devices that share a busy computer."""
    monkeypatch.setattr(probing, "BAUDS", (9_600, 115_200, 921_600, 19_200, 2_400))
    monkeypatch.setattr(probing, "ASK_BAUDS", (9_600, 19_200))
    monkeypatch.setattr(probing, "MODBUS_ANSWER_S", probing.ANSWER_S)
    monkeypatch.setattr(probing, "UNITS", (1, 2, 3, 5))
    monkeypatch.setattr(probing, "TCP_UNITS", (1, 2, 3, 5, 255, 0))


def look_at(
    scenario: Callable[[LineUp], Awaitable[list[str]]],
) -> tuple[list[str], dict[str, Look]]:
    """What the doctor finds on the lines of a scenario, by URL; and the lines in order."""

    async def whole() -> tuple[list[str], dict[str, Look]]:
        async with LineUp() as devices:
            urls = await scenario(devices)
            async with aclosing(examine(urls, None, lambda url, step: None)) as looks:
                found = {look.url: look async for look in looks}
            assert devices.commands == [], "the doctor told a digitiser what to do"
            return urls, found

    return asyncio.run(whole())


def rtu_slave(unit: int) -> Callable[[bytes], bytes]:
    """A Modbus unit by hand: register n holds 100 + n; one read of one register at a time."""

    def answer(heard: bytes) -> bytes:
        body = heard[:-2]
        if len(heard) != 8 or heard != bytes([unit]) + body[1:] + struct.pack("<H", crc16(body)):
            return b""
        start, count = struct.unpack(">HH", body[2:])
        reply = bytes([unit, body[1] | 0x80, 2])
        if body[1] == 3 and start + count <= 8:
            values = b"".join(struct.pack(">H", 100 + start + n) for n in range(count))
            reply = bytes([unit, 3, len(values)]) + values
        return reply + struct.pack("<H", crc16(reply))

    return answer


async def six_ports(devices: LineUp) -> list[str]:
    return [
        devices.digitiser(PtyLine(baud=921_600)),
        devices.indicator(PtyLine(baud=2_400), "yaohua", {}, load_kg=12_340),
        devices.indicator(
            PtyLine(baud=19_200), "sics", {}, load_kg=5_000, request=FORMATS["sics"].request({})
        ),
        devices.answering(PtyLine(baud=19_200), rtu_slave(5)),
        devices.camera(PtyLine(baud=115_200)),
        devices.silent(),
        devices.indicator(TcpLine(), "toledo", {}, load_kg=49_180, parity="even"),
    ]


@pytest.fixture(scope="module")
def found() -> tuple[list[str], dict[str, Look]]:
    with pytest.MonkeyPatch.context() as patch:
        _hurried.__wrapped__(patch)  # type: ignore[attr-defined]
        return look_at(six_ports)


def told(look: Look) -> str:
    return "\n".join(describe(look))


def test_each_of_seven_ports_is_told_for_what_it_is(
    found: tuple[list[str], dict[str, Look]],
) -> None:
    urls, looks = found
    whats = [looks[url].speaker.what if looks[url].speaker else None for url in urls]
    assert whats == [
        "LC8 1.4 (S-77)", "yaohua", "sics", "Modbus", "steelyard", None, "toledo",
    ]  # fmt: skip
    bauds = [looks[url].finding.baud for url in urls if looks[url].finding]
    assert bauds == [921_600, 2_400, 19_200, 19_200, 115_200, 0, 0]


def test_live_values_come_with_unit_and_quality(found: tuple[list[str], dict[str, Look]]) -> None:
    urls, looks = found
    assert "12,340 kg" in told(looks[urls[1]])
    assert "49,180 kg  正常 / good" in told(looks[urls[6]])
    assert "无校验" in told(looks[urls[2]])
    assert "4,000 Hz" in told(looks[urls[0]])
    assert "云A12345" in told(looks[urls[4]])
    assert "register 0: 100" in told(looks[urls[3]])
    assert "检查设备电源" in told(looks[urls[5]])


def test_the_piece_of_the_station_file_can_be_used(
    found: tuple[list[str], dict[str, Look]],
) -> None:
    urls, looks = found
    piece = tomllib.loads(station_piece([looks[url] for url in urls]))
    assert {kind: len(tables) for kind, tables in piece.items()} == {
        "digitiser": 1, "scale": 3, "modbus": 1, "camera": 1,
    }  # fmt: skip
    for kind, tables in piece.items():
        for table in tables:
            SECTIONS[kind].model_validate(table)
    digitiser = piece["digitiser"][0]
    assert (digitiser["device_id"], len(digitiser["channels"])) == (9, 4)
    assert piece["scale"][2]["data_bits"] == 7
    assert piece["modbus"][0]["url"].endswith("?baud=19200&parity=N&stop=1")


def test_a_modbus_server_is_told_with_the_map_that_fits() -> None:
    async def whole() -> Look:
        values = cabinet_values(0, 20.0)
        async with TcpSlave({1: simulated(load_map("cabinet"), lambda: values)}) as cabinet:
            url = cabinet.url.replace("tcp://", "socket://")
            async with aclosing(examine([url], None, lambda *_: None)) as looks:
                (look,) = [each async for each in looks]
                return look

    look = asyncio.run(whole())
    assert look.speaker
    assert "cabinet" in look.speaker.maps
    assert "road_temperature: 20" in told(look)
    assert tomllib.loads(station_piece([look]))["modbus"][0]["url"].startswith("tcp://")


def test_every_unit_of_a_bus_is_told() -> None:
    units = [rtu_slave(unit) for unit in (2, 5)]

    async def bus(devices: LineUp) -> list[str]:
        answer = lambda heard: b"".join(unit(heard) for unit in units)  # noqa: E731
        return [devices.answering(PtyLine(baud=9_600), answer)]

    (url,), looks = look_at(bus)
    assert [speaker.unit for speaker in looks[url].devices] == [2, 5]
    assert told(looks[url]).count("✓ Modbus 设备 / Modbus device") == 2
    tables = tomllib.loads(station_piece([looks[url]]))["modbus"]
    assert [(table["id"], table["unit"]) for table in tables] == [("M1", 2), ("M2", 5)]


def test_the_maps_of_every_unit_of_a_bus_are_told() -> None:
    async def whole() -> Look:
        shown = {"status": 0b1, "gross": 12_340, "net": 12_340, "decimals": 1}
        units = {
            2: simulated(load_map("cabinet"), lambda: cabinet_values(0, 20.0)),
            5: simulated(load_map("generic-scale"), lambda: shown),
        }
        async with RtuSlave(units) as slave:
            url = urlsplit(slave.url).path
            async with aclosing(examine([url], None, lambda *_: None)) as looks:
                (look,) = [each async for each in looks]
                return look

    look = asyncio.run(whole())
    assert {s.unit: s.maps[0] for s in look.devices} == {2: "cabinet", 5: "generic-scale"}
    assert "road_temperature: 20" in told(look)
    assert "gross: 1,234 kg" in told(look)
    tables = tomllib.loads(station_piece([look]))["modbus"]
    assert [(t["unit"], t["map"]) for t in tables] == [(2, "cabinet"), (5, "generic-scale")]


def cabinet() -> Slave:
    return simulated(load_map("cabinet"), lambda: cabinet_values(0, 20.0))


def test_the_maps_of_every_unit_behind_a_gateway_are_told_though_the_others_are_dead() -> None:
    shown = {"status": 0b1, "gross": 12_340, "net": 12_340, "decimals": 1}
    units = {2: cabinet(), 5: simulated(load_map("generic-scale"), lambda: shown)}

    async def whole() -> Look:
        async with TcpSlave(units) as slave:
            url = slave.url.replace("tcp://", "socket://")
            async with aclosing(examine([url], None, lambda *_: None, 0.2)) as looks:
                (look,) = [each async for each in looks]
                return look

    look = asyncio.run(whole())
    assert {s.unit: s.maps[0] for s in look.devices} == {2: "cabinet", 5: "generic-scale"}
    tables = tomllib.loads(station_piece([look]))["modbus"]
    assert [(t["unit"], t["map"]) for t in tables] == [(2, "cabinet"), (5, "generic-scale")]


def test_what_a_slow_gateway_answers_after_the_next_question_counts_for_its_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "MODBUS_ANSWER_S", 0.05)

    def nobody(_question: bytes) -> bytes:
        return bytes([0x83, 11])

    units = {1: nobody, 2: cabinet(), 3: nobody, 5: cabinet()}

    async def whole() -> list[int]:
        async with TcpSlave(units, lambda frame: [(0.3, frame)]) as slave:
            found = await probing.probe(
                slave.url.replace("tcp://", "socket://"), lambda _: None, 0.2
            )
            return [speaker.unit for speaker in found.speakers]

    assert asyncio.run(whole()) == [2, 5]


@pytest.mark.parametrize("waits", [False, True])
def test_a_bus_of_another_master_is_told_and_left_alone(waits: bool) -> None:
    """One that is heard at once, and one that begins while the doctor asks."""
    heard: list[bytes] = []

    async def mastered(devices: LineUp) -> list[str]:
        line, due_s = PtyLine(baud=9_600), 0.0
        question = struct.pack(">BBHH", 3, 4, 7, 2)
        question += struct.pack("<H", crc16(question))
        answer = bytes([3, 4, 4, 1, 2, 3, 4])
        answer += struct.pack("<H", crc16(answer))

        def tick(time_s: float) -> None:
            nonlocal due_s
            heard.append(line.read())
            if time_s >= due_s and (any(heard) or not waits):
                line.send(question + answer)
                due_s = time_s + 0.3

        return [devices._add(line, tick)]

    (url,), looks = look_at(mastered)
    finding = looks[url].finding
    assert finding is not None
    assert (finding.outcome, finding.units) == ("mastered", (3,))
    assert "另有 Modbus 主站" in told(looks[url])
    assert tomllib.loads(station_piece([looks[url]])) == {}
    assert len(b"".join(heard)) <= (64 if waits else 0), "it goes on asking on another's bus"


def test_a_master_of_even_parity_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heard without parity its bytes are wrong; a pseudo-terminal has none, so the test has."""

    class EvenLine(PortReader):
        def __init__(self, url: str, *, bits: Bits = EIGHT_BITS, **given: Any) -> None:
            super().__init__(url, **given)
            self._wrong = bits != Bits(8, "even")

        async def read(self) -> Chunk:
            chunk = await super().read()
            return replace(chunk, data=bytes(chunk.data[::-1])) if self._wrong else chunk

    monkeypatch.setattr(probing, "PortReader", EvenLine)
    monkeypatch.setattr(probing, "BAUDS", (9_600,))
    body = struct.pack(">BBHH", 3, 4, 7, 2)
    question, due_s = body + struct.pack("<H", crc16(body)), 0.0

    async def mastered(devices: LineUp) -> list[str]:
        line = PtyLine(baud=19_200)

        def tick(time_s: float) -> None:
            nonlocal due_s
            line.read()
            if time_s >= due_s:
                line.send(question)
                due_s = time_s + 0.2

        return [devices._add(line, tick)]

    (url,), looks = look_at(mastered)
    finding = looks[url].finding
    assert finding is not None
    assert (finding.outcome, finding.units) == ("mastered", (3,))


def test_a_port_of_another_program_is_named_and_left_alone() -> None:
    holder = (
        "import serial, sys; p = serial.Serial(sys.argv[1], exclusive=True);"
        "print('held', flush=True); sys.stdin.read()"  # until it is killed
    )

    async def held(devices: LineUp) -> list[str]:
        line = PtyLine()
        url = devices.indicator(line, "yaohua", {}, load_kg=1_000)
        process = subprocess.Popen(
            [sys.executable, "-c", holder, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        return [url]

    processes: list[subprocess.Popen[str]] = []
    try:
        (url,), looks = look_at(held)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert looks[url].finding is None
    assert str(processes[0].pid) in told(looks[url])


def test_bytes_that_nobody_knows_are_shown() -> None:
    async def babbling(devices: LineUp) -> list[str]:
        line = PtyLine()
        devices._ticks.append(lambda _: (line.read(), line.send(b"\x00\x11hello"))[0])  # type: ignore[func-returns-value]
        devices._lines.append(line)
        return [line.url]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probing, "BAUDS", (9_600,))
        patch.setattr(probing, "LISTEN_S", (0.1, 0.2))
        (url,), looks = look_at(babbling)
    assert looks[url].finding is not None
    assert looks[url].finding.outcome == "noise"
    assert "00 11 68 65" in told(looks[url])


class Board:
    """What was told of each line."""

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}

    def tell(self, url: str, told: Sequence[Live] | Text) -> None:
        text = str(told) if isinstance(told, Text) else live_line(told)
        self.told.setdefault(url, []).append(text)

    async def until(self, url: str, text: str) -> None:
        async with asyncio.timeout(60):
            while not any(text in told for told in self.told.get(url, ())):
                await asyncio.sleep(0.02)


def test_live_values_go_on_as_the_load_changes_and_tell_a_line_that_is_lost() -> None:
    async def whole() -> None:
        async with LineUp() as devices:
            yaohua, sics = PtyLine(baud=9_600), PtyLine(baud=9_600)
            urls = [
                devices.indicator(yaohua, "yaohua", {}, load_kg=1_000),
                devices.indicator(
                    sics, "sics", {}, load_kg=5_000, request=FORMATS["sics"].request({})
                ),
                devices.digitiser(PtyLine(baud=921_600)),
                devices.camera(PtyLine(baud=115_200)),
                devices.silent(),
            ]
            async with aclosing(examine(urls, None, lambda url, step: None)) as looks:
                found = [look async for look in looks]
            board = Board()
            watching = asyncio.create_task(watch(found, None, board.tell))
            for url, text in zip(
                urls, ("1,000 kg", "5,000 kg", "4,000 Hz", "云A12345"), strict=False
            ):
                await board.until(url, text)
            for url in urls[:2]:
                devices.platforms[url].put(20_000, time.monotonic())
            await board.until(urls[0], "20,000 kg  正常 / good")
            await board.until(urls[1], "kg  变化中 / moving")
            await board.until(urls[1], "20,000 kg  无校验 / nothing proves it")
            yaohua.unplug()
            await board.until(urls[0], "连接中断 / lost")
            assert urls[4] not in board.told
            assert devices.commands == []
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(whole())


def test_a_modbus_scale_is_watched_in_kilograms_with_its_quality() -> None:
    async def whole() -> None:
        shown = {"status": 0b1, "gross": 12_340, "net": 12_340, "decimals": 1}
        scale = simulated(load_map("generic-scale"), lambda: shown)
        async with TcpSlave({1: scale}) as slave:
            url = slave.url.replace("tcp://", "socket://")
            async with aclosing(examine([url], None, lambda *_: None)) as looks:
                found = [each async for each in looks]
            assert found[0].speaker
            assert found[0].speaker.maps[0] == "generic-scale"
            board = Board()
            watching = asyncio.create_task(watch(found, None, board.tell))
            await board.until(url, "gross: 1,234 kg  正常 / good")
            shown["status"] = 0
            await board.until(url, "gross: 1,234 kg  变化中 / moving")
            shown["status"] = 0b100
            await board.until(url, "gross: - kg  超出量程 / over its range")
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(whole())


def test_the_command_shows_live_values_for_as_long_as_it_is_told() -> None:
    async def whole() -> str:
        async with LineUp() as devices:
            url = devices.indicator(PtyLine(baud=9_600), "yaohua", {}, load_kg=1_000)
            command = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edge.cli", "doctor", url, "--watch", "4"),
                stdout=subprocess.PIPE,
            )
            assert command.stdout is not None
            shown = (await command.stdout.read()).decode()
            assert await command.wait() == 0
            return shown

    assert "weight: 1,000 kg  正常 / good" in asyncio.run(whole())


def test_the_command_says_what_is_there_and_writes_a_new_file_only(tmp_path: Path) -> None:
    piece = tmp_path / "piece.toml"
    gone = str(tmp_path / "no-such-port")
    done = CliRunner().invoke(main, ["doctor", gone, "--write", str(piece)])
    assert done.exit_code == 0, done.output
    assert "找不到" in done.output
    assert tomllib.loads(piece.read_text()) == {}
    again = CliRunner().invoke(main, ["doctor", gone, "--write", str(piece)])
    assert again.exit_code == 2
    wrong = CliRunner().invoke(main, ["doctor", "COM1"])
    assert wrong.exit_code == 2
