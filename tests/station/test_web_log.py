"""The page of the log over a real server and store: state of the log, delivery, clock, messages."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from edge.errors import Text
from edge.evidence.events import (
    clock_boot_draft,
    clock_lost_draft,
    clock_stepped_draft,
    clock_synchronised_draft,
    command_draft,
    configuration_draft,
    device_draft,
    gap_draft,
    operator_draft,
    software_draft,
    witness_draft,
)
from edge.evidence.statement import other_draft
from edge.health import Level
from edge.records import Draft, HostStamp, Record
from edge.web.gist import gist
from edge.web.texts import Speaker
from tests.browser.sample_station import CAR, OVER_SEMI, SampleStation
from tests.station.test_web_pages import own, visit

NOW_NS = 1_795_000_000_000_000_000
TOLD = Text("今晚维护", "maintenance tonight")


async def told(sample: SampleStation, **changes: Any) -> Record:
    """The centre sends a message."""
    fields: dict[str, Any] = {
        "number": 7,
        "action": "message",
        "arguments": {"zh": TOLD.zh, "en": TOLD.en},
        "issued_us": 1,
    }
    outcome = changes.pop("outcome", "taken")
    return await sample.store.append(command_draft(time.time_ns(), outcome, **(fields | changes)))


async def until_shown(client: httpx.AsyncClient, text: str, *, gone: bool = False) -> str:
    for _ in range(1_200):
        html = (await client.get("/")).text
        if (text in html) is not gone:
            return html
        await asyncio.sleep(0.05)
    raise AssertionError(f"{text} is {'still' if gone else 'not'} on the page")


def test_a_message_of_the_centre_stands_on_the_page_until_it_is_read(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        message = await told(sample)
        await told(sample, outcome="expired", arguments={"zh": "太迟", "en": "too late"})
        html = await until_shown(client, TOLD.zh)
        assert "太迟" not in html
        path = f"/messages/{message.index}/read"
        answers = await asyncio.gather(*(client.post(path, headers=own(client)) for _ in range(2)))
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        await until_shown(client, TOLD.zh, gone=True)
        (read,) = await sample.store.latest(kind="operator")
        assert read.body["about"] == {"index": message.index, "number": 7}
        assert TOLD.zh in (await client.get("/log")).text

    visit(tmp_path, look)


def test_a_message_is_not_pushed_off_by_what_else_the_centre_orders(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        await told(sample)
        for number in range(8, 70):
            await told(sample, number=number, action="resend", arguments={"from": 1, "to": 2})
        await until_shown(client, TOLD.zh)

    visit(tmp_path, look)


def test_only_the_stations_own_pages_may_say_that_a_message_was_read(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        message = await told(sample)
        path = f"/messages/{message.index}/read"
        assert (await client.post(path, headers={"Origin": "http://evil"})).status_code == 403
        assert await sample.store.latest(kind="operator") == []

    visit(tmp_path, look)


def test_what_the_centre_refused_stands_there_with_number_and_reason(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        record = await sample.seal(OVER_SEMI)
        await sample.store.poison(record.index, "太大 / too <large>")
        zh, en = (await client.get("/log")).text, (await client.get("/log?lang=en")).text
        assert "太大" in zh
        assert "too &lt;large&gt;" in en
        assert f"/vehicles/{record.index}" in zh
        assert "打电话给中心" in zh
        assert "被拒收" in (await client.get("/?lang=zh")).text

    visit(tmp_path, look)


def test_what_the_centre_cosigned_is_shown_with_what_is_still_to_go(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        await sample.seal(OVER_SEMI)
        assert "还没有" in (await client.get("/log")).text
        head = await sample.store.head()
        assert head is not None
        size = head.checkpoint.size
        await sample.store.keep_cosignature(size, NOW_NS // 10**9, "— case-system AAAA")
        await sample.seal(CAR)
        await sample.seal(CAR)
        html = (await client.get("/log?lang=en")).text
        assert f"{size} records" in html
        assert f"{sample.store.size - size} to go" in html
        sample.health.state("log", Level.DOWN, "日志冲突", "conflict of the log")
        html = (await client.get("/log?lang=zh")).text
        assert "日志冲突" in html
        assert "马上打电话给中心" in (await client.get("/?lang=zh")).text

    visit(tmp_path, look)


def test_a_time_that_nobody_vouched_for_is_shown_as_such_until_it_is_set_right(
    tmp_path: Path,
) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        sealed = await sample.seal(CAR, tell=False)
        draft = Draft("vehicle", {k: v for k, v in sealed.body.items() if k not in _OF_THE_LOG})
        unsure = HostStamp("boot-1", 5_000_000_000, False).to_body()
        again = replace(draft, body={**draft.body, **unsure, "time_us": 3_000_000})
        record = await sample.store.append(again)
        path = f"/vehicles/{record.index}?lang=en"
        assert "nothing vouched for the clock" in (await client.get(path)).text
        right = clock_synchronised_draft(NOW_NS, NOW_NS // 1000, 900, (record.index, record.index))
        other = replace(right, body={**right.body, "boot_id": "boot-2"})
        await sample.store.append(other)
        assert "sets the time right" not in (await client.get(path)).text
        await sample.store.append(replace(right, body={**right.body, "boot_id": "boot-1"}))
        # 1 795 000 000 s of UTC and five more, in Shanghai
        assert "2026-11-18 19:06:45" in (await client.get(path)).text

    visit(tmp_path, look)


_OF_THE_LOG = {"index", "station", "passage", "blobs", "private_sha256", "erased"}


def test_the_software_is_named_on_every_page(tmp_path: Path) -> None:
    async def look(sample: SampleStation, client: httpx.AsyncClient) -> None:
        digest = sample.view.software["sha256"]
        for path in ("/", "/records", "/log", "/devices", "/vehicles/999"):
            assert digest[:16] in (await client.get(path)).text, path
        assert digest in (await client.get("/log")).text

    visit(tmp_path, look)


DRAFTS = (
    (other_draft("start", time_ns=1, fields={"after": "no-stop", "software": {"version": "9"}}),
     "torn off", "9"),
    (configuration_draft(1, {}, changed=["rule_pack"], previous=None, blobs=()), "rule pack", ""),
    (software_draft(1, {"version": "2", "sha256": "ab" * 32}, {"version": "1"}), "1 → 2", "abab"),
    (device_draft(1, "camera.C1", "fault", level="down", text=TOLD, outages=1, bad_us=0),
     "Plate camera C1", "maintenance tonight"),
    (device_draft(1, "camera.C1", "recovered", level="ok", text=TOLD, outages=3, bad_us=61_000_000),
     "recovered", "1 min"),
    (gap_draft(1, "D1", ["1", "2"], first_sample=1, end_sample=9, lost=8, gaps=2, restarted=False),
     "8 samples", "lane 1, 2"),
    (gap_draft(1, "D1", ["1"], first_sample=0, end_sample=0, lost=0, gaps=1, restarted=True),
     "started anew", "D1"),
    (clock_boot_draft(1, "a", 7_200_000_000), "started anew", "2 h"),
    (clock_stepped_draft(1, -3_600_000_000, 5), "set back", "60 min"),
    (clock_stepped_draft(1, 12_000, 5), "set forward", "0.012 s"),
    (clock_lost_draft(1, 5), "nothing vouches", ""),
    (operator_draft(1, "message-read", {"index": 4}), "#4", ""),
    (operator_draft(1, "scale-command", {
        "device": "W1", "command": "tare", "by": "Li Na", "outcome": "not-done", "reason": "x"}),
     "W1: tare", "not proven done"),
    (command_draft(1, "replayed", number=1, action="resend", arguments={}, issued_us=1),
     "replayed", "send again"),
    (witness_draft(1, "conflict", "clone", size=9, known_size=12, known=None),
     "two machines", "12"),
    (other_draft("retention", time_ns=1, fields={
        "class": "lawful.signal", "count": 1_200, "bytes": 3_000_000_000, "reason": "age"}),
     "1,200 removed", "time was over"),
    (other_draft("recovered", time_ns=1, fields={"records": 90, "lost_count": 2}), "90", "2 lost"),
    (other_draft("salvaged", time_ns=1, fields={"of_index": 17}), "17", ""),
    (other_draft("from-the-future", time_ns=1, fields={}), "", ""),
    (other_draft("gap", time_ns=1, fields={"other": "fields"}), "", ""),
)  # fmt: skip


@pytest.mark.parametrize(("draft", "says", "and_says"), DRAFTS)
def test_every_statement_has_its_few_words(draft: Draft, says: str, and_says: str) -> None:
    record = Record(1, "ab", draft.kind, b"", {**draft.body, "index": 1})
    english, chinese = gist(record, Speaker("en")), gist(record, Speaker("zh"))
    assert says in english
    assert and_says in english
    assert bool(chinese) is bool(english)
