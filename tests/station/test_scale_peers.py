"""Scales against programs of others that play an indicator: MT-SICS over TCP, "=" over a pty."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mtsics.core.state import ScaleState
from mtsics.protocol.engine import MTSICSEngine
from mtsics.transport.tcp import TCPConfig, TCPTransport

from edge.config import ScaleSection
from edge.errors import DeviceFault
from edge.health import Health
from edge.records import ScaleReading
from edge.sources.scale import Companions, ScaleSource


@contextlib.asynccontextmanager
async def reading(**keys: object) -> AsyncIterator[list[ScaleReading]]:
    """The station's source on a line, and what it delivers."""
    made = {"id": "S1", "division_kg": 0.05, "stable_for_s": 0.1, "poll_s": 0.02} | keys
    readings: list[ScaleReading] = []
    health = Health(time.monotonic_ns)
    source = ScaleSource(ScaleSection.model_validate(made), health, time.monotonic_ns, Companions())
    task = asyncio.create_task(source.run(readings.append))
    try:
        yield readings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def newest(readings: list[ScaleReading], wanted: ScaleReading) -> None:
    """Wait for a reading that says the same."""

    def same(reading: ScaleReading) -> bool:
        said = (reading.load_kg, reading.stable, reading.in_range)
        return said == (wanted.load_kg, wanted.stable, wanted.in_range)

    async with asyncio.timeout(60):
        while not (readings and same(readings[-1])):
            await asyncio.sleep(0.01)


def test_an_emulated_mt_sics_scale_is_read_over_tcp() -> None:
    async def scenario() -> None:
        state = ScaleState()
        config = TCPConfig(host="127.0.0.1", port=0)
        emulator = TCPTransport(MTSICSEngine(state), cfg=config)
        await emulator.start()
        host, port = emulator.address
        async with reading(url=f"socket://{host}:{port}", format="sics", max_kg=150) as readings:
            for kg, stable, wanted in (
                (12.5, True, ScaleReading("S1", 0, 12.5, True, True)),
                (13.55, False, ScaleReading("S1", 0, 13.55, False, True)),
                (400.0, True, ScaleReading("S1", 0, None, False, False)),
                (40.0, True, ScaleReading("S1", 0, 40.0, True, True)),
            ):
                state.set_weight(kg, stable=stable)
                await newest(readings, wanted)
        await emulator.close()

    asyncio.run(scenario())


def test_an_emulated_mt_sics_scale_obeys_or_refuses() -> None:
    """The answers are those of the other program: refused while it moves, done at rest."""

    async def scenario() -> None:
        state = ScaleState()
        emulator = TCPTransport(MTSICSEngine(state), cfg=TCPConfig(host="127.0.0.1", port=0))
        await emulator.start()
        host, port = emulator.address
        section = ScaleSection.model_validate(
            {
                "id": "S1", "url": f"socket://{host}:{port}", "format": "sics", "max_kg": 150,
                "division_kg": 0.05, "poll_s": 0.02,
            }
        )  # fmt: skip
        source = ScaleSource(section, Health(time.monotonic_ns), time.monotonic_ns, Companions())
        readings: list[ScaleReading] = []
        task = asyncio.create_task(source.run(readings.append))
        async with asyncio.timeout(60):
            while not readings:
                await asyncio.sleep(0.01)
            state.set_weight(1.0, stable=False)
            with pytest.raises(DeviceFault, match="refuses zero"):
                await source.command("zero")
            state.set_weight(1.0, stable=True)
            await source.command("zero")
            assert readings[-1].load_kg == 0
            await source.command("clear_tare")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await emulator.close()

    asyncio.run(scenario())


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="weighbridge-simulator ends at 3.12")
def test_a_simulated_weighbridge_is_read_over_its_pty(tmp_path: Path) -> None:
    """It sends each number mirrored and an equals sign behind it, which is the same stream."""
    (tmp_path / "loads.txt").write_text("049180.0\n" * 50)

    async def scenario() -> None:
        bridge = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "weighbridge_simulator"),
            *("-d", str(tmp_path / "loads.txt"), "-l", "0", "-i", "0.02"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert bridge.stdout is not None
        try:
            said = await asyncio.wait_for(bridge.stdout.readline(), 60)
            found = re.search(rb"(/dev/pts/\d+)", said)
            assert found is not None, said
            settings = {"mirrored": True}
            async with reading(
                url=found[1].decode(), format="equals", settings=settings, max_kg=60_000
            ) as readings:
                await newest(readings, ScaleReading("S1", 0, 49_180.0, True, True))
                assert not readings[-1].carries_weight
        finally:
            bridge.terminate()
            await bridge.communicate()

    asyncio.run(scenario())
