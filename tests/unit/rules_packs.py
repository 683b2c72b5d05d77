"""The shipped pack, and packs made from it by changing its tree."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable
from importlib import resources
from typing import Any

from edge.rules.pack import RulePack

RAW = (resources.files("edge.rules") / "packs" / "cn-national.toml").read_bytes()
NATIONAL = RulePack.parse(RAW, "cn-national.toml")
TODAY_NS = int(datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC).timestamp()) * 10**9
RULES = NATIONAL.file.set[0]


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The shipped pack as TOML after ``change`` has worked on its tree."""
    tree = tomllib.loads(RAW.decode())
    change(tree)
    return "".join(f"{key} = {_inline(value)}\n" for key, value in tree.items()).encode()


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date):
        return value.isoformat()
    return '"' + value + '"' if isinstance(value, str) else repr(value)
