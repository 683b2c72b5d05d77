"""The station's command line on another machine, or beside a wrong clock: for trials alone.

``python -m simulator.faults.machine run STATION.toml`` is ``steelyard run STATION.toml`` with

``STEELYARD_TRIAL_CLOCK``
    a file that holds the nanoseconds by which the wall clock is wrong, read again at every look;
``STEELYARD_TRIAL_BOOT``
    the id of this start of the machine.

The clock is changed before any room of the station is imported, so that all of them see it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

CLOCK, BOOT = "STEELYARD_TRIAL_CLOCK", "STEELYARD_TRIAL_BOOT"


def set_clock(file: Path, offset_ns: int) -> None:
    """Step the clock of those who read it from ``file``."""
    draft = file.with_suffix(".new")
    draft.write_text(str(offset_ns))
    draft.replace(file)


def _shift_clock(file: Path) -> None:
    true_ns = time.time_ns

    def wrong_ns() -> int:
        return true_ns() + int(file.read_text())

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


def _name_boot(boot_id: str) -> None:
    from edge import clock

    clock._boot_id = lambda: boot_id


def _main() -> None:
    if file := os.environ.get(CLOCK):
        _shift_clock(Path(file))
    if boot_id := os.environ.get(BOOT):
        _name_boot(boot_id)
    from edge.cli import main

    main()


if __name__ == "__main__":
    _main()
