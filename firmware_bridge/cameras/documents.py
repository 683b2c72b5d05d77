"""XML, JSON and ``key=value`` lines of cameras as one flat table of paths and texts.

A path names the way to a value: ``ANPR.vehicleInfo.color``, ``Events[0].UTC``. Names of XML carry
no namespace and no root, since makers change both between firmwares; the second of several equal
elements is ``name[1]``. Numbers stay the text that was sent.

What comes from the network is bounded: depth, number of values, no document type in XML (so no
entity can grow or reach for a file), no doubled key in JSON or lines, where two readers could take
different values for the plate.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias
from xml.parsers import expat

Form: TypeAlias = Literal["xml", "json", "lines"]
Flat: TypeAlias = dict[str, str]

MAX_DEPTH = 32
MAX_VALUES = 4_000

_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,100}?encoding\s*=\s*["']([A-Za-z0-9._-]{1,20})""")
_KEY = re.compile(r"[A-Za-z0-9_.\[\]-]{1,128}", re.ASCII)


class Malformed(ValueError):
    """A document is not as agreed."""


def flatten(form: Form, data: bytes, encodings: Sequence[str] = ("utf-8",)) -> Flat:
    """The values of a document by their paths.

    Parameters
    ----------
    form : {"xml", "json", "lines"}
    data : bytes
    encodings : sequence of str
        Tried in turn; the first that fits counts. XML may name its own.

    Raises
    ------
    Malformed
        The document does not read, or goes beyond what a camera has to say.
    """
    text = _decoded(data, _named(data, encodings) if form == "xml" else encodings)
    return _READERS[form](text)


def _named(data: bytes, encodings: Sequence[str]) -> Sequence[str]:
    """The encoding that XML names; GB18030 reads what the older national sets can write."""
    found = _XML_ENCODING.match(data[:200])
    name = found[1].decode().lower() if found else ""
    return ("gb18030",) if name.startswith("gb") else encodings


def _decoded(data: bytes, encodings: Sequence[str]) -> str:
    for encoding in encodings:
        try:
            return data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
        except UnicodeDecodeError:
            continue
    raise Malformed("no text")


def _flat_json(text: str) -> Flat:
    try:
        tree = json.loads(
            text,
            parse_int=str,
            parse_float=str,
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_doubles,
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    return _bounded(_leaves(tree, "", 0))


def _refuse_constant(name: str) -> None:
    raise Malformed(f"{name} is no number")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Malformed("a key stands twice")
    return table


def _leaves(node: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        raise Malformed("too deep")
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _leaves(child, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from _leaves(child, f"{path}[{number}]", depth + 1)
    elif isinstance(node, bool):
        yield path, "true" if node else "false"
    else:
        yield path, "" if node is None else node


def _bounded(leaves: Iterator[tuple[str, str]]) -> Flat:
    flat: Flat = {}
    for path, value in leaves:
        flat[path] = value
        if len(flat) > MAX_VALUES:
            raise Malformed("too many values")
    return flat


def _flat_lines(text: str) -> Flat:
    flat: Flat = {}
    for line in text.splitlines():
        key, mark, value = line.partition("=")
        if not mark or _KEY.fullmatch(key.strip()) is None:
            continue
        if key.strip() in flat or len(flat) >= MAX_VALUES:
            raise Malformed("a key stands twice, or there are too many")
        flat[key.strip()] = value.strip()
    return flat


class _XmlTable:
    """Handlers of the parser that write down each element's text under its path."""

    def __init__(self) -> None:
        self.flat: Flat = {}
        self._path: list[str] = []
        self._texts: list[list[str]] = []
        self._seen: list[Counter[str]] = [Counter()]

    def start(self, tag: str, _: dict[str, str]) -> None:
        name = tag.rpartition(":")[2]
        before = self._seen[-1][name]
        self._seen[-1][name] += 1
        self._path.append(f"{name}[{before}]" if before else name)
        self._texts.append([])
        self._seen.append(Counter())
        if len(self._path) > MAX_DEPTH or len(self.flat) > MAX_VALUES:
            raise Malformed("too deep, or too many values")

    def text(self, data: str) -> None:
        self._texts[-1].append(data)

    def end(self, _: str) -> None:
        self.flat[".".join(self._path[1:])] = "".join(self._texts.pop()).strip()
        self._path.pop()
        self._seen.pop()


def _flat_xml(text: str) -> Flat:
    table = _XmlTable()
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = table.start
    parser.CharacterDataHandler = table.text
    parser.EndElementHandler = table.end
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise Malformed("no XML") from error
    return table.flat


def _refuse_doctype(*_: object) -> None:
    raise Malformed("a document type is not accepted")


_READERS = {"xml": _flat_xml, "json": _flat_json, "lines": _flat_lines}
