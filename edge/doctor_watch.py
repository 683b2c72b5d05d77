"""Follows what was found on the ports: live values as they come, until cancelled.

A line of the running station is still only listened to; a port that is lost is opened again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

from edge.doctor import Look, modbus_url, values_of
from edge.errors import Text
from edge.sources.ports import link_down
from edge.tapping import through_station
from firmware_bridge.following import Follower, follower, question_of
from firmware_bridge.lines import PortLost
from firmware_bridge.modbus import ModbusBuses, ModbusDevice, ModbusLost, load_map
from firmware_bridge.probing import collect
from firmware_bridge.recognising import Live, Speaker
from firmware_bridge.transports import PortReader

__all__ = ["Tell", "watch"]

AGAIN_S = 0.5
"""Between two questions, and before a lost port is tried again."""

_ANSWER_S, _MOST_BYTES = 0.5, 1 << 20

Tell: TypeAlias = Callable[[str, Sequence[Live] | Text], None]
"""Hears a line's url with its newest values, or with why there are none."""


async def watch(looks: Sequence[Look], data_dir: Path | None, tell: Tell) -> None:
    """Follow every speaker, side by side."""
    jobs = (_follow(look, look.speaker, data_dir, tell) for look in looks if look.speaker)
    async with asyncio.TaskGroup() as group:
        for job in [*jobs]:
            group.create_task(job)


async def _follow(look: Look, speaker: Speaker, data_dir: Path | None, tell: Tell) -> None:
    follows = follower(speaker)
    while True:
        try:
            if follows is not None:
                await _bytes(look, speaker, data_dir, follows, tell)
            elif speaker.maps:
                await _registers(look, speaker, tell)
            else:
                return
        except PortLost as error:
            tell(look.url, link_down(Text("连接中断", "lost"), error).what)
        except ModbusLost as error:
            tell(look.url, Text("没有可信的应答", f"no answer that can be trusted: {error}"))
        await asyncio.sleep(AGAIN_S)


async def _bytes(
    look: Look, speaker: Speaker, data_dir: Path | None, follows: Follower, tell: Tell
) -> None:
    if look.held and data_dir:
        pieces = _overheard(data_dir, look.held.part)
    else:
        pieces = _heard(look, speaker)
    async with aclosing(pieces):
        async for data in pieces:
            if live := follows(data):
                tell(look.url, live)


async def _overheard(data_dir: Path, part: str) -> AsyncGenerator[bytes, None]:
    async with aclosing(through_station(data_dir, part)) as pieces:
        async for piece in pieces:
            if piece.kind == "heard":
                yield piece.payload


async def _heard(look: Look, speaker: Speaker) -> AsyncGenerator[bytes, None]:
    """What a port brings; where its speaker waits for a question, it is asked again and again."""
    assert look.finding is not None
    question = question_of(speaker) if look.finding.asked else b""
    async with PortReader(look.url, baud=look.finding.baud or 9_600, name="watch") as port:
        while True:
            if question:
                port.write(question)
            yield await collect(port, AGAIN_S, _MOST_BYTES)


async def _registers(look: Look, speaker: Speaker, tell: Tell) -> None:
    bus, chosen = ModbusBuses().bus(modbus_url(look)), load_map(speaker.maps[0])
    async with ModbusDevice(bus, speaker.unit, chosen, _ANSWER_S) as device:
        while True:
            tell(look.url, values_of(await device.read()))
            await asyncio.sleep(AGAIN_S)
