"""paho set up for one connection: no reconnect, no queue, no write outside the network thread."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.uplink.access import Access

MQTT_5, MQTT_311 = int(paho.MQTTv5), int(paho.MQTTv311)

CONNECT_S = 10.0
_KEEPALIVE_S = 30
"""A peer that answers nothing for twice this time is gone, whatever TCP says."""
_DEAD_PEER_MS = 20_000
_SESSION_S = 7 * 24 * 3600
_LEAST_RECEIVE_MAXIMUM = 20
_MOST_RECEIVED_BYTES = 1024 * 1024
"""No message of ours is larger; a larger one could only be meant to fill the memory."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when the line is lost."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A message from the broker; it comes again until it is accepted."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    mid: int


class Handlers(NamedTuple):
    """Who is told of what; called in the network thread."""

    connack: Callable[[Any, Any], None]
    disconnect: Callable[[bool, Any], None]
    ack: Callable[[int, int], None]
    message: Callable[[Message], None]


def make_client(
    access: Access, client_id: str, version: int, will: Will | None, tell: Handlers
) -> paho.Client:
    """A client for one connection; ``connect_arguments`` says how it connects."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=False if version == MQTT_311 else None,
        protocol=MQTTProtocolVersion(version),
        reconnect_on_failure=False,
        manual_ack=True,
    )
    client.connect_timeout = CONNECT_S
    client.max_inflight_messages_set(0)  # the link keeps the window, nothing waits in paho
    client.username_pw_set(access.username, access.password)
    if access.tls:
        client.tls_set_context(access.tls)
    if will:
        client.will_set(will.topic, will.payload, qos=1, retain=True)
    client.on_socket_open = _watch_peer
    client.on_socket_register_write = _leave_to_thread
    _set_callbacks(client, tell)
    return client


def _set_callbacks(client: paho.Client, tell: Handlers) -> None:
    client.on_connect = lambda _c, _u, _f, reason, properties: tell.connack(reason, properties)
    client.on_disconnect = lambda _c, _u, flags, reason, _p: tell.disconnect(
        flags.is_disconnect_packet_from_server, reason
    )
    client.on_publish = lambda _c, _u, mid, reason, _p: tell.ack(mid, reason.value)
    client.on_subscribe = lambda _c, _u, mid, reasons, _p: tell.ack(
        mid, max(reason.value for reason in reasons)
    )
    client.on_message = lambda _c, _u, m: tell.message(
        Message(m.topic, bytes(m.payload), m.retain, m.qos, m.mid)
    )


def clear_callbacks(client: paho.Client) -> None:
    """Let go of the handlers, so that the client and its sockets end with their last holder."""
    for name in ("connect", "disconnect", "publish", "subscribe", "message"):
        setattr(client, f"on_{name}", None)


def connect_arguments(access: Access, version: int, window: int) -> dict[str, Any]:
    """Arguments of ``Client.connect``: a session that outlives the connection."""
    arguments = {"host": access.host, "port": access.port, "keepalive": _KEEPALIVE_S}
    if version == MQTT_311:
        return arguments
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = _SESSION_S
    properties.ReceiveMaximum = max(window, _LEAST_RECEIVE_MAXIMUM)
    properties.MaximumPacketSize = _MOST_RECEIVED_BYTES
    return {**arguments, "clean_start": False, "properties": properties}


def expiry(version: int, expiry_s: int | None) -> Properties | None:
    """The property by which a broker drops a message that has become old; MQTT 5 only."""
    if expiry_s is None or version == MQTT_311:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = expiry_s
    return properties


def _watch_peer(_client: Any, _userdata: Any, sock: Any) -> None:
    """TCP itself finds a dead peer: a slow line is not a dead one, so no timer of ours can."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
    # An acknowledgement must not wait for the peer's delayed ACK of the message before it.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_to_thread(_client: Any, _userdata: Any, _sock: Any) -> None:
    """Being set keeps paho from writing in the thread of whoever publishes."""
