"""The first statements of a run: that it started, on which boot, with which program and settings.

What the log already says is not said again: the settings are sealed when they changed, the boot
and the program when they are others than before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge.clock import HostClock
from edge.config import StationConfig
from edge.evidence.events import (
    clock_boot_draft,
    clock_stepped_draft,
    configuration_draft,
    software_draft,
)
from edge.evidence.statement import other_draft
from edge.frozen import known_dynamics
from edge.records import Blob, Record
from edge.rules.pack import RulePack
from edge.store.store import Store

__all__ = ["open_log"]

STEP_US = 10_000
"""A smaller change of wall over monotonic between two runs is not told from reading them."""


async def open_log(
    config: StationConfig,
    store: Store,
    pack: RulePack,
    software: Mapping[str, str],
    clock: HostClock,
) -> None:
    """Seal how this run begins, and the files it weighs and judges with if they changed.

    Raises
    ------
    ConfigError
        The certificate or the dynamics of a lane can't be used.
    StoreError
        The disk refuses.
    """
    newest = await _newest(store, None)
    parts = _parts(config, pack, software)
    fields = {
        "after": await _ending(store, newest),
        "last_us": newest.body["time_us"] if newest else None,
        "software": dict(software),
        "configuration_sha256": config.sha256,
        "pack": pack.id,
        "pack_sha256": pack.sha256,
        "dynamics": parts["dynamics"],
    }
    await store.append(other_draft("start", time_ns=clock.utc_ns(), fields=fields))
    await _tell_clock(store, clock, newest)
    await _tell_settings(store, clock, parts, config, pack)


def _parts(config: StationConfig, pack: RulePack, software: Mapping[str, str]) -> dict[str, Any]:
    """Everything that decides what a vehicle weighs and how it is judged, by hash."""
    return {
        "station_file": {"name": config.path.name, "sha256": config.sha256},
        "certificate": _certificate(config),
        "rule_pack": {"id": pack.id, "version": pack.version, "sha256": pack.sha256},
        "dynamics": {lane: each.name for lane, each in known_dynamics(config).items()},
        "software": dict(software),
    }


def _certificate(config: StationConfig) -> dict[str, Any] | None:
    gains = config.gains_of(config.model.digitiser[0].id, 1.0)
    if not gains.calibrated:
        return None
    times = {"issued_us": gains.issued_ns, "valid_until_us": gains.valid_until_ns}
    return {
        "id": gains.certificate_id,
        "sha256": gains.certificate_sha256,
        **{name: None if ns is None else ns // 1000 for name, ns in times.items()},
    }


async def _ending(store: Store, newest: Record | None) -> str:
    """How the run before ended: in order (``stop``), or torn off (``no-stop``)."""
    if newest is None:
        return "first"
    start, stop = await _newest(store, "start"), await _newest(store, "stop")
    if start is None:
        return "no-stop"
    return "stop" if stop is not None and stop.index > start.index else "no-stop"


async def _tell_clock(store: Store, clock: HostClock, newest: Record | None) -> None:
    """A new boot, or a step of the wall clock while nobody watched it."""
    now_ns = clock.utc_ns()
    before = newest.body.get("boot_id") if newest else None
    if newest is None or before != clock.boot_id:
        behind_us = newest.body["time_us"] - now_ns // 1000 if newest else 0
        await store.append(clock_boot_draft(now_ns, before, behind_us if behind_us > 0 else None))
        return
    offset_us = clock.offset_us()
    step_us = offset_us - (newest.body["time_us"] - newest.body["mono_us"])
    if abs(step_us) >= STEP_US:
        await store.append(clock_stepped_draft(now_ns, step_us, offset_us))


async def _tell_settings(
    store: Store,
    clock: HostClock,
    parts: Mapping[str, Any],
    config: StationConfig,
    pack: RulePack,
) -> None:
    last = await _newest(store, "configuration")
    said = last.body if last else {}
    changed = [name for name, part in parts.items() if name not in said or said[name] != part]
    if not changed:
        return
    if last and "software" in changed:
        draft = software_draft(clock.utc_ns(), parts["software"], said.get("software"))
        await store.append(draft)
    await store.append(
        configuration_draft(
            clock.utc_ns(),
            parts,
            changed=changed,
            previous=last.index if last else None,
            blobs=await _keep_files(store, config, pack),
        )
    )


async def _keep_files(store: Store, config: StationConfig, pack: RulePack) -> Sequence[Blob]:
    """The files behind the settings, so that they can be had when those of today are gone."""
    files = [("station_file", "application/toml", config.raw)]
    if (certificate := config.certificate_bytes) is not None:
        files.append(("certificate", "application/json", certificate))
    files.append(("rule_pack", "application/toml", config.pack_bytes()))
    frozen = {each.raw for each in known_dynamics(config).values() if each.raw}
    files += [("dynamics", "application/json", raw) for raw in sorted(frozen)]
    return [await store.put_blob(data, role, media_type) for role, media_type, data in files]


async def _newest(store: Store, kind: str | None) -> Record | None:
    found = await store.latest(kind=kind, limit=1)
    return found[0] if found else None
