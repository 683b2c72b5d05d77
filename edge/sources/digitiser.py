"""A digitiser as the station reads it: blocks, edges and hellos, with its state in health.

The session outlives the line: after a cable was pulled and put back, the samples missing between
are known to the last one, because the device went on counting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TypeAlias

from edge.config import DigitiserSection
from edge.errors import DeviceFault, LinkDown, SteelyardError, Text
from edge.health import Health, Level
from edge.records import ClockReading, InputEdge, SampleBlock
from edge.sources.ports import DeviceHello, ProgramKeeper, SourceItem, bad_line, link_down
from firmware_bridge.session import (
    BlockSeen,
    DigitiserSession,
    EdgesSeen,
    Event,
    HelloSeen,
    StatusSeen,
)
from firmware_bridge.standstill import within
from firmware_bridge.stream import Hello, Status
from firmware_bridge.transports import BadLine, PortLost, PortReader, Tap, no_tap

SILENCE_S = 3.0
"""Without samples for so long the line is opened anew and the device greeted again."""

HIDDEN_DELAY_NS = 27_000_000
"""Delay that all blocks may share, which no receive time can show: a block of 976 bytes takes
10.6 ms at 921 600 Bd (8N1), and a USB adapter holds bytes for up to 16 ms (FTDI's default)."""

Deliver: TypeAlias = Callable[[SourceItem], None]


class DigitiserSource:
    """One digitiser of the station file.

    Parameters
    ----------
    section : DigitiserSection
        Its part of the station file.
    health : Health
        Gets the state ``digitiser.<id>`` and counters and gauges under that name.
    now_ns : callable
        UTC in nanoseconds; stamps what arrives.
    tap : callable
        Sees all that the line carries.
    keeper : ProgramKeeper, optional
        Hears what the device says, and may have words for it about its program.
    """

    def __init__(
        self,
        section: DigitiserSection,
        health: Health,
        now_ns: Callable[[], int],
        tap: Tap = no_tap,
        keeper: ProgramKeeper | None = None,
    ) -> None:
        self._keeper = keeper
        self._section = section
        self._health = health
        self._now_ns = now_ns
        self._tap = tap
        self._part = f"digitiser.{section.id}"
        self._name = Text(f"数字化仪 {section.id}", f"digitiser {section.id}")
        self._heard_bytes = 0
        self._new_session()
        self._state(Level.WAITING, "等待连接", "waiting for the line")

    def _new_session(self) -> None:
        self._session = DigitiserSession(self._section.device_id, self._now_ns, HIDDEN_DELAY_NS)
        self._counted: Counter[str] = Counter()

    def clock(self) -> ClockReading:
        """How the device's sample counter maps to UTC at this moment."""
        return ClockReading(**asdict(self._session.clock.reading()))

    async def run(self, deliver: Deliver) -> None:
        """Deliver what the device says until cancelled.

        Raises
        ------
        LinkDown
            The port can't be had, or broke, or brings no bytes.
        DeviceFault
            Bytes come, but not what was agreed.
        ConfigError
            ``url`` of the station file is no line.
        """
        section = self._section
        self._receiving = False
        try:
            async with PortReader(
                section.url,
                baud=section.baud,
                name=self._part,
                now_ns=self._now_ns,
                tap=self._tap,
            ) as port:
                await self._listen(port, deliver)
        except PortLost as error:
            raise link_down(self._name, error) from error
        except BadLine as error:
            raise bad_line(self._name, error) from error

    async def _listen(self, port: PortReader, deliver: Deliver) -> None:
        before, self._heard_bytes = self._session.counters, 0
        self._counted["overflows"] = 0
        port.write(self._session.greeting())
        while True:
            try:
                await within(SILENCE_S, self._hear(port, deliver))
            except TimeoutError:
                raise self._silence(before) from None

    async def _hear(self, port: PortReader, deliver: Deliver) -> None:
        """Take what comes until there are samples in it, or the keeper has words for it."""
        while True:
            chunk = await port.read()
            self._heard_bytes += len(chunk.data)
            events = self._session.receive(chunk.data, chunk.received_ns)
            had_words = self._keep(events, port)
            for event in events:
                self._take(event, port, deliver)
            self._count(len(chunk.data), port.overflows)
            if had_words or any(isinstance(event, BlockSeen) for event in events):
                return

    def _keep(self, events: Sequence[Event], port: PortReader) -> bool:
        """Let the keeper hear them first, for a changed device must not weigh before he knows;
        true if he had words, which a device without samples may be busy with."""
        words = self._keeper.hear(events) if self._keeper else ()
        for word in words:
            port.write(self._session.say(word))
        return bool(words)

    def _take(self, event: Event, port: PortReader, deliver: Deliver) -> None:
        match event:
            case HelloSeen(hello, first):
                self._check(hello)
                if first:
                    deliver(self._hello(hello))
                    # A device that started anew waits for START; one too many does no harm.
                    port.write(self._session.greeting())
            case EdgesSeen(edges):
                for sample, number, active in edges:
                    deliver(InputEdge(self._section.id, sample, number, active))
            case BlockSeen():
                deliver(self._block(event))
            case StatusSeen(status):
                self._status(status)

    def _check(self, hello: Hello) -> None:
        wanted = len(self._section.channels)
        if hello.channels == wanted:
            return
        self._new_session()
        raise DeviceFault(
            f"{self._name.zh}：设备有 {hello.channels} 个通道，站点文件写了 {wanted} 个",
            f"{self._name.en}: the device has {hello.channels} channels, "
            f"the station file names {wanted}",
            next_zh="改正站点文件的 channels，或更换设备",
            next_en="mend channels in the station file, or change the device",
        )

    def _hello(self, hello: Hello) -> DeviceHello:
        return DeviceHello(
            self._section.id,
            hello.serial,
            hello.model,
            hello.firmware,
            hello.rate_hz,
            hello.newton_per_count,
            hello.channels,
        )

    def _block(self, block: BlockSeen) -> SampleBlock:
        hello = self._session.hello
        assert hello is not None, "the session gives no block before a hello"
        if not self._receiving:
            self._receiving = True
            self._state(Level.OK, "正在接收", "receiving")
        return SampleBlock(
            self._section.id,
            block.first_sample,
            block.counts,
            hello.rate_hz,
            block.lost_before,
            block.restarted,
        )

    def _status(self, status: Status) -> None:
        clock = self._session.clock.reading()
        gauges = {
            "temperature_c": status.temperature_c,
            "supply_v": status.supply_v,
            "device_lost_samples": status.lost_samples,
            "clock_rate_error_ppm": clock.rate_error_ppm,
            "clock_bound_ms": clock.bound_ns / 1e6,
        }
        for name, value in gauges.items():
            self._health.gauge(f"{self._part}.{name}", value)
        if not self._receiving:
            return
        names = [
            name
            for bit, name in enumerate(self._section.channels)
            if status.saturated_mask >> bit & 1
        ]
        if names:
            channels = ", ".join(names)
            self._state(Level.WARNING, f"通道饱和：{channels}", f"saturated channels: {channels}")
        else:
            self._state(Level.OK, "正在接收", "receiving")

    def _count(self, n_bytes: int, overflows: int) -> None:
        self._health.count(f"{self._part}.bytes", n_bytes)
        for name, total in {**self._session.counters, "overflows": overflows}.items():
            if total > self._counted[name]:
                self._health.count(f"{self._part}.{name}", total - self._counted[name])
                self._counted[name] = total

    def _state(self, level: Level, zh: str, en: str) -> None:
        self._health.state(self._part, level, zh, en)

    def _silence(self, before: dict[str, int]) -> SteelyardError:
        """Why no samples came, as far as the bytes that did come can tell."""
        after = self._session.counters
        grew = {name for name, total in after.items() if total > before.get(name, 0)}
        grew |= {"bytes"} if self._heard_bytes else set()
        kind, what, step = next(row[1:] for row in _SILENCES if row[0] in grew | {""})
        return kind(
            f"{self._name.zh}：{what.zh}",
            f"{self._name.en}: {what.en}",
            next_zh=step.zh,
            next_en=step.en,
        )


# What grew while no samples came, the most telling first; the last row always fits.
_SILENCES: tuple[tuple[str, type[SteelyardError], Text, Text], ...] = (
    (
        "foreign",
        DeviceFault,
        Text("线路上是另一个编号的设备", "a device with another number is on the line"),
        Text(
            "核对站点文件的 device_id 和接线",
            "check device_id in the station file, and the wiring",
        ),
    ),
    (
        "unknown",
        DeviceFault,
        Text("设备使用另一版本的协议", "the device speaks another version of the protocol"),
        Text(
            "更新设备固件或本程序",
            "bring the device's firmware or this program up to date",
        ),
    ),
    (
        "frames",
        DeviceFault,
        Text("设备有应答，但不发送采样", "the device answers, but sends no samples"),
        Text(
            "重新启动设备；若再次出现，请联系设备维护人员",
            "restart the device; if it comes again, call its maintainer",
        ),
    ),
    (
        "bytes",
        LinkDown,
        Text("收到的数据无法识别", "what arrives is not the digitiser's stream"),
        Text(
            "核对 baud、接线和设备型号",
            "check baud, the wiring, and that it is the right device",
        ),
    ),
    (
        "",
        LinkDown,
        Text("端口已打开，但收不到数据", "the port is open, but nothing is heard"),
        Text("检查设备电源和线缆", "check the device's power and cable"),
    ),
)
