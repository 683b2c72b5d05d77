"""A link to a broker that misbehaves: always a plain word, never a hang, never a dead thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from edge.errors import LinkDown
from edge.uplink import acks, mqtt
from edge.uplink.access import Access
from edge.uplink.mqtt import open_link
from edge.uplink.paho_client import MQTT_5, MQTT_311
from edge.uplink.refusals import NO_SUBSCRIBER, MessageTooLarge, PublishRefused

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

CONNACK_5 = b"\x20\x03\x00\x00\x00"
CONNACK_311 = b"\x20\x02\x00\x00"


def _protocol(connect: bytes) -> int:
    """Protocol level in a CONNECT packet (MQTT 3.1.1 and 5.0, 3.1.2.2)."""
    start = connect.index(b"MQTT")
    return connect[start + 4]


@contextlib.asynccontextmanager
async def _broker(talk: Talk) -> AsyncIterator[Access]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Access("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await asyncio.sleep(0.01)


def _sends(*packets: bytes, then_close: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(b"".join(packets))
        await writer.drain()
        if not then_close:
            await reader.read()

    return talk


def _connect(talk: Talk, *, versions: tuple[int, ...] = (MQTT_5,)) -> mqtt.Link:
    """Connect and read one message; the link as it was left."""

    async def run() -> mqtt.Link:
        async with (
            _broker(talk) as access,
            open_link(access, client_id="x", versions=versions) as link,
        ):
            if versions == (MQTT_5,):
                await link.receive()
        return link

    return asyncio.run(run())


def test_a_broker_of_3_1_1_that_says_so_is_spoken_to_in_3_1_1() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        known = _protocol(await reader.read(1_000)) == MQTT_311
        writer.write(CONNACK_311 if known else b"\x20\x02\x00\x01")
        await reader.read()

    assert _connect(talk, versions=(MQTT_5, MQTT_311)).version == MQTT_311


def test_a_broker_of_3_1_1_that_just_hangs_up_is_spoken_to_in_3_1_1() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if _protocol(await reader.read(1_000)) == MQTT_311:
            writer.write(CONNACK_311)
            await reader.read()

    assert _connect(talk, versions=(MQTT_5, MQTT_311)).version == MQTT_311


def test_a_broker_that_hangs_up_on_every_version_is_down() -> None:
    with pytest.raises(LinkDown, match="connection was lost"):
        _connect(_sends(then_close=True), versions=(MQTT_5, MQTT_311))


def test_a_broker_that_says_nothing_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "CONNECT_S", 0.1)
    with pytest.raises(LinkDown, match="does not answer"):
        _connect(_sends())


@pytest.mark.parametrize(
    ("code", "words"), [(0x86, "password"), (0x87, "password"), (0x88, "not available")]
)
def test_a_refusal_is_said_once_and_the_next_version_is_not_tried(code: int, words: str) -> None:
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(_protocol(await reader.read(1_000)))
        writer.write(bytes([0x20, 0x03, 0x00, code, 0x00]))
        await reader.read()

    with pytest.raises(LinkDown, match=words):
        _connect(talk, versions=(MQTT_5, MQTT_311))
    assert connections == [MQTT_5]


@pytest.mark.parametrize(
    "packet",
    [
        b"\x32\x04\xff\xff\x00\x00",  # PUBLISH whose topic is longer than the packet
        b"\x32\x05\x00\x02\xff\xfe\x00",  # PUBLISH whose topic is no UTF-8, cut short
        b"\x32\x07\x00\x02\xff\xfe\x00\x01\x00",  # PUBLISH whose topic is no UTF-8
        b"\x40\x00",  # PUBACK of nothing
        b"\x90\x01\x00",  # SUBACK cut short
        b"\xf0\xff\xff\xff\xff\xff",  # a length that never ends
        b"\x00\x00",  # no such packet
        b"\xe0\x02\x8e\x00",  # DISCONNECT: session taken over
    ],
)
def test_a_malformed_packet_ends_the_line_and_not_the_station(
    packet: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    with pytest.raises(LinkDown):
        _connect(_sends(CONNACK_5, packet, then_close=True))


def test_the_brokers_limits_are_kept() -> None:
    maximum_packet_size, receive_maximum = b"\x27\x00\x00\x01\x00", b"\x21\x00\x02"
    properties = maximum_packet_size + receive_maximum
    connack = bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties
    publishes: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(connack)
        while data := await reader.read(10_000):
            publishes.append(data)

    async def run() -> None:
        async with (
            _broker(talk) as access,
            open_link(access, client_id="x", window=20, versions=(MQTT_5,)) as link,
        ):
            with pytest.raises(MessageTooLarge, match="256"):
                await link.publish("a", bytes(250))
            tasks = [asyncio.create_task(link.publish("a", b"%d" % n)) for n in range(10)]
            async with asyncio.timeout(60):
                while b"".join(publishes).count(b"\x00\x01a") < 2:
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert b"".join(publishes).count(b"\x00\x01a") == 2

    asyncio.run(run())


def test_who_waits_for_an_acknowledgement_is_told_when_the_line_ends() -> None:
    async def run() -> None:
        async with (
            _broker(_sends(CONNACK_311, then_close=False)) as access,
            open_link(access, client_id="x", versions=(MQTT_311,)) as link,
        ):
            waiting = [asyncio.create_task(link.publish("a", b"")) for _ in range(3)]
            await asyncio.sleep(0.05)
            link._cut()
            for task in waiting:
                with pytest.raises(LinkDown):
                    await task
            with pytest.raises(LinkDown):
                await link.publish("a", b"")

    asyncio.run(run())


def test_an_unknown_host_and_an_impossible_one_are_said_in_plain_words() -> None:
    async def connect(host: str) -> None:
        async with open_link(Access(host, 1883), client_id="x"):
            pass

    for host in ("no-such-host.invalid", "a..b", "x" * 300):
        with pytest.raises(LinkDown, match="host name is unknown"):
            asyncio.run(connect(host))


def _publishes(data: bytes) -> list[int]:
    """Packet ids of the PUBLISH packets with the topic ``a`` in some bytes."""
    pieces = data.split(b"\x00\x01a")[1:]
    return [int.from_bytes(piece[:2], "big") for piece in pieces]


def _acknowledges(code: int | None) -> Talk:
    """A broker that acknowledges every PUBLISH with a reason code, or never."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)
        writer.write(CONNACK_5)
        while data := await reader.read(10_000):
            for mid in _publishes(data) if code is not None else ():
                writer.write(b"\x40\x04" + mid.to_bytes(2, "big") + bytes([code or 0, 0]))

    return talk


async def _publish(talk: Talk, answered: asyncio.Future[bool] | None = None) -> int:
    async with (
        _broker(talk) as access,
        open_link(access, client_id="x", versions=(MQTT_5,)) as link,
    ):
        return await link.publish("a", b"x", answered=answered)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (128, "does not say why"),
        (135, "does not authorise this station to publish a"),
        (144, "does not take this topic"),
        (151, "full: its quota is used up"),
        (153, "does not take this content"),
    ],
)
def test_a_refused_message_names_its_reason_and_leaves_the_line(code: int, words: str) -> None:
    with pytest.raises(PublishRefused, match=words) as caught:
        asyncio.run(_publish(_acknowledges(code)))
    assert caught.value.code == code
    assert caught.value.next_step.en


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (147, "full: too much at once"),
        (149, "a message is too large"),
        (150, "full: messages come too fast"),
        (151, "full: its quota is used up"),
        (142, "another machine uses the same station id"),
        (157, "the broker has moved"),
        (159, "connections come too fast"),
    ],
)
def test_a_broker_that_hangs_up_with_a_reason_is_told_apart(code: int, words: str) -> None:
    disconnect = bytes([0xE0, 2, code, 0])
    with pytest.raises(LinkDown, match=words) as caught:
        _connect(_sends(CONNACK_5, disconnect))
    assert caught.value.next_step.en


def test_a_broker_that_has_nobody_to_give_a_message_to_says_so() -> None:
    assert asyncio.run(_publish(_acknowledges(16))) == NO_SUBSCRIBER


def test_a_line_on_which_only_acknowledgements_are_cut_is_left_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The centre has answered the message, so it went through; its acknowledgement did not."""
    monkeypatch.setattr(acks, "_HURRY_S", 0.1)

    async def run() -> None:
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.2, answered.set_result, True)
        async with asyncio.timeout(60):
            await _publish(_acknowledges(None), answered)

    with pytest.raises(LinkDown, match="does not answer"):
        asyncio.run(run())


def test_a_broker_without_acknowledged_delivery_is_of_no_use() -> None:
    maximum_qos = b"\x24\x00"
    connack = bytes([0x20, 3 + len(maximum_qos), 0, 0, len(maximum_qos)]) + maximum_qos
    with pytest.raises(LinkDown, match="no acknowledged delivery"):
        _connect(_sends(connack))
