"""Instruments in the station file: digitisers, cameras, Modbus devices, scales."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["CameraSection", "DigitiserSection", "ModbusSection", "Name", "ScaleSection", "Section"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class Section(BaseModel):
    """A table of the station file: no unknown keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DigitiserSection(Section):
    """A load-cell digitiser and the names of its channels, in the order of the wire."""

    id: Name
    device_id: int = Field(ge=1, le=65_535, default=1)
    url: str
    baud: int = Field(ge=9_600, le=12_000_000, default=921_600)
    channels: list[Name] = Field(min_length=1, max_length=32)


class CameraSection(Section):
    """A plate camera on a serial line; ``position_m`` is where it reads, on the lane's axis."""

    id: Name
    url: str
    baud: int = Field(ge=1_200, le=12_000_000, default=115_200)
    lanes: list[Name] = Field(min_length=1)
    position_m: float = Field(ge=-200, le=400, default=0.0)
    picture_dir: Path | None = None
    wait_s: float = Field(ge=0, le=30, default=0.8)
    """How long a vehicle waits for its plate after it left the array."""
    tolerance_s: float = Field(gt=0, le=30, default=0.6)
    """Largest distance in time between a plate and its vehicle."""


class ModbusSection(Section):
    """A Modbus device; ``map`` names a register map of the bridge, or a TOML file.

    Devices with the same ``url`` share the bus, and take turns by ``priority``.
    """

    id: Name
    url: str
    unit: int = Field(ge=0, le=255, default=1)
    map: str
    priority: Literal["high", "normal", "low"] = "normal"
    poll_s: float = Field(ge=0.1, le=3_600, default=1.0)
    timeout_s: float = Field(ge=0.05, le=30, default=0.5)


class ScaleSection(Section):
    """A static or slow platform whose indicator speaks on a serial line.

    ``format`` is a row of the bridge's catalogue (``docs/instruments.md``), ``settings`` are that
    row's.
    """

    id: Name
    url: str
    format: str
    settings: dict[str, bool | int | float | str] = {}
    baud: int = Field(ge=300, le=921_600, default=9_600)
    data_bits: Literal[7, 8] = 8
    parity: Literal["none", "even", "odd"] = "none"
    lane: Name | None = None
    """The lane whose vehicles stand on it, where it belongs to one."""
    max_kg: float = Field(gt=0, le=1e6)
    division_kg: float = Field(gt=0, le=1e4)
    """Max and the verification interval e, as on the platform's plate."""
    stable_readings: int = Field(ge=2, le=1_000, default=5)
    stable_within_kg: float | None = Field(gt=0, le=1e4, default=None)
    """At rest: so many readings within so much; one division if not given."""
    stable_for_s: float = Field(ge=0.1, le=60, default=1.0)
    tracks_zero: bool = False
    """Follow the zero of a bare load cell; an indicator does that by itself."""
    poll_s: float = Field(ge=0.02, le=1, default=0.2)
    """How often an indicator is asked that does not send by itself."""
    check_with: Name | None = None
    """Another scale that shows the same load."""

    @model_validator(mode="after")
    def _bits_fit(self) -> ScaleSection:
        if (self.data_bits == 7) != (self.parity != "none"):
            raise ValueError("data_bits = 7 goes with parity even or odd, data_bits = 8 with none")
        return self
