"""The station file ``station.toml``: read, validated, explained.

Unknown keys are errors. Names carry their unit. Paths are relative to the station file. Every
error names the file, the key and the allowed range, in Chinese and English.
"""

from __future__ import annotations

from edge.config.file import (
    LOOPBACK,
    CalibrationSection,
    LaneSection,
    RowSection,
    RulesSection,
    SeparatorSection,
    StationFile,
    StationSection,
    StorageSection,
    UplinkSection,
    WebSection,
)
from edge.config.instruments import CameraSection, DigitiserSection, ModbusSection, ScaleSection
from edge.config.loading import load_station, parse_station
from edge.config.site import StationConfig

__all__ = [
    "LOOPBACK",
    "CalibrationSection",
    "CameraSection",
    "DigitiserSection",
    "LaneSection",
    "ModbusSection",
    "RowSection",
    "RulesSection",
    "ScaleSection",
    "SeparatorSection",
    "StationConfig",
    "StationFile",
    "StationSection",
    "StorageSection",
    "UplinkSection",
    "WebSection",
    "load_station",
    "parse_station",
]
