"""What a bench writes stands between two marks of a page; people write the rest."""

from __future__ import annotations

from pathlib import Path

from edge.errors import InputError, why_zh

__all__ = ["put"]


def put(page: Path, begin: str, end: str, body: str) -> None:
    """Put ``body`` between the marks of a page; the rest of it stays.

    Raises
    ------
    InputError
        The page can't be read or written, or it lacks the marks.
    """
    try:
        head, found, rest = page.read_text("utf-8").partition(begin)
        _, closed, tail = rest.partition(end)
        if not (found and closed):
            raise InputError(f"{page} 里没有标记 {begin}", f"{page} has no marks {begin} and {end}")
        page.write_text(f"{head}{begin}\n\n{body}\n\n{end}{tail}", "utf-8")
    except OSError as error:
        raise InputError(
            f"读写不了 {page}{why_zh(error)}", f"cannot read or write {page}: {error.strerror}"
        ) from error
