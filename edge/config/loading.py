"""From bytes to a validated station file, or to an error that says what to mend."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edge.config.file import StationFile
from edge.config.site import StationConfig
from edge.errors import ConfigError
from edge.validation import problems, read_toml

__all__ = ["load_station", "parse_station"]


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
        tree = read_toml(raw)
    except ValueError as error:
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
