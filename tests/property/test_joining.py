"""Vehicles astride two lanes are the same however their samples are cut into blocks."""

from __future__ import annotations

from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.records import InputEdge, SampleBlock
from tests.property.test_core_blocks import bits
from tests.unit.core_signals import Lorry, cut
from tests.unit.test_joining import LEFT, RIGHT, half, pipeline, signals

FIRST, NEXT, ALONE = Lorry(0.6, 16.0), Lorry(2.6, 14.0), Lorry(2.4, 22.0, (3e3, 4e3), (3.0,))


@cache
def scene() -> tuple[SampleBlock, list[InputEdge], list[object]]:
    """One astride, one in its lane behind it, half a one of which nothing else is seen."""
    block, edges = signals(
        (LEFT, [half(FIRST, left=0.0), NEXT]),
        (RIGHT, [half(FIRST, left=1.0), half(ALONE, left=1.0)]),
        seconds=7.5,
    )
    return block, edges, taken([block], edges)


def taken(pieces: list[SampleBlock], edges: list[InputEdge]) -> list[object]:
    line, waiting, passages = pipeline(), list(edges), []
    for piece in pieces:
        due = [e for e in waiting if e.sample < piece.end_sample]
        waiting = waiting[len(due) :]
        passages += line.step(piece, due)
    passages += line.flush()
    told = [(p.lane, p.astride, p.perhaps_with) for p in passages]
    return [told, bits(passages)]


@settings(max_examples=5, deadline=None)
@given(sizes=st.lists(st.integers(40, 4_000), max_size=12))
def test_block_size_never_matters_astride(sizes: list[int]) -> None:
    block, edges, whole = scene()
    assert taken(cut(block, sizes), edges) == whole
    told = whole[0]
    assert isinstance(told, list)
    assert ("1", ("1", "2"), "") in told
