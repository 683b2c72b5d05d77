"""Reference vehicles: what a control scale says of the vehicles that pass for a calibration."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import InputError, why_zh

__all__ = ["Reference", "read_references"]

CONTROL_SCALE_MPE_KG = 20.0
"""Error limit taken for the control scale where a file states none (rectangular, so the standard
uncertainty is a root of three smaller): an engineering estimate, stated in the certificate."""

_SUM_TOLERANCE_REL = 0.02
"""Axles weighed one by one and the whole vehicle agree at least this well, or a figure is wrong."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A vehicle of known mass.

    Attributes
    ----------
    vehicle_name : str
        What the engineer calls it; runs and errors are listed under it.
    lane : str
        The lane on which it passes; empty for every lane.
    axle_kg : tuple of float
        Static load of each axle, front to rear. Two axles are a rigid reference vehicle.
    u_axle_kg : float
        Standard uncertainty of an axle load.
    gross_kg, u_gross_kg : float
        Mass of the whole vehicle, weighed at once, and its standard uncertainty.

    Raises
    ------
    InputError
        A load is not positive, an uncertainty is not stated, or the axles do not make the gross.
    """

    vehicle_name: str
    lane: str
    axle_kg: tuple[float, ...]
    u_axle_kg: float
    gross_kg: float
    u_gross_kg: float

    def __post_init__(self) -> None:
        loads = (*self.axle_kg, self.gross_kg, self.u_axle_kg, self.u_gross_kg)
        if len(self.axle_kg) < 2 or not all(0 < kg < math.inf for kg in loads):
            raise InputError(
                f"基准车 {self.vehicle_name}：至少两个轴，轴重、总重和不确定度都必须大于 0",
                f"reference vehicle {self.vehicle_name}: two axles at least; loads and "
                "uncertainties must be greater than 0",
            )
        if abs(sum(self.axle_kg) / self.gross_kg - 1) > _SUM_TOLERANCE_REL:
            raise InputError(
                f"基准车 {self.vehicle_name}：轴重之和 {sum(self.axle_kg):.0f} kg "
                f"与总重 {self.gross_kg:.0f} kg 不符",
                f"reference vehicle {self.vehicle_name}: the axles make "
                f"{sum(self.axle_kg):.0f} kg, the gross is {self.gross_kg:.0f} kg",
                next_zh="核对静态称重记录",
                next_en="check the record of the static weighing",
            )

    @property
    def absolute_axles(self) -> bool:
        """Whether its static axle loads are a reference (two-axle rigid; OIML R 134-1, A.9.3)."""
        return len(self.axle_kg) == 2

    @property
    def u_rel(self) -> float:
        """Relative standard uncertainty of the gross mass."""
        return self.u_gross_kg / self.gross_kg


def read_references(path: Path) -> list[Reference]:
    """Read reference vehicles.

    Parameters
    ----------
    path : Path
        A JSON file ``{"references": [{"vehicle_name", "lane", "axle_kg", "u_axle_kg",
        "gross_kg", "u_gross_kg"}, ...]}``, or a directory with recordings whose ``truth.csv``
        state the static axle loads.

    Raises
    ------
    InputError
        Nothing can be read there, a key or a value is wrong, or there is no vehicle.
    """
    try:
        found = list(_from_truth(path) if path.is_dir() else _from_json(path))
    except OSError as error:
        raise InputError(
            f"读不到基准车文件 {path}{why_zh(error)}",
            f"cannot read the reference vehicles {path}: {error.strerror}",
        ) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"基准车文件 {path} 有错{why_zh(error)}",
            f"the reference vehicles {path} are not as agreed: {error}",
            next_zh="格式见 docs/calibration.md",
            next_en="see docs/calibration.md",
        ) from error
    if not found:
        raise InputError(
            f"{path} 里没有基准车",
            f"there is no reference vehicle in {path}",
            next_zh="用 --references 给出基准车的 JSON 文件",
            next_en="give a JSON file of the reference vehicles with --references",
        )
    return found


def _from_json(path: Path) -> Iterator[Reference]:
    for entry in json.loads(path.read_bytes())["references"]:
        yield _reference(dict(entry))


def _reference(entry: dict[str, Any]) -> Reference:
    axle_kg = tuple(float(kg) for kg in entry.pop("axle_kg"))
    name, lane = str(entry.pop("vehicle_name")), str(entry.pop("lane", ""))
    masses = {key: float(entry.pop(key)) for key in ("u_axle_kg", "gross_kg", "u_gross_kg")}
    if entry:
        raise ValueError(f"unknown key {', '.join(entry)}")
    return Reference(name, lane, axle_kg, **masses)


def _from_truth(directory: Path) -> Iterable[Reference]:
    """One reference for each lane and vehicle, however often it passed."""
    found = {}
    for file in sorted(directory.rglob("truth.csv")):
        with file.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows, strict=True):
                axle_kg = tuple(float(kg) for kg in row["axle_kg"].split())
                name = row["plate"] or f"{len(axle_kg)} axles"
                found[row["lane"], axle_kg] = _weighed(name, row["lane"], axle_kg)
    return found.values()


def _weighed(name: str, lane: str, axle_kg: tuple[float, ...]) -> Reference:
    u_kg = CONTROL_SCALE_MPE_KG / math.sqrt(3)
    return Reference(name, lane, axle_kg, u_kg, math.fsum(axle_kg), u_kg)
