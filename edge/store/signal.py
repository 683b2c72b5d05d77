"""Raw signal as FLAC (RFC 9639): 24 bit, at most 8 channels a file, exact to the count.

Any player opens the files. What FLAC has no field for stands as canonical JSON in the comment
tag: device, sample counter, true sample rate, names of the channels, input edges, gaps.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile

from edge.errors import IntegrityError, why_zh
from edge.evidence.canonical import canonical, parse_canonical
from edge.records import ADC_FULL_SCALE, InputEdge, Int32s, RawClip, read_only

SCHEMA = "steelyard/signal/1"
MEDIA_TYPE = "audio/flac"

_CHANNELS_PER_FILE = 8
_LEFT_JUSTIFY_BITS = 8
"""soundfile takes 24-bit samples in the upper bits of an int32."""
_MOST_COUNTS = 1 << 27
"""Of a clip, over all its channels: an hour of 16 at 2 kHz. Silence is packed to a thousandth, so a
small file could fill the memory of whoever checks it."""
_HEADER_RATE_HZ = (1, 65_535)
"""Whole rates that every FLAC decoder must take; the true rate stands in the tag."""


def encode_clip(clip: RawClip, channels: Sequence[str]) -> list[bytes]:
    """FLAC files of a clip, one for every 8 channels; the same clip gives the same bytes.

    Parameters
    ----------
    clip : RawClip
        ``counts`` within 24 bits.
    channels : sequence of str
        A name for every column of ``counts``.

    Raises
    ------
    ValueError
        No samples, counts beyond 24 bits, or names that do not fit the columns.
    """
    _check(clip, channels)
    starts = range(0, len(channels), _CHANNELS_PER_FILE)
    return [
        _encode_file(
            clip.counts[:, start : start + _CHANNELS_PER_FILE],
            clip.rate_hz,
            _tag(clip, channels[start : start + _CHANNELS_PER_FILE], number, len(starts)),
        )
        for number, start in enumerate(starts)
    ]


def decode_clip(files: Sequence[bytes]) -> RawClip:
    """The clip that ``encode_clip`` was given; the files may come in any order.

    Raises
    ------
    IntegrityError
        A file is damaged or missing, or the files belong to different clips.
    """
    try:
        most = _MOST_COUNTS // max(1, len(files))
        decoded = [_decode_file(data, most) for data in files]
        return _join(sorted(decoded, key=lambda item: item[1]["file"]))
    except (soundfile.LibsndfileError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"原始信号文件无法还原{why_zh(error)}",
            f"the raw signal can't be restored: {error}",
            step="signal",
        ) from error


def _check(clip: RawClip, channels: Sequence[str]) -> None:
    counts = clip.counts
    if not counts.size:
        raise ValueError("a clip without samples")
    if counts.ndim != 2 or not channels or counts.shape[1] != len(channels):
        raise ValueError(f"{len(channels)} names for counts of shape {counts.shape}")
    if counts.min() < -ADC_FULL_SCALE - 1 or counts.max() > ADC_FULL_SCALE:
        raise ValueError("counts beyond 24 bits")


def _tag(clip: RawClip, channels: Sequence[str], number: int, files: int) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "device": clip.device,
        "first_sample": clip.first_sample,
        "samples": len(clip.counts),
        "rate_hz": repr(float(clip.rate_hz)),
        "channels": list(channels),
        "file": number,
        "files": files,
        "edges": [[edge.sample, edge.input, edge.active] for edge in clip.edges],
        "gaps": [list(gap) for gap in clip.gaps],
    }


def _encode_file(counts: Int32s, rate_hz: float, tag: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    lowest, highest = _HEADER_RATE_HZ
    with soundfile.SoundFile(
        buffer,
        "w",
        samplerate=min(max(round(rate_hz), lowest), highest),
        channels=counts.shape[1],
        subtype="PCM_24",
        format="FLAC",
    ) as file:
        file.comment = canonical(tag).decode()
        file.write(np.left_shift(counts, _LEFT_JUSTIFY_BITS, dtype=np.int32))
    return buffer.getvalue()


def _decode_file(data: bytes, most_counts: int) -> tuple[Int32s, dict[str, Any]]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        tag = parse_canonical(file.comment.encode())
        if tag["schema"] != SCHEMA or file.channels != len(tag["channels"]):
            raise ValueError("the tag does not fit the file")
        if file.frames != tag["samples"]:  # before memory is taken for what a header claims
            raise ValueError("the number of samples does not fit the tag")
        if file.frames * file.channels > most_counts:
            raise ValueError("longer than any passage")
        counts = file.read(dtype="int32", always_2d=True)
    if len(counts) != tag["samples"]:
        raise ValueError("samples are missing at the end")
    return np.right_shift(counts, _LEFT_JUSTIFY_BITS), tag


def _join(decoded: Sequence[tuple[Int32s, dict[str, Any]]]) -> RawClip:
    tags = [tag for _, tag in decoded]
    if not tags or any((t["file"], t["files"]) != (n, len(tags)) for n, t in enumerate(tags)):
        raise ValueError("the files of a clip are not complete")
    own = {"file", "channels"}
    shared = [{k: v for k, v in tag.items() if k not in own} for tag in tags]
    if any(item != shared[0] for item in shared):
        raise ValueError("the files belong to different clips")
    tag = tags[0]
    device = tag["device"]
    return RawClip(
        device,
        tag["first_sample"],
        float(tag["rate_hz"]),
        read_only(np.ascontiguousarray(np.hstack([counts for counts, _ in decoded]))),
        tuple(InputEdge(device, *edge) for edge in tag["edges"]),
        tuple((sample, lost) for sample, lost in tag["gaps"]),
    )
