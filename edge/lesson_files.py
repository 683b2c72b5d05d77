"""Files of what lanes have gathered: one a lane, named by all that must be the same to add sums."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from edge.config import StationConfig
from edge.core.learn import Variogram
from edge.core.modes import PRIOR
from edge.frozen import Basis
from edge.records import LaneLayout
from edge.store.files import sync_directory

__all__ = ["SCHEMA", "lesson_files", "read_lesson", "to_json", "write_all"]

SCHEMA = "steelyard-lessons/1"


def lesson_files(config: StationConfig) -> list[tuple[LaneLayout, Path]]:
    """Layout and file of each lane."""
    found = []
    for section in config.model.digitiser:
        gains = config.gains_of(section.id, 1.0)
        for layout in config.lanes_of(section.id):
            key = _key(layout, Basis.of(layout, gains))
            found.append((layout, config.data_dir / "lessons" / f"{layout.lane}-{key[:16]}.json"))
    return found


def _key(layout: LaneLayout, basis: Basis) -> str:
    """Hash of all that must be the same for two sums to be added."""
    form = {name: sums.shape for name, sums in _sums(Variogram.empty(layout)).items()}
    text = json.dumps([dataclasses.asdict(basis), form, PRIOR.version], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _sums(variogram: Variogram) -> dict[str, Any]:
    """Arrays of a variogram by their names: all that it holds but the lane."""
    names = [field.name for field in dataclasses.fields(variogram) if field.name != "lane"]
    return {name: getattr(variogram, name) for name in names}


def to_json(path: Path, kept: Variogram, fresh: Variogram) -> bytes:
    """The file: what was kept, and the window under way; with a checksum and its own name."""
    body: dict[str, Any] = {"schema": SCHEMA, "file": path.name}
    for name, variogram in (("kept", kept), ("fresh", fresh)):
        body[name] = {key: sums.tolist() for key, sums in _sums(variogram).items()}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return json.dumps([hashlib.sha256(text.encode()).hexdigest(), body]).encode()


def read_lesson(layout: LaneLayout, path: Path) -> tuple[Variogram, Variogram]:
    """What was kept of a lane, and the window that was under way.

    Raises
    ------
    OSError
        It can't be read.
    ValueError
        It is damaged, or of another lane, layout or calibration.
    """
    try:
        sha256, body = json.loads(path.read_bytes())
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        if hashlib.sha256(text.encode()).hexdigest() != sha256:
            raise ValueError("damaged: its checksum is wrong")
        if (body["schema"], body["file"]) != (SCHEMA, path.name):
            raise ValueError(f"foreign: {body['schema']} {body['file']}")
        return _variogram(layout, body["kept"]), _variogram(layout, body["fresh"])
    except (KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged: {error!r}") from error


def _variogram(layout: LaneLayout, body: dict[str, Any]) -> Variogram:
    sums = {
        name: np.array(body[name], np.int64).reshape(empty.shape)
        for name, empty in _sums(Variogram.empty(layout)).items()
    }
    return Variogram(layout, **sums)


def write_all(files: dict[Path, bytes]) -> None:
    """Write files whole, each under its name only when it is on the disk."""
    for path, data in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".tmp")
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync_directory(path.parent)
