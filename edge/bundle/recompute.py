"""Weigh and judge a sealed vehicle again, from its raw signal and its settings alone.

What the program weighs, judges and words here is what the running station uses. Doubts that come
from outside the clip (the separator's history, the clock, the other half of a vehicle on another
digitiser) are taken from the record and named; they can only make a verdict weaker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from edge.bundle.dossier import Dossier
from edge.bundle.settings import Settings, needed, settings_of
from edge.core.weigh import weigh
from edge.errors import SteelyardError, Text, why_zh
from edge.evidence.identity import software_identity
from edge.evidence.statement import flag_names, measured_fields
from edge.records import (
    ClockReading,
    Flag,
    JoinKind,
    Passage,
    PlateJoin,
    RawClip,
    Vehicle,
)
from edge.rules.judge import judge
from edge.store.signal import MEDIA_TYPE, decode_clip

BEYOND_CLIP = (
    Flag.INCOMPLETE
    | Flag.SEPARATOR_FAULT
    | Flag.STOPPED
    | Flag.AMBIGUOUS
    | Flag.STRADDLING
    | Flag.CLOCK_UNSURE
    | Flag.SEAL_BROKEN
)
"""Doubts that the stream may know of and a clip can't show."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A sealed value that comes out otherwise; ``where`` reads like ``axles[2].load_kg``."""

    where: str
    sealed: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.where}: 封存 / sealed {self.sealed!r}, 重算 / recomputed {self.found!r}"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What came of weighing one record again.

    ``problem`` says why it could not be weighed; ``notes`` name what is not as it was when the
    record was sealed, and what was taken from it. Equal means every sealed number and word.
    """

    index: int
    gross_kg: int | None
    differences: tuple[Difference, ...] = ()
    problem: Text | None = None
    notes: tuple[Text, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether everything came out as it was sealed."""
        return self.problem is None and not self.differences


class _Weighed(NamedTuple):
    """A passage, the flags of its vehicle, and those of them that no clip can show."""

    passage: Passage
    flags: Flag
    beyond: Flag


def recompute_many(dossiers: Iterable[Dossier]) -> Iterator[Recomputed]:
    """Weigh many records again, in their order; settings that they share are read once."""
    here = software_identity()
    for dossier in dossiers:
        yield _recomputed(dossier, here)


def recompute(dossier: Dossier) -> Recomputed:
    """Weigh one record again."""
    return _recomputed(dossier, software_identity())


def _recomputed(dossier: Dossier, here: Mapping[str, str]) -> Recomputed:
    index = dossier.main.index
    try:
        body = dossier.body
        if body["kind"] != "vehicle":
            return Recomputed(index, None, problem=Text("不是车辆记录", "it is no vehicle"))
        settings = settings_of(dossier)
        weighed = _weighed(_clip(dossier), settings, body)
    except SteelyardError as error:
        return Recomputed(index, None, problem=error.what, notes=_software(dossier, here))
    except (ValueError, KeyError, TypeError) as error:
        problem = Text(
            f"记录无法重算{why_zh(error)}", f"the record can't be weighed again: {error}"
        )
        return Recomputed(index, None, problem=problem, notes=_software(dossier, here))
    found = _fields(weighed, settings, body)
    return Recomputed(
        index,
        found["gross_kg"],
        tuple(_compare(found, body)),
        notes=(*_software(dossier, here), *_taken(weighed.beyond)),
    )


def _clip(dossier: Dossier) -> RawClip:
    files = [
        needed(dossier, "signal", blob.sha256)
        for blob in dossier.main.record.blobs
        if blob.role == "signal" and blob.media_type == MEDIA_TYPE
    ]
    return decode_clip(files)


def _weighed(clip: RawClip, settings: Settings, body: Mapping[str, Any]) -> _Weighed:
    """The passage as the clip shows it, with what only the stream could know."""
    sealed, lanes = _flags_of(body["flags"]), tuple(body.get("lanes", ()))
    passage = _weigh(clip, settings, Flag.NONE)
    # Halves of a vehicle astride were weighed before, and left all their doubts to the whole.
    beyond = (sealed if len(lanes) > 1 else sealed & BEYOND_CLIP) & ~passage.flags
    if beyond:
        passage = _weigh(clip, settings, beyond)
    flags = passage.flags
    time_ns = body["time_us"] * 1000
    if settings.gains.expired(time_ns) or settings.gains.premature(time_ns):
        flags |= Flag.UNCALIBRATED
    astride = lanes if len(lanes) > 1 else ()
    return _Weighed(replace(passage, astride=astride), flags, beyond)


def _weigh(clip: RawClip, settings: Settings, known: Flag) -> Passage:
    return weigh(
        clip,
        settings.lane,
        settings.gains,
        known=known,
        others=settings.others,
        dynamics=settings.dynamics,
    )


def _flags_of(names: Iterable[str]) -> Flag:
    flags = Flag.NONE
    for name in names:
        flags |= Flag[name]
    return flags


def _fields(found: _Weighed, settings: Settings, body: Mapping[str, Any]) -> dict[str, Any]:
    """The measured part of the statement, as the station would seal it."""
    verdict = judge(
        _vehicle(found, body),
        settings.pack,
        penalty_by_record=settings.config.model.rules.penalty_by_record,
    )
    return measured_fields(found.passage, found.flags, verdict, body["signal"]["channels"])


def _vehicle(found: _Weighed, body: Mapping[str, Any]) -> Vehicle:
    """The vehicle as it is judged: its plate and its clock decide nothing."""
    clock = ClockReading(0, 0, 0.0, 0, 0.0, settled=True)
    unread = PlateJoin(JoinKind.MISSING, None)
    time_ns = body["time_us"] * 1000
    return Vehicle(body["station"], time_ns, clock, found.passage, unread, found.flags)


def _compare(found: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[Difference]:
    """Sealed values against found ones; what older programs did not seal is left aside."""
    for key, value in found.items():
        if key in body:
            yield from _differences(key, body[key], value)


def _differences(where: str, sealed: Any, found: Any) -> Iterator[Difference]:
    if isinstance(sealed, dict) and isinstance(found, dict):
        for key in sealed:
            yield from _differences(f"{where}.{key}", sealed[key], found.get(key))
    elif isinstance(sealed, list) and isinstance(found, list) and len(sealed) == len(found):
        for number, (one, other) in enumerate(zip(sealed, found, strict=True)):
            yield from _differences(f"{where}[{number}]", one, other)
    elif sealed != found:
        yield Difference(where, sealed, found)


def _software(dossier: Dossier, here: Mapping[str, str]) -> tuple[Text, ...]:
    """Whether the program that weighs now is the one that sealed."""
    try:
        sealed = dict(dossier.body.get("software", {}))
    except ValueError:
        return ()
    if sealed.get("sha256") == here["sha256"]:
        return ()
    return (
        Text(
            f"程序不同：封存时 {sealed.get('version')}（{sealed.get('sha256')}），"
            f"现在 {here['version']}（{here['sha256']}）",
            f"another program: sealed by {sealed.get('version')} ({sealed.get('sha256')}), "
            f"this is {here['version']} ({here['sha256']})",
        ),
    )


def _taken(beyond: Flag) -> tuple[Text, ...]:
    if not beyond:
        return ()
    names = ", ".join(flag_names(beyond))
    return (
        Text(
            f"取自记录、单凭这段信号看不出的标记：{names}",
            f"flags taken from the record, which the clip alone can't show: {names}",
        ),
    )
