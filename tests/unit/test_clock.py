"""The computer's clock: steps, sources, and the two times that are kept apart."""

from __future__ import annotations

import asyncio
import ctypes
import os
import stat
from pathlib import Path

import pytest

from edge import clock as module
from edge.clock import UNKNOWN, HostClock, Sync, ask_host, ask_kernel, parse_tracking

# Written out by hand from chronyc(1): reference id and name, stratum, reference time, system time,
# last and RMS offset, frequency, residual, skew, root delay, root dispersion, interval, leap.
TRACKING = (
    "0A000001,10.0.0.1,3,1700000000.000000000,-0.000120000,0.000031000,0.000045000,"
    "-7.214,0.001,0.012,0.002400000,0.000700000,64.2,Normal"
)
# As chronyd 4.3 says without a source, and with nothing but its own clock (``local stratum 8``).
NOBODY = (
    "00000000,,0,0.000000000,0.000000000,0.000000000,0.000000000,"
    "0.000,0.000,0.000,1.000000000,1.000000000,0.0,Not synchronised"
)
ITSELF = (
    "7F7F0101,,8,1795348962.000440236,0.000000000,0.000000000,0.000000000,"
    "0.000,0.000,0.000,0.000000000,0.000000000,0.0,Normal"
)


class Hands:
    """Two clocks that are set by hand."""

    def __init__(self, wall_ns: int, mono_ns: int) -> None:
        self.wall_ns, self.mono_ns = wall_ns, mono_ns
        self.sync = UNKNOWN

    def pass_ns(self, ns: int) -> None:
        self.wall_ns += ns
        self.mono_ns += ns

    async def ask(self) -> Sync:
        return self.sync

    def clock(self, boot_id: str = "boot-1") -> HostClock:
        return HostClock(
            wall_ns=lambda: self.wall_ns,
            mono_ns=lambda: self.mono_ns,
            ask=self.ask,
            boot_id=boot_id,
        )


@pytest.mark.parametrize("step_s", [3_600, -3_600, 56 * 365 * 86_400, 1])
def test_a_step_of_the_wall_moves_utc_and_never_the_time_of_devices(step_s: int) -> None:
    hands = Hands(1_000_000_000_000, 77)
    clock = hands.clock()
    seen_ns = clock.steady_ns()
    hands.pass_ns(5_000_000_000)
    hands.wall_ns += step_s * 1_000_000_000
    assert clock.steady_ns() - seen_ns == 5_000_000_000
    assert clock.utc_of(seen_ns) == 1_000_000_000_000 + step_s * 1_000_000_000
    stamp = clock.stamp(clock.utc_of(seen_ns))
    assert stamp.mono_ns == 77
    assert clock.take_step() == step_s * 1_000_000_000
    assert clock.take_step() == 0
    assert clock.stamp(clock.utc_of(seen_ns)).mono_ns == 77


def test_noise_of_reading_two_clocks_is_no_step_and_moves_nothing() -> None:
    hands = Hands(1_000_000_000_000, 0)
    clock = hands.clock()
    hands.wall_ns += module.STEP_NS - 1
    assert clock.take_step() == 0
    assert clock.utc_of(clock.steady_ns()) == 1_000_000_000_000


def test_a_statement_names_boot_monotonic_time_and_source() -> None:
    hands = Hands(1_700_000_000_000_000_000, 5_000_000)
    clock = hands.clock()
    hands.sync = Sync(True, "chrony 10.0.0.1", 1_700)
    assert asyncio.run(clock.refresh()) == UNKNOWN
    assert clock.provenance(1_700_000_000_000_250) == {
        "boot_id": "boot-1",
        "mono_us": 5_250,
        "clock_host": {"synchronised": True, "source": "chrony 10.0.0.1", "bound_us": 1_700},
    }
    assert clock.offset_us() == 1_700_000_000_000_000 - 5_000


def test_tracking_of_chrony_gives_name_and_bound() -> None:
    found = parse_tracking(TRACKING + "\n")
    # 120 us of system time + 700 us of root dispersion + half of 2400 us of root delay
    assert found == Sync(True, "chrony 10.0.0.1", 2_020)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (TRACKING.replace("Normal", "Not synchronised"), UNKNOWN),
        (NOBODY, UNKNOWN),
        (ITSELF, UNKNOWN),
        (TRACKING.replace(",10.0.0.1,", ",,"), Sync(True, "chrony 0A000001", 2_020)),
        ("", None),
        ("506 Cannot talk to daemon", None),
        (TRACKING.replace("0.000700000", "much"), None),
        (TRACKING.replace("0.000700000", "nan"), None),
        (TRACKING.replace("0.000700000", "inf"), None),
    ],
)
def test_tracking_that_says_nothing_vouches_for_nothing(line: str, found: Sync | None) -> None:
    assert parse_tracking(line) == found


def _chronyc(directory: Path, script: str) -> None:
    path = directory / "chronyc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_chrony_is_asked_and_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "CHRONY_TIMEOUT_S", 60)  # the shell's start may be slow
    _chronyc(tmp_path, f'[ "$*" = "-c tracking" ] && echo "{TRACKING}"')
    assert asyncio.run(ask_host()) == Sync(True, "chrony 10.0.0.1", 2_020)


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "exec sleep 3600"])
def test_without_an_answer_of_chrony_the_kernel_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module, "CHRONY_TIMEOUT_S", 0.2)
    monkeypatch.setattr(module, "ask_kernel", lambda: Sync(True, "kernel", 5))
    _chronyc(tmp_path, script)
    assert asyncio.run(asyncio.wait_for(ask_host(), 60)) == Sync(True, "kernel", 5)


def test_the_kernel_answers_as_its_own_structure_says() -> None:
    assert ctypes.sizeof(module._Timex) == 208  # struct timex of 64-bit Linux
    found = ask_kernel()
    assert (found.source == "kernel") is found.synchronised
    assert found.synchronised or found == UNKNOWN


def test_the_boot_id_is_the_kernels() -> None:
    assert HostClock().boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
