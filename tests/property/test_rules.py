"""Relations that every verdict and every tariff keeps."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.records import Flag, VerdictKind
from edge.rules.judge import judge_measurement
from edge.rules.tariff import charge
from tests.unit.rules_packs import NATIONAL, RULES, TODAY_NS

masses = st.integers(1_000, 100_000)
uncertainties = st.integers(0, 5_000)
groups = st.lists(st.integers(1, 3), min_size=1, max_size=4)
configurations = groups.map(lambda digits: "+".join(map(str, digits)))
flags = st.sampled_from([Flag.NONE, Flag.LOAD_OUT_OF_RANGE, Flag.GAP, Flag.CLOCK_UNSURE])

SEVERITY = {VerdictKind.WITHIN: 0, VerdictKind.INDETERMINATE: 1, VerdictKind.OVER: 2}


def verdict(mass, u, configuration, flag=Flag.NONE):
    return judge_measurement(mass, u, configuration, flag, TODAY_NS, NATIONAL)


@settings(max_examples=80, deadline=None)
@given(masses, uncertainties, uncertainties, configurations, flags)
def test_more_doubt_never_accuses_and_never_acquits(mass, u, more, configuration, flag):
    less, sure = verdict(mass, u + more, configuration, flag), verdict(mass, u, configuration, flag)
    assert less.kind in {sure.kind, VerdictKind.INDETERMINATE}


@settings(max_examples=80, deadline=None)
@given(masses, masses, uncertainties, configurations)
def test_more_mass_is_never_judged_milder(mass, more, u, configuration):
    light, heavy = verdict(mass, u, configuration), verdict(mass + more, u, configuration)
    assert SEVERITY[light.kind] <= SEVERITY[heavy.kind]
    assert light.excess_kg <= heavy.excess_kg or light.limit_kg != heavy.limit_kg


@settings(max_examples=80, deadline=None)
@given(masses, uncertainties, configurations, flags)
def test_a_verdict_agrees_with_what_it_states(mass, u, configuration, flag):
    found = verdict(mass, u, configuration, flag)
    limits = [limit.limit_kg for limit in found.limits]
    assert found.lower_kg <= found.measured_kg == mass
    assert (found.kind is VerdictKind.INDETERMINATE) == bool(found.reasons)
    if found.kind is VerdictKind.OVER:
        assert found.excess_kg > 0
        assert found.lower_kg > max(limits) == found.limit_kg
    if found.kind is VerdictKind.WITHIN:
        assert found.excess_kg == 0
        assert mass <= min(limits) == found.limit_kg


@settings(max_examples=40, deadline=None)
@given(configurations, uncertainties)
def test_equal_to_the_lowest_limit_is_legal(configuration, u):
    limits = verdict(1_000, 0, configuration).limits
    if limits:
        assert verdict(limits[0].limit_kg, u, configuration).kind is VerdictKind.WITHIN
        assert verdict(limits[-1].limit_kg + 1, 0, configuration).kind is VerdictKind.OVER


@settings(max_examples=80, deadline=None)
@given(masses, masses, st.sampled_from([18_000, 43_000, 49_000]))
def test_the_tariff_rises_to_its_cap(mass, more, limit_kg):
    less = charge(RULES.tariff, mass, limit_kg)
    greater = charge(RULES.tariff, mass + more, limit_kg)
    assert less.yuan <= greater.yuan <= RULES.tariff.cap_yuan
    assert less.over == (mass > limit_kg)
