"""The device side in C, compiled: as a filter to compare codecs with, and as a device on a line.

The C is the product's, for the microcontroller of a digitiser; here it runs on the host.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import firmware_bridge
from edge.errors import InputError
from edge.records import Int32s
from firmware_bridge.messages import Edge

__all__ = ["LARGE", "SANITIZED", "build", "compiler", "running_device"]

SOURCES = Path(firmware_bridge.__file__).parent / "csrc"
_STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2")
SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
LARGE = ("-DSY_RECEIVE_BYTES=32768u",)
"""A receiver that takes the longest frame there is, as the host's does."""

_END_S = 10.0


def compiler() -> str | None:
    """The C compiler of this machine."""
    return shutil.which("gcc") or shutil.which("cc")


def build(program: str, folder: Path, options: Sequence[str] = ()) -> Path:
    """Compile ``filter`` or ``host_demo`` into ``folder``.

    Raises
    ------
    InputError
        There is no compiler, or it refuses.
    """
    found = compiler()
    if found is None:
        raise InputError(
            "没有 C 编译器",
            "there is no C compiler",
            next_zh="安装：sudo apt-get install gcc libc6-dev",
            next_en="install one: sudo apt-get install gcc libc6-dev",
        )
    target = folder / program
    sources = [SOURCES / f"{program}.c", *sorted(SOURCES.glob("steelyard_*.c"))]
    command: list[str | Path] = [found, *_STRICT, *options, "-o", target, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(
            f"C 程序编译失败：{done.stderr}",
            f"the C program does not compile: {done.stderr}",
            next_zh="检查编译器",
            next_en="check the compiler",
        )
    return target


@contextlib.contextmanager
def running_device(
    program: Path,
    folder: Path,
    counts: Int32s,
    *,
    edges: Sequence[Edge] = (),
    rate_hz: float,
    newton_per_count: float,
    device_id: int = 1,
) -> Iterator[Path]:
    """The device on a pseudo-terminal, playing ``counts`` (n, channels) again and again.

    What it was told by TIME stands in ``folder / "device.log"``.

    Yields
    ------
    Path
        The line.

    Raises
    ------
    ChildProcessError
        On leaving: the device did not end as it should.
    """
    link, raw, told = folder / "line", folder / "counts.i32", folder / "edges.txt"
    raw.write_bytes(np.ascontiguousarray(counts, "<i4").tobytes())
    told.write_text("".join(f"{at} {number} {active:d}\n" for at, number, active in edges))
    shape = (counts.shape[1], rate_hz, newton_per_count, device_id)
    command: list[str | Path] = [program, link, raw, told, *map(str, shape)]
    log = folder / "device.log"
    with (
        log.open("wb") as told_log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told_log) as process,
    ):
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it says when the line is there, or ends
            yield link
        finally:
            process.terminate()
            process.wait(_END_S)
    if process.returncode:
        raise ChildProcessError(log.read_text())
