"""Rows of a damaged SQLite file, read page by page without trust in what stands above them.

A leaf page is whole in itself: it counts its cells and says where they lie. So every leaf that was
not hit gives its rows, whatever became of the header, the schema and the inner pages. Format:
https://www.sqlite.org/fileformat2.html, sections 1.3, 1.6, 2.1 and 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

PAGE_BYTES = 4096
"""What this program's databases are made with."""

_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_WAL_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_MAX_PAYLOAD_BYTES = 64 << 20
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}

Value = int | float | str | bytes | None


class Row(NamedTuple):
    """One row; ``rowid`` is None on the pages of an index or of a table without rowids."""

    rowid: int | None
    values: tuple[Value, ...]


def rows(database: Path) -> Iterator[Row]:
    """Every row that can be read from a database and the write-ahead log beside it.

    Old versions of a page that the log holds are left aside, and so is what was never committed.
    Rows come in the order of the pages; damaged cells are passed over.
    """
    with _Pages(database) as pages:
        for number in pages.numbers():
            yield from _rows_of(pages, number)


class _Pages:
    """Pages of a database as of its last commit: from the log where it has them."""

    def __init__(self, database: Path) -> None:
        self._file = database.open("rb") if database.exists() else None
        log = database.with_name(database.name + "-wal")
        self._log = log.open("rb") if log.exists() else None
        self._in_log = _committed_frames(self._log) if self._log else {}
        size = database.stat().st_size if self._file else 0
        self._count = -(-size // PAGE_BYTES)

    def __enter__(self) -> _Pages:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self._file, self._log):
            if file is not None:
                file.close()

    def numbers(self) -> list[int]:
        """Numbers of the pages after the first, which holds the schema alone."""
        return sorted(set(range(2, self._count + 1)) | (self._in_log.keys() - {1}))

    def page(self, number: int) -> bytes:
        """A page, short or empty where the file ends."""
        if self._log is not None and number in self._in_log:
            return _read(self._log, self._in_log[number])
        if self._file is None or number < 1:
            return b""
        return _read(self._file, (number - 1) * PAGE_BYTES)


def _read(file: BinaryIO, offset: int) -> bytes:
    try:
        file.seek(offset)
        return file.read(PAGE_BYTES)
    except OSError:  # a bad sector: this page is lost, the next one may not be
        return b""


def _committed_frames(log: BinaryIO) -> dict[int, int]:
    """Where the newest committed version of each page lies in a write-ahead log."""
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    salts = b""
    offset = _WAL_HEADER_BYTES
    while len(header := _frame_header(log, offset)) == _FRAME_HEADER_BYTES:
        salts = salts or header[8:16]
        if header[8:16] != salts:
            break  # the log was begun anew before it came this far
        number, pages_after_commit = struct.unpack(">II", header[:8])
        pending[number] = offset + _FRAME_HEADER_BYTES
        if pages_after_commit:
            committed |= pending
            pending = {}
        offset += _FRAME_HEADER_BYTES + PAGE_BYTES
    return committed


def _frame_header(log: BinaryIO, offset: int) -> bytes:
    try:
        log.seek(offset)
        return log.read(_FRAME_HEADER_BYTES)
    except OSError:
        return b""


def _rows_of(pages: _Pages, number: int) -> Iterator[Row]:
    page = pages.page(number)
    if len(page) < 8 or page[0] not in (_TABLE_LEAF, _INDEX_LEAF):
        return
    (cells,) = struct.unpack_from(">H", page, 3)
    for cell in range(min(cells, (len(page) - 8) // 2)):
        (offset,) = struct.unpack_from(">H", page, 8 + 2 * cell)
        try:
            yield _row(pages, page, offset)
        except (ValueError, IndexError, struct.error):
            continue


def _row(pages: _Pages, page: bytes, offset: int) -> Row:
    is_table = page[0] == _TABLE_LEAF
    size, offset = _varint(page, offset)
    rowid: int | None = None
    if is_table:
        rowid, offset = _varint(page, offset)
    return Row(rowid, _values(_payload(pages, page, offset, size, is_table=is_table)))


def _payload(pages: _Pages, page: bytes, offset: int, size: int, *, is_table: bool) -> bytes:
    """Bytes of a cell, from its page and the overflow pages that it names."""
    if not 0 < size <= _MAX_PAYLOAD_BYTES:
        raise ValueError("a cell of impossible size")
    local = _local_bytes(size, is_table=is_table)
    parts = [page[offset : offset + local]]
    missing = size - local
    if missing:
        (follower,) = struct.unpack_from(">I", page, offset + local)
    while missing > 0:
        overflow = pages.page(follower)
        (follower,) = struct.unpack_from(">I", overflow, 0)
        parts.append(overflow[4 : 4 + missing])
        missing -= PAGE_BYTES - 4
    payload = b"".join(parts)
    if len(payload) != size:
        raise ValueError("a cell ends early")
    return payload


def _local_bytes(size: int, *, is_table: bool) -> int:
    """How much of a payload stands on the leaf itself (section 1.6 of the format)."""
    largest = PAGE_BYTES - 35 if is_table else (PAGE_BYTES - 12) * 64 // 255 - 23
    if size <= largest:
        return size
    smallest = (PAGE_BYTES - 12) * 32 // 255 - 23
    local = smallest + (size - smallest) % (PAGE_BYTES - 4)
    return local if local <= largest else smallest


def _values(payload: bytes) -> tuple[Value, ...]:
    end, at = _varint(payload, 0)
    content = end
    values: list[Value] = []
    while at < end:
        serial = payload[at]
        if serial < 0x80:  # as nearly all are: no call for these
            at += 1
        else:
            serial, at = _varint(payload, at)
        value, content = _value(payload, serial, content)
        values.append(value)
    if content != len(payload):
        raise ValueError("a row does not fill its cell")
    return tuple(values)


def _value(payload: bytes, serial: int, at: int) -> tuple[Value, int]:
    if serial in (0, 8, 9):
        return (None, 0, 1)[(0, 8, 9).index(serial)], at
    if serial == 7:
        return struct.unpack_from(">d", payload, at)[0], at + 8
    if serial in (10, 11):
        raise ValueError("a reserved type")
    width = _INTEGER_BYTES.get(serial) or (serial - 12) // 2
    data = payload[at : at + width]
    if len(data) != width:
        raise ValueError("a value ends early")
    if serial <= 6:
        return int.from_bytes(data, "big", signed=True), at + width
    return (data.decode() if serial & 1 else data), at + width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer of up to nine bytes, and the place behind it."""
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9
