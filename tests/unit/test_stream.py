"""The digitiser's frames: layout, resynchronisation, and what is refused."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from cobs import cobs

from firmware_bridge.stream import (
    MAX_FRAME_BYTES,
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    StreamDecoder,
    Zero,
    encode,
)

HELLO = Hello(7, 1, 0, "S-1", "M", "1.0", 2, 4_000.0, 0.5, 99)
STATUS = Status(7, 2, 40, 20.5, 24.0, 1, 2, 3)
EDGES = Inputs(7, 3, 40, ((41, 0, True), (41, 5, False), (60, 0, False)))


def _frame(code: int, body: bytes, *, version: int = 1) -> bytes:
    """A frame put together by the document, not by the code."""
    raw = struct.pack("<BBHIQ", version, code, 7, 1, 2) + body
    return cobs.encode(raw + struct.pack("<I", zlib.crc32(raw))) + b"\0"


def _samples(n: int, channels: int, sequence: int = 4) -> Samples:
    counts = np.random.default_rng(n).integers(-(1 << 23), 1 << 23, (n, channels), np.int32)
    return Samples(7, sequence, 40, counts)


def _same(a: Message, b: Message) -> bool:
    if isinstance(a, Samples) and isinstance(b, Samples):
        heads = (a.device_id, a.sequence, a.sample) == (b.device_id, b.sequence, b.sample)
        return heads and a.counts.dtype == np.int32 and np.array_equal(a.counts, b.counts)
    return a == b


ALL: list[Message] = [HELLO, STATUS, EDGES, _samples(40, 8), Start(7, 9, 0), Zero(7, 10, 0, 255)]
LINE = b"".join(encode(message) for message in ALL)


def _assert_all(messages: list[Message]) -> None:
    assert len(messages) == len(ALL)
    assert all(_same(a, b) for a, b in zip(messages, ALL, strict=True))


def test_whole() -> None:
    _assert_all(StreamDecoder().feed(LINE))


def _blocks(*sequences: int, n: int = 10, channels: int = 3, step: int = 10) -> list[Samples]:
    return [
        replace(_samples(n, channels, sequence), sample=sequence * step, device_id=7)
        for sequence in sequences
    ]


def _heard(messages: list[Samples]) -> tuple[list[Message], StreamDecoder]:
    decoder = StreamDecoder()
    return decoder.feed(b"".join(encode(message) for message in messages)), decoder


def test_blocks_that_follow_one_another_come_joined_and_can_be_taken_apart() -> None:
    sent = _blocks(*range(4, 12))
    (joined,), decoder = _heard(sent)
    assert isinstance(joined, Samples)
    assert (joined.sequence, joined.sample, joined.frames) == (4, 40, 8)
    assert np.array_equal(joined.counts, np.concatenate([block.counts for block in sent]))
    assert joined.counts.flags.c_contiguous
    assert not joined.counts.flags.writeable
    assert all(_same(a, b) for a, b in zip(joined.apart(), sent, strict=True))
    assert decoder.counters["frames"] == 8


@pytest.mark.parametrize(
    ("sent", "frames"),
    [
        pytest.param(_blocks(1, 2, 3, 5, 6, 7), [3, 3], id="a frame lost"),
        pytest.param(_blocks(1, 2, 2, 3, 4), [2, 3], id="a frame twice"),
        pytest.param(_blocks(1, 2, 3) + _blocks(4, 5, 6, step=11), [3, 1, 1, 1], id="samples lost"),
        pytest.param(
            [*_blocks(1, 2), *_blocks(3, 4, n=15, channels=2, step=15)], [1] * 4, id="shape"
        ),
        pytest.param(
            _blocks(1, 2, 3) + [replace(b, device_id=8) for b in _blocks(4, 5)], [3, 2], id="device"
        ),
        pytest.param(_blocks((1 << 32) - 2, (1 << 32) - 1), [1, 1], id="too few to be worth it"),
    ],
)
def test_only_what_goes_on_without_a_gap_is_joined(sent: list[Samples], frames: list[int]) -> None:
    heard, decoder = _heard(sent)
    assert [message.frames for message in heard if isinstance(message, Samples)] == frames
    apart = [one for message in heard if isinstance(message, Samples) for one in message.apart()]
    assert all(_same(a, b) for a, b in zip(apart, sent, strict=True))
    assert decoder.counters["frames"] == len(sent)


def test_blocks_are_joined_across_the_end_of_the_sequence_numbers() -> None:
    last = (1 << 32) - 1
    sent = [
        replace(b, sequence=s)
        for b, s in zip(_blocks(1, 2, 3, 4), (last - 1, last, 0, 1), strict=True)
    ]
    (joined,), _ = _heard(sent)
    assert isinstance(joined, Samples)
    assert [block.sequence for block in joined.apart()] == [last - 1, last, 0, 1]


def _ends_with_a_full_group(code: bytes) -> bool:
    at, length = 0, 0
    while at < len(code):
        length = code[at]
        at += length
    return length == 255


def test_a_block_whose_code_ends_with_a_full_group_costs_its_neighbours_nothing() -> None:
    """COBS puts no zero after a group of 254 bytes, so what follows can't be decoded with it."""
    chance = np.random.default_rng(11)
    plain = Samples(7, 0, 0, np.full((40, 8), 0x050607, np.int32))
    full = plain
    while not _ends_with_a_full_group(encode(full)[1:-1]):
        full = replace(plain, counts=chance.integers(1 << 16, 1 << 23, (40, 8), np.int32))
    blocks = [plain] * 9 + [full] + [plain] * 10
    sent = [replace(block, sequence=i, sample=40 * i) for i, block in enumerate(blocks)]
    heard, decoder = _heard(sent)
    assert [m.frames for m in heard if isinstance(m, Samples)] == [9, 1, 10]
    apart = [one for m in heard if isinstance(m, Samples) for one in m.apart()]
    assert all(_same(a, b) for a, b in zip(apart, sent, strict=True))
    assert decoder.counters["frames"] == 20


def test_a_frame_with_a_strange_number_between_blocks_in_a_row_keeps_its_place() -> None:
    sent: list[Message] = [*_blocks(4, 5, 6), STATUS, *_blocks(7, 8, 9)]
    heard = StreamDecoder().feed(b"".join(map(encode, sent)))
    apart = [one for m in heard for one in (m.apart() if isinstance(m, Samples) else [m])]
    assert len(apart) == len(sent)
    assert all(_same(a, b) for a, b in zip(apart, sent, strict=True))


def test_joined_blocks_are_not_sent_as_a_frame() -> None:
    (joined,), _ = _heard(_blocks(1, 2, 3, 4))
    with pytest.raises(ValueError, match="joined"):
        encode(joined)


def test_byte_by_byte() -> None:
    decoder = StreamDecoder()
    _assert_all([m for byte in LINE for m in decoder.feed(bytes((byte,)))])


def test_noise_before_between_and_after_costs_no_frame() -> None:
    noise = bytes(range(1, 256))
    line = noise + noise.join(encode(message) for message in ALL) + noise
    decoder = StreamDecoder()
    _assert_all(decoder.feed(line))
    assert decoder.counters["damaged"] == len(ALL)


def test_a_sender_without_the_leading_zero_is_understood() -> None:
    line = b"".join(encode(message)[1:] for message in ALL)
    _assert_all(StreamDecoder().feed(line))


def test_counts_keep_their_sign_and_their_ends() -> None:
    ends = np.array([[-(1 << 23), -1, 0], [1, (1 << 23) - 1, -256]], np.int32)
    (message,) = StreamDecoder().feed(encode(Samples(7, 1, 0, ends)))
    assert isinstance(message, Samples)
    assert message.counts.tolist() == ends.tolist()
    assert message.counts.flags.c_contiguous
    assert not message.counts.flags.writeable


def test_an_endless_frame_is_bounded_counted_once_and_over_at_the_next_zero() -> None:
    decoder = StreamDecoder()
    for _ in range(50):
        assert decoder.feed(b"\x55" * 10_000) == []
        assert len(decoder._pending) <= MAX_FRAME_BYTES + MAX_FRAME_BYTES // 254 + 2
    assert decoder.feed(b"\0" + encode(HELLO)) == [HELLO]
    assert decoder.counters["oversize"] == 1


def test_the_largest_block_fits() -> None:
    block = _samples(n=200, channels=32)
    (message,) = StreamDecoder().feed(encode(block))
    assert _same(message, block)


@pytest.mark.parametrize(
    ("frame", "counter"),
    [
        pytest.param(_frame(0x04, bytes(24), version=2), "unknown", id="version"),
        pytest.param(_frame(0x06, b""), "unknown", id="type"),
        pytest.param(_frame(0x81, b"x"), "malformed", id="start with a body"),
        pytest.param(_frame(0x83, b"xxx"), "malformed", id="zero too short"),
        pytest.param(_frame(0x02, b""), "malformed", id="samples without a shape"),
        pytest.param(_frame(0x02, bytes((0, 0, 1, 0))), "malformed", id="no channels"),
        pytest.param(_frame(0x02, bytes((1, 0, 0, 0))), "malformed", id="no rows"),
        pytest.param(_frame(0x02, bytes((1, 1, 1, 0, 9, 9, 9))), "malformed", id="reserved"),
        pytest.param(_frame(0x02, bytes((1, 0, 2, 0, 9, 9, 9))), "malformed", id="rows missing"),
        pytest.param(_frame(0x02, bytes((33, 0, 1, 0)) + bytes(99)), "malformed", id="channels"),
        pytest.param(_frame(0x03, b""), "malformed", id="no edges"),
        pytest.param(_frame(0x03, struct.pack("<QBB", 1, 32, 1)), "malformed", id="input 32"),
        pytest.param(_frame(0x03, struct.pack("<QBB", 1, 3, 2)), "malformed", id="active 2"),
        pytest.param(
            _frame(0x03, struct.pack("<QBBQBB", 5, 0, 1, 4, 0, 0)), "malformed", id="edges back"
        ),
        pytest.param(
            _frame(0x04, struct.pack("<ffIIQ", float("nan"), 24, 0, 0, 0)), "malformed", id="nan"
        ),
        pytest.param(
            _frame(0x01, struct.pack("<IddB", 1, 0.0, 0.5, 2) + bytes(3)), "malformed", id="0 Hz"
        ),
        pytest.param(
            _frame(0x01, struct.pack("<IddB", 1, 1e3, 0.5, 2) + b"\x01\xff\0\0"),
            "malformed",
            id="not UTF-8",
        ),
        pytest.param(
            _frame(0x01, struct.pack("<IddB", 1, 1e3, 0.5, 2) + b"\x09a\0"),
            "malformed",
            id="text past the end",
        ),
        pytest.param(
            _frame(0x01, struct.pack("<IddB", 1, 1e3, 0.5, 2) + bytes(4)),
            "malformed",
            id="a fourth text",
        ),
        pytest.param(b"\x05ab\0", "damaged", id="cut COBS"),
        pytest.param(cobs.encode(b"short") + b"\0", "damaged", id="too short"),
        pytest.param(cobs.encode(bytes(20)) + b"\0", "damaged", id="CRC of zeros"),
    ],
)
def test_what_is_not_as_agreed_is_counted_and_never_a_message(frame: bytes, counter: str) -> None:
    decoder = StreamDecoder()
    assert decoder.feed(frame) == []
    assert {k: v for k, v in decoder.counters.items() if v} == {counter: 1}
    assert decoder.feed(encode(HELLO)) == [HELLO]


def test_the_hand_made_frame_is_a_good_one() -> None:
    assert StreamDecoder().feed(_frame(0x81, b"")) == [Start(7, 1, 2)]


@pytest.mark.parametrize(
    "message",
    [
        replace(HELLO, device_id=65_536),
        replace(HELLO, sequence=-1),
        replace(HELLO, serial="x" * 256),
        replace(HELLO, channels=0),
        replace(HELLO, rate_hz=float("inf")),
        replace(STATUS, supply_v=float("nan")),
        replace(STATUS, temperature_c=1e300),
        replace(EDGES, edges=()),
        replace(EDGES, edges=((2, 0, True), (1, 0, False))),
        replace(EDGES, edges=((1, 32, True),)),
        Samples(7, 1, 0, np.full((1, 1), 1 << 23, np.int32)),
        Samples(7, 1, 0, np.zeros((0, 1), np.int32)),
        Samples(7, 1, 0, np.zeros((1, 33), np.int32)),
        Samples(7, 1, 0, np.zeros(4, np.int32)),
        Samples(7, 1, 0, np.zeros((400, 32), np.int32)),
    ],
)
def test_what_does_not_fit_the_wire_is_not_sent(message: Message) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode(message)
