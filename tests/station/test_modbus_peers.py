"""Modbus against programs that others wrote: a server on libmodbus, and mbpoll as the master."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from firmware_bridge.modbus import ModbusBus, ModbusDevice, ModbusLost, load_map
from simulator.broker import free_port
from simulator.modbus_slave import Memory, RtuSlave, TcpSlave

TIMEOUT_S = 3.0
_SOURCE = Path(__file__).with_name("libmodbus_server.c")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server, compiled."""
    program = tmp_path_factory.mktemp("libmodbus") / "server"
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-o", program, _SOURCE, "-lmodbus"]
    subprocess.run(command, check=True, capture_output=True)
    return program


@contextlib.asynccontextmanager
async def running(
    *command: str | Path, ready: str = ""
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program for as long as it is needed, from the moment that it says it is ready."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        if ready:
            assert (await process.stdout.readline()).decode().strip() == ready
        yield process
    finally:
        process.kill()
        await process.communicate()


@contextlib.asynccontextmanager
async def null_modem(directory: Path) -> AsyncIterator[tuple[Path, Path]]:
    """Two serial ports with a crossed cable between them."""
    ends = directory / "a", directory / "b"
    ports = [f"pty,raw,echo=0,link={end}" for end in ends]
    async with running("socat", *ports):
        while not all(end.exists() for end in ends):
            await asyncio.sleep(0.01)
        yield ends


async def read_ten(url: str, silences: int) -> None:
    """Ten weights, after so many readings at most in which the device could not be made out."""
    async with ModbusDevice(ModbusBus(url), 1, load_map("generic-scale"), TIMEOUT_S) as device:
        while not device.counters["reads"]:
            with contextlib.suppress(ModbusLost):
                await device.read()
        assert device.counters["timeouts"] <= silences
        for _ in range(9):
            reading = await device.read()
            assert reading.weight is not None
            assert (reading.weight.weight_kg, reading.weight.stable) == (38_240.5, True)
        assert device.counters["reads"] == 10
        assert device.counters["late_replies"] + device.counters["stale"] == 0


@pytest.mark.compiler
@pytest.mark.libmodbus
@pytest.mark.socat
def test_we_read_a_scale_on_libmodbus_over_rtu(server: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with (
            null_modem(tmp_path) as (ours, theirs),
            running(server, "rtu", theirs, ready="ready"),
        ):
            # libmodbus does not know function 08, and over RTU not even says so.
            await read_ten(f"rtu://{ours}?baud=115200", silences=1)

    asyncio.run(scenario())


@pytest.mark.compiler
@pytest.mark.libmodbus
def test_we_read_a_scale_on_libmodbus_over_tcp(server: Path) -> None:
    port = free_port()

    async def scenario() -> None:
        async with running(server, "tcp", str(port), ready="ready"):
            await read_ten(f"tcp://127.0.0.1:{port}", silences=0)

    asyncio.run(scenario())


def scale() -> Memory:
    words = [1, 0xFFFF, 0xCFC7, 0, 25, 2, 7]
    return Memory({"holding": dict(enumerate(words)), "input": {4: 4321}, "coil": {2: 1, 3: 0}})


async def mbpoll(*arguments: str) -> list[str]:
    """The lines in which mbpoll shows values."""
    process = await asyncio.create_subprocess_exec(
        "mbpoll", "-0", "-1", "-q", "-o", "10", *arguments, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return [" ".join(line.split()) for line in told.decode().splitlines() if line.startswith("[")]


@pytest.mark.mbpoll
def test_mbpoll_reads_and_writes_our_device_over_rtu() -> None:
    async def scenario() -> None:
        device = scale()
        async with RtuSlave({1: device}) as slave:
            port = slave.url.removeprefix("rtu://").partition("?")[0]
            line = ("-m", "rtu", "-a", "1", "-b", "115200", "-P", "none")
            assert await mbpoll(*line, "-t", "4", "-r", "0", "-c", "7", port) == [
                f"[{i}]: {shown}"
                for i, shown in enumerate(
                    ("1", "65535 (-1)", "53191 (-12345)", "0", "25", "2", "7")
                )
            ]
            assert await mbpoll(*line, "-t", "4:int", "-B", "-r", "1", port) == ["[1]: -12345"]
            assert await mbpoll(*line, "-t", "3", "-r", "4", port) == ["[4]: 4321"]
            assert await mbpoll(*line, "-t", "0", "-r", "2", "-c", "2", port) == [
                "[2]: 1",
                "[3]: 0",
            ]
            await mbpoll(*line, "-t", "4", "-r", "5", port, "3")
            assert device.cells["holding"][5] == 3

    asyncio.run(scenario())


@pytest.mark.mbpoll
def test_mbpoll_reads_our_device_over_tcp() -> None:
    async def scenario() -> None:
        async with TcpSlave({1: scale()}) as slave:
            port = slave.url.rpartition(":")[2]
            line = ("-m", "tcp", "-p", port, "-a", "1", "-t", "4")
            assert await mbpoll(*line, "-r", "4", "-c", "3", "127.0.0.1") == [
                "[4]: 25",
                "[5]: 2",
                "[6]: 7",
            ]

    asyncio.run(scenario())
