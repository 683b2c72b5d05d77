"""Instruments in the station file: digitisers, cameras, Modbus devices, scales."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.validation import Wrong

__all__ = [
    "LINE_FORMATS",
    "CameraSection",
    "DigitiserSection",
    "ModbusSection",
    "Name",
    "ScaleSection",
    "Section",
]

LINE_FORMATS = ("steelyard", "tcp-text")
"""Formats of plate cameras on a line; the others come over HTTP."""

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
    firmware_keys: list[str] = []
    """C2SP verifier keys (``name+id+base64``) of those whose programs it may be given."""


class CameraSection(Section):
    """A plate camera; ``position_m`` is where it reads, on the lane's axis.

    ``url`` is a line (device path, ``socket://host:port``), the address at which the station
    waits for what the camera posts (``listen://host:port``), or the camera's own stream
    (``http://host/path``). ``format`` goes with it: the station's own frame or plain text on a
    line, the maker's dialect over HTTP (``docs/instruments.md``).
    """

    id: Name
    url: str
    format: str = "steelyard"
    baud: int = Field(ge=1_200, le=12_000_000, default=115_200)
    lanes: list[Name] = Field(min_length=1)
    lane_names: dict[str, Name] = {}
    """What the camera calls its lanes, where that is not their name here."""
    position_m: float = Field(ge=-200, le=400, default=0.0)
    picture_dir: Path | None = None
    wait_s: float = Field(ge=0, le=30, default=0.8)
    """How long a vehicle waits for its plate after it left the array."""
    tolerance_s: float = Field(gt=0, le=30, default=0.6)
    """Largest distance in time between a plate and its vehicle."""
    utc_offset_h: float = Field(ge=-12, le=14, default=8.0)
    """The camera's local time, where it states local time only."""
    country: Literal["cn", "de", "pl", "cz", "fr", "gb", "any"] = "cn"
    """Whose plates are expected: a text of another form is kept, with a doubt."""
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    """Who may post, or how the station opens the camera's stream (HTTP digest)."""

    @property
    def listens(self) -> bool:
        """Whether the camera posts to the station."""
        return self.url.startswith("listen://")

    @property
    def pulls(self) -> bool:
        """Whether the station opens the camera's stream."""
        return self.url.startswith("http://")

    @model_validator(mode="after")
    def _fits(self) -> CameraSection:
        on_line = self.format in LINE_FORMATS
        if on_line == (self.listens or self.pulls):
            raise Wrong(
                f"{self.url} 不能传 {self.format} 格式",
                f"{self.url} does not carry the format {self.format}",
            )
        if self.listens or self.pulls:
            parts = urlsplit(self.url)
            if not parts.hostname or parts.password is not None:
                raise Wrong("url 要写地址，不能写密码", "url holds an address and no password")
        if self.listens and urlsplit(self.url).port is None:
            raise Wrong("url 要写端口：listen://主机:端口", "url needs a port: listen://host:port")
        if (self.user is None) != (self.password_file is None):
            raise Wrong("user 和 password_file 要一起写", "user and password_file belong together")
        if self.listens and (self.token_file is None) == (self.password_file is None):
            raise Wrong(
                "listen:// 要写 token_file，或者 user 和 password_file",
                "listen:// needs either token_file, or user and password_file",
            )
        if unknown := set(self.lane_names.values()) - set(self.lanes):
            names = ", ".join(sorted(unknown))
            raise Wrong(
                f"lane_names：{names} 不在 lanes 之中", f"lane_names: {names} is not one of lanes"
            )
        return self


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
    """A static or slow platform whose indicator speaks on a serial line, or over Modbus.

    ``format`` is a row of the bridge's catalogue (``docs/instruments.md``), ``settings`` are that
    row's. With ``url = "modbus:W1"``, ``format = "modbus"`` its weight is that of a ``[[modbus]]``
    device.
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

    @property
    def over_modbus(self) -> bool:
        """Whether the weight is that of a Modbus device."""
        return self.url.startswith("modbus:")

    @model_validator(mode="after")
    def _bits_fit(self) -> ScaleSection:
        if (self.data_bits == 7) != (self.parity != "none"):
            raise Wrong(
                "data_bits = 7 时 parity 为 even 或 odd，data_bits = 8 时为 none",
                "data_bits = 7 goes with parity even or odd, data_bits = 8 with none",
            )
        if self.over_modbus != (self.format == "modbus"):
            raise Wrong(
                'url = "modbus:ID" 和 format = "modbus" 要一起写',
                'url = "modbus:ID" and format = "modbus" go together',
            )
        return self
