"""The certificate of the trials' station, fitted once from simulated reference passes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from calibration.session import calibrate, read_digitisers, read_references
from edge.replay import replay_passages
from simulator.faults.site import Place, traffic_file
from simulator.scenario import load_scenario
from simulator.world import World

_PASSES = 10
_SENSORS_SEED = 11


def certificate(file: Path) -> None:
    """Let reference lorries pass, fit the gains of all channels, write the certificate."""
    with tempfile.TemporaryDirectory(prefix="steelyard-reference-") as name:
        place = Place(Path(name), file, _SENSORS_SEED)
        config = place.plant("mqtt://127.0.0.1:1").write()
        reference = place.directory / "reference"
        World(config, load_scenario(traffic_file()), _SENSORS_SEED).reference_recording(
            reference, _PASSES
        )
        bare = config.without_certificate()
        fitted = calibrate(
            list(replay_passages(reference, bare, progress=lambda _done: None)),
            read_references(reference),
            read_digitisers(reference, bare),
            station=config.model.station.id,
        )
    file.write_bytes(fitted.to_json())
