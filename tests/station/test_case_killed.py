"""The case system as a process behind a real broker: killed, restarted, many stations, commands."""

from __future__ import annotations

import asyncio
import functools
import os
from contextlib import closing
from pathlib import Path

from edge.evidence.command import Command
from edge.evidence.note import NoteSigner, NoteVerifier
from edge.evidence.receipt import Receipt
from edge.evidence.witness import WitnessAnswer
from edge.uplink.access import Access
from edge.uplink.mqtt import Link, open_link
from edge.uplink.topics import Topics
from simulator.case_commands import issue, issued
from simulator.case_store import CaseStore
from simulator.children import command
from tests.station.brokers import Mosquitto, mosquitto, needs_mosquitto
from tests.station.case_desk import StationLog
from tests.station.uplinks import STATION, case_system, cases, post, runs, until


async def _collect(link: Link, payloads: list[bytes]) -> None:
    while True:
        for message in await link.receive():
            link.accept(message)
            payloads.append(message.payload)


@needs_mosquitto
@runs
async def test_a_kill_between_storing_and_answering_does_no_harm(tmp_path: Path) -> None:
    centre = tmp_path / "centre"
    key = NoteSigner.load_or_create(centre / "centre.key", "case-system").verifier_key
    with mosquitto(tmp_path / "broker") as broker:
        serve = ["case-system", "--broker", broker.url, "--store", str(centre)]
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, centre_key=key, receipt_timeout_s=0.5),
        ):
            for round_ in range(2):
                held = _held(centre)
                async with command([*serve, "--receipt-delay-s", "60"], tmp_path / "log") as slow:
                    for n in range(10):
                        blob = os.urandom(300_000) if n == 0 else None
                        await station.append(blob, urgent=n % 3 == 0)
                    await until(functools.partial(_holds_more, centre, held))
                    slow.kill()
                    await slow.wait()
                assert not station.receipts, round_
            async with command(serve, tmp_path / "log"):
                await until(station.is_empty)
        assert {receipt.status for receipt in station.receipts} == {"stored"}
    with cases(centre) as store:
        assert [record.index for record in store.records(STATION)] == list(range(20))
        assert store.verify() == []


def _holds_more(centre: Path, than: int) -> bool:
    return _held(centre) > than


def _held(centre: Path) -> int:
    with closing(CaseStore.open(centre)) as store:
        return int(store.one("SELECT count(*) FROM records")[0])


@needs_mosquitto
@runs
async def test_many_stations_at_once_get_each_their_own_answers(tmp_path: Path) -> None:
    logs = [StationLog(f"S{n}") for n in range(1, 6)]
    with mosquitto(tmp_path / "broker") as broker:
        async with case_system(broker.url, tmp_path / "centre") as centre:
            key = NoteVerifier(centre.verifier_key)
            answers = await asyncio.gather(*(_deliver(broker, log) for log in logs))
    for log, payloads in zip(logs, answers, strict=True):
        receipts, witness = _decoded(payloads, key, log.station)
        assert {r.record_id for r in receipts} == {r.record_id for r in log.records}
        assert [answer.status for answer in witness] == ["cosigned"]
    with cases(tmp_path / "centre") as store:
        assert store.verify() == []
        assert sum(len(store.records(log.station)) for log in logs) == 5 * 60


async def _deliver(broker: Mosquitto, log: StationLog) -> list[bytes]:
    topics, payloads = Topics(log.station), list[bytes]()
    async with open_link(Access("localhost", broker.port), client_id=log.station) as link:
        await link.subscribe(topics.all_down)
        listening = asyncio.create_task(_collect(link, payloads))
        await link.publish(topics.key, log.signer.verifier_key.encode())
        for _ in range(3):
            log.append(20)
            await link.publish(topics.records, log.batch(len(log) - 20))
        await link.publish(topics.checkpoint, log.submission().encode())
        await until(lambda: sum(p.count(b'"record_id"') for p in payloads) >= 60)
        await until(lambda: any(p.startswith(b"steelyard/witness") for p in payloads))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return payloads


def _decoded(
    payloads: list[bytes], key: NoteVerifier, station: str
) -> tuple[list[Receipt], list[WitnessAnswer]]:
    witness = [p for p in payloads if p.startswith(b"steelyard/witness")]
    receipts = [p for p in payloads if p not in witness]
    return (
        [r for p in receipts for r in Receipt.decode_all(p, key, station)],
        [WitnessAnswer.decode(p, key, station) for p in witness],
    )


@needs_mosquitto
@runs
async def test_a_command_reaches_a_station_while_the_centre_runs(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with case_system(broker.url, tmp_path / "centre") as centre:
            payloads: list[bytes] = []
            async with open_link(Access("localhost", broker.port), client_id="S1") as link:
                await link.subscribe(Topics(STATION).command)
                listening = asyncio.create_task(_collect(link, payloads))
                with cases(tmp_path / "centre") as store:
                    told = issue(store, STATION, "checkpoint", {}, valid_s=60)
                    await until(lambda: payloads)
                    await until(lambda: issued(store)[0].sent_us)
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            assert [Command.decode(p, NoteVerifier(centre.verifier_key)) for p in payloads] == [
                told
            ]
