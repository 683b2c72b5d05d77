"""One digitiser's conversation: frames to events, with every loss found and said.

No port and no clock: bytes and their receive time go in, events come out. Nothing is
interpolated; what is missing stands as ``lost_before`` in front of the next block.

Sequence numbers tell whether a frame is next, old or ahead; the sample counter tells what that
did to the signal. A device that started again is known by another ``boot_id``, or by a counter
that falls back.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from firmware_bridge.device_clock import DeviceClock
from firmware_bridge.stream import (
    MAX_INPUTS,
    Counts,
    Edge,
    Hello,
    Inputs,
    Message,
    Samples,
    Start,
    Status,
    Stop,
    StreamDecoder,
    Time,
    Zero,
    encode,
)
from firmware_bridge.update_messages import Firmware, UpdateWord

OLD_FRAMES = 256
"""A frame so far behind the newest, or less, is a late copy; one further behind is a new count."""

_SEQUENCES = 1 << 32
_HOSTS_WORDS = Start | Stop | Zero | Time | UpdateWord


@dataclass(frozen=True, slots=True)
class HelloSeen:
    """The device named itself; ``first`` if this is a new boot, or the first word of all."""

    hello: Hello
    first: bool


@dataclass(frozen=True, slots=True, eq=False)
class BlockSeen:
    """Samples from ``first_sample`` on, after ``lost_before`` missing ones.

    ``restarted``: the device counts anew, so indices before this block do not compare.
    """

    first_sample: int
    counts: Counts
    lost_before: int
    restarted: bool


@dataclass(frozen=True, slots=True)
class EdgesSeen:
    """Digital inputs changed; comes before the block that holds the edges."""

    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class StatusSeen:
    """The device said how it is."""

    status: Status


@dataclass(frozen=True, slots=True)
class FirmwareSeen:
    """The device said what it runs, and how far it is with an update."""

    firmware: Firmware


Event: TypeAlias = HelloSeen | BlockSeen | EdgesSeen | StatusSeen | FirmwareSeen


class DigitiserSession:
    """The host's side of one digitiser's stream; lives on while the line comes and goes.

    Parameters
    ----------
    device_id : int
        Frames of another device on the same line are counted as ``foreign`` and dropped.
    now_ns : callable
        UTC in nanoseconds; only the greeting asks it.
    hidden_delay_ns : int
        As in `DeviceClock`: the delay that all blocks may share on this line.

    Attributes
    ----------
    hello : Hello or None
        What the device said it is; nothing else of it is taken before.
    clock : DeviceClock
        UTC over the sample counter; its rate is nominal from the first HELLO on.
    """

    def __init__(
        self,
        device_id: int,
        now_ns: Callable[[], int] = time.time_ns,
        hidden_delay_ns: int = 0,
    ) -> None:
        self._device_id = device_id
        self._now_ns = now_ns
        self._hidden_delay_ns = hidden_delay_ns
        self._decoder = StreamDecoder()
        self._counted: Counter[str] = Counter()
        self._sent = 0
        self._sequence = 0
        self._end_sample: int | None = None
        self._restarted = False
        self._inputs_mask = 0
        self.hello: Hello | None = None
        self.clock = DeviceClock(1.0, hidden_delay_ns)

    @property
    def counters(self) -> dict[str, int]:
        """All that was counted: the decoder's counters and these.

        ``foreign`` (another device, or a host's word), ``unannounced`` (before any HELLO),
        ``duplicates``, ``reordered`` (old frames, dropped), ``lost_frames``, ``lost_samples``,
        ``misshapen`` (another number of channels than HELLO says), ``inputs_mended`` (edges that
        only STATUS told), ``restarts``, ``clock_steps``.
        """
        return {**self._decoder.counters, **self._counted, "clock_steps": self.clock.steps}

    def greeting(self) -> bytes:
        """What the host says when the line opens, or when the device began anew: TIME, START."""
        sequence, self._sent = self._sent, self._sent + 2
        told = Time(self._device_id, sequence % _SEQUENCES, 0, self._now_ns())
        return encode(told) + encode(Start(self._device_id, (sequence + 1) % _SEQUENCES, 0))

    def say(self, word: UpdateWord) -> bytes:
        """A word about an update, as the next frame to this device."""
        sequence, self._sent = self._sent, self._sent + 1
        return encode(replace(word, device_id=self._device_id, sequence=sequence % _SEQUENCES))

    def receive(self, data: bytes, received_ns: int) -> list[Event]:
        """The events in these bytes, received at ``received_ns`` UTC. Never raises."""
        events: list[Event] = []
        for message in self._decoder.feed(data):
            events += self._events(message)
        if any(isinstance(event, BlockSeen) for event in events) and self._end_sample is not None:
            # All came at one moment, so the newest is the one that was late the least.
            self.clock.observe(self._end_sample, received_ns)
        return events

    def _events(self, message: Message) -> list[Event]:
        if message.device_id != self._device_id or isinstance(message, _HOSTS_WORDS):
            return self._drop("foreign", _frames(message))
        if isinstance(message, Hello) and not _same_device(message, self.hello):
            return [self._first_hello(message)]
        if self.hello is None:
            return self._drop("unannounced", _frames(message))
        if isinstance(message, Samples):
            return self._blocks(message, self.hello.channels)
        if not self._advances(message.sequence):
            return []
        match message:
            case Inputs():
                return [self._edges(message.edges)]
            case Status():
                return self._status(message)
            case Hello():
                return [HelloSeen(message, first=False)]
            case Firmware():
                return [FirmwareSeen(message)]

    def _drop(self, why: str, frames: int = 1) -> list[Event]:
        self._counted[why] += frames
        return []

    def _first_hello(self, hello: Hello) -> HelloSeen:
        if self.hello is not None:
            self._restart()
        if self.hello is None or hello.rate_hz != self.hello.rate_hz:
            self.clock = DeviceClock(hello.rate_hz, self._hidden_delay_ns)
        self.hello = hello
        self._sequence = hello.sequence
        return HelloSeen(hello, first=True)

    def _restart(self) -> None:
        self._counted["restarts"] += 1
        self._restarted = True
        self._end_sample = None
        self._inputs_mask = 0
        self.clock.restart()

    def _behind(self, sequence: int) -> int:
        return (self._sequence - sequence) % _SEQUENCES

    def _advances(self, sequence: int) -> bool:
        behind = self._behind(sequence)
        if behind <= OLD_FRAMES:
            self._drop("reordered" if behind else "duplicates")
            return False
        ahead = _SEQUENCES - behind
        if ahead < _SEQUENCES // 2:
            self._counted["lost_frames"] += ahead - 1
        else:
            self._restart()
        self._sequence = sequence
        return True

    def _blocks(self, block: Samples, channels: int) -> list[Event]:
        if block.frames > 1 and self._behind(block.sequence) <= OLD_FRAMES:
            # Joined frames that begin with an old one may end with new ones.
            return [event for one in block.apart() for event in self._blocks(one, channels)]
        if not self._advances(block.sequence):
            return []
        self._sequence = (block.sequence + block.frames - 1) % _SEQUENCES
        if block.counts.shape[1] != channels:
            return self._drop("misshapen", block.frames)
        return [self._block(block)]

    def _block(self, block: Samples) -> BlockSeen:
        # Sequence moved on but the counter fell back: whatever the device did, it counts anew.
        if self._end_sample is not None and block.sample < self._end_sample:
            self._restart()
        lost = 0 if self._end_sample is None else block.sample - self._end_sample
        self._counted["lost_samples"] += lost
        restarted, self._restarted = self._restarted, False
        self._end_sample = block.sample + len(block.counts)
        return BlockSeen(block.sample, block.counts, lost, restarted)

    def _edges(self, edges: tuple[Edge, ...]) -> EdgesSeen:
        for _, number, active in edges:
            bit = 1 << number
            self._inputs_mask = self._inputs_mask | bit if active else self._inputs_mask & ~bit
        return EdgesSeen(edges)

    def _status(self, status: Status) -> list[Event]:
        # An INPUTS frame that was lost would leave an input standing wrong for ever.
        wrong = self._inputs_mask ^ status.inputs_mask
        if not wrong:
            return [StatusSeen(status)]
        numbers = [number for number in range(MAX_INPUTS) if wrong >> number & 1]
        self._counted["inputs_mended"] += len(numbers)
        told = tuple((status.sample, i, bool(status.inputs_mask >> i & 1)) for i in numbers)
        return [self._edges(told), StatusSeen(status)]


def _frames(message: Message) -> int:
    return message.frames if isinstance(message, Samples) else 1


def _same_device(hello: Hello, known: Hello | None) -> bool:
    return known is not None and _identity(hello) == _identity(known)


def _identity(hello: Hello) -> tuple[object, ...]:
    """All that stays the same until a device starts anew."""
    names = hello.serial, hello.model, hello.firmware
    return *names, hello.channels, hello.rate_hz, hello.newton_per_count, hello.boot_id
