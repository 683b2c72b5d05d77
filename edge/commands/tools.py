"""What commands share: paths, jobs that end on a signal, lazy packages, progress, figures."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import click

from edge.errors import ConfigError, InputError, cannot_write, why_zh
from edge.memory import settle_memory

EXISTING = click.Path(exists=True, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)


def run_until_signal(job: Callable[[asyncio.Event], Coroutine[Any, Any, Any]]) -> Any:
    """Run a job that ends when its event is set; SIGINT and SIGTERM set it."""

    async def body() -> Any:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await job(stop)

    settle_memory()
    return asyncio.run(body())


async def either(job: Awaitable[Any], stop: asyncio.Event) -> None:
    """Run a job until it fails or ``stop`` is set."""
    work = asyncio.ensure_future(job)
    halt = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
    halt.cancel()
    if not work.done():
        work.cancel()
    await asyncio.gather(work, return_exceptions=not work.done())


def lazy(module: str, name: str) -> Any:
    """Something of a package that the edge does not depend on.

    Raises
    ------
    ConfigError
        It needs an extra that is not installed.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"缺少 Python 包 {error.name}",
            f"the Python package {error.name} is not installed",
            next_zh="运行 pip install 'steelyard[demo]'",
            next_en="run pip install 'steelyard[demo]'",
        ) from error


def fraction(bar: Any) -> Callable[[float], None]:
    """Feed a progress bar of length 1000 with fractions."""

    def advance(done: float) -> None:
        bar.update(max(0, int(done * 1000) - bar.pos))

    return advance


def new_directory(path: Path) -> Path:
    """Make a directory, or take one that is empty: what is there is never mixed with new data.

    Raises
    ------
    InputError
        It holds something, or can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        is_empty = not any(path.iterdir())
    except OSError as error:
        raise InputError(
            f"不能建立目录 {path}{why_zh(error)}",
            f"cannot make the directory {path}: {error.strerror}",
        ) from error
    if not is_empty:
        raise InputError(
            f"目录 {path} 不是空的",
            f"the directory {path} is not empty",
            next_zh="换一个新目录",
            next_en="take a new one",
        )
    return path


def write_out(path: Path, data: bytes) -> None:
    """Write what a command was asked for.

    Raises
    ------
    InputError
        The file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_figures(figures: dict[str, Any], json_file: Path | None) -> None:
    if json_file is None:
        return
    write_out(json_file, (json.dumps(figures, indent=1, ensure_ascii=False) + "\n").encode())
