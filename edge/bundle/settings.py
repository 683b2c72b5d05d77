"""The settings that a record was made with, out of its dossier: parsed once for many records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge.bundle.dossier import Dossier
from edge.config import StationConfig, parse_station
from edge.core.joining import seam
from edge.core.modes import PRIOR, Dynamics
from edge.errors import ConfigError, InputError, Text
from edge.frozen import Frozen
from edge.gains import nominal_gains, parse_gains
from edge.records import Gains, LaneLayout
from edge.rules.pack import RulePack

FILES = {
    "station_file": Text("站点文件", "station file"),
    "certificate": Text("标定证书", "calibration certificate"),
    "rule_pack": Text("规则包", "rule pack"),
    "dynamics": Text("动态参数", "dynamics"),
    "signal": Text("原始信号", "raw signal"),
}
"""What people call the files that a weight follows from."""

_PRIOR_SHA256 = PRIOR.sha256


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything beside the samples that decides what a record's vehicle weighed."""

    config: StationConfig
    lane: LaneLayout
    others: tuple[LaneLayout, ...]
    gains: Gains
    dynamics: Dynamics
    pack: RulePack


def settings_of(dossier: Dossier) -> Settings:
    """Settings by the hashes that the record states.

    Raises
    ------
    InputError
        A file is missing; it is named with its hash.
    ConfigError
        One can't be read by this version of the program.
    """
    body = dossier.body
    config = station_of(dossier)
    device = str(body["signal"]["device"])
    lane, others = layouts(config, device, list(body.get("lanes", [body["lane"]])))
    return Settings(
        config,
        lane,
        others,
        _gains(dossier, device),
        _dynamics(dossier),
        _pack(needed(dossier, "rule_pack", body["verdict"]["pack_sha256"])),
    )


def station_of(dossier: Dossier) -> StationConfig:
    """The station file that the record names.

    Raises
    ------
    InputError, ConfigError
        It is missing, or this version of the program can't read it.
    """
    return _station(needed(dossier, "station_file", dossier.body["configuration_sha256"]))


def needed(dossier: Dossier, role: str, sha256: str) -> bytes:
    """A file by its hash.

    Raises
    ------
    InputError
        It is not there.
    """
    data = dossier.blobs.get(sha256)
    if data is None:
        name = FILES[role]
        raise InputError(
            f"缺少{name.zh}，SHA-256 应为 {sha256}",
            f"the {name.en} with SHA-256 {sha256} is missing",
            next_zh="向站点或中心索取这个文件；散列相符的才是当时用的那份",
            next_en="ask the station or the centre for that file; only one with this hash is it",
        )
    return data


@lru_cache(maxsize=16)
def _station(raw: bytes) -> StationConfig:
    return parse_station(Path("station.toml"), raw)


@lru_cache(maxsize=16)
def _pack(raw: bytes) -> RulePack:
    return RulePack.parse(raw)


@lru_cache(maxsize=64)
def _certified(raw: bytes, device: str, channels: tuple[str, ...]) -> Gains:
    return parse_gains(raw, Path("certificate.json"), device, list(channels))


@lru_cache(maxsize=64)
def _frozen(raw: bytes) -> tuple[Dynamics, str]:
    dynamics = Frozen.parse(raw).dynamics
    return dynamics, dynamics.sha256


def _gains(dossier: Dossier, device: str) -> Gains:
    stated: dict[str, Any] = dossier.body["calibration"]
    if stated["sha256"]:
        raw = needed(dossier, "certificate", stated["sha256"])
        return _certified(raw, device, tuple(dossier.body["signal"]["channels"]))
    nominal: Sequence[str] | None = stated.get("nominal_newton_per_count")
    if nominal is None:
        raise InputError(
            "这条记录没有标定证书，也没有写明仪表标称值，无法重算",
            "the record names no certificate and no nominal scale: it can't be weighed again",
        )
    return nominal_gains([float(text) for text in nominal])


def _dynamics(dossier: Dossier) -> Dynamics:
    wanted = str(dossier.body["dynamics"]["sha256"])
    if wanted == _PRIOR_SHA256:
        return PRIOR
    for blob in dossier.dynamics_blobs():
        raw = dossier.blobs.get(blob.sha256)
        try:
            dynamics, sha256 = _frozen(raw) if raw is not None else (PRIOR, _PRIOR_SHA256)
        except ValueError:
            continue  # of another version of the program: as good as missing
        if sha256 == wanted:
            return dynamics
    raise ConfigError(
        f"缺少记录所用的动态参数（内容散列 {wanted}），本程序的出厂参数是 {_PRIOR_SHA256}",
        f"the dynamics with content hash {wanted} are missing; this program's prior is "
        f"{_PRIOR_SHA256}",
        next_zh="用封存这条记录的程序版本重算，或取得那份动态参数文件",
        next_en="recompute with the program version that sealed it, or get that file of dynamics",
    )


def layouts(
    config: StationConfig, device: str, lanes: Sequence[str]
) -> tuple[LaneLayout, tuple[LaneLayout, ...]]:
    """The lane that the vehicle used, and those beside it; of one astride, the seam of two.

    Raises
    ------
    ConfigError
        The station file has no such lanes on that digitiser.
    """
    try:
        known = {lane.lane: lane for lane in config.lanes_of(device)}
        used = [known[name] for name in lanes]
    except (KeyError, StopIteration):
        raise _no_such_lane(device, lanes) from None
    if len(used) == 1:
        return used[0], tuple(o for o in known.values() if o.lane in used[0].beside)
    joined = seam(*used) if len(used) == 2 else None
    if joined is None:
        raise _no_such_lane(device, lanes)
    return joined, ()


def _no_such_lane(device: str, lanes: Sequence[str]) -> ConfigError:
    named = json.dumps(list(lanes), ensure_ascii=False)
    return ConfigError(
        f"站点文件中 {device} 没有车道 {named}",
        f"the station file has no lanes {named} on {device}",
    )
