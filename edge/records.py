"""The types that travel between the rooms: frozen, read-only, units in the names.

Times are integer nanoseconds UTC (``_ns``) with the state of the clock beside them; positions in
time on a device are sample indices (``_sample``), counted by the device's own 64-bit counter.
Arrays are NumPy, one array a field, and not writeable. Loads that people read are kilograms.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

STANDARD_GRAVITY_MPS2 = 9.80665
"""Newton to conventional kilogram (3rd CGPM, 1901), unless the certificate states another."""

ADC_FULL_SCALE = (1 << 23) - 1
"""Largest count of the 24-bit converters on the wire; a count at either end is saturated."""

Int32s = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.int64]
FlagBits = NDArray[np.uint32]

_Array = TypeVar("_Array", bound="NDArray[Any]")


def read_only(array: _Array) -> _Array:
    """The same array, marked not writeable."""
    array.flags.writeable = False
    return array


def whole_kg(load_kg: float) -> int:
    """Kilograms as people, the verdict and the record see them: rounded half up to 1 kg."""
    return math.floor(load_kg + 0.5)


def whole_kg_up(u_kg: float) -> int:
    """An uncertainty in whole kilograms, never rounded down."""
    return math.ceil(u_kg)


class Flag(enum.IntFlag):
    """Doubt that travels with a number to the end; the core drops nothing silently."""

    NONE = 0
    GAP = 1 << 0
    """Samples were lost inside the passage."""
    SATURATED = 1 << 1
    """A converter stood at its end inside a pulse."""
    SPEED_OUT_OF_RANGE = 1 << 2
    """Outside the speed range that the certificate covers."""
    SPEED_CHANGE = 1 << 3
    """Braked or accelerated on the array by more than the lane allows."""
    WHEEL_OFF = 1 << 4
    """An axle pressed on one side only, or far heavier on one side than wheels can be."""
    ROW_MISSING = 1 << 5
    """A row of sensors did not see an axle that other rows saw."""
    AMBIGUOUS = 1 << 6
    """Pulses fit more than one set of axles, or more than one vehicle."""
    UNCALIBRATED = 1 << 7
    """No valid certificate: the nominal sensitivity of the maker was used."""
    INCOMPLETE = 1 << 8
    """The vehicle had not left the array when the data ended or the wait ran out."""
    LOAD_OUT_OF_RANGE = 1 << 9
    """An axle below Min or above Max of the certificate."""
    CLOCK_UNSURE = 1 << 10
    """The device clock had not settled, or stepped; the time is good to its bound only."""
    SEPARATOR_FAULT = 1 << 11
    """The vehicle separator contradicts the axles, or did not answer; gaps were used instead."""
    STRADDLING = 1 << 12
    """Wheels of one vehicle pressed on sensors of two lanes."""
    REVERSED = 1 << 13
    """The vehicle crossed the rows against the lane's direction."""
    STOPPED = 1 << 14
    """The vehicle stood on the array, or crawled below the lowest speed that can be weighed."""


LEGAL_BARRIERS = (
    Flag.GAP
    | Flag.SATURATED
    | Flag.SPEED_OUT_OF_RANGE
    | Flag.SPEED_CHANGE
    | Flag.WHEEL_OFF
    | Flag.ROW_MISSING
    | Flag.AMBIGUOUS
    | Flag.UNCALIBRATED
    | Flag.INCOMPLETE
    | Flag.LOAD_OUT_OF_RANGE
    | Flag.STRADDLING
    | Flag.REVERSED
    | Flag.STOPPED
)
"""With any of these a verdict is ``indeterminate`` (OIML R 134-1: no legal result outside the
rated conditions; facts graded from memory, so the pack states ``verified = false``)."""


# ----------------------------------------------------------------------------------------------
# What the devices said


@dataclass(frozen=True, slots=True, eq=False)
class SampleBlock:
    """Consecutive samples of one digitiser.

    Attributes
    ----------
    device : str
        Name of the digitiser in the station file.
    first_sample : int
        The device's counter at the first row of ``counts``.
    counts : int32 array (n_samples, n_channels)
        Converter counts, read-only, C order.
    rate_hz : float
        Nominal sample rate that the device declared.
    lost_before : int
        Samples missing directly before this block; 0 where it continues the one before.
    restarted : bool
        The device began to count anew before this block; indices before it do not compare.
    """

    device: str
    first_sample: int
    counts: Int32s
    rate_hz: float
    lost_before: int = 0
    restarted: bool = False

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.counts)


@dataclass(frozen=True, slots=True)
class InputEdge:
    """A digital input of a digitiser changed: a vehicle separator, a loop, a light curtain.

    An edge at ``sample`` arrives before or with the block that holds that sample.
    """

    device: str
    sample: int
    input: int
    active: bool


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How a device's sample counter maps to UTC, and how far that may be trusted.

    ``utc_ns(s) = ref_utc_ns + (s - ref_sample) * ns_per_sample``; ``bound_ns`` bounds the error of
    that time (95 %); ``rate_error_ppm`` is the oscillator against the nominal rate.
    """

    ref_sample: int
    ref_utc_ns: int
    ns_per_sample: float
    bound_ns: int
    rate_error_ppm: float
    settled: bool
    stepped: bool = False

    def utc_ns(self, sample: float) -> int:
        """UTC of a sample index, in nanoseconds."""
        return self.ref_utc_ns + round((sample - self.ref_sample) * self.ns_per_sample)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it arrived: its reference, where it lies, and its hash taken on arrival."""

    reference: str
    path: str
    sha256: str
    size_bytes: int
    media_type: str = "image/jpeg"


@dataclass(frozen=True, slots=True)
class PlateRead:
    """One reading of a plate camera. ``confidence`` is 0..1, or None where it gives none."""

    camera: str
    lane: str
    text: str
    raw_text: str
    colour: str
    confidence: float | None
    direction: str
    camera_time_ns: int
    """What the camera's own clock said; it may be wrong."""
    received_ns: int
    time_ns: int
    """Moment of the picture on the station's clock: the camera's time set right by its offset."""
    picture: Picture | None = None
    grammar: str = ""
    """Kind of plate whose grammar it fits (``cn-ordinary`` ...), empty where it fits none."""


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """A static or slow weighing by an indicator (precise weighing on the station's floor)."""

    device: str
    time_ns: int
    load_kg: float
    stable: bool
    in_range: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of a Modbus device: cabinet temperature, door contact, UPS ..."""

    device: str
    name: str
    value: float
    unit: str
    time_ns: int


# ----------------------------------------------------------------------------------------------
# The site: where the sensors lie and what they are worth


@dataclass(frozen=True, slots=True)
class Row:
    """One row of sensors across a lane.

    ``position_m`` runs along the lane's direction, ``width_m`` is the sensing length along the
    direction of travel, ``left`` and ``right`` are channel numbers of the digitiser. A ``plate``
    is longer than the tyre's contact patch and shows a plateau; a ``strip`` is narrower.
    """

    position_m: float
    width_m: float
    kind: Literal["strip", "plate"]
    left: int
    right: int


@dataclass(frozen=True, slots=True)
class Separator:
    """A vehicle separator (light curtain or loop): input number, and where it stands."""

    input: int
    position_m: float


@dataclass(frozen=True, slots=True)
class LaneLayout:
    """A lane on one digitiser: its rows in order of travel and what its certificate covers."""

    lane: str
    rows: tuple[Row, ...]
    separator: Separator | None = None
    speed_min_mps: float = 3 / 3.6
    speed_max_mps: float = 120 / 3.6
    speed_change_max: float = 0.15
    """Largest tolerated relative change of speed over the array."""
    axle_min_kg: float = 200.0
    axle_max_kg: float = 30_000.0
    grade: float = 0.0
    """Rise of the lane over its length where the array lies, positive uphill."""
    beside: tuple[str, ...] = ()
    """Lanes that lie directly beside it: a vehicle may press on the sensors of both."""


@dataclass(frozen=True, slots=True, eq=False)
class Gains:
    """What a count is worth, per channel of one digitiser.

    Attributes
    ----------
    newton_per_count : float array (n_channels,)
    u_rel : float array (n_channels,)
        Relative standard uncertainty of each gain.
    u_rel_common : float
        Part of it that all channels share (the reference mass): it does not average out.
    certificate_id, certificate_sha256 : str
        Empty where no certificate is loaded (``calibrated`` is false then).
    """

    newton_per_count: Floats
    u_rel: Floats
    u_rel_common: float = 0.0
    gravity_mps2: float = STANDARD_GRAVITY_MPS2
    certificate_id: str = ""
    certificate_sha256: str = ""
    valid_until_ns: int | None = None
    """End of the certificate's validity; None where it states none."""
    speed_mps: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest speed that the certificate covers, by lane; empty where it states none."""
    issued_ns: int | None = None
    """When the certificate was issued; None where it does not say."""

    @property
    def calibrated(self) -> bool:
        """Whether a certificate stands behind the gains."""
        return bool(self.certificate_id)

    def expired(self, time_ns: int) -> bool:
        """Whether the certificate was out of date at a time."""
        return self.valid_until_ns is not None and time_ns > self.valid_until_ns

    def premature(self, time_ns: int) -> bool:
        """Whether the certificate was issued after a time: by that clock it does not hold yet."""
        return self.issued_ns is not None and time_ns < self.issued_ns


# ----------------------------------------------------------------------------------------------
# What crossed the lane


@dataclass(frozen=True, slots=True, eq=False)
class AxleTable:
    """Axles of one vehicle, front to rear, one entry an axle in every array.

    ``row_load_kg`` and ``row_sample`` are (n_axles, n_rows), NaN where a row did not see the axle;
    ``wheel_kg`` is (n_axles, n_rows, 2): left and right of each row, NaN where missing;
    ``wheel_area_s`` are the areas of those pulses in count seconds, before any gain or speed.
    ``spacing_m[i]`` is the distance from axle ``i`` to axle ``i + 1``: (n_axles - 1,).
    """

    load_kg: Floats
    u_load_kg: Floats
    left_kg: Floats
    right_kg: Floats
    spacing_m: Floats
    u_spacing_m: Floats
    row_load_kg: Floats
    row_sample: Floats
    wheel_kg: Floats
    wheel_area_s: Floats
    flags: FlagBits

    def __len__(self) -> int:
        return len(self.load_kg)


@dataclass(frozen=True, slots=True)
class AxleGroup:
    """Axles that share a load: a single axle, a tandem, a tridem."""

    first: int
    count: int
    load_kg: float
    u_load_kg: float


@dataclass(frozen=True, slots=True, eq=False)
class RawClip:
    """The samples from which a passage is weighed; with layout and gains it gives it again.

    ``counts`` is int32 (n_samples, n_channels) of the whole digitiser; ``edges`` are the input
    edges inside it; ``gaps`` lists (sample, lost) of holes, filled in ``counts`` with the last
    value before the hole.
    """

    device: str
    first_sample: int
    rate_hz: float
    counts: Int32s
    edges: tuple[InputEdge, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.counts)


PassageKey: TypeAlias = tuple[str, str, int]
"""Digitiser, lane and first sample of the clip of a passage."""


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One vehicle as the sensors of one lane saw it, with the uncertainty of every number.

    ``first_wheel_sample`` and ``last_wheel_sample`` are the first contact with any row and the
    last release; ``configuration`` names the axle groups front to rear by their axles (``1+2+3``).
    Standard uncertainties (coverage factor 1) carry the prefix ``u_``.
    """

    device: str
    lane: str
    first_wheel_sample: float
    last_wheel_sample: float
    closed_sample: int
    speed_mps: float
    u_speed_mps: float
    speed_change: float
    """Relative change of speed from the first row to the last."""
    axles: AxleTable
    groups: tuple[AxleGroup, ...]
    configuration: str
    gross_kg: float
    u_gross_kg: float
    flags: Flag
    clip: RawClip
    astride: tuple[str, ...] = ()
    """The two lanes, left to right, that a vehicle over their line pressed on; weighed as one."""
    perhaps_with: str = ""
    """Lane of which another passage may be the other half of this vehicle."""

    @property
    def key(self) -> PassageKey:
        """What names it without holding its samples."""
        return self.device, self.lane, self.clip.first_sample

    @property
    def lanes(self) -> tuple[str, ...]:
        """All lanes that bore the vehicle."""
        return self.astride or (self.lane,)

    @property
    def wheelbase_m(self) -> float:
        """Distance from the first axle to the last."""
        return float(self.axles.spacing_m.sum())


# ----------------------------------------------------------------------------------------------
# Who it was, and what the law says


class JoinKind(enum.StrEnum):
    """How a plate and a passage came together."""

    READ = "read"
    MISSING = "missing"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class HostStamp:
    """Where a time comes from: the boot, the monotonic clock, and what set the wall clock.

    ``mono_ns`` is the monotonic time of the very moment whose UTC is stated; with the offset that
    a later statement gives for the boot, a UTC that was wrong is set right.
    """

    boot_id: str
    mono_ns: int
    synchronised: bool
    source: str = ""
    """Who disciplines the wall clock: ``chrony 10.0.0.1``, ``kernel``; empty where nobody does."""
    bound_us: int | None = None
    """Bound of the wall clock's error; None where nobody vouches for it."""

    def to_body(self) -> dict[str, Any]:
        """The fields of a statement."""
        return {
            "boot_id": self.boot_id,
            "mono_us": self.mono_ns // 1000,
            "clock_host": {
                "synchronised": self.synchronised,
                "source": self.source,
                "bound_us": self.bound_us,
            },
        }


@dataclass(frozen=True, slots=True)
class PlateJoin:
    """The plate of a passage with all candidates, and why one was chosen or none.

    ``offsets_ns`` are, candidate by candidate, plate time minus the time at which the vehicle
    should have been before the camera.
    """

    kind: JoinKind
    chosen: PlateRead | None
    candidates: tuple[PlateRead, ...] = ()
    offsets_ns: tuple[int, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class PlateDoubt:
    """A plate that was joined to a passage turned out to fit the next vehicle as well."""

    time_ns: int
    passage: PassageKey
    join: PlateJoin
    host: HostStamp | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Vehicle:
    """A passage with its time and its plate: what is judged, sealed and shown."""

    station: str
    time_ns: int
    """UTC of the last wheel's release."""
    clock: ClockReading
    passage: Passage
    join: PlateJoin
    flags: Flag
    """Flags of the passage and of its time."""
    host: HostStamp | None = None
    """Where ``time_ns`` comes from; None where it was replayed."""

    @property
    def gross_kg(self) -> int:
        """Gross vehicle weight in whole kilograms."""
        return whole_kg(self.passage.gross_kg)

    @property
    def u_gross_kg(self) -> int:
        """Its standard uncertainty in whole kilograms, rounded up."""
        return whole_kg_up(self.passage.u_gross_kg)

    @property
    def plate(self) -> str:
        """The chosen plate, or an empty string."""
        return self.join.chosen.text if self.join.chosen else ""


class VerdictKind(enum.StrEnum):
    """What the law says of a vehicle."""

    WITHIN = "within"
    OVER = "over"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Limit:
    """A gross limit that may hold for a vehicle, with where it stands written."""

    limit_kg: int
    article: str
    source: str
    verified: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of a rule pack for one vehicle.

    ``over`` only if the lower end of the coverage interval passes the highest limit that may hold;
    ``within`` only if no limit that may hold is passed by the measured value. ``excess_kg`` is the
    measured gross less ``limit_kg``, 0 where it does not pass it.
    """

    kind: VerdictKind
    measured_kg: int
    u_kg: int
    lower_kg: int
    """Lower end of the one-sided coverage interval, rounded down."""
    level: float
    """Coverage of that interval, 0.975 unless the pack says otherwise."""
    limit_kg: int | None
    excess_kg: int
    excess_pct: float
    article: str
    limits: tuple[Limit, ...]
    reasons: tuple[str, ...]
    """Keys of why it is indeterminate or disputed; words for people stand in the pack."""
    pack: str
    pack_sha256: str
    verified: bool
    information: tuple[tuple[str, str], ...] = ()
    """Further keyed statements, such as the tariff of art. 43; no penalty by itself."""


# ----------------------------------------------------------------------------------------------
# What is sealed


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes beside a record, addressed by their SHA-256."""

    role: str
    """``signal``, ``picture`` ..."""
    media_type: str
    sha256: str
    size_bytes: int
    deliver: bool = True
    """Whether it goes to the centre with its record, or stays in the station's archive."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a room wants sealed: the statement without number and station, and its blobs.

    ``body`` holds canonical JSON values only (integers, strings, booleans, None, lists, dicts).
    ``urgent`` marks a case (over or indeterminate), delivered before everything else.
    ``private`` holds further fields of the statement that can be erased later: the log binds
    them by a salted hash alone.
    """

    kind: str
    body: dict[str, Any]
    blobs: tuple[Blob, ...] = ()
    urgent: bool = False
    private: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """A sealed statement of the station log: exact bytes, number and identity for ever."""

    index: int
    record_id: str
    """Hex of the RFC 6962 leaf hash of ``canonical``."""
    kind: str
    canonical: bytes
    """What the log binds; of the private part only its hash."""
    body: dict[str, Any] = field(repr=False)
    """For reading: the statement with its private fields, or with ``erased`` where they went."""
    blobs: tuple[Blob, ...] = ()
    urgent: bool = False
    private: bytes | None = field(default=None, repr=False)
    """Exact bytes of the private part; None where there is none or it was erased."""
