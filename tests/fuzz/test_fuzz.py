"""A short run of the fuzzer over all codecs; ``python -m tests.fuzz`` runs longer ones."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import SEEDS, TARGETS


def test_every_codec_keeps_its_word_on_good_frames() -> None:
    for name, frames in SEEDS.items():
        TARGETS[name](b"\0" + frames)


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="atheris is for Linux on x86"
)
def test_the_fuzzer_finds_nothing_in_a_few_seconds(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "-runs=1500", "-max_total_time=15", "-seed=7"]
    command.append("-report_slow_units=600")  # which would be left as files, as findings are
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True
    )
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    assert not list(tmp_path.iterdir())
