"""Brokers of the tests: Debian's Mosquitto on a free port, killed and started as a test wants."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from simulator.broker import free_port

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

needs_mosquitto = pytest.mark.broker


class Mosquitto:
    """A Mosquitto with its own directory; ``lines`` are added to its configuration.

    It keeps nothing on the disk: what it had acknowledged is gone when it is killed.
    """

    def __init__(self, directory: Path, *lines: str, url_scheme: str = "mqtt") -> None:
        self._directory = directory
        self.port = free_port()
        self.url = f"{url_scheme}://localhost:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._config = directory / "mosquitto.conf"
        if not any(line.startswith("allow_anonymous") for line in lines):
            lines += ("allow_anonymous true",)
        listener = f"listener {self.port} 127.0.0.1"
        self._config.write_text("\n".join([listener, "user root", *lines, ""]))

    def start(self) -> None:
        """Start, and wait until it accepts."""
        assert MOSQUITTO
        with (self._directory / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [MOSQUITTO, "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError(self._told())

    def kill(self) -> None:
        """As a power cut would."""
        self.signal(signal.SIGKILL)
        assert self._process
        self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP."""
        assert self._process
        self._process.send_signal(number)

    def reload(self) -> None:
        """Have it read its access lists again, and wait until it has begun to."""
        told = self._told()
        self.signal(signal.SIGHUP)
        deadline = time.monotonic() + 60
        while "Reloading config" not in self._told()[len(told) :]:
            assert time.monotonic() < deadline, self._told()
            time.sleep(0.02)

    def _told(self) -> str:
        return (self._directory / "mosquitto.log").read_text()

    def stop(self) -> None:
        """End it if it runs."""
        if self._process:
            self.signal(signal.SIGCONT)
            self.kill()


@contextmanager
def mosquitto(directory: Path, *lines: str, url_scheme: str = "mqtt") -> Iterator[Mosquitto]:
    """A running Mosquitto."""
    broker = Mosquitto(directory, *lines, url_scheme=url_scheme)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
