"""Keys behind their port, cosignatures and second signatures, against the specifications."""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from edge.config import parse_station
from edge.errors import ConfigError
from edge.evidence.cosignature import CosignatureVerifier, Cosigner, with_line
from edge.evidence.keys import SM2_SM3, decode_key, encode_key
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier, split_note
from edge.evidence.sm2 import Sm2Signer, Sm2Verifier, sm2_public_pem
from edge.evidence.station_key import KEY_FILE, station_signer

CHECKPOINT = Checkpoint("steelyard/S1", 5, bytes(range(32))).text()


# ---------------------------------------------------------------------- the key behind its port


class Token:
    """A key that never leaves its device: all that the port asks for."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def test_any_device_that_signs_can_stand_behind_a_note_signer() -> None:
    signer = NoteSigner("steelyard/S1", Token())
    assert NoteVerifier(signer.verifier_key).verify(signer.sign(CHECKPOINT)) == CHECKPOINT


def test_a_key_file_is_pkcs8_that_others_can_use(tmp_path: Path) -> None:
    path = tmp_path / "station.key"
    signer = NoteSigner.load_or_create(path, "steelyard/S1")
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    key = load_pem_private_key(text[text.index("-----") :].encode(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.public_key().public_bytes_raw() == signer.key.public
    shown = subprocess.run(
        ["openssl", "pkey", "-in", path, "-pubout"], capture_output=True, check=True
    )
    public = load_pem_public_key(shown.stdout)
    assert isinstance(public, Ed25519PublicKey)
    assert public.public_bytes_raw() == signer.key.public
    assert NoteSigner.load(path).verifier_key == signer.verifier_key


def test_a_key_made_by_openssl_is_taken_under_the_stations_name(tmp_path: Path) -> None:
    path = tmp_path / "station.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    path.chmod(0o600)
    assert NoteSigner.load_or_create(path, "steelyard/S1").name == "steelyard/S1"
    with pytest.raises(ConfigError, match="no name"):
        NoteSigner.load(path)


def test_the_key_file_of_the_first_release_is_still_read(tmp_path: Path) -> None:
    seed, public = bytes(range(32)), Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    raw = public.public_key().public_bytes_raw()
    key_id = hashlib.sha256(b"steelyard/S1\n\x01" + raw).digest()[:4].hex()
    path = tmp_path / "station.key"
    encoded = base64.b64encode(b"\x01" + seed).decode()
    path.write_text(f"PRIVATE+KEY+steelyard/S1+{key_id}+{encoded}\n")
    path.chmod(0o600)
    assert NoteSigner.load_or_create(path, "steelyard/S1").key.public == raw
    with pytest.raises(ConfigError, match="belongs to"):
        NoteSigner.load_or_create(path, "steelyard/S2")


# ---------------------------------------------------------------------- cosignatures

WITNESS = NoteSigner("case-system", Ed25519PrivateKey.generate())


def test_a_cosignature_is_that_of_the_specification() -> None:
    """C2SP tlog-cosignature, put together by hand."""
    line = Cosigner(WITNESS).cosign(CHECKPOINT, 1_700_000_000)
    mark, name, encoded = line.split(" ")
    raw = base64.b64decode(encoded)
    public = WITNESS.key.public
    assert (mark, name) == ("—", "case-system")
    assert raw[:4] == hashlib.sha256(b"case-system\n\x04" + public).digest()[:4]
    assert int.from_bytes(raw[4:12], "big") == 1_700_000_000
    Ed25519PublicKey.from_public_bytes(public).verify(
        raw[12:], f"cosignature/v1\ntime 1700000000\n{CHECKPOINT}".encode()
    )


def test_a_cosigned_checkpoint_is_a_note_of_both() -> None:
    station = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate())
    line = Cosigner(WITNESS).cosign(CHECKPOINT, 7)
    note = with_line(station.sign(CHECKPOINT), line)
    assert NoteVerifier(station.verifier_key).verify(note) == CHECKPOINT
    assert [s.name for s in split_note(note)[1]] == ["steelyard/S1", "case-system"]


def test_the_kinds_of_one_key_are_kept_apart() -> None:
    verifier = CosignatureVerifier.of(NoteVerifier(WITNESS.verifier_key))
    assert verifier.verifier_key == Cosigner(WITNESS).verifier_key
    ordinary = WITNESS.sign(CHECKPOINT).split("\n\n")[1].rstrip("\n")
    with pytest.raises(ValueError, match="not cosigned by"):
        verifier.verify(ordinary, CHECKPOINT)
    with pytest.raises(ValueError, match="another kind"):
        NoteVerifier(verifier.verifier_key)
    with pytest.raises(ValueError, match="another kind"):
        CosignatureVerifier(WITNESS.verifier_key)
    with pytest.raises(ValueError, match="64 bits"):
        Cosigner(WITNESS).cosign(CHECKPOINT, -1)


# ---------------------------------------------------------------------- SM2 with SM3


@pytest.fixture(scope="module")
def sm2(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sm2Signer]:
    path = tmp_path_factory.mktemp("sm2") / "sm2.key"
    return path, Sm2Signer.load_or_create(path, "steelyard/S1")


def test_a_second_signature_stands_beside_the_first(sm2: tuple[Path, Sm2Signer]) -> None:
    path, second = sm2
    signer = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate(), second)
    note = signer.sign(CHECKPOINT)
    assert NoteVerifier(signer.verifier_key).verify(note) == CHECKPOINT
    assert Sm2Verifier(second.verifier_key).verify(note) == CHECKPOINT
    assert Sm2Signer.load_or_create(path, "steelyard/S1").verifier_key == second.verifier_key
    assert path.stat().st_mode & 0o777 == 0o600


def test_openssl_checks_a_second_signature(sm2: tuple[Path, Sm2Signer], tmp_path: Path) -> None:
    _, second = sm2
    signer = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate(), second)
    (tmp_path / "text").write_text(CHECKPOINT)
    (tmp_path / "signature").write_bytes(split_note(signer.sign(CHECKPOINT))[1][1].value)
    (tmp_path / "public.pem").write_text(sm2_public_pem(second.verifier_key))
    command = (
        "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in text -sigfile signature"
        " -digest sm3 -pkeyopt distid:1234567812345678"
    )
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
    assert "Verified Successfully" in done.stdout, done.stderr


def test_every_altered_byte_of_a_second_signature_is_refused(sm2: tuple[Path, Sm2Signer]) -> None:
    _, second = sm2
    note = f"{CHECKPOINT}\n{second.line(CHECKPOINT)}".encode()
    verifier = Sm2Verifier(second.verifier_key)
    for place in range(0, len(note), 3):
        damaged = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
        with pytest.raises(ValueError, match=r"."):
            verifier.verify(damaged.decode())


def test_sm2_keys_of_others_and_no_keys(sm2: tuple[Path, Sm2Signer], tmp_path: Path) -> None:
    path, second = sm2
    with pytest.raises(ConfigError, match="belongs to"):
        Sm2Signer.load_or_create(path, "steelyard/S2")
    for content in (
        b"rubbish",
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ):
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(0o600)
        with pytest.raises(ConfigError, match="damaged"):
            Sm2Signer.load_or_create(tmp_path / "key", "steelyard/S1")
    NoteSigner.load_or_create(tmp_path / "ed25519.key", "steelyard/S1")
    with pytest.raises(ConfigError, match="damaged"):
        Sm2Signer.load_or_create(tmp_path / "ed25519.key", "steelyard/S1")
    with pytest.raises(ConfigError, match="cannot read"):
        Sm2Signer.load_or_create(Path("/proc/none/sm2.key"), "steelyard/S1")
    _, point = decode_key(second.verifier_key, SM2_SM3, 65)
    off_the_curve = encode_key("steelyard/S1", SM2_SM3, point[:-1] + bytes([point[-1] ^ 1]))
    with pytest.raises(ValueError, match="no SM2 key"):
        Sm2Verifier(off_the_curve)


def test_the_station_file_names_the_second_key(tmp_path: Path) -> None:
    example = (Path(__file__).parents[2] / "examples" / "station.toml").read_text()
    asked = example.replace("# sm2_key", "sm2_key").encode()
    plain = station_signer(parse_station(tmp_path / "station.toml", example.encode()))
    both = station_signer(parse_station(tmp_path / "station.toml", asked))
    assert plain.second is None
    assert both.second is not None
    assert both.verifier_key == plain.verifier_key
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == ["sm2.key", KEY_FILE]
    assert Sm2Verifier(both.second.verifier_key).verify(both.sign(CHECKPOINT)) == CHECKPOINT
