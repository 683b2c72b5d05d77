"""Simulated devices side by side on ptys and TCP, ticked in one task."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

from firmware_bridge.anpr import PlateFrame, encode_plate
from firmware_bridge.stream import Hello, Message, StreamDecoder, encode
from simulator.indicators import Settings
from simulator.lines import Line, PtyLine
from simulator.scales import IndicatorDevice, SimPlatform

Tick = Callable[[float], None]


class LineUp:
    """Devices that live while the context is open."""

    def __init__(self) -> None:
        self._ticks: list[Tick] = []
        self._lines: list[Line] = []
        self.platforms: dict[str, SimPlatform] = {}
        self.commands: list[Message] = []
        """What digitisers were told."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="line-up")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        for line in self._lines:
            line.unplug()
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        while True:
            for tick in self._ticks:
                tick(time.monotonic())
            await asyncio.sleep(0.005)

    def silent(self) -> str:
        """A port on which nobody lives."""
        line = PtyLine()
        self._lines.append(line)
        return line.url

    def indicator(
        self,
        line: Line,
        form: str,
        settings: Settings,
        *,
        load_kg: float,
        request: bytes = b"",
        parity: str = "none",
    ) -> str:
        """An indicator with a load at rest; `platforms` tells where to put another one."""
        platform = self.platforms[line.url] = SimPlatform(load_kg=load_kg)
        platform._start_kg = load_kg
        device = IndicatorDevice(
            form, settings, platform, line, request=request, parity=parity, rate_hz=20
        )
        return self._add(line, device.tick)

    def digitiser(self, line: Line) -> str:
        """A digitiser that waits for START, as they do: it says HELLO every second."""
        decoder, state = StreamDecoder(), {"hello_s": 0.0, "sequence": 0}

        def tick(time_s: float) -> None:
            self.commands += decoder.feed(line.read())
            if time_s >= state["hello_s"]:
                told = ("S-77", "LC8", "1.4", 4, 4_000.0, 0.01, 5)
                hello = encode(Hello(9, int(state["sequence"]), 0, *told))
                if line.send(hello):
                    state["sequence"] += 1
                    state["hello_s"] = time_s + 1.0

        return self._add(line, tick)

    def camera(self, line: Line) -> str:
        """A plate camera with a vehicle every 0.3 s."""
        state = {"next_s": 0.0, "sequence": 0}

        def tick(time_s: float) -> None:
            line.read()
            if time_s >= state["next_s"]:
                state["sequence"] += 1
                number = int(state["sequence"])
                told = ("1", "云A12345", "yellow", 0.97, "toward", time.time_ns(), "")
                line.send(encode_plate(PlateFrame(number, *told)))
                state["next_s"] = time_s + 0.3

        return self._add(line, tick)

    def answering(self, line: Line, answer: Callable[[bytes], bytes]) -> str:
        """A device that answers each question at once."""

        def tick(_: float) -> None:
            if heard := line.read():
                line.send(answer(heard))

        return self._add(line, tick)

    def _add(self, line: Line, tick: Tick) -> str:
        self._lines.append(line)
        self._ticks.append(tick)
        return line.url
