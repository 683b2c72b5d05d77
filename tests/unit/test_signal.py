"""Raw signal in FLAC: what is kept beside the samples, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from edge.errors import IntegrityError
from edge.evidence.canonical import canonical, parse_canonical
from edge.records import ADC_FULL_SCALE, InputEdge, RawClip
from edge.store import signal
from edge.store.signal import decode_clip, encode_clip

EDGES = (InputEdge("D1", 1_010, 0, True), InputEdge("D1", 1_400, 3, False))


def clip(channels: int = 12, samples: int = 1_000) -> RawClip:
    chance = np.random.default_rng(7)
    counts = chance.integers(-3_000, 3_000, (samples, channels), dtype=np.int32)
    counts[samples // 2, :] = -ADC_FULL_SCALE - 1
    counts[samples // 2 + 1, :] = ADC_FULL_SCALE
    return RawClip("D1", 2**52, 3_999.9871, counts, EDGES, ((2**52 + 9, 4),))


def names(channels: int) -> list[str]:
    return [f"row{n}" for n in range(channels)]


def test_a_clip_comes_back_whole_in_any_order_of_its_files() -> None:
    original = clip()
    files = encode_clip(original, names(12))
    assert len(files) == 2
    again = decode_clip(files[::-1])
    assert np.array_equal(again.counts, original.counts)
    assert not again.counts.flags.writeable
    for field in ("device", "first_sample", "rate_hz", "edges", "gaps"):
        assert getattr(again, field) == getattr(original, field)


def test_the_same_clip_gives_the_same_bytes() -> None:
    assert encode_clip(clip(), names(12)) == encode_clip(clip(), names(12))


def test_any_player_opens_the_files() -> None:
    with soundfile.SoundFile(io.BytesIO(encode_clip(clip(), names(12))[1])) as file:
        assert (file.format, file.subtype, file.channels) == ("FLAC", "PCM_24", 4)
        assert (file.samplerate, file.frames) == (4_000, 1_000)
        assert '"channels":["row8","row9","row10","row11"]' in file.comment


def test_flac_makes_them_smaller() -> None:
    packed_bytes = 1_000 * 8 * 3
    assert len(encode_clip(clip(8), names(8))[0]) < packed_bytes * 0.7


@pytest.mark.parametrize(
    ("counts", "channels"),
    [
        (np.full((4, 2), ADC_FULL_SCALE + 1, np.int32), 2),
        (np.full((4, 2), -ADC_FULL_SCALE - 2, np.int32), 2),
        (np.zeros((4, 2), np.int32), 3),
        (np.zeros((0, 2), np.int32), 2),
        (np.zeros((4, 0), np.int32), 0),
        (np.zeros(4, np.int32), 1),
    ],
)
def test_what_flac_could_not_give_back_is_refused(counts: np.ndarray, channels: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        encode_clip(RawClip("D1", 0, 4_000.0, counts), names(channels))


def test_files_of_different_clips_or_too_few_are_refused() -> None:
    first, second = encode_clip(clip(), names(12))
    other = encode_clip(clip(samples=900), names(12))
    for files in ([], [first], [second], [first, first], [first, other[1]]):
        with pytest.raises(IntegrityError) as caught:
            decode_clip(files)
        assert caught.value.step == "signal"


def test_a_damaged_file_never_gives_other_samples() -> None:
    original = clip(2, 400)
    (data,) = encode_clip(original, names(2))
    for place in range(0, len(data), 7):
        damaged = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        try:
            again = decode_clip([damaged])
        except IntegrityError:
            continue
        assert np.array_equal(again.counts, original.counts)


@pytest.mark.parametrize("kept", [0, 1, 60, 400, -1])
def test_a_cut_file_is_refused(kept: int) -> None:
    (data,) = encode_clip(clip(2, 400), names(2))
    with pytest.raises(IntegrityError):
        decode_clip([data[:kept]])


def test_sound_that_is_no_clip_is_refused() -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((10, 2)), 4_000, format="FLAC", subtype="PCM_24")
    with pytest.raises(IntegrityError):
        decode_clip([buffer.getvalue()])


def relabelled(data: bytes, **changes: int) -> bytes:
    """The same samples under another tag, as who wants to harm the reader writes it."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        tag, counts = parse_canonical(file.comment.encode()), file.read(dtype="int32")
    out = io.BytesIO()
    with soundfile.SoundFile(
        out, "w", samplerate=4_000, channels=counts.shape[1], subtype="PCM_24", format="FLAC"
    ) as file:
        file.comment = canonical(tag | changes).decode()
        file.write(counts)
    return out.getvalue()


def test_a_tag_that_claims_more_files_than_memory_holds_is_refused() -> None:
    (data,) = encode_clip(clip(2), names(2))
    assert decode_clip([relabelled(data)]).counts.shape == (1_000, 2)
    with pytest.raises(IntegrityError, match="not complete"):
        decode_clip([relabelled(data, files=2**53 - 1)])


def test_silence_longer_than_any_passage_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = encode_clip(clip(12), names(12))
    monkeypatch.setattr(signal, "_MOST_COUNTS", 16_000)
    assert decode_clip(files).counts.shape == (1_000, 12)
    monkeypatch.setattr(signal, "_MOST_COUNTS", 15_998)
    with pytest.raises(IntegrityError, match="longer than any passage"):
        decode_clip(files)
