"""Tells a weighing indicator to zero or tare, once, and sees that it is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from edge.config import ScaleSection
from edge.errors import DeviceFault, InputError, LinkDown, Text
from firmware_bridge.indicators.catalogue import Format
from firmware_bridge.indicators.orders import Order
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.transports import PortReader

__all__ = ["ScaleTeller"]

ORDER_S = 3.0
"""An indicator waits for rest before it obeys; shorter than the silence after which it is away."""

_LOOK = {"next_zh": "看仪表显示再决定", "next_en": "look at its display before anything else"}


class ScaleTeller:
    """What one scale of the station file can be told.

    Parameters
    ----------
    section : ScaleSection
        Its part of the station file.
    name : Text
        What people call it.
    row : Format
        What its indicator speaks.

    Attributes
    ----------
    turn : asyncio.Lock
        Held while a question or an order is unanswered.
    """

    def __init__(self, section: ScaleSection, name: Text, row: Format) -> None:
        self._section, self._name, self._row = section, name, row
        self._port: PortReader | None = None
        self._order: Order | None = None
        self._news = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self.turn = asyncio.Lock()

    @contextlib.contextmanager
    def through(self, port: PortReader) -> Iterator[None]:
        """Use a port while it is open."""
        self._port = port
        try:
            yield
        finally:
            self._port = None

    def hear(self, data: bytes, readings: Sequence[IndicatorReading]) -> None:
        """What the line brought, and the readings in it."""
        if self._order:
            self._order.hear(data, readings)
            self._news.set()

    async def command(self, name: str) -> None:
        """Have the indicator do something (``zero``, ``tare``, ``clear_tare``).

        Raises
        ------
        InputError
            Its format has no such order.
        LinkDown
            Its line is not open.
        DeviceFault
            It refuses, or does not show that it is done.
        """
        section, known = self._section, self._row.orders_with(self._section.settings)
        if name not in known:
            raise InputError(
                f"{self._name.zh}（{section.format}）：没有命令 {name}",
                f"{self._name.en} ({section.format}) has no command {name}",
                next_zh=f"可用：{'、'.join(known) or '无，请用仪表按键'}",
                next_en=f"it has: {', '.join(known) or 'none, use its keys'}",
            )
        async with self._one_at_a_time:
            bits = section.data_bits, section.parity
            self._order = self._row.order(name, section.division_kg, *bits)
            try:
                await self._obeyed(self._order, name)
            finally:
                self._order = None

    async def _obeyed(self, order: Order, name: str) -> None:
        try:
            async with asyncio.timeout(ORDER_S):
                async with self.turn:
                    self._send(order, name)
                    while order.state == "sent":
                        await self._next()
                while order.state == "taken":
                    await self._next()
        except TimeoutError as error:
            raise DeviceFault(
                f"{self._name.zh}：没有证实 {name} 已完成",
                f"{self._name.en}: nothing proves that {name} is done",
                **_LOOK,
            ) from error
        if order.state == "refused":
            raise DeviceFault(
                f"{self._name.zh}：仪表拒绝 {name}",
                f"{self._name.en}: the indicator refuses {name}",
                **_LOOK,
            )

    def _send(self, order: Order, name: str) -> None:
        if self._port is None:
            raise LinkDown(
                f"{self._name.zh}：线路未连接，没有下达 {name}",
                f"{self._name.en}: its line is not open, {name} was not sent",
                next_zh="先恢复连接，再下命令",
                next_en="mend the line, then order it again",
            )
        self._port.write(order.request)

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()
