"""Every format: what is written is read back, and no altered byte is taken for the original."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import IntegrityError
from edge.evidence.batch import EnvelopeBatch
from edge.evidence.command import Command
from edge.evidence.cosignature import CosignatureVerifier, Cosigner
from edge.evidence.envelope import Envelope, verify_checkpoint, verify_envelope, verify_record
from edge.evidence.merkle import Frontier, inclusion_proof
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier
from edge.evidence.receipt import Receipt, encode_receipts
from edge.evidence.seal import reopen, seal
from edge.evidence.witness import Submission, WitnessAnswer
from edge.records import Draft, Record

STATION = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
CENTRE = NoteSigner("case-system", Ed25519PrivateKey.generate())
OF_STATION, OF_CENTRE = NoteVerifier(STATION.verifier_key), NoteVerifier(CENTRE.verifier_key)

few = settings(max_examples=30, deadline=None)
counts = st.integers(0, 2**53 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
hashes = st.binary(min_size=32, max_size=32)

T = TypeVar("T")


def altered(data: bytes, choose: st.DataObject) -> bytes:
    """The same with one byte changed to any other."""
    place = choose.draw(st.integers(0, len(data) - 1))
    byte = choose.draw(st.integers(0, 255).filter(lambda b: b != data[place]))
    return data[:place] + bytes([byte]) + data[place + 1 :]


def refuses(read: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises((ValueError, IntegrityError)):
        read(data)


# ---------------------------------------------------------------------------------- records

private_fields = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=5), values, min_size=1, max_size=3
)


def sealed(index: int, private: dict[str, Any] | None = None) -> Record:
    draft = Draft("vehicle", {"time_us": index, "lane": "1"}, private=private or {})
    return seal(draft, station="S1", index=index, passage=index + 1, salt=bytes(range(16)))


@few
@given(private_fields, st.data())
def test_a_private_part_belongs_to_its_record_alone(
    private: dict[str, Any], choose: st.DataObject
) -> None:
    record = sealed(0, private)
    assert record.private is not None
    again = reopen(record.canonical, private=record.private)
    assert again == record
    assert again.body.items() >= private.items()
    erased = reopen(record.canonical)
    assert (erased.body["erased"], erased.record_id) == (True, record.record_id)
    assert not erased.body.keys() & (private.keys() - {"plate"})
    with pytest.raises(ValueError, match="private part"):
        reopen(record.canonical, private=altered(record.private, choose))


def enveloped(records: list[Record], chosen: list[int]) -> EnvelopeBatch:
    frontier, nodes = Frontier(), {}
    for record in records:
        frontier, made = frontier.append(bytes.fromhex(record.record_id))
        nodes |= {(level, position): value for level, position, value in made}
    note = STATION.sign(Checkpoint("steelyard/S1", frontier.size, frontier.root()).text())

    def path(index: int) -> tuple[bytes, ...]:
        return tuple(inclusion_proof(index, frontier.size, lambda *place: nodes[place]))

    return EnvelopeBatch(
        note,
        tuple(
            Envelope(r.canonical, r.index, path(r.index), note, r.private)
            for r in (records[index] for index in chosen)
        ),
    )


def all_hold(data: bytes) -> list[dict[str, Any]]:
    """What the records of a batch state, if all of them prove themselves."""
    batch = EnvelopeBatch.decode(data)
    checkpoint = verify_checkpoint(batch.checkpoint_note, OF_STATION)
    return [verify_record(envelope, checkpoint) for envelope in batch.envelopes]


@few
@given(st.integers(1, 9), st.data())
def test_envelopes_and_batches(size: int, choose: st.DataObject) -> None:
    records = [sealed(i, {"plate": f"P{i}"} if i % 3 else None) for i in range(size)]
    chosen = sorted(choose.draw(st.sets(st.integers(0, size - 1), min_size=1)))
    batch = enveloped(records, chosen)
    data = choose.draw(st.sampled_from([batch.encode(), batch.encode_joint()]))
    assert EnvelopeBatch.decode(data) == batch
    assert all_hold(data) == [records[i].body for i in chosen]
    single = batch.envelopes[0]
    assert Envelope.decode(single.encode()) == single
    assert verify_envelope(single, OF_STATION) == records[chosen[0]].body

    refuses(all_hold, altered(data, choose))
    refuses(
        lambda damaged: verify_envelope(Envelope.decode(damaged), OF_STATION),
        altered(single.encode(), choose),
    )


# ---------------------------------------------------------------------------------- messages

receipts = st.builds(
    Receipt,
    record_id=hashes.map(bytes.hex),
    index=counts,
    status=st.sampled_from(["stored", "refused"]),
    reason=texts,
    time_us=st.just(5),
    tree_size=st.just(7),
    station=st.just("S1"),
)


@few
@given(st.lists(receipts, min_size=1, max_size=5), st.data())
def test_receipts(given_receipts: list[Receipt], choose: st.DataObject) -> None:
    data = encode_receipts(given_receipts, CENTRE)
    found = Receipt.decode_all(data, OF_CENTRE, "S1")
    assert found == given_receipts
    assert {receipt.note for receipt in found} == {data.decode()}
    refuses(lambda d: Receipt.decode_all(d, OF_CENTRE, "S1"), altered(data, choose))
    refuses(lambda d: Receipt.decode_all(d, OF_CENTRE, "S2"), data)
    refuses(lambda d: Receipt.decode_all(d, OF_STATION, "S1"), data)


submissions = st.builds(
    Submission,
    boot_id=texts,
    old=counts,
    proof=st.lists(hashes, max_size=3).map(tuple),
    checkpoint_note=texts,
)


@few
@given(submissions, st.data())
def test_submissions(submission: Submission, choose: st.DataObject) -> None:
    """They bear no signature of their own: an altered one is refused or says something else."""
    data = submission.encode()
    assert Submission.decode(data) == submission
    damaged = altered(data, choose)
    with contextlib.suppress(ValueError):
        assert Submission.decode(damaged) != submission


answers = st.one_of(
    st.builds(WitnessAnswer, st.just("S1"), st.just("cosigned"), counts, counts, cosignature=texts),
    st.builds(WitnessAnswer, st.just("S1"), st.just("retry"), counts, counts, known_size=counts),
    st.builds(
        WitnessAnswer,
        st.just("S1"),
        st.just("conflict"),
        counts,
        counts,
        st.sampled_from(["fork", "rollback", "truncated", "clone"]),
        counts,
        texts,
    ),
)
commands = st.builds(
    Command, texts, counts, counts, counts, texts, st.dictionaries(texts, values, max_size=3)
)


@few
@given(st.one_of(answers, commands), st.data())
def test_answers_and_commands(message: WitnessAnswer | Command, choose: st.DataObject) -> None:
    data = message.encode(CENTRE)
    read = type(message).decode
    assert read(data, OF_CENTRE) == message
    refuses(lambda d: read(d, OF_CENTRE), altered(data, choose))
    refuses(lambda d: read(d, OF_STATION), data)


@few
@given(st.integers(0, 2**63), st.data())
def test_cosignatures(time_s: int, choose: st.DataObject) -> None:
    cosigner = Cosigner(CENTRE)
    verifier = CosignatureVerifier.of(OF_CENTRE)
    text = Checkpoint("steelyard/S1", 5, bytes(32)).text()
    line = cosigner.cosign(text, time_s)
    assert verifier.verify(line, text) == time_s
    assert CosignatureVerifier(cosigner.verifier_key).verify(line, text) == time_s

    def read(data: bytes) -> int:
        return verifier.verify(data.decode(), text)

    refuses(read, altered(line.encode(), choose))
    refuses(lambda d: verifier.verify(line, d.decode()), altered(text.encode(), choose))
