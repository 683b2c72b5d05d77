"""Signed notes against the published example of the Go checksum database, and key files."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import ConfigError
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, origin_of, split_note

# The example of golang.org/x/mod/sumdb/note.
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb"
    "6KE6RyyBwJnAM=\n"
)


def signer(name: str = "steelyard/S1") -> NoteSigner:
    return NoteSigner(name, Ed25519PrivateKey.generate())


def key_file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "key"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_signs_and_verifies_as_the_published_example(tmp_path: Path) -> None:
    published = NoteSigner.load(key_file(tmp_path, PRIVATE + "\n"))
    assert published.verifier_key == PUBLIC
    assert published.sign(TEXT) == f"{TEXT}\n{SIGNATURE}"
    assert NoteVerifier(PUBLIC).verify(f"{TEXT}\n{SIGNATURE}") == TEXT


def test_signatures_of_others_are_left_aside() -> None:
    ours, witness = signer(), signer("witness.example")
    co_signed = ours.sign("text\n") + witness.sign("text\n").rpartition("\n\n")[2]
    assert NoteVerifier(ours.verifier_key).verify(co_signed) == "text\n"
    assert NoteVerifier(witness.verifier_key).verify(co_signed) == "text\n"
    assert len(split_note(co_signed)[1]) == 2


def test_a_note_by_another_key_of_the_same_name_is_refused() -> None:
    note = signer().sign("text\n")
    with pytest.raises(ValueError, match="not signed by"):
        NoteVerifier(signer().verifier_key).verify(note)


def test_every_turned_bit_of_a_note_is_noticed() -> None:
    ours = signer()
    note = ours.sign("origin\n7\nroot\n").encode()
    verifier = NoteVerifier(ours.verifier_key)
    for place in range(len(note)):
        damaged = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
        with pytest.raises(ValueError, match=r"."):
            verifier.verify(damaged.decode())


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        "text\n",
        "text\n\n",
        f"text\n{SIGNATURE}",
        f"{TEXT}\n{SIGNATURE}".rstrip("\n"),
        f"{TEXT}\r\n\n{SIGNATURE}",
        f"{TEXT}\n{SIGNATURE}\n",
        f"{TEXT}\n{SIGNATURE.replace('— ', '- ')}",
        f"{TEXT}\n{SIGNATURE.replace('M=', 'N=')}",
        f"{TEXT}\n— PeterNeumann x08g\n",
        f"{TEXT}\n— Peter+Neumann x08go/ZJ\n",
        f"{TEXT}\n" + SIGNATURE * 101,
        f"{'x' * 1_000_001}\n\n{SIGNATURE}",
    ],
)
def test_malformed_notes_are_refused(note: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NoteVerifier(PUBLIC).verify(note)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a3",
        PUBLIC.replace("c74f20a3", "c74f20a4"),
        PUBLIC.replace("PeterNeumann", "Peter"),
        PUBLIC.replace("PeterNeumann", "Peter Neumann"),
        PUBLIC.replace("+ARpc", "+AhpC"),
        PUBLIC[:-4],
        PUBLIC.replace("c74f20a3", "0c74f20a3"),
        PUBLIC + "é",
    ],
)
def test_malformed_verifier_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NoteVerifier(key)


@pytest.mark.parametrize("text", ["no end", "a\tb\n", "a\x00\n"])
def test_texts_that_are_no_note_are_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        signer().sign(text)


def test_a_key_file_is_private_and_stays_the_same(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    first = NoteSigner.load_or_create(path, "steelyard/S1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert NoteSigner.load_or_create(path, "steelyard/S1").verifier_key == first.verifier_key
    assert [p.name for p in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, PRIVATE, mode)
    with pytest.raises(ConfigError, match="can be read by others"):
        NoteSigner.load_or_create(path, "PeterNeumann")


@pytest.mark.parametrize("text", ["", "rubbish", PUBLIC, PRIVATE[:-4], PRIVATE.replace("c7", "c8")])
def test_a_damaged_key_is_not_replaced_by_a_new_one(tmp_path: Path, text: str) -> None:
    path = key_file(tmp_path, text)
    with pytest.raises(ConfigError, match="damaged"):
        NoteSigner.load_or_create(path, "PeterNeumann")
    assert path.read_text() == text


def test_a_key_of_another_station_is_refused(tmp_path: Path) -> None:
    NoteSigner.load_or_create(tmp_path / "key", "steelyard/S1")
    with pytest.raises(ConfigError, match="belongs to steelyard/S1"):
        NoteSigner.load_or_create(tmp_path / "key", "steelyard/S2")


def test_a_key_file_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="key file"):
        NoteSigner.load_or_create(tmp_path / "file" / "key", "steelyard/S1")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# The example of C2SP tlog-checkpoint.
CHECKPOINT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


def test_checkpoint_as_in_the_specification() -> None:
    parsed = Checkpoint.parse(CHECKPOINT)
    assert (parsed.origin, parsed.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert parsed.text() == CHECKPOINT
    assert Checkpoint.parse(CHECKPOINT + "extension\n") == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        "origin\n1\n",
        CHECKPOINT.rstrip("\n"),
        CHECKPOINT.replace("20852163", "020852163"),
        CHECKPOINT.replace("20852163", "-1"),
        CHECKPOINT.replace("20852163", "+1"),
        CHECKPOINT.replace("20852163", "²"),
        CHECKPOINT.replace("20852163", "9" * 30),
        CHECKPOINT.replace("CsUY", ""),
        CHECKPOINT.replace("=", ""),
        CHECKPOINT.replace("example.com/behind-the-sofa", ""),
        CHECKPOINT + "\n",
        "origin\n1\n" + base64.b64encode(b"short").decode() + "\n",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Checkpoint.parse(text)


def test_origin_names_the_station() -> None:
    assert origin_of("S1") == "steelyard/S1"
