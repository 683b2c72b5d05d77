"""The firmware of a simulated digitiser: what it does with the host's commands and its samples.

It starts and stops on command, says HELLO and STATUS every second, sends edges before the samples
they lie in, and counts what the line did not take: the sample counter then shows the hole. Before
the program stands a loader (``firmware_update``), which takes new programs and answers for the
running one.
"""

from __future__ import annotations

import numpy as np

from edge.config import DigitiserSection
from edge.evidence.keys import ED25519, decode_key
from edge.records import ADC_FULL_SCALE, Int32s
from firmware_bridge import stream
from firmware_bridge.update_messages import HEAD_BYTES, UpdateWord
from simulator import firmware_maker, seeds
from simulator.firmware_flash import Flash
from simulator.firmware_slots import Slots
from simulator.firmware_update import Loader
from simulator.lines import Line
from simulator.planned_faults import spoil_frame
from simulator.world import World

BLOCK_S = 0.02
_SECOND_S = 1.0
_EDGES_KEPT = 256
_ABOVE_ROAD_K = 9.0
"""A digitiser is warmer than the road: it sits in a closed box."""
_SUPPLY_V = 24.1
_FLASH_BLOCK_BYTES, _FLASH_BLOCKS = 1_024, 256
_CRASH_S = 1.0
"""A program that crashes does so this long after its start."""


class DigitiserDevice:
    """One digitiser on its line; it sends blocks of ``block_s``."""

    def __init__(
        self, section: DigitiserSection, world: World, line: Line, block_s: float = BLOCK_S
    ) -> None:
        self._id, self._world, self._line = section.device_id, world, line
        self._block_s = block_s
        self._digitiser = world.digitiser(section.id)
        self._chance = seeds.stream(world.seed, "line", section.id)
        self._faults = [fault for fault in world.scenario.fault if fault.device == section.id]
        self._restarts_s = sorted(f.from_s for f in self._faults if f.kind == "restart")
        self._clock_s = 0.0
        self._slots = _factory_new(section)
        self._power_up(0)

    def _power_up(self, at_sample: int) -> None:
        """Everything that a restart forgets; the counter begins at zero."""
        self._base = self._next = at_sample
        self._boot_id = int(self._chance.integers(1 << 32))
        self._decoder = stream.StreamDecoder()
        self._sequence = self._lost = self._saturated = self._inputs = 0
        self._edges: list[stream.Edge] = []
        self._zero = np.zeros(len(self._digitiser.channels), np.int32)
        self._level = np.zeros(len(self._digitiser.channels), np.int32)
        self._greet_s = 0.0
        self.started = False
        self._started_s = self._clock_s
        self._loader = Loader(self._slots, lambda: self._clock_s)
        image = self._loader.image
        self._behaviour = firmware_maker.behaviour_of(image[HEAD_BYTES:]) if image else "no-samples"

    def tick(self, time_s: float, clock_s: float) -> None:
        """Do what is due at ``time_s`` of the world; ``clock_s`` paces HELLO and STATUS."""
        self._clock_s = clock_s
        self._meddle(time_s)
        due = int(time_s * self._digitiser.true_rate_hz)
        self._load(due)
        heard = self._decoder.feed(self._line.read())
        if self._behaviour == "mute":
            return
        for message in heard:
            self._obey(message, due)
        if clock_s >= self._greet_s:
            self._greet(time_s, clock_s)
        if self.started and self._behaviour != "no-samples":
            self._stream(due)

    def _load(self, due: int) -> None:
        """What the loader's clock does: programs on trial go, and those that crash."""
        self._loader.tick()
        crashes = self._behaviour == "crashes" and self._clock_s - self._started_s >= _CRASH_S
        if self._loader.restarts or crashes:
            self._power_up(due)

    def _greet(self, time_s: float, clock_s: float) -> None:
        """HELLO and STATUS; edges that still wait go first, for STATUS tells their outcome."""
        self._send_edges([])
        if not self._edges and self._send(self._hello()):
            self._greet_s = clock_s + _SECOND_S
            self._send(self._loader.report(*self._header()))
            self._send(self._status(time_s))

    def _meddle(self, time_s: float) -> None:
        if any(fault.kind == "cut" and fault.holds(time_s) for fault in self._faults):
            self._line.unplug()
        else:
            self._line.plug()
        while self._restarts_s and self._restarts_s[0] <= time_s:
            self._restarts_s.pop(0)
            self._power_up(int(time_s * self._digitiser.true_rate_hz))

    def _obey(self, message: stream.Message, due: int) -> None:
        if isinstance(message, stream.Start):
            self._next = self._next if self.started else due
            self.started = True
            self._greet_s = 0.0
        elif isinstance(message, stream.Stop):
            self.started = False
        elif isinstance(message, stream.Zero):
            mask = (message.channel_mask >> np.arange(len(self._zero))) & 1
            self._zero = np.where(mask, self._level, self._zero).astype(np.int32)
        elif isinstance(message, UpdateWord) and message.device_id == self._id:
            self._loader.obey(message)
            self._send(self._loader.report(*self._header()))

    def _stream(self, due: int) -> None:
        """Send the samples up to ``due`` in blocks, the edges of each before it."""
        step = max(round(self._block_s * self._digitiser.rate_hz), 1)
        while self._next + step <= due:
            first, self._next = self._next, self._next + step
            self._send_edges(self._digitiser.edges(first, self._next))
            raw = self._digitiser.block(first, step)
            self._level = raw.mean(axis=0).astype(np.int32)
            counts = np.clip(raw - self._zero, -ADC_FULL_SCALE - 1, ADC_FULL_SCALE)
            self._saturated = _mask(np.abs(raw).max(axis=0) >= ADC_FULL_SCALE)
            if not self._send(self._samples(first, counts)):
                self._lost += step

    def _send_edges(self, edges: list[stream.Edge]) -> None:
        """Edges that the line did not take wait for the next block."""
        for _, number, active in edges:
            bit = 1 << number
            self._inputs = self._inputs | bit if active else self._inputs & ~bit
        self._edges += [(sample - self._base, number, active) for sample, number, active in edges]
        del self._edges[:-_EDGES_KEPT]
        if self._edges and self._send(
            stream.Inputs(self._id, self._sequence, self._edges[0][0], tuple(self._edges))
        ):
            self._edges.clear()

    def _send(self, message: stream.Message) -> bool:
        """One frame, spoilt by what the line suffers; false if the line was full or away."""
        frame = stream.encode(message)
        time_s = self._digitiser.time_s(self._next)
        if not self._line.send(spoil_frame(frame, self._faults, time_s, self._chance)):
            return False
        self._sequence = (self._sequence + 1) & 0xFFFF_FFFF
        return True

    def _samples(self, first: int, counts: Int32s) -> stream.Samples:
        return stream.Samples(self._id, self._sequence, first - self._base, counts)

    def _header(self) -> tuple[int, int, int]:
        return self._id, self._sequence, self._next - self._base

    def _hello(self) -> stream.Hello:
        digitiser, about = self._digitiser, self._loader.about
        return stream.Hello(
            *self._header(),
            f"SIM-{digitiser.device}",
            "steelyard-simulator",
            about.version if about else "loader",
            len(digitiser.channels),
            digitiser.rate_hz,
            digitiser.newton_per_count,
            self._boot_id,
        )

    def _status(self, time_s: float) -> stream.Status:
        return stream.Status(
            *self._header(),
            self._world.temperature_c(time_s) + _ABOVE_ROAD_K,
            _SUPPLY_V,
            self._saturated,
            self._lost,
            self._inputs,
        )


def _factory_new(section: DigitiserSection) -> Slots:
    """Flash with the factory's program; images of the station's own keys are taken as well."""
    keys = [decode_key(key, ED25519, 32)[1] for key in section.firmware_keys]
    size = Slots.flash_bytes(_FLASH_BLOCK_BYTES, _FLASH_BLOCKS)
    slots = Slots(
        Flash(size),
        _FLASH_BLOCK_BYTES,
        _FLASH_BLOCKS,
        firmware_maker.HARDWARE,
        [firmware_maker.PUBLIC, *keys],
    )
    slots.install(firmware_maker.make_image())
    return slots


def _mask(channels: np.ndarray) -> int:
    return sum(1 << int(channel) for channel in np.flatnonzero(channels))
