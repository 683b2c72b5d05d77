"""Any message survives any split; any damage costs itself; any bytes are survived."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from firmware_bridge.session import BlockSeen, DigitiserSession
from firmware_bridge.stream import (
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    Stop,
    StreamDecoder,
    Time,
    Zero,
    encode,
)

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
HEAD = (U16, U32, U64)
TEXT = st.text(max_size=20)
POSITIVE = st.floats(1e-9, 1e9)
F32 = st.floats(-1e9, 1e9, width=32)
COUNTS = hnp.arrays(
    np.int32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.integers(-(1 << 23), (1 << 23) - 1),
)
EDGES = st.lists(st.tuples(U64, st.integers(0, 31), st.booleans()), min_size=1, max_size=8).map(
    lambda edges: tuple(sorted(edges))
)

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Hello, *HEAD, TEXT, TEXT, TEXT, st.integers(1, 32), POSITIVE, POSITIVE, U32),
    st.builds(Samples, *HEAD, COUNTS),
    st.builds(Inputs, *HEAD, EDGES),
    st.builds(Status, *HEAD, F32, F32, U32, U64, U32),
    st.builds(Start, *HEAD),
    st.builds(Stop, *HEAD),
    st.builds(Zero, *HEAD, U32),
    st.builds(Time, *HEAD, U64),
)

quick = settings(max_examples=40, deadline=None)


def _key(message: Message) -> object:
    if isinstance(message, Samples):
        head = (message.device_id, message.sequence, message.sample)
        return (*head, message.counts.shape, message.counts.tobytes())
    return message


def _single(message: Message) -> list[Message]:
    return [*message.apart()] if isinstance(message, Samples) else [message]


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(1, 200), max_size=40))
@quick
def test_any_messages_survive_any_split(messages: list[Message], sizes: list[int]) -> None:
    line = b"".join(encode(message) for message in messages)
    decoder, heard = StreamDecoder(), []
    for size in sizes:
        heard += decoder.feed(line[:size])
        line = line[size:]
    heard += decoder.feed(line)
    assert [_key(one) for m in heard for one in _single(m)] == [_key(m) for m in messages]
    assert sum(decoder.counters.values()) == len(messages)


@given(
    st.lists(MESSAGES, min_size=3, max_size=5),
    st.integers(0, 2),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1),
)
@quick
def test_damage_inside_a_frame_costs_that_frame_alone(
    messages: list[Message], hit: int, flips: list[tuple[float, int]]
) -> None:
    frames = [bytearray(encode(message)) for message in messages]
    whole = bytes(frames[hit])
    for place, bits in flips:
        frames[hit][int(place * len(whole))] ^= bits
    heard = [_key(m) for m in StreamDecoder().feed(b"".join(frames))]
    others = [_key(m) for i, m in enumerate(messages) if i != hit]
    assert heard == others or (
        len(heard) == len(messages) and frames[hit].strip(b"\0") == whole.strip(b"\0")
    )


@given(
    st.lists(st.integers(-9, 9), min_size=6, max_size=12),
    st.lists(st.tuples(st.sampled_from(("stray", "lost")), st.floats(0, 1, exclude_max=True))),
)
@example([1] * 6, [("stray", 0.34), ("lost", 0.24)])
@quick
def test_zeros_too_many_and_too_few_cost_the_same_however_the_line_is_cut(
    counts: list[int], damage: list[tuple[str, float]]
) -> None:
    blocks = [Samples(1, i, 4 * i, np.full((4, 2), c, np.int32)) for i, c in enumerate(counts)]
    line = bytearray(b"".join(map(encode, blocks)))
    for what, place in damage:
        zeros = [at for at, byte in enumerate(line) if not byte]
        if what == "stray":
            line.insert(int(place * len(line)), 0)
        elif zeros:
            del line[zeros[int(place * len(zeros))]]
    whole, cut = StreamDecoder(), StreamDecoder()
    heard = [one for m in whole.feed(bytes(line)) for one in _single(m)]
    assert list(map(_key, heard)) == [_key(m) for byte in line for m in cut.feed(bytes([byte]))]
    assert whole.counters == cut.counters


@given(
    st.lists(st.sampled_from(("even", "odd", "full", "hello", "other")), min_size=5, max_size=12),
    st.lists(
        st.tuples(st.sampled_from(("stray", "lost", "flip")), st.floats(0, 0.999)), max_size=2
    ),
    st.lists(st.floats(0, 1), max_size=3),
)
@example(["full"] * 6, [], [0.1])
@example(["hello", "even", "odd", "even", "full", "hello"], [], [0.2, 0.3])
@quick
def test_what_is_heard_does_not_depend_on_how_many_frames_come_at_once(
    kinds: list[str], damage: list[tuple[str, float]], cuts: list[float]
) -> None:
    line = bytearray(b"".join(encode(_of(kind, i)) for i, kind in enumerate(kinds)))
    for what, place in damage:
        zeros = [at for at, byte in enumerate(line) if not byte]
        if what == "lost":
            del line[zeros[int(place * len(zeros))]]
        elif what == "stray":
            line.insert(int(place * len(line)), 0)
        else:
            line[int(place * len(line))] ^= 1
    at = [0, *sorted(int(cut * len(line)) for cut in cuts), len(line)]
    many, single = StreamDecoder(), StreamDecoder()
    heard = [m for begin, end in pairwise(at) for m in many.feed(bytes(line[begin:end]))]
    one_by_one = [m for byte in line for m in single.feed(bytes((byte,)))]
    assert [_key(one) for m in heard for one in _single(m)] == list(map(_key, one_by_one))
    assert many.counters == single.counters


def _of(kind: str, number: int) -> Message:
    """Of 168 counts without a zero byte COBS makes a code that ends with a full group."""
    if kind == "hello":
        return Hello(1, number, 168 * number, "S", "M", "F", 1, 4_000.0, 0.5, 1)
    if kind == "other":
        return Samples(2, number, 168 * number, np.full((6, 28), 5, np.int32))
    count = {"even": 256, "odd": 0x5600, "full": -1}[kind]
    return Samples(1, number, 168 * number, np.full((168, 1), count, np.int32))


@given(
    st.lists(st.sampled_from((0, 0, 0, 1, 2, 3, 255)), max_size=40),
    st.integers(0, 6),
    st.sampled_from((1, 20)),
)
@example([0, 0, 0, 2], 6, 1)
@example([2, 0, 0, 0], 6, 20)
@quick
def test_scraps_and_empty_frames_between_blocks_cost_the_same_however_the_line_is_cut(
    scraps: list[int], place: int, times: int
) -> None:
    frames = [encode(_of("even", i)) for i in range(6)]
    frames.insert(place, bytes(scraps) * times)
    line = b"".join(frames)
    whole, cut = StreamDecoder(), StreamDecoder()
    heard = [_key(one) for m in whole.feed(line) for one in _single(m)]
    assert heard == [_key(m) for byte in line for m in cut.feed(bytes([byte]))]
    assert whole.counters == cut.counters


@given(st.lists(st.binary(max_size=300), max_size=20))
@quick
def test_any_bytes_are_survived_and_the_next_frame_is_understood(pieces: list[bytes]) -> None:
    decoder = StreamDecoder()
    for piece in pieces:
        assert decoder.feed(piece) == []
    hello = Hello(1, 2, 3, "S", "M", "F", 8, 4_000.0, 0.5, 1)
    assert decoder.feed(encode(hello)) == [hello]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.randoms(use_true_random=False))
@quick
def test_whatever_the_line_loses_doubles_or_swaps_each_sample_is_told_once_or_missed(
    sizes: list[int], random: np.random.Generator
) -> None:
    hello = Hello(1, 0, 0, "S", "M", "F", 1, 1_000.0, 0.5, 1)
    ends = np.cumsum(sizes).tolist()
    frames = [
        encode(Samples(1, i + 1, end - n, np.arange(end - n, end, dtype=np.int32)[:, None]))
        for i, (n, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    line = [f for f in frames for _ in range(random.choice((0, 1, 1, 1, 2)))]
    for i in range(len(line) - 1):
        if random.random() < 0.2:
            line[i], line[i + 1] = line[i + 1], line[i]
    session = DigitiserSession(1)
    events = session.receive(encode(hello) + b"".join(line), 0)
    blocks = [e for e in events if isinstance(e, BlockSeen)]
    end = blocks[0].first_sample if blocks else 0
    for block in blocks:
        assert block.first_sample == end + block.lost_before
        assert not block.restarted
        end = block.first_sample + len(block.counts)
        assert block.counts[:, 0].tolist() == list(range(block.first_sample, end))
    assert session.counters.get("lost_samples", 0) == sum(b.lost_before for b in blocks)
