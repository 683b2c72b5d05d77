"""What is dear to make and only read: a station with traffic, sealed once a run."""

from __future__ import annotations

import pytest

from edge.bundle.dossier import Dossier
from tests.evidence.bundled import Sealed, sealed_station


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    return sealed_station(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="session")
def dossier(sealed: Sealed) -> Dossier:
    return sealed.dossier()
