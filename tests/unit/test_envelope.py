"""An envelope proves its record offline, and each thing that can be wrong has its own name."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import IntegrityError
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.merkle import Frontier, inclusion_proof, leaf_hash
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier
from edge.evidence.seal import seal
from edge.records import Draft

SIGNER = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
VERIFIER = NoteVerifier(SIGNER.verifier_key)


def enveloped(records: list[bytes], index: int, *, origin: str = "steelyard/S1") -> Envelope:
    """The envelope of one of some records under a signed checkpoint of all."""
    frontier, nodes = Frontier(), {}
    for data in records:
        frontier, made = frontier.append(leaf_hash(data))
        nodes |= {(level, position): value for level, position, value in made}
    proof = inclusion_proof(index, len(records), lambda *place: nodes[place])
    note = SIGNER.sign(Checkpoint(origin, frontier.size, frontier.root()).text())
    return Envelope(records[index], index, tuple(proof), note)


def sealed(index: int, station: str = "S1") -> bytes:
    draft = Draft("start", {"time_us": index})
    return seal(draft, station=station, index=index, passage=None).canonical


RECORDS = [sealed(index) for index in range(5)]


def test_every_record_of_a_log_proves_itself_after_a_journey() -> None:
    for index in range(5):
        envelope = Envelope.decode(enveloped(RECORDS, index).encode())
        assert verify_envelope(envelope, VERIFIER)["index"] == index
        assert envelope.record_id == leaf_hash(RECORDS[index]).hex()


DAMAGE: list[tuple[str, Callable[[Envelope], Envelope]]] = [
    (
        "signature",
        lambda e: dataclasses.replace(e, checkpoint_note=e.checkpoint_note.replace("5\n", "6\n")),
    ),
    (
        "signature",
        lambda e: dataclasses.replace(
            e,
            checkpoint_note=NoteSigner("steelyard/S1", Ed25519PrivateKey.generate()).sign("x\n"),
        ),
    ),
    ("checkpoint", lambda e: dataclasses.replace(e, checkpoint_note=SIGNER.sign("hello\n"))),
    ("inclusion", lambda e: dataclasses.replace(e, record_bytes=e.record_bytes + b" ")),
    ("inclusion", lambda e: dataclasses.replace(e, index=3)),
    ("inclusion", lambda e: dataclasses.replace(e, index=-1)),
    ("inclusion", lambda e: dataclasses.replace(e, proof=e.proof[:-1])),
    ("inclusion", lambda e: dataclasses.replace(e, proof=())),
    ("canonical", lambda _: enveloped([b'{"index": 0}'], 0)),
    ("canonical", lambda _: enveloped([b"\xff"], 0)),
    ("number", lambda _: enveloped([sealed(1), sealed(0)], 0)),
    ("number", lambda _: enveloped([sealed(0, "S2")], 0)),
    ("number", lambda _: enveloped(RECORDS, 2, origin="steelyard/S2")),
]


@pytest.mark.parametrize(("step", "damage"), DAMAGE)
def test_the_failing_step_is_named(step: str, damage: Callable[[Envelope], Envelope]) -> None:
    with pytest.raises(IntegrityError) as caught:
        verify_envelope(damage(enveloped(RECORDS, 2)), VERIFIER)
    assert caught.value.step == step


def _changed(**fields: object) -> bytes:
    return json.dumps(json.loads(enveloped(RECORDS, 2).encode()) | fields).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        _changed(schema="other"),
        _changed(index="2"),
        _changed(index=True),
        _changed(index=2.0),
        _changed(proof=None),
        _changed(proof=[1]),
        _changed(proof="ab"),
        _changed(record="not base64!"),
        _changed(record=7),
        _changed(record="é"),
        _changed(checkpoint=None),
    ],
)
def test_what_is_no_envelope_is_refused_plainly(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        Envelope.decode(data)
    assert caught.value.step == "format"


def test_encoding_is_the_same_every_time() -> None:
    envelope = enveloped(RECORDS, 2)
    assert Envelope.decode(envelope.encode()).encode() == envelope.encode()
    assert base64.b64encode(RECORDS[2]) in envelope.encode()
