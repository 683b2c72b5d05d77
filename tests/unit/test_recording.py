"""Recordings: exact round trip through FLAC and CSV, and clear words for broken directories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from firmware_bridge.anpr import PlateFrame
from firmware_bridge.recording import (
    Recording,
    RecordingError,
    RecordingWriter,
    Truth,
    find_recordings,
)

PLATE = PlateFrame(7, "1", '冀B"1,2', "yellow", 0.931, "toward", 1_790_000_000_123_456_789, "")
TRUTH = Truth(1, "1", 1_790_000_000_000_000_001, 22.1 / 3.6, (7000.1, 11.25), (3.3,), "冀B12345")


def signal(n_samples: int, n_channels: int) -> NDArray[np.int32]:
    counts = np.random.default_rng(1).integers(
        -(1 << 23), 1 << 23, (n_samples, n_channels), dtype=np.int32
    )
    counts[0], counts[1] = -(1 << 23), (1 << 23) - 1
    return counts


def write(directory: Path, counts: NDArray[np.int32], rate_hz: float = 4000.0) -> Path:
    """A recording with ten samples missing before the first row and seven in the middle."""
    half = len(counts) // 2
    with RecordingWriter(
        directory,
        device="D1",
        rate_hz=rate_hz,
        channels=[f"c{i}" for i in range(counts.shape[1])],
        newton_per_count=0.0125,
        start_utc_ns=1_790_000_000_000_000_000,
        first_sample=100,
    ) as writer:
        writer.samples(110, counts[:half])
        writer.edge(120, 3, True)
        writer.plate(PLATE, 1_790_000_000_223_456_789)
        writer.samples(110 + half + 7, counts[half:])
        writer.truth(TRUTH)
    return directory


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write(tmp_path / "D1", signal(3000, 4))


@pytest.mark.parametrize("n_channels", [1, 8, 11])
@pytest.mark.parametrize("block", [7, 512, 100_000])
def test_every_count_comes_back(tmp_path: Path, n_channels: int, block: int) -> None:
    counts = signal(3000, n_channels)
    recording = Recording.open(write(tmp_path / "D1", counts))
    blocks = list(recording.blocks(block))
    assert np.array_equal(np.concatenate([rows for _, rows, _ in blocks]), counts)
    assert not any(rows.flags.writeable for _, rows, _ in blocks)
    assert max(len(rows) for _, rows, _ in blocks) <= block


def test_gaps_stand_where_they_were(recording: Path) -> None:
    opened = Recording.open(recording)
    assert opened.gaps == ((100, 10), (1610, 7))
    expected = 100
    lost = []
    for first_sample, rows, lost_before in opened.blocks(400):
        assert first_sample == expected + lost_before
        lost.append((first_sample, lost_before))
        expected = first_sample + len(rows)
    assert [entry for entry in lost if entry[1]] == [(110, 10), (1617, 7)]
    assert expected == 100 + 3000 + 17


def test_tables_and_head_come_back(recording: Path) -> None:
    opened = Recording.open(recording)
    assert opened.edges == ((120, 3, True),)
    assert opened.plates == ((PLATE, 1_790_000_000_223_456_789),)
    assert opened.truth == (TRUTH,)
    assert (opened.device, opened.channels) == ("D1", ("c0", "c1", "c2", "c3"))
    assert opened.utc_ns(100 + 4000) == 1_790_000_001_000_000_000


def test_any_flac_player_reads_the_signal(recording: Path) -> None:
    with soundfile.SoundFile(recording / "signal-0.flac") as file:
        assert (file.samplerate, file.channels, file.subtype) == (4000, 4, "PCM_24")
        assert file.title == "D1"
        assert "newton_per_count 0.0125" in file.comment


@pytest.mark.parametrize("rate_hz", [1.0, 999.5, 655_350.0])
def test_rates_at_the_ends(tmp_path: Path, rate_hz: float) -> None:
    opened = Recording.open(write(tmp_path / "D1", signal(50, 2), rate_hz))
    assert opened.rate_hz == rate_hz
    assert sum(len(rows) for _, rows, _ in opened.blocks(20)) == 50


@pytest.mark.parametrize(
    ("first_sample", "counts"),
    [
        (0, np.zeros((5, 3), np.int32)),
        (0, np.zeros(5, np.int32)),
        (0, np.full((5, 2), 1 << 23, np.int32)),
        (0, np.full((5, 2), -(1 << 23) - 1, np.int32)),
        (-1, np.zeros((5, 2), np.int32)),
    ],
)
def test_blocks_that_cannot_be_kept_are_refused(
    tmp_path: Path, first_sample: int, counts: NDArray[np.int32]
) -> None:
    with RecordingWriter(
        tmp_path / "D1",
        device="D1",
        rate_hz=1000,
        channels=["a", "b"],
        newton_per_count=1.0,
        start_utc_ns=0,
    ) as writer:
        with pytest.raises(RecordingError):
            writer.samples(first_sample, counts)
        writer.samples(0, np.zeros((5, 2), np.int32))


def test_a_recording_is_not_written_over(recording: Path) -> None:
    with pytest.raises(RecordingError, match="already"):
        write(recording, signal(10, 4))
    assert Recording.open(recording).n_samples == 3000


def drop_key(path: Path, key: str) -> None:
    head = json.loads(path.read_bytes())
    del head[key]
    path.write_text(json.dumps(head))


def set_key(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {key: value}))


BREAKAGES = {
    "no head": (lambda d: (d / "recording.json").unlink(), "recording.json"),
    "no JSON": (lambda d: (d / "recording.json").write_text("{"), "no JSON"),
    "foreign": (lambda d: (d / "recording.json").write_text("{}"), "schema"),
    "not finished": (lambda d: drop_key(d / "recording.json", "n_samples"), "never finished"),
    "no rate": (lambda d: drop_key(d / "recording.json", "rate_hz"), "rate_hz"),
    "rate 0": (lambda d: set_key(d / "recording.json", "rate_hz", 0), "rate"),
    "gap of 0": (lambda d: set_key(d / "recording.json", "gaps", [[100, 0]]), "gaps"),
    "gaps": (lambda d: set_key(d / "recording.json", "gaps", [[500, 1], [100, 1]]), "gaps"),
    "gaps no list": (lambda d: set_key(d / "recording.json", "gaps", 5), "recording.json"),
    "rows": (lambda d: set_key(d / "recording.json", "n_samples", 2999), "signal-0.flac"),
    "no signal": (lambda d: (d / "signal-0.flac").unlink(), "signal-0.flac"),
    "text": (lambda d: (d / "signal-0.flac").write_text("no sound"), "signal-0.flac"),
    "no edges": (lambda d: (d / "inputs.csv").unlink(), "inputs.csv"),
    "columns": (lambda d: (d / "inputs.csv").write_text("a,b\n"), "columns"),
    "row": (lambda d: (d / "inputs.csv").write_text("sample,input,active\n1,2,3\n"), "row 2"),
    "short row": (lambda d: (d / "inputs.csv").write_text("sample,input,active\n1,2\n"), "row 2"),
    "no UTF-8": (lambda d: (d / "plates.csv").write_bytes(b"\xff\xfe"), "plates.csv"),
    "empty": (lambda d: (d / "truth.csv").write_bytes(b""), "truth.csv"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_directory_says_what_is_wrong(recording: Path, name: str) -> None:
    breakage, words = BREAKAGES[name]
    breakage(recording)
    with pytest.raises(RecordingError, match=words):
        Recording.open(recording)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_signal_cut_off_is_no_signal(recording: Path, share: float) -> None:
    file = recording / "signal-0.flac"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RecordingError, match=r"signal-0\.flac|checksum"):
        list(Recording.open(recording).blocks(512))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_a_flipped_byte_in_the_signal_is_found(recording: Path, place: float) -> None:
    file = recording / "signal-0.flac"
    data = bytearray(file.read_bytes())
    data[int(len(data) * place)] ^= 0x40
    file.write_bytes(data)
    with pytest.raises(RecordingError, match=r"signal-0\.flac|checksum"):
        list(Recording.open(recording).blocks(512))


def test_recordings_are_found_by_name(tmp_path: Path) -> None:
    for name in ("D2", "D1"):
        write(tmp_path / name, signal(10, 1))
    (tmp_path / "other").mkdir()
    assert find_recordings(tmp_path) == [tmp_path / "D1", tmp_path / "D2"]
    assert find_recordings(tmp_path / "D2") == [tmp_path / "D2"]
    with pytest.raises(RecordingError, match=r"no recording\.json"):
        find_recordings(tmp_path / "other")
    with pytest.raises(RecordingError):
        find_recordings(tmp_path / "nowhere")
