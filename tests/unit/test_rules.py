"""The judge, the tariff and what is said beside a verdict."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest

from edge.records import (
    LEGAL_BARRIERS,
    AxleGroup,
    ClockReading,
    Flag,
    JoinKind,
    Passage,
    PlateJoin,
    Vehicle,
    VerdictKind,
)
from edge.rules.judge import judge, judge_measurement
from edge.rules.pack import RulePack
from edge.rules.tariff import charge
from tests.unit.calibration_passages import digitiser, passage
from tests.unit.rules_packs import NATIONAL, RULES, TODAY_NS, changed

WITHIN, OVER, INDETERMINATE = VerdictKind.WITHIN, VerdictKind.OVER, VerdictKind.INDETERMINATE


def verdict(measured_kg, u_kg=100, configuration="1+2+2", flags=Flag.NONE, time_ns=TODAY_NS):
    return judge_measurement(measured_kg, u_kg, configuration, flags, time_ns, NATIONAL)


def vehicle(configuration: str, loads_kg, u_rel=0.005, flags=Flag.NONE, spacing_m=1.35) -> Vehicle:
    """A vehicle of these axle loads in the groups of its configuration."""
    shown = passage(digitiser(), np.repeat(np.array(loads_kg) / 2, 8).reshape(-1, 4, 2))
    counts = [int(digit) for digit in configuration.split("+")]
    firsts = np.cumsum([0, *counts[:-1]])
    groups = tuple(
        AxleGroup(int(f), n, float(sum(loads_kg[f : f + n])), u_rel * sum(loads_kg[f : f + n]))
        for f, n in zip(firsts, counts, strict=True)
    )
    spacings = np.full(len(loads_kg) - 1, spacing_m)
    spacings[firsts[1:] - 1] = 4.0
    gross_kg = float(sum(loads_kg))
    seen: Passage = replace(
        shown,
        groups=groups,
        configuration=configuration,
        axles=replace(shown.axles, spacing_m=spacings),
        gross_kg=gross_kg,
        u_gross_kg=u_rel * gross_kg,
        flags=flags,
    )
    clock = ClockReading(0, TODAY_NS, 5e5, 1_000_000, 0.0, True)
    return Vehicle("S1", TODAY_NS, clock, seen, PlateJoin(JoinKind.MISSING, None), flags)


# ---- the verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configuration", "measured_kg", "kind", "reasons", "limit_kg"),
    [
        ("1+1", 18_000, WITHIN, (), 18_000),
        ("1+1", 18_001, INDETERMINATE, ("within_uncertainty",), 18_000),
        ("1+1", 18_195, INDETERMINATE, ("within_uncertainty",), 18_000),
        ("1+1", 18_197, OVER, (), 18_000),
        ("1+2", 25_500, INDETERMINATE, ("limit_unseen",), 26_000),
        ("1+2", 26_500, OVER, (), 26_000),
        ("1+1+3", 42_000, WITHIN, (), 42_000),
        ("1+1+3", 42_400, INDETERMINATE, ("limit_disputed",), 43_000),
        ("1+1+3", 42_600, INDETERMINATE, ("within_uncertainty", "limit_disputed"), 43_000),
        ("1+1+3", 43_200, OVER, (), 43_000),
        ("1+2+1", 35_500, INDETERMINATE, ("limit_disputed",), 36_000),
        # Lorry (31, 32 t) or combination (36, 37, disputed 35 t): no text names these groups.
        ("1+3", 33_000, INDETERMINATE, ("limit_unseen",), 37_000),
        ("1+3", 35_500, INDETERMINATE, ("limit_disputed", "limit_unseen"), 37_000),
        ("1+2+3", 46_000, WITHIN, (), 46_000),
        ("1+2+3", 48_000, INDETERMINATE, ("limit_unseen",), 49_000),
        ("2+1+3", 48_000, OVER, (), 46_000),
        ("1", 9_000, INDETERMINATE, ("no_limit",), None),
        ("1+1", 900, WITHIN, (), 18_000),
    ],
)
def test_verdicts(configuration, measured_kg, kind, reasons, limit_kg):
    found = verdict(measured_kg, 100, configuration)
    assert (found.kind, found.reasons, found.limit_kg) == (kind, reasons, limit_kg)


def test_the_lower_end_is_the_one_sided_interval_rounded_down():
    # 1.959964 is the 97.5 % quantile of the normal distribution.
    assert verdict(50_000, 250).lower_kg == 49_510
    assert verdict(50_000, 0).lower_kg == 50_000
    certain = verdict(43_001, 0)
    assert (certain.kind, certain.excess_kg) == (OVER, 1)


def test_excess_refers_to_the_deciding_limit():
    found = verdict(53_900, 300, "1+2+3")
    assert (found.limit_kg, found.excess_kg, found.excess_pct) == (49_000, 4_900, 10.0)
    assert [limit.limit_kg for limit in found.limits] == [46_000, 49_000]
    assert found.article == found.limits[-1].article
    assert (found.pack, found.pack_sha256) == (NATIONAL.label, NATIONAL.sha256)


def test_each_barrier_gives_its_reason_and_no_limit_decides():
    for flag in LEGAL_BARRIERS:
        found = verdict(80_000, 100, flags=flag)
        assert (found.kind, found.reasons) == (INDETERMINATE, (flag.name.lower(),))
        assert (found.limit_kg, found.excess_kg, found.article) == (None, 0, "")
        assert found.limits
        assert not found.verified
    several = verdict(80_000, 100, flags=Flag.GAP | Flag.STOPPED | Flag.CLOCK_UNSURE)
    assert several.reasons == ("gap", "stopped")


@pytest.mark.parametrize("flag", [f for f in Flag if f not in LEGAL_BARRIERS])
def test_other_flags_do_not_bar_a_result(flag):
    assert verdict(60_000, 100, flags=flag).kind is OVER


def test_a_car_below_the_scales_least_load_is_no_case():
    assert verdict(1_400, 60, "1+1", Flag.LOAD_OUT_OF_RANGE).kind is WITHIN
    assert verdict(3_450, 60, "1+1", Flag.LOAD_OUT_OF_RANGE).kind is INDETERMINATE
    assert verdict(1_400, 60, "1+1", Flag.LOAD_OUT_OF_RANGE | Flag.GAP).reasons == ("gap",)
    assert verdict(1_400, 60, "1+2", Flag.LOAD_OUT_OF_RANGE).kind is INDETERMINATE


def test_before_the_first_law_nothing_is_judged():
    early_ns = int(datetime.datetime(2015, 1, 1, tzinfo=datetime.UTC).timestamp()) * 10**9
    found = verdict(80_000, 100, time_ns=early_ns)
    assert (found.kind, found.reasons, found.limits) == (INDETERMINATE, ("no_law_for_date",), ())


def test_the_law_of_the_vehicles_day_is_applied():
    def stricter_from_2027(tree):
        stricter = {**tree["set"][0], "id": "new", "effective_from": datetime.date(2027, 1, 1)}
        stricter["limit"] = [entry | {"limit_kg": 10_000} for entry in stricter["limit"]]
        tree["set"][0]["effective_until"] = datetime.date(2026, 12, 31)
        tree["set"].append(stricter)

    pack = RulePack.parse(changed(stricter_from_2027))
    year_ns = 365 * 86_400 * 10**9
    kinds = [
        judge_measurement(15_000, 100, "1+1", Flag.NONE, t, pack).kind
        for t in (TODAY_NS, TODAY_NS + year_ns)
    ]
    assert kinds == [WITHIN, OVER]


@pytest.mark.parametrize("bad", [{"gross_kg": np.nan}, {"u_gross_kg": np.inf}, {"u_gross_kg": -1}])
def test_a_weight_that_is_none_is_not_judged(bad):
    one = vehicle("1+2", [7_000, 9_000, 9_000])
    found = judge(replace(one, passage=replace(one.passage, **bad)), NATIONAL)
    assert (found.kind, found.reasons, found.measured_kg) == (INDETERMINATE, ("no_weight",), 0)


# ---- beside the verdict --------------------------------------------------------------------------


def test_over_states_the_tariff_for_both_ends():
    found = judge(vehicle("1+2+3", [7_000, 14_000, 14_000, 15_000, 15_000, 15_000]), NATIONAL)
    stated = dict(found.information)
    assert found.kind is OVER
    assert stated["tariff_yuan"] == "15500"
    assert int(stated["tariff_yuan_lower_end"]) < 15_500
    assert "第四十三条" in stated["tariff_basis"]
    assert not any(key.startswith("penalty") for key in stated)


def test_within_states_no_money():
    found = judge(vehicle("1+2+2", [6_000, 8_000, 8_000, 8_000, 8_000]), NATIONAL)
    assert (found.kind, found.information) == (WITHIN, ())


def test_axle_groups_over_are_information_only():
    one = vehicle("1+1+3", [6_000, 9_000, 8_600, 8_600, 8_600])
    found = judge(one, NATIONAL)
    assert found.kind is WITHIN
    [(key, value)] = found.information
    assert key == "axle_group_over"
    assert "group=3 axles=3 load_kg=25800" in value
    assert "limit_kg=24000 verified=false" in value


def test_a_group_near_two_bands_gets_the_generous_one():
    narrow = vehicle("1+2", [6_000, 8_800, 8_800], spacing_m=1.25)
    unsure = vehicle("1+2", [6_000, 8_800, 8_800], spacing_m=1.285)
    assert judge(narrow, NATIONAL).information
    assert not judge(unsure, NATIONAL).information


def test_a_group_within_its_uncertainty_is_not_named():
    sure = judge(vehicle("1+1+3", [6_000, 9_000, 8_200, 8_200, 8_200], 0.005), NATIONAL)
    unsure = judge(vehicle("1+1+3", [6_000, 9_000, 8_200, 8_200, 8_200], 0.02), NATIONAL)
    assert sure.information
    assert not unsure.information


def test_a_barred_weighing_carries_no_information():
    one = vehicle("1+2+3", [7_000, 14_000, 14_000, 15_000, 15_000, 15_000], flags=Flag.GAP)
    assert judge(one, NATIONAL, penalty_by_record=True).information == ()


def heavy():
    return vehicle("1+2+2", [7_000, 15_000, 15_000, 14_000, 14_000])


def with_basis(tree):
    tree["basis"] = {
        "law": "某省条例",
        "article": "第九条",
        "document": "批复1号",
        "approved_by": "省厅",
        "approved_on": datetime.date(2026, 1, 1),
    }


def test_no_penalty_without_a_basis():
    stated = dict(judge(heavy(), NATIONAL, penalty_by_record=True).information)
    assert stated["penalty_withheld"] == "no_basis"
    assert "penalty_yuan" not in stated


def test_no_penalty_on_facts_from_memory():
    def unsure(tree):
        with_basis(tree)
        tree["set"][0]["tariff"]["verified"] = False
        for entry in tree["set"][0]["limit"]:
            entry["verified"] = False

    stated = dict(
        judge(heavy(), RulePack.parse(changed(unsure)), penalty_by_record=True).information
    )
    assert stated["penalty_withheld"] == "unverified_tariff,unverified_limit"


def test_a_penalty_rests_on_the_proven_excess_and_names_its_basis():
    pack = RulePack.parse(changed(with_basis))
    stated = dict(judge(heavy(), pack, penalty_by_record=True).information)
    assert stated["penalty_yuan"] == stated["tariff_yuan_lower_end"]
    assert int(stated["penalty_yuan"]) < int(stated["tariff_yuan"])
    assert "第九条" in stated["penalty_basis"]
    assert "2026-01-01" in stated["penalty_basis"]
    assert "penalty_yuan" not in dict(judge(heavy(), pack).information)


def test_no_penalty_for_what_passed_before_its_basis_was_approved():
    def later(tree):
        with_basis(tree)
        tree["basis"]["approved_on"] = datetime.date(2027, 1, 1)

    pack = RulePack.parse(changed(later))
    stated = dict(judge(heavy(), pack, penalty_by_record=True).information)
    assert stated["penalty_withheld"] == "no_basis"
    assert "penalty_yuan" not in stated
    first_ns = int(datetime.datetime(2026, 12, 31, 16, tzinfo=datetime.UTC).timestamp()) * 10**9
    assert pack.basis_at(first_ns - 1) is None
    assert pack.basis_at(first_ns) is pack.file.basis  # the day begins at 16:00 UTC


# ---- the tariff ----------------------------------------------------------------------------------


def tariff(**changes):
    return RULES.tariff.model_validate(RULES.tariff.model_dump() | changes)


@pytest.mark.parametrize(
    ("limit_kg", "measured_kg", "expected"),
    [
        (49_000, 49_000, (False, 0)),
        (49_000, 49_001, (True, 0)),
        (49_000, 50_000, (True, 0)),
        (49_000, 50_001, (True, 500)),
        (49_000, 51_100, (True, 1_000)),
        (49_000, 80_000, (True, 15_500)),
        (18_000, 79_000, (True, 30_000)),
    ],
)
def test_article_43(limit_kg, measured_kg, expected):
    assert charge(RULES.tariff, measured_kg, limit_kg) == expected


@pytest.mark.parametrize(
    ("changes", "measured_kg", "yuan"),
    [
        ({"rounding": "ceil"}, 51_100, 1_500),
        ({"rounding": "pro_rata"}, 51_100, 1_050),
        ({"rounding": "pro_rata"}, 51_101, 1_050),
        ({"first_unit_counts": False}, 51_100, 500),
        ({"first_unit_counts": False, "rounding": "ceil"}, 50_001, 500),
    ],
)
def test_open_questions_of_the_text_are_switches(changes, measured_kg, yuan):
    assert charge(tariff(**changes), measured_kg, 49_000).yuan == yuan


@pytest.mark.parametrize(("rounding", "yuan"), [("pro_rata", 7_660), ("floor", 7_200)])
def test_a_tariff_by_shares_of_the_limit(rounding, yuan):
    # Zhejiang highway regulation, art. 53: to 20 % no fine, then 300, above 50 % 500 a tonne.
    steps = (
        {"start": {"permille": 200}, "yuan_per_unit": 300},
        {"start": {"permille": 500}, "yuan_per_unit": 500},
    )
    provincial = tariff(notice_to={"permille": 200}, step=steps, rounding=rounding)
    assert charge(provincial, 80_000, 49_000).yuan == yuan
    assert charge(provincial, 58_800, 49_000) == (True, 0)
