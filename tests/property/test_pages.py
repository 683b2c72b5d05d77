"""Rows read page by page are those that SQLite wrote, whatever they hold."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.store.pages import rows

INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES = st.one_of(
    st.none(),
    INTEGERS,
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30),
    st.binary(max_size=40),
    st.integers(3_900, 20_000).map(bytes),
)


@settings(max_examples=25, deadline=None)
@given(
    table=st.dictionaries(INTEGERS, st.tuples(VALUES, VALUES), min_size=1, max_size=20),
    in_log=st.booleans(),
)
def test_rows_are_what_was_written(
    tmp_path_factory: Any, table: dict[int, tuple[Any, Any]], in_log: bool
) -> None:
    path: Path = tmp_path_factory.mktemp("pages") / "a.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=OFF")
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)")
    database.execute("BEGIN")
    database.executemany("INSERT INTO t VALUES (?, ?, ?)", [(k, *v) for k, v in table.items()])
    database.execute("COMMIT")
    if not in_log:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    found = {row.rowid: row.values[1:] for row in rows(path) if len(row.values) == 3}
    wanted = {
        key: tuple(values) for key, *values in database.execute("SELECT id, a, b FROM t").fetchall()
    }
    database.close()
    assert found == wanted


@settings(max_examples=25, deadline=None)
@given(noise=st.binary(max_size=12_000), at=st.integers(0, 20_000))
def test_noise_raises_nothing(tmp_path_factory: Any, noise: bytes, at: int) -> None:
    path: Path = tmp_path_factory.mktemp("noise") / "a.db"
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
    database.executemany("INSERT INTO t VALUES (?, ?)", [(n, bytes(700)) for n in range(20)])
    database.commit()
    database.close()
    data = path.read_bytes()
    path.write_bytes(data[:at] + noise + data[at + len(noise) :])
    path.with_name("a.db-wal").write_bytes(noise)
    assert all(len(row.values) > 0 for row in rows(path))
