"""Commands of Steelyard as child processes of a demonstration or a test.

Each runs in a session of its own, so that Ctrl-C reaches the parent alone and the parent ends
them in order; each dies with its parent, whatever happens to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from edge.errors import LinkDown

_STOP_S = 4.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@contextlib.asynccontextmanager
async def command(
    arguments: Sequence[str], log_file: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``steelyard ARGUMENTS`` while the block runs; what it says goes into ``log_file``."""
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "edge.cli",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end; insist after a while."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def until_said(process: asyncio.subprocess.Process, log_file: Path, word: str) -> None:
    """Wait until a child has said ``word``.

    Raises
    ------
    LinkDown
        It ended before it said so; the message holds its last words.
    """
    while word not in (said := await asyncio.to_thread(log_file.read_text, errors="replace")):
        if process.returncode is not None:
            raise LinkDown(f"子进程没有启动：{said[-500:]}", f"a part did not start: {said[-500:]}")
        await asyncio.sleep(0.05)


def die_with_parent() -> None:
    """Even kill -9 of the parent leaves no child behind (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
