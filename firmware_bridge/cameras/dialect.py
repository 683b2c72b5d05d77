"""How a maker, or one of his firmwares, words a reading: tables of data, one TOML file each.

The files beside this module are those that are known; another camera, or another firmware, is one
more file. ``base`` names a file to start from, whose tables are taken over entry by entry::

    base = "hikvision"
    [fields]
    plate = ["ANPR.plateNumber"]

====================  ==========================================================================
``form``              ``xml``, ``json`` or ``lines``: how documents are written
``models``            what it was written for
``media_types``       types of documents that are taken, beside multipart
``encodings``         tried in turn (XML may name its own)
``events``            key of a list of events, where one document can hold several
``answer``            body that the camera expects as the answer to a message
``unread``            what stands in place of a plate where none was read
``plate_separator``   parts several plates in one text; the first counts
``confidence_scale``  the camera's word for certain
``kind_event``        ``path`` and ``values``: what makes a document a reading
``fields``            for each field the paths where it may stand; the first that is there counts
``times``             list of ``path``, ``form`` (``iso``, ``digits``, ``epoch``), for ``epoch``
                      ``per_s``, ``fraction`` and ``fraction_per_s``, ``local = true`` where it is
                      local time; the first that reads counts
``colours``           the maker's words (lower case) for ``firmware_bridge.anpr.COLOURS``
``directions``        the maker's words (lower case) for ``toward`` and ``away``
``pictures``          list of ``path`` (base64) and ``role``
``picture_labels``    parts of a multipart picture's label (lower case), and their roles
``picture_table``     key of a list of ``Offset`` and ``Length``: several pictures in one part
====================  ==========================================================================
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from firmware_bridge.anpr import COLOURS
from firmware_bridge.cameras.documents import Form
from firmware_bridge.cameras.event import Role

FIELDS = (
    "plate",
    "colour",
    "kind",
    "confidence",
    "direction",
    "lane",
    "device",
    "event_id",
    "resent",
    "more_to_come",
    "picture_count",
)

_TABLES = ("kind_event", "fields", "colours", "directions", "picture_labels")


class BadDialect(ValueError):
    """A table of a camera's words is wrong, or there is none of that name."""


@dataclass(frozen=True, slots=True)
class TimeWord:
    """Where and how a document states the moment of the picture."""

    path: str
    form: Literal["iso", "digits", "epoch"]
    local: bool = False
    per_s: int = 1
    fraction: str = ""
    fraction_per_s: int = 1_000


@dataclass(frozen=True, slots=True)
class PictureWord:
    """Where a document holds a picture in base64."""

    path: str
    role: Role


@dataclass(frozen=True, slots=True)
class KindWord:
    """What makes a document a reading: one of ``values`` at ``path``; always, if empty."""

    path: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """The tables of one file; see the module."""

    name: str
    form: Form
    models: str
    media_types: tuple[str, ...]
    fields: Mapping[str, tuple[str, ...]]
    times: tuple[TimeWord, ...]
    encodings: tuple[str, ...] = ("utf-8",)
    events: str = ""
    answer: str = ""
    unread: tuple[str, ...] = ()
    plate_separator: str = ""
    confidence_scale: float = 100.0
    kind_event: KindWord = field(default_factory=KindWord)
    colours: Mapping[str, str] = field(default_factory=dict)
    directions: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[PictureWord, ...] = ()
    picture_labels: Mapping[str, Role] = field(default_factory=dict)
    picture_table: str = ""


def dialect_names() -> list[str]:
    """Names of the files that ship."""
    folder = resources.files(__package__) / "dialects"
    return sorted(file.name[:-5] for file in folder.iterdir() if file.name.endswith(".toml"))


@lru_cache(maxsize=32)
def load_dialect(name: str) -> Dialect:
    """A dialect that ships, by its name, or the TOML file at a path.

    Raises
    ------
    BadDialect
        There is none, or it is not as agreed; the message says what.
    """
    try:
        return _built(name, _tree(name))
    except (KeyError, TypeError, ValueError) as error:
        raise BadDialect(f"{name}: {error}") from error


def _tree(name: str, depth: int = 0) -> dict[str, Any]:
    tree = tomllib.loads(_text(name))
    base = tree.pop("base", None)
    if base is None:
        return tree
    if depth or not isinstance(base, str):
        raise BadDialect("base names a file that has no base itself")
    whole = _tree(base, depth + 1)
    for key, value in tree.items():
        whole[key] = whole.get(key, {}) | value if key in _TABLES else value
    return whole


def _text(name: str) -> str:
    try:
        if name.endswith(".toml"):
            return Path(name).read_text("utf-8")
        if name not in dialect_names():
            raise BadDialect(f"no such camera format; known: {', '.join(dialect_names())}")
        return (resources.files(__package__) / "dialects" / f"{name}.toml").read_text("utf-8")
    except OSError as error:
        raise BadDialect(str(error.strerror)) from error


def _built(name: str, tree: dict[str, Any]) -> Dialect:
    known = {each.name for each in fields(Dialect)} - {"name"}
    if unknown := set(tree) - known:
        raise BadDialect(f"unknown keys: {', '.join(sorted(unknown))}")
    dialect = Dialect(name=name, **{key: _value(key, value) for key, value in tree.items()})
    _check(dialect)
    return dialect


def _value(key: str, value: Any) -> Any:
    if key == "times":
        return tuple(TimeWord(**each) for each in value)
    if key == "pictures":
        return tuple(PictureWord(**each) for each in value)
    if key == "kind_event":
        return KindWord(value["path"], tuple(value["values"]))
    if key == "fields":
        return {field: tuple(paths) for field, paths in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _check(dialect: Dialect) -> None:
    roles = {*dialect.picture_labels.values(), *(each.role for each in dialect.pictures)}
    checks = (
        (dialect.form in ("xml", "json", "lines"), "form is xml, json or lines"),
        ("plate" in dialect.fields, "fields.plate is missing"),
        (set(dialect.fields) <= set(FIELDS), f"fields are {', '.join(FIELDS)}"),
        (set(dialect.colours.values()) <= set(COLOURS), f"colours are {', '.join(COLOURS)}"),
        (set(dialect.directions.values()) <= {"toward", "away"}, "directions are toward, away"),
        (roles <= {"scene", "plate", "other"}, "roles are scene, plate, other"),
        (
            all(each.form in ("iso", "digits", "epoch") for each in dialect.times),
            "forms of times are iso, digits, epoch",
        ),
        (dialect.confidence_scale > 0, "confidence_scale is above 0"),
    )
    for holds, text in checks:
        if not holds:
            raise BadDialect(text)
