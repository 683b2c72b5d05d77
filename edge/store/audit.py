"""The single checks of a store's verification; each names the first thing that it finds wrong."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import Any

from edge.errors import Text
from edge.evidence.merkle import Frontier
from edge.evidence.note import Checkpoint, NoteVerifier, origin_of, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.seal import NUMBERED_KIND, reopen
from edge.store.blobs import BlobDirectory
from edge.store.rows import columns_of


class Broken(Exception):
    """What a check found wrong, and where, for a person who goes and looks."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(zh, en)


class Audit:
    """Checks over one consistent state of the database. Each gives a detail or raises Broken."""

    def __init__(self, connection: sqlite3.Connection, blobs: BlobDirectory) -> None:
        self._db = connection
        self._blobs = blobs
        self._station: str = (self._one("SELECT id FROM station") or ("",))[0]
        self._count: int = self._one("SELECT count(*) FROM records")[0]

    def records(self) -> Text:
        """Bytes are canonical, hash to the record's id, and say what the columns say."""
        rows = self._db.execute(
            "SELECT idx, record_id, canonical, kind, lane, passage, verdict, time_us"
            " FROM records ORDER BY idx"
        )
        for number, (index, record_id, data, *columns) in enumerate(rows):
            if index != number:
                raise Broken(f"缺少第 {number} 号记录", f"record {number} is missing")
            self._check_record(index, record_id, data, tuple(columns))
        return Text(f"{self._count} 条记录", f"{self._count} records")

    def tree(self) -> Text:
        """Every stored node is the hash of what lies below it, and there are no others."""
        frontier, count = Frontier(), 0
        for leaf in self._leaves():
            index = frontier.size
            frontier, nodes = frontier.append(leaf)
            for node in nodes:
                if self._stored_node(node.level, node.position) != node.hash:
                    raise Broken(
                        f"第 {index} 号记录的树节点 ({node.level}, {node.position}) 不符",
                        f"tree node ({node.level}, {node.position}) of record {index} is wrong",
                    )
            count += len(nodes)
        (stored,) = self._one("SELECT count(*) FROM nodes")
        if stored != count:
            raise Broken(
                f"多出 {stored - count} 个树节点：有记录被删除",
                f"{stored - count} tree nodes too many: records were removed",
            )
        return Text(f"{count} 个节点", f"{count} nodes")

    def checkpoints(self) -> Text:
        """Every checkpoint states the root of the records at its size; the last covers all."""
        roots = self._roots()
        last = 0
        for size, checkpoint in self._checkpoints():
            if checkpoint.size != size:
                raise _checkpoint(size, "所述大小不符", "it states another size")
            if size not in roots:
                raise _checkpoint(size, "其中的记录已被删除", "records that it covers are gone")
            if checkpoint.root != roots[size]:
                raise _checkpoint(size, "树根不符", "its root does not fit the records")
            last = size
        if last != self._count:
            raise Broken(f"第 {last} 号起的记录没有检查点", f"no checkpoint covers record {last}")
        return Text(f"{len(roots)} 个检查点", f"{len(roots)} checkpoints")

    def signatures(self, verifier: NoteVerifier | None, *, trusted: bool) -> Text:
        """The station's key signed every checkpoint."""
        if verifier is None:
            raise Broken("没有可用的公钥：用 --key 给出", "no key to check with: give --key")
        for size, note in self._notes():
            try:
                verifier.verify(note)
            except ValueError as error:
                raise _checkpoint(size, f"签名无效：{error}", str(error)) from error
        if trusted:
            return Text(f"公钥 {verifier.name}", f"key of {verifier.name}")
        return Text("用数据目录自带的密钥核对", "checked with the key in the directory itself")

    def blobs(self) -> Text:
        """Every file that a record names has its hash and its size."""
        seen: set[str] = set()
        for index, data in self._db.execute("SELECT idx, canonical FROM records ORDER BY idx"):
            try:
                named = reopen(data).blobs
            except ValueError:
                continue  # the check of the records names it
            for blob in named:
                if blob.sha256 not in seen:
                    self._check_blob(index, blob.sha256, blob.size_bytes)
                    seen.add(blob.sha256)
        return Text(f"{len(seen)} 个文件", f"{len(seen)} files")

    def passages(self) -> Text:
        """Passages of each lane count from 1 without a hole."""
        last: dict[str, int] = {}
        rows = self._db.execute(
            "SELECT idx, lane, passage FROM records WHERE kind = ? ORDER BY idx", (NUMBERED_KIND,)
        )
        for index, lane, passage in rows:
            expected = last.get(lane, 0) + 1
            if passage != expected:
                raise Broken(
                    f"车道 {lane} 缺少第 {expected} 次通行（见第 {index} 号记录）",
                    f"lane {lane} lacks passage {expected} (see record {index})",
                )
            last[lane] = expected
        return Text(
            f"{len(last)} 条车道，{sum(last.values())} 次通行",
            f"{len(last)} lanes, {sum(last.values())} passages",
        )

    def receipts(self) -> Text:
        """Receipts are of these records, and the centre saw no more records than there are."""
        count = 0
        for index, receipted, tree_size, note, record_id in self._db.execute(
            "SELECT idx, receipts.record_id, tree_size, note, records.record_id"
            " FROM receipts LEFT JOIN records USING (idx) ORDER BY idx"
        ):
            if receipted != record_id:
                raise _receipt(index, "记录不符", "it answers another record")
            if tree_size > self._count:
                raise _receipt(
                    index,
                    f"中心见过 {tree_size} 条记录，现只有 {self._count} 条",
                    f"the centre saw {tree_size} records, now there are {self._count}",
                )
            if note:
                _check_receipt_note(note, index, receipted, tree_size)
            count += 1
        return Text(f"{count} 张回执", f"{count} receipts")

    def _check_record(
        self, index: int, record_id: str, data: bytes, columns: tuple[object, ...]
    ) -> None:
        try:
            record = reopen(data)
        except ValueError as error:
            raise _record(index, "内容已被改动", f"its bytes were altered: {error}") from error
        if record.record_id != record_id:
            raise _record(index, "内容与散列不符", "its bytes do not fit its hash")
        if (record.index, record.body.get("station")) != (index, self._station):
            raise _record(index, "自称的站点或编号不符", "it names another station or number")
        if columns_of(record) != columns:
            raise _record(index, "检索列与内容不符", "its columns do not fit its bytes")

    def _check_blob(self, index: int, sha256: str, size_bytes: int) -> None:
        path = self._blobs.path(sha256)
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _record(
                index, f"文件 {path} 读不到：{error.strerror}", f"file {path}: {error.strerror}"
            ) from error
        if found != sha256 or path.stat().st_size != size_bytes:
            raise _record(index, f"文件 {path} 已被改动", f"file {path} was altered")

    def _leaves(self) -> Iterator[bytes]:
        for index, record_id in self._db.execute("SELECT idx, record_id FROM records ORDER BY idx"):
            try:
                yield bytes.fromhex(record_id)
            except ValueError:
                raise _record(index, "散列格式无效", "its hash is malformed") from None

    def _roots(self) -> dict[int, bytes]:
        """Root of the tree of the records at the size of every checkpoint that they reach."""
        sizes = {size for size, _ in self._notes()}
        frontier, roots = Frontier(), {}
        for leaf in self._leaves():
            frontier, _ = frontier.append(leaf)
            if frontier.size in sizes:
                roots[frontier.size] = frontier.root()
        return roots

    def _checkpoints(self) -> Iterator[tuple[int, Checkpoint]]:
        for size, note in self._notes():
            try:
                checkpoint = Checkpoint.parse(split_note(note)[0])
            except ValueError as error:
                raise _checkpoint(size, "格式无效", f"malformed: {error}") from error
            if checkpoint.origin != origin_of(self._station):
                raise _checkpoint(size, "属于别的日志", "it belongs to another log")
            yield size, checkpoint

    def _notes(self) -> sqlite3.Cursor:
        return self._db.execute("SELECT size, note FROM checkpoints ORDER BY size")

    def _stored_node(self, level: int, position: int) -> bytes | None:
        row = self._one(
            "SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)
        )
        return row[0] if row else None

    def _one(self, query: str, values: tuple[object, ...] = ()) -> Any:
        return self._db.execute(query, values).fetchone()


def _check_receipt_note(note: str, index: int, record_id: str, tree_size: int) -> None:
    """The signed text says what the row says."""
    try:
        stated = Receipt.decode(note.encode(), None)
    except ValueError as error:
        raise _receipt(index, "格式无效", f"malformed: {error}") from error
    if (stated.index, stated.record_id, stated.tree_size, stated.status) != (
        index,
        record_id,
        tree_size,
        "stored",
    ):
        raise _receipt(index, "原文与登记不符", "its text does not fit its row")


def _record(index: int, zh: str, en: str) -> Broken:
    return Broken(f"第 {index} 号记录：{zh}", f"record {index}: {en}")


def _checkpoint(size: int, zh: str, en: str) -> Broken:
    return Broken(f"大小为 {size} 的检查点：{zh}", f"checkpoint of size {size}: {en}")


def _receipt(index: int, zh: str, en: str) -> Broken:
    return Broken(f"第 {index} 号记录的回执：{zh}", f"receipt of record {index}: {en}")
