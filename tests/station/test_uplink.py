"""The uplink against a real Mosquitto: nothing lost, nothing doubled, whatever goes down."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.errors import LinkDown
from edge.evidence.batch import JOINT_SCHEMA
from edge.evidence.note import NoteSigner
from edge.evidence.receipt import Receipt
from edge.uplink import acks, mqtt, paho_client, uplink
from edge.uplink.access import Access
from edge.uplink.mqtt import Link, open_link
from edge.uplink.paho_client import MQTT_5, MQTT_311, Message
from edge.uplink.topics import Presence, Topics
from tests.station.brokers import Mosquitto, mosquitto, needs_mosquitto
from tests.station.uplinks import (
    STATION,
    case_system,
    cases,
    post,
    runs,
    until,
)

pytestmark = [pytest.mark.broker, needs_mosquitto]

TOPICS = Topics(STATION)


def _listener(
    broker: Mosquitto, version: int = MQTT_5
) -> contextlib.AbstractAsyncContextManager[Link]:
    access = Access("127.0.0.1", broker.port)
    return open_link(access, client_id="listener", versions=(version,))


@runs
async def test_records_with_blobs_arrive_once_and_prove_themselves(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre") as centre,
            station.delivering(broker.url, centre_key=centre.verifier_key),
        ):
            sent = [await station.append(os.urandom(1_500 * n)) for n in range(200)]
            await until(station.is_empty)
            assert {r.record_id for r in station.receipts} == {r.record_id for r in sent}
    with cases(tmp_path / "centre") as store:
        assert [r.record_id for r in store.records(STATION)] == [r.record_id for r in sent]
        assert store.verify() == []
        assert store.duplicates == 0


@runs
async def test_a_centre_that_reads_one_proof_for_many_is_sent_it(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre") as centre,
            _listener(broker) as listener,
            station.delivering(broker.url, centre_key=centre.verifier_key),
        ):
            await listener.subscribe(TOPICS.records)

            async def is_joint() -> bool:
                await station.append()
                return any(JOINT_SCHEMA.encode() in m.payload for m in await listener.receive())

            await until(is_joint)
            await until(station.is_empty)
            assert station.count("receipts_missed") == 0
    with cases(tmp_path / "centre") as store:
        assert store.verify() == []


@runs
async def test_a_broker_that_is_killed_and_forgets_everything_costs_no_record(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre") as centre,
            station.delivering(broker.url, centre_key=centre.verifier_key, receipt_timeout_s=1),
        ):
            sent = [await station.append(os.urandom(50_000)) for _ in range(30)]
            await until(lambda: station.receipts)
            broker.kill()
            for _ in range(30):
                sent.append(await station.append(os.urandom(50_000)))
                await asyncio.sleep(0.05)
            broker.start()
            await until(station.is_empty)
            assert station.count("disconnects") == 1
    with cases(tmp_path / "centre") as store:
        assert [r.record_id for r in store.records(STATION)] == [r.record_id for r in sent]
        assert store.verify() == []


@runs
async def test_a_case_system_that_is_away_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, receipt_timeout_s=0.5),
        ):
            for _ in range(40):
                await station.append()
            await until(lambda: station.state("receipts").level == "warning")
            assert (await station.store.outbox_summary()).waiting == 40
            async with case_system(broker.url, tmp_path / "centre"):
                await until(station.is_empty)
            assert station.count("resends") > 0
    with cases(tmp_path / "centre") as store:
        assert [r.index for r in store.records(STATION)] == list(range(40))


@runs
async def test_a_case_system_that_restarts_knows_its_records_and_its_stations(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with post(tmp_path / "station") as station:
            async with case_system(broker.url, tmp_path / "centre") as centre:
                key = centre.verifier_key
                async with station.delivering(broker.url, centre_key=key):
                    first = await station.append()
                    await until(station.is_empty)
            async with case_system(broker.url, tmp_path / "centre") as centre:
                assert centre.verifier_key == key
                async with _listener(broker) as listener:
                    await listener.subscribe(TOPICS.receipt)
                    await listener.publish(TOPICS.record, await station.store.envelope(0))
                    answer = Receipt.decode((await listener.receive())[-1].payload, None)
    assert (answer.status, answer.record_id) == ("stored", first.record_id)
    with cases(tmp_path / "centre") as store:
        assert len(store.records(STATION)) == 1
        assert store.duplicates == 1


@runs
async def test_a_forged_receipt_ends_nothing(tmp_path: Path) -> None:
    centre = NoteSigner.load_or_create(tmp_path / "centre.key", "case-system")
    forger = NoteSigner.load_or_create(tmp_path / "forger.key", "case-system")
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, centre_key=centre.verifier_key),
            _listener(broker) as other,
        ):
            record = await station.append()
            await until(lambda: station.count("records_sent"))
            true = Receipt(record.record_id, record.index, "stored", "", 1, 1, station=STATION)
            forged = true.encode(forger)
            of_another = Receipt("0" * 64, record.index, "stored", "", 1, 1, station=STATION)
            to_another = Receipt(record.record_id, record.index, "stored", "", 1, 1, station="S2")
            for payload in (
                forged,
                of_another.encode(centre),
                to_another.encode(centre),
                b"",
                b"\xff\x00",
                forged[:-1],
                b"x" * 100_000,
            ):
                await other.publish(TOPICS.receipt, payload)
            await until(lambda: station.count("receipts_bad") == 6)
            assert not await station.is_empty()
            await other.publish(TOPICS.receipt, true.encode(centre))
            await until(station.is_empty)


@runs
async def test_a_refused_record_is_put_aside_and_the_next_one_goes_on(tmp_path: Path) -> None:
    centre = NoteSigner.load_or_create(tmp_path / "centre.key", "case-system")
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, centre_key=centre.verifier_key, window=1),
            _listener(broker) as other,
        ):
            records = [await station.append(), await station.append()]
            await other.subscribe(TOPICS.record)
            for record, status in zip(records, ("refused", "stored"), strict=True):
                await until(lambda n=record.index: station.count("records_sent") > n)
                receipt = Receipt(
                    record.record_id, record.index, status, "number", 1, 1, station=STATION
                )
                await other.publish(TOPICS.receipt, receipt.encode(centre))
            await until(station.is_empty)
            assert (await station.store.outbox_summary()).poisoned == 1
            assert "number" in (await station.store.delivery(0)).poisoned
            assert station.state("poisoned").level == "warning"


@runs
async def test_pieces_fit_the_broker_and_what_never_fits_is_put_aside(tmp_path: Path) -> None:
    picture = os.urandom(20_000)
    with mosquitto(tmp_path / "broker", "max_packet_size 4000") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre"),
            station.delivering(broker.url),
        ):
            await station.append(picture)
            await station.append(text="很长 " * 2_000)
            last = await station.append()
            await until(station.is_empty)
            assert (await station.store.outbox_summary()).poisoned == 1
            assert "4000" in (await station.store.delivery(1)).poisoned
    with cases(tmp_path / "centre") as store:
        records = store.records(STATION)
        assert [r.index for r in records] == [0, last.index]
        assert store.blobs.path(records[0].body["blobs"][0]["sha256"]).read_bytes() == picture


@runs
async def test_telemetry_key_and_presence_are_seen_and_stay(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre"),
        ):
            async with station.delivering(broker.url):
                with cases(tmp_path / "centre") as store:
                    await until(lambda: store.station(STATION).get("telemetry"))
                    seen = store.station(STATION)
            with cases(tmp_path / "centre") as store:
                await until(lambda: store.station(STATION)["state"] == "offline stopped")
            async with _listener(broker) as late:
                await late.subscribe("wim/v1/+/up/+")
                kept = {m.topic: m.payload for m in await _receive(late, 2)}
    assert seen["state"] == "online"
    assert seen["verifier_key"] == station.signer.verifier_key
    assert "counters" in json.loads(seen["telemetry"])
    assert kept[TOPICS.key].decode() == station.signer.verifier_key
    assert Presence.decode(kept[TOPICS.state]) == Presence("offline", "stopped")


DELIVER_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from tests.station.uplinks import post

async def deliver() -> None:
    async with post(Path(sys.argv[1])) as station, station.delivering(sys.argv[2]):
        await asyncio.sleep(60)

asyncio.run(deliver())
"""


@runs
async def test_the_last_will_speaks_for_a_station_that_was_killed(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with _listener(broker) as listener:
            await listener.subscribe(TOPICS.state)
            child = subprocess.Popen(
                [sys.executable, "-c", DELIVER_UNTIL_KILLED, tmp_path / "station", broker.url],
                cwd=Path(__file__).parents[2],
            )
            try:
                [online] = await _receive(listener, 1)
            finally:
                child.kill()
                child.wait()
            [offline] = await _receive(listener, 1)
    assert Presence.decode(online.payload) == Presence("online")
    assert Presence.decode(offline.payload) == Presence("offline", "lost")


@runs
async def test_a_broker_that_hangs_is_told_from_one_that_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "_STALL_S", 0.5)
    monkeypatch.setattr(mqtt, "_CLOSE_S", 0.2)
    with mosquitto(tmp_path / "broker") as broker:
        async with post(tmp_path / "station") as station:
            async with station.delivering(broker.url):
                await until(lambda: station.state("").level == "ok")
                broker.signal(signal.SIGSTOP)
                await station.append()
                await until(lambda: station.state("").level == "down")
                assert "does not answer" in station.state("").text.en
            broker.signal(signal.SIGCONT)


@runs
async def test_a_half_open_line_is_found_by_its_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is on its way, TCP is well, and the other end answers no more."""
    monkeypatch.setattr(paho_client, "_KEEPALIVE_S", 1)
    monkeypatch.setattr(mqtt, "_CLOSE_S", 0.2)
    with mosquitto(tmp_path / "broker") as broker:
        async with post(tmp_path / "station") as station, station.delivering(broker.url):
            await until(lambda: station.state("").level == "ok")
            broker.signal(signal.SIGSTOP)
            await until(lambda: station.state("").level == "down")
            broker.signal(signal.SIGCONT)
            await until(lambda: station.state("").level == "ok")


@runs
async def test_what_the_centre_signs_comes_in_and_shows(tmp_path: Path) -> None:
    """Cosignature and command, from the case system through the broker into the log."""
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre") as centre,
            station.delivering(broker.url, centre_key=centre.verifier_key),
        ):
            for number in range(5):
                await station.append(urgent=number == 3)
            await until(station.is_empty)
            await until(lambda: station.count("checkpoints_sent"))

            async def cosigned() -> bool:
                return await station.store.cosigned_size() >= 1

            await until(cosigned)
            assert station.health.snapshot().states["log"].level == "ok"


@runs
async def test_an_access_list_that_forbids_a_record_is_said_by_its_topic(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    allowed = (f"topic write {topic}\n" for topic in (TOPICS.state, TOPICS.checkpoint))
    rules.write_text(f"topic read wim/v1/{STATION}/down/#\n{''.join(allowed)}")
    with mosquitto(tmp_path / "broker", f"acl_file {rules}") as broker:
        async with (
            post(tmp_path / "station") as station,
            # It may be back before the centre is, and then sends again.
            station.delivering(broker.url, receipt_timeout_s=0.5),
        ):
            await until(lambda: station.state("access").level == "warning")
            assert "does not authorise" in station.state("access").text.en
            await station.append()
            await until(lambda: station.state("").level == "down")
            assert TOPICS.records in station.state("").text.en
            assert (await station.store.outbox_summary()).waiting == 1
            rules.write_text("topic readwrite wim/v1/#\n")
            broker.reload()  # mended without a restart of anything
            async with case_system(broker.url, tmp_path / "centre"):
                await until(station.is_empty)


@runs
async def test_an_access_list_that_drops_silently_is_said_for_3_1_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink, "VERSIONS", (MQTT_311,))
    rules = tmp_path / "acl"
    rules.write_text(f"topic read wim/v1/{STATION}/down/#\n")
    with mosquitto(tmp_path / "broker", f"acl_file {rules}") as broker:
        async with (
            post(tmp_path / "station") as station,
            station.delivering(broker.url, receipt_timeout_s=0.5),
        ):
            for _ in range(3):
                await station.append(urgent=True)
            await until(lambda: "(MQTT 3.1.1)" in station.state("receipts").text.en)
            assert "access list" in station.state("receipts").next_step.en


@runs
async def test_a_wrong_password_is_said_in_plain_words(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    made = ["mosquitto_passwd", "-b", "-c", str(passwords), "S1", "right"]
    subprocess.run(made, check=True, capture_output=True)
    secret = tmp_path / "station" / "password"
    secret.parent.mkdir()
    secret.touch(mode=0o600)
    lines = ("allow_anonymous false", f"password_file {passwords}")
    with mosquitto(tmp_path / "broker", *lines) as broker:
        async with post(tmp_path / "station") as station:
            login = {"username": "S1", "password_file": Path("password")}
            secret.write_text("wrong\n")
            async with station.delivering(broker.url, **login):
                await until(lambda: station.state("").level == "down")
                state = station.state("")
                assert "用户名或密码错误" in state.text.zh
                assert "password_file" in state.next_step.en
                assert "wrong\n" not in str(state)
                secret.write_text("right\n")  # mended without a restart
                await until(lambda: station.state("").level == "ok")


@runs
async def test_an_access_list_that_forbids_to_publish_is_said_in_plain_words(
    tmp_path: Path,
) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic read wim/v1/#\n")
    with mosquitto(tmp_path / "broker", f"acl_file {rules}") as broker:
        async with _listener(broker) as link:
            with pytest.raises(LinkDown, match="does not authorise"):
                await link.publish(TOPICS.state, b"{}")


@pytest.mark.parametrize("version", [MQTT_5, MQTT_311])
def test_both_versions_of_the_protocol_carry_messages_both_ways(
    tmp_path: Path, version: int
) -> None:
    async def talk(broker: Mosquitto) -> None:
        async with _listener(broker, version) as link:
            assert link.version == version
            await link.subscribe("a/b")
            await link.publish("a/b", b"\x00\xff", expiry_s=60)
            [message] = await _receive(link, 1)
            assert (message.topic, message.payload, message.retained) == ("a/b", b"\x00\xff", False)

    with mosquitto(tmp_path / "broker") as broker:
        asyncio.run(talk(broker))


@runs
async def test_a_message_that_was_not_accepted_comes_again(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with _listener(broker) as link:
            await link.subscribe("a/b")
            await link.publish("a/b", b"first")
            await link.publish("a/b", b"second")
            link.accept((await _receive(link, 2))[0])
        async with _listener(broker) as link:
            [message] = await _receive(link, 1)
            assert message.payload == b"second"


@runs
async def test_cancelling_at_any_moment_of_a_connection_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with post(tmp_path / "station") as station:
            for delay_ms in (0, 1, 2, 4, 8, 16, 32, 64):
                task = asyncio.create_task(station.uplink(broker.url).connect())
                await asyncio.sleep(delay_ms / 1e3)
                task.cancel()
                began = time.monotonic()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert time.monotonic() - began < 30


@runs
async def test_a_closed_port_is_said_in_plain_words(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    async with post(tmp_path / "station") as station:
        with pytest.raises(LinkDown, match="the port is closed") as caught:
            await station.uplink(broker.url).connect()
    assert "[uplink] broker" in caught.value.next_step.en


async def _receive(link: Link, count: int) -> list[Message]:
    messages: list[Message] = []
    async with asyncio.timeout(60):
        while len(messages) < count:
            messages += await link.receive()
    return messages
