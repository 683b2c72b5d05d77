"""Scales on a line: a platform that swings and comes to rest, an indicator, a line that damages.

`ScaleDevice` stands behind the lanes of a simulated station: what left its lane is weighed again.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from edge.config import ScaleSection
from edge.sources.scale import scale_format
from firmware_bridge.recording import Truth
from simulator.indicators import SPEAKERS, Settings, Shown, with_parity
from simulator.lines import Line

STAY_S = 6.0
"""How long a vehicle stands on the platform."""


@dataclass(slots=True)
class Damage:
    """A bad line: shares of bits flipped, of bytes lost, of gaps with foreign bytes."""

    flipped_bits: float = 0.0
    lost_bytes: float = 0.0
    noise: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    _bits_to_flip: float | None = None

    def spoil(self, frame: bytes) -> bytes:
        """A frame as it arrives."""
        chance, out = self.chance, self._flip(frame)
        if self.lost_bytes:
            out = bytes(byte for byte in out if chance.random() >= self.lost_bytes)
        if self.noise and chance.random() < self.noise:
            out = chance.randbytes(chance.randint(1, 20)) + out
        return out

    def _flip(self, frame: bytes) -> bytes:
        if not self.flipped_bits:
            return frame
        if self._bits_to_flip is None:
            self._bits_to_flip = self._gap()
        out = bytearray(frame)
        while self._bits_to_flip < 8 * len(out):
            at = int(self._bits_to_flip)
            out[at // 8] ^= 1 << at % 8
            self._bits_to_flip += 1 + self._gap()
        self._bits_to_flip -= 8 * len(out)
        return bytes(out)

    def _gap(self) -> int:
        """Good bits before the next bad one."""
        return int(math.log(1 - self.chance.random()) / math.log1p(-self.flipped_bits))


@dataclass(slots=True)
class SimPlatform:
    """A platform that swings toward its load and comes to rest, as a damped mass on springs."""

    max_kg: float = 60_000.0
    division_kg: float = 20.0
    swing_hz: float = 2.5
    damping: float = 0.12
    load_kg: float = 0.0
    tare_kg: float = 0.0
    zero_kg: float = 0.0
    _start_kg: float = 0.0
    _since_s: float = 0.0

    def put(self, load_kg: float, time_s: float) -> None:
        """Another load from now on."""
        self._start_kg, self._since_s = self.gross_kg(time_s), time_s
        self.load_kg = load_kg

    def gross_kg(self, time_s: float) -> float:
        """What presses on the cells."""
        passed_s = max(time_s - self._since_s, 0.0)
        swing = math.exp(-self.damping * math.tau * self.swing_hz * passed_s)
        phase = math.cos(math.tau * self.swing_hz * passed_s)
        return self.load_kg + (self._start_kg - self.load_kg) * swing * phase

    def shown(self, time_s: float) -> Shown:
        """What the display shows; moving while it changes by more than half a division."""
        now_kg = self.gross_kg(time_s) - self.zero_kg
        soon_kg = self.gross_kg(time_s + 0.1) - self.zero_kg
        return Shown(
            now_kg,
            self.division_kg,
            abs(soon_kg - now_kg) > self.division_kg / 2,
            self.tare_kg,
            over=now_kg > self.max_kg + 9 * self.division_kg,
            under=now_kg < -20 * self.division_kg,
        )

    def obey(self, letter: bytes, time_s: float) -> None:
        """A key that a host presses: Z, T or C; at rest only, and zero only without a tare."""
        shown = self.shown(time_s)
        if letter == b"C":
            self.tare_kg = 0.0
        elif letter == b"T" and not shown.moving and shown.gross_kg > 0:
            self.tare_kg = shown.gross_kg
        elif letter == b"Z" and not shown.moving and not self.tare_kg:
            self.zero_kg += shown.gross_kg


class IndicatorDevice:
    """An indicator on a line: sends by itself, or answers ``request`` where there is one.

    One with Toledo's output obeys Toledo's letters.
    """

    def __init__(
        self,
        form: str,
        settings: Settings,
        platform: SimPlatform,
        line: Line,
        *,
        request: bytes = b"",
        parity: str = "none",
        rate_hz: float = 10.0,
        damage: Damage | None = None,
    ) -> None:
        self.platform, self.line = platform, line
        self.damage = damage or Damage()
        self._speak, self._settings = SPEAKERS[form], settings
        self._obeys = form.startswith("toledo")
        self._request, self._heard = with_parity(request, parity), b""
        self._parity, self._period_s = parity, 1 / rate_hz
        self._due_s = 0.0

    def tick(self, time_s: float) -> None:
        """Answer what was asked, or send what is due."""
        self._heard += self.line.read()
        if self._request:
            asked = self._heard.count(self._request)
            if asked:
                self._heard = b""
            for _ in range(asked):
                self._send(time_s)
            self._heard = self._heard[-64:]
        elif time_s >= self._due_s:
            self._due_s = max(self._due_s + self._period_s, time_s)
            self._obey(time_s)
            self._send(time_s)

    def _obey(self, time_s: float) -> None:
        """What came whole in seven bits and CR LF; the rest is forgotten."""
        for line in bytes(byte & 0x7F for byte in self._heard).split(b"\r\n")[:-1]:
            if self._obeys:
                self.platform.obey(line, time_s)
        self._heard = b""

    def _send(self, time_s: float) -> None:
        frame = self._speak(self.platform.shown(time_s), self._settings)
        self.line.send(self.damage.spoil(with_parity(frame, self._parity)))


class ScaleDevice:
    """The platform of one scale of the station file, with its indicator.

    Raises
    ------
    ConfigError
        The station file names a format, or a setting of it, that is not there.
    """

    def __init__(self, section: ScaleSection, line: Line) -> None:
        row = scale_format(section)
        self._lane = section.lane
        self._platform = SimPlatform(section.max_kg, section.division_kg)
        self._indicator = IndicatorDevice(
            section.format,
            section.settings,
            self._platform,
            line,
            request=row.request(section.settings),
            parity=section.parity,
        )
        self._until_s = math.inf

    def stand(self, vehicle: Truth, clock_s: float) -> None:
        """A vehicle has left a lane; it is weighed again if the lane leads here."""
        if self._lane in (None, vehicle.lane):
            self._platform.put(sum(vehicle.axle_kg), clock_s)
            self._until_s = clock_s + STAY_S

    def tick(self, clock_s: float) -> None:
        """Let the vehicle go when it is time; send, or answer, what is due."""
        if clock_s >= self._until_s:
            self._platform.put(0.0, clock_s)
            self._until_s = math.inf
        self._indicator.tick(clock_s)
