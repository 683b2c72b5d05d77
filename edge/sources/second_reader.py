"""The process of the second reader: questions about pictures in, texts out, one line each."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

MOST_TEXTS = 12


def main() -> None:
    """Answer until the station closes the line."""
    os.nice(10)
    engine = importlib.import_module("rapidocr").RapidOCR()
    for line in sys.stdin:
        question = line.rstrip("\n")
        sys.stdout.write(json.dumps({"question": question, "texts": _texts(engine, question)}))
        sys.stdout.write("\n")
        sys.stdout.flush()


def _texts(engine: Any, question: str) -> list[str]:
    """What stands in a picture; nothing where it can't be read.

    A plate that is cut out needs no search for writing, which takes most of the time.
    """
    what, _, path = question.partition(" ")
    try:
        found = engine(path, use_det=what == "scene", use_cls=False, use_rec=True)
    except Exception:  # noqa: BLE001 - a library of pictures fails in many ways, none is ours
        return []
    return list(found.txts or ())[:MOST_TEXTS]


if __name__ == "__main__":
    main()
