"""The types that travel between the rooms: frozen, read-only, units in the names.

Times are integer nanoseconds UTC (``_ns``) with the state of the clock beside them; positions in
time on a device are sample indices (``_sample``), counted by the device's own 64-bit counter.
Arrays are NumPy, one array a field, and not writeable. Loads that people read are kilograms.
"""

from __future__ import annotations

from edge.records.devices import (
    ADC_FULL_SCALE,
    ClockReading,
    InputEdge,
    Measurement,
    Picture,
    PlateRead,
    SampleBlock,
    ScaleReading,
)
from edge.records.flags import LEGAL_BARRIERS, Flag
from edge.records.passages import AxleGroup, AxleTable, Passage, PassageKey, RawClip
from edge.records.sealed import Blob, Draft, Record
from edge.records.site import STANDARD_GRAVITY_MPS2, Gains, LaneLayout, Row, Separator
from edge.records.values import (
    Bools,
    FlagBits,
    Floats,
    Indices,
    Int32s,
    read_only,
    whole_kg,
    whole_kg_up,
)
from edge.records.vehicles import HostStamp, JoinKind, PlateDoubt, PlateJoin, Vehicle
from edge.records.verdicts import Limit, Verdict, VerdictKind

__all__ = [
    "ADC_FULL_SCALE",
    "LEGAL_BARRIERS",
    "STANDARD_GRAVITY_MPS2",
    "AxleGroup",
    "AxleTable",
    "Blob",
    "Bools",
    "ClockReading",
    "Draft",
    "Flag",
    "FlagBits",
    "Floats",
    "Gains",
    "HostStamp",
    "Indices",
    "InputEdge",
    "Int32s",
    "JoinKind",
    "LaneLayout",
    "Limit",
    "Measurement",
    "Passage",
    "PassageKey",
    "Picture",
    "PlateDoubt",
    "PlateJoin",
    "PlateRead",
    "RawClip",
    "Record",
    "Row",
    "SampleBlock",
    "ScaleReading",
    "Separator",
    "Vehicle",
    "Verdict",
    "VerdictKind",
    "read_only",
    "whole_kg",
    "whole_kg_up",
]
