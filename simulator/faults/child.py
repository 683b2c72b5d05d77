"""Child processes of a trial: started, killed, stopped; what they say goes into a file.

Each dies with the process that started it, whatever happens to that one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.errors import ConfigError, LinkDown
from simulator.broker import free_port
from simulator.children import die_with_parent

_STOP_S = 12.0
_LOOK_S = 0.02
START_S = 180.0
"""Longest wait for a start: far beyond what it takes, for machines that do much else."""
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"


class Child:
    """A process of a trial; ``with`` ends it."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log_file: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = [str(argument) for argument in arguments]
        self._log_file = log_file
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._said_from = 0

    @classmethod
    def steelyard(
        cls,
        arguments: Sequence[str | Path],
        log_file: Path,
        *,
        module: str = "edge.cli",
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """A command of Steelyard; ``module`` may wrap the command line."""
        return cls([sys.executable, "-m", module, *arguments], log_file, environment=environment)

    def start(self) -> Self:
        """Start it; its words from now on are what ``said`` gives."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._said_from = log.tell()
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
                env=self._environment,
            )
        return self

    def until_said(self, word: str, within_s: float = START_S) -> Self:
        """Wait until it has said ``word`` since its start.

        Raises
        ------
        LinkDown
            It ended, or the time was over; the message holds its last words.
        """
        deadline_s = time.monotonic() + within_s
        while word not in self.said():
            if not self.is_alive or time.monotonic() > deadline_s:
                words = self.said()[-800:]
                raise LinkDown(f"子进程没有启动：{words}", f"a part did not start: {words}")
            time.sleep(_LOOK_S)
        return self

    def said(self) -> str:
        """What it has said since its start."""
        with self._log_file.open("rb") as log:
            log.seek(self._said_from)
            return log.read().decode(errors="replace")

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running().send_signal(number)

    def kill(self) -> None:
        """End it without a farewell, as kill -9 does."""
        process = self._running()
        process.kill()
        process.wait()

    def wait(self, within_s: float) -> int:
        """Its exit code; killed if it does not end by itself in time."""
        process = self._running()
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return process.wait()

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end so long, at most; it goes on if it has not ended."""
        try:
            self._running().wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> int:
        """Ask it to end; insist after a while. Its exit code."""
        process = self._running()
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        return self.wait(_STOP_S)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ValueError("the child was not started")
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.stop()


class Mosquitto:
    """Debian's Mosquitto with its default persistence: every half hour, so never in a trial."""

    def __init__(self, directory: Path, *lines: str) -> None:
        program = shutil.which("mosquitto", path=_SYSTEM_PATH)
        if program is None:
            raise ConfigError(
                "没有安装 mosquitto",
                "mosquitto is not installed",
                next_zh="安装系统软件包 mosquitto",
                next_en="install the system package mosquitto",
            )
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "mosquitto.conf"
        config.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    "user root",
                    "allow_anonymous true",
                    "persistence true",
                    f"persistence_location {directory}/",
                    *lines,
                    "",
                ]
            )
        )
        self._child = Child([program, "-c", config], directory / "mosquitto.log")

    def start(self) -> Self:
        """Start, and wait until it accepts."""
        self._child.start()
        until(lambda: _accepts(self.port), START_S, "mosquitto")
        return self

    def kill(self) -> None:
        """As a power cut would."""
        self._child.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.stop()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait until a condition holds.

    Raises
    ------
    LinkDown
        The time was over; ``what`` stands in the message.
    """
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise LinkDown(f"{what}：{within_s} 秒内没有", f"{what}: not within {within_s} s")
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def ending(children: Sequence[Child]) -> Iterator[None]:
    """End all children whatever happens, the last one first."""
    with contextlib.ExitStack() as stack:
        for child in children:
            stack.enter_context(child)
        yield
