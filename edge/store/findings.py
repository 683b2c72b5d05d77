"""What a check of a store finds wrong, in words for a person who goes and looks."""

from __future__ import annotations

from edge.errors import Text


class Broken(Exception):
    """The first thing that a check found wrong, and where."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.text = Text(zh, en)


def of_record(index: int, zh: str, en: str) -> Broken:
    """Something about a record."""
    return Broken(f"第 {index} 号记录：{zh}", f"record {index}: {en}")


def of_checkpoint(size: int, zh: str, en: str) -> Broken:
    """Something about a checkpoint."""
    return Broken(f"大小为 {size} 的检查点：{zh}", f"checkpoint of size {size}: {en}")


def of_receipt(index: int, zh: str, en: str) -> Broken:
    """Something about the receipt of a record."""
    return Broken(f"第 {index} 号记录的回执：{zh}", f"receipt of record {index}: {en}")
