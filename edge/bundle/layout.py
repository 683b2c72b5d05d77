"""How a dossier lies in files, and back: names that a person can read, bytes that tools can take.

Only envelopes, keys, receipt and the named files are read back. Everything else in a bundle is made
from them again (texts that were signed, bare signatures, keys as PEM, hashes of the proof), so that
``openssl`` works on it and a file that was exchanged is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.bundle.dossier import Dossier, Statement, by_hash
from edge.errors import IntegrityError
from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.envelope import Envelope
from edge.evidence.note import NoteVerifier, split_note
from edge.evidence.sm2 import Sm2Verifier, sm2_public_pem

RECORD = "record/record"
CHECKPOINT = "log/checkpoint"
RECEIPT = "receipt/receipt"
STATION_KEY, CENTRE_KEY, SECOND_KEY = "keys/station", "keys/centre", "keys/station-sm2"
REMOVED = ".removed.txt"
_FILES = ("signal/", "pictures/", "configuration/", "files/")
_REMOVAL = re.compile(r"statements/(\d{9,15})\.removed\.txt")
_FOLDER = {"signal": "signal", "picture": "pictures"}
_SETTINGS = {
    "station_file": ("station", "toml"),
    "certificate": ("certificate", "json"),
    "rule_pack": ("rules", "toml"),
    "dynamics": ("dynamics", "json"),
}
_ENDING = {
    "audio/flac": "flac",
    "image/jpeg": "jpg",
    "image/png": "png",
    "application/json": "json",
    "application/xml": "xml",
    "text/plain": "txt",
}


def files_of(dossier: Dossier) -> dict[str, bytes]:
    """All files of a dossier but the pages that are made from it.

    Raises
    ------
    ValueError
        A statement, a note or a key is malformed.
    """
    files = dict(_statements(dossier))
    files |= dict(_checkpoint(dossier))
    files |= dict(_receipt(dossier))
    files |= dict(_keys(dossier))
    files |= {
        name: dossier.blobs[sha256]
        for name, sha256 in names_of(dossier).items()
        if sha256 in dossier.blobs
    }
    return files


def dossier_of(files: Mapping[str, bytes]) -> Dossier:
    """The dossier that lies in files; nothing is verified.

    Raises
    ------
    IntegrityError
        A file that it needs is missing or malformed; ``step`` is its name.
    """
    others = sorted(
        name for name in files if name.startswith("statements/") and name.endswith(".envelope.json")
    )
    return Dossier(
        main=_read_statement(files, f"{RECORD}.envelope.json"),
        blobs=by_hash(data for name, data in files.items() if name.startswith(_FILES)),
        station_key=_text(files, f"{STATION_KEY}.txt").removesuffix("\n"),
        centre_key=_optional(files, f"{CENTRE_KEY}.txt", "\n"),
        others=tuple(_read_statement(files, name) for name in others),
        receipt=_optional(files, f"{RECEIPT}.txt"),
        second_key=_optional(files, f"{SECOND_KEY}.txt", "\n"),
        removed={
            int(match[1]): tuple(_text(files, match[0]).split())
            for match in map(_REMOVAL.fullmatch, files)
            if match
        },
    )


def names_of(dossier: Dossier) -> dict[str, str]:
    """Where each file that the record names lies, and its SHA-256; whether or not it is there."""
    names: dict[str, str] = {}
    count: dict[str, int] = {}
    for blob in dossier.main.record.blobs:
        folder = _FOLDER.get(blob.role, "files")
        count[folder] = count.get(folder, 0) + 1
        ending = _ENDING.get(blob.media_type, "bin")
        names[f"{folder}/{count[folder]}.{ending}"] = blob.sha256
    for role, sha256 in dossier.configuration():
        stem, ending = _SETTINGS[role]
        count[role] = count.get(role, 0) + 1
        number = f"-{count[role]}" if role == "dynamics" else ""
        names[f"configuration/{stem}{number}.{ending}"] = sha256
    return names


def cosignature_of(dossier: Dossier) -> tuple[str, int, bytes] | None:
    """Line, time in seconds and bare signature of the centre under the record's checkpoint."""
    if dossier.centre_key is None:
        return None
    note = dossier.main.envelope.checkpoint_note
    verifier = CosignatureVerifier.of(NoteVerifier(dossier.centre_key))
    for line, signature in zip(note_lines(note), split_note(note)[1], strict=True):
        if (signature.name, signature.key_id) == (verifier.name, verifier.key_id):
            return line, int.from_bytes(signature.value[:8], "big"), signature.value[8:]
    return None


def note_lines(note: str) -> list[str]:
    """Signature lines of a note."""
    return note.rpartition("\n\n")[2].removesuffix("\n").split("\n")


def pem_of(verifier_key: str) -> bytes:
    """A verifier key as other tools read keys."""
    key = Ed25519PublicKey.from_public_bytes(NoteVerifier(verifier_key).public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _statements(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    names = [RECORD, *(f"statements/{statement.index:09d}" for statement in dossier.others)]
    for name, statement in zip(names, dossier.statements, strict=True):
        envelope = statement.envelope
        yield f"{name}.envelope.json", envelope.encode()
        yield f"{name}.json", envelope.record_bytes
        if envelope.private is not None:
            yield f"{name}.private.json", envelope.private
    for number, removed in dossier.removed.items():
        yield f"statements/{number:09d}{REMOVED}", "".join(f"{r}\n" for r in removed).encode()


def _checkpoint(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    envelope = dossier.main.envelope
    text = split_note(envelope.checkpoint_note)[0]
    yield f"{CHECKPOINT}.txt", envelope.checkpoint_note.encode()
    yield from _signed(CHECKPOINT, envelope.checkpoint_note, dossier.station_key)
    for number, node in enumerate(envelope.proof, 1):
        yield f"log/proof/{number:02d}", node
    if dossier.second_key is not None:
        verifier = Sm2Verifier(dossier.second_key)
        yield from _signature(f"{CHECKPOINT}.sm2.sig", envelope.checkpoint_note, verifier)
    if cosigned := cosignature_of(dossier):
        _, time_s, signature = cosigned
        yield "log/cosigned.signed", f"cosignature/v1\ntime {time_s}\n{text}".encode()
        yield "log/cosigned.sig", signature


def _receipt(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    if dossier.receipt is not None:
        yield f"{RECEIPT}.txt", dossier.receipt.encode()
        if dossier.centre_key is not None:
            yield from _signed(RECEIPT, dossier.receipt, dossier.centre_key)


def _signed(name: str, note: str, key: str) -> Iterator[tuple[str, bytes]]:
    """What a key signed of a note, and its bare signature."""
    yield f"{name}.signed", split_note(note)[0].encode()
    yield from _signature(f"{name}.sig", note, NoteVerifier(key))


def _signature(
    name: str, note: str, verifier: NoteVerifier | Sm2Verifier
) -> Iterator[tuple[str, bytes]]:
    own = [s for s in split_note(note)[1] if (s.name, s.key_id) == (verifier.name, verifier.key_id)]
    if own:
        yield name, own[0].value


def _keys(dossier: Dossier) -> Iterator[tuple[str, bytes]]:
    for name, key in ((STATION_KEY, dossier.station_key), (CENTRE_KEY, dossier.centre_key)):
        if key is not None:
            yield f"{name}.txt", f"{key}\n".encode()
            yield f"{name}.pem", pem_of(key)
    if dossier.second_key is not None:
        yield f"{SECOND_KEY}.txt", f"{dossier.second_key}\n".encode()
        yield f"{SECOND_KEY}.pem", sm2_public_pem(dossier.second_key).encode()


def _read_statement(files: Mapping[str, bytes], name: str) -> Statement:
    try:
        statement = Statement(Envelope.decode(_needed(files, name)))
        _ = statement.record  # malformed bytes, or another's private part, are told here
    except (ValueError, IntegrityError) as error:
        raise _malformed(name, str(error)) from error
    return statement


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return _needed(files, name).decode()
    except UnicodeDecodeError as error:
        raise _malformed(name, str(error)) from error


def _optional(files: Mapping[str, bytes], name: str, end: str = "") -> str | None:
    return _text(files, name).removesuffix(end) if name in files else None


def _needed(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise _malformed(name, "missing")
    return files[name]


def _malformed(name: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"证据包中的 {name} 缺失或损坏（技术细节：{why}）",
        f"{name} of the bundle is missing or damaged ({why})",
        step=name,
    )
