"""The feed: nobody waits for a slow page, and a slow page sees the newest."""

from __future__ import annotations

import asyncio

from edge.web.feed import KEPT_NEWS, Feed


def test_newest_wins_in_a_full_queue_and_what_fell_out_is_counted() -> None:
    async def scenario() -> list[int]:
        feed = Feed()
        with feed.subscribe() as sleepy:
            for number in range(KEPT_NEWS + 10):
                feed.publish("vehicle", {"n": number})
            assert [sleepy.missed(), sleepy.missed()] == [10, 0]
            return [data["n"] for _, data in await sleepy.take(1.0)]

    assert asyncio.run(scenario()) == list(range(10, KEPT_NEWS + 10))


def test_every_subscriber_hears_and_a_left_one_does_not() -> None:
    async def scenario() -> tuple[int, int]:
        feed = Feed()
        with feed.subscribe() as first:
            with feed.subscribe() as second:
                feed.publish("a", {})
            feed.publish("b", {})
            return len(await first.take(1.0)), len(await second.take(1.0))

    assert asyncio.run(scenario()) == (2, 1)


def test_iteration_wakes_on_news_and_ends_with_the_feed() -> None:
    async def scenario() -> list[str]:
        feed, heard = Feed(), []

        async def listen() -> None:
            with feed.subscribe() as news:
                async for event, _ in news:
                    heard.append(event)

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        feed.publish("one", {})
        await asyncio.sleep(0)
        feed.publish("two", {})
        feed.end_subscriptions()
        await listener
        return heard

    assert asyncio.run(scenario()) == ["one", "two"]


def test_taking_gives_up_in_time() -> None:
    async def scenario() -> list[object]:
        with Feed().subscribe() as news:
            return list(await news.take(0.01))

    assert asyncio.run(scenario()) == []
