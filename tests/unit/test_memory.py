"""Memory of a process that runs for long: touched pages serve again, large buffers go back."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

_VEHICLES = """
import resource
from pathlib import Path
from edge.memory import settle_memory

KB = 1 << 10

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def rss_kb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // KB

settle_memory()
before = faults()
for _ in range(50):
    clips = [b"." * 300 * KB for _ in "abcd"]
print(faults() - before)
small_kb = rss_kb()
large = [b"." * 4096 * KB for _ in range(20)]
print(rss_kb() - small_kb)
del large
print(rss_kb() - small_kb)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_clips_use_touched_pages_again_and_what_is_larger_goes_back() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _VEHICLES], capture_output=True, text=True, check=True
    )
    faults, held_kb, left_kb = map(int, ran.stdout.split())
    assert faults < 50, "50 times four clips of 300 kB, 75 pages each"
    assert held_kb > 60_000
    assert left_kb < 1_000


_TUPLES = """
import sys
from edge.memory import settle_memory

if sys.argv[1:]:
    settle_memory()
before = sys.getallocatedblocks()
for length in (3, 4, 5):
    for _ in range(3_000):
        tuple(x for x in range(length))
print(sys.getallocatedblocks() - before)
"""


def test_tuples_that_nobody_holds_pile_up_only_where_nothing_was_settled() -> None:
    piled = {
        settled: int(
            subprocess.run(
                [sys.executable, "-c", _TUPLES, *settled],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for settled in ((), ("yes",))
    }
    assert piled[()] > 3_000
    assert piled["yes",] < 50
