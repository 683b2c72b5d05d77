"""Tables of passages for people and other programs: CSV, JSON lines or Parquet by the suffix."""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edge.errors import InputError, cannot_write

Rows = Iterable[Mapping[str, Any]]


def write_table(path: Path, rows: Rows) -> None:
    """Write rows with the same keys; the file appears whole or not at all.

    Raises
    ------
    InputError
        Unknown suffix, rows with different keys, Parquet without pyarrow, or the disk refuses.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise InputError(
            f"不支持的表格格式：{path.name}",
            f"unknown kind of table: {path.name}",
            next_zh="文件名以 .csv、.jsonl 或 .parquet 结尾",
            next_en="end the name in .csv, .jsonl or .parquet",
        )
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        write(fresh, rows)
        fresh.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)


def _write_csv(path: Path, rows: Rows) -> None:
    # With the byte order mark, spreadsheets show Chinese right.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rest = iter(rows)
        first = next(rest, None)
        if first is None:
            return
        writer = csv.DictWriter(file, list(first))
        writer.writeheader()
        for row in chain([first], rest):
            if row.keys() != first.keys():
                raise InputError("表格各行的列不同", "the rows of the table have different columns")
            writer.writerow(row)


def _write_json_lines(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")


def _write_parquet(path: Path, rows: Rows) -> None:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InputError(
            "写 Parquet 需要安装 pyarrow",
            "Parquet needs pyarrow",
            next_zh="运行 pip install 'steelyard[parquet]'，或改用 .csv",
            next_en="run pip install 'steelyard[parquet]', or use .csv",
        ) from error
    parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows]), path)


_WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
