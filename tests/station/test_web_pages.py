"""The pages over a real server and a real store: what they show, refuse, seal and hand out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from edge.errors import ConfigError, LinkDown, StoreError
from edge.evidence.merkle import leaf_hash
from edge.health import Level
from edge.records import Draft
from edge.web import board, server
from edge.web.app import create_app
from edge.web.feed import KEPT_NEWS
from edge.web.server import WebServer
from edge.web.texts import Speaker
from tests.browser.sample_station import (
    CAR,
    LEGAL_SEMI,
    OVER_SEMI,
    STRADDLER,
    SampleStation,
    open_station,
)

Visit = Callable[[SampleStation, httpx.AsyncClient], Awaitable[None]]


@asynccontextmanager
async def serving(sample: SampleStation) -> AsyncIterator[httpx.AsyncClient]:
    web = WebServer(create_app(sample.view), "127.0.0.1", 0)
    running = asyncio.create_task(web.run())
    try:
        async with httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=60) as client:
            yield client
    finally:
        running.cancel()
        await asyncio.wait([running])


def visit(directory: Path, what: Visit) -> None:
    async def scenario() -> None:
        async with open_station(directory) as sample, serving(sample) as client:
            await what(sample, client)

    asyncio.run(scenario())


async def waiting_cases(client: httpx.AsyncClient) -> list[int]:
    found: list[int] = (await client.get("/api/state.json")).json()["waiting_cases"]
    return found


def own(client: httpx.AsyncClient) -> dict[str, str]:
    return {"Origin": str(client.base_url).rstrip("/")}


def test_start_page_shows_the_newest_vehicle_of_each_lane(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        await sample.seal(CAR)
        await sample.seal(LEGAL_SEMI)
        html = (await client.get("/")).text
        assert "冀B·5T288" in html
        assert "44,750" in html
        assert "± 1,074" in html, "U is twice the standard uncertainty"
        assert "还没有车辆通过" in html, "lane 2 is empty"
        assert "一切正常" in html

    visit(tmp_path, look)


def test_language_is_remembered(tmp_path: Path) -> None:
    async def look(_: SampleStation, client: httpx.AsyncClient) -> None:
        assert "现在要做的事" in (await client.get("/")).text
        assert "What to do now" in (await client.get("/?lang=en")).text
        assert "What to do now" in (await client.get("/")).text
        assert "现在要做的事" in (await client.get("/?lang=xx")).text

    visit(tmp_path, look)


def test_markup_in_a_plate_stays_text(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        nasty = dataclasses.replace(OVER_SEMI, plate="<img src=x>")
        record = await sample.seal(nasty)
        for path in ("/", f"/vehicles/{record.index}", "/records", f"/records/{record.index}"):
            answer = await client.get(path)
            assert "&lt;img src=x&gt;" in answer.text
            assert "<img src=x" not in answer.text
            assert "script-src 'self'" in answer.headers["content-security-policy"]

    visit(tmp_path, look)


def test_guiding_is_sealed_once(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        path = f"/cases/{record.index}/guided"
        answers = await asyncio.gather(*(client.post(path, headers=own(client)) for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        (case,) = await sample.store.latest(kind="case")
        assert case.body["vehicle_record_id"] == record.record_id
        assert case.body["state"] == "guided"
        assert "已引导到精检秤" in (await client.get(f"/vehicles/{record.index}")).text

    visit(tmp_path, look)


def test_every_vehicle_that_waits_can_be_told_as_guided(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        sealed = [await sample.seal(OVER_SEMI) for _ in range(5)]
        waiting = [one.index for one in sealed]
        while await waiting_cases(client) != waiting:
            await asyncio.sleep(0.02)
        todo = (await client.get("/")).text.split('data-part="todo"')[1].split("</section>")[0]
        for record in sealed:
            assert f'href="/vehicles/{record.index}"' in todo
            button = f'action="/cases/{record.index}/guided"'
            page = f"/vehicles/{record.index}"
            assert button in (await client.get(page)).text
            await client.post(f"/cases/{record.index}/guided", headers=own(client))
            assert button not in (await client.get(page)).text

    visit(tmp_path, look)


def test_the_page_tells_on_which_lanes_a_vehicle_drove(tmp_path: Path) -> None:
    half = dataclasses.replace(STRADDLER, astride=(), perhaps_with="2")

    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        astride, alone = await sample.seal(STRADDLER), await sample.seal(half)
        page = (await client.get(f"/vehicles/{astride.index}")).text
        assert "一号车道 + 二号车道" in page
        assert "同一辆车" not in page
        page = (await client.get(f"/vehicles/{alone.index}")).text
        assert "一号车道 + " not in page
        assert "可能与 二号车道 同一时刻的另一条记录是同一辆车" in page

    visit(tmp_path, look)


def test_the_floor_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_station(tmp_path) as sample:
            guided, waiting = await sample.seal(OVER_SEMI), await sample.seal(STRADDLER)
            gone = await sample.seal(OVER_SEMI, ago_s=7_200)
            async with serving(sample) as client:
                await client.post(f"/cases/{guided.index}/guided", headers=own(client))
            async with serving(sample) as client:
                while await waiting_cases(client) != [waiting.index]:
                    await asyncio.sleep(0.02)
            ends = {r.body["vehicle_index"]: r for r in await sample.store.latest(kind="case")}
            assert ends[guided.index].body["state"] == "guided"
            assert ends[gone.index].body["state"] == "expired"
            assert ends[gone.index].urgent, "the centre hears of a no-show first"

    asyncio.run(scenario())


def test_who_is_to_be_guided_stands_on_the_page_though_the_news_of_it_fell_out(
    tmp_path: Path,
) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        waiting = await sample.seal(OVER_SEMI)  # its news waits behind nothing,
        for _ in range(KEPT_NEWS + 6):  # and falls out before anybody has a turn
            sample.feed.publish("receipt", {})
        while await waiting_cases(client) != [waiting.index]:
            await asyncio.sleep(0.02)
        assert sample.view.health.snapshot().counters["web.news_missed"] == 7

    visit(tmp_path, look)


def test_who_waited_is_found_again_behind_hundreds_that_drove_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_station(tmp_path) as sample:
            waiting = await sample.seal(OVER_SEMI, ago_s=600)
            guided = await sample.seal(OVER_SEMI, ago_s=590)
            async with serving(sample) as client:
                await client.post(f"/cases/{guided.index}/guided", headers=own(client))
            lawful = dict((await sample.seal(CAR)).body)
            for name in ("station", "index", "passage", "blobs", "private_sha256", "plate"):
                del lawful[name]
            for _ in range(450):
                await sample.store.append(Draft("vehicle", lawful))
            async with serving(sample) as client:
                assert await waiting_cases(client) == [waiting.index]

    asyncio.run(scenario())


def test_a_head_is_answered_like_its_page(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        index = (await sample.seal(OVER_SEMI)).index
        for path in (
            "/",
            "/log",
            f"/vehicles/{index}",
            "/healthz",
            f"/records/{index}/record.json",
        ):
            head, whole = await client.head(path), await client.get(path)
            assert (head.status_code, head.content) == (200, b""), path
            assert head.headers["content-type"] == whole.headers["content-type"]
        assert (await client.head("/vehicles/99")).status_code == 404
        assert (await client.head("/events")).status_code == 405

    visit(tmp_path, look)


def test_hundreds_that_wait_are_counted_and_not_all_listed(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        over = (await sample.seal(OVER_SEMI)).body
        for index in range(1_000, 1_300):
            sample.feed.publish("vehicle", {**over, "index": index, "record_id": f"{index:x}"})
            await asyncio.sleep(0)
        while len(await waiting_cases(client)) != 301:
            await asyncio.sleep(0.02)
        todo = (await client.get("/")).text.split('data-part="todo"')[1].split("</section>")[0]
        assert "还有 298 辆车在等待引导" in todo
        assert todo.count("/vehicles/") < 40

    visit(tmp_path, look)


def test_a_fault_of_the_program_is_told_in_plain_words_and_guarded(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        strange = await sample.store.append(Draft("vehicle", {"time_us": 1, "lane": "1"}))
        answer = await client.get(f"/vehicles/{strange.index}")
        assert answer.status_code == 500
        assert "称重不受影响" in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]

    visit(tmp_path, look)


def test_another_language_keeps_the_page_of_the_log(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        await sample.seal(CAR)
        assert 'href="?before=7&amp;lang=en"' in (await client.get("/records?before=7")).text
        assert 'href="?lang=en"' in (await client.get("/records?lang=zh")).text

    visit(tmp_path, look)


FOREIGN = [
    ("GET", {"Host": "evil.example"}),
    ("GET", {"Host": "127.0.0.1.evil.example:80"}),
    ("GET", {"Host": "[::bad"}),
    ("POST", {}),
    ("POST", {"Origin": "http://evil.example"}),
    ("POST", {"Origin": "null"}),
    ("POST", {"Origin": "http://[bad"}),
    ("POST", {"Sec-Fetch-Site": "cross-site"}),
]


def test_foreign_names_and_foreign_pages_are_refused(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        for method, headers in FOREIGN:
            path = "/" if method == "GET" else f"/cases/{record.index}/guided"
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 403, headers
        assert await sample.store.latest(kind="case") == []

    visit(tmp_path, look)


def test_a_record_says_what_it_was_weighed_with_and_an_older_one_is_shown_too(
    tmp_path: Path,
) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        by_log = {"station", "index", "passage", "blobs", "dynamics"}
        body = {key: value for key, value in record.body.items() if key not in by_log}
        older = await sample.store.append(Draft("vehicle", body))
        new_page, old_page = [
            (await client.get(f"/vehicles/{r.index}")).raise_for_status().text
            for r in (record, older)
        ]
        assert record.body["dynamics"]["sha256"][:12] in new_page
        assert ("动态参数" in new_page, "动态参数" in old_page) == (True, False)
        devices = (await client.get("/devices")).raise_for_status().text
        assert record.body["dynamics"]["sha256"] in devices

    visit(tmp_path, look)


def test_a_record_is_handed_out_byte_for_byte(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        answer = await client.get(f"/records/{record.index}/record.json")
        assert leaf_hash(answer.content).hex() == record.record_id
        assert "attachment" in answer.headers["content-disposition"]

    visit(tmp_path, look)


def test_only_blobs_of_the_record_are_served(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        first, second = await sample.seal(OVER_SEMI), await sample.seal(CAR)
        for blob in first.blobs:
            mine = await client.get(f"/records/{first.index}/blobs/{blob.sha256}")
            assert mine.content == sample.store.blob_path(blob.sha256).read_bytes()
            assert mine.headers["cache-control"] == "no-store", "erased means erased everywhere"
            other = await client.get(f"/records/{second.index}/blobs/{blob.sha256}")
            assert other.status_code == 404
        assert (await client.get(f"/records/{first.index}/blobs/..%2f..%2fkey")).status_code == 404

    visit(tmp_path, look)


def test_signal_is_plotted_from_the_stored_file(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        signal = (await client.get(f"/api/vehicles/{record.index}/signal.json?buckets=50")).json()
        assert [(t["channel"], t["row"], t["side"]) for t in signal["traces"]] == [
            ("s1L", 1, "left"),
            ("s1R", 1, "right"),
            ("s2L", 2, "left"),
            ("s2R", 2, "right"),
        ]
        assert max(signal["traces"][0]["max"]) > 30_000, "the wheels are to be seen"
        begin = signal["clip"][0]
        part = await client.get(
            f"/api/vehicles/{record.index}/signal.json?begin={begin}&end={begin + 20}"
        )
        assert len(part.json()["traces"][0]["min"]) == 20

    visit(tmp_path, look)


def test_what_is_not_there_is_said_plainly(tmp_path: Path) -> None:
    async def look(_: SampleStation, client: httpx.AsyncClient) -> None:
        for path in (
            "/vehicles/99",
            "/records/99",
            "/nowhere",
            "/vehicles/x",
            "/vehicles/-1",
            f"/records/{2**70}",
        ):
            answer = await client.get(path)
            assert answer.status_code in {404, 422}
            assert "没有这个页面或记录" in answer.text

    visit(tmp_path, look)


def test_health_decides_the_answer_to_a_supervisor(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        assert (await client.get("/healthz")).status_code == 200
        sample.health.state("digitiser.D1", Level.DOWN, "线断了", "the line is cut")
        assert (await client.get("/healthz")).status_code == 503
        html = (await client.get("/?lang=en")).text
        assert "the line is cut" in html
        assert "call maintenance" in html

    visit(tmp_path, look)


def test_records_are_paged_without_hole_or_repeat(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        for _ in range(5):
            await sample.seal(CAR)
        indices: list[int] = []
        while page := (
            await client.get(
                "/api/vehicles.json",
                params={"limit": 2} | ({"before": indices[-1]} if indices else {}),
            )
        ).json():
            indices += [body["index"] for body in page]
        assert indices == [4, 3, 2, 1, 0]

    visit(tmp_path, look)


def test_the_line_that_is_read_to_maintenance_stands_where_it_is_asked_for(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        sample.health.state("camera.C1", Level.DOWN, "无应答", "no answer")
        sample.health.state("storage", Level.WARNING, "读取出错 3 次", "3 errors of reading")
        html = (await client.get("/")).text
        todo = html.split('data-part="todo"')[1].split("</section>")[0]
        assert "磁盘空间：读取出错 3 次" in todo, "the headline speaks of the camera alone"

    visit(tmp_path, look)


def test_what_passed_on_another_day_says_which(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(CAR, ago_s=30 * 3_600)
        passed = sample.view.local(record.body["time_us"])
        html = (await client.get("/")).text
        for part in ("lane-1", "recent"):
            shown = html.split(f'data-part="{part}"')[1].split("</section>")[0]
            assert f"<time>{passed:%m-%d %H:%M}</time>" in shown

    visit(tmp_path, look)


def test_an_open_page_counts_the_new_day_from_midnight_though_nothing_passes(
    tmp_path: Path,
) -> None:
    async def scenario() -> list[bool]:
        async with open_station(tmp_path) as sample:
            hours = 0
            view = dataclasses.replace(
                sample.view, utc_ns=lambda: time.time_ns() + hours * 3_600_000_000_000
            )
            await sample.seal(CAR)
            board = create_app(view).state.board
            seen = []
            async for event in board.stream(Speaker("en")):
                parts = json.loads(event.partition(b"data: ")[2])
                seen += ["Today <b>1</b>" in parts["recent"]] if "recent" in parts else []
                if len(seen) == 2:
                    return seen
                hours = 24
        return seen

    async def bounded() -> list[bool]:
        async with asyncio.timeout(60):
            return await scenario()

    assert asyncio.run(bounded()) == [True, False]


def test_stream_begins_with_everything_then_sends_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is not told at once, but at the next turn, comes too late for the test.
    monkeypatch.setattr(board, "_PERIOD_S", 3_600.0)

    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/events?lang=en") as stream:
            parts = (json.loads(x[6:]) async for x in stream.aiter_lines() if x[:5] == "data:")
            first = await anext(parts)
            assert {"clock", "headline", "todo", "lane-1", "lane-2", "recent"} <= set(first)
            await sample.seal(OVER_SEMI)
            while "lane-2" not in (changed := await anext(parts)):
                pass
            assert "63,750" in changed["lane-2"]
            assert "lane-1" not in changed

    visit(tmp_path, look)


def test_an_open_stream_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "_PERIOD_S", 3_600.0)

    async def scenario() -> None:
        async with open_station(tmp_path) as sample:
            web = WebServer(create_app(sample.view), "127.0.0.1", 0)
            web._server.config.timeout_graceful_shutdown = None  # it would wait for ever
            running = asyncio.create_task(web.run())
            async with (
                httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=60) as client,
                client.stream("GET", "/events") as stream,
            ):
                await anext(stream.aiter_lines())
                running.cancel()
                async with asyncio.timeout(60):
                    await asyncio.wait([running])

    asyncio.run(scenario())


def test_connections_that_ask_nothing_take_no_descriptors_from_the_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_S", 2.0)

    async def look(_: SampleStation, client: httpx.AsyncClient) -> None:
        address = client.base_url.host, client.base_url.port
        async with client.stream("GET", "/events") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            idle = [await asyncio.open_connection(*address) for _ in range(80)]
            async with asyncio.timeout(60):
                for reader, writer in idle:
                    with contextlib.suppress(ConnectionError):
                        assert await reader.read() == b""
                    writer.close()
            assert (await client.get("/healthz")).status_code == 200
            assert await anext(lines) is not None, "who asked is still served"

    visit(tmp_path, look)


@pytest.mark.parametrize(
    "drip",
    [
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n",
    ],
    ids=["half a request", "half a body"],
)
def test_who_was_answered_once_may_not_drip_a_request_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr(server, "SILENT_S", 1.0)

    async def look(_: SampleStation, client: httpx.AsyncClient) -> None:
        address = client.base_url.host, client.base_url.port
        reader, writer = await asyncio.open_connection(*address)
        writer.write(drip)
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():  # until it is hung up on
                writer.write(b"T")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(4096), 0.05)
        writer.close()
        assert (await client.get("/healthz")).status_code == 200

    visit(tmp_path, look)


def test_connections_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)

    async def look(_: SampleStation, client: httpx.AsyncClient) -> None:
        address = client.base_url.host, client.base_url.port
        held = [await asyncio.open_connection(*address) for _ in range(3)]
        with pytest.raises(httpx.TransportError):
            await client.get("/healthz")
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    assert (await client.get("/healthz")).status_code == 200
                    break
                await asyncio.sleep(0.05)

    visit(tmp_path, look)


def test_a_store_that_refuses_is_said_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)

        async def refuse(*_: object, **__: object) -> None:
            raise StoreError("磁盘读不出", "the disk cannot be read", next_en="change the disk")

        for name in ("latest", "outbox_summary", "record"):
            monkeypatch.setattr(type(sample.store), name, refuse)
        start = await client.get("/?lang=en")
        assert start.status_code == 200
        assert "the disk cannot be read change the disk" in start.text
        vehicle = await client.get(f"/vehicles/{record.index}")
        assert vehicle.status_code == 503
        assert "change the disk" in vehicle.text

    visit(tmp_path, look)


def test_a_taken_port_and_a_foreign_address_are_told_apart(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        assert (await client.get("/healthz")).status_code == 200
        app, port = create_app(sample.view), client.base_url.port
        assert port is not None
        with pytest.raises(LinkDown, match=str(port)):
            WebServer(app, "127.0.0.1", port)
        with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
            WebServer(app, "192.0.2.1", 0)

    visit(tmp_path, look)
