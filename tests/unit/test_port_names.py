"""The computer's ports out of a tree of files that looks like the kernel's."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from edge.config import StationFile
from edge.health import Health, Level
from edge.sources.port_watch import PortWatch
from firmware_bridge.ports import Holder, holders, is_numbered, port_at, serial_ports


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def usb(root: Path, tty: str, socket: str, *, serial: str, latency_ms: int | None) -> None:
    """An adapter as Linux shows it: tty, its interface, and the USB device above."""
    device = root / "sys" / "devices" / "usb1" / socket
    interface = device / f"{socket}:1.0" / tty
    interface.mkdir(parents=True)
    write(device / "idVendor", "0403")
    write(device / "manufacturer", "FTDI")
    write(device / "product", "FT232R")
    if serial:
        write(device / "serial", serial)
    if latency_ms is not None:
        write(interface / "latency_timer", str(latency_ms))
    driver = root / "sys" / "bus" / "ftdi_sio"
    driver.mkdir(parents=True, exist_ok=True)
    link(interface / "driver", driver)
    link(root / "sys" / "class" / "tty" / tty / "device", interface)
    write(root / "dev" / tty, "")
    names = root / "dev" / "serial"
    link(names / "by-id" / f"usb-FTDI_{serial or socket}-port0", root / "dev" / tty)
    link(names / "by-path" / f"pci-usb-{socket}", root / "dev" / tty)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    usb(tmp_path, "ttyUSB10", "1-2", serial="A1", latency_ms=16)
    usb(tmp_path, "ttyUSB2", "1-3", serial="", latency_ms=1)
    for name, kind in (("ttyS0", "4"), ("ttyS1", "0")):
        tty = tmp_path / "sys" / "class" / "tty" / name
        write(tty / "type", kind)
        (tty / "device").mkdir()
        write(tmp_path / "dev" / name, "")
    (tmp_path / "sys" / "class" / "tty" / "tty1").mkdir()
    return tmp_path


def test_ports_are_those_with_hardware_behind(root: Path) -> None:
    ports = serial_ports(root)
    assert [p.device.name for p in ports] == ["ttyS0", "ttyUSB2", "ttyUSB10"]
    adapter = ports[-1]
    assert (adapter.driver, adapter.product, adapter.serial_number) == (
        "ftdi_sio",
        "FTDI FT232R",
        "A1",
    )
    assert serial_ports(root / "nothing") == []


def test_the_lasting_name_is_by_serial_number_else_by_socket(root: Path) -> None:
    board, nameless, adapter = serial_ports(root)
    assert adapter.lasting.name == "usb-FTDI_A1-port0"
    assert nameless.lasting.name == "pci-usb-1-3"
    assert board.lasting.name == "ttyS0"
    found = port_at(adapter.lasting, root)
    assert found == adapter
    assert port_at(root / "dev" / "ttyUSB99", root) is None


def test_a_number_is_no_lasting_name() -> None:
    assert is_numbered("/dev/ttyUSB0")
    assert is_numbered("rtu:///dev/ttyACM3?baud=9600")
    for url in ("/dev/ttyS0", "/dev/serial/by-id/usb-x-ttyUSB0-port0", "socket://h:1"):
        assert not is_numbered(url)


def test_latency_is_told_where_there_is_a_timer(root: Path) -> None:
    assert [p.latency_ms for p in serial_ports(root)] == [None, 1, 16]
    assert [p.holds_back for p in serial_ports(root)] == [False, False, True]


def test_holders_are_found_by_descriptor_and_by_lock(root: Path) -> None:
    port = root / "dev" / "ttyS0"
    status = port.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    write(root / "proc" / "locks", f"1: FLOCK  ADVISORY  WRITE 4242 {place} 0 EOF\nbroken line")
    write(root / "proc" / "4242" / "comm", "minicom")
    assert list(holders(port, root)) == [Holder(4242, "minicom")]
    assert str(Holder(4242, "minicom")) == "minicom (4242)"
    assert list(holders(root / "dev" / "ttyS1", root)) == []
    assert list(holders(root / "dev" / "gone", root)) == []


def test_a_holder_whose_name_is_cut_inside_a_character_is_told(root: Path) -> None:
    """The kernel keeps 15 bytes of a name; a Chinese character has three."""
    port = root / "dev" / "ttyS0"
    status = port.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    write(root / "proc" / "locks", f"1: FLOCK  ADVISORY  WRITE 77 {place} 0 EOF")
    (root / "proc" / "77").mkdir()
    (root / "proc" / "77" / "comm").write_bytes("A9称重调试仪".encode()[:15] + b"\n")
    (holder,) = holders(port, root)
    assert holder.name.startswith("A9称重调试")


def station(url: str) -> StationFile:
    row = [
        {"position_m": p, "width_m": 0.1, "kind": "strip", "left": "a", "right": "b"}
        for p in (0, 2)
    ]
    return StationFile.model_validate(
        {
            "station": {"id": "T"},
            "digitiser": [{"id": "D1", "url": url, "channels": ["a", "b"]}],
            "lane": [{"id": "1", "digitiser": "D1", "row": row}],
        }
    )


def test_the_station_warns_of_a_slow_adapter_and_takes_it_back(root: Path) -> None:
    health = Health(time.monotonic_ns)
    adapter = serial_ports(root)[-1]
    watch = PortWatch(station(str(adapter.lasting)), health, root)
    watch.look(serial_ports(root))
    state = health.snapshot().states["digitiser.D1.port"]
    assert state.level is Level.WARNING
    assert "latency_timer" in state.next_step.en
    timer = next(root.glob("sys/devices/usb1/1-2/*/ttyUSB10/latency_timer"))
    timer.write_text("1\n")
    watch.look(serial_ports(root))
    assert health.snapshot().states["digitiser.D1.port"].level is Level.OK


def test_the_station_warns_of_a_name_that_changes(root: Path) -> None:
    health = Health(time.monotonic_ns)
    PortWatch(station("/dev/ttyUSB0"), health, root).look(serial_ports(root))
    assert health.snapshot().states["digitiser.D1.port"].level is Level.WARNING
    quiet = Health(time.monotonic_ns)
    PortWatch(station("socket://h:1"), quiet, root).look(serial_ports(root))
    assert quiet.snapshot().states == {}
