"""From bytes to a validated station file, or to an error that says what to mend."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from edge.config.file import StationFile
from edge.config.sense import contradictions
from edge.config.site import StationConfig
from edge.errors import ConfigError, Text, why_zh
from edge.validation import problems, read_toml

__all__ = ["load_station", "parse_station"]


def load_station(path: Path) -> StationConfig:
    """Read and validate a station file.

    Raises
    ------
    ConfigError
        Not readable, not TOML, an unknown key, a value outside its range, names that do not fit, or
        what no station can be.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"读不到站点文件 {path}{why_zh(error)}",
            f"cannot read the station file {path}: {error.strerror}",
        ) from error
    config = parse_station(path, raw)
    if wrong := contradictions(config.model):
        raise _wrong(path, Text("；".join(t.zh for t in wrong), "; ".join(t.en for t in wrong)))
    return config


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
            f"{path} 不是有效的 TOML{why_zh(error)}",
            f"{path} is not valid TOML: {error}",
            next_zh="改正该处（引号、括号、等号），再运行 steelyard check",
            next_en="mend that place (quotes, brackets, equals signs), then run steelyard check",
        ) from error
    try:
        model = StationFile.model_validate(tree)
    except ValidationError as error:
        raise _wrong(path, problems(error)) from error
    return StationConfig(path.resolve(), raw, model)


def _wrong(path: Path, what: Text) -> ConfigError:
    return ConfigError(
        f"站点文件 {path}：{what.zh}",
        f"station file {path}: {what.en}",
        next_zh="改正后运行 steelyard check",
        next_en="mend it, then run steelyard check",
    )
