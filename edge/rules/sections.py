"""The keys of a rule pack, section by section, with what each may hold."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.records import LEGAL_BARRIERS, Flag
from edge.rules.reasons import INFORMATION_KEYS, REASON_KEYS, barrier_keys
from edge.validation import Wrong

Key = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,48}$")]
Pattern = Annotated[str, Field(pattern=r"^[1-9](\+[1-9])*$")]
Words = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cited(_Section):
    """A statement with where it stands written and how sure that is.

    ``grade``: A = text of the law seen, B = seen in a copy, C = from memory, D = from memory and
    shaky. A fact from memory is never ``verified``.
    """

    article: Words
    source: Words
    grade: Literal["A", "B", "C", "D"]
    verified: bool
    note: str = ""

    @model_validator(mode="after")
    def _memory_is_no_source(self) -> Cited:
        if self.verified and self.grade in "CD":
            raise Wrong(
                "grade C 或 D 出自记忆：verified 只能是 false",
                "grade C or D is from memory: verified must be false",
            )
        return self


class GrossLimit(Cited):
    """A gross limit of a kind of vehicle.

    ``patterns`` are the axle groups by which the kind is known on the road; ``disputed`` marks
    values that stand side by side because the texts contradict each other.
    """

    axles: int = Field(ge=1, le=20)
    or_more: bool = False
    vehicle: Literal["truck", "combination"]
    patterns: tuple[Pattern, ...] = Field(min_length=1)
    limit_kg: int = Field(gt=0, le=1_000_000)
    disputed: bool = False

    @model_validator(mode="after")
    def _patterns_have_the_axles(self) -> GrossLimit:
        for pattern in self.patterns:
            if sum(map(int, pattern.split("+"))) != self.axles:
                raise Wrong(
                    f"pattern {pattern!r} 不是 {self.axles} 轴",
                    f"pattern {pattern!r} does not have {self.axles} axles",
                )
        return self

    def covers(self, axles: int) -> bool:
        """Whether the entry speaks of vehicles with that many axles."""
        return axles == self.axles or (self.or_more and axles > self.axles)


class GroupLimit(Cited):
    """A limit of one axle group, shown as information; ``spacing_mm`` is [least, greatest]."""

    axles: int = Field(ge=1, le=4)
    spacing_mm: tuple[int, int] | None = None
    limit_kg: int = Field(gt=0, le=100_000)

    @model_validator(mode="after")
    def _spacing_where_axles_stand_apart(self) -> GroupLimit:
        if (self.spacing_mm is None) != (self.axles == 1):
            raise Wrong(
                "两轴以上的轴组都要写 spacing_mm，单轴不写",
                "spacing_mm belongs to groups of two and more axles, and to all",
            )
        if self.spacing_mm and not 0 <= self.spacing_mm[0] <= self.spacing_mm[1]:
            raise Wrong("spacing_mm 要写 [最小, 最大]", "spacing_mm must be [least, greatest]")
        return self


class Statement(Cited):
    """A rule of counting that the sensors cannot apply; people are told of it."""

    key: Key
    zh: Words
    en: Words


class Amount(_Section):
    """A mass over the limit: in kg, or in thousandths of the limit."""

    kg: int | None = Field(default=None, ge=0)
    permille: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_of_two(self) -> Amount:
        if (self.kg is None) == (self.permille is None):
            raise Wrong("kg 和 permille 只写一个", "give either kg or permille")
        return self

    def of(self, limit_kg: int) -> int:
        """The mass in kilograms for a limit, rounded down."""
        return self.kg if self.kg is not None else limit_kg * (self.permille or 0) // 1000


class Step(_Section):
    """From this excess on, each unit costs so much, up to where the next step begins."""

    start: Amount
    yuan_per_unit: int = Field(ge=0)


class Tariff(Cited):
    """What a law asks for an excess of gross mass; open questions of its text are switches."""

    notice_to: Amount
    """Up to this excess there is a warning and no fine."""
    step: tuple[Step, ...] = Field(min_length=1)
    unit_kg: int = Field(gt=0)
    rounding: Literal["floor", "ceil", "pro_rata"]
    first_unit_counts: bool
    cap_yuan: int = Field(gt=0)

    @model_validator(mode="after")
    def _steps_rise(self) -> Tariff:
        by_kg = [step.start.kg for step in self.step if step.start.kg is not None]
        shares = [step.start.permille for step in self.step if step.start.permille is not None]
        starts = by_kg or shares
        if (by_kg and shares) or sorted(set(starts)) != starts:
            raise Wrong(
                "step 的 start 要用同一种单位，由小到大",
                "the start of each step must be in one unit, rising",
            )
        return self


class Basis(_Section):
    """On what a penalty by a record alone rests; without it the program states none."""

    law: Words
    article: Words
    document: Words
    approved_by: Words
    approved_on: date


class Barriers(Cited):
    """Why a flagged weighing has no legal result."""


class Light(_Section):
    """Vehicles too light for any limit: an axle under the scale's least load is no obstacle."""

    axles: int = Field(ge=1, le=20)
    below_kg: int = Field(ge=0)


class RuleSet(_Section):
    """What holds from one day to another, both included, by the calendar of the jurisdiction."""

    id: Words
    effective_from: date
    effective_until: date | None = None
    limit: tuple[GrossLimit, ...] = Field(min_length=1)
    axle_group: tuple[GroupLimit, ...] = ()
    statement: tuple[Statement, ...] = ()
    tariff: Tariff | None = None

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> RuleSet:
        if self.effective_until and self.effective_until < self.effective_from:
            raise Wrong(
                "effective_until 早于 effective_from",
                "effective_until lies before effective_from",
            )
        return self

    def holds_on(self, ordinal: int) -> bool:
        """Whether the set is in force on a day, counted as ``datetime.date.toordinal`` does."""
        last = self.effective_until.toordinal() if self.effective_until else ordinal
        return self.effective_from.toordinal() <= ordinal <= last


class BilingualText(_Section):
    """A sentence in both languages."""

    zh: Words
    en: Words


class PackFile(_Section):
    """The whole pack."""

    format: Literal["steelyard-pack/1"]
    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,48}$")]
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,32}$")]
    jurisdiction: Words
    utc_offset_minutes: int = Field(ge=-840, le=840)
    level: float = Field(gt=0.5, lt=1, default=0.975)
    barriers: Barriers
    light: Light
    basis: Basis | None = None
    set: tuple[RuleSet, ...] = Field(min_length=1)
    texts: dict[Key, BilingualText]

    @model_validator(mode="after")
    def _sets_do_not_overlap(self) -> PackFile:
        days = sorted((s.effective_from, s.effective_until or date.max, s.id) for s in self.set)
        for (_, last, before), (first, _, after) in pairwise(days):
            if first <= last:
                raise Wrong(
                    f"set {before!r} 和 {after!r} 在同一天有效",
                    f"sets {before!r} and {after!r} hold on the same day",
                )
        return self

    @model_validator(mode="after")
    def _every_reason_has_words(self) -> PackFile:
        # Packs that are older than a flag stay good: records are judged again with them.
        barriers = barrier_keys(LEGAL_BARRIERS & ~Flag.SEAL_BROKEN)
        wanted = {*barriers, *REASON_KEYS, *INFORMATION_KEYS}
        if missing := sorted(wanted - set(self.texts)):
            keys = ", ".join(missing)
            raise Wrong(f"texts：缺少 {keys} 的文字", f"texts: no words for {keys}")
        return self
