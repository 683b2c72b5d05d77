"""What is dear to make and the same for every station of the demonstration: made once a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator.broker import free_port
from simulator.demo import Site, calibrate_site
from tests.station.three_processes import SEED


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with passes of the reference lorries and the certificate fitted to them."""
    site = Site(tmp_path_factory.mktemp("calibrated"), free_port(), free_port(), free_port())
    site.centre.mkdir()
    calibrate_site(site.write_station("mqtt://127.0.0.1:9"), site, SEED)
    return site.directory
