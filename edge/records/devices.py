"""What the devices said."""

from __future__ import annotations

from dataclasses import dataclass

from edge.records.values import Int32s

__all__ = [
    "ADC_FULL_SCALE",
    "ClockReading",
    "InputEdge",
    "Measurement",
    "Picture",
    "PlateRead",
    "SampleBlock",
    "ScaleReading",
]


ADC_FULL_SCALE = (1 << 23) - 1
"""Largest count of the 24-bit converters on the wire; a count at either end is saturated."""


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
    doubts: tuple[str, ...] = ()
    """What speaks against the text: ``grammar`` (no plate of the country looks so), ``colour``
    (no plate of its kind has it), ``second-opinion`` (another reader reads another plate)."""
    could_be: tuple[str, ...] = ()
    """Other plates that it may be, for a person to look at: nothing is judged by them."""
    files: tuple[Picture, ...] = ()
    """Further pictures, and the camera's message as it came."""


@dataclass(frozen=True, slots=True)
class ScaleReading:
    """A static or slow weighing by an indicator (precise weighing on the station's floor).

    Attributes
    ----------
    device : str
        Name of the scale in the station file.
    time_ns : int
        Moment of arrival on the station's clock.
    load_kg : float or None
        Gross load; None where the indicator shows none.
    stable : bool
        At rest by the station's rule, and by the indicator where it says so.
    in_range : bool
        Between the ends of the platform's range.
    tare_kg : float
        What is taken off the load for a net weight.
    mode : str
        What the indicator showed: ``gross``, ``net``, ``tare`` or ``unknown``.
    protection : str
        What refuses a damaged frame of this line: ``checksum``, ``parity`` or ``none``.
    agrees : bool or None
        Whether the second scale of the station file shows the same load; None while that can't
        be said.
    frame : bytes
        The telegram as it was read.
    """

    device: str
    time_ns: int
    load_kg: float | None
    stable: bool
    in_range: bool
    tare_kg: float = 0.0
    mode: str = "unknown"
    protection: str = "none"
    agrees: bool | None = None
    frame: bytes = b""

    @property
    def carries_weight(self) -> bool:
        """Whether a legal weight may rest on it: at rest, in range, contradicted by nobody, and
        protected against damage on the line or confirmed by a second scale."""
        whole = self.load_kg is not None and self.stable and self.in_range
        vouched = self.protection != "none" or self.agrees is True
        return whole and vouched and self.agrees is not False


@dataclass(frozen=True, slots=True)
class Measurement:
    """One value of a Modbus device: cabinet temperature, door contact, UPS, a weight ...

    ``doubt_s`` is how long before ``time_ns`` no reply of the device could be trusted: there is a
    gap in the data, and what stood before it is no longer of now. 0 where there was none.
    """

    device: str
    name: str
    value: float
    unit: str
    time_ns: int
    doubt_s: float = 0.0
