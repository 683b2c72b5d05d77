"""One connection to an MQTT broker, for asyncio: paho's network thread beneath, futures above.

A ``Link`` lives until its line is lost and is never used again, so paho's queue, which is memory
only, never carries a message over to the next connection. Callbacks of paho only hand over to
the event loop. MQTT 5 is tried first, then 3.1.1 (OASIS Standards of 2019 and 2014).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import paho.mqtt.client as paho

from edge.errors import LinkDown
from edge.uplink import refusals
from edge.uplink.access import Access
from edge.uplink.acks import Acks
from edge.uplink.certificates import broker_validity
from edge.uplink.inbox import Inbox
from edge.uplink.paho_client import (
    CONNECT_S,
    MQTT_5,
    MQTT_311,
    Handlers,
    Message,
    Will,
    clear_callbacks,
    connect_arguments,
    expiry,
    make_client,
)

log = logging.getLogger("steelyard.uplink")

VERSIONS = (MQTT_5, MQTT_311)

_CLOSE_S = 2.0
_FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5.0, 2.4)."""
_FRAME_BYTES = 64
"""Upper bound of a PUBLISH beside topic and payload: header, lengths, id, expiry."""
_UNLIMITED = 268_435_455


@asynccontextmanager
async def open_link(
    access: Access,
    *,
    client_id: str,
    will: Will | None = None,
    window: int = 20,
    versions: Sequence[int] = VERSIONS,
) -> AsyncIterator[Link]:
    """Connect, with the first of ``versions`` that the broker takes; disconnect in the end.

    Raises
    ------
    LinkDown
        No broker there, or it refuses; in plain words.
    """
    for version in versions:
        link = Link(access, client_id, version, will, window)
        try:
            await link.connect()
            yield link
            return
        except LinkDown:
            if link.is_understood or version == versions[-1]:
                raise
        finally:
            await link.close()


class Link:
    """An open connection: ``publish`` ends with the broker's acknowledgement."""

    def __init__(
        self, access: Access, client_id: str, version: int, will: Will | None, window: int
    ) -> None:
        self.version = version
        self.is_understood = True
        """False where the broker does not speak this version, or hung up on it."""
        self.max_packet_bytes = _UNLIMITED
        self.certificates = access.certificates
        self._retains = True
        self._access = access
        self._broker = str(access)
        self._loop = asyncio.get_running_loop()
        self._window = window
        self._room = asyncio.Semaphore(window)
        self._answered = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: LinkDown | None = None
        self._acks = Acks()
        self._watch: asyncio.Task[None] | None = None
        self._inbox = Inbox()
        self._client = make_client(access, client_id, version, will, self._handlers())
        self._thread = threading.Thread(target=self._turn, name=f"mqtt-{client_id}", daemon=True)

    def _handlers(self) -> Handlers:
        return Handlers(
            connack=partial(self._hand_over, self._on_connack),
            disconnect=partial(self._hand_over, self._on_disconnect),
            ack=partial(self._hand_over, self._acks.take),
            message=self._on_message,
        )

    @property
    def overflows(self) -> int:
        """Messages that were let go because too many waited."""
        return self._inbox.overflows

    def _hand_over(self, function: Callable[..., None], *args: Any) -> None:
        self._loop.call_soon_threadsafe(function, *args)

    # ------------------------------------------------------------------------------------------
    # Used by the rooms

    async def connect(self) -> None:
        """Connect once; ``open_link`` does it."""
        arguments = connect_arguments(self._access, self.version, self._window)
        try:
            await asyncio.to_thread(self._client.connect, **arguments)
        except (OSError, UnicodeError) as error:
            raise refusals.unreachable(self._broker, error, self.certificates) from error
        self._note_peer()
        self._thread.start()
        self._watch = asyncio.create_task(self._watch_acks(), name="mqtt-acks")
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._answered.wait()
        except TimeoutError:
            raise refusals.mute(self._broker) from None
        self._raise_if_ended()

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expiry_s: int | None = None,
        answered: asyncio.Future[bool] | None = None,
    ) -> int:
        """Publish with QoS 1; returns the reason code when the broker acknowledged.

        ``answered`` is done when the centre itself has answered the message: a broker that
        delivers and yet does not acknowledge is given little time from then on.

        Raises
        ------
        PublishRefused
            The broker refused this message; the line works.
        MessageTooLarge
            Larger than the broker takes; it was not sent.
        LinkDown
            The line was lost; nothing is known of the message's fate.
        """
        size_bytes = self.overhead_bytes(topic) + len(payload)
        if size_bytes > self.max_packet_bytes:
            raise refusals.too_large(size_bytes, self.max_packet_bytes)
        async with self._room:
            self._raise_if_ended()
            properties = expiry(self.version, expiry_s)
            info = self._client.publish(topic, payload, 1, retain and self._retains, properties)
            code = await self._acknowledged(info.mid, answered)
        if code >= _FAILURE:
            raise refusals.publish_refused(self._broker, code, topic)
        return code

    async def subscribe(self, topic: str) -> None:
        """Subscribe with QoS 1; returns when the broker granted it."""
        self._raise_if_ended()
        _, mid = self._client.subscribe(topic, 1)
        if mid is None:
            raise refusals.lost(self._broker)
        code = await self._acknowledged(mid)
        if code >= _FAILURE:
            raise refusals.subscription_refused(self._broker, code, topic)

    async def receive(self, most: int = 64) -> list[Message]:
        """The messages that wait, at least one; raises LinkDown when the line is lost."""
        self._raise_if_ended()
        messages = await self._inbox.take(most)
        self._raise_if_ended()
        return messages

    def accept(self, message: Message) -> None:
        """Acknowledge a message: the broker may forget it."""
        if message.qos:
            self._client.ack(message.mid, message.qos)

    def overhead_bytes(self, topic: str) -> int:
        """Bytes of a PUBLISH beside its payload, at most."""
        return _FRAME_BYTES + len(topic.encode())

    async def close(self) -> None:
        """Disconnect and join the network thread; a broker that hangs is cut off."""
        if self._answered.is_set() and not self._ended.is_set():
            self._client.disconnect()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._ended.wait()
        self._cut()
        if self._watch:
            self._watch.cancel()
        if self._thread.is_alive():
            await asyncio.shield(asyncio.to_thread(self._thread.join))
        clear_callbacks(self._client)
        del self._client  # paho closes its last sockets when nothing holds it any more

    # ------------------------------------------------------------------------------------------
    # Inside

    def _turn(self) -> None:
        """paho's network loop. Whatever ends it, those who wait are told."""
        try:
            while self._client.loop() == paho.MQTT_ERR_SUCCESS:
                pass
        except Exception:  # paho raises on a malformed packet: the line ends, not the station
            log.exception("MQTT: defect on the line to %s", self._broker)
        finally:
            self._hand_over(self._on_end)

    async def _acknowledged(self, mid: int, answered: asyncio.Future[bool] | None = None) -> int:
        code = await self._acks.wait(mid, answered)
        if code is None:
            raise self._error or refusals.lost(self._broker)
        return code

    async def _watch_acks(self) -> None:
        await self._acks.overdue()
        self._end(refusals.mute(self._broker))

    def _raise_if_ended(self) -> None:
        if self._error:
            raise self._error

    def _on_connack(self, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.is_understood = reason.value != refusals.UNSUPPORTED_PROTOCOL
            self._end(refusals.refused_at_door(self._broker, reason.value, str(reason)))
            return
        self.max_packet_bytes = getattr(properties, "MaximumPacketSize", _UNLIMITED)
        self._retains = bool(getattr(properties, "RetainAvailable", 1))
        self._room = asyncio.Semaphore(
            min(self._window, getattr(properties, "ReceiveMaximum", self._window))
        )
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._end(refusals.refused(self._broker, refusals.QOS_NOT_SUPPORTED, "QoS"))
        self._answered.set()

    def _on_disconnect(self, from_broker: bool, reason: Any) -> None:
        alert = self._access.tls.alert if self._access.tls else ""
        if from_broker:
            error = refusals.refused(self._broker, reason.value, str(reason))
        elif alert:
            error = refusals.alerted(self._broker, alert, self._access.certificates)
        else:
            error = refusals.lost(self._broker)
        self.is_understood &= bool(alert) or self._answered.is_set()
        self._end(error)

    def _note_peer(self) -> None:
        """The broker's certificate is watched as well as our own."""
        sock = self._client.socket()
        if isinstance(sock, ssl.SSLSocket) and (peer := sock.getpeercert()):
            self.certificates = (*self._access.certificates, broker_validity(peer))

    def _on_end(self) -> None:
        self._end(refusals.lost(self._broker))
        self._ended.set()

    def _on_message(self, message: Message) -> None:
        """In the network thread: it waits here rather than read on without end."""
        self._inbox.count(message)
        self._hand_over(self._inbox.put, message)
        self._inbox.pause()

    def _end(self, error: LinkDown) -> None:
        """The first reason stands; everybody who waits is told."""
        self._error = self._error or error
        self._answered.set()
        self._inbox.end()
        self._acks.end()

    def _cut(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
