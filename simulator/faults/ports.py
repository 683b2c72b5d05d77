"""Trials of the ports: an adapter that falls out and comes back under another name."""

from __future__ import annotations

from simulator.bench.bridge_replug import run
from simulator.faults.outcome import Outcome
from simulator.faults.site import Place


def replugged(place: Place, outcome: Outcome) -> None:
    """Samples again in two seconds, the gap flagged, every sample accounted for."""
    figures = run(quick=place.quick)
    outcome.blows = int(figures["bridge.replug_tried"])
    outcome.figures |= figures
    if failed := int(figures["bridge.replug_failed"]):
        outcome.problem(f"{failed} re-plugs were not as they should be")
