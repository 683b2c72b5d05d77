"""How the tables of a store came to be: numbered steps, applied in order, each one once.

A step that was released is never edited. What the log binds can't be changed or removed by any
statement of SQL (triggers); a private part can be removed, and only that.
"""

from __future__ import annotations

from collections.abc import Sequence


def _append_only(*tables: str, verbs: Sequence[str] = ("UPDATE", "DELETE")) -> str:
    return "".join(
        f"""
CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;
"""
        for table in tables
        for verb in verbs
    )


_FIRST = """
CREATE TABLE station (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    idx INTEGER PRIMARY KEY,
    record_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    lane TEXT,
    passage INTEGER,
    verdict TEXT,
    time_us INTEGER NOT NULL,
    urgent INTEGER NOT NULL,
    canonical BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX records_passage ON records (lane, passage) WHERE passage IS NOT NULL;
CREATE INDEX records_kind ON records (kind, idx);
CREATE INDEX records_lane ON records (kind, lane, idx);
CREATE INDEX records_time ON records (time_us);

CREATE TABLE nodes (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE TABLE outbox (
    idx INTEGER PRIMARY KEY REFERENCES records (idx),
    record_id TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    enqueued_ns INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    poisoned TEXT
) STRICT;
CREATE INDEX outbox_order ON outbox (urgent DESC, idx) WHERE poisoned IS NULL;

CREATE TABLE receipts (
    idx INTEGER PRIMARY KEY REFERENCES records (idx),
    record_id TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    tree_size INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;
"""

_SECOND = """
-- What may be forgotten: rows can go, their hashes stay in the records.
CREATE TABLE private (
    idx INTEGER PRIMARY KEY REFERENCES records (idx),
    data BLOB NOT NULL
) STRICT;

-- One signed note answers many records. Receipts of before keep their note in the row, so that
-- the step costs no space on a disk that is nearly full.
CREATE TABLE receipt_notes (
    id INTEGER PRIMARY KEY,
    note TEXT NOT NULL
) STRICT;
ALTER TABLE receipts ADD COLUMN note_id INTEGER REFERENCES receipt_notes (id);

CREATE TABLE cosignatures (
    size INTEGER PRIMARY KEY REFERENCES checkpoints (size),
    time_s INTEGER NOT NULL,
    line TEXT NOT NULL
) STRICT;

CREATE TABLE commands (
    number INTEGER PRIMARY KEY,
    received_us INTEGER NOT NULL,
    outcome TEXT NOT NULL
) STRICT;

-- Which records name a blob that is still kept, by what kind of record (case, lawful, config).
CREATE TABLE blob_uses (
    sha256 TEXT NOT NULL,
    idx INTEGER NOT NULL,
    role TEXT NOT NULL,
    class TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (idx, role, sha256)
) STRICT, WITHOUT ROWID;

-- Blobs that were removed by rule, and the statement that says so.
CREATE TABLE dropped (
    sha256 TEXT PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    idx INTEGER NOT NULL
) STRICT;

-- Records whose bytes a damaged disk took: the tree goes on with their hashes.
CREATE TABLE lost (
    idx INTEGER PRIMARY KEY,
    leaf BLOB NOT NULL
) STRICT;

CREATE TABLE settings (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

INSERT OR IGNORE INTO blob_uses
SELECT blob.value ->> 'sha256', idx, blob.value ->> 'role',
    CASE WHEN urgent THEN 'case' WHEN kind = 'vehicle' THEN 'lawful' ELSE 'config' END,
    blob.value ->> 'size_bytes'
FROM records, json_each(CAST(canonical AS TEXT), '$.blobs') AS blob;
CREATE INDEX blob_uses_sha256 ON blob_uses (sha256);
CREATE INDEX blob_uses_class ON blob_uses (class, role, idx);
"""

_THIRD = """
-- When the centre asked for a record once more: what it signed before answers an earlier sending.
ALTER TABLE outbox ADD COLUMN asked_us INTEGER NOT NULL DEFAULT 0;
"""

MIGRATIONS: Sequence[str] = (
    _FIRST + _append_only("station", "records", "nodes", "checkpoints", "receipts"),
    _SECOND
    + _append_only("receipt_notes", "cosignatures", "commands")
    + _append_only("private", verbs=("UPDATE",)),
    _THIRD,
)
"""Each brings the schema one version on."""

EARLIER_READ: dict[int, str] = {
    1: """
CREATE TEMP VIEW receipts AS SELECT *, NULL AS note_id FROM main.receipts;
CREATE TEMP TABLE private (idx INTEGER PRIMARY KEY, data BLOB);
CREATE TEMP TABLE receipt_notes (id INTEGER PRIMARY KEY, note TEXT);
CREATE TEMP TABLE cosignatures (size INTEGER PRIMARY KEY, time_s INTEGER, line TEXT);
CREATE TEMP TABLE dropped (sha256 TEXT PRIMARY KEY, size_bytes INTEGER, idx INTEGER);
CREATE TEMP TABLE lost (idx INTEGER PRIMARY KEY, leaf BLOB);
CREATE TEMP TABLE settings (key TEXT PRIMARY KEY, value TEXT);
""",
}
"""For a reader of a store that was never brought on: what it lacks, beside it and empty."""
