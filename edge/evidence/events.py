"""What a station says about itself: one function a kind of statement, so that fields are fixed.

The log adds station, index and blobs; the store adds ``boot_id``, ``mono_us`` and ``clock_host``.
Durations are of the monotonic clock, in microseconds. Sentences stand in both languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edge.errors import Text
from edge.evidence.statement import other_draft
from edge.records import Blob, Draft, Record

DRIFT_PPM = 500
"""Rate by which a computer's clock may be wrong that nobody disciplines: the kernel's own
tolerance (adjtimex(2), ``tolerance``)."""


def configuration_draft(
    time_ns: int,
    parts: Mapping[str, Any],
    *,
    changed: Sequence[str],
    previous: int | None,
    blobs: Sequence[Blob],
) -> Draft:
    """What the station weighs and judges with, its files sealed as blobs.

    Parameters
    ----------
    time_ns : int
    parts : mapping
        ``station_file``, ``certificate``, ``rule_pack``, ``dynamics``, ``software`` as named by
        hash in vehicle records.
    changed : sequence of str
        Names of the parts that differ from the statement before.
    previous : int or None
        Index of that statement; None for the first.
    blobs : sequence of Blob
        Roles ``station_file``, ``certificate``, ``rule_pack``, ``dynamics``.
    """
    fields = {**parts, "changed": list(changed), "previous": previous}
    return other_draft("configuration", time_ns=time_ns, fields=fields, blobs=blobs)


def software_draft(
    time_ns: int, software: Mapping[str, str], before: Mapping[str, str] | None
) -> Draft:
    """The program is another one than at the last start."""
    fields = {"software": dict(software), "before": dict(before) if before else None}
    return other_draft("software", time_ns=time_ns, fields=fields)


def device_draft(
    time_ns: int,
    part: str,
    event: str,
    *,
    level: str,
    text: Text,
    outages: int,
    bad_us: int,
) -> Draft:
    """A device failed (``fault``), works again (``recovered``), or comes and goes (``flapping``).

    Parameters
    ----------
    time_ns : int
    part : str
        ``digitiser.D1``, ``camera.C1``, ``modbus.M1`` ...
    event : str
    level : str
        How it is doing now: ``ok``, ``warning``, ``down``.
    text : Text
        Why, in words.
    outages : int
        Times that it failed since it last worked for good.
    bad_us : int
        For how long it did not work since then, all in all.
    """
    fields = {
        "part": part,
        "event": event,
        "level": level,
        "text": {"zh": text.zh, "en": text.en},
        "outages": outages,
        "bad_us": bad_us,
    }
    return other_draft("device", time_ns=time_ns, fields=fields)


def identity_draft(
    time_ns: int,
    device: str,
    event: str,
    *,
    now: Mapping[str, str | None],
    before: Mapping[str, str | None] | None,
    by: str = "",
    reason: str = "",
) -> Draft:
    """Which device it is: ``first`` seen, ``updated``, ``changed`` without an update (its weights
    are no legal result from here on), ``accepted`` by a person.

    Parameters
    ----------
    time_ns : int
    device : str
        Its name in the station file.
    event : str
    now, before : mapping
        ``serial``, ``model``, ``firmware`` and ``image_sha256`` as the device gives them.
    by, reason : str
        Who answers for it, and why.
    """
    fields = {
        "device": device,
        "event": event,
        "now": dict(now),
        "before": dict(before) if before else None,
        "by": by,
        "reason": reason,
    }
    return other_draft("identity", time_ns=time_ns, fields=fields)


def firmware_draft(
    time_ns: int,
    device: str,
    event: str,
    *,
    image: Mapping[str, Any],
    signer: str,
    by: str,
    block: int,
    blocks: int,
    reason: str = "",
) -> Draft:
    """A step of an update: ``ordered``, ``offered``, ``resumed``, ``received``, ``switching``,
    ``trial``, ``damaged``; at its end ``confirmed``, ``refused``, ``rolled-back``,
    ``unsupported``.

    Parameters
    ----------
    time_ns : int
    device, event : str
    image : mapping
        ``sha256``, ``version``, ``hardware``, ``rollback``.
    signer : str
        Name of the key that signed it.
    by : str
        Who ordered it.
    block, blocks : int
        How much of it the device has.
    reason : str
        Why it was refused.
    """
    fields = {
        "device": device,
        "event": event,
        "image": dict(image),
        "signer": signer,
        "by": by,
        "block": block,
        "blocks": blocks,
        "reason": reason,
    }
    return other_draft("firmware", time_ns=time_ns, fields=fields)


def gap_draft(
    time_ns: int,
    device: str,
    lanes: Sequence[str],
    *,
    first_sample: int,
    end_sample: int,
    lost: int,
    gaps: int,
    restarted: bool,
) -> Draft:
    """Samples that never came: ``lost`` of them in ``gaps`` holes between two samples.

    ``restarted`` says that the device began to count anew; what it lost then can't be counted.
    """
    fields = {
        "device": device,
        "lanes": list(lanes),
        "first_sample": first_sample,
        "end_sample": end_sample,
        "lost": lost,
        "gaps": gaps,
        "restarted": restarted,
    }
    return other_draft("gap", time_ns=time_ns, fields=fields)


def clock_boot_draft(time_ns: int, before: str | None, behind_us: int | None) -> Draft:
    """The computer started anew; ``behind_us`` is how far its time is before the last record's."""
    return _clock(time_ns, "boot", {"before_boot_id": before, "behind_us": behind_us})


def clock_stepped_draft(time_ns: int, step_us: int, offset_us: int) -> Draft:
    """Somebody set the wall clock; ``offset_us`` is what it has now over the monotonic clock."""
    return _clock(time_ns, "stepped", {"step_us": step_us, "offset_us": offset_us})


def clock_lost_draft(time_ns: int, offset_us: int) -> Draft:
    """Nobody disciplines the wall clock any more."""
    return _clock(time_ns, "lost", {"offset_us": offset_us})


def clock_synchronised_draft(
    time_ns: int, offset_us: int, bound_us: int | None, sets_right: tuple[int, int] | None
) -> Draft:
    """The wall clock is disciplined; times of this boot are set right by it.

    Records ``sets_right[0]`` to ``sets_right[1]``, as far as they are of this boot, were made
    without: their UTC is ``mono_us + offset_us``, good to ``bound_us`` and ``drift_ppm`` of the
    time between.
    """
    ranged = {"first": sets_right[0], "last": sets_right[1]} if sets_right else None
    fields = {
        "offset_us": offset_us,
        "bound_us": bound_us,
        "drift_ppm": DRIFT_PPM,
        "sets_right": ranged,
    }
    return _clock(time_ns, "synchronised", fields)


def _clock(time_ns: int, event: str, fields: Mapping[str, Any]) -> Draft:
    return other_draft("clock", time_ns=time_ns, fields={"event": event, **fields})


def corrected_us(body: Mapping[str, Any], clock: Sequence[Record]) -> tuple[int, int] | None:
    """UTC of a record's time as a later clock statement sets it right, and that one's index.

    None where no statement does: the time was vouched for when it was made, or nobody has
    vouched for the clock of that boot since.
    """
    for statement in clock:
        ranged = statement.body.get("sets_right")
        if not ranged or statement.body["boot_id"] != body.get("boot_id"):
            continue
        if ranged["first"] <= body["index"] <= ranged["last"]:
            return body["mono_us"] + statement.body["offset_us"], statement.index
    return None


def operator_draft(time_ns: int, action: str, about: Mapping[str, Any]) -> Draft:
    """Somebody did something on the station's page."""
    return other_draft("operator", time_ns=time_ns, fields={"action": action, "about": dict(about)})


def command_draft(
    time_ns: int,
    outcome: str,
    *,
    number: int | None,
    action: str,
    arguments: Mapping[str, Any],
    issued_us: int | None,
    detail: str = "",
) -> Draft:
    """A command of the centre was taken, or refused with its reason (``expired``, ``replayed``,
    ``other-station``, ``unknown-action``, ``clock-unsure``, ``bad-signature``)."""
    fields = {
        "outcome": outcome,
        "number": number,
        "action": action,
        "arguments": dict(arguments),
        "issued_us": issued_us,
        "detail": detail,
    }
    return other_draft("command", time_ns=time_ns, fields=fields)


def witness_draft(
    time_ns: int, status: str, name: str, *, size: int, known_size: int, known: str | None
) -> Draft:
    """The witness contradicts this log (``conflict`` with its name), or agrees with it again."""
    fields = {
        "status": status,
        "name": name,
        "size": size,
        "known_size": known_size,
        "known": known,
    }
    draft = other_draft("witness", time_ns=time_ns, fields=fields)
    return replace(draft, urgent=status == "conflict")
