"""What a lane weighs with: the prior, or dynamics that were learned and frozen by somebody.

A frozen description is a file beside the station file. It is bound to the rows and the gains it
was learned with, carries the hash of what it says, and changes nothing until the station file
names it: what weighs is a sealed parameter (OIML D 31; GB/T 21296.1-2020, 6.7 and 6.8).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge.config import LaneSection, StationConfig
from edge.core.modes import PRIOR, Dynamics
from edge.errors import ConfigError, Text
from edge.records import Gains, LaneLayout

__all__ = ["SCHEMA", "Basis", "Frozen", "Known", "known_dynamics", "of_device"]

SCHEMA = "steelyard-dynamics/1"


@dataclass(frozen=True, slots=True)
class Basis:
    """What learned dynamics hold for: these rows with these gains, and no others."""

    layout_sha256: str
    gains_sha256: str

    @classmethod
    def of(cls, lane: LaneLayout, gains: Gains) -> Basis:
        """The rows of a lane, and what its channels are worth."""
        channels = [channel for row in lane.rows for channel in (row.left, row.right)]
        worth = [float(gains.newton_per_count[channel]) for channel in channels]
        return cls(
            _sha256([lane.lane, [asdict(row) for row in lane.rows]]),
            _sha256([worth, gains.gravity_mps2]),
        )


@dataclass(frozen=True, slots=True)
class Frozen:
    """Dynamics as somebody froze them; ``vehicles`` is how many they were learned from."""

    station: str
    lane: str
    version: int
    basis: Basis
    frozen_us: int
    frozen_by: str
    vehicles: int
    dynamics: Dynamics

    def to_json(self) -> bytes:
        """The file: one object that people can read, its dynamics with their hash."""
        body = {
            "schema": SCHEMA,
            "station": self.station,
            "lane": self.lane,
            "version": self.version,
            **asdict(self.basis),
            "frozen_us": self.frozen_us,
            "frozen_by": self.frozen_by,
            "vehicles": self.vehicles,
            "sha256": self.dynamics.sha256,
            "dynamics": json.loads(self.dynamics.to_json()),
        }
        return json.dumps(body, ensure_ascii=False, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, raw: bytes) -> Frozen:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            Not such a file, or its dynamics are not those of its hash.
        """
        try:
            body = json.loads(raw)
            if body["schema"] != SCHEMA:
                raise ValueError(f"schema {body['schema']!r}, not {SCHEMA}")
            read = cls(
                str(body["station"]),
                str(body["lane"]),
                int(body["version"]),
                Basis(str(body["layout_sha256"]), str(body["gains_sha256"])),
                int(body["frozen_us"]),
                str(body["frozen_by"]),
                int(body["vehicles"]),
                Dynamics.from_json(json.dumps(body["dynamics"])),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a file of dynamics: {error!r}") from error
        if read.dynamics.sha256 != body.get("sha256"):
            raise ValueError("its contents are not those of its sha256")
        return read


@dataclass(frozen=True, slots=True)
class Known:
    """What a lane weighs with; version and hash stand in every record."""

    version: int
    dynamics: Dynamics
    raw: bytes = b""
    """The frozen file; empty for the prior, which is part of the program."""

    @property
    def name(self) -> dict[str, Any]:
        """As records name it."""
        return {"version": self.version, "sha256": self.dynamics.sha256}


def known_dynamics(config: StationConfig) -> dict[str, Known]:
    """What each lane of a station weighs with.

    Raises
    ------
    ConfigError
        A file can't be read, is damaged, or was made for other rows or another calibration.
    """
    return {lane.id: _known(lane, config) for lane in config.model.lane}


def of_device(config: StationConfig, device: str) -> Mapping[str, Dynamics]:
    """Dynamics of the lanes of one digitiser, as its pipeline takes them."""
    lanes = (lane for lane in config.model.lane if lane.digitiser == device)
    return {lane.id: _known(lane, config).dynamics for lane in lanes}


def _known(lane: LaneSection, config: StationConfig) -> Known:
    raw = config.dynamics_bytes.get(lane.id)
    if raw is None:
        return Known(PRIOR.version, PRIOR)
    try:
        frozen = Frozen.parse(raw)
    except ValueError as error:
        raise _refused(
            lane, Text("文件损坏或不是本程序的格式", f"damaged or of another kind: {error}")
        ) from error
    layout = next(x for x in config.lanes_of(lane.digitiser) if x.lane == lane.id)
    basis = Basis.of(layout, config.gains_of(lane.digitiser, 1.0))
    if frozen.basis.layout_sha256 != basis.layout_sha256:
        raise _refused(lane, Text("是按别的车道或别的传感器排列学的", "learned with other rows"))
    if frozen.basis.gains_sha256 != basis.gains_sha256:
        raise _refused(lane, Text("是按另一次标定学的", "learned with another calibration"))
    if frozen.dynamics.version != PRIOR.version:
        raise _refused(
            lane, Text("是别的程序版本学的", "learned by another version of the program")
        )
    return Known(frozen.version, frozen.dynamics, raw)


def _refused(lane: LaneSection, why: Text) -> ConfigError:
    return ConfigError(
        f"车道 {lane.id} 的动态参数 {lane.dynamics} 不能用：{why.zh}",
        f"the dynamics {lane.dynamics} of lane {lane.id} cannot be used: {why.en}",
        next_zh=f"删去车道 {lane.id} 的 dynamics 一行，先按出厂参数称重，再运行 steelyard learn",
        next_en=f"take the line dynamics out of lane {lane.id}: it weighs with the prior; later "
        "run steelyard learn again",
    )


def _sha256(body: Any) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
