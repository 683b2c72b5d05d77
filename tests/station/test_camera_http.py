"""Network cameras against the station's sources on real sockets: posts, streams, passwords."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from edge.config import CameraSection
from edge.errors import ConfigError, DeviceFault, LinkDown
from edge.health import Health, Level
from edge.records import PlateRead
from edge.sources import camera_intake, camera_stream
from edge.sources.camera import CameraSource
from edge.sources.camera_http import HttpCameraSource, HttpDoors
from edge.sources.camera_stream import StreamCamera
from edge.sources.pictures import sweep_pictures
from simulator.network_cameras import (
    SPEAKERS,
    Shown,
    dahua,
    dahua_heartbeat,
    hikvision_xml,
    tcp_text,
)

SCENE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8 + b"\xff\xd9"
CLOSE = b"\xff\xd8\xff\xe0" + bytes(300) + b"\xff\xd9"
TOKEN = "a-long-enough-token"


NOW_NS = 1_795_000_000_000_000_000
"""The station's clock stands still, so that no delay is chance."""


def now_ms() -> int:
    return NOW_NS // 1_000_000


def shown(plate: str = "冀B12345", **rest: object) -> Shown:
    return replace(
        Shown(plate, utc_ms=now_ms() - 150, pictures=(SCENE, CLOSE)),
        **rest,  # type: ignore[arg-type]
    )


def secret(folder: Path, text: str, mode: int = 0o600, name: str = "secret") -> Path:
    path = folder / name
    path.write_text(f"{text}\n", "utf-8")
    path.chmod(mode)
    return path


def section(folder: Path, maker: str = "hikvision", **rest: object) -> CameraSection:
    given: dict[str, object] = {"token_file": secret(folder, TOKEN)}
    return CameraSection(
        **{"id": "C1", "url": "listen://127.0.0.1:0", "format": maker, "lanes": ["1"]}  # type: ignore[arg-type]
        | given
        | rest
    )


@dataclass
class Bench:
    """A camera's view of the station, and what the station made of it."""

    folder: Path
    health: Health = field(default_factory=lambda: Health(time.monotonic_ns))
    reads: list[PlateRead] = field(default_factory=list)
    url: str = ""

    def counter(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"camera.C1.{name}", 0)

    @property
    def level(self) -> Level:
        return self.health.snapshot().states["camera.C1"].level

    async def post(self, message: tuple[str, bytes], **rest: object) -> httpx.Response:
        rest.setdefault("params", {"token": TOKEN})
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            return await client.post(
                self.url,
                content=message[1],
                headers={"Content-Type": message[0]},
                **rest,  # type: ignore[arg-type]
            )

    async def got(self, number: int) -> list[PlateRead]:
        async with asyncio.timeout(60):
            while len(self.reads) < number:
                await asyncio.sleep(0.005)
        return self.reads


@contextlib.asynccontextmanager
async def bench(folder: Path, camera: CameraSection) -> AsyncIterator[Bench]:
    side = Bench(folder)
    source = HttpCameraSource(
        camera, folder / "pictures", side.health, lambda: NOW_NS, HttpDoors(side.health)
    )
    task = asyncio.create_task(source.run(side.reads.append))
    try:
        async with asyncio.timeout(60):
            while "camera.C1" not in side.health.snapshot().states:
                await asyncio.sleep(0.005)
        side.url = side.health.snapshot().states["camera.C1"].text.en.rpartition(" ")[2]
        yield side
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def on_bench(
    folder: Path,
    scenario: Callable[[Bench], Awaitable[None]],
    maker: str = "hikvision",
    **rest: object,
) -> None:
    async def run() -> None:
        async with bench(folder, section(folder, maker, **rest)) as side:
            await scenario(side)

    asyncio.run(run())


@pytest.mark.parametrize("maker", SPEAKERS)
def test_what_every_maker_posts_becomes_a_reading_with_its_files(
    tmp_path: Path, maker: str
) -> None:
    async def scenario(side: Bench) -> None:
        seen = shown()
        answer = await side.post(SPEAKERS[maker](seen))
        assert answer.status_code == 200
        (read,) = await side.got(1)
        assert (read.text, read.lane, read.colour, read.direction) == (
            "冀B12345", "1", "yellow", "toward",
        )  # fmt: skip
        assert read.camera_time_ns == seen.utc_ms * 1_000_000
        assert 0 <= read.received_ns - read.time_ns < 50_000_000
        assert read.picture is not None
        files = [read.picture, *read.files]
        assert {SCENE, CLOSE} <= {Path(f.path).read_bytes() for f in files}
        for file in files:
            data = Path(file.path).read_bytes()
            assert file.sha256 == hashlib.sha256(data).hexdigest()
            assert Path(file.path).parent == tmp_path / "pictures"
        assert b"B12345" in Path(files[-1].path).read_bytes()
        assert side.level is Level.OK
        assert sweep_pictures(tmp_path / "pictures", time.time() + 60) == 3

    on_bench(tmp_path, scenario, maker)


def test_vehicles_of_one_message_keep_their_own_pictures(tmp_path: Path) -> None:
    """Names of ours come from the moment of arrival, which such readings share."""

    async def scenario(side: Bench) -> None:
        first = shown(pictures=(SCENE,))
        second = shown("冀A00002", number=2, pictures=(CLOSE,))
        content_type, body = dahua(first)
        assert (await side.post((content_type, body + dahua(second)[1]))).status_code == 200
        reads = sorted(await side.got(2), key=lambda read: read.received_ns)
        assert [read.text for read in reads] == ["冀B12345", "冀A00002"]
        for read, data in zip(reads, (SCENE, CLOSE), strict=True):
            assert read.picture is not None
            assert Path(read.picture.path).read_bytes() == data
            assert read.text.encode() in Path(read.files[-1].path).read_bytes()

    on_bench(tmp_path, scenario, "dahua")


def test_a_name_in_the_message_is_never_a_name_on_the_disk(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        content_type, body = SPEAKERS["hikvision"](shown())
        evil = body.replace(b'"detectionPicture.jpg"', b'"../../../../tmp/evil.jpg"')
        assert evil != body
        assert (await side.post((content_type, evil))).status_code == 200
        (read,) = await side.got(1)
        names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
        stem = f"pictures/C1-{read.received_ns}"
        assert names == [f"{stem}-0.jpg", f"{stem}-1.jpg", f"{stem}.message"]

    on_bench(tmp_path, scenario)


def test_only_who_knows_the_token_may_speak(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        message = SPEAKERS["hikvision"](shown())
        for wrong in ({"token": "x"}, {}, {"token": TOKEN + "x"}):
            assert (await side.post(message, params=wrong)).status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}", "Content-Type": message[0]}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            reply = await client.post(side.url, content=message[1], headers=bearer)
        assert reply.status_code == 200
        await side.got(1)
        assert side.counter("unauthorised") == 3

    on_bench(tmp_path, scenario)


def test_digest_is_answered_and_never_good_twice(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        message = SPEAKERS["hikvision"](shown())
        good = httpx.DigestAuth("station", TOKEN)
        assert (await side.post(message, params={}, auth=good)).status_code == 200
        again = await side.post(SPEAKERS["hikvision"](shown(number=2)), params={}, auth=good)
        assert again.status_code == 200
        proof = again.request.headers["authorization"]
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            headers = {"Content-Type": message[0], "Authorization": proof}
            stolen = await client.post(side.url, content=message[1], headers=headers)
        assert stolen.status_code == 401
        assert "stale=true" in stolen.headers["www-authenticate"]
        for user, password in (("station", "wrong"), ("other", TOKEN)):
            auth = httpx.DigestAuth(user, password)
            assert (await side.post(message, params={}, auth=auth)).status_code == 401
        assert len(await side.got(2)) == 2

    on_bench(
        tmp_path,
        scenario,
        token_file=None,
        user="station",
        password_file=secret(tmp_path, TOKEN),
    )


def test_wrong_content_is_told_apart(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        assert (await side.post(("text/html", b"<html>"))).status_code == 415
        assert (await side.post(("multipart/form-data", b""))).status_code == 415
        assert (await side.post(("text/xml", b"<a"))).status_code == 200
        assert (side.counter("wrong_content"), side.counter("malformed")) == (2, 1)
        assert side.level is Level.WARNING
        await side.post(("text/xml", hikvision_xml(shown())))
        await side.got(1)
        assert side.level is Level.OK

    on_bench(tmp_path, scenario)


def test_repeated_late_and_foreign_readings_are_not_delivered(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        first = shown("冀A00001", lane=1, number=1)
        for each in (
            first,
            first,
            shown("冀A00002", lane=1, number=2, resent=True),
            shown("冀A00003", lane=7, number=3),
            shown("冀A00004", lane=2, number=4),
        ):
            await side.post(SPEAKERS["hikvision"](each))
        reads = await side.got(2)
        assert sorted((r.text, r.lane) for r in reads) == [("冀A00001", "L"), ("冀A00004", "R")]
        counted = [side.counter(name) for name in ("repeated", "resent", "foreign_lane")]
        assert counted == [1, 1, 1]

    on_bench(tmp_path, scenario, lanes=["L", "R"], lane_names={"1": "L", "2": "R"})


def test_of_an_event_that_comes_twice_the_one_with_pictures_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(side: Bench) -> None:
        monkeypatch.setattr(camera_intake, "WAIT_S", 2.0)
        seen = shown()
        more = b"<hasMoreData>true</hasMoreData></ANPR>"
        await side.post(("text/xml", hikvision_xml(seen).replace(b"</ANPR>", more)))
        await side.post(SPEAKERS["hikvision"](seen))
        (read,) = await side.got(1)
        assert read.picture is not None
        while not side.counter("repeated"):
            await asyncio.sleep(0.01)
        assert (len(side.reads), side.counter("repeated")) == (1, 1)
        monkeypatch.setattr(camera_intake, "WAIT_S", 0.1)
        alone = hikvision_xml(shown("冀A00009", number=9)).replace(b"</ANPR>", more)
        await side.post(("text/xml", alone))
        assert (await side.got(2))[1].text == "冀A00009"

    on_bench(tmp_path, scenario)


def test_a_wrong_camera_clock_is_told_and_set_right(tmp_path: Path) -> None:
    async def scenario(side: Bench) -> None:
        await side.post(SPEAKERS["milesight"](shown(utc_ms=now_ms() - 3_600_000)))
        (read,) = await side.got(1)
        assert abs(read.time_ns - NOW_NS) < 1_000_000_000
        assert side.level is Level.WARNING

    on_bench(tmp_path, scenario, "milesight")


def test_two_cameras_share_a_door_and_leave_it_alone(tmp_path: Path) -> None:
    async def run() -> None:
        health = Health(time.monotonic_ns)
        doors = HttpDoors(health)
        one, two = (
            HttpCameraSource(section(tmp_path, id=name), tmp_path, health, time.time_ns, doors).run(
                lambda _: None
            )
            for name in ("C1", "C2")
        )
        first, second = asyncio.create_task(one), asyncio.create_task(two)
        while len(rooms := [room for door in doors._doors.values() for room in door.rooms]) < 2:
            await asyncio.sleep(0.01)
        assert len(rooms) == 2
        (door,) = doors._doors.values()
        assert set(door.rooms) == {"/camera/C1", "/camera/C2"}
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert set(door.rooms) == {"/camera/C2"}
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        assert doors._doors == {}

    asyncio.run(run())


@pytest.mark.parametrize(
    "rest",
    [
        {"token_file": None},
        {"user": "a"},
        {"url": "listen://127.0.0.1"},
        {"url": "listen://u:p@127.0.0.1:80"},
        {"format": "steelyard"},
        {"url": "/dev/ttyS0"},
        {"lane_names": {"1": "9"}},
    ],
)
def test_a_section_that_cannot_be_is_refused(tmp_path: Path, rest: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        section(tmp_path, **rest)


@pytest.mark.parametrize(("text", "mode"), [("", 0o600), (TOKEN, 0o644)])
def test_a_secret_that_is_none_is_refused(tmp_path: Path, text: str, mode: int) -> None:
    camera = section(tmp_path)
    secret(tmp_path, text, mode)
    with pytest.raises(ConfigError, match="secret"):
        HttpCameraSource(
            camera, tmp_path, Health(time.monotonic_ns), time.time_ns, HttpDoors(Health(int))
        )


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hikvision"):
        HttpCameraSource(
            section(tmp_path, "nobody"), tmp_path, Health(int), time.time_ns, HttpDoors(Health(int))
        )


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def pull(
    folder: Path, serve: Serve, number: int, health: Health, **rest: object
) -> list[PlateRead]:
    """Readings of a stream that a camera serves; errors of the source come through."""
    reads: list[PlateRead] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    camera = section(
        folder, "dahua", url=f"http://127.0.0.1:{port}/cgi-bin/snap?a=1", token_file=None, **rest
    )
    task = asyncio.create_task(
        StreamCamera(camera, folder / "pictures", health, time.time_ns).run(reads.append)
    )
    try:
        async with asyncio.timeout(60):
            while len(reads) < number and not task.done():
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        failed = (await asyncio.gather(task, return_exceptions=True))[0]
        server.close()
        await server.wait_closed()
    if isinstance(failed, Exception):
        raise failed
    return reads


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=myboundary\r\n"
    b"Connection: close\r\n\r\n"
)


def test_a_stream_is_opened_with_digest_and_read(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if b"Authorization" not in asked[-1]:
            writer.write(
                b"HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: Digest realm="
                b'"Login to 1", qop="auth", nonce="123", opaque="456"\r\n\r\n'
            )
        else:
            writer.write(STREAM + dahua_heartbeat() + dahua(shown())[1])
            await writer.drain()
            writer.write(dahua(shown("冀A00002", number=2, pictures=()))[1])
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    health = Health(time.monotonic_ns)
    rest = {"user": "admin", "password_file": secret(tmp_path, "secret-word", name="camera")}
    reads = asyncio.run(pull(tmp_path, serve, 2, health, **rest))
    assert [(r.text, r.picture is not None) for r in reads] == [
        ("冀B12345", True),
        ("冀A00002", False),
    ]
    ha1 = hashlib.md5(b"admin:Login to 1:secret-word").hexdigest()
    ha2 = hashlib.md5(b"GET:/cgi-bin/snap?a=1").hexdigest()
    said = asked[-1].decode()
    cnonce = said.partition('cnonce="')[2].partition('"')[0]
    proof = hashlib.md5(f"{ha1}:123:00000001:{cnonce}:auth:{ha2}".encode()).hexdigest()
    assert f'response="{proof}"' in said
    assert b"secret-word" not in b"".join(asked)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", DeviceFault),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", DeviceFault),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", DeviceFault),
        (b"garbage\r\n\r\n", LinkDown),
        (b"", LinkDown),
        (STREAM, LinkDown),
    ],
)
def test_no_stream_is_told_by_whose_fault_it_is(
    tmp_path: Path, answer: bytes, error: type[Exception]
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    with pytest.raises(error):
        asyncio.run(pull(tmp_path, serve, 1, Health(time.monotonic_ns)))


def test_a_stream_that_falls_silent_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera_stream, "SILENCE_S", 0.3)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + dahua_heartbeat())
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            while await reader.read(999):
                pass
        writer.close()

    with pytest.raises(LinkDown):
        asyncio.run(pull(tmp_path, serve, 1, Health(time.monotonic_ns)))


def test_plain_text_on_a_line(tmp_path: Path) -> None:
    async def run() -> None:
        master, line = os.openpty()
        os.set_blocking(master, True)
        tty.setraw(line)
        health, reads = Health(time.monotonic_ns), list[PlateRead]()
        camera = CameraSection(
            id="C1", url=os.ttyname(line), format="tcp-text", lanes=["1"], lane_names={"03": "1"}
        )
        task = asyncio.create_task(
            CameraSource(camera, tmp_path, health, time.time_ns).run(reads.append)
        )
        try:
            while "camera.C1" not in (told := health.snapshot().states) or (
                told["camera.C1"].level is not Level.OK
            ):
                await asyncio.sleep(0.01)
            os.write(master, b"noise" + tcp_text(shown(lane=3)))
            async with asyncio.timeout(60):
                while not reads:
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            os.close(line)
            os.close(master)
        assert (reads[0].text, reads[0].lane) == ("冀B12345", "1")
        assert abs(reads[0].time_ns - time.time_ns()) < 60_000_000_000

    asyncio.run(run())
