"""The keys with which a station signs, as its file names them."""

from __future__ import annotations

from edge.config import StationConfig
from edge.evidence.note import NoteSigner, origin_of
from edge.evidence.sm2 import Sm2Signer

KEY_FILE = "station.key"


def station_signer(config: StationConfig) -> NoteSigner:
    """The signer of a station's log; key files are made where there are none yet.

    Raises
    ------
    ConfigError
        A key file can't be used, or OpenSSL lacks SM2 where the station file asks for it.
    """
    section = config.model.station
    name = origin_of(section.id)
    second = None
    if section.sm2_key is not None:
        second = Sm2Signer.load_or_create(config.resolve(section.sm2_key), name)
    return NoteSigner.load_or_create(config.data_dir / KEY_FILE, name, second)
