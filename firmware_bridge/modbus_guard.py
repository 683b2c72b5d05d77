"""A guarded way to one unit of a bus: a late answer is never taken for this one.

RTU replies carry no number that ties them to their request. A reply that comes late, or twice,
would pass every check of the next request for the same registers. Two rules keep it out:

*Settled before.* After anything doubtful (a timeout, a cancelled read, a reply that does not fit, a
port just opened) the device is *suspect*. Before it is read again it is asked to echo a fresh
number (function 08, sub-function 0, Modbus Application Protocol V1.1b3, 6.8). A device answers in
the order of the requests, so whatever it says to function 08, the echo or "illegal function",
proves that every read before it is answered or dropped. A device that stays silent to function 08
counts as settled when nothing stray was heard for ``SILENCE_TIMEOUTS`` timeouts since its last
read.

*Confirmed after.* Values are handed on only when the very next reply of the device is that to a
request of another form: function 08, or, where it does not know that, a read of another length. If
the values had come from an old reply, their own would now be in the way, and all is dropped.

Over TCP the transaction number ties reply and request; after a doubt the connection is made anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from pymodbus.pdu import ModbusPDU

from firmware_bridge.modbus_budget import Budget
from firmware_bridge.modbus_bus import ModbusBus, ModbusLost
from firmware_bridge.modbus_map import Command, Span
from firmware_bridge.modbus_requests import (
    LOOPBACK,
    Words,
    echo_request,
    is_exception,
    read_request,
    reads_as,
    words_of,
    write_request,
    wrote,
)

__all__ = ["Guard", "ModbusRefused"]

SILENCE_TIMEOUTS = 10
"""Silence, in timeouts, after which no device is expected to answer an old request any more."""

_QUIET_TIMEOUTS = 0.25
_ECHOES = 3
_PASSING = {5: "acknowledge", 6: "busy", 10: "gateway path unavailable", 11: "no answer behind it"}
"""Exception codes that go away by themselves (V1.1b3, section 7)."""


class ModbusRefused(ValueError):
    """The device answers, but says that it has no such register or can't read it."""


class Guard:
    """What stands between one unit and whoever reads it; used as ``async with``.

    Parameters
    ----------
    bus : ModbusBus
    unit : int
        Unit identifier, 0..255; 1..247 on RTU, where 0 is broadcast and never answered.
    timeout_s : float
        Longest wait for one reply.

    Attributes
    ----------
    counters : Counter[str]
        ``timeouts``, ``late_replies``, ``settled_by_silence``.
    suspect : bool
        Whether an old reply may still be under way.

    Raises
    ------
    ValueError
        The unit is wrong.
    """

    def __init__(
        self,
        bus: ModbusBus,
        unit: int,
        timeout_s: float,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if bus.serial and not 1 <= unit <= 247:
            raise ValueError(f"{bus.url}: unit {unit} is outside 1..247")
        self._bus = bus
        self._unit = unit
        self._timeout_s = timeout_s
        self._mono_ns = mono_ns
        self._budget = Budget(timeout_s, mono_ns)
        self._echoes = True
        self._read_ns = mono_ns()
        self._number = self._read_ns & 0xFFFF
        self.suspect = bus.serial
        self.counters: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        await self._bus.__aenter__()
        try:
            async with self._bus.turn(0.0):
                await self._bus.open(max(self._timeout_s, 1.0))
        except BaseException:
            await self._bus.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._bus.__aexit__(kind, error, trace)

    @property
    def where(self) -> str:
        """What names the unit in messages."""
        return f"{self._bus.url}: unit {self._unit}"

    @property
    def resting(self) -> bool:
        """Whether it wasted so much of a shared bus that it is asked only now and then."""
        return self._bus.users > 1 and self._budget.spent

    async def rest(self) -> None:
        """Wait until it may be asked again."""
        if self.resting:
            await asyncio.sleep(self._budget.wait_s)

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[None]:
        """Own the bus with the device settled; suspect after all that does not end well."""
        async with self._bus.turn(patience_s):
            begun_ns = self._mono_ns()
            doubted, self.suspect = self.suspect, True
            try:
                if doubted:
                    await self._settle()
                yield
            except ModbusLost as lost:
                self._budget.wasted((self._mono_ns() - begun_ns) / 1e9)
                if lost.reason == "late":
                    self._bus.doubt()
                raise
            self.suspect = False

    async def read(self, spans: Iterable[Span]) -> dict[str, Words]:
        """One round of reads within a turn, by the registers' names; confirmed.

        Raises
        ------
        ModbusLost, ModbusRefused
        """
        words: dict[str, Words] = {}
        for span in spans:
            words |= span.words(await self._span(span))
        await self._confirm()
        return words

    async def write(self, command: Command) -> None:
        """Write a command's words within a turn, once; confirmed.

        Raises
        ------
        ModbusLost, ModbusRefused
        """
        reply = await self._answer(write_request(self._unit, command), command.name)
        if not wrote(reply, command):
            raise self._late()
        await self._confirm()

    async def _span(self, span: Span) -> Words:
        request = read_request(self._unit, span.kind, span.start, span.count)
        self._read_ns = self._mono_ns()
        self._last = span
        reply = await self._answer(request, f"{span.count} {span.kind} from {span.start}")
        if not reads_as(reply, span.kind, span.count):
            raise self._late()
        return words_of(reply, span.kind)

    async def _answer(self, request: ModbusPDU, what: str) -> ModbusPDU:
        """The reply to a request, which is no exception."""
        reply = await self._ask(request)
        if not is_exception(reply, request):
            return reply
        where = f"{self.where}, {what}"
        if reply.exception_code in _PASSING:
            raise ModbusLost("busy", f"{where}: {_PASSING[reply.exception_code]}")
        raise ModbusRefused(f"{where}: Modbus exception {reply.exception_code}")

    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        begun_ns = self._mono_ns()
        alone = self._bus.users <= 1
        try:
            reply = await self._bus.ask(
                request, self._timeout_s if alone else self._budget.answer_s
            )
        except ModbusLost as lost:
            if lost.reason == "silent":
                self.counters["timeouts"] += 1
            raise
        self._budget.answered((self._mono_ns() - begun_ns) / 1e9)
        if not self._bus.serial and reply.transaction_id != request.transaction_id:
            raise self._late()
        return reply

    async def _confirm(self) -> None:
        """See that the next reply is the next reply; TCP numbers them."""
        if not self._bus.serial:
            return
        if not await (self._echo() if self._echoes else self._other_length()):
            raise self._late()

    async def _other_length(self) -> bool:
        """Whether a read of another length is answered as such."""
        span = self._last
        other = span.count - 1 or 2
        request = read_request(self._unit, span.kind, span.start, other)
        self._read_ns = self._mono_ns()
        reply = await self._ask(request)
        return reads_as(reply, span.kind, other) or is_exception(reply, request)

    async def _settle(self) -> None:
        """Return when no earlier read can still be answered; see the head of this file."""
        rest_s = self._timeout_s * _QUIET_TIMEOUTS
        await self._bus.quiet(rest_s)
        try:
            for _ in range(_ECHOES):
                if await self._echo():
                    self._echoes = True
                    return
                await self._bus.quiet(rest_s)
        except ModbusLost as lost:
            silent_ns = self._mono_ns() - max(self._read_ns, self._bus.stray_ns)
            if lost.reason != "silent" or silent_ns < SILENCE_TIMEOUTS * self._timeout_s * 1e9:
                raise
            self._echoes = False
            self.counters["settled_by_silence"] += 1
            return
        raise ModbusLost("late", f"{self._bus.url}: the line does not come to rest")

    async def _echo(self) -> bool:
        """Whether the device answered a request of function 08 with what belongs to it."""
        self._number = (self._number + 1) & 0xFFFF
        request = echo_request(self._unit, self._number)
        reply = await self._ask(request)
        if is_exception(reply, request):
            return True
        if reply.function_code != LOOPBACK or getattr(reply, "message", None) != request.message:
            self.counters["late_replies"] += 1
            return False
        return True

    def _late(self) -> ModbusLost:
        self.counters["late_replies"] += 1
        return ModbusLost("late", f"{self._bus.url}: a reply does not belong to its request")
