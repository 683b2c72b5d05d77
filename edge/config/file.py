"""What may stand in the station file: its tables, their ranges, and that the names in it fit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from edge.config.instruments import (
    CameraSection,
    DigitiserSection,
    ModbusSection,
    Name,
    ScaleSection,
    Section,
)
from edge.validation import Wrong

__all__ = [
    "LOOPBACK",
    "CalibrationSection",
    "LaneSection",
    "RowSection",
    "RulesSection",
    "SeparatorSection",
    "StationFile",
    "StationSection",
    "StorageSection",
    "UplinkSection",
    "WebSection",
]

WEIGHT_EVERY_S = 1.0
"""A load whose weights are further apart is never known to be at rest."""


class StationSection(Section):
    """Who the station is."""

    id: Name
    name: str = "治超站"
    name_en: str = "Weigh station"
    time_zone: str = "Asia/Shanghai"
    data_dir: Path = Path("data")
    sm2_key: Path | None = None
    """Key file of the second signature (SM2 with SM3, 国密); made at the first start."""


class RowSection(Section):
    """One row of sensors across the lane."""

    position_m: float = Field(ge=-50, le=200)
    width_m: float = Field(gt=0.01, le=25)
    kind: Literal["strip", "plate"]
    left: Name
    right: Name


class SeparatorSection(Section):
    """Digital input that is active while a vehicle stands at ``position_m``."""

    input: int = Field(ge=0, le=31)
    position_m: float = Field(ge=-50, le=200)


class LaneSection(Section):
    """A lane: its digitiser, its rows in order of travel, what its certificate covers."""

    id: Name
    name: str = ""
    name_en: str = ""
    digitiser: Name
    direction: str = ""
    """What a camera calls the direction of travel."""
    speed_kmh: tuple[float, float] = (3.0, 120.0)
    speed_change_max: float = Field(gt=0, le=1, default=0.15)
    axle_kg: tuple[float, float] = (200.0, 30_000.0)
    grade: float = Field(ge=-0.1, le=0.1, default=0.0)
    """Rise of the lane over its length, positive uphill: a slope moves load between axles."""
    dynamics: Path | None = None
    """How axles swing on this lane, as ``steelyard learn`` froze it; the prior if not given."""
    separator: SeparatorSection | None = None
    row: list[RowSection] = Field(min_length=2, max_length=32)

    @model_validator(mode="after")
    def _ordered(self) -> LaneSection:
        positions = [row.position_m for row in self.row]
        if sorted(set(positions)) != positions:
            raise Wrong(
                "row 要按行车方向排列，position_m 递增",
                "rows must be listed in order of travel, position_m rising",
            )
        if not 0 < self.speed_kmh[0] < self.speed_kmh[1] <= 250:
            raise Wrong(
                "speed_kmh 要写 [最低, 最高]，0 < 最低 < 最高 <= 250",
                "speed_kmh must be [lowest, highest], 0 < lowest < highest <= 250",
            )
        if not 0 <= self.axle_kg[0] < self.axle_kg[1]:
            raise Wrong(
                "axle_kg 要写 [Min, Max]，0 <= Min < Max",
                "axle_kg must be [Min, Max], 0 <= Min < Max",
            )
        return self

    def title(self, lang: str) -> str:
        """The lane's name for people."""
        return (self.name_en if lang == "en" else self.name) or self.name or self.id


class CalibrationSection(Section):
    """The certificate of the digitisers' channels, as ``steelyard calibrate fit`` writes it."""

    file: Path | None = None


class RulesSection(Section):
    """Which rule pack judges."""

    pack: str = "cn-national"
    penalty_by_record: bool = False


class UplinkSection(Section):
    """The centre's broker. ``mqtt://`` in a laboratory, ``mqtts://`` in the field."""

    broker: str = "mqtt://127.0.0.1:1883"
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    centre_key: str | None = None
    """C2SP verifier key of the case system (``name+id+base64``); receipts are checked with it."""
    receipt_timeout_s: float = Field(ge=0.5, le=600, default=10.0)
    window: int = Field(ge=1, le=200, default=20)

    @model_validator(mode="after")
    def _broker_url(self) -> UplinkSection:
        parts = urlsplit(self.broker)
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise Wrong(
                "broker 要写 mqtt://主机:端口 或 mqtts://主机:端口",
                "broker must be mqtt://host:port or mqtts://host:port",
            )
        if parts.password is not None:
            raise Wrong(
                "broker 里不能写密码：站点文件会封存并交给别人",
                "broker holds no password: the station file is sealed and handed out",
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise Wrong("cert_file 和 key_file 要一起写", "cert_file and key_file belong together")
        return self


class StorageSection(Section):
    """How long the station keeps what, and how much; cases that wait for the centre always stay.

    Times end the keeping, bounds and free space end it earlier: raw signals of lawful vehicles
    first, then their pictures, then what belongs to delivered cases past its time.
    """

    signal_days: float = Field(ge=0, le=36_500, default=14)
    """Raw signals of lawful vehicles: long enough to look into a complaint about a reading."""
    picture_days: float = Field(ge=0, le=36_500, default=30)
    """Pictures of lawful vehicles."""
    plate_days: float = Field(ge=0, le=36_500, default=30)
    """Plates of lawful vehicles: personal data is kept no longer than its purpose needs it."""
    case_days: float = Field(ge=1, le=36_500, default=1_095)
    """Signals and pictures of delivered cases: the two years in which an act can be punished
    (行政处罚法 art. 36), and one for the review and the courts."""
    signal_gb: float = Field(gt=0, le=1e6, default=40)
    picture_gb: float = Field(gt=0, le=1e6, default=60)
    """Bounds of the lawful vehicles' share."""
    cap_gb: float = Field(gt=0, le=1e6, default=200)
    """Bound of all signals and pictures together; fits a disk of 256 GB beside the records."""
    min_free_gb: float = Field(ge=0, le=1e6, default=5)
    """Free space below which lawful vehicles' files go, then are no longer written: room for
    some days of records and cases."""


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts of a page that this machine alone can open."""


class WebSection(Section):
    """The operators' page."""

    host: str = Field(min_length=1, default="127.0.0.1")
    port: int = Field(ge=0, le=65_535, default=8_080)


class StationFile(Section):
    """The whole station file."""

    station: StationSection
    digitiser: list[DigitiserSection] = Field(min_length=1)
    lane: list[LaneSection] = Field(min_length=1)
    camera: list[CameraSection] = Field(default=[])
    modbus: list[ModbusSection] = Field(default=[])
    scale: list[ScaleSection] = Field(default=[])
    calibration: CalibrationSection = CalibrationSection()
    rules: RulesSection = RulesSection()
    uplink: UplinkSection = UplinkSection()
    web: WebSection = WebSection()
    storage: StorageSection = StorageSection()

    @model_validator(mode="after")
    def _names_fit(self) -> StationFile:
        _unique("digitiser.id", [d.id for d in self.digitiser])
        _unique("lane.id", [lane.id for lane in self.lane])
        _unique("camera.id", [c.id for c in self.camera])
        _unique("modbus.id", [m.id for m in self.modbus])
        _unique("scale.id", [s.id for s in self.scale])
        _unique("scale.url", [s.url for s in self.scale])
        for d in self.digitiser:
            _unique(f"digitiser {d.id}: channels", list(d.channels))
        for lane in self.lane:
            _channels_fit(lane, {d.id: d.channels for d in self.digitiser})
        lanes = {lane.id for lane in self.lane}
        for camera in self.camera:
            for name in camera.lanes:
                _known(f"camera {camera.id}: lane", name, lanes)
        for scale in self.scale:
            self._scale_fits(scale, lanes)
        return self

    def _scale_fits(self, scale: ScaleSection, lanes: set[str]) -> None:
        if scale.lane is not None:
            _known(f"scale {scale.id}: lane", scale.lane, lanes)
        if scale.over_modbus:
            device, polls_s = (
                scale.url.removeprefix("modbus:"),
                {m.id: m.poll_s for m in self.modbus},
            )
            _known(f"scale {scale.id}: modbus", device, polls_s)
            if polls_s[device] > WEIGHT_EVERY_S:
                raise Wrong(
                    f"scale {scale.id}：modbus {device!r} 要写 poll_s <= {WEIGHT_EVERY_S:g}，"
                    "否则无法判断载荷稳定",
                    f"scale {scale.id}: modbus {device!r} needs poll_s <= {WEIGHT_EVERY_S:g}, "
                    "or no load is ever known to be at rest",
                )
        if scale.check_with not in {None, *(s.id for s in self.scale)} - {scale.id}:
            raise Wrong(
                f"scale {scale.id}：check_with 要写另一台衡器",
                f"scale {scale.id}: check_with must name another scale",
            )


def _channels_fit(lane: LaneSection, channels_of: Mapping[str, Collection[str]]) -> None:
    _known(f"lane {lane.id}: digitiser", lane.digitiser, channels_of)
    known = channels_of[lane.digitiser]
    for row in lane.row:
        for channel in (row.left, row.right):
            if channel not in known:
                raise Wrong(
                    f"lane {lane.id}：channel {channel!r} 不在 {'、'.join(known)} 之中",
                    f"lane {lane.id}: channel {channel!r} is not one of {', '.join(known)}",
                )


def _known(what: str, name: str, names: Collection[str]) -> None:
    if name not in names:
        raise Wrong(f"{what} {name!r}：文件里没有", f"{what} {name!r} is not in the file")


def _unique(what: str, names: list[str]) -> None:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        told = ", ".join(doubled)
        raise Wrong(f"{what}：{told} 写了两次", f"{what}: {told} stands twice")
