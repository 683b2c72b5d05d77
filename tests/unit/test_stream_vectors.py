"""The shared vectors: frames that every implementation of the stream has to make and to read."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np
import pytest

from firmware_bridge import stream
from firmware_bridge.stream import Message, StreamDecoder, encode
from simulator.csrc import SOURCES
from simulator.twins import record

_LINES = (SOURCES / "vectors.txt").read_text(encoding="utf-8").splitlines()
_ROWS = [line.split("\t") for line in _LINES if line and not line.startswith("#")]
GOOD = [(said, bytes.fromhex(wire)) for said, wire in _ROWS if said.endswith(")")]
BAD = [(said, bytes.fromhex(wire)) for said, wire in _ROWS if not said.endswith(")")]


def message(said: str) -> Message:
    """The message that a line of the file spells."""
    call = ast.parse(said, mode="eval").body
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    fields: dict[str, Any] = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
    if "counts" in fields:
        fields["counts"] = np.array(fields["counts"], np.int32)
    made: Message = getattr(stream, call.func.id)(**fields)
    return made


@pytest.mark.parametrize(("said", "wire"), GOOD, ids=[said[:40] for said, _ in GOOD])
def test_a_vector_is_made_and_read(said: str, wire: bytes) -> None:
    told = message(said)
    assert encode(told) == wire
    (heard,) = StreamDecoder().feed(wire)
    assert type(heard) is type(told)
    assert record(heard) == record(told)


@pytest.mark.parametrize(("said", "wire"), BAD, ids=[said for said, _ in BAD])
def test_a_bad_vector_is_counted_by_name(said: str, wire: bytes) -> None:
    decoder = StreamDecoder()
    assert decoder.feed(wire) == []
    assert {name for name, n in decoder.counters.items() if n} == {said.split(":")[0]}


def test_the_vectors_cover_every_message_and_every_counter() -> None:
    assert {said.split("(")[0] for said, _ in GOOD} == {
        *("Hello", "Samples", "Inputs", "Status"),
        *("Start", "Stop", "Zero", "Time"),
    }
    assert {said.split(":")[0] for said, _ in BAD} == {"damaged", "unknown", "malformed"}


def test_some_vectors_end_in_a_full_block_and_in_a_zero() -> None:
    """The two ends at which implementations of COBS differ."""
    assert any(len(wire) > 256 and wire[-256] == 0xFF for _, wire in GOOD)
    assert any(wire[-2] == 1 for _, wire in GOOD)
