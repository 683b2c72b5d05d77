"""The checks of a log itself: records, tree, checkpoints, passages.

Each names the first thing that it finds wrong. Records whose bytes a damaged disk took are
accepted as holes only where a sealed statement names them.
"""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from edge.errors import Text
from edge.evidence.merkle import Frontier
from edge.evidence.note import Checkpoint, origin_of, split_note
from edge.evidence.removal import removal_hash
from edge.evidence.seal import NUMBERED_KIND, reopen
from edge.store.findings import Broken, of_checkpoint, of_record
from edge.store.opening import log_size
from edge.store.rows import columns_of
from edge.store.settings import generation, number


class LogAudit:
    """Checks over one consistent state of the database. Each gives a detail or raises Broken."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._station: str = (self._one("SELECT id FROM station") or ("",))[0]
        self._origin = origin_of(self._station, generation(connection))
        self._size = log_size(connection)
        self._lost = [idx for (idx,) in connection.execute("SELECT idx FROM lost ORDER BY idx")]

    def records(self) -> Text:
        """Bytes are canonical, hash to the record's id, and say what the columns say."""
        missing = iter(self._lost)
        expected = 0
        rows = self._db.execute(
            "SELECT idx, record_id, canonical, kind, lane, passage, verdict, time_us"
            " FROM records ORDER BY idx"
        )
        for index, record_id, data, *columns in rows:
            while expected < index and next(missing, None) == expected:
                expected += 1
            if index != expected:
                raise Broken(f"缺少第 {expected} 号记录", f"record {expected} is missing")
            self._check_record(index, record_id, data, tuple(columns))
            expected += 1
        if self._lost:
            self._check_lost()
        told = len(self._lost)
        return Text(
            f"{expected - told} 条记录" + (f"，{told} 条因磁盘损坏只剩散列" if told else ""),
            f"{expected - told} records" + (f", {told} more by their hash alone" if told else ""),
        )

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
                raise of_checkpoint(size, "所述大小不符", "it states another size")
            if size not in roots:
                raise of_checkpoint(size, "其中的记录已被删除", "records that it covers are gone")
            if checkpoint.root != roots[size]:
                raise of_checkpoint(size, "树根不符", "its root does not fit the records")
            last = size
        if last != self._size:
            raise Broken(f"第 {last} 号起的记录没有检查点", f"no checkpoint covers record {last}")
        return Text(f"{len(roots)} 个检查点", f"{len(roots)} checkpoints")

    def passages(self) -> Text:
        """Passages of each lane count on without a hole."""
        last: dict[str, tuple[int, int]] = {}
        rows = self._db.execute(
            "SELECT idx, lane, passage FROM records WHERE kind = ? ORDER BY idx", (NUMBERED_KIND,)
        )
        count = 0
        for index, lane, passage in rows:
            before, at = last.get(lane) or (number(self._db, f"passage_base.{lane}"), -1)
            skipped = passage - before - 1 if isinstance(passage, int) else -1
            if not 0 <= skipped <= self._lost_between(at, index):
                raise Broken(
                    f"车道 {lane} 缺少第 {before + 1} 次通行（见第 {index} 号记录）",
                    f"lane {lane} lacks passage {before + 1} (see record {index})",
                )
            last[lane] = passage, index
            count += 1
        return Text(f"{len(last)} 条车道，{count} 次通行", f"{len(last)} lanes, {count} passages")

    def _check_record(
        self, index: int, record_id: str, data: bytes, columns: tuple[object, ...]
    ) -> None:
        try:
            record = reopen(data)
        except ValueError as error:
            raise of_record(index, "内容已被改动", f"its bytes were altered: {error}") from error
        if record.record_id != record_id:
            raise of_record(index, "内容与散列不符", "its bytes do not fit its hash")
        if (record.index, record.body.get("station")) != (index, self._station):
            raise of_record(index, "自称的站点或编号不符", "it names another station or number")
        if columns_of(record) != columns:
            raise of_record(index, "检索列与内容不符", "its columns do not fit its bytes")

    def _check_lost(self) -> None:
        """A sealed statement names the very records of which only the hash is left."""
        named = removal_hash(str(index) for index in self._lost)
        for (data,) in self._db.execute("SELECT canonical FROM records WHERE kind = 'recovered'"):
            if reopen(data).body.get("lost_sha256") == named:
                return
        raise Broken(
            f"第 {self._lost[0]} 号等记录只剩散列，但没有修复声明说明",
            f"of record {self._lost[0]} and others only the hash is left, and no statement says so",
        )

    def _lost_between(self, first: int, last: int) -> int:
        return bisect_left(self._lost, last) - bisect_left(self._lost, first)

    def _leaves(self) -> Iterator[bytes]:
        rows = self._db.execute(
            "SELECT idx, record_id FROM records"
            " UNION ALL SELECT idx, lower(hex(leaf)) FROM lost ORDER BY idx"
        )
        for index, record_id in rows:
            try:
                yield bytes.fromhex(record_id)
            except ValueError:
                raise of_record(index, "散列格式无效", "its hash is malformed") from None

    def _roots(self) -> dict[int, bytes]:
        """Root of the tree of the records at the size of every checkpoint that they reach."""
        sizes = {size for (size,) in self._db.execute("SELECT size FROM checkpoints")}
        frontier, roots = Frontier(), {}
        for leaf in self._leaves():
            frontier, _ = frontier.append(leaf)
            if frontier.size in sizes:
                roots[frontier.size] = frontier.root()
        return roots

    def _checkpoints(self) -> Iterator[tuple[int, Checkpoint]]:
        for size, note in self._db.execute("SELECT size, note FROM checkpoints ORDER BY size"):
            try:
                checkpoint = Checkpoint.parse(split_note(note)[0])
            except ValueError as error:
                raise of_checkpoint(size, "格式无效", f"malformed: {error}") from error
            if checkpoint.origin != self._origin:
                raise of_checkpoint(size, "属于别的日志", "it belongs to another log")
            yield size, checkpoint

    def _stored_node(self, level: int, position: int) -> bytes | None:
        row = self._one(
            "SELECT hash FROM nodes WHERE level = ? AND position = ?", (level, position)
        )
        return row[0] if row else None

    def _one(self, query: str, values: tuple[object, ...] = ()) -> Any:
        return self._db.execute(query, values).fetchone()
