"""Rule packs: strict keys, dated sets, candidates by axles, words for every reason."""

from __future__ import annotations

import datetime
import hashlib
import re

import pytest

from edge.errors import ConfigError
from edge.records import LEGAL_BARRIERS
from edge.rules.pack import RulePack, axle_count, candidate_limits
from tests.unit.rules_packs import NATIONAL, RAW, RULES, changed

UTC8 = datetime.timezone(datetime.timedelta(hours=8))


def at_ns(*local: int) -> int:
    return int(datetime.datetime(*local, tzinfo=UTC8).timestamp()) * 10**9


def test_the_shipped_pack_is_bound_by_its_hash():
    assert NATIONAL.sha256 == hashlib.sha256(RAW).hexdigest()
    assert NATIONAL.label == f"{NATIONAL.id} {NATIONAL.version}"
    assert NATIONAL.level == 0.975


def test_rebuilt_pack_is_the_same_but_for_its_bytes():
    rebuilt = RulePack.parse(changed(lambda tree: None))
    assert rebuilt.file == NATIONAL.file
    assert rebuilt.sha256 != NATIONAL.sha256


@pytest.mark.parametrize(
    ("configuration", "limits_t"),
    [
        ("1+1", [18]),
        ("1+2", [25, 26]),
        ("2+1", [25, 26]),
        ("1+1+1", [27]),
        ("2+2", [31, 32]),
        ("1+1+2", [36, 37]),
        ("1+2+1", [35, 36]),
        ("1+2+2", [43]),
        ("2+1+2", [43]),
        ("1+1+3", [42, 42.5, 43]),
        ("1+2+3", [46, 49]),
        ("2+1+3", [46]),
        ("3", [25, 26, 27]),
        ("1+3", [31, 32, 35, 36, 37]),
        ("2+2+3", [46, 49]),
        ("1+2+1+1+1+2", [46, 49]),
        ("1", []),
        ("", []),
    ],
)
def test_axles_on_the_road_leave_these_limits_open(configuration, limits_t):
    found = candidate_limits(RULES, configuration)
    assert sorted({c.limit_kg for c in found}) == [t * 1000 for t in limits_t]
    assert [c.limit_kg for c in found] == sorted(c.limit_kg for c in found)


@pytest.mark.parametrize(("text", "axles"), [("1+2+3", 6), ("2", 2), ("", 0), ("1+x", 0), ("+", 0)])
def test_axle_count(text, axles):
    assert axle_count(text) == axles


def test_the_disputed_five_axle_values_stand_side_by_side():
    found = candidate_limits(RULES, "1+1+3")
    assert all(c.disputed for c in found)
    assert len({c.article for c in found}) == len({c.source for c in found}) == 3
    assert [c.verified for c in found] == [False, False, True]


def test_nothing_from_memory_is_verified():
    cited = [
        *RULES.limit,
        *RULES.axle_group,
        *RULES.statement,
        RULES.tariff,
        NATIONAL.file.barriers,
    ]
    assert {c.grade for c in cited if c.verified} <= {"A", "B"}
    assert not any(c.verified for c in RULES.axle_group)


def test_every_reason_has_words_in_both_languages():
    for flag in LEGAL_BARRIERS:
        words = NATIONAL.text(flag.name.lower())
        assert words.zh != words.en
    assert NATIONAL.text("never_heard_of").zh == "never_heard_of"


def two_sets(tree):
    old = {**tree["set"][0], "id": "old", "effective_from": datetime.date(2016, 9, 21)}
    old["effective_until"] = datetime.date(2021, 8, 10)
    tree["set"].append(old)


def test_the_law_of_the_day_by_the_local_calendar():
    pack = RulePack.parse(changed(two_sets))
    assert pack.at(at_ns(2016, 9, 20, 23, 59, 59)) is None
    assert pack.at(at_ns(2016, 9, 21)).id == "old"
    assert pack.at(at_ns(2021, 8, 10, 23, 59, 59)).id == "old"
    assert pack.at(at_ns(2021, 8, 11)).id == RULES.id
    assert pack.at(at_ns(2099, 1, 1)).id == RULES.id


def test_a_repealed_law_no_longer_holds():
    def end(tree):
        tree["set"][0]["effective_until"] = datetime.date(2027, 1, 1)

    pack = RulePack.parse(changed(end))
    assert pack.at(at_ns(2027, 1, 1, 12)) is not None
    assert pack.at(at_ns(2027, 1, 2)) is None


def _set(path, value):
    def change(tree):
        *way, last = path
        for step in way:
            tree = tree[step]
        tree[last] = value

    return change


def _step(**start):
    return {"start": start, "yuan_per_unit": 500}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set(["levle"], 0.9), "levle"),
        (_set(["set", 0, "limit", 0, "limit"], 1), "set[1].limit[1].limit: unknown key"),
        (_set(["set", 0, "limit", 2, "limit_kg"], -1), "set[1].limit[3].limit_kg"),
        (_set(["set", 0, "limit", 0, "axles"], 3), "does not have 3 axles"),
        (_set(["set", 0, "limit", 0, "vehicle"], "bus"), "'truck' or 'combination'"),
        (_set(["set", 0, "limit", 0, "grade"], "C"), "verified must be false"),
        (_set(["set", 0, "limit", 0, "patterns"], []), "patterns"),
        (_set(["set", 0, "effective_until"], datetime.date(2001, 1, 1)), "before effective_from"),
        (_set(["set", 0, "tariff", "rounding"], "up"), "'floor', 'ceil' or 'pro_rata'"),
        (
            _set(["set", 0, "tariff", "notice_to"], {"kg": 1, "permille": 2}),
            "either kg or permille",
        ),
        (_set(["set", 0, "tariff", "step"], [_step(kg=2_000), _step(kg=1_000)]), "rising"),
        (_set(["set", 0, "tariff", "step"], [_step(kg=0), _step(permille=500)]), "in one unit"),
        (_set(["set", 0, "axle_group", 0, "spacing_mm"], [0, 9]), "spacing_mm"),
        (_set(["set", 0, "axle_group", 4, "spacing_mm"], [9, 0]), "[least, greatest]"),
        (_set(["level"], 0.5), "level"),
        (lambda tree: tree["texts"].pop("wheel_off"), "wheel_off"),
        (lambda tree: tree["set"].append({**tree["set"][0], "id": "twin"}), "same day"),
        (lambda tree: tree.pop("jurisdiction"), "jurisdiction: is missing"),
    ],
)
def test_a_wrong_pack_is_refused_with_file_and_key(change, said):
    with pytest.raises(ConfigError) as caught:
        RulePack.parse(changed(change), "my.toml")
    assert "my.toml" in caught.value.what.zh
    assert "my.toml" in caught.value.what.en
    assert said in caught.value.what.en
    assert not re.search(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b", caught.value.what.zh)


@pytest.mark.parametrize("raw", [b"level = ", b"\xff\xfe", b""])
def test_bytes_that_are_no_pack_are_refused(raw):
    with pytest.raises(ConfigError):
        RulePack.parse(raw)
