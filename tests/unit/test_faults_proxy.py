"""The proxy of the fault trials: frames as MQTT cuts them, lines that break where a trial says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from simulator.faults.proxy import PUBACK, PUBLISH, Proxy, without

SMALL = bytes([PUBLISH << 4, 3]) + b"abc"
LONG = bytes([PUBLISH << 4, 0xC8, 0x01]) + b"/up/blob/" + bytes(191)
"""200 bytes follow: 0xC8 0x01 (MQTT 3.1.1, table 2.4)."""
ACK = bytes([PUBACK << 4, 2, 0, 7])


class Broker:
    """Takes one connection, keeps what comes, can answer."""

    def __init__(self) -> None:
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        line, _ = self._door.accept()
        with line:
            while data := line.recv(1_000):
                self.heard += data
                if SMALL in data:
                    line.sendall(ACK + SMALL)

    def end(self) -> None:
        self._thread.join(5)
        self._door.close()


@pytest.fixture
def broker() -> Iterator[Broker]:
    broker = Broker()
    yield broker
    broker.end()


def test_a_frame_goes_on_whole_however_it_comes(broker: Broker) -> None:
    with Proxy(broker.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as line:
        for byte in LONG + SMALL:
            line.send(bytes([byte]))
        assert line.recv(100)
    broker.end()
    assert broker.heard == LONG + SMALL


def test_a_line_breaks_in_the_middle_of_what_is_meant(broker: Broker) -> None:
    with Proxy(broker.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as line:
        proxy.cut_inside(lambda frame: b"/up/blob/" in frame)
        line.sendall(b"\xc0\x00" + LONG + LONG)
        assert line.recv(100) == b""
        assert proxy.cuts == 1
    broker.end()
    assert broker.heard == b"\xc0\x00" + LONG[: len(LONG) // 2]


def test_acknowledgements_alone_vanish(broker: Broker) -> None:
    with Proxy(broker.port) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as line:
        proxy.down = without(PUBACK)
        line.sendall(SMALL)
        assert line.recv(100) == SMALL
        assert proxy.swallowed == 1
