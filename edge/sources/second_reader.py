"""The process of the second reader: paths of pictures in, texts out, one line each."""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

MOST_TEXTS = 12

_ONE_THREAD = {
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
}
"""It runs beside the weighing, and after it."""


def main() -> None:
    """Answer until the station closes the line."""
    os.nice(10)
    engine = importlib.import_module("rapidocr").RapidOCR(params=_ONE_THREAD)
    for line in sys.stdin:
        path = line.rstrip("\n")
        sys.stdout.write(json.dumps({"path": path, "texts": _texts(engine, path)}) + "\n")
        sys.stdout.flush()


def _texts(engine: Any, path: str) -> list[str]:
    """What stands in a picture of a plate; nothing where it can't be read."""
    try:
        found = engine(path, use_det=False, use_cls=False, use_rec=True)
    except Exception:  # noqa: BLE001 - a library of pictures fails in many ways, none is ours
        return []
    return list(found.txts or ())[:MOST_TEXTS]


if __name__ == "__main__":
    main()
