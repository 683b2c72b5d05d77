"""A small HTTP/1.1 door for devices on the station's own network: one POST, one answer.

Everything a peer can do is bounded: time to send the head, time to send the body (a slow client
holds nothing open), bytes of both, connections at a time and from one address, requests on one
connection. Nothing of a request is ever written to the log, and no name that a peer sends becomes
the name of a file.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from edge.errors import ConfigError, LinkDown, why_zh
from edge.sources import http_line
from edge.sources.http_line import Answer, HttpLine, Refused, Request

log = logging.getLogger("steelyard")

HEAD_S = 5.0
BODY_S = 15.0
IDLE_S = 60.0
"""How long a camera may keep a connection open between two readings."""

CONNECTIONS = 32
CONNECTIONS_OF_ONE = 4
"""A camera opens one or two; a body that is kept may have 24 MiB."""
REQUESTS = 1_000


Gate = Callable[[Request], Answer | None]
"""Judges the head of a request, before its body is read; an answer is a refusal."""

Handler = Callable[[Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Room:
    """What stands behind one path of the door."""

    gate: Gate
    handle: Handler
    count: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines of a door."""

    head_s: float = HEAD_S
    body_s: float = BODY_S
    idle_s: float = IDLE_S


class HttpDoor:
    """Listens on one address; rooms come and go while it is open.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any.
    count : callable
        Counts refusals that belong to no room: ``unknown_path``, ``too_many``, ``bad_request``,
        ``slow``, ``too_large``. A room counts its own.
    """

    def __init__(
        self, host: str, port: int, count: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        self.host = host
        self.port = port
        self.rooms: dict[str, Room] = {}
        self._count = count
        self._patience = patience or Patience()
        self._server: asyncio.Server | None = None
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen.

        Raises
        ------
        LinkDown
            The port is taken, or the address is not there yet; either may change.
        ConfigError
            The port needs rights.
        """
        try:
            self._server = await asyncio.start_server(self._greet, self.host, self.port)
        except PermissionError as error:
            raise ConfigError(
                f"没有权限监听 {self.host}:{self.port}",
                f"may not listen on {self.host}:{self.port}",
                next_zh="换一个大于 1024 的端口",
                next_en="choose a port above 1024",
            ) from error
        except OSError as error:
            raise LinkDown(
                f"不能在 {self.host}:{self.port} 监听{why_zh(error)}",
                f"cannot listen on {self.host}:{self.port}: {error.strerror}",
                next_zh="检查站点文件中的地址是否属于本机、端口是否被占用",
                next_en="see that the address is this machine's and that its port is free",
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and end what is open."""
        if self._server is None:
            return
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("?",))[0])
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._busy[peer] += 1
        try:
            await self._serve(HttpLine(reader, writer, peer), peer)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the peer went, or the door closes: nobody is there to be told
        except Exception:  # a defect in one room costs this connection, not the door
            log.exception("door %s:%s: defect in the program", self.host, self.port)
            self._count("defects")
        finally:
            self._tasks.discard(task)
            self._busy[peer] -= 1
            if not self._busy[peer]:
                del self._busy[peer]
            writer.transport.abort()

    async def _serve(self, line: HttpLine, peer: str) -> None:
        if self._busy.total() > CONNECTIONS or self._busy[peer] > CONNECTIONS_OF_ONE:
            self._count("too_many")
            if self._busy.total() <= 2 * CONNECTIONS:  # a flood gets no answer
                await line.answer(Answer(503), last=True)
            return
        within_s = self._patience.head_s
        for _ in range(REQUESTS):
            try:
                within_s = await self._one(line, within_s)
            except Refused as refusal:
                self._count(refusal.counter)
                await line.answer(Answer(refusal.status), last=True)
                return
            if not within_s:
                return

    async def _one(self, line: HttpLine, within_s: float) -> float:
        """One request and its answer; how long another is waited for, 0 if none may follow."""
        request = await line.head(within_s, self._patience.head_s)
        if request is None:
            return 0.0
        room = self.rooms.get(request.path)
        if room is None:
            raise Refused(404, "unknown_path")
        refusal = _length_refusal(request) or room.gate(request)
        if refusal is not None:
            room.count(_COUNTERS.get(refusal.status, "refused"))
            return self._patience.head_s if await self._turn_away(line, refusal) else 0.0
        try:
            body = await line.body(self._patience.body_s)
        except Refused as late:
            room.count(late.counter)
            await line.answer(Answer(late.status), last=True)
            return 0.0
        stays = await line.answer(await room.handle(replace(request, body=body)))
        return self._patience.idle_s if stays else 0.0

    async def _turn_away(self, line: HttpLine, refusal: Answer) -> bool:
        """Refuse a request; who is asked for a password asks again on the same connection, and
        only hears so once its body has gone somewhere."""
        if line.holds_its_body or refusal.status == 413:
            return await line.answer(refusal, last=True)
        try:
            await line.body(self._patience.body_s, keep=False)
        except Refused:
            return await line.answer(refusal, last=True)
        return await line.answer(refusal)


_COUNTERS = {401: "unauthorised", 405: "wrong_method", 413: "too_large", 415: "wrong_content"}


def _length_refusal(request: Request) -> Answer | None:
    """A refusal of what its head already says: no POST, or too long."""
    if request.method not in ("POST", "PUT"):
        return Answer(405, headers=(("Allow", "POST, PUT"),))
    if int(request.headers.get("content-length", "0")) > http_line.BODY_BYTES:
        return Answer(413)
    return None
