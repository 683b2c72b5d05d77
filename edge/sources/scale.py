"""A scale as the station reads it: indicator decoded, load judged, line looked after."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from edge.config import ScaleSection
from edge.errors import ConfigError, DeviceFault, LinkDown, SteelyardError, Text
from edge.health import Health, Level
from edge.records import ScaleReading
from edge.sources.ports import bad_line, link_down
from edge.sources.scale_teller import ScaleTeller
from edge.sources.weigher import Companions, Weigher
from firmware_bridge.indicators.catalogue import BadFormat, Format, format_named
from firmware_bridge.indicators.reading import IndicatorReading
from firmware_bridge.standstill import within
from firmware_bridge.transports import BadLine, PortLost, PortReader, Tap, no_tap

__all__ = ["Companions", "ScaleSource", "scale_format"]

SILENCE_S = 5.0
"""Without a reading for so long the indicator counts as away."""

ANSWER_S = 1.0
"""An indicator that is asked, and does not answer, is asked again after this."""


_INSTEAD = {
    "declined": (
        Text("仪表有应答，但拒绝给出重量", "the indicator answers, but declines to give a weight"),
        Text(
            "看仪表显示：退出菜单或设定状态，排除故障提示",
            "look at the indicator: leave its menu, clear what it complains of",
        ),
    ),
    "foreign": (
        Text("应答的是另一个地址的仪表", "an indicator of another address answers"),
        Text(
            "核对 settings 中的 address 与仪表设置", "check address in settings and in the device"
        ),
    ),
}
"""What an indicator says that is understood and is no reading, and what to do then."""

_OTHER_FORMAT = (
    Text("收到的数据不是所设的格式", "what arrives is not of the format"),
    Text(
        "核对 format、baud、data_bits 和 parity，或运行 steelyard doctor",
        "check format, baud, data_bits and parity, or run steelyard doctor",
    ),
)


class _Question:
    """The one question that may be open: what comes without one answers an older one.

    A reply does not say which question it belongs to. One that comes after its time was up is
    dropped; one that is taken for the answer to the next question makes that one's own the late
    one, so that at most one reading is older than it seems, by one question.
    """

    def __init__(self) -> None:
        self._answered = asyncio.Event()
        self._open = False

    async def answer(self, within_s: float) -> bool:
        """Open the question; whether it was answered in time."""
        self._answered.clear()
        self._open = True
        try:
            await within(within_s, self._answered.wait())
        except TimeoutError:
            return False
        finally:
            self._open = False
        return True

    def take(self, readings: list[IndicatorReading]) -> list[IndicatorReading]:
        """The reading that answers the open question, the newest; none where none is open."""
        if not (self._open and readings):
            return []
        self._open = False
        self._answered.set()
        return readings[-1:]


class ScaleSource:
    """One scale of the station file.

    Parameters
    ----------
    section : ScaleSection
        Its part of the station file.
    health : Health
        Gets the state ``scale.<id>`` and counters and gauges under that name.
    now_ns : callable
        The station's time in nanoseconds; stamps what arrives.
    companions : Companions
        Shared by all scales of the station.
    tap : callable
        Sees all that the line carries.

    Raises
    ------
    ConfigError
        There is no such format, or it has no such setting.
    """

    def __init__(
        self,
        section: ScaleSection,
        health: Health,
        now_ns: Callable[[], int],
        companions: Companions,
        tap: Tap = no_tap,
    ) -> None:
        self._section = section
        self._now_ns = now_ns
        self._tap = tap
        self._name = _name(section)
        self._format = scale_format(section)
        protection = self._format.protection_on(section.data_bits, section.parity)
        self._weigher = Weigher(section, health, companions, protection)
        self._teller = ScaleTeller(section, self._name, self._format)
        self.command = self._teller.command

    async def run(self, deliver: Callable[[ScaleReading], None]) -> None:
        """Deliver readings until cancelled.

        Raises
        ------
        LinkDown
            The port can't be had, broke, or nothing comes.
        DeviceFault
            What comes is not this format.
        ConfigError
            ``url`` of the station file is no line.
        """
        section = self._section
        self._weigher.state(Level.WAITING, Text("正在连接", "connecting"))
        asked = _Question()
        try:
            async with PortReader(
                section.url,
                baud=section.baud,
                name=self._weigher.part,
                now_ns=self._now_ns,
                tap=self._tap,
            ) as port:
                asking = asyncio.create_task(
                    self._ask(port, asked), name=f"{self._weigher.part}.ask"
                )
                try:
                    with self._teller.through(port):
                        await self._listen(port, asked, deliver)
                finally:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
        except PortLost as error:
            raise link_down(self._name, error) from error
        except BadLine as error:
            raise bad_line(self._name, error) from error

    async def _ask(self, port: PortReader, asked: _Question) -> None:
        """Ask an indicator that does not send by itself; one question at a time is open."""
        section = self._section
        request = self._format.request(section.settings, section.data_bits, section.parity)
        while request:
            async with self._teller.turn:
                port.write(request)
                if not await asked.answer(ANSWER_S):
                    self._weigher.count("unanswered")
            await asyncio.sleep(section.poll_s)

    async def _listen(
        self, port: PortReader, asked: _Question, deliver: Callable[[ScaleReading], None]
    ) -> None:
        section, loop = self._section, asyncio.get_running_loop()
        decoder = self._format.make(section.settings, section.data_bits, section.parity)
        counted, heard = Counter[str](), Counter[str]()
        deadline_s = loop.time() + SILENCE_S
        while True:
            try:
                chunk = await within(deadline_s - loop.time(), port.read())
            except TimeoutError:
                raise self._away(heard) from None
            found = decoder.feed(chunk.data)
            readings = asked.take(found) if self._format.ask else found
            self._teller.hear(chunk.data, readings)
            self._weigher.count("unasked", len(found) - len(readings))
            for name, number in (new := decoder.counters - counted).items():
                self._weigher.count(name, number)
            counted = decoder.counters.copy()
            heard += new + Counter(bytes=len(chunk.data))
            if readings:
                deadline_s, heard = loop.time() + SILENCE_S, Counter()
            for reading in readings:
                deliver(self._weigher.take(reading, chunk.received_ns))

    def _away(self, heard: Counter[str]) -> SteelyardError:
        """Why there is no reading, by what came in its place."""
        if not heard:
            return LinkDown(
                f"{self._name.zh}：{SILENCE_S:.0f} 秒没有数据",
                f"{self._name.en}: nothing for {SILENCE_S:.0f} s",
                next_zh="检查仪表电源、串口线和仪表的输出方式",
                next_en="check the indicator's power, the cable and its output mode",
            )
        told = (words for name, words in _INSTEAD.items() if heard[name])
        what, step = next(told, _OTHER_FORMAT)
        return DeviceFault(
            f"{self._name.zh}：{what.zh}（{self._section.format}）",
            f"{self._name.en}: {what.en} ({self._section.format})",
            next_zh=step.zh,
            next_en=step.en,
        )


def scale_format(section: ScaleSection) -> Format:
    """The format of a scale, its settings known to be right.

    Raises
    ------
    ConfigError
        There is no such format, or it has no such setting.
    """
    try:
        found = format_named(section.format)
        found.complete(section.settings)
    except BadFormat as error:
        name = _name(section)
        raise ConfigError(
            f"{name.zh}：format 或 settings 不正确：{error.zh}",
            f"{name.en}: format or settings are wrong: {error}",
            next_zh="按 docs/instruments.md 改正站点文件，然后运行 steelyard check",
            next_en="mend the station file by docs/instruments.md, then run steelyard check",
        ) from error
    return found


def _name(section: ScaleSection) -> Text:
    return Text(f"衡器 {section.id}", f"scale {section.id}")
