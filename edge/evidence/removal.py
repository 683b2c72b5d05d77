"""How a statement binds a list of things that are gone, however long: by one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def removal_hash(names: Iterable[str]) -> str:
    """SHA-256 of the names in their order of characters, each followed by a newline.

    Anybody can make it again: ``sort | sha256sum`` over the list.
    """
    text = "".join(f"{name}\n" for name in sorted(names))
    return hashlib.sha256(text.encode()).hexdigest()
