"""The first statement of a run: which software, which settings, and what the lanes weigh with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from edge.config import StationConfig
from edge.evidence.statement import other_draft
from edge.frozen import known_dynamics
from edge.records import Draft
from edge.rules.pack import RulePack
from edge.store.store import Store


async def start_draft(
    config: StationConfig, store: Store, pack: RulePack, software: Mapping[str, str]
) -> Draft:
    """Statement of a start; files of learned dynamics are kept and sealed with it.

    They hold until the next start, so a change of what lanes weigh with stands in the log, and
    a record can be computed again when the file beside the station file is long gone.

    Raises
    ------
    ConfigError
        The dynamics of a lane can't be used.
    StoreError
        The disk refuses.
    """
    known = known_dynamics(config)
    frozen = [
        await store.put_blob(each.raw, "dynamics", "application/json")
        for each in known.values()
        if each.raw
    ]
    fields = {
        "boot_id": _boot_id(),
        "software": dict(software),
        "configuration_sha256": config.sha256,
        "pack": pack.id,
        "pack_sha256": pack.sha256,
        "dynamics": {lane: each.name for lane, each in known.items()},
    }
    return other_draft("start", time_ns=time.time_ns(), fields=fields, blobs=frozen)


def _boot_id() -> str:
    """The kernel's id of this boot: wall clocks of two boots do not compare."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
