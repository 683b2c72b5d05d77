"""Full disks: no room for a commit, no room for a signal or a picture. Small tmpfs, needs root."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from edge.errors import ConfigError, why_zh
from edge.store.schema import DATABASE
from simulator.faults.child import Mosquitto, ending, until
from simulator.faults.invariants import settle
from simulator.faults.kills import finish
from simulator.faults.outcome import Outcome
from simulator.faults.site import SAID_READY, Place, Plant, started
from simulator.faults.wire import Wiretap

FULL_TIMES = 5
_DISK_MB = 48
_FULL_S = 5.0
_PAGE_BYTES = 4_096
_LEFT_BYTES = (0, 4_096, 20_480, 61_440)
_LIBC = ctypes.CDLL(None, use_errno=True)


def full_at_commit(place: Place, outcome: Outcome) -> None:
    """The database has no room left, signals and pictures have."""
    _full(place, outcome, small="data")


def full_at_start(place: Place, outcome: Outcome) -> None:
    """No byte is left when the station starts: it weighs, says so, and seals when there is room."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(place.directory / "disk"))
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        plant.data_dir.symlink_to(disk)
        devices = plant.devices(place.seed)
        services = stack.enter_context(contextlib.ExitStack())
        services.enter_context(ending([place.case_system(broker.url).start(), devices]))
        started(devices)
        with plant.daemon() as daemon:
            daemon.start().until_said(SAID_READY)
            plant.until_grown(6)
            daemon.kill()
        size = plant.size()
        (disk / f"{DATABASE}-shm").unlink()  # made anew by every start after a power cut
        ballast = _fill(disk, 0)
        daemon = services.enter_context(plant.daemon())
        daemon.start().until_said(SAID_READY)
        outcome.blows = 1
        time.sleep(_FULL_S)
        outcome.expect(daemon.is_alive, "the daemon has ended on a full disk")
        outcome.expect(
            "磁盘或数据库拒绝" in daemon.said(), "the log does not tell of the full disk"
        )
        ballast.unlink()
        until(lambda: plant.size() >= size + 10, 60, "records after the disk was cleared")
        plant.look()
        finish(plant, devices)
        services.close()
        settle(outcome, plant, wire)


def full_at_blob(place: Place, outcome: Outcome) -> None:
    """Signals and pictures have no room left, the database has."""
    _full(place, outcome, small="blobs")


def _full(place: Place, outcome: Outcome, *, small: str) -> None:
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(place.directory / "disk"))
        broker = stack.enter_context(Mosquitto(place.directory / "mosquitto"))
        wire = stack.enter_context(Wiretap(broker.url))
        plant = place.plant(broker.url)
        _lay_out(plant, place.directory / "roomy", disk, small)
        devices, daemon = plant.devices(place.seed), plant.daemon()
        services = contextlib.ExitStack()
        stack.enter_context(services)
        services.enter_context(ending([place.case_system(broker.url).start(), devices, daemon]))
        started(devices)
        daemon.start().until_said(SAID_READY)
        plant.until_grown(6)
        for number in range(place.times(FULL_TIMES, 2)):
            ballast = _fill(disk, _LEFT_BYTES[number % len(_LEFT_BYTES)])
            plant.look(_FULL_S)
            outcome.expect(daemon.is_alive, "the daemon has ended on a full disk")
            outcome.blows += 1
            ballast.unlink()
            plant.until_grown(4)
        said = daemon.said()
        outcome.expect("store" in said or "磁盘" in said, "the log does not tell of the full disk")
        finish(plant, devices)
        services.close()
        settle(outcome, plant, wire)


def _lay_out(plant: Plant, roomy: Path, disk: Path, small: str) -> None:
    """Database on the one medium, blobs on the other."""
    database, blobs = (disk, roomy) if small == "data" else (roomy, disk)
    (database / "data").mkdir(parents=True)
    (blobs / "blobs").mkdir(parents=True)
    (database / "data" / "blobs").symlink_to(blobs / "blobs")
    plant.data_dir.symlink_to(database / "data")


def _fill(disk: Path, left_bytes: int) -> Path:
    """A file that leaves no more than so many bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while file.write(bytes(_PAGE_BYTES)) == _PAGE_BYTES:
                pass
        file.truncate(max(0, file.tell() - left_bytes))
    return ballast


@contextlib.contextmanager
def small_disk(at: Path, megabytes: int = _DISK_MB) -> Iterator[Path]:
    """A file system of its own of that size.

    Raises
    ------
    ConfigError
        Only root may mount one.
    """
    at.mkdir(parents=True)
    options = f"size={megabytes}m".encode()
    if _LIBC.mount(b"steelyard", os.fsencode(at), b"tmpfs", 0, options):
        number = ctypes.get_errno()
        error = OSError(number, os.strerror(number))
        raise ConfigError(
            f"不能挂载小磁盘{why_zh(error)}",
            f"a small disk cannot be mounted: {error.strerror}; this trial was NOT made",
            next_zh="以 root 运行 make faults",
            next_en="run make faults as root",
        )
    try:
        yield at
    finally:
        _LIBC.umount2(os.fsencode(at), 2)
