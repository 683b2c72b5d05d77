"""A sealed vehicle record as people read it: words, thousands, local time. Changes no number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from edge.errors import Text
from edge.inspection.floor import Case
from edge.web.drawing import Drawing, draw
from edge.web.terms import CASES, FLAGS, SELECTIONS, VERDICTS, figures_text, flag_text
from edge.web.texts import Speaker
from edge.web.view import StationView

_Number = TypeVar("_Number", int, float)

PLATE_COLOURS = frozenset({"blue", "yellow", "green", "yellow-green", "white", "black"})


def kg(value: int | None) -> str:
    """Kilograms with thousands, a dash where nothing was measured."""
    return "–" if value is None else f"{value:,}"


@dataclass(frozen=True, slots=True)
class Bar:
    """Measured value, uncertainty and limit on one scale, in per cent of the bar's length."""

    low: float
    high: float
    measured: float
    limits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class VehicleView:
    """One vehicle for the templates. ``U_kg`` is the expanded uncertainty, k = 2.

    ``when`` is its time of day, with the date where that is another than today's.
    """

    body: Mapping[str, Any]
    record_id: str
    lane_name: str
    time: datetime
    when: str
    plate: str
    plate_colour: str
    kind: str
    verdict: str
    sentence: str
    limits: str
    reasons: tuple[str, ...]
    information: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]
    speed_kmh: float | None
    U_kg: int | None
    bar: Bar
    drawing: Drawing
    case: str

    @property
    def index(self) -> int:
        """Number of the record in the station log."""
        return int(self.body["index"])


def vehicle_view(
    body: Mapping[str, Any], record_id: str, station: StationView, case: Case | None, t: Speaker
) -> VehicleView:
    """A vehicle record in words."""
    verdict = body["verdict"]
    time, now = (station.local(us) for us in (body["time_us"], station.utc_ns() // 1_000))
    return VehicleView(
        body=body,
        record_id=record_id,
        lane_name=" + ".join(_title(name, station, t) for name in lanes_of(body)),
        time=time,
        when=f"{time:%H:%M:%S}" if time.date() == now.date() else f"{time:%m-%d %H:%M}",
        plate=plate_text(body["plate"], t),
        plate_colour=plate_colour(body["plate"]),
        kind=verdict["kind"],
        verdict=t.pick(VERDICTS[verdict["kind"]]),
        sentence=t.pick(verdict_sentence(verdict)),
        limits=limits_text(verdict, t),
        information=tuple(
            (t.pick(station.pack.text(key)), t.pick(figures_text(value)))
            for key, value in verdict["information"]
        ),
        reasons=tuple(t.pick(reason_text(key, station)) for key in verdict["reasons"]),
        flags=tuple(t.pick(flag_text(name)) for name in body["flags"])
        + _other_half(body, station, t),
        speed_kmh=_times(body["speed_mm_s"], 0.0036),
        U_kg=_times(body["u_gross_kg"], 2),
        bar=_bar(verdict),
        drawing=draw(body),
        case=_case_text(case, t),
    )


def lanes_of(body: Mapping[str, Any]) -> list[str]:
    """All lanes that bore the vehicle; records of older programs name one."""
    return list(body.get("lanes", [body["lane"]]))


def _title(name: str, station: StationView, t: Speaker) -> str:
    lane = station.lane(name)
    return lane.title(t.lang) if lane else name


def _other_half(body: Mapping[str, Any], station: StationView, t: Speaker) -> tuple[str, ...]:
    """Where the other half of the vehicle may have a record of its own."""
    name = body.get("perhaps_with")
    return (t("flags.perhaps_with", lane=_title(name, station, t)),) if name else ()


def plate_text(plate: Mapping[str, Any], t: Speaker) -> str:
    """The plate as it is painted (省 A·12345), or why there is none."""
    if plate["join"] == "read" and plate["text"]:
        return spaced_plate(plate["text"])
    return t(
        {"ambiguous": "plate.ambiguous", "erased": "plate.erased"}.get(plate["join"], "plate.none")
    )


def spaced_plate(text: str) -> str:
    """A Chinese plate with the dot that stands on the metal; others as they are."""
    chinese = len(text) >= 7 and "一" <= text[0] <= "鿿" and text[1].isalpha()
    return f"{text[:2]}·{text[2:]}" if chinese else text


def plate_colour(plate: Mapping[str, Any]) -> str:
    """Name of the style of a plate; ``none`` where there is no plate or a colour we don't know."""
    if plate["join"] != "read" or not plate["text"]:
        return "none"
    colour = str(plate["colour"])
    return colour if colour in PLATE_COLOURS else "plain"


def verdict_sentence(verdict: Mapping[str, Any]) -> Text:
    """Why the verdict is what it is, in one sentence."""
    measured, lower, limit = verdict["measured_kg"], verdict["lower_kg"], verdict["limit_kg"]
    if verdict["kind"] == "over":
        share = verdict["excess_bp"] / 100
        return Text(
            f"总重 {measured:,} kg，连可信下限 {lower:,} kg 也超过限值 {limit:,} kg；"
            f"超出 {verdict['excess_kg']:,} kg（{share:.1f} %）。",
            f"Gross {measured:,} kg: even the lower bound of {lower:,} kg passes the limit of "
            f"{limit:,} kg; {verdict['excess_kg']:,} kg ({share:.1f} %) over.",
        )
    if verdict["kind"] == "within":
        if limit is None:
            return Text(
                f"总重 {measured:,} kg，没有适用的总重限值。",
                f"Gross {measured:,} kg; no gross limit applies.",
            )
        return Text(
            f"总重 {measured:,} kg，没有超过限值 {limit:,} kg。",
            f"Gross {measured:,} kg does not pass the limit of {limit:,} kg.",
        )
    return Text(
        f"测得 {measured:,} kg，但不能据此判定是否超限。",
        f"Measured {measured:,} kg, which does not tell whether it is over the limit.",
    )


def reason_text(key: str, station: StationView) -> Text:
    """A reason of a verdict: a flag, or words of the rule pack that judged."""
    return FLAGS.get(key.upper()) or station.pack.text(key)


def limits_text(verdict: Mapping[str, Any], t: Speaker) -> str:
    """The limit that decided, or the span of those that may hold."""
    values = sorted(_limits(verdict))
    if not values:
        return t("limit.none")
    return " – ".join(f"{value:,}" for value in dict.fromkeys((values[0], values[-1]))) + " kg"


def _case_text(case: Case | None, t: Speaker) -> str:
    if case is None:
        return ""
    return f"{t.pick(SELECTIONS[case.selection])} · {t.pick(CASES[case.state])}"


def _times(value: int | None, factor: _Number) -> _Number | None:
    return None if value is None else value * factor


def _bar(verdict: Mapping[str, Any]) -> Bar:
    gross, expanded = verdict["measured_kg"], 2 * verdict["u_kg"]
    limits = sorted(_limits(verdict))
    full_kg = max(1.06 * (gross + expanded), *(1.25 * limit for limit in limits), 1.0)
    return Bar(
        low=max(0.0, 100 * (gross - expanded) / full_kg),
        high=100 * (gross + expanded) / full_kg,
        measured=100 * gross / full_kg,
        limits=tuple(100 * limit / full_kg for limit in limits),
    )


def _limits(verdict: Mapping[str, Any]) -> set[int]:
    if verdict["limit_kg"] is not None:
        return {verdict["limit_kg"]}
    return {limit["limit_kg"] for limit in verdict["limits"]}
