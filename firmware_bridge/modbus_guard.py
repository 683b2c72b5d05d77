"""A guarded way to one unit of a bus: a late answer is never taken for this one.

RTU replies carry no number that ties them to their request. A reply that comes late, or twice,
would pass every check of the next request for the same registers. Two rules keep it out:

*Settled before.* After anything doubtful (a timeout, a cancelled read, a reply that does not fit, a
port just opened) the device is *suspect*. Before it is read again it is asked to echo a fresh
number (function 08, sub-function 0, Modbus Application Protocol V1.1b3, 6.8). A device answers in
the order of the requests, so whatever it says to function 08, the echo or "illegal function",
proves that every read before it is answered or dropped. One that stays silent to function 08 (the
standard allows it on serial lines alone, and libmodbus knows none) is asked for an odd number of
registers instead: as many as no read of its map has, and not as many as the last times.

*Confirmed after.* Values are handed on only when the very next reply of the device is that to such
a request. If the values had come from an old reply, their own would now be in the way, and all is
dropped.

Over TCP the transaction number ties reply and request; after a doubt the connection is made anew.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from pymodbus.pdu import ModbusPDU

from firmware_bridge.modbus_budget import Budget
from firmware_bridge.modbus_bus import ModbusBus, ModbusLost
from firmware_bridge.modbus_map import MAX_WORDS, WORD_KINDS, Command, Span
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

_QUIET_TIMEOUTS = 0.25
_TRIES = 3
_ODD_LENGTHS = 4
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
    spans : sequence of Span
        What is read of it.

    Attributes
    ----------
    counters : Counter[str]
        ``timeouts``, ``late_replies``.

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
        spans: Sequence[Span],
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        if bus.serial and not 1 <= unit <= 247:
            raise ValueError(f"{bus.url}: unit {unit} is outside 1..247")
        self._bus = bus
        self._unit = unit
        self._timeout_s = timeout_s
        self._mono_ns = mono_ns
        self._budget = Budget(timeout_s, mono_ns)
        self._spans = spans
        self._odd = _odd_reads(spans)
        self._echoes = True
        self._number = mono_ns() & 0xFFFF
        self._strays = bus.strays
        self._suspect = bus.serial
        self._granted_s = 0.0
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
    def doubted(self) -> bool:
        """Whether an old reply may still be under way."""
        return self._suspect or self._disturbed

    @property
    def silent(self) -> bool:
        """Whether it was asked in vain for more than its budget of the bus."""
        return self._budget.spent

    @property
    def resting(self) -> bool:
        """Whether it is therefore asked only now and then, because others want the bus."""
        return self._bus.users > 1 and self.silent

    async def rest(self) -> None:
        """Wait until it may be asked again."""
        if self.resting:
            await asyncio.sleep(self._budget.wait_s)

    @property
    def _wait_s(self) -> float:
        """How long to wait for an answer; where nobody else wants the bus, as long as can be."""
        return self._timeout_s if self._bus.users <= 1 else self._budget.answer_s

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[None]:
        """Own the bus with the device settled; suspect after all that does not end well."""
        async with self._bus.turn(patience_s):
            begun_ns, self._granted_s = self._mono_ns(), 0.0
            doubted, self._suspect = self.doubted, True
            try:
                if doubted:
                    await self._settle()
                    self._strays = self._bus.strays
                yield
                self._undisturbed()
            except ModbusLost as lost:
                # A standstill of the machine is not the device's waste.
                self._budget.wasted(min(self._granted_s, (self._mono_ns() - begun_ns) / 1e9))
                if lost.reason == "late":
                    self._bus.doubt()
                raise
            self._suspect = False

    async def read(self) -> dict[str, Words]:
        """One round of reads within a turn, by the registers' names; confirmed.

        Raises
        ------
        ModbusLost, ModbusRefused
        """
        words: dict[str, Words] = {}
        for span in self._spans:
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
        reply = await self._answer(request, f"{span.count} {span.kind} from {span.start}")
        if not reads_as(reply, span.kind, span.count):
            raise self._late()
        return words_of(reply, span.kind)

    async def _answer(self, request: ModbusPDU, what: str) -> ModbusPDU:
        """The reply to a request, which is no exception; an exception, too, may be an old one."""
        reply = await self._ask(request)
        if not is_exception(reply, request):
            return reply
        where = f"{self.where}, {what}: Modbus exception {reply.exception_code}"
        if reply.exception_code in _PASSING:
            raise ModbusLost("busy", f"{where}, {_PASSING[reply.exception_code]}")
        await self._confirm()
        if self._bus.serial and not self._echoes:
            # Odd reads are refused with the same exception.
            raise ModbusLost("late", where)
        raise ModbusRefused(where)

    async def _ask(self, request: ModbusPDU) -> ModbusPDU:
        begun_ns, wait_s = self._mono_ns(), self._wait_s
        self._granted_s += wait_s
        try:
            reply = await self._bus.ask(request, wait_s)
        except ModbusLost as lost:
            if lost.reason == "silent":
                self.counters["timeouts"] += 1
            raise
        self._budget.answered((self._mono_ns() - begun_ns) / 1e9)
        if not self._bus.serial and reply.transaction_id != request.transaction_id:
            raise self._late()
        return reply

    @property
    def _disturbed(self) -> bool:
        return self._bus.strays != self._strays

    def _undisturbed(self) -> None:
        """What was read is of no worth if there was more on the line than was asked for."""
        if self._disturbed:
            raise self._late()

    async def _confirm(self) -> None:
        """See that the next reply is the next reply; TCP numbers them."""
        if self._bus.serial and not await self._in_step():
            raise self._late()

    async def _settle(self) -> None:
        """Return when no earlier read can still be answered; see the head of this file."""
        for _ in range(_TRIES):
            self._granted_s += await self._bus.quiet(self._wait_s * _QUIET_TIMEOUTS)
            try:
                if await self._in_step():
                    return
            except ModbusLost as lost:
                if lost.reason == "silent":
                    self._echoes = not self._echoes
                raise
        raise ModbusLost("late", f"{self._bus.url}: the line does not come to rest")

    async def _in_step(self) -> bool:
        """Whether the device answers now what it was asked now, and not what it was before."""
        if await (self._echo() if self._echoes else self._odd_read()):
            return True
        self.counters["late_replies"] += 1
        return False

    async def _echo(self) -> bool:
        self._number = (self._number + 1) & 0xFFFF
        request = echo_request(self._unit, self._number)
        reply = await self._ask(request)
        echoed = (reply.function_code, getattr(reply, "message", None))
        return is_exception(reply, request) or echoed == (LOOPBACK, request.message)

    async def _odd_read(self) -> bool:
        kind, start, count = next(self._odd)
        request = read_request(self._unit, kind, start, count)
        reply = await self._ask(request)
        return is_exception(reply, request) or reads_as(reply, kind, count)

    def _late(self) -> ModbusLost:
        self.counters["late_replies"] += 1
        return ModbusLost("late", f"{self._bus.url}: a reply does not belong to its request")


def _odd_reads(spans: Sequence[Span]) -> Iterator[tuple[str, int, int]]:
    """Reads, in turn, whose replies differ in length from one another and from those of spans."""
    first = next((span for span in spans if span.kind in WORD_KINDS), spans[0])
    step = 1 if first.kind in WORD_KINDS else 8
    used = {-(-span.count // step) for span in spans if span.kind == first.kind}
    free = [n * step for n in range(1, MAX_WORDS) if n not in used][:_ODD_LENGTHS]
    return itertools.cycle((first.kind, first.start, count) for count in free)
