"""Zero and tare of indicators: what is sent, once, and what proves that it was done.

::

    MT-SICS   Z   CR LF  ->  Z A       done         Z I  Z +  Z -    refused
              TAC CR LF  ->  TAC A     done         TAC I  TAC L     refused
                             ES ET EL  not understood
    Toledo    Z   T   C  CR LF, without an answer: the continuous output shows it

``Z A`` alone is not believed: copies of MT-SICS (Radwag) say it when they begin. The weight has to
stand at zero after it. ``T`` of MT-SICS is left out: the lines do not tell net from gross, so what
is shown over a tare would be taken for the load. Nothing was found for the others: the command
modes of Yaohua (XK3190-DS3, A23P, A1+) only read, and the automatic outputs of A12, "=", "ST,GS"
and Rinstrum are not known to listen.

Source: Mettler-Toledo platform scale ITT-BA-e-0720, 5.1.1; BTEK T104, appendix B; replies of MT
balances, those of TAC as public drivers for them read them. Kern FTC-BA-e-0720, 5.2.1 and IND445,
22013194B, 5.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from firmware_bridge.indicators.framing import TABLES, Bits, with_parity
from firmware_bridge.indicators.reading import IndicatorReading

State: TypeAlias = Literal["sent", "taken", "done", "refused"]
"""``taken``: the indicator does not say no, and has yet to show it."""

_LONGEST = 64


@dataclass(frozen=True, slots=True)
class OrderForm:
    """One thing that an indicator can be told.

    Attributes
    ----------
    request : bytes
    answer : re.Pattern or None
        A whole answer, its first group ``A`` where the order is accepted; None where none comes.
    shows : callable or None
        Whether a reading of a platform with the division given, in kg, shows that it is done.
    """

    request: bytes
    answer: re.Pattern[bytes] | None = None
    shows: Callable[[IndicatorReading, float], bool] | None = None


class Order:
    """An order on its way to one indicator, sans-I/O.

    Parameters
    ----------
    form : OrderForm
    division_kg : float
        The verification interval e of the platform.
    bits : {"8n", "7e", "7o"}
        Characters of the line.

    Attributes
    ----------
    request : bytes
        What to send, as eight bits without parity.
    state : {"sent", "taken", "done", "refused"}
    """

    def __init__(self, form: OrderForm, division_kg: float, bits: Bits = "8n") -> None:
        self.request = with_parity(form.request, bits)
        self.state: State = "sent" if form.answer else "taken"
        self._form, self._division_kg = form, division_kg
        self._table, self._heard = TABLES[bits], b""

    def hear(self, data: bytes, readings: Sequence[IndicatorReading]) -> None:
        """What the line brought, and the readings in it."""
        if self.state == "taken" and self._shown(readings):
            self.state = "done"
        elif self.state == "sent" and self._form.answer:
            heard = self._heard + data.translate(self._table)
            if found := self._form.answer.search(heard):
                self._answered(found[1])
            self._heard = heard[-_LONGEST:]

    def _answered(self, said: bytes | None) -> None:
        accepted: State = "taken" if self._form.shows else "done"
        self.state = accepted if said == b"A" else "refused"

    def _shown(self, readings: Sequence[IndicatorReading]) -> bool:
        shows = self._form.shows
        return shows is not None and any(shows(each, self._division_kg) for each in readings)


def _at_zero(reading: IndicatorReading, division_kg: float) -> bool:
    """Within a quarter of e, as R 76-1, 4.5.2 asks of zero setting."""
    weight_kg = reading.weight_kg
    return weight_kg is not None and bool(reading.stable) and abs(weight_kg) <= division_kg / 4


def _zeroed(reading: IndicatorReading, division_kg: float) -> bool:
    return reading.mode in ("gross", "unknown") and _at_zero(reading, division_kg)


def _tared(reading: IndicatorReading, division_kg: float) -> bool:
    return reading.mode == "net" and _at_zero(reading, division_kg)


def _gross(reading: IndicatorReading, _: float) -> bool:
    return reading.mode == "gross"


_ANSWERED = rb"(?<![ -~])(?:%s|E[STL])\r\n"

SICS_ORDERS: Mapping[str, OrderForm] = {
    "zero": OrderForm(b"Z\r\n", re.compile(_ANSWERED % rb"Z ([AI+-])"), _zeroed),
    "clear_tare": OrderForm(b"TAC\r\n", re.compile(_ANSWERED % rb"TAC ([AIL])")),
}

TOLEDO_ORDERS: Mapping[str, OrderForm] = {
    "zero": OrderForm(b"Z\r\n", shows=_zeroed),
    "tare": OrderForm(b"T\r\n", shows=_tared),
    "clear_tare": OrderForm(b"C\r\n", shows=_gross),
}
