"""A long recording weighed by several processes, with the answers of a single one.

Each process takes a slice of time and begins to listen a minute before it, so that vehicles under
way and the baseline settle. At the seam two pipelines have seen the same samples from different
moments on: if their whole state is the same, so is all that follows. If it is not (a vehicle stood
there for longer, a separator was out of trust), the slice is weighed again from the state of the
one before it. So the result never depends on luck, only the time taken does.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, fields, is_dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from edge.config import StationConfig
from edge.core.conditioning import renewal_samples
from edge.core.pipeline import Pipeline
from edge.core.weigh import Cut
from edge.lanes import pipeline_of
from edge.records import Gains, InputEdge, Passage, SampleBlock
from edge.sources.ports import DeviceHello
from edge.sources.replay import block_samples, hello_of
from firmware_bridge.recording import Recording, RecordingError
from firmware_bridge.recording_format import crc_of, joined_crc

__all__ = ["LEAST_S", "Weighed", "weigh_in_slices"]

LEAST_S = 60.0
"""A recording that is not longer is weighed in one go."""

_WARM_S = 60.0
_EDGES_HEARD = 6
_BEFORE_S = 20.0
"""So many edges of each separator are listened to, and so long before the first of them."""

_TELL_S = 0.3
_TELL_BLOCKS = 256
_LONGEST_GAP_S = 2.0
_BYTES = 4
_FORGOTTEN = {"_begin_sample", "_stray", "stray"}
"""Counts from the begin of the stream, on which no passage depends after the warm time."""

_progress: Any = None


@dataclass(frozen=True, slots=True)
class _Slice:
    """Blocks ``first`` to ``end`` (exclusive) of a part, heard from ``warm_sample`` on.

    Edges before ``heard_sample`` went to the slice before it.
    """

    directory: Path
    number: int
    warm_block: int
    warm_sample: int
    begun_sample: int
    heard_sample: int
    first: int
    end: int
    last: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    """Passages of a slice by the end of the block that completed them, and both seams."""

    passages: dict[int, list[Passage]]
    flushed: list[Passage]
    crc: int
    rows: int
    before: bytes
    after: bytes
    pipeline: bytes


class Weighed:
    """What a pipeline said of the parts of one digitiser, said again block by block."""

    def __init__(self, gains: Gains, parts: Sequence[Sequence[_Answer]]) -> None:
        self.gains = gains
        self.stray = 0
        self._parts = list(parts)
        self._now: dict[int, list[Passage]] = {}
        self._flushed: list[Passage] = []
        self._found: list[Passage] = []

    @property
    def closed(self) -> Sequence[Cut]:
        """Nothing is left to be weighed."""
        return ()

    def follow(self, block: SampleBlock, edges: Sequence[InputEdge] = ()) -> None:
        """Find the passages that were complete with this block."""
        if not self._now or block.restarted:
            late, answers = self.flush(), self._parts.pop(0)
            self._found += late
            self._now = {end: found for a in answers for end, found in a.passages.items()}
            self._now.setdefault(-1, [])
            self._flushed = answers[-1].flushed
        self._found += self._now.get(block.end_sample, [])

    def passages(self, weighed: Sequence[Passage | None]) -> list[Passage]:
        """The passages of the blocks since the last call."""
        found, self._found = self._found, []
        return found

    def flush(self) -> list[Passage]:
        """What was under way when the part ended."""
        late, self._flushed = self._flushed, []
        return late


def weigh_in_slices(
    parts: Sequence[Recording],
    config: StationConfig,
    jobs: int,
    progress: Callable[[float], None],
) -> Callable[[StationConfig, DeviceHello], Weighed]:
    """Weigh all parts with ``jobs`` processes; gives what takes the place of each pipeline.

    Raises
    ------
    RecordingError
        A signal ends early or its checksum is wrong.
    """
    total = sum(part.n_samples for part in parts)
    spread = multiprocessing.get_context("spawn")
    done = spread.SimpleQueue()
    answers: defaultdict[str, list[list[_Answer]]] = defaultdict(list)
    with ProcessPoolExecutor(jobs, spread, _share, (done,)) as pool:
        begun = [
            [(s, pool.submit(_weigh, config, s, None)) for s in _cut(part, jobs, total)]
            for part in parts
        ]
        _watch([future for part in begun for _, future in part], done, total, progress)
        for part, slices in zip(parts, begun, strict=True):
            own = _seamless(pool, config, slices)
            _check(part, own)
            answers[part.device].append(own)
    return lambda station, hello: Weighed(
        station.gains_of(hello.device, hello.newton_per_count), answers[hello.device]
    )


def _share(done: Any) -> None:
    global _progress
    _progress = done


def _watch(
    futures: Sequence[Future[_Answer]], done: Any, total: int, progress: Callable[[float], None]
) -> None:
    """Tell how far the processes are until all have ended."""
    rows = 0
    while wait(futures, timeout=_TELL_S).not_done:
        while not done.empty():
            rows += done.get()
        progress(rows / total)


def _seamless(
    pool: ProcessPoolExecutor,
    config: StationConfig,
    slices: Sequence[tuple[_Slice, Future[_Answer]]],
) -> list[_Answer]:
    """Answers in order, each begun in the state in which the one before it ended."""
    answers: list[_Answer] = []
    for piece, future in slices:
        answer = future.result()
        if answers and answer.before != answers[-1].after:
            answer = pool.submit(_weigh, config, piece, answers[-1].pipeline).result()
        answers.append(answer)
    return answers


def _check(part: Recording, answers: Sequence[_Answer]) -> None:
    width = len(part.channels) * _BYTES
    crc = reduce(lambda crc, a: joined_crc(crc, a.crc, a.rows * width), answers, 0)
    if crc != part.counts_crc32:
        raise RecordingError(f"{part.directory}: the checksum of the signal is wrong")


def _cut(part: Recording, jobs: int, total: int) -> Iterator[_Slice]:
    """Slices of a part, about one a process over all parts, none shorter than the warm time."""
    pieces = list(part.pieces(block_samples(part)))
    starts = np.array([first for first, _, _ in pieces])
    wanted = min(round(jobs * part.n_samples / total), int(part.n_samples / part.rate_hz / _WARM_S))
    at = np.linspace(0, len(pieces), max(wanted, 1) + 1).astype(int).tolist()
    lost = np.array([lost for _, _, lost in pieces])
    begins = np.flatnonzero((lost > _LONGEST_GAP_S * part.rate_hz) | (np.arange(len(lost)) == 0))
    for number, (first, end) in enumerate(pairwise(at)):
        begun = int(begins[np.searchsorted(begins, first, "right") - 1])
        begun_sample = int(starts[begun])
        step = renewal_samples(part.rate_hz)
        heard_from = _hears_from(part, int(starts[first])) - begun_sample
        warm_sample = begun_sample + max(0, int(heard_from // step)) * step
        warm_block = int(np.searchsorted(starts, warm_sample, "right")) - 1
        # A hole where listening would begin: the rows from its end on are not on the grid.
        if warm_sample >= starts[warm_block] + pieces[warm_block][1]:
            warm_block, warm_sample = begun, begun_sample
        yield _Slice(
            part.directory,
            number,
            warm_block,
            warm_sample,
            begun_sample,
            int(starts[first - 1]) + pieces[first - 1][1] if first else begun_sample,
            first,
            end,
            end == len(pieces),
        )


def _hears_from(part: Recording, seam: int) -> float:
    """Where to begin to listen: each lane still has the pace of its last vehicles in its ear."""
    begin = seam - _WARM_S * part.rate_hz
    for number in {edge[1] for edge in part.edges}:
        samples = [s for s, own, _ in part.edges if own == number and s < seam][-_EDGES_HEARD:]
        begin = min(begin, min(samples, default=seam) - _BEFORE_S * part.rate_hz)
    return begin


def _weigh(config: StationConfig, piece: _Slice, state: bytes | None) -> _Answer:
    """Weigh a slice: from the state of the slice before, or after listening for a while."""
    part = Recording.open(piece.directory)
    pipeline: Pipeline = pickle.loads(state) if state else pipeline_of(config, hello_of(part))
    from_sample = piece.heard_sample if state else piece.warm_sample if piece.number else -1
    edges = sorted((edge for edge in part.edges if edge[0] >= from_sample), reverse=True)
    passages: dict[int, list[Passage]] = {}
    crc, rows, before = 0, 0, b""
    if state is None and piece.warm_sample > piece.begun_sample:
        pipeline.resume(piece.begun_sample, piece.warm_sample)
    from_block = piece.first if state else piece.warm_block
    for number, (first, counts, lost) in enumerate(
        part.part(block_samples(part), from_block, piece.end), start=from_block
    ):
        own = number >= piece.first
        if own:
            before = before or _digest(pipeline)
            crc, rows = crc_of(counts, crc), rows + len(counts)
        if number % _TELL_BLOCKS == 0 and own and state is None:
            _tell(_TELL_BLOCKS * len(counts))
        skip = max(0, piece.warm_sample - first) if number == piece.warm_block and not state else 0
        block = SampleBlock(part.device, first + skip, counts[skip:], part.rate_hz, lost)
        now = _until(edges, block.end_sample, part.device)
        found = pipeline.step(block, now)
        if own and found:
            passages[block.end_sample] = found
    after, kept = _digest(pipeline), pickle.dumps(pipeline)
    return _Answer(passages, pipeline.flush() if piece.last else [], crc, rows, before, after, kept)


def _tell(rows: int) -> None:
    if _progress is not None:
        _progress.put(rows)


def _until(edges: list[tuple[int, int, bool]], end_sample: int, device: str) -> list[InputEdge]:
    """Take the edges before a sample off a list that is sorted from late to early."""
    now = []
    while edges and edges[-1][0] < end_sample:
        now.append(InputEdge(device, *edges.pop()))
    return now


def _digest(pipeline: Pipeline) -> bytes:
    """Hash of all that a pipeline holds."""
    return hashlib.sha256(repr(_essence(pipeline)).encode()).digest()


def _essence(value: Any) -> Any:
    """Plain nested tuples of a value: types, numbers to the last bit, arrays as bytes."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()
    if isinstance(value, dict):
        return sorted((repr(key), _essence(held)) for key, held in value.items())
    if isinstance(value, str | bytes | int | float | bool | None | np.generic):
        return repr(value)
    if isinstance(value, set | frozenset):
        return sorted(repr(_essence(held)) for held in value)
    if hasattr(value, "__iter__"):
        return [_essence(held) for held in value]
    names = {f.name for f in fields(value)} if is_dataclass(value) else set(vars(value))
    held = [(name, _essence(getattr(value, name))) for name in sorted(names - _FORGOTTEN)]
    return type(value).__name__, held
