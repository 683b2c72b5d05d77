"""The uplink against real brokers: nothing lost, nothing doubled, whatever goes down."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.station.brokers import mosquitto, needs_mosquitto
from tests.station.uplinks import STATION, case_system, cases, centre_key, post, runs, until

pytestmark = [pytest.mark.broker, needs_mosquitto]


@runs
async def test_two_hundred_records_with_blobs_arrive_once_and_prove_themselves(
    tmp_path: Path,
) -> None:
    with mosquitto(tmp_path / "broker") as broker:
        async with (
            post(tmp_path / "station") as station,
            case_system(broker.url, tmp_path / "centre") as centre,
            station.delivering(broker.url, centre_key=centre.verifier_key),
        ):
            sent = [await station.append(os.urandom(1_000 * (n % 300))) for n in range(200)]
            await until(station.is_empty)
            assert {r.record_id for r in station.receipts} == {r.record_id for r in sent}
    with cases(tmp_path / "centre") as store:
        assert [r.record_id for r in store.records(STATION)] == [r.record_id for r in sent]
        assert store.verify() == []
        assert store.duplicates == 0
