"""Gathers what comes in swarms: outages of a device that comes and goes, holes in its samples.

Pure: clocks are handed in. A fault is said at once. That it is over is said when it has been over
for a while, with how often and for how long it was there; a device that never comes to rest is
mentioned once an hour. So the log tells of every outage and cannot be flooded by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge.errors import Text
from edge.health import Level
from edge.records import SampleBlock

__all__ = ["DeviceEvent", "Gap", "Gaps", "Outages"]

SETTLED_NS = 10_000_000_000
"""A device that has worked for so long works again."""

MENTION_NS = 3_600_000_000_000
"""One that comes and goes for longer is mentioned at this distance."""

QUIET_NS = 2_000_000_000
LONGEST_NS = 60_000_000_000
"""Holes closer than the first belong together, for no longer than the second."""

_SEVERITY = {Level.OK: 0, Level.WARNING: 1, Level.DOWN: 2}


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """What is to be said of a device: ``fault``, ``recovered`` or ``flapping``."""

    part: str
    event: str
    level: Level
    text: Text
    outages: int
    bad_ns: int
    mono_ns: int
    """When it happened."""


@dataclass(slots=True)
class _Course:
    """What a device did since it last worked for good."""

    said: Level
    said_ns: int
    now: Level
    since_ns: int
    text: Text
    outages: int = 0
    said_outages: int = 0
    bad_ns: int = 0

    def bad_until(self, mono_ns: int) -> int:
        """For how long it did not work, all in all."""
        return self.bad_ns + (mono_ns - self.since_ns if self.now is not Level.OK else 0)

    def say(self, part: str, event: str, mono_ns: int, at_ns: int) -> DeviceEvent:
        self.said, self.said_ns, self.said_outages = self.now, mono_ns, self.outages
        bad_ns = self.bad_until(mono_ns)
        return DeviceEvent(part, event, self.now, self.text, self.outages, bad_ns, at_ns)


class Outages:
    """Levels of parts in, events worth a statement out."""

    def __init__(self) -> None:
        self._courses: dict[str, _Course] = {}

    def hear(self, part: str, level: Level, text: Text, mono_ns: int) -> Iterator[DeviceEvent]:
        """A part changed its level; that it waits says nothing about it."""
        if level not in _SEVERITY:
            return
        course = self._courses.get(part)
        if course is None:
            if level is Level.OK:
                return
            course = self._courses[part] = _Course(Level.OK, mono_ns, Level.OK, mono_ns, text)
        course.bad_ns = course.bad_until(mono_ns)
        course.outages += course.now is Level.OK and level is not Level.OK
        course.now, course.since_ns, course.text = level, mono_ns, text
        if _SEVERITY[level] > _SEVERITY[course.said]:
            yield course.say(part, "fault", mono_ns, mono_ns)

    def due(self, mono_ns: int) -> Iterator[DeviceEvent]:
        """What time alone has made worth saying."""
        for part, course in list(self._courses.items()):
            better = _SEVERITY[course.now] < _SEVERITY[course.said]
            if better and mono_ns - course.since_ns >= SETTLED_NS:
                yield course.say(part, "recovered", mono_ns, course.since_ns)
                if course.now is Level.OK:
                    del self._courses[part]
            elif course.outages > course.said_outages and mono_ns - course.said_ns >= MENTION_NS:
                said = course.said
                yield course.say(part, "flapping", mono_ns, mono_ns)
                course.said = max(said, course.now, key=_SEVERITY.__getitem__)


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples of one device that never came, in one hole or in several close together."""

    device: str
    first_sample: int
    end_sample: int
    lost: int
    gaps: int
    restarted: bool
    mono_ns: int
    """When the first hole was seen."""
    latest_ns: int


class Gaps:
    """Blocks with something missing before them in, gaps worth a statement out."""

    def __init__(self) -> None:
        self._open: dict[str, Gap] = {}

    def take(self, block: SampleBlock, mono_ns: int) -> Iterator[Gap]:
        """A block that does not continue the one before; a new count ends what was gathered."""
        known = self._open.get(block.device)
        if block.restarted and known:
            yield self._open.pop(block.device)
            known = None
        end = block.first_sample
        if known is None:
            self._open[block.device] = Gap(
                block.device,
                end - block.lost_before,
                end,
                block.lost_before,
                1,
                block.restarted,
                mono_ns,
                mono_ns,
            )
            return
        self._open[block.device] = replace(
            known,
            end_sample=end,
            lost=known.lost + block.lost_before,
            gaps=known.gaps + 1,
            latest_ns=mono_ns,
        )

    def due(self, mono_ns: int, *, all_of_them: bool = False) -> Iterator[Gap]:
        """Gaps to which nothing was added for a while, or that have grown long."""
        for device, gap in list(self._open.items()):
            quiet = mono_ns - gap.latest_ns >= QUIET_NS
            if all_of_them or quiet or mono_ns - gap.mono_ns >= LONGEST_NS:
                yield self._open.pop(device)
