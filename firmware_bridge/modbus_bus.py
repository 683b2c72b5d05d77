"""One owner per bus: whoever has the turn speaks, one request at a time, most urgent first.

A line, serial or TCP, is opened once, however many devices are on it. The turn goes to the device
whose patience ends first, so that a command passes a poll that can wait, and no poll waits for
ever. A request that nobody answers leaves the line closed on TCP (a fresh connection has no old
answers in it) and open on RTU, where closing would change nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeAlias

from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from firmware_bridge.modbus_client import Client, SerialAddress, address_of, make_client
from firmware_bridge.modbus_requests import reply_bytes, states_its_length
from firmware_bridge.standstill import within

__all__ = ["ModbusBus", "ModbusBuses", "ModbusLost"]

_MOST_QUIETS = 3


class ModbusLost(OSError):
    """No answer that can be trusted.

    ``reason`` is ``missing`` (can't be opened), ``closed``, ``silent``, ``late`` (a reply that
    does not belong to the request), ``stale`` (the device's counter stands still) or ``busy``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Turns:
    """A lock that goes to whoever is due first."""

    def __init__(self, mono_ns: Callable[[], int]) -> None:
        self._mono_ns = mono_ns
        self._held = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[None]:
        """Hold the lock; ``patience_s`` is how long the caller can well wait for it."""
        await self._take(patience_s)
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, patience_s: float) -> None:
        if not self._held:
            self._held = True
            return
        own: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_ns = self._mono_ns() + round(patience_s * 1e9)
        heapq.heappush(self._waiting, (due_ns, next(self._order), own))
        try:
            await own
        except asyncio.CancelledError:
            if not own.cancelled():  # the turn came together with the cancellation
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            own = heapq.heappop(self._waiting)[2]
            if not own.done():
                own.set_result(None)
                return
        self._held = False


Tap: TypeAlias = Callable[[bool, bytes], None]
"""Sees all bytes on a bus, and whether they are sent."""


def _no_tap(_sending: bool, _data: bytes) -> None:
    """Where nobody looks."""


class ModbusBus:
    """A line with its devices, used as ``async with`` by each of them; the last one closes it.

    Parameters
    ----------
    url : str
        ``tcp://host:port`` or ``rtu:///dev/ttyX?baud=9600&parity=N&stop=1``.

    Attributes
    ----------
    serial : bool
        Whether replies carry no number of their request (RTU).
    users : int
        How many devices are on it now.
    strays : int
        How often bytes were heard that belong to no reply: nobody had asked, or they stood around
        a reply. Whoever speaks on the line must doubt all that was asked before.

    Raises
    ------
    ValueError
        The URL names no line.
    """

    def __init__(
        self,
        url: str,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        tap: Tap = _no_tap,
    ) -> None:
        self.url = url
        self._tap = tap
        self.address = address_of(url)
        self.serial = isinstance(self.address, SerialAddress)
        # Unit and CRC; or the header of TCP.
        self._head_bytes, self._tail_bytes = (1, 2) if self.serial else (7, 0)
        self.users = 0
        self.strays = 0
        self._asking = False
        self._heard_last, self._tapped_bytes = b"", 0
        self._heard_ns = mono_ns()
        self._mono_ns = mono_ns
        self._turns = Turns(mono_ns)
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        self.users += 1
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.users -= 1
        if not self.users:
            self._close()

    @asynccontextmanager
    async def turn(self, patience_s: float) -> AsyncIterator[None]:
        """Own the bus; without it nobody may `ask`."""
        async with self._turns.turn(patience_s):
            yield

    async def open(self, timeout_s: float) -> Client:
        """The client of the line, opened if it is not.

        Raises
        ------
        ModbusLost
            It can't be opened.
        """
        if self._client is None or not self._client.connected:
            self._close()
            # pymodbus wants its clients made inside a running loop.
            client = make_client(self.address, self._heard, self._decoded)
            opened = False
            try:
                async with asyncio.timeout(timeout_s):
                    opened = await client.connect()
            except TimeoutError:
                pass
            finally:
                if not opened:
                    client.close()
            if not opened:
                raise ModbusLost("missing", f"{self.url}: cannot be opened")
            self._client = client
        return self._client

    async def ask(self, request: ModbusPDU, timeout_s: float) -> ModbusPDU:
        """Send a request and give what came for it, whatever it is.

        Raises
        ------
        ModbusLost
            Nothing came, or the line is gone.
        """
        client = await self.open(max(timeout_s, 1.0))
        try:
            reply: ModbusPDU = await within(timeout_s, client.execute(False, request))
        except (TimeoutError, ModbusException) as error:
            if not client.connected:
                raise ModbusLost("closed", f"{self.url}: the line is closed") from error
            self.doubt()
            raise ModbusLost(
                "silent", f"{self.url}: unit {request.dev_id} gave no answer in {timeout_s:g} s"
            ) from error
        finally:
            self._asking = False
        self.strays += not self._came_alone(reply)
        return reply

    def _came_alone(self, reply: ModbusPDU) -> bool:
        """Whether all that was heard is this reply, of the length that it states."""
        told = self._heard_last[self._head_bytes : len(self._heard_last) - self._tail_bytes]
        return len(told) == reply_bytes(reply) and states_its_length(told)

    def doubt(self) -> None:
        """Something on the line does not fit; a TCP connection is made anew."""
        if not self.serial:
            self._close()

    async def quiet(self, rest_s: float) -> float:
        """Let late bytes run out: ``rest_s`` with nothing heard, or three times that in all.

        Returns
        -------
        float
            How long that was to take, s; a standstill of the machine is not in it.
        """
        rests = 0
        while self.serial and rests < _MOST_QUIETS:
            rests, before_ns = rests + 1, self._heard_ns
            await asyncio.sleep(rest_s)
            if self._heard_ns == before_ns:
                break
        return rests * rest_s

    def _heard(self, sending: bool, data: bytes) -> bytes:
        if sending:
            self._tap(True, data)
            self._asking = True
            self._tapped_bytes = 0
            return data
        # Told is the whole of what is waiting to be decoded, not only what is new.
        self._tap(False, data[self._tapped_bytes :])
        self._tapped_bytes = len(data)
        self._heard_ns = self._mono_ns()
        if self._asking:
            self._heard_last = data
        else:
            self.strays += 1
        return data

    def _decoded(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        if not sending:
            self._asking = False
            self._tapped_bytes = 0
        return pdu

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


class ModbusBuses:
    """The buses of a station: devices that name the same line share its owner.

    ``tap_of`` gives, for the URL of a bus, what sees all bytes on it.
    """

    def __init__(self, tap_of: Callable[[str], Tap] = lambda _: _no_tap) -> None:
        self._tap_of = tap_of
        self._buses: dict[tuple[str, int], ModbusBus] = {}

    def bus(self, url: str) -> ModbusBus:
        """The bus of a line.

        Raises
        ------
        ValueError
            The URL names no line, or names one with other settings than another device did.
        """
        fresh = ModbusBus(url)
        if fresh.address.line not in self._buses:
            self._buses[fresh.address.line] = ModbusBus(url, tap=self._tap_of(url))
        bus = self._buses[fresh.address.line]
        if bus.address.settings != fresh.address.settings:
            raise ValueError(f"{url}: the same line stands elsewhere as {bus.url}")
        return bus
