"""The bytes printed in docs/wire.md are the bytes that the code speaks."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_bridge import stream, update_messages
from firmware_bridge.stream import Message, StreamDecoder, encode

_EXAMPLE = re.compile(r"^Example: `(\w+)\((.*)\)`\n\n```hex\n([0-9A-F \n]+)```", re.MULTILINE)
_DOCUMENT = Path(__file__).parents[2] / "docs" / "wire.md"
_EXAMPLES = [
    pytest.param(match[1], match[2], bytes.fromhex(match[3]), id=match[1])
    for match in _EXAMPLE.finditer(_DOCUMENT.read_text(encoding="utf-8"))
    if hasattr(stream, match[1]) or hasattr(update_messages, match[1])
]


def _told(arguments: str) -> dict[str, Any]:
    call = ast.parse(f"f({arguments})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}


def _fields(message: Message) -> dict[str, Any]:
    """All that stands on the wire; how many frames were joined does not."""
    values = {f.name: getattr(message, f.name) for f in fields(message) if f.name != "frames"}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def test_every_message_has_an_example() -> None:
    assert {example.values[0] for example in _EXAMPLES} == {
        *("Hello", "Samples", "Inputs", "Status"),
        *("Start", "Stop", "Zero", "Time"),
        *("Firmware", "Offer", "ImageBlock", "Switch", "Confirm"),
    }


@pytest.mark.parametrize(("kind", "arguments", "wire"), _EXAMPLES)
def test_the_example_decodes_to_what_the_text_says(kind: str, arguments: str, wire: bytes) -> None:
    decoder = StreamDecoder()
    (message,) = decoder.feed(wire)
    assert type(message).__name__ == kind
    assert _fields(message) == _told(arguments)
    assert decoder.counters["frames"] == 1


@pytest.mark.parametrize(("kind", "arguments", "wire"), _EXAMPLES)
def test_what_the_text_says_encodes_to_the_example(kind: str, arguments: str, wire: bytes) -> None:
    told = _told(arguments)
    if "counts" in told:
        told["counts"] = np.array(told["counts"], np.int32)
    room = stream if hasattr(stream, kind) else update_messages
    assert encode(getattr(room, kind)(**told)) == wire
