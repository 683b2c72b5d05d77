"""One HTTP/1.1 connection of a device as the station reads it: h11 with bounds and deadlines."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import h11

HEAD_BYTES = 16_384
BODY_BYTES = 24 << 20
"""Two pictures of 8 MiB in base64, and room for the document."""

ANSWER_S = 5.0
LINGER_S = 1.0

_CHUNK = 65_536
_BOTH_DONE = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}
_ONCE = ("authorization", "content-type", "host")


@dataclass(frozen=True, slots=True)
class Request:
    """What a peer sent, whole."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    peer: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gets back."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str = "text/plain; charset=utf-8"


class Refused(Exception):
    """A request ends here, with this answer and under this counter."""

    def __init__(self, status: int, counter: str) -> None:
        super().__init__(counter)
        self.status = status
        self.counter = counter


_Event = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class HttpLine:
    """One connection; every step has a deadline, and every refusal is a `Refused`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._peer = peer
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    @property
    def holds_its_body(self) -> bool:
        """Whether the peer asked first, and has not sent its body yet."""
        return self._http.they_are_waiting_for_100_continue

    async def head(self, idle_s: float, within_s: float) -> Request | None:
        """The next request's head; None where the peer went, or kept silent, in between.

        It may begin within ``idle_s``, and is whole ``within_s`` after it began.
        """
        first = None
        if not self._http.trailing_data[0]:
            try:
                async with asyncio.timeout(idle_s):
                    first = await self._reader.read(_CHUNK)
            except TimeoutError:
                return None
        try:
            async with asyncio.timeout(within_s):
                event = await self._next(first)
        except TimeoutError:
            raise Refused(408, "slow") from None
        return _request(event, self._peer) if isinstance(event, h11.Request) else None

    async def body(self, within_s: float, *, keep: bool = True) -> bytes:
        """The whole body, which is no longer than permitted; empty if it is not kept."""
        data, size = bytearray(), 0
        try:
            async with asyncio.timeout(within_s):
                if self.holds_its_body:
                    await self._send(h11.InformationalResponse(status_code=100, headers=[]))
                while isinstance(event := await self._next(), h11.Data):
                    size += len(event.data)
                    if size > BODY_BYTES:
                        raise Refused(413, "too_large")
                    if keep:
                        data += event.data
        except TimeoutError:
            raise Refused(408, "slow") from None
        if not isinstance(event, h11.EndOfMessage):
            raise ConnectionResetError
        return bytes(data)

    async def answer(self, answer: Answer, *, last: bool = False) -> bool:
        """Send an answer; whether the connection stays open for another request."""
        if self._http.our_state not in (h11.SEND_RESPONSE, h11.IDLE):
            return False
        headers = [
            ("Content-Type", answer.media_type),
            ("Content-Length", str(len(answer.body))),
            *answer.headers,
            *([("Connection", "close")] if last else []),
        ]
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._send(h11.Response(status_code=answer.status, headers=headers))
                await self._send(h11.Data(data=answer.body))
                await self._send(h11.EndOfMessage())
        except TimeoutError:
            return False
        if last or self._http.states != _BOTH_DONE:
            await self._linger()
            return False
        self._http.start_next_cycle()
        return True

    async def _linger(self) -> None:
        """Let the peer read the answer: to close upon unread bytes would take it away again."""
        with contextlib.suppress(TimeoutError, OSError):
            self._writer.write_eof()
            async with asyncio.timeout(LINGER_S):
                while await self._reader.read(_CHUNK):
                    pass

    async def _next(self, first: bytes | None = None) -> _Event:
        try:
            if first is not None:
                self._http.receive_data(first)
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(_CHUNK))
        except h11.RemoteProtocolError as error:
            status = error.error_status_hint
            raise Refused(status, "too_large" if status == 431 else "bad_request") from error
        return event

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            self._writer.write(data)
            await self._writer.drain()


def _request(head: h11.Request, peer: str) -> Request:
    target = head.target.decode("latin-1")
    path, _, query = target.partition("?")
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key = name.decode("latin-1")
        if key in headers and key in _ONCE:  # two readers could take different ones
            raise Refused(400, "bad_request")
        headers.setdefault(key, value.decode("latin-1"))
    return Request(head.method.decode("latin-1"), path, query, headers, peer)
