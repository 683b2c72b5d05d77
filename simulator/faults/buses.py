"""Trials of the Modbus buses: replies that lie, devices that die."""

from __future__ import annotations

from simulator.bench.bridge_bus import dead_device
from simulator.bench.bridge_modbus import bad_replies
from simulator.faults.outcome import Outcome
from simulator.faults.site import Place

_SLOWDOWN_PCT = 10.0
_SLOWDOWN_QUICK_PCT = 20.0
"""Finding out costs a second, which weighs more in a short trial."""


def bad_modbus_replies(place: Place, outcome: Outcome) -> None:
    """Late, doubled, crossed, damaged and lost replies; none may become a value."""
    figures = bad_replies(quick=place.quick)
    outcome.blows = int(figures["bridge.bad_replies_tried"])
    outcome.figures |= figures
    if wrong := int(figures["bridge.wrong_values"]):
        outcome.problem(f"{wrong} readings held a value of another request")


def dead_modbus_device(place: Place, outcome: Outcome) -> None:
    """One of eight devices on a bus dies; the others go on."""
    figures = dead_device(quick=place.quick)
    outcome.blows = 1
    outcome.figures |= figures
    slower_pct = figures["bridge.dead_device_slowdown_pct"]
    if slower_pct > (_SLOWDOWN_QUICK_PCT if place.quick else _SLOWDOWN_PCT):
        outcome.problem(f"the seven others were {slower_pct:.1f} % slower")
