"""Both languages say everything, and no page asks for a text that nobody wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edge.web
from edge.errors import Text
from edge.health import Level
from edge.inspection.floor import CaseState, Selection
from edge.records import Flag, VerdictKind
from edge.web import terms
from edge.web.texts import TEXTS, Speaker, language

ROOM = Path(edge.web.__file__).parent
ALL = {
    f"{name}[{key}]": text
    for name, table in {"TEXTS": TEXTS, **vars(terms)}.items()
    if isinstance(table, dict)
    for key, text in table.items()
    if isinstance(text, Text)
}


def test_every_text_stands_in_both_languages_with_the_same_places() -> None:
    assert len(ALL) > 150
    for name, text in ALL.items():
        zh, en = (sorted(re.findall(r"{\w*}", half)) for half in text)
        assert (bool(text.zh.strip()), bool(text.en.strip()), zh) == (True, True, en), name


def test_english_is_free_of_chinese_but_for_the_switch() -> None:
    chinese = [n for n, text in ALL.items() if re.search("[一-鿿]", text.en)]
    assert chinese == ["TEXTS[nav.language]"]


def test_pages_ask_only_for_texts_that_exist_and_every_text_is_asked_for() -> None:
    code = "\n".join(p.read_text() for p in [*ROOM.rglob("*.html"), *ROOM.glob("*.py")])
    asked = set(re.findall(r"""\bt\(\s*"([a-z0-9_.]+)"[,)]""", code))
    assert asked <= set(TEXTS)
    joined = ("head.", "recent.")  # keys that are put together from a state
    silent = {
        k for k in set(TEXTS) - asked if not k.startswith(joined) and code.count(f'"{k}"') < 2
    }
    assert silent == set()


def test_every_state_of_the_trade_has_a_word() -> None:
    assert set(terms.FLAGS) == {flag.name for flag in Flag if flag is not Flag.NONE}
    assert set(terms.VERDICTS) == set(VerdictKind)
    assert set(terms.SELECTIONS) == set(Selection)
    assert set(terms.CASES) == set(CaseState)
    assert set(terms.LEVELS) == set(Level)


def test_every_part_that_the_station_tells_of_has_a_name_for_people() -> None:
    code = "\n".join(path.read_text() for path in ROOM.parent.rglob("*.py"))
    told = set(re.findall(r'(?:health\.state|_supervised)\((?:\w+,)?\s*f?"([a-z]+)', code))
    assert {"web", "taps", "recovery"} <= told
    assert {part for part in told if terms.part_name(part).zh == part} == set()


def test_a_port_of_a_device_is_named_by_the_device() -> None:
    assert terms.part_name("digitiser.D1.port") == ("称重仪 D1 的端口", "Digitiser D1, its port")


def test_a_case_that_ran_out_accuses_no_driver() -> None:
    assert "没有人按" in terms.CASES["expired"].zh
    assert "nobody said" in terms.CASES["expired"].en


def test_no_page_calls_the_sites_own_calibration_a_verification_by_law() -> None:
    assert [name for name, text in ALL.items() if "检定" in text.zh] == []


def test_a_checked_article_claims_no_more_than_a_copy_of_it() -> None:
    assert "转载" in terms.CHECKED[True].zh
    assert "copy" in terms.CHECKED[True].en
    assert "记忆" not in terms.CHECKED[False].zh, "a damaged copy is unchecked too"


def test_unknown_language_is_chinese() -> None:
    assert [language(code) for code in ("en", "zh", "fr", None)] == ["en", "zh", "zh", "zh"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.9, "59 s"), (119, "1 min"), (7_200, "2 h"), (2e5, "2 days")],
)
def test_an_age_is_said_in_one_unit(seconds: float, said: str) -> None:
    assert Speaker("en").age(seconds) == said


def test_statements_of_the_rules_are_put_into_words() -> None:
    text = terms.figures_text(
        "group=2 axles=3 load_kg=32980 u_kg=594 limit_kg=24000 verified=false"
    )
    assert text.en == (
        "group 2, 3 axle(s), measured 32,980 kg, standard uncertainty 594 kg, limit 24,000 kg, "
        "not yet compared with the text of the law"
    )
    assert "24,000 kg" in text.zh
    assert terms.figures_text("Order 62, art. 43").en == "Order 62, art. 43"


def test_bilingual_sentence_is_halved() -> None:
    assert Speaker("zh").half("单轴驱动 / single drive axle") == "单轴驱动"
    assert Speaker("en").half("单轴驱动 / single drive axle") == "single drive axle"
    assert Speaker("en").half("第三条") == "第三条"
