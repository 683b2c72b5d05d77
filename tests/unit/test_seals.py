"""Whose device it is: first sight, changes, updates, a person's word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.evidence.events import identity_draft
from edge.seals import MISSING_S, SETTLE_S, Identity, Seal, SealState

KNOWN = Identity("S1", "LC8", "1.0", "aa" * 32)
SILENT = replace(KNOWN, image_sha256=None)
UPDATED = replace(KNOWN, firmware="1.1", image_sha256="bb" * 32)
BOOTED = replace(UPDATED, image_sha256=None)


def seal(accepted: Identity | None = KNOWN) -> Seal:
    made = Seal()
    made.load(told("first", accepted) if accepted else None)
    return made


def told(event: str, now: Identity, before: Identity | None = None) -> dict[str, object]:
    draft = identity_draft(
        0, "D1", event, now=now.to_body(), before=before.to_body() if before else None
    )
    return dict(draft.body)


def test_the_first_device_is_taken_on_trust() -> None:
    made = seal(None)
    assert made.look(KNOWN, 0.0, None) == "first"
    assert made.look(KNOWN, 1.0, None) is None
    assert (made.state, made.bars) == (SealState.WHOLE, False)


def test_a_device_without_a_hash_is_waited_for_before_its_silence_is_trusted() -> None:
    made = seal(None)
    assert made.look(SILENT, 0.0, None) is None
    assert not made.bars
    assert made.look(SILENT, SETTLE_S, None) == "first"
    assert made.look(KNOWN, SETTLE_S + 1, None) == "changed", "it never had a hash"


@pytest.mark.parametrize("field", ["serial", "model", "firmware", "image_sha256"])
def test_any_change_breaks_the_seal_for_good(field: str) -> None:
    made = seal()
    other = replace(KNOWN, **{field: "other"})
    assert made.look(other, 0.0, None) == "changed"
    assert made.look(other, 1.0, None) is None, "said once"
    assert made.look(KNOWN, 2.0, None) is None
    assert made.state is SealState.BROKEN, "changing it back mends nothing"
    made.accept(KNOWN)
    assert made.look(KNOWN, 3.0, None) is None
    assert made.state is SealState.WHOLE


def test_a_hash_that_is_late_bars_and_one_that_stays_away_breaks() -> None:
    made = seal()
    assert made.look(SILENT, 0.0, None) is None
    assert (made.state, made.bars) == (SealState.UNPROVEN, True)
    assert made.look(KNOWN, 1.0, None) is None
    assert made.state is SealState.WHOLE
    assert made.look(SILENT, MISSING_S, None) == "changed"


def test_an_ordered_program_is_on_trial_and_may_go_back() -> None:
    made = seal()
    ordered = UPDATED.image_sha256
    assert made.look(BOOTED, 0.0, ordered) is None
    assert made.state is SealState.UNPROVEN
    assert made.look(UPDATED, 0.1, ordered) is None
    assert (made.state, made.bars) == (SealState.TRIAL, True)
    assert made.look(KNOWN, 0.0, ordered) is None
    assert made.state is SealState.WHOLE


def test_an_order_explains_its_own_image_alone() -> None:
    other = replace(UPDATED, image_sha256="cc" * 32)
    assert seal().look(other, 0.0, UPDATED.image_sha256) == "changed"
    assert seal().look(replace(BOOTED, serial="S2"), SETTLE_S, UPDATED.image_sha256) == "changed"
    assert seal().look(UPDATED, 0.0, None) == "changed"


def test_a_change_is_stated_with_its_hash_and_bars_before() -> None:
    made = seal()
    assert made.look(BOOTED, 0.0, None) is None
    assert made.bars
    assert made.look(UPDATED, 0.1, None) == "changed"


def test_a_broken_seal_outlives_the_station() -> None:
    made = Seal()
    made.load(told("changed", UPDATED, KNOWN))
    assert made.accepted == KNOWN
    for seen in (KNOWN, UPDATED):
        assert made.look(seen, 0.0, None) is None, "the log says it already"
        assert made.state is SealState.BROKEN


def test_nothing_is_judged_before_the_log_was_read() -> None:
    made = Seal()
    assert made.look(UPDATED, 99.0, None) is None
    assert (made.state, made.bars) == (SealState.UNKNOWN, False)
    made.load(told("first", KNOWN))
    assert made.look(UPDATED, 100.0, None) == "changed"
