"""Receipts: signed by the case system, read strictly."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.note import NoteSigner, NoteVerifier
from edge.evidence.receipt import SCHEMA, Receipt

CENTRE = NoteSigner("steelyard/centre", Ed25519PrivateKey.generate())
VERIFIER = NoteVerifier(CENTRE.verifier_key)
STORED = Receipt("ab" * 32, 7, "stored", "", 1_700_000_000_000_000, 9)


@pytest.mark.parametrize(
    "receipt",
    [STORED, dataclasses.replace(STORED, status="refused", reason="签名不成立\n\n— x / bad \x07")],
)
def test_round_trip_keeps_the_signed_text(receipt: Receipt) -> None:
    data = receipt.encode(CENTRE)
    decoded = Receipt.decode(data, VERIFIER)
    assert decoded == receipt
    assert decoded.note.encode() == data
    assert Receipt.decode(data, None) == receipt


def test_every_turned_bit_is_noticed() -> None:
    data = STORED.encode(CENTRE)
    for place in range(len(data)):
        damaged = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(ValueError, match=r"."):
            Receipt.decode(damaged, VERIFIER)


def test_another_key_does_not_count() -> None:
    forger = NoteSigner(CENTRE.name, Ed25519PrivateKey.generate())
    with pytest.raises(ValueError, match="not signed by"):
        Receipt.decode(STORED.encode(forger), VERIFIER)


GOOD = (
    '{"index":7,"reason":"","record_id":"' + "ab" * 32 + '","status":"stored",'
    '"time_us":1,"tree_size":9}'
)


@pytest.mark.parametrize(
    "text",
    [
        f"other/1\n{GOOD}\n",
        f"{SCHEMA}\n",
        f"{SCHEMA}\n{GOOD}\n{GOOD}\n",
        f"{SCHEMA}\n{GOOD.replace('7', '7.0')}\n",
        f"{SCHEMA}\n{GOOD.replace('7', '-7')}\n",
        f"{SCHEMA}\n{GOOD.replace('7', 'true')}\n",
        f"{SCHEMA}\n{GOOD.replace('stored', 'lost')}\n",
        f"{SCHEMA}\n{GOOD.replace('ab', 'a')}\n",
        SCHEMA + "\n" + GOOD.replace('""', "null") + "\n",
        SCHEMA + "\n" + GOOD.replace(',"tree_size":9', "") + "\n",
        f"{SCHEMA}\n{GOOD.replace('tree_size', 'tree_sizes')}\n",
        f"{SCHEMA}\n{GOOD.replace('status', 'note')}\n",
        f"{SCHEMA}\n[]\n",
    ],
)
def test_signed_texts_that_are_no_receipt_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Receipt.decode(CENTRE.sign(text).encode(), VERIFIER)


@pytest.mark.parametrize("data", [b"", b"\xff", b"text", STORED.encode(CENTRE)[:-2]])
def test_bytes_that_are_no_note_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Receipt.decode(data, VERIFIER)
