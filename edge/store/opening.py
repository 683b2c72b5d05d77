"""Taking up a log where it ends: whose it is, how long it is, and that its end holds together.

All of this costs the same for ten records and for ten million. What needs every record read is
for the verification and for the check in the background.
"""

from __future__ import annotations

import sqlite3

from edge.errors import ConfigError, IntegrityError, why_zh
from edge.evidence.merkle import Frontier, leaf_hash
from edge.evidence.note import Checkpoint, NoteSigner, NoteVerifier
from edge.store.rows import node_reader
from edge.store.settings import keep_setting

_SECOND_KEY = "second_key."

_NEWEST = 512
"""More records than a write-ahead log holds: what an index may lack if a part of that was lost."""

_NOT_INDEXED = """
SELECT newest.idx FROM (SELECT idx, record_id, lane, passage FROM records WHERE idx >= ?) AS newest
WHERE NOT EXISTS (
    SELECT 1 FROM records INDEXED BY sqlite_autoindex_records_1
    WHERE record_id = newest.record_id
) OR newest.passage IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM records INDEXED BY records_passage
    WHERE lane = newest.lane AND passage = newest.passage AND passage IS NOT NULL
)
"""


def claim(connection: sqlite3.Connection, station: str) -> None:
    """A database belongs to one station, from its first start on.

    Raises
    ------
    ConfigError
        It is another station's.
    """
    row = connection.execute("SELECT id FROM station").fetchone()
    if row is None:
        connection.execute("INSERT INTO station VALUES (?)", (station,))
    elif row[0] != station:
        raise ConfigError(
            f"数据目录属于站点 {row[0]}，不属于 {station}",
            f"the data directory belongs to station {row[0]}, not to {station}",
            next_zh="检查 [station] 的 id 和 data_dir",
            next_en="check id and data_dir in [station]",
        )


def log_size(connection: sqlite3.Connection) -> int:
    """Number of leaves: records and those whose bytes a damaged disk took."""
    (records,) = connection.execute("SELECT max(idx) FROM records").fetchone()
    (lost,) = connection.execute("SELECT max(idx) FROM lost").fetchone()
    return max(-1 if last is None else int(last) for last in (records, lost)) + 1


def load_frontier(connection: sqlite3.Connection, origin: str, signer: NoteSigner) -> Frontier:
    """The right edge of the stored tree, if the last checkpoint vouches for it.

    Raises
    ------
    ConfigError
        The key is not the one that signed this log.
    IntegrityError
        Records, tree and checkpoint contradict each other.
    """
    size = log_size(connection)
    last = connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    try:
        frontier = Frontier.load(size, node_reader(connection))
        _check_newest(connection, size)
        _check_indices(connection, size)
    except LookupError as error:
        raise _contradiction(str(error)) from error
    if last is None and size == 0:
        return frontier
    expected = Checkpoint(origin, frontier.size, frontier.root())
    if last is None or _signed_text(last[0], signer) != expected.text():
        raise _contradiction("the last checkpoint does not fit the tree")
    return frontier


def note_second_key(connection: sqlite3.Connection, signer: NoteSigner, size: int) -> None:
    """Remember with which second key checkpoints are signed from here on."""
    key = signer.second.verifier_key if signer.second else ""
    if (second_keys(connection) or [(0, "")])[-1][1] != key:
        keep_setting(connection, f"{_SECOND_KEY}{size:015}", key)


def second_keys(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Sizes of the log after which checkpoints have another second key; empty for none."""
    rows = connection.execute(
        "SELECT key, value FROM settings WHERE key GLOB ? ORDER BY key", (f"{_SECOND_KEY}*",)
    )
    return [(int(key.removeprefix(_SECOND_KEY)), value) for key, value in rows]


def _check_newest(connection: sqlite3.Connection, size: int) -> None:
    """The newest record's bytes are those of its leaf: what a torn write would hit first."""
    row = connection.execute(
        "SELECT canonical, hash FROM records JOIN nodes ON level = 0 AND position = idx"
        " WHERE idx = ?",
        (size - 1,),
    ).fetchone()
    if row is not None and leaf_hash(row[0]) != row[1]:
        raise LookupError(f"the bytes of record {size - 1} do not fit their hash")


def _check_indices(connection: sqlite3.Connection, size: int) -> None:
    """The newest records are found by id and by passage: else these could be given twice."""
    row = connection.execute(_NOT_INDEXED, (size - _NEWEST,)).fetchone()
    if row is not None:
        raise LookupError(f"record {row[0]} is missing in an index")


def _signed_text(note: str, signer: NoteSigner) -> str:
    try:
        return NoteVerifier(signer.verifier_key).verify(note)
    except ValueError as error:
        raise ConfigError(
            f"密钥与日志不符{why_zh(error)}",
            f"the key is not the one that signed this log: {error}",
            next_zh="从备份恢复原来的密钥文件，或运行 steelyard verify",
            next_en="restore the original key file from its backup, or run steelyard verify",
        ) from error


def _contradiction(detail: str) -> IntegrityError:
    return IntegrityError(
        f"证据日志自相矛盾（技术细节：{detail}）",
        f"the log contradicts itself: {detail}",
        step="open",
        next_zh="不要改动任何文件，运行 steelyard verify，通知维护人员",
        next_en="change no file, run steelyard verify, call the maintainer",
    )
