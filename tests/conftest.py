"""What every test stands on: nothing may leak, missing system parts are said plainly, and no
verdict may hang on chance or on how fast the machine is."""

from __future__ import annotations

import gc
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, however long they take to draw: new ones are looked for on
# purpose, with --hypothesis-profile=default, and not where a change waits to be judged.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")

_ENDING_S = 20.0
"""A thread that was told to end may need so long on a busy machine; one that leaks never does."""

SYSTEM_PARTS = {
    "broker": (("/usr/sbin/mosquitto", "mosquitto"), "Debian package mosquitto"),
    "compiler": (("gcc", "cc"), "Debian package gcc"),
    "browser": (("/usr/bin/chromium", "chromium"), "Debian package chromium"),
    "libmodbus": (("/usr/include/modbus/modbus.h",), "Debian package libmodbus-dev"),
    "mbpoll": (("/usr/bin/mbpoll", "mbpoll"), "Debian package mbpoll"),
    "socat": (("/usr/bin/socat", "socat"), "Debian package socat"),
}


def _present(candidates: tuple[str, ...]) -> bool:
    return any(Path(c).exists() or shutil.which(c) for c in candidates)


@pytest.hookimpl(trylast=True)  # after -m has taken out what was left out on purpose
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No test is left out silently because a part of the system is missing."""
    for marker, (candidates, package) in SYSTEM_PARTS.items():
        needing = sum(marker in item.keywords for item in items)
        if needing and not _present(candidates):
            raise pytest.UsageError(
                f"{package} is not installed, which {needing} tests need: install it, "
                f"or leave them out on purpose with -m 'not {marker}'"
            )


def _descriptors() -> set[str]:
    """Open sockets, pipes, ptys and files of this process, as the kernel names them."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{link.name}:{link.readlink()}")
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """No thread and no descriptor outlives its test."""
    if "browser" in request.keywords:  # Playwright keeps its driver for the whole run
        yield
        return
    threads = set(threading.enumerate())
    descriptors = _descriptors()
    yield
    new = [t for t in set(threading.enumerate()) - threads if not _pool(t)]
    for thread in new:
        thread.join(_ENDING_S)
    left = [t for t in new if t.is_alive()]
    assert not left, f"threads left behind: {left}"
    opened = {d for d in _descriptors() - descriptors if _matters(d)}
    if opened:
        gc.collect()
        opened = {d for d in _descriptors() - descriptors if _matters(d)}
    assert not opened, f"descriptors left open: {sorted(opened)}"


def _pool(thread: threading.Thread) -> bool:
    return thread.name.startswith(("asyncio_", "ThreadPoolExecutor", "AnyIO worker"))


def _matters(descriptor: str) -> bool:
    target = descriptor.split(":", 1)[1]
    return not target.startswith(("/proc", "/dev/null", "/dev/urandom", "anon_inode:[eventpoll]"))
