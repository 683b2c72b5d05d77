"""The yardstick of delivery: paho with QoS 1 and one subscriber, and nothing else.

Two processes and a broker. Nobody seals, proves, stores or answers: what comes is counted. It is
given the same bytes and the same window as the uplink.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import LinkDown
from simulator.children import die_with_parent

__all__ = ["Carried", "Files", "Records", "carry"]

_TOPIC = "bare"
_QUEUED_WINDOWS = 4
_START_S = 60.0
_MOST_S = 1_800.0


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a station's database, each with its private part as one message."""

    database: Path
    preload: ClassVar[bool] = True
    """Read into memory before the clock starts."""

    def __iter__(self) -> Iterator[bytes]:
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(
                "SELECT canonical, data FROM records LEFT JOIN private USING (idx) ORDER BY idx"
            ).fetchall()
        yield from (canonical + (private or b"") for canonical, private in rows)


@dataclass(frozen=True, slots=True)
class Files:
    """All files below a directory in pieces, each a message."""

    directory: Path
    chunk_bytes: int
    preload: ClassVar[bool] = False

    def __iter__(self) -> Iterator[bytes]:
        for path in sorted(p for p in self.directory.rglob("*") if p.is_file()):
            with path.open("rb") as file:
                while chunk := file.read(self.chunk_bytes):
                    yield chunk


@dataclass(frozen=True, slots=True)
class Carried:
    """What went through, from the first publish to the last of both ends."""

    messages: int
    bytes: int
    seconds: float


def carry(port: int, source: Records | Files, window: int) -> Carried:
    """Publish all of ``source`` and wait until the subscriber has it and all is acknowledged.

    Raises
    ------
    LinkDown
        A process did not come up, or did not end.
    """
    messages = sum(1 for _ in source)
    with _process(_subscribe, port, messages) as counting:
        _expect(counting, _START_S)
        with _process(_publish, port, source, window) as publishing:
            _expect(publishing, _START_S)
            publishing.send(None)
            began_s, acknowledged_s = _expect(publishing, _MOST_S)
            received_s, size_bytes = _expect(counting, _MOST_S)
    return Carried(messages, size_bytes, max(received_s, acknowledged_s) - began_s)


@contextlib.contextmanager
def _process(target: Any, *arguments: Any) -> Iterator[Connection]:
    fresh = multiprocessing.get_context("spawn")
    here, there = fresh.Pipe()
    process = fresh.Process(target=target, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.terminate()
        process.join()
        here.close()


def _expect(pipe: Connection, within_s: float) -> Any:
    with contextlib.suppress(EOFError):
        if pipe.poll(within_s):
            return pipe.recv()
    raise LinkDown("对照程序没有回答", "the yardstick does not answer")


def _connected(port: int, window: int = 0) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(window)
    client.connect("127.0.0.1", port)
    return client


def _subscribe(pipe: Connection, port: int, messages: int) -> None:
    die_with_parent()
    client = _connected(port)
    seen = size_bytes = 0

    def take(_client: Any, _userdata: Any, message: Any) -> None:
        nonlocal seen, size_bytes
        seen += 1
        size_bytes += len(message.payload)
        if seen == messages:
            pipe.send((time.monotonic(), size_bytes))

    client.on_message = take
    client.on_subscribe = lambda *_: pipe.send(None)
    client.subscribe(_TOPIC, 1)
    client.loop_forever()


def _publish(pipe: Connection, port: int, source: Records | Files, window: int) -> None:
    die_with_parent()
    client = _connected(port, window)
    room = threading.Semaphore(_QUEUED_WINDOWS * window)
    client.on_publish = lambda *_: room.release()
    client.loop_start()
    payloads = list(source) if source.preload else source
    pipe.send(None)
    pipe.recv()
    began_s = time.monotonic()
    for payload in payloads:
        room.acquire()
        client.publish(_TOPIC, payload, 1)
    for _ in range(_QUEUED_WINDOWS * window):
        room.acquire()
    pipe.send((began_s, time.monotonic()))
    client.disconnect()
    client.loop_stop()
    pipe.poll(_START_S)
