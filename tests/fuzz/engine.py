"""The process in which atheris fuzzes: ``engine TARGET CORPUS [libFuzzer options]``."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["firmware_bridge"]):
    from tests.fuzz.targets import TARGETS


def _any(data: bytes) -> None:
    if data:
        list(TARGETS.values())[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    atheris.Setup([sys.argv[0], *rest], TARGETS[name] if name else _any)
    atheris.Fuzz()
