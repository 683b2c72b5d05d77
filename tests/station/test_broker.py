"""The demonstration's broker: the real nats-server, MQTT 3.1.1, sessions on the disk."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from edge.errors import ConfigError, LinkDown
from edge.uplink.access import Access
from edge.uplink.mqtt import open_link
from edge.uplink.paho_client import MQTT_311
from simulator.broker import DemoBroker
from tests.station.brokers import free_port, needs_mosquitto
from tests.station.uplinks import STATION, case_system, cases, post, runs, until


def _access(broker: DemoBroker) -> Access:
    return Access("127.0.0.1", int(broker.url.rpartition(":")[2]))


@runs
async def test_records_arrive_over_the_3_1_1_of_nats_even_if_it_is_killed_meanwhile(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with post(tmp_path / "station") as station:
        url = f"mqtt://127.0.0.1:{port}"
        async with station.delivering(url, receipt_timeout_s=1):
            async with DemoBroker(tmp_path / "broker", port=port) as broker:
                async with case_system(broker.url, tmp_path / "centre"):
                    sent = [await station.append(os.urandom(30_000)) for _ in range(20)]
                    await until(lambda: station.receipts)
                broker_process = _broker_process()
                broker_process.kill()
                await until(lambda: not psutil.pid_exists(broker_process.pid))
            sent += [await station.append(os.urandom(30_000)) for _ in range(20)]
            async with DemoBroker(tmp_path / "broker", port=port) as broker:
                async with open_link(_access(broker), client_id="probe") as link:
                    assert link.version == MQTT_311
                async with case_system(broker.url, tmp_path / "centre"):
                    await until(station.is_empty)
    with cases(tmp_path / "centre") as store:
        assert [r.record_id for r in store.records(STATION)] == [r.record_id for r in sent]
        assert store.verify() == []


@runs
async def test_a_session_waits_over_a_restart_and_no_process_is_left(tmp_path: Path) -> None:
    async with DemoBroker(tmp_path) as broker:
        async with open_link(_access(broker), client_id="consumer") as consumer:
            await consumer.subscribe("a/b")
        async with open_link(_access(broker), client_id="sender") as sender:
            await sender.publish("a/b", b"kept")
        process = _broker_process()
        listening = [c.laddr.ip for c in process.net_connections() if c.status == "LISTEN"]
    assert set(listening) == {"127.0.0.1"}
    assert not process.is_running()
    async with (
        DemoBroker(tmp_path) as broker,
        open_link(_access(broker), client_id="consumer") as consumer,
    ):
        async with asyncio.timeout(60):
            [message] = await consumer.receive()
        assert message.payload == b"kept"


def test_a_killed_demonstration_takes_its_broker_with_it(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from pathlib import Path; from simulator.broker import DemoBroker\n"
        "async def main():\n"
        "    async with DemoBroker(Path(sys.argv[1])): print('up', flush=True); "
        "await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"up\n"
        [broker] = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    broker.wait(timeout=60)


@runs
async def test_a_broker_that_cannot_start_says_why_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with DemoBroker(tmp_path / "one") as broker:
        taken = int(broker.url.rpartition(":")[2])
        monkeypatch.setattr("simulator.broker._START_S", 3_600.0)
        async with asyncio.timeout(60):
            with pytest.raises(LinkDown, match=str(taken)):
                async with DemoBroker(tmp_path / "two", port=taken):
                    pass


@runs
async def test_without_any_broker_program_a_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    monkeypatch.setattr("simulator.broker.shutil.which", lambda *_a, **_k: None)
    with pytest.raises(ConfigError) as caught:
        async with DemoBroker(tmp_path):
            pass
    assert "steelyard[demo]" in caught.value.next_step.en


@pytest.mark.broker
@needs_mosquitto
@runs
async def test_without_the_wheel_mosquitto_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda _name: [])
    async with (
        DemoBroker(tmp_path) as broker,
        open_link(_access(broker), client_id="probe") as link,
    ):
        await link.publish("a/b", b"")


def _broker_process() -> psutil.Process:
    """The broker among this process's children: Python has helpers of its own."""
    [process] = [child for child in psutil.Process().children() if "nats" in child.name()]
    return process
