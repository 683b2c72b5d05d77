"""The site that a station file describes: its paths, the layouts of its lanes, its certificate."""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edge.config.file import CalibrationSection, LaneSection, StationFile
from edge.config.instruments import CameraSection, ModbusSection
from edge.errors import ConfigError, why_zh
from edge.gains import Site, nominal_gains, parse_gains
from edge.records import Gains, LaneLayout, Row, Separator

__all__ = ["StationConfig"]


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
                f"读不到规则包 {name}{why_zh(error)}",
                f"cannot read the rule pack {name}: {error.strerror}",
                next_zh="检查 [rules] pack：内置包的名称（如 cn-national）或 .toml 文件路径",
                next_en="check [rules] pack: a shipped pack (cn-national) or the path of a .toml",
            ) from error

    def zone(self) -> ZoneInfo:
        """The station's time zone.

        Raises
        ------
        ConfigError
            The machine does not know it.
        """
        name = self.model.station.time_zone
        try:
            return ZoneInfo(name)
        except (OSError, ValueError, ZoneInfoNotFoundError) as error:
            raise ConfigError(
                f"本机不认识时区 {name}",
                f"this machine does not know the time zone {name}",
                next_zh="改正 [station] time_zone，或安装 tzdata",
                next_en="mend [station] time_zone, or install tzdata",
            ) from error

    def picture_dir(self, camera: CameraSection) -> Path:
        """Where the pictures of a camera arrive."""
        return self.resolve(camera.picture_dir or Path("pictures") / camera.id)

    def with_files(self, camera: CameraSection) -> CameraSection:
        """The camera with the paths of its own files resolved."""
        files = {
            name: self.resolve(path)
            for name in ("token_file", "password_file")
            if (path := getattr(camera, name)) is not None
        }
        own = camera.format.endswith(".toml")
        format_ = str(self.resolve(Path(camera.format))) if own else camera.format
        return camera.model_copy(update={**files, "format": format_})

    def with_map(self, device: ModbusSection) -> ModbusSection:
        """The device with the path of its own register map resolved."""
        if not device.map.endswith(".toml"):
            return device
        return device.model_copy(update={"map": str(self.resolve(Path(device.map)))})

    def lane_names(self) -> dict[str, list[str]]:
        """Names of the lanes on each digitiser."""
        return {
            d.id: [lane.id for lane in self.model.lane if lane.digitiser == d.id]
            for d in self.model.digitiser
        }

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
                f"读不到车道 {lane} 的动态参数 {path}{why_zh(error)}",
                f"cannot read the dynamics {path} of lane {lane}: {error.strerror}",
                next_zh="检查该车道的 dynamics 一行；删去它就按出厂参数称重",
                next_en="check the lane's line dynamics; without it the lane weighs with the prior",
            ) from error

    def gains_of(self, digitiser: str, nominal_newton_per_count: float) -> Gains:
        """Gains of a digitiser from the certificate, or its nominal scale with 5 % doubt.

        Raises
        ------
        ConfigError
            The certificate can't be read, does not name every channel, or is of another station
            or of other rows.
        """
        channels = next(d.channels for d in self.model.digitiser if d.id == digitiser)
        file = self.model.calibration.file
        if file is None:
            return nominal_gains([nominal_newton_per_count] * len(channels))
        site = Site(self.model.station.id, self.lanes_of(digitiser))
        return parse_gains(self._certificate, file, digitiser, channels, site)

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
                f"读不到标定证书 {path}{why_zh(error)}",
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
