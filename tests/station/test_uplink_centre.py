"""What the centre says to a station: cosignatures, conflicts and commands, true ones and others."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge.clock import HostClock, Sync
from edge.config import UplinkSection
from edge.evidence.command import Command
from edge.evidence.cosignature import Cosigner
from edge.evidence.note import NoteSigner, NoteVerifier, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.witness import Submission, WitnessAnswer
from edge.health import Health, Level
from edge.records import Draft, Record
from edge.store.store import Store
from edge.uplink.centre_time import CentreTime
from edge.uplink.commands import Commands
from edge.uplink.gate import Sizes
from edge.uplink.line import Line
from edge.uplink.pump import Pump
from edge.uplink.receipts import Receipts
from edge.uplink.topics import Topics
from edge.uplink.witness import Witness
from tests.station.uplinks import runs, until

HOUR_US = 3_600_000_000


@dataclass
class Desk:
    """Witness and commands of a station, fed by hand."""

    store: Store
    health: Health
    centre: NoteSigner
    clock: HostClock
    centre_time: CentreTime
    witness: Witness
    commands: Commands
    receipts: Receipts
    packs: Path
    woken: list[str]
    submissions: list[Submission] = field(default_factory=list)
    number: int = 0

    # A link, as far as the witness needs one
    max_packet_bytes = 1_000_000

    def overhead_bytes(self, topic: str) -> int:
        return len(topic)

    async def publish(self, topic: str, payload: bytes, **_: Any) -> int:
        assert topic == Topics("S1").checkpoint
        self.submissions.append(Submission.decode(payload))
        return 0

    @contextlib.asynccontextmanager
    async def witnessing(self) -> AsyncIterator[None]:
        line = Line(self, Sizes(100_000))  # type: ignore[arg-type]
        first = await self.witness.begin()
        task = asyncio.create_task(self.witness.run(line, first))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def submitted(self, count: int) -> Submission:
        await until(lambda: len(self.submissions) >= count)
        assert len(self.submissions) == count
        return self.submissions[-1]

    async def answer(self, signer: NoteSigner | None = None, **fields: Any) -> None:
        body = {"station": "S1", "time_us": time.time_ns() // 1000} | fields
        await self.witness.take(WitnessAnswer(**body).encode(signer or self.centre))

    async def cosign(self, submission: Submission, signer: NoteSigner | None = None) -> None:
        text = split_note(submission.checkpoint_note)[0]
        line = Cosigner(signer or self.centre).cosign(text, 1_767_225_600)
        size = int(text.split("\n")[1])
        await self.answer(status="cosigned", size=size, known_size=size, cosignature=line)

    async def command(self, action: str, signer: NoteSigner | None = None, **fields: Any) -> None:
        self.number += 1
        now_us = time.time_ns() // 1000
        body: dict[str, Any] = {
            "station": "S1",
            "number": self.number,
            "issued_us": now_us,
            "expires_us": now_us + HOUR_US,
            "arguments": {},
        }
        command = Command(action=action, **(body | fields))
        await self.commands.take(command.encode(signer or self.centre))

    async def fill(self, count: int) -> None:
        for _ in range(count):
            await self.store.append(Draft("note", {"time_us": 1}))

    async def answered(self, *indices: int, **fields: Any) -> None:
        """The centre answers for records, in a note of its own each."""
        body = {"status": "stored", "reason": "", "tree_size": 0, "station": "S1"}
        body |= {"time_us": time.time_ns() // 1000} | fields
        for index in indices:
            record = await self.store.record(index)
            assert record
            answer = Receipt(record_id=record.record_id, index=index, **body)
            await self.receipts.take([answer.encode(self.centre)])

    async def stated(self, kind: str) -> list[Record]:
        return (await self.store.latest(kind, limit=100))[::-1]

    async def outcomes(self) -> list[str]:
        return [record.body["outcome"] for record in await self.stated("command")]

    def log_state(self) -> tuple[Level, str]:
        state = self.health.snapshot().states["log"]
        return state.level, state.text.en

    def count(self, name: str) -> int:
        return self.health.snapshot().counters.get(f"uplink.{name}", 0)


@contextlib.asynccontextmanager
async def desk(
    directory: Path, *, synchronised: bool = True, with_key: bool = True
) -> AsyncIterator[Desk]:
    centre = NoteSigner.load_or_create(directory / "centre.key", "case-system")
    signer = NoteSigner.load_or_create(directory / "key", "steelyard/S1")
    health, clock, centre_time = Health(time.monotonic_ns), HostClock(), CentreTime()
    clock.sync = Sync(synchronised)
    store = await Store.open(
        directory / "data", station="S1", signer=signer, health=health, now_ns=time.time_ns
    )
    verifier = NoteVerifier(centre.verifier_key) if with_key else None
    woken: list[str] = []
    shared = {"centre": verifier, "clock": clock, "centre_time": centre_time, "seal": store.append}
    witness = Witness(store, Topics("S1"), health, **shared)  # type: ignore[arg-type]
    commands = Commands(
        store,
        health,
        station="S1",
        packs=directory / "packs",
        wake_pump=lambda: woken.append("pump"),
        wake_witness=lambda: woken.append("witness"),
        **shared,  # type: ignore[arg-type]
    )
    pump = Pump(store, UplinkSection(broker="mqtt://127.0.0.1"), Topics("S1"), health)
    receipts = Receipts(
        store,
        pump,
        health,
        station="S1",
        centre=verifier,
        on_receipt=lambda _: None,
        witness=witness,
        centre_time=centre_time,
    )
    try:
        yield Desk(
            store,
            health,
            centre,
            clock,
            centre_time,
            witness,
            commands,
            receipts,
            directory / "packs",
            woken,
        )
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def witnessed(directory: Path, *, with_key: bool = True) -> AsyncIterator[Desk]:
    """A desk with three records, whose witness is at work."""
    async with desk(directory, with_key=with_key) as d:
        await d.fill(3)
        async with d.witnessing():
            yield d


# ----------------------------------------------------------------------------------------------
# Witness


@runs
async def test_a_checkpoint_is_submitted_and_its_cosignature_kept(tmp_path: Path) -> None:
    async with witnessed(tmp_path) as d:
        first = await d.submitted(1)
        assert (first.old, first.proof, first.boot_id) == (0, (), d.clock.boot_id)
        await d.cosign(first)
        assert await d.store.cosigned_size() == 3
        assert d.log_state()[0] is Level.OK
        await d.fill(4)
        d.witness.nudge()
        second = await d.submitted(2)
        assert second.old == 3
        assert list(second.proof) == await d.store.consistency(3, 7)
        d.witness.nudge()
        await asyncio.sleep(1.2)
        assert len(d.submissions) == 2  # the log has not grown


@runs
async def test_a_witness_that_knows_less_gets_a_proof_from_there(tmp_path: Path) -> None:
    async with witnessed(tmp_path) as d:
        await d.cosign(await d.submitted(1))
        await d.fill(4)
        d.witness.nudge()
        await d.submitted(2)
        await d.answer(status="retry", size=7, known_size=2)
        third = await d.submitted(3)
        assert third.old == 2
        assert list(third.proof) == await d.store.consistency(2, 7)


@runs
async def test_a_witness_that_never_agrees_on_where_to_begin_is_not_asked_for_ever(
    tmp_path: Path,
) -> None:
    async with witnessed(tmp_path) as d:
        for count in range(1, 5):
            await d.submitted(count)
            await d.answer(status="retry", size=3, known_size=1)
        await asyncio.sleep(1.2)
        assert len(d.submissions) == 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fork", "another version of this log"),
        ("rollback", "an old disk image"),
        ("truncated", "records were cut off"),
        ("clone", "another machine uses this station's key"),
    ],
)
def test_a_conflict_is_shown_by_name_stated_once_and_taken_back(
    tmp_path: Path, name: str, words: str
) -> None:
    @runs
    async def contradict() -> None:
        async with witnessed(tmp_path) as d:
            submission = await d.submitted(1)
            for _ in range(3):
                await d.answer(status="conflict", name=name, size=3, known_size=9, known="n")
            level, text = d.log_state()
            assert level is Level.DOWN
            assert words in text
            [stated] = await d.stated("witness")
            assert (stated.body["name"], stated.body["known_size"]) == (name, 9)
            await d.cosign(submission)
            assert d.log_state()[0] is Level.OK
            statuses = [record.body["status"] for record in await d.stated("witness")]
            assert statuses == ["conflict", "cosigned"]

    contradict()


@runs
async def test_answers_that_are_forged_old_or_to_others_change_nothing(tmp_path: Path) -> None:
    forger = NoteSigner.load_or_create(tmp_path / "forger.key", "case-system")
    async with witnessed(tmp_path) as d:
        submission = await d.submitted(1)
        await d.answer(forger, status="conflict", name="clone", size=3, known_size=9)
        await d.answer(station="S2", status="conflict", name="clone", size=3, known_size=9)
        await d.answer(status="conflict", name="clone", size=2, known_size=9)  # never asked
        await d.witness.take(b"\xff")
        line = Cosigner(forger).cosign(split_note(submission.checkpoint_note)[0], 1)
        await d.answer(status="cosigned", size=3, known_size=3, cosignature=line)
        assert await d.store.cosigned_size() == 0
        assert "log" not in d.health.snapshot().states
        assert (d.count("witness_bad"), d.count("witness_stale")) == (3, 1)
        assert d.count("cosignatures_bad") == 1


@runs
async def test_without_the_centres_key_no_answer_is_believed(tmp_path: Path) -> None:
    async with witnessed(tmp_path, with_key=False) as d:
        await d.cosign(await d.submitted(1))
        await d.command("checkpoint")
        assert await d.store.cosigned_size() == 0
        assert await d.outcomes() == ["bad-signature"]


# ----------------------------------------------------------------------------------------------
# Commands


@runs
async def test_commands_are_carried_out_once_and_stated(tmp_path: Path) -> None:
    pack = 'name = "x"\n'
    sha256 = hashlib.sha256(pack.encode()).hexdigest()
    async with desk(tmp_path) as d:
        await d.fill(4)
        await d.store.poison(0, "too large")
        await d.command("message", arguments={"zh": "请检查", "en": "please check"})
        await d.command("retry_poisoned")
        await d.command("checkpoint")
        await d.command("rule_pack", arguments={"sha256": sha256, "toml": pack})
        await d.command("resend", arguments={"first": 1, "last": 2})
        assert await d.outcomes() == ["taken"] * 5
        assert (await d.store.outbox_summary()).poisoned == 0
        assert d.woken == ["pump", "witness", "pump"]
        assert (d.packs / f"{sha256}.toml").read_text() == pack
        statements = await d.stated("command")
        assert statements[0].body["arguments"] == {"zh": "请检查", "en": "please check"}
        assert statements[3].body["arguments"] == {"sha256": sha256}


@runs
async def test_an_answer_of_before_ends_no_sending_that_the_centre_asked_for_since(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as d:
        await d.fill(4)
        asked_us = time.time_ns() // 1000
        await d.answered(0, 1, 2, time_us=asked_us - 9)
        await d.command("resend", arguments={"first": 1, "last": 3}, issued_us=asked_us)
        await d.answered(1, 2, 3, time_us=asked_us - 1)
        assert await _waiting(d.store) == {1, 2, 3}
        await d.answered(2, time_us=asked_us - 1, status="refused", reason="no")
        assert (await d.store.outbox_summary()).poisoned == 0
        await d.answered(1, 3, time_us=asked_us)
        assert await _waiting(d.store) == {2}
        await d.answered(2, time_us=asked_us, status="refused", reason="no")
        assert (await d.store.outbox_summary()).poisoned == 1


@runs
async def test_what_is_said_to_be_queued_again_is_what_waits(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.fill(4)
        await d.answered(0, 1)
        await d.store.poison(2, "too large")
        await d.command("resend", arguments={"first": 0, "last": 2})
        await d.command("retry_poisoned")
        assert [r.body["detail"] for r in await d.stated("command")] == ["queued 2", "queued 1"]
        assert await _waiting(d.store) == {0, 1, 2, 3}


@runs
async def test_a_refusal_of_before_does_not_undo_a_retry(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.fill(1)
        asked_us = time.time_ns() // 1000
        await d.answered(0, time_us=asked_us - 1, status="refused", reason="no")
        await d.command("retry_poisoned", issued_us=asked_us)
        await d.answered(0, time_us=asked_us - 1, status="refused", reason="no")
        assert await _waiting(d.store) == {0}
        await d.answered(0, time_us=asked_us + 1)
        assert await _waiting(d.store) == set()


async def _waiting(store: Store) -> set[int]:
    """What waits, but for the statements of the commands."""
    entries = await store.outbox(100)
    return {e.index for e in entries} - {r.index for r in await store.latest("command", limit=100)}


@runs
async def test_a_command_that_is_delivered_again_is_not_carried_out_again(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.command("checkpoint", number=5)
        for number in (5, 4, 5):
            await d.command("checkpoint", number=number)
        assert await d.outcomes() == ["taken", "replayed"]
        assert d.woken == ["witness"]
        assert d.count("commands.replayed") == 3
        await d.command("checkpoint", number=6)
        assert d.woken == ["witness"] * 2


@runs
async def test_numbers_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async with desk(tmp_path) as d:
        await d.command("checkpoint", number=5)
    async with desk(tmp_path) as d:
        await d.command("checkpoint", number=5)
        assert await d.outcomes() == ["taken", "replayed"]
        assert d.woken == []


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"expires_us": 1}, "expired"),
        ({"station": "S2"}, "other-station"),
        ({"action": "reboot"}, "unknown-action"),
        ({"arguments": {"x": 1}}, "unknown-action"),
        ({"action": "message", "arguments": {"zh": "x"}}, "unknown-action"),
        ({"action": "message", "arguments": {"zh": "x" * 5_000, "en": ""}}, "unknown-action"),
        ({"action": "resend", "arguments": {"first": 3, "last": 2}}, "unknown-action"),
        ({"action": "resend", "arguments": {"first": 0, "last": 10**9}}, "unknown-action"),
        ({"action": "resend", "arguments": {"first": "0", "last": 1}}, "unknown-action"),
        ({"action": "rule_pack", "arguments": {"sha256": "0" * 64, "toml": ""}}, "unknown-action"),
    ],
)
def test_a_command_that_does_not_hold_is_refused_and_stated(
    tmp_path: Path, fields: dict[str, Any], outcome: str
) -> None:
    @runs
    async def refuse() -> None:
        async with desk(tmp_path) as d:
            await d.command(**({"action": "checkpoint"} | fields))
            assert await d.outcomes() == [outcome]
            assert d.woken == []

    refuse()


@runs
async def test_forged_commands_are_counted_and_stated_once_an_hour(tmp_path: Path) -> None:
    forger = NoteSigner.load_or_create(tmp_path / "forger.key", "case-system")
    async with desk(tmp_path) as d:
        for _ in range(50):
            await d.command("checkpoint", forger)
            await d.commands.take(b"nonsense")
        assert await d.outcomes() == ["bad-signature"]
        assert d.count("commands.bad-signature") == 100
        await d.command("checkpoint", number=1)
        assert d.woken == ["witness"]


@runs
async def test_with_a_clock_nobody_vouches_for_the_centres_own_time_decides(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, synchronised=False) as d:
        await d.command("checkpoint")
        assert await d.outcomes() == ["clock-unsure"]
        assert d.woken == []
        d.centre_time.heard(time.time_ns() // 1000)
        await d.command("checkpoint", number=1)  # the same command comes again
        assert d.woken == ["witness"]
        await d.command("checkpoint", number=9, expires_us=1_000)
        assert (await d.outcomes())[-1] == "expired"
