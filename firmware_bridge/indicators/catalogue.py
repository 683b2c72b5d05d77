"""Every format of a weighing indicator that the bridge reads: one row each.

A new indicator is one file of this package and one row here; ``docs/instruments.md`` shows how,
and a test holds its table against this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from firmware_bridge.indicators.a12 import a12, a12_dialect
from firmware_bridge.indicators.aed import aed, aed_request
from firmware_bridge.indicators.equals import equals
from firmware_bridge.indicators.framing import Bits, IndicatorDecoder, with_parity
from firmware_bridge.indicators.orders import SICS_ORDERS, TOLEDO_ORDERS, Order, OrderForm
from firmware_bridge.indicators.reading import UNITS_KG
from firmware_bridge.indicators.rinstrum import rinstrum
from firmware_bridge.indicators.sics import sics, sics_request
from firmware_bridge.indicators.st_gs import st_gs
from firmware_bridge.indicators.toledo import toledo
from firmware_bridge.indicators.yaohua import yaohua, yaohua_command, yaohua_request

Protection: TypeAlias = Literal["checksum", "parity", "none"]
Value: TypeAlias = str | int | float | bool
Parity: TypeAlias = Literal["none", "even", "odd"]


class BadFormat(ValueError):
    """There is no such format, or it has no such setting; ``zh`` says so in Chinese."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting may be; ``default`` None means that it must be given."""

    allowed: tuple[Value, ...] | Literal["a number above 0"]
    default: Value | None = None

    def takes(self, value: Value) -> bool:
        """Whether a value may stand in the station file."""
        if isinstance(self.allowed, str):
            return not isinstance(value, bool | str) and 0 < value < 1e9
        # True == 1 in Python, and neither may stand for the other.
        return any(value == each and type(value) is type(each) for each in self.allowed)


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    name : str
        As the station file calls it.
    models : tuple of str
        Instruments known to speak it.
    decoder : callable
        Makes a fresh decoder from settings, and from ``bits`` (`framing.Bits`).
    protection : {"checksum", "parity", "none"}
        What a damaged frame is refused by, at the given serial defaults (`protection_on` tells it
        for others). A reading with ``none`` never carries a legal weight alone.
    ask : callable or None
        The bytes that ask for a reading, from settings; None where the instrument sends by itself.
    baud, data_bits, parity
        The usual setting of the instruments.
    settings : mapping of str to Setting
    verified : bool
        False where part of the layout is known from memory only; read the instrument's manual.
    orders : mapping of str to OrderForm
        What the instrument can be told (`orders_with` settings).
    """

    name: str
    models: tuple[str, ...]
    decoder: Callable[..., IndicatorDecoder]
    protection: Protection
    ask: Callable[..., bytes] | None = None
    baud: int = 9_600
    data_bits: Literal[7, 8] = 8
    parity: Parity = "none"
    settings: Mapping[str, Setting] = field(default_factory=dict)
    verified: bool = True
    orders: Mapping[str, OrderForm] = field(default_factory=dict)

    def complete(self, settings: Mapping[str, Value]) -> dict[str, Value]:
        """Settings with the defaults of those not given.

        Raises
        ------
        BadFormat
            One is unknown, missing, or not one of the allowed.
        """
        for name in settings:
            if name not in self.settings:
                known = ", ".join(self.settings)
                raise BadFormat(
                    f"{self.name} 没有设置项 {name!r}；可用：{known or '无'}",
                    f"{self.name} has no setting {name!r}; it has: {known or 'none'}",
                )
        return {name: self._value(name, settings) for name in self.settings}

    def _value(self, name: str, settings: Mapping[str, Value]) -> Value:
        setting = self.settings[name]
        value = settings.get(name, setting.default)
        if value is None or not setting.takes(value):
            allowed = setting.allowed
            several = not isinstance(allowed, str)
            text = ", ".join(map(str, allowed)) if several else allowed
            raise BadFormat(
                f"{self.name}：{name} 只能是：{text if several else '大于 0 的数'}",
                f"{self.name}: {name} must be one of: {text}",
            )
        return value

    def make(
        self, settings: Mapping[str, Value], data_bits: int = 8, parity: Parity = "none"
    ) -> IndicatorDecoder:
        """A fresh decoder for a line of these bits.

        Raises
        ------
        BadFormat
            As `complete`.
        """
        return self.decoder(**self.complete(settings), bits=_bits(data_bits, parity))

    def protection_on(self, data_bits: int, parity: Parity) -> Protection:
        """What refuses damaged frames on a line of these bits: parity is judged on 7 bits only."""
        if self.protection == "checksum":
            return "checksum"
        return "parity" if data_bits == 7 and parity != "none" else "none"

    def request(
        self, settings: Mapping[str, Value], data_bits: int = 8, parity: Parity = "none"
    ) -> bytes:
        """What asks for one reading on a line of these bits, to be sent as eight bits without
        parity; empty where the instrument sends by itself.

        Raises
        ------
        BadFormat
            As `complete`.
        """
        if self.ask is None:
            return b""
        names = self.ask.__kwdefaults__ or {}
        asked = self.ask(**{k: v for k, v in self.complete(settings).items() if k in names})
        return with_parity(asked, _bits(data_bits, parity))

    def orders_with(self, settings: Mapping[str, Value]) -> tuple[str, ...]:
        """Names of the orders; no tare where the frames tell net weights without their tare."""
        return tuple(n for n in self.orders if not (n == "tare" and settings.get("short")))

    def order(
        self, name: str, division_kg: float, data_bits: int = 8, parity: Parity = "none"
    ) -> Order:
        """A fresh order to an instrument on a line of these bits."""
        return Order(self.orders[name], division_kg, _bits(data_bits, parity))


def _bits(data_bits: int, parity: Parity) -> Bits:
    if data_bits == 8 or parity == "none":
        return "8n"
    return "7e" if parity == "even" else "7o"


_UNIT = {"unit": Setting(tuple(UNITS_KG), "kg")}
_SHORT = {"short": Setting((False, True), False)}
_LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

CATALOGUE = (
    Format(
        "yaohua",
        ("Yaohua XK3190-A9/A9+/A6/DS1/DS3/C8/D9/A23P/A26 (tF=0)", "Keli D2008F (tF=0)"),
        yaohua,
        "checksum",
        settings=_UNIT,
    ),
    Format(
        "yaohua-command",
        ("Yaohua XK3190-DS3", "Yaohua XK3190-A23P"),
        yaohua_command,
        "checksum",
        yaohua_request,
        settings={
            "address": Setting(_LETTERS, "A"),
            "ask": Setting(("gross", "net", "tare"), "gross"),
            **_UNIT,
        },
    ),
    Format(
        "equals",
        (
            "Yaohua XK3190-A26 (tF=1, 2)",
            "XK3190-A23P (tF=2)",
            "XK3190-D2+",
            "Keli D2008F (tF=2, 3)",
        ),
        equals,
        "none",
        settings={"mirrored": Setting((False, True)), "characters": Setting((9, 8), 9), **_UNIT},
    ),
    Format("a12", ("Yaohua XK3190-A12", "Yaohua XK3190-A12E"), a12, "checksum"),
    Format("a12-dialect", ("copies of XK3190-A12",), a12_dialect, "none"),
    Format(
        "toledo",
        ("Mettler-Toledo IND445, Wildcat", "Kern FTC", "Rice Lake 680", "Fairbanks FB3000"),
        toledo,
        "checksum",
        data_bits=7,
        parity="even",
        settings=_SHORT,
        orders=TOLEDO_ORDERS,
    ),
    Format(
        "toledo-plain",
        ("the same with the checksum off", "Cardinal 225 (short)"),
        lambda **given: toledo(checksum=False, **given),
        "parity",
        data_bits=7,
        parity="even",
        settings=_SHORT,
        orders=TOLEDO_ORDERS,
    ),
    Format(
        "sics",
        ("Mettler-Toledo MT-SICS balances and terminals",),
        sics,
        "none",
        sics_request,
        orders=SICS_ORDERS,
    ),
    Format(
        "rinstrum",
        ("Rinstrum R300, R320, R400, R420 (FMT 1, 2, 3, 5)",),
        rinstrum,
        "none",
        settings={"form": Setting((1, 2, 3, 5), 1), **_UNIT},
    ),
    Format(
        "st-gs",
        ("General Measure GM8804, M02", "PT650D", "Tiger TI-02", "Rinstrum FMT 4", "many copies"),
        st_gs,
        "none",
    ),
    Format(
        "aed",
        ("HBM/HBK AD103, AD104, AD105, FIT (COF3, COF9)",),
        aed,
        "none",
        aed_request,
        settings={
            "kg_per_digit": Setting("a number above 0"),
            "form": Setting((3, 9), 3),
            "address": Setting(tuple(range(1, 90)), 1),
        },
        verified=False,
    ),
)

FORMATS = {each.name: each for each in CATALOGUE}


def format_named(name: str) -> Format:
    """The row of a name.

    Raises
    ------
    BadFormat
        There is none.
    """
    try:
        return FORMATS[name]
    except KeyError:
        known = ", ".join(FORMATS)
        raise BadFormat(
            f"没有格式 {name!r}；可用：{known}", f"no format {name!r}; known: {known}"
        ) from None
