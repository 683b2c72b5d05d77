"""Coverage-guided fuzzing of the codecs: ``python -m tests.fuzz [TARGET] [libFuzzer options]``.

Without a name the first byte of each input chooses the target. Ten minutes on one codec:
``python -m tests.fuzz 'rinstrum[form=2]' -max_total_time=600``. A finding is left as a file
``crash-*`` and the exit code is not zero. It starts from good frames, which chance would not find.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.targets import SEEDS, TARGETS


def main(arguments: list[str]) -> int:
    """Fuzz in a process of its own, for libFuzzer ends the one that it runs in."""
    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(f"{__doc__}\nTargets: {', '.join(TARGETS)}\n")
        return 0
    names = [a for a in arguments if not a.startswith("-")]
    if len(names) > 1 or not set(names) <= set(TARGETS):
        sys.exit(f"one target, of: {', '.join(TARGETS)}")
    with tempfile.TemporaryDirectory() as corpus:
        for number, (name, frames) in enumerate(SEEDS.items()):
            if not names:
                Path(corpus, name).write_bytes(bytes([number, 0]) + frames)
            elif names == [name]:
                Path(corpus, name).write_bytes(b"\0" + frames)
        options = [a for a in arguments if a.startswith("-")]
        command = [sys.executable, "-m", "tests.fuzz.engine", *(names or [""]), corpus, *options]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
