"""A second reader of plates (extra ``ocr``): it can take trust away and never give any.

RapidOCR reads the plate that the camera cut out, in a process of its own that starts with the
first such picture; to look for plates in a whole scene takes the time that weighing needs. Where
it reads another plate, the reading carries the doubt ``second-opinion`` and the other text; where
it reads the same, nothing, or no plate, nothing changes: its score is no guarantee. Without the
extra there is no second opinion and nobody speaks of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import replace

from edge.records import PlateRead
from firmware_bridge.plate_grammar import grammar_of, normalised, serial_candidate

WAIT_S = 0.4
"""How long a reading waits for it: less than a vehicle waits for its plate."""

STUCK_S = 10.0
"""Without an answer for so long, the start included, the process is ended."""

QUEUE = 8
REST_S = 60.0
"""After the process failed."""


class SecondOpinion:
    """The other reader; shared by all cameras, and started when first asked.

    Parameters
    ----------
    command : sequence of str
        The process: it gets lines, each the path of a picture, and answers each with one JSON line
        ``{"path": ..., "texts": [...]}``.
    """

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        self._command = command or (sys.executable, "-m", "edge.sources.second_reader")
        self._waiting: dict[str, asyncio.Future[list[str]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._rests_until_s = 0.0

    @staticmethod
    def is_there() -> bool:
        """Whether the extra is installed."""
        return importlib.util.find_spec("rapidocr") is not None

    async def on(self, read: PlateRead, path: str, count: Callable[[str], None]) -> PlateRead:
        """The reading, with a doubt if the other reader reads another plate in the picture.

        Counts ``second_asked``, ``second_late``, ``second_busy`` and ``second_disagrees``.
        """
        if not read.text:
            return read
        if len(self._waiting) >= QUEUE or path in self._waiting:
            count("second_busy")
            return read
        count("second_asked")
        texts = await self._ask(path)
        if texts is None:
            count("second_late")
            return read
        other = _other_plate(read.text, texts)
        if not other:
            return read
        count("second_disagrees")
        could_be = tuple(dict.fromkeys((other, *read.could_be)))
        return replace(read, doubts=(*read.doubts, "second-opinion"), could_be=could_be)

    async def close(self) -> None:
        """End the process."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._process = self._listening = None

    async def _ask(self, path: str) -> list[str] | None:
        """What it reads; None where it did not answer in time."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[str]] = loop.create_future()
        self._waiting[path] = answer
        if self._listening is None or self._listening.done():
            if loop.time() < self._rests_until_s:
                self._waiting.clear()
                return None
            self._listening = asyncio.create_task(self._serve(), name="second-opinion")
        elif self._process is not None:
            self._send(path)
        done, _ = await asyncio.wait({answer}, timeout=WAIT_S)
        return answer.result() if done and not answer.cancelled() else None

    def _send(self, path: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n".encode())

    async def _serve(self) -> None:
        """Start the process and hand out its answers until it ends, or says nothing."""
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        for path in list(self._waiting):
            self._send(path)
        try:
            while line := await self._line(process.stdout):
                self._hand_out(line)
        except (TimeoutError, ValueError, TypeError, KeyError):
            pass  # silent, or no reader at all: it is ended, and rests
        self._rests_until_s = asyncio.get_running_loop().time() + REST_S
        for answer in self._waiting.values():
            answer.cancel()
        self._waiting.clear()
        self._process = None
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _line(self, out: asyncio.StreamReader) -> bytes:
        """The next answer; while any is owed, it is not waited for without end."""
        while True:
            try:
                return await asyncio.wait_for(out.readline(), STUCK_S)
            except TimeoutError:
                if self._waiting:
                    raise

    def _hand_out(self, line: bytes) -> None:
        said = json.loads(line)
        answer = self._waiting.pop(said["path"], None)
        if answer is not None and not answer.done():
            answer.set_result([str(text) for text in said["texts"]])


def _other_plate(text: str, texts: list[str]) -> str:
    """A plate among the texts that is not the camera's; empty where there is none, or also its."""
    plain = map(normalised, texts)
    plates = [plate for each in plain if grammar_of(plate := serial_candidate(each) or each)]
    return "" if text in plates or not plates else plates[0]
