"""Modbus devices, TCP and RTU, read by a register map; a late answer is never taken for this one.

RTU replies carry no number that ties them to their request. When a request has timed out, its
answer may still come and would pass every check of the next request for the same registers. So
after anything doubtful (a timeout, a cancelled read, a reply that does not fit, a port just opened)
the line is *suspect*, and before the next read it is settled: wait until it is quiet, then ask the
device to echo a fresh number (function 08, sub-function 0, Modbus Application Protocol V1.1b3,
6.8). A device answers in the order of the requests, so whatever it says to function 08, the echo
or "illegal function", proves that every read before it is answered or dropped. A device that stays
silent to function 08 counts as settled after ``SILENCE_TIMEOUTS`` timeouts without a single byte.

Over TCP the transaction number ties reply and request; a fresh connection starts trusted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from firmware_bridge.modbus_client import Client, SerialAddress, address_of, make_client
from firmware_bridge.modbus_map import (
    BIT_KINDS,
    MapError,
    Register,
    RegisterMap,
    Span,
    load_map,
)

__all__ = [
    "MapError",
    "ModbusDevice",
    "ModbusLost",
    "ModbusRefused",
    "RegisterMap",
    "Value",
    "load_map",
]

SILENCE_TIMEOUTS = 10
"""Silence, in timeouts, after which no device is expected to answer an old request any more."""

_LOOPBACK = 0x08
_EXCEPTION = 0x80
_FUNCTIONS = {"coil": 0x01, "discrete": 0x02, "holding": 0x03, "input": 0x04}
_PASSING = {5: "acknowledge", 6: "busy", 10: "gateway path unavailable", 11: "no answer behind it"}
"""Exception codes that go away by themselves (V1.1b3, section 7)."""

# What it logs is raised or counted here; a silent device must not fill the journal.
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)


class ModbusLost(OSError):
    """No answer that can be trusted.

    ``reason`` is ``missing`` (can't be opened), ``closed``, ``silent``, ``late`` (a reply that
    does not belong to the request) or ``busy``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ModbusRefused(ValueError):
    """The device answers, but says that it has no such register or can't read it."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a register map, in its unit."""

    name: str
    value: float
    unit: str


class ModbusDevice:
    """One device on a line of its own, used as ``async with``.

    Parameters
    ----------
    url : str
        ``tcp://host:port`` or ``rtu:///dev/ttyX?baud=9600&parity=N&stop=1``.
    unit : int
        Unit identifier, 0..255; 1..247 on RTU, where 0 is broadcast and never answered.
    register_map : RegisterMap
    timeout_s : float
        Longest wait for one reply.

    Attributes
    ----------
    counters : Counter[str]
        ``reads``, ``timeouts``, ``late_replies``, ``out_of_range``, ``settled_by_silence``.

    Raises
    ------
    ValueError
        The URL or the unit is wrong.
    """

    def __init__(
        self,
        url: str,
        unit: int,
        register_map: RegisterMap,
        timeout_s: float,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._url = url
        self._address = address_of(url)
        if isinstance(self._address, SerialAddress) and not 1 <= unit <= 247:
            raise ValueError(f"{url}: unit {unit} is outside 1..247")
        self._unit = unit
        self._map = register_map
        self._timeout_s = timeout_s
        self._mono_ns = mono_ns
        self._lock = asyncio.Lock()
        self._suspect = isinstance(self._address, SerialAddress)
        self._heard_ns = mono_ns()
        self._nonce = self._heard_ns & 0xFFFF
        self._client: Client | None = None
        self.counters: Counter[str] = Counter()

    async def __aenter__(self) -> ModbusDevice:
        # pymodbus wants its clients made inside a running loop.
        self._client = make_client(self._address, self._timeout_s, self._heard)
        if not await self._client.connect():
            self._client.close()
            raise ModbusLost("missing", f"{self._url}: cannot be opened")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._client is not None
        self._client.close()

    def _heard(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            self._heard_ns = self._mono_ns()
        return data

    async def read(self) -> list[Value]:
        """All values of the map; those outside their range are left out and counted.

        Raises
        ------
        ModbusLost
            The device is away, silent or busy, or a reply could not be trusted.
        ModbusRefused
            The device has no such register.
        """
        async with self._lock:
            if self._suspect:
                await self._settle()
            values = [value for span in self._map.spans for value in await self._read_span(span)]
        self.counters["reads"] += 1
        return values

    async def _read_span(self, span: Span) -> list[Value]:
        reply = await self._ask(lambda: self._request(span))
        self._check(span, reply)
        raw = [int(bit) for bit in reply.bits] if span.kind in BIT_KINDS else reply.registers
        values = []
        for register in span.registers:
            offset = register.register - span.start
            value = self._value(register, raw[offset : offset + register.size])
            if value is not None:
                values.append(value)
        return values

    def _request(self, span: Span) -> Awaitable[ModbusPDU]:
        client = self._client
        assert client is not None
        reads = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }
        return reads[span.kind](span.start, count=span.count, device_id=self._unit)

    async def _ask(self, request: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU:
        """One request and what came for it; the line is suspect until the reply is checked."""
        self._suspect = True
        try:
            return await request()
        except ModbusException as error:
            assert self._client is not None
            if not self._client.connected:
                raise ModbusLost("closed", f"{self._url}: the line is closed") from error
            self.counters["timeouts"] += 1
            raise ModbusLost(
                "silent", f"{self._url}: unit {self._unit} gave no answer in {self._timeout_s} s"
            ) from error

    def _check(self, span: Span, reply: ModbusPDU) -> None:
        """Trust the line again if the reply belongs to the request, else raise."""
        function = _FUNCTIONS[span.kind]
        if reply.function_code == function | _EXCEPTION:
            self._suspect = False
            self._refuse(span, reply.exception_code)
        size = len(reply.bits) if span.kind in BIT_KINDS else len(reply.registers)
        due = -(-span.count // 8) * 8 if span.kind in BIT_KINDS else span.count
        if (reply.function_code, size) != (function, due):
            self.counters["late_replies"] += 1
            raise ModbusLost("late", f"{self._url}: a reply does not belong to its request")
        self._suspect = False

    def _refuse(self, span: Span, code: int) -> None:
        where = f"{self._url}: unit {self._unit}, {span.count} {span.kind} from {span.start}"
        if code in _PASSING:
            raise ModbusLost("busy", f"{where}: {_PASSING[code]}")
        raise ModbusRefused(f"{where}: Modbus exception {code}")

    def _value(self, register: Register, raw: Sequence[int]) -> Value | None:
        value = register.value(raw)
        if value is None:
            self.counters["out_of_range"] += 1
            return None
        return Value(register.name, value, register.unit)

    async def _settle(self) -> None:
        """Return when no earlier read can still be answered; see the head of this file."""
        silence_ns = round(SILENCE_TIMEOUTS * self._timeout_s * 1e9)
        self._heard_ns = begun_ns = self._mono_ns()
        while self._mono_ns() - self._heard_ns < silence_ns:
            await self._quiet()
            if await self._loopback():
                return
            if self._mono_ns() - begun_ns > 3 * silence_ns:
                raise ModbusLost("late", f"{self._url}: the line does not come to rest")
        self.counters["settled_by_silence"] += 1

    async def _quiet(self) -> None:
        """Let late bytes run out: a whole timeout with nothing heard, or three in all."""
        for _ in range(3):
            before_ns = self._heard_ns
            await asyncio.sleep(self._timeout_s)
            if self._heard_ns == before_ns:
                return

    async def _loopback(self) -> bool:
        """Whether the device answered a request of function 08."""
        client = self._client
        assert client is not None
        self._nonce = (self._nonce + 1) & 0xFFFF
        number = self._nonce.to_bytes(2, "big")
        try:
            reply = await self._ask(lambda: client.diag_query_data(number, device_id=self._unit))
        except ModbusLost as error:
            if error.reason != "silent":
                raise
            return False
        if reply.function_code & ~_EXCEPTION != _LOOPBACK:
            self.counters["late_replies"] += 1
            return False
        if getattr(reply, "message", None) != number:
            # An answer to an earlier loopback, maybe: let those after it run out.
            await self._quiet()
        return True
