"""Carries blobs: says what one consists of, hears what the centre lacks of it, sends just that.

After any break the question is asked again, so that a transfer goes on where it stopped; what the
centre has from elsewhere is not sent at all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from edge.errors import IntegrityError
from edge.health import Health
from edge.records import Blob
from edge.uplink.blobs import BlobState, Manifest
from edge.uplink.gate import Turn
from edge.uplink.line import Line
from edge.uplink.tasks import together
from edge.uplink.topics import CHUNK_BYTES, Topics

_CHUNKS_AT_ONCE = 8
_MOST_REMEMBERED = 1_000
_MOST_ROUNDS = 3


class Porter:
    """Transfers over one connection; ``lacks`` is told of blobs that a sent record waits for."""

    def __init__(
        self,
        line: Line,
        topics: Topics,
        path_of: Callable[[str], Path],
        health: Health,
        *,
        answer_s: float,
        lacks: Callable[[str], None],
    ) -> None:
        self._line = line
        self._topics = topics
        self._path_of = path_of
        self._health = health
        self._answer_s = answer_s
        self._lacks = lacks
        self._asked: dict[str, asyncio.Future[BlobState]] = {}
        self._going: dict[str, asyncio.Task[None]] = {}
        self._there: OrderedDict[str, None] = OrderedDict()
        self._rounds: dict[str, int] = {}

    async def bring(self, blob: Blob, turn: Turn) -> None:
        """Return once the centre has said that it has a blob, or the broker has all of it.

        Raises
        ------
        FileNotFoundError
            The file is gone.
        IntegrityError
            The file is not what its name says.
        TimeoutError
            The centre does not say what it lacks.
        LinkDown
            The line was lost, or the broker refused.
        """
        if blob.sha256 in self._there:
            return
        going = self._going.get(blob.sha256)
        if going is None:
            going = asyncio.create_task(self._carry(blob, turn), name=f"blob-{blob.sha256[:8]}")
            self._going[blob.sha256] = going
            going.add_done_callback(lambda _: self._going.pop(blob.sha256, None))
        await asyncio.shield(going)

    def told(self, state: BlobState) -> None:
        """The centre says how far it is with a blob."""
        asked = self._asked.get(state.sha256)
        if asked and not asked.done():
            asked.set_result(state)
        elif state.state == "missing":
            self._there.pop(state.sha256, None)
            self._lacks(state.sha256)

    async def close(self) -> None:
        """Call back what is on its way."""
        going = list(self._going.values())
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    # ------------------------------------------------------------------------------------------

    async def _carry(self, blob: Blob, turn: Turn) -> None:
        path = self._path_of(blob.sha256)
        if self._rounds.get(blob.sha256, 0) >= 1:  # sent whole, and yet the centre lacks it
            await asyncio.to_thread(_check_whole, path, blob.sha256)
        room = self._line.room_bytes(self._topics.chunk(blob.sha256, 99_999))
        manifest = await asyncio.to_thread(_manifest, path, blob, min(CHUNK_BYTES, room))
        for _ in range(_MOST_ROUNDS):
            state = await self._ask(manifest, turn)
            missing = list(state.numbers(len(manifest.chunks)))
            if missing or state.state == "complete":
                break
        else:
            raise TimeoutError  # it does not take the manifest: as good as no answer
        if missing:
            await self._send(manifest, missing, path, turn)
            self._rounds[blob.sha256] = self._rounds.get(blob.sha256, 0) + 1
            self._health.count("uplink.blobs_sent")
        else:
            self._health.count("uplink.blobs_spared")
        self._remember(blob.sha256)

    async def _ask(self, manifest: Manifest, turn: Turn) -> BlobState:
        asked: asyncio.Future[BlobState] = asyncio.get_running_loop().create_future()
        self._asked[manifest.sha256] = asked
        try:
            topic = self._topics.manifest(manifest.sha256)
            await self._line.send(turn, topic, manifest.encode())
            async with asyncio.timeout(self._answer_s):
                return await asked
        finally:
            del self._asked[manifest.sha256]

    async def _send(self, manifest: Manifest, missing: list[int], path: Path, turn: Turn) -> None:
        """All that is missing, in order, a few pieces in the memory at a time."""
        for start in range(0, len(missing), _CHUNKS_AT_ONCE):
            numbers = missing[start : start + _CHUNKS_AT_ONCE]
            pieces = await asyncio.to_thread(_read, path, manifest, numbers)
            await together(
                self._line.send(turn, self._topics.chunk(manifest.sha256, number), piece)
                for number, piece in zip(numbers, pieces, strict=True)
            )
            self._health.count("uplink.chunks_sent", len(numbers))

    def _remember(self, sha256: str) -> None:
        self._there[sha256] = None
        if len(self._there) > _MOST_REMEMBERED:
            forgotten, _ = self._there.popitem(last=False)
            self._rounds.pop(forgotten, None)


def _manifest(path: Path, blob: Blob, chunk_bytes: int) -> Manifest:
    size = path.stat().st_size
    if size != blob.size_bytes:
        raise _damaged(blob.sha256, f"{size} != {blob.size_bytes} bytes")
    if size <= chunk_bytes:  # its one piece is the blob itself
        return Manifest(blob.sha256, size, chunk_bytes, (blob.sha256,) if size else ())
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(chunk_bytes), b"")
        hashes = tuple(hashlib.sha256(piece).hexdigest() for piece in pieces)
    return Manifest(blob.sha256, size, chunk_bytes, hashes)


def _read(path: Path, manifest: Manifest, numbers: list[int]) -> list[bytes]:
    pieces = []
    with path.open("rb") as file:
        for number in numbers:
            file.seek(number * manifest.chunk_bytes)
            pieces.append(file.read(manifest.size_of(number)))
    return pieces


def _check_whole(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise _damaged(sha256, "SHA-256")


def _damaged(sha256: str, detail: str) -> IntegrityError:
    return IntegrityError(
        f"附件 {sha256} 已损坏（技术细节：{detail}）",
        f"the file {sha256} is damaged: {detail}",
        step="blob",
    )
