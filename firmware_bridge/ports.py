"""The serial ports of this computer: names that stay, drivers, latency, and who holds them.

The kernel numbers USB adapters in the order in which they come up, so ``/dev/ttyUSB0`` is another
instrument after a night with a loose plug. udev keeps two names that stay: one made of maker,
model and serial number (``/dev/serial/by-id``), and one of the socket that the adapter sits in
(``/dev/serial/by-path``), which is the right one for adapters without a serial number of their own.

All paths hang on a root that tests give; nothing here opens a port.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")

LATENCY_GOOD_MS = 1
"""What an FTDI adapter should be set to; it comes with 16."""

_NUMBERED = re.compile(r"/dev/tty(USB|ACM)[0-9]+(\?.*)?$")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a port open."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


@dataclass(frozen=True, slots=True)
class SerialPort:
    """One serial port of the computer.

    Attributes
    ----------
    device : Path
        The kernel's name, as ``/dev/ttyUSB0``.
    by_id, by_path : Path or None
        Names that stay.
    driver : str
        Kernel module that drives it; empty if unknown.
    product, serial_number : str
        As the USB adapter says; empty on a port of the main board.
    latency_ms : int or None
        How long the adapter holds bytes back; None where it has no such timer.
    """

    device: Path
    by_id: Path | None
    by_path: Path | None
    driver: str
    product: str
    serial_number: str
    latency_ms: int | None

    @property
    def lasting(self) -> Path:
        """The name for the station file: by serial number, else by socket, else the kernel's."""
        # An adapter without a serial number shares its name with all of its kind.
        mine = self.by_id if self.serial_number else None
        return mine or self.by_path or self.by_id or self.device

    @property
    def holds_back(self) -> bool:
        """Whether its latency timer is longer than need be."""
        return self.latency_ms is not None and self.latency_ms > LATENCY_GOOD_MS


def serial_ports(root: Path = ROOT) -> list[SerialPort]:
    """The serial ports that hardware stands behind, in the order of their names."""
    by_id, by_path = (_names(root, kind) for kind in ("by-id", "by-path"))
    found = (_port(root, tty, by_id, by_path) for tty in _hardware(root))
    return sorted(found, key=lambda port: (port.device.name.rstrip("0123456789"), _number(port)))


def port_at(path: Path, root: Path = ROOT) -> SerialPort | None:
    """The port that a path leads to, whichever of its names it is."""
    device = path.resolve()
    return next((port for port in serial_ports(root) if port.device.resolve() == device), None)


def is_numbered(url: str) -> bool:
    """Whether a line is named by a number that can be another adapter's tomorrow."""
    return _NUMBERED.search(url) is not None


def holders(path: Path, root: Path = ROOT) -> Iterator[Holder]:
    """Other processes that have a port open or locked.

    Descriptors can be seen of one's own processes only, unless by root; locks of all.
    """
    try:
        status = path.stat()
    except OSError:
        return
    own, seen = os.getpid(), set[int]()
    for pid in (*_openers(root, status.st_rdev), *_lockers(root, status)):
        if pid not in seen and pid != own:
            seen.add(pid)
            yield Holder(pid, _name_of(root, pid))


def _openers(root: Path, device_number: int) -> Iterator[int]:
    for process in (root / "proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for link in (process / "fd").iterdir():
                if (
                    str(link.readlink()).startswith("/dev/")
                    and link.stat().st_rdev == device_number
                ):
                    yield int(process.name)
                    break
        except OSError:  # not ours to see, or ended meanwhile
            continue


def _lockers(root: Path, status: os.stat_result) -> Iterator[int]:
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = (root / "proc" / "locks").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if place in fields and "->" not in fields and fields[fields.index(place) - 1].isdigit():
            yield int(fields[fields.index(place) - 1])


def _name_of(root: Path, pid: int) -> str:
    try:
        # The kernel cuts names at 15 bytes, also in the middle of a character.
        return (root / "proc" / str(pid) / "comm").read_text("utf-8", "replace").strip()
    except OSError:
        return "?"


def _hardware(root: Path) -> Iterator[Path]:
    """Terminals with a device behind them; an UART that was never found has type 0."""
    ttys = root / "sys" / "class" / "tty"
    for tty in ttys.iterdir() if ttys.is_dir() else ():
        if (tty / "device").exists() and _text(tty / "type") != "0":
            yield tty


def _names(root: Path, kind: str) -> dict[str, Path]:
    """Names that stay, by the kernel's."""
    directory = root / "dev" / "serial" / kind
    links = sorted(directory.iterdir()) if directory.is_dir() else []
    return {link.resolve().name: link for link in links}


def _port(root: Path, tty: Path, by_id: dict[str, Path], by_path: dict[str, Path]) -> SerialPort:
    device = (tty / "device").resolve()
    usb = next((up for up in (device, *device.parents) if (up / "idVendor").exists()), None)
    timer = _text(device / "latency_timer")
    driver = device / "driver"
    return SerialPort(
        root / "dev" / tty.name,
        by_id.get(tty.name),
        by_path.get(tty.name),
        driver.resolve().name if driver.exists() else "",
        " ".join(_text(usb / name) for name in ("manufacturer", "product")).strip() if usb else "",
        _text(usb / "serial") if usb else "",
        int(timer) if timer.isdigit() else None,
    )


def _number(port: SerialPort) -> int:
    digits = port.device.name[len(port.device.name.rstrip("0123456789")) :]
    return int(digits or 0)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
