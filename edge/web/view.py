"""What the web room is given of the station, and names that it looks up there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from edge.config import LaneSection, StationConfig
from edge.frozen import Known, known_dynamics
from edge.health import Health
from edge.rules.pack import RulePack
from edge.store.store import Store
from edge.web.feed import Feed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StationView:
    """The rooms that the pages read; they write only through the store's ``append``."""

    config: StationConfig
    health: Health
    store: Store
    feed: Feed
    pack: RulePack
    software: dict[str, Any]
    verifier_key: str
    mono_ns: Callable[[], int]
    utc_ns: Callable[[], int] = time.time_ns

    @property
    def station_id(self) -> str:
        """The station's name in records and topics."""
        return self.config.model.station.id

    def title(self, lang: str) -> str:
        """The station's name for people."""
        station = self.config.model.station
        return station.name_en if lang == "en" else station.name

    def lane(self, lane_id: str) -> LaneSection | None:
        """A lane of the station file; None for a lane that an older file named."""
        return next((lane for lane in self.config.model.lane if lane.id == lane_id), None)

    @property
    def dynamics(self) -> dict[str, Known]:
        """What each lane weighs with."""
        return known_dynamics(self.config)

    def local(self, time_us: int) -> datetime:
        """A time of a record on the station's wall clock, exact to the microsecond."""
        return (_EPOCH + timedelta(microseconds=time_us)).astimezone(self.config.zone())
