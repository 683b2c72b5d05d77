"""Plate cameras whose endless stream the station opens: an HTTP GET that is never done."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import h11

from edge.config import CameraSection
from edge.errors import DeviceFault, LinkDown, Text
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources.camera_http import dialect_of
from edge.sources.camera_intake import CameraIntake
from edge.sources.camera_report import CameraReport
from edge.sources.http_access import digest_authorization, read_secret
from edge.sources.pictures import WAIT_S
from edge.sources.second_opinion import SecondOpinion
from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.event import CameraEvent
from firmware_bridge.cameras.multipart import boundary_of
from firmware_bridge.standstill import within

CONNECT_S = 5.0
SILENCE_S = 30.0
"""Heartbeats come every 5 to 10 s; a stream without any is dead, though nobody closed it."""

_HEAD_BYTES = 16_384


class StreamCamera:
    """One plate camera of the station file whose stream the station opens.

    Parameters
    ----------
    section, picture_dir, health, now_ns, ahead_ns, opinion
        As `edge.sources.camera_http.HttpCameraSource`.

    Raises
    ------
    ConfigError
        The dialect or the secret can't be used.
    """

    def __init__(
        self,
        section: CameraSection,
        picture_dir: Path,
        health: Health,
        now_ns: Callable[[], int],
        ahead_ns: Callable[[], int] = lambda: 0,
        opinion: SecondOpinion | None = None,
    ) -> None:
        self._section = section
        self._now_ns = now_ns
        self._dialect = dialect_of(section)
        self._name = Text(f"车牌相机 {section.id}", f"plate camera {section.id}")
        self._password = (
            read_secret(section.password_file, str(self._name)) if section.password_file else ""
        )
        self._report = CameraReport(section.id, section.lanes, health, ahead_ns)
        self._intake = CameraIntake(section, picture_dir, self._report, ahead_ns, opinion)

    async def run(self, deliver: Callable[[PlateRead], None]) -> None:
        """Deliver readings until cancelled.

        Raises
        ------
        LinkDown
            The camera does not answer, or its stream ended or fell silent.
        DeviceFault
            It refuses the password, or sends no stream of events.
        """
        self._report.state(Level.WAITING, Text("正在连接", "connecting"))
        challenge: list[str] = []
        for _ in range(2):
            stream = _Stream(self._section.url, self._authorization(challenge))
            try:
                async with asyncio.timeout(CONNECT_S):
                    status, headers = await stream.open()
                if status != 401 or challenge:
                    await self._listen(stream, status, headers, deliver)
                challenge = [v for k, v in headers if k == "www-authenticate"]
            except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
                raise self._down() from error
            finally:
                stream.close()
                await self._intake.end()
        raise self._refused(401)

    def _authorization(self, challenge: list[str]) -> str | None:
        user = self._section.user
        if not challenge or user is None:
            return None
        parts = urlsplit(self._section.url)
        return digest_authorization(challenge, "GET", _target(parts), user, self._password)

    async def _listen(
        self,
        stream: _Stream,
        status: int,
        headers: list[tuple[str, str]],
        deliver: Callable[[PlateRead], None],
    ) -> None:
        boundary = boundary_of(dict(headers).get("content-type", ""))
        if status != 200 or not boundary:
            raise self._refused(status)
        self._report.state(Level.OK, Text("已连接", "connected"))
        offset_s = round(self._section.utc_offset_h * 3600)
        decoder = CameraDecoder(self._dialect, offset_s, boundary)
        async for event, received_ns in self._events(stream, decoder):
            self._intake.begin(event, received_ns, deliver)
        raise self._down()

    async def _events(
        self, stream: _Stream, decoder: CameraDecoder
    ) -> AsyncIterator[tuple[CameraEvent, int]]:
        """Events with the moment at which their first byte was read; none waits for long."""
        counted: Counter[str] = Counter()
        begun_ns = self._now_ns()
        while True:
            waited = decoder.waits
            try:
                data = await within(WAIT_S if waited else SILENCE_S, stream.read())
            except TimeoutError:
                if not waited:
                    raise
                data = None
            begun_ns = begun_ns if waited else self._now_ns()
            for event in decoder.feed(data) if data else decoder.flush():
                yield event, begun_ns
            if data == b"":
                return
            self._report.tell(decoder.counters - counted, heard=bool(decoder.counters["parts"]))
            counted = decoder.counters

    def _down(self) -> LinkDown:
        return LinkDown(
            f"{self._name.zh}：没有应答或数据流中断",
            f"{self._name.en}: does not answer, or its stream ended",
            next_zh="检查相机电源和网线，核对站点文件中的 url；恢复后自动重连",
            next_en="check its power, cable and url in the station file; it reconnects by itself",
        )

    def _refused(self, status: int) -> DeviceFault:
        return DeviceFault(
            f"{self._name.zh}：拒绝提供事件流（HTTP {status}）",
            f"{self._name.en}: gives no stream of events (HTTP {status})",
            next_zh="401：核对 user 和 password_file；其他：核对 url 和 format",
            next_en="401: check user and password_file; else check url and format",
        )


class _Stream:
    """One GET."""

    def __init__(self, url: str, authorization: str | None) -> None:
        self._parts = urlsplit(url)
        self._authorization = authorization
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> tuple[int, list[tuple[str, str]]]:
        """Ask; status and headers of the answer."""
        host, port = self._parts.hostname or "", self._parts.port or 80
        self._reader, self._writer = await asyncio.open_connection(host, port)
        headers = [("Host", self._parts.netloc), ("Accept", "*/*")]
        if self._authorization:
            headers.append(("Authorization", self._authorization))
        request = h11.Request(method="GET", target=_target(self._parts), headers=headers)
        self._writer.write((self._http.send(request) or b"") + self._end())
        await self._writer.drain()
        event = await self._next()
        if not isinstance(event, h11.Response):
            raise ConnectionResetError
        return event.status_code, [(k.decode(), v.decode("latin-1")) for k, v in event.headers]

    def _end(self) -> bytes:
        return self._http.send(h11.EndOfMessage()) or b""

    async def read(self) -> bytes:
        """More of the body; empty at its end."""
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _next(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65_536))
        return event

    def close(self) -> None:
        """Let the connection go."""
        if self._writer is not None:
            self._writer.transport.abort()


def _target(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path
