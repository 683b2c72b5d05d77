"""Arrays by what they hold, and kilograms as people see them."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Bools",
    "FlagBits",
    "Floats",
    "Indices",
    "Int32s",
    "read_only",
    "whole_kg",
    "whole_kg_up",
]


Int32s = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]
FlagBits = NDArray[np.uint32]

_Array = TypeVar("_Array", bound="NDArray[Any]")


def read_only(array: _Array) -> _Array:
    """The same array, marked not writeable."""
    array.flags.writeable = False
    return array


def whole_kg(load_kg: float) -> int:
    """Kilograms as people, the verdict and the record see them: rounded half up to 1 kg."""
    return math.floor(load_kg + 0.5)


def whole_kg_up(u_kg: float) -> int:
    """An uncertainty in whole kilograms, never rounded down."""
    return math.ceil(u_kg)
