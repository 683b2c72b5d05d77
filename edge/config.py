"""The station file ``station.toml``: read, validated, explained.

Unknown keys are errors. Names carry their unit. Paths are relative to the station file. Every
error names the file, the key and the allowed range, in Chinese and English.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.errors import ConfigError
from edge.gains import nominal_gains, parse_gains
from edge.records import Gains, LaneLayout, Row, Separator
from edge.validation import problems

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StationSection(_Model):
    """Who the station is."""

    id: Name
    name: str = "治超站"
    name_en: str = "Weigh station"
    time_zone: str = "Asia/Shanghai"
    data_dir: Path = Path("data")
    sm2_key: Path | None = None
    """Key file of the second signature (SM2 with SM3, 国密); made at the first start."""


class DigitiserSection(_Model):
    """A load-cell digitiser and the names of its channels, in the order of the wire."""

    id: Name
    device_id: int = Field(ge=1, le=65_535, default=1)
    url: str
    baud: int = Field(ge=9_600, le=12_000_000, default=921_600)
    channels: list[Name] = Field(min_length=1, max_length=32)


class RowSection(_Model):
    """One row of sensors across the lane."""

    position_m: float = Field(ge=-50, le=200)
    width_m: float = Field(gt=0.01, le=25)
    kind: Literal["strip", "plate"]
    left: Name
    right: Name


class SeparatorSection(_Model):
    """Digital input that is active while a vehicle stands at ``position_m``."""

    input: int = Field(ge=0, le=31)
    position_m: float = Field(ge=-50, le=200)


class LaneSection(_Model):
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
            raise ValueError("rows must be listed in order of travel, position_m rising")
        if not 0 < self.speed_kmh[0] < self.speed_kmh[1] <= 250:
            raise ValueError("speed_kmh must be [lowest, highest], 0 < lowest < highest <= 250")
        if not 0 <= self.axle_kg[0] < self.axle_kg[1]:
            raise ValueError("axle_kg must be [Min, Max], 0 <= Min < Max")
        return self

    def title(self, lang: str) -> str:
        """The lane's name for people."""
        return (self.name_en if lang == "en" else self.name) or self.name or self.id


class CameraSection(_Model):
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


class ModbusSection(_Model):
    """A Modbus device; ``map`` names a register map of the bridge, or a TOML file."""

    id: Name
    url: str
    unit: int = Field(ge=0, le=255, default=1)
    map: str
    poll_s: float = Field(ge=0.1, le=3_600, default=1.0)
    timeout_s: float = Field(ge=0.05, le=30, default=0.5)


class CalibrationSection(_Model):
    """The certificate of the digitisers' channels, as ``steelyard calibrate fit`` writes it."""

    file: Path | None = None


class RulesSection(_Model):
    """Which rule pack judges."""

    pack: str = "cn-national"
    penalty_by_record: bool = False


class UplinkSection(_Model):
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
            raise ValueError("broker must be mqtt://host:port or mqtts://host:port")
        if parts.password is not None:
            raise ValueError("broker holds no password: the station file is sealed and handed out")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        return self


class StorageSection(_Model):
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


class WebSection(_Model):
    """The operators' page."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535, default=8_080)


class StationFile(_Model):
    """The whole station file."""

    station: StationSection
    digitiser: list[DigitiserSection] = Field(min_length=1)
    lane: list[LaneSection] = Field(min_length=1)
    camera: list[CameraSection] = []
    modbus: list[ModbusSection] = []
    calibration: CalibrationSection = CalibrationSection()
    rules: RulesSection = RulesSection()
    uplink: UplinkSection = UplinkSection()
    web: WebSection = WebSection()
    storage: StorageSection = StorageSection()

    @model_validator(mode="after")
    def _names_fit(self) -> StationFile:
        digitisers = {d.id: d for d in self.digitiser}
        _unique("digitiser.id", [d.id for d in self.digitiser])
        _unique("lane.id", [lane.id for lane in self.lane])
        _unique("camera.id", [c.id for c in self.camera])
        _unique("modbus.id", [m.id for m in self.modbus])
        for d in self.digitiser:
            _unique(f"digitiser {d.id}: channels", list(d.channels))
        for lane in self.lane:
            if lane.digitiser not in digitisers:
                raise ValueError(f"lane {lane.id}: digitiser {lane.digitiser!r} is not in the file")
            known = digitisers[lane.digitiser].channels
            for row in lane.row:
                for channel in (row.left, row.right):
                    if channel not in known:
                        raise ValueError(
                            f"lane {lane.id}: channel {channel!r} is not one of {', '.join(known)}"
                        )
        lanes = {lane.id for lane in self.lane}
        for camera in self.camera:
            for name in camera.lanes:
                if name not in lanes:
                    raise ValueError(f"camera {camera.id}: lane {name!r} is not in the file")
        return self


def _unique(what: str, names: list[str]) -> None:
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled:
        raise ValueError(f"{what}: {', '.join(doubled)} stands twice")


class StationConfig:
    """A validated station file with its path and hash, and the site it describes."""

    def __init__(self, path: Path, raw: bytes, model: StationFile) -> None:
        self.path = path
        self.raw = raw
        self.sha256 = hashlib.sha256(raw).hexdigest()
        self.model = model

    def resolve(self, path: Path) -> Path:
        """A path of the station file, relative to that file."""
        return path if path.is_absolute() else (self.path.parent / path).resolve()

    @property
    def data_dir(self) -> Path:
        """Where the station keeps its data."""
        return self.resolve(self.model.station.data_dir)

    def pack_bytes(self) -> bytes:
        """The rule pack, read once: a new one holds from the next start on.

        Raises
        ------
        ConfigError
            There is no such pack, or it can't be read.
        """
        return self._pack

    @cached_property
    def _pack(self) -> bytes:
        """The rule pack of the station file: one that ships with Steelyard, or a TOML file.

        Raises
        ------
        ConfigError
            There is no such pack, or it can't be read.
        """
        name = self.model.rules.pack
        shipped = resources.files("edge.rules") / "packs" / f"{name}.toml"
        try:
            if name.endswith(".toml"):
                return self.resolve(Path(name)).read_bytes()
            return shipped.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"读不到规则包 {name}：{error.strerror}",
                f"cannot read the rule pack {name}: {error.strerror}",
                next_zh="检查 [rules] pack：内置包的名称（如 cn-national）或 .toml 文件路径",
                next_en="check [rules] pack: a shipped pack (cn-national) or the path of a .toml",
            ) from error

    def picture_dir(self, camera: CameraSection) -> Path:
        """Where the pictures of a camera arrive."""
        return self.resolve(camera.picture_dir or Path("pictures") / camera.id)

    def with_map(self, device: ModbusSection) -> ModbusSection:
        """The device with the path of its own register map resolved."""
        if not device.map.endswith(".toml"):
            return device
        return device.model_copy(update={"map": str(self.resolve(Path(device.map)))})

    def lanes_of(self, digitiser: str) -> tuple[LaneLayout, ...]:
        """Layouts of the lanes on one digitiser, channels as numbers."""
        channels = next(d.channels for d in self.model.digitiser if d.id == digitiser)
        return tuple(
            _layout(lane, channels, self._beside(lane.id))
            for lane in self.model.lane
            if lane.digitiser == digitiser
        )

    def _beside(self, lane: str) -> tuple[str, ...]:
        """Lanes directly beside one: those of a direction stand in the file as on the road."""
        own = next(section for section in self.model.lane if section.id == lane)
        row = [section.id for section in self.model.lane if section.direction == own.direction]
        at = row.index(lane)
        return tuple(row[max(at - 1, 0) : at] + row[at + 1 : at + 2])

    def without_certificate(self) -> StationConfig:
        """The same station before its calibration, and before it learned with one."""
        bare = {"calibration": CalibrationSection()}
        model = self.without_dynamics().model.model_copy(update=bare)
        return StationConfig(self.path, b"", model)

    def without_dynamics(self) -> StationConfig:
        """The same station before it learned how axles swing on its lanes."""
        lanes = [lane.model_copy(update={"dynamics": None}) for lane in self.model.lane]
        return StationConfig(self.path, b"", self.model.model_copy(update={"lane": lanes}))

    @cached_property
    def dynamics_bytes(self) -> dict[str, bytes]:
        """Files of learned dynamics by lane, read once: a new one holds from the next start on.

        Raises
        ------
        ConfigError
            One can't be read.
        """
        return {
            lane.id: self._read_dynamics(lane.id, self.resolve(lane.dynamics))
            for lane in self.model.lane
            if lane.dynamics is not None
        }

    def _read_dynamics(self, lane: str, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"读不到车道 {lane} 的动态参数 {path}：{error.strerror}",
                f"cannot read the dynamics {path} of lane {lane}: {error.strerror}",
                next_zh="检查该车道的 dynamics 一行；删去它就按出厂参数称重",
                next_en="check the lane's line dynamics; without it the lane weighs with the prior",
            ) from error

    def gains_of(self, digitiser: str, nominal_newton_per_count: float) -> Gains:
        """Gains of a digitiser from the certificate, or its nominal scale with 5 % doubt.

        Raises
        ------
        ConfigError
            The certificate can't be read or does not name every channel.
        """
        channels = next(d.channels for d in self.model.digitiser if d.id == digitiser)
        file = self.model.calibration.file
        if file is None:
            return nominal_gains([nominal_newton_per_count] * len(channels))
        return parse_gains(self._certificate, file, digitiser, channels)

    @property
    def certificate_bytes(self) -> bytes | None:
        """The certificate as it was read; None where the station file names none.

        Raises
        ------
        ConfigError
            It can't be read.
        """
        return self._certificate if self.model.calibration.file else None

    @cached_property
    def _certificate(self) -> bytes:
        """The certificate's bytes, read once: a new one holds from the next start on."""
        file = self.model.calibration.file
        path = self.resolve(file) if file else Path()
        try:
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"读不到检定证书 {path}：{error.strerror}",
                f"cannot read the calibration certificate {path}: {error.strerror}",
                next_zh="检查 [calibration] file，或运行 steelyard calibrate fit",
                next_en="check [calibration] file, or run steelyard calibrate fit",
            ) from error


def _layout(lane: LaneSection, channels: list[str], beside: tuple[str, ...]) -> LaneLayout:
    return LaneLayout(
        lane=lane.id,
        rows=tuple(
            Row(r.position_m, r.width_m, r.kind, channels.index(r.left), channels.index(r.right))
            for r in lane.row
        ),
        separator=Separator(lane.separator.input, lane.separator.position_m)
        if lane.separator
        else None,
        speed_min_mps=lane.speed_kmh[0] / 3.6,
        speed_max_mps=lane.speed_kmh[1] / 3.6,
        speed_change_max=lane.speed_change_max,
        grade=lane.grade,
        beside=beside,
        axle_min_kg=lane.axle_kg[0],
        axle_max_kg=lane.axle_kg[1],
    )


def load_station(path: Path) -> StationConfig:
    """Read and validate a station file.

    Raises
    ------
    ConfigError
        Not readable, not TOML, an unknown key, a value outside its range, names that do not fit.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"读不到站点文件 {path}：{error.strerror}",
            f"cannot read the station file {path}: {error.strerror}",
        ) from error
    return parse_station(path, raw)


def parse_station(path: Path, raw: bytes) -> StationConfig:
    """Validate the bytes of a station file; ``path`` is what errors call it.

    Raises
    ------
    ConfigError
        Not TOML, an unknown key, a value outside its range, names that do not fit.
    """
    try:
        tree = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} 不是有效的 TOML：{error}", f"{path} is not valid TOML: {error}"
        ) from error
    try:
        model = StationFile.model_validate(tree)
    except ValidationError as error:
        wrong = problems(error)
        raise ConfigError(
            f"站点文件 {path}：{wrong.zh}",
            f"station file {path}: {wrong.en}",
            next_zh="改正后运行 steelyard check",
            next_en="mend it, then run steelyard check",
        ) from error
    return StationConfig(path.resolve(), raw, model)
