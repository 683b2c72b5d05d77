"""The floor: who is selected, how a case ends, and that a restart changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from edge.errors import InputError
from edge.inspection.floor import KEPT_CASES, NO_SHOW_NS, CaseState, Floor, Selection, selection_of

TIME_US = 1_750_000_000_000_000


def vehicle(
    index: int = 1,
    kind: str = "over",
    measured_kg: int = 55_000,
    u_kg: int = 500,
    limits: tuple[int, ...] = (46_000, 49_000),
    flags: tuple[str, ...] = (),
    reasons: tuple[str, ...] = (),
) -> dict[str, Any]:
    return {
        "index": index,
        "lane": "1",
        "flags": list(flags),
        "plate": {"text": "豫C8L930"},
        "verdict": {
            "kind": kind,
            "measured_kg": measured_kg,
            "u_kg": u_kg,
            "reasons": list(reasons),
            "limits": [{"limit_kg": kg} for kg in limits],
        },
    }


@pytest.mark.parametrize(
    ("body", "selected"),
    [
        (vehicle(), Selection.OVER),
        (vehicle(kind="within", measured_kg=30_000), None),
        (vehicle(kind="indeterminate", measured_kg=46_100), Selection.MAY_BE_OVER),
        # 2 u beyond the lowest limit is doubt, 2 u up to it is none
        (
            vehicle(kind="indeterminate", measured_kg=45_001, limits=(46_000,)),
            Selection.MAY_BE_OVER,
        ),
        (vehicle(kind="indeterminate", measured_kg=45_000, limits=(46_000,)), None),
        (
            vehicle(kind="indeterminate", measured_kg=20_000, flags=("STRADDLING",)),
            Selection.NO_LEGAL_WEIGHT,
        ),
        # a station without certificate selects by weight alone, or it would select everybody
        (vehicle(kind="indeterminate", measured_kg=20_000, flags=("UNCALIBRATED",)), None),
        (vehicle(kind="indeterminate", measured_kg=20_000, flags=("SEAL_BROKEN",)), None),
        (vehicle(kind="indeterminate", measured_kg=1_700, u_kg=30, flags=("STRADDLING",)), None),
        # who crossed so that there is no weight at all is not light
        (
            vehicle(1, "indeterminate", 0, 0, (), ("STOPPED",), ("no_weight",)),
            Selection.NO_LEGAL_WEIGHT,
        ),
    ],
)
def test_selection_has_a_reason(body: dict[str, Any], selected: Selection | None) -> None:
    assert selection_of(body) is selected


def test_guiding_seals_the_vehicle_and_closes_its_case() -> None:
    floor = Floor()
    floor.see("ab" * 32, vehicle(7), now_ns=10)
    draft = floor.guided(7, now_ns=10 + 90_000_000_000, time_us=TIME_US)
    assert [c.index for c in floor.waiting()] == [7], "only a sealed record closes a case"
    assert draft.kind == "case"
    assert draft.body["vehicle_record_id"] == "ab" * 32
    assert draft.body["waited_s"] == 90
    assert draft.body["by"] == "operator"
    assert "plate" not in draft.body, "a plate must be erasable"
    assert "plate" in draft.private
    floor.settle(draft.body)
    assert floor.waiting() == []
    with pytest.raises(InputError):
        floor.guided(7, now_ns=0, time_us=TIME_US)


def test_a_vehicle_that_was_not_selected_cannot_be_guided() -> None:
    floor = Floor()
    floor.see("00", vehicle(3, kind="within", measured_kg=1), now_ns=0)
    with pytest.raises(InputError, match="3"):
        floor.guided(3, now_ns=0, time_us=TIME_US)


def test_no_show_is_told_at_once_and_once() -> None:
    floor = Floor()
    floor.see("00", vehicle(1), now_ns=0)
    floor.see("01", vehicle(2), now_ns=NO_SHOW_NS)
    assert floor.no_shows(NO_SHOW_NS - 1, TIME_US) == []
    (draft,) = floor.no_shows(NO_SHOW_NS, TIME_US)
    assert (draft.body["vehicle_index"], draft.body["state"], draft.urgent) == (1, "expired", True)
    floor.settle(draft.body)
    assert floor.no_shows(NO_SHOW_NS, TIME_US) == []


def test_a_floor_rebuilt_from_records_is_the_same_floor() -> None:
    floor, bodies = Floor(), [vehicle(n) for n in range(6)]
    for body in bodies:
        floor.see(f"{body['index']}", body, now_ns=body["index"])
    sealed = [floor.guided(n, 100, TIME_US).body for n in (1, 4)]
    for body in sealed:
        floor.settle(body)
    again = Floor()
    for body in bodies:
        again.see(f"{body['index']}", body, now_ns=body["index"])
        again.see(f"{body['index']}", body, now_ns=999)
    for body in reversed(sealed):
        again.settle(body)
    assert again.waiting() == floor.waiting()
    case = again.case(4)
    assert case is not None
    assert case.state is CaseState.GUIDED


def test_memory_is_bounded_and_no_waiting_case_is_forgotten() -> None:
    floor = Floor()
    floor.see("first", vehicle(0), now_ns=0)
    for index in range(1, KEPT_CASES + 300):
        floor.see("x", vehicle(index), now_ns=0)
        floor.settle(floor.guided(index, 0, TIME_US).body)
    known = sum(floor.case(index) is not None for index in range(KEPT_CASES + 300))
    assert known <= KEPT_CASES + 1
    assert [case.index for case in floor.waiting()] == [0]
