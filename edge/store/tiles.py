"""A station's log written out as tiles, for anybody who wants to follow it without this program.

What is there already stays: a full tile never changes. The checkpoint is written last, so that a
reader never sees one whose tiles are missing.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge.errors import InputError, IntegrityError, cannot_write
from edge.evidence.note import Checkpoint, split_note
from edge.evidence.tiles import CHECKPOINT, Tile, entry_bundle, tiles_of
from edge.store.schema import DATABASE, connect_reader


def write_tiles(store: Path, out: Path, progress: Callable[[float], None]) -> Checkpoint:
    """Bring a directory of tiles to the state of a store; a running station may write on.

    Parameters
    ----------
    store : Path
        The station's data directory, or a copy of it.
    out : Path
        Where the tiles go; what an earlier call wrote there is kept.
    progress : callable
        Told the part that is done, from 0 to 1.

    Returns
    -------
    Checkpoint
        The state that ``out`` now shows.

    Raises
    ------
    InputError
        There is no store, it has no record yet, or ``out`` can't be written.
    IntegrityError
        A hash or a record is missing.
    """
    path = store / DATABASE
    if not path.exists():
        raise InputError(f"{store} 不是证据库", f"{store} is no store: there is no {DATABASE}")
    connection = connect_reader(path)
    try:
        connection.execute("BEGIN")
        return _write(connection, out, progress)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        connection.close()


def _write(
    connection: sqlite3.Connection, out: Path, progress: Callable[[float], None]
) -> Checkpoint:
    row = connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    if row is None:
        raise InputError("日志还没有记录", "the log has no record yet")
    checkpoint = Checkpoint.parse(split_note(row[0])[0])
    tiles = list(tiles_of(checkpoint.size))
    for done, tile in enumerate(tiles, start=1):
        _put(out / tile.path, partial(_hashes, connection, tile))
        if tile.level == 0:
            _put(out / tile.entries_path, partial(_entries, connection, tile))
        progress(done / len(tiles))
    _replace(out / CHECKPOINT, row[0].encode())
    return checkpoint


def _hashes(connection: sqlite3.Connection, tile: Tile) -> bytes:
    rows = connection.execute(
        "SELECT hash FROM nodes WHERE level = ? AND position BETWEEN ? AND ? ORDER BY position",
        (tile.node_level, tile.first, tile.first + tile.width - 1),
    ).fetchall()
    return b"".join(_whole(rows, tile))


def _entries(connection: sqlite3.Connection, tile: Tile) -> bytes:
    rows = connection.execute(
        "SELECT canonical FROM records WHERE idx BETWEEN ? AND ? ORDER BY idx",
        (tile.first, tile.first + tile.width - 1),
    ).fetchall()
    return entry_bundle(_whole(rows, tile))


def _whole(rows: list[tuple[bytes]], tile: Tile) -> list[bytes]:
    if len(rows) != tile.width:
        raise IntegrityError(
            f"日志缺少 {tile.path} 中的内容",
            f"the log lacks a part of {tile.path}",
            step="tiles",
            next_zh="运行 steelyard verify",
            next_en="run steelyard verify",
        )
    return [value for (value,) in rows]


def _put(path: Path, content: Callable[[], bytes]) -> None:
    """A file that never changes once it is there."""
    if not path.exists():
        _replace(path, content())


def _replace(path: Path, data: bytes) -> None:
    """Readers see the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as draft:
        draft.write(data)
    Path(draft.name).chmod(0o644)
    Path(draft.name).rename(path)
