"""The door for cameras on real sockets: what hostile, slow and clumsy peers get."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from edge.errors import LinkDown
from edge.sources import http_door, http_line
from edge.sources.http_access import TokenAccess
from edge.sources.http_door import HttpDoor, Patience, Room
from edge.sources.http_line import Answer, Request

LONG = Patience(60.0, 60.0, 60.0)
QUICK = Patience(head_s=0.2, body_s=0.3, idle_s=0.4)


@dataclass
class Site:
    """A door with one room, ``/in``, that keeps what it is given."""

    got: list[Request] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    async def handle(self, request: Request) -> Answer:
        self.got.append(request)
        return Answer(200, b"taken")

    def gate(self, request: Request) -> Answer | None:
        return None if request.headers.get("x-key") == "k" else Answer(401)


@contextlib.asynccontextmanager
async def opened(site: Site, patience: Patience) -> AsyncIterator[HttpDoor]:
    door = HttpDoor("127.0.0.1", 0, lambda name: site.counted.update([f"door.{name}"]), patience)
    await door.open()
    door.rooms["/in"] = Room(site.gate, site.handle, lambda name: site.counted.update([name]))
    try:
        yield door
    finally:
        await door.close()


def at_door(
    scenario: Callable[[HttpDoor, Site], Awaitable[None]], patience: Patience = LONG
) -> None:
    async def run() -> None:
        site = Site()
        async with asyncio.timeout(60), opened(site, patience) as door:
            await scenario(door, site)

    asyncio.run(run())


async def say(door: HttpDoor, *pieces: bytes, pause_s: float = 0.0, dawdles: bool = False) -> bytes:
    """Send pieces, then hear everything until the door closes the connection.

    Who ``dawdles`` does not say that this is all, and is left when the door's patience ends.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if not dawdles:
            writer.write_eof()
    heard = b""
    with contextlib.suppress(ConnectionError):
        heard = await reader.read()
    writer.close()
    return heard


def post(body: bytes = b"hello", path: str = "/in", extra: str = "X-Key: k\r\n") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{extra}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_post_whole_in_pieces_and_twice_on_one_connection() -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        heard = await say(door, post(b"one") + post(b"two"))
        assert heard.count(b"200") == 2
        wire = post(b"three")
        assert b"200" in await say(door, *(wire[at : at + 9] for at in range(0, len(wire), 9)))
        assert [r.body for r in site.got] == [b"one", b"two", b"three"]
        assert not site.counted

    at_door(scenario)


@pytest.mark.parametrize(
    ("wire", "status", "counter"),
    [
        (post(path="/else"), b"404", "door.unknown_path"),
        (post(path="/in/../../etc/passwd"), b"404", "door.unknown_path"),
        (post(extra=""), b"401", "unauthorised"),
        (b"GET /in HTTP/1.1\r\nHost: x\r\nX-Key: k\r\n\r\n", b"405", "wrong_method"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(80), b"400", "door.bad_request"),
        (b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400", "door.bad_request"),
        (
            b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"400",
            "door.bad_request",
        ),
        (
            b"POST /in HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
            b"400",
            "door.bad_request",
        ),
        (
            b"POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
            b"400",
            "door.bad_request",
        ),
        (b"POST /in HTTP/1.1\r\nX: " + b"a" * 40_000, b"431", "door.too_large"),
        (
            b"POST /in HTTP/1.1\r\nHost: x\r\nX-Key: k\r\nContent-Length: 99999999999\r\n\r\n",
            b"413",
            "too_large",
        ),
    ],
)
def test_what_is_refused(wire: bytes, status: bytes, counter: str) -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        heard = await say(door, wire)
        assert heard.startswith(b"HTTP/1.1 " + status)
        assert site.counted == {counter: 1}
        assert site.got == []

    at_door(scenario)


def test_a_body_without_a_length_ends_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_line, "BODY_BYTES", 100_000)

    async def scenario(door: HttpDoor, site: Site) -> None:
        head = b"POST /in HTTP/1.1\r\nHost: x\r\nX-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
        heard = await say(door, head, *([chunk] * 12))
        assert heard.startswith(b"HTTP/1.1 413")
        assert site.counted == {"too_large": 1}

    at_door(scenario)


@pytest.mark.parametrize(
    ("wire", "counter"),
    [
        (post()[:20], "door.slow"),  # the head never ends
        (post(b"x" * 1_000)[:-900], "slow"),  # the body never ends
    ],
)
def test_slow_clients_are_let_go(wire: bytes, counter: str) -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        trickle = [wire, *(b"a" for _ in range(12))] if counter == "door.slow" else [wire]
        heard = await say(door, *trickle, pause_s=0.05, dawdles=True)
        assert heard.startswith(b"HTTP/1.1 408")
        assert site.counted == {counter: 1}

    at_door(scenario, QUICK)


def test_a_silent_connection_is_closed_without_a_word() -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        assert await say(door, dawdles=True) == b""
        assert not site.counted

    at_door(scenario, QUICK)


def test_no_address_takes_all_connections() -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        held = [
            await asyncio.open_connection("127.0.0.1", door.port)
            for _ in range(http_door.CONNECTIONS_OF_ONE)
        ]
        assert (await say(door, post())).startswith(b"HTTP/1.1 503")
        assert site.counted == {"door.too_many": 1}
        for _, writer in held:
            writer.close()
        while b" 200 " not in await say(door, post()):
            await asyncio.sleep(0.01)

    at_door(scenario)


def test_who_asks_first_hears_the_refusal_before_it_sends() -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        ask = b"POST /in HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n"
        assert (await say(door, ask + b"\r\n")).startswith(b"HTTP/1.1 401")
        heard = await say(door, ask + b"X-Key: k\r\n\r\n", b"nine byte", pause_s=0.05)
        assert heard.startswith(b"HTTP/1.1 100")
        assert b"HTTP/1.1 200" in heard

    at_door(scenario)


def test_a_defect_of_a_room_costs_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(door: HttpDoor, site: Site) -> None:
        async def broken(_: Request) -> Answer:
            raise RuntimeError("defect")

        door.rooms["/broken"] = Room(site.gate, broken, lambda _: None)
        assert await say(door, post(path="/broken")) == b""
        assert b" 200 " in await say(door, post())
        assert site.counted == {"door.defects": 1}
        assert "defect in the program" in caplog.text

    at_door(scenario)


def test_a_taken_port_is_told() -> None:
    async def scenario(door: HttpDoor, _: Site) -> None:
        with pytest.raises(LinkDown, match=f"{door.port} 监听：地址已被占用 /"):
            await HttpDoor("127.0.0.1", door.port, lambda _: None).open()

    at_door(scenario)


def test_an_address_with_fields_without_end_is_refused_as_any_stranger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever knows no secret must not be able to fill the station's log."""
    access = TokenAccess("secret")

    async def scenario(door: HttpDoor, site: Site) -> None:
        door.rooms["/in"] = Room(
            access.refusal, site.handle, lambda name: site.counted.update([name])
        )
        head = b"POST /in?" + b"a&" * 40 + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
        said = await say(door, head + b"Connection: close\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 401")
        assert site.counted == {"unauthorised": 1}

    at_door(scenario)
    assert caplog.text == ""
