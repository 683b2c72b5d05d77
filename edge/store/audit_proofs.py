"""The checks of what stands beside the log: signatures, files, private parts, receipts, witness."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from edge.errors import Text, why_zh
from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.note import NoteVerifier, parse_signature, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.removal import removal_hash
from edge.evidence.seal import reopen
from edge.evidence.sm2 import Sm2Verifier
from edge.store.blobs import BlobDirectory
from edge.store.findings import Broken, of_checkpoint, of_receipt, of_record
from edge.store.opening import log_size, second_keys


@dataclass(frozen=True)
class Keys:
    """With what signatures are checked; None where a key is not known."""

    station: NoteVerifier | None
    trusted: bool = False
    """Whether the station's key comes from another source than the store."""
    centre: NoteVerifier | None = None
    second: str | None = None
    """Verifier key of the station's second signature, from another source."""

    @cached_property
    def witness(self) -> CosignatureVerifier | None:
        """The centre's key in its other use."""
        return CosignatureVerifier.of(self.centre) if self.centre else None


class ProofAudit:
    """Checks over one consistent state of the database. Each gives a detail or raises Broken."""

    def __init__(self, connection: sqlite3.Connection, blobs: BlobDirectory, keys: Keys) -> None:
        self._db = connection
        self._blobs = blobs
        self._keys = keys
        self._decoded = lru_cache(maxsize=64)(self._decode)
        self._named = lru_cache(maxsize=64)(self._removal_is_named)

    def signatures(self) -> Text:
        """The station's keys signed every checkpoint, and nobody else."""
        if (verifier := self._keys.station) is None:
            raise Broken("没有可用的公钥：用 --key 给出", "no key to check with: give --key")
        seconds = self._second_verifiers()
        for size, note in self._db.execute("SELECT size, note FROM checkpoints ORDER BY size"):
            second = next((key for since, key in reversed(seconds) if size > since), None)
            try:
                verifier.verify(note)
                if second is not None:
                    second.verify(note)
                _check_signers(note, [key for key in (verifier, second) if key is not None])
            except ValueError as error:
                raise of_checkpoint(size, f"签名无效{why_zh(error)}", str(error)) from error
        also = "，另有国密签名" if any(key for _, key in seconds) else ""
        also_en = ", with second signatures by SM2" if also else ""
        if self._keys.trusted:
            return Text(f"公钥 {verifier.name}{also}", f"key of {verifier.name}{also_en}")
        return Text(
            f"用数据目录自带的密钥核对{also}", f"checked with the key in the directory{also_en}"
        )

    def blobs(self) -> Text:
        """Every file that a record names has its hash and its size, or was removed by rule."""
        seen: set[str] = set()
        dropped = 0
        for index, data in self._db.execute("SELECT idx, canonical FROM records ORDER BY idx"):
            try:
                named = reopen(data).blobs
            except ValueError:
                continue  # the check of the records names it
            for blob in named:
                if blob.sha256 not in seen:
                    dropped += not self._holds(index, blob.sha256, blob.size_bytes)
                    seen.add(blob.sha256)
        return Text(
            f"{len(seen) - dropped} 个文件" + (f"，{dropped} 个按规定清除" if dropped else ""),
            f"{len(seen) - dropped} files" + (f", {dropped} removed by rule" if dropped else ""),
        )

    def private(self) -> Text:
        """Every private part that is still there is the one that its record binds."""
        count = 0
        for index, private, data in self._db.execute(
            "SELECT idx, data, canonical FROM private LEFT JOIN records USING (idx) ORDER BY idx"
        ):
            try:
                reopen(data or b"", private=private)
            except ValueError as error:
                raise of_record(
                    index, "隐私部分不符", f"its private part does not fit: {error}"
                ) from error
            count += 1
        (bound,) = self._db.execute(
            "SELECT count(*) FROM records WHERE instr(canonical, ?)", (b'"private_sha256":',)
        ).fetchone()
        return Text(
            f"{count} 个隐私部分，{bound - count} 个已删除",
            f"{count} private parts, {bound - count} erased",
        )

    def receipts(self) -> Text:
        """Every record waits or has its receipt; the centre saw no more records than there are."""
        count, size = 0, log_size(self._db)
        for index, receipted, tree_size, own, shared, record_id in self._db.execute(
            "SELECT idx, receipts.record_id, tree_size, receipts.note, receipt_notes.note,"
            " records.record_id FROM receipts LEFT JOIN records USING (idx)"
            " LEFT JOIN receipt_notes ON id = note_id ORDER BY idx"
        ):
            if receipted != record_id and not self._is_lost(index):
                raise of_receipt(index, "记录不符", "it answers another record")
            if tree_size > size:
                raise of_receipt(
                    index,
                    f"中心见过 {tree_size} 条记录，现只有 {size} 条",
                    f"the centre saw {tree_size} records, now there are {size}",
                )
            self._check_receipt(own + (shared or ""), index, receipted, tree_size)
            count += 1
        self._check_none_dropped()
        return self._with_key(f"{count} 张回执", f"{count} receipts")

    def cosignatures(self) -> Text:
        """The witness signed the checkpoints that stand in this log."""
        count = 0
        for size, time_s, line, note in self._db.execute(
            "SELECT size, time_s, line, note FROM cosignatures LEFT JOIN checkpoints USING (size)"
            " ORDER BY size"
        ):
            try:
                stated_s = self._cosigned_at(line, split_note(note or "")[0])
            except ValueError as error:
                raise of_checkpoint(size, f"见证签名无效{why_zh(error)}", str(error)) from error
            if stated_s != time_s:
                raise of_checkpoint(size, "见证时间不符", "the time of its cosignature is altered")
            count += 1
        return self._with_key(f"{count} 个见证签名", f"{count} cosignatures")

    def _second_verifiers(self) -> list[tuple[int, Sm2Verifier | None]]:
        """From which size on which second key signs."""
        known = second_keys(self._db)
        trusted = self._keys.second
        if trusted is not None and {key for _, key in known if key} != {trusted}:
            raise Broken("国密公钥与日志不符", "the second key is not the one of this log")
        try:
            return [(since, Sm2Verifier(key) if key else None) for since, key in known]
        except ValueError as error:
            raise Broken(f"国密公钥无效{why_zh(error)}", f"the second key: {error}") from error

    def _holds(self, index: int, sha256: str, size_bytes: int) -> bool:
        """Whether a file is there and whole; false where a sealed statement says it was removed."""
        path = self._blobs.path(sha256)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            if self._was_removed(sha256):
                return False
            raise of_record(index, f"文件 {path} 不见了", f"file {path} is gone") from error
        except OSError as error:
            raise of_record(
                index, f"文件 {path} 读不到{why_zh(error)}", f"file {path}: {error.strerror}"
            ) from error
        if found != sha256 or path.stat().st_size != size_bytes:
            raise of_record(index, f"文件 {path} 已被改动", f"file {path} was altered")
        return True

    def _was_removed(self, sha256: str) -> bool:
        row = self._db.execute("SELECT idx FROM dropped WHERE sha256 = ?", (sha256,)).fetchone()
        return row is not None and self._named(row[0])

    def _removal_is_named(self, statement: int) -> bool:
        """Whether a sealed statement binds the list of what was removed by it."""
        rows = self._db.execute("SELECT sha256 FROM dropped WHERE idx = ?", (statement,))
        named = removal_hash(sha256 for (sha256,) in rows)
        row = self._db.execute(
            "SELECT canonical FROM records WHERE idx = ? AND kind = 'retention'", (statement,)
        ).fetchone()
        try:
            return row is not None and reopen(row[0]).body.get("blobs_sha256") == named
        except ValueError:
            return False  # the check of the records names it

    def _check_receipt(self, note: str, index: int, record_id: str, tree_size: int) -> None:
        """The signed text says what the row says."""
        try:
            stated = self._decoded(note).get(index)
        except ValueError as error:
            raise of_receipt(index, f"无效{why_zh(error)}", f"it does not hold: {error}") from error
        if stated is None or (stated.record_id, stated.tree_size, stated.status) != (
            record_id,
            tree_size,
            "stored",
        ):
            raise of_receipt(index, "原文与登记不符", "its text does not fit its row")

    def _decode(self, note: str) -> dict[int, Receipt]:
        receipts = Receipt.decode_all(note.encode(), self._keys.centre)
        (station,) = self._db.execute("SELECT id FROM station").fetchone() or ("",)
        if receipts[0].station not in ("", station):
            raise ValueError("it is to another station")
        return {receipt.index: receipt for receipt in receipts}

    def _check_none_dropped(self) -> None:
        row = self._db.execute(
            "SELECT idx FROM records WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE"
            " outbox.idx = records.idx AND outbox.record_id = records.record_id)"
            " AND NOT EXISTS (SELECT 1 FROM receipts WHERE receipts.idx = records.idx) LIMIT 1"
        ).fetchone()
        if row is not None:
            raise of_record(
                row[0],
                "既不在待发队列，也没有回执",
                "it neither waits for the centre nor has a receipt",
            )

    def _is_lost(self, index: int) -> bool:
        row = self._db.execute("SELECT 1 FROM lost WHERE idx = ?", (index,)).fetchone()
        return row is not None

    def _cosigned_at(self, line: str, checkpoint_text: str) -> int:
        if (witness := self._keys.witness) is not None:
            return witness.verify(line, checkpoint_text)
        return int.from_bytes(parse_signature(line).value[:8], "big")

    def _with_key(self, zh: str, en: str) -> Text:
        if self._keys.centre is not None:
            return Text(zh, en)
        return Text(f"{zh}（未给中心公钥，未验签）", f"{en} (not checked: no --centre-key)")


def _check_signers(note: str, known: list[NoteVerifier | Sm2Verifier]) -> None:
    """A line by nobody we know proves nothing and hides nothing: it does not belong here."""
    ours = {(key.name, key.key_id) for key in known}
    for signature in _signatures(note):
        if signature not in ours:
            raise ValueError(f"a line by {signature[0]} (key {signature[1].hex()}) is not known")


def _signatures(note: str) -> Iterator[tuple[str, bytes]]:
    return ((s.name, s.key_id) for s in split_note(note)[1])
