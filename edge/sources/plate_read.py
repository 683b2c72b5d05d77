"""From a frame of a plate camera to a reading on the station's clock, live and in replay."""

from __future__ import annotations

from collections import deque

from edge.records import PlateRead
from firmware_bridge.anpr import PlateFrame
from firmware_bridge.plate_grammar import grammar_of, normalised, serial_candidate
from firmware_bridge.plate_rules import candidates, doubts

CLOCK_WARNING_NS = 2_000_000_000
"""A camera clock further off than this is reported."""

_STEP_NS = 2_000_000_000
_WINDOW = 8
_AGREEING = 3


class CameraClock:
    """Offset of a camera's clock by its least delayed readings.

    Receive time minus camera time is offset plus delay, and a delay is never negative: the least
    of the last eight is the offset plus the shortest delay. That shortest delay cannot be told
    from an offset, so corrected times are late by it. A reading more than 2 s off the rest is
    delayed, or the clock was set: its time is unknown until three in a row agree.
    """

    def __init__(self) -> None:
        self._differences_ns: deque[int] = deque(maxlen=_WINDOW)
        self._odd_ns: list[int] = []

    @property
    def offset_ns(self) -> int:
        """What is to be added to the camera's time; 0 before the first reading."""
        return min(self._differences_ns, default=0)

    def station_ns(self, camera_time_ns: int, received_ns: int) -> int | None:
        """The moment of the picture on the station's clock; None where it cannot be told."""
        difference_ns = received_ns - camera_time_ns
        if not self._differences_ns or abs(difference_ns - self.offset_ns) <= _STEP_NS:
            self._odd_ns.clear()
            self._differences_ns.append(difference_ns)
        elif not self._agreed(difference_ns):
            return None
        return camera_time_ns + self.offset_ns

    def _agreed(self, difference_ns: int) -> bool:
        """Begin anew once as many readings in a row as needed agree on another offset."""
        if self._odd_ns and abs(difference_ns - self._odd_ns[-1]) > _STEP_NS:
            self._odd_ns.clear()
        self._odd_ns.append(difference_ns)
        if len(self._odd_ns) < _AGREEING:
            return False
        self._differences_ns = deque(self._odd_ns, maxlen=_WINDOW)
        self._odd_ns = []
        return True


def plate_read(
    frame: PlateFrame, camera: str, received_ns: int, time_ns: int, country: str = "cn"
) -> PlateRead:
    """A reading without its picture.

    ``raw_text`` is what the camera sent. ``text`` is without blanks and dots; I and O in the serial
    of a mainland plate, where neither is issued, stand in it as 1 and 0. Whatever else it could be
    is a candidate beside it.
    """
    plain = normalised(frame.plate)
    text = (serial_candidate(plain) if country == "cn" else "") or plain
    return PlateRead(
        camera=camera,
        lane=frame.lane,
        text=text,
        raw_text=frame.plate,
        colour=frame.colour,
        confidence=frame.confidence,
        direction=frame.direction,
        camera_time_ns=frame.camera_time_ns,
        received_ns=received_ns,
        time_ns=time_ns,
        grammar=grammar_of(text),
        doubts=doubts(text, frame.colour, country),
        could_be=candidates(text, country),
    )
