"""Once a minute: counters, gauges and states to the centre, and a look at the certificates."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from edge.clock import HostClock
from edge.health import Health, Level
from edge.uplink.certificates import Validity, outlook
from edge.uplink.gate import Turn
from edge.uplink.line import Line
from edge.uplink.refusals import MessageTooLarge, PublishRefused
from edge.uplink.topics import Topics

log = logging.getLogger("steelyard.uplink")

PERIOD_S = 60.0
_EXPIRY_S = 600


class Telemetry:
    """Tells how the station and its line are doing."""

    def __init__(
        self,
        health: Health,
        clock: HostClock,
        topics: Topics,
        snapshot: Callable[[], dict[str, Any]],
    ) -> None:
        self._health = health
        self._clock = clock
        self._topics = topics
        self._snapshot = snapshot
        self._stage = -1

    async def run(self, line: Line) -> None:
        """Send over one connection until cancelled."""
        while True:
            self.watch(line.link.certificates)
            self._health.gauge("uplink.overflows", line.link.overflows)
            self._health.gauge("uplink.line_budget_bytes", line.gate.budget_bytes)
            body = {"time_us": self._clock.utc_ns() // 1000, **self._snapshot()}
            payload = json.dumps(body).encode()
            try:
                await line.send(Turn.CONTROL, self._topics.telemetry, payload, expiry_s=_EXPIRY_S)
            except MessageTooLarge:
                self._health.count("uplink.telemetry_too_large")
            except PublishRefused as refused:
                self.note_refusal(refused)
            await asyncio.sleep(PERIOD_S)

    def note_refusal(self, refused: PublishRefused) -> None:
        """The broker does not take something that delivers nothing: worth a look, no more."""
        self._health.count("uplink.refusals")
        self._health.state(
            "uplink.access", Level.WARNING, *refused.what, next_step=refused.next_step
        )

    def watch(self, certificates: Sequence[Validity]) -> None:
        """Warn of a certificate that ends; each stage is logged once."""
        seen = outlook(certificates, self._clock.utc_ns() / 1e9)
        if seen is None:
            return
        self._health.gauge("uplink.certificate_days_left", seen.days_left)
        self._health.state("uplink.certificate", seen.level, *seen.text, next_step=seen.next_step)
        if seen.stage not in (self._stage, -1):
            log.warning("%s → %s", seen.text, seen.next_step)
        self._stage = seen.stage
