"""The station's floor: which selected vehicles still wait to be guided to the precise scale.

Pure: clocks and records are handed in. A case opens by a rule on the sealed vehicle record and
closes only by a sealed case record (``settle``), so that the floor after a restart is the floor
before it. Selecting needs a reason: no vehicle is stopped without one
(双随机、一公开: no unexplained stops; 非现场执法: the lane itself decides nothing).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge.errors import InputError
from edge.evidence.statement import other_draft
from edge.records import LEGAL_BARRIERS, Draft, Flag
from edge.rules.reasons import NO_WEIGHT

NO_SHOW_NS = 30 * 60 * 1_000_000_000
"""After half an hour a vehicle is gone: its case ends, and the centre hears of it. That nobody said
it was guided is all that is known; whether the driver stayed away is not."""

LIGHT_KG = 3_500
"""Below this gross mass nobody is guided: the limits of the packs begin at lorries."""

KEPT_CASES = 1_000

_EVASION = LEGAL_BARRIERS & ~(Flag.UNCALIBRATED | Flag.LOAD_OUT_OF_RANGE | Flag.SEAL_BROKEN)
"""Not what no driver has a part in: it would select everybody."""


class CaseState(enum.StrEnum):
    """Where a case stands."""

    WAITING = "waiting"
    GUIDED = "guided"
    EXPIRED = "expired"


class Selection(enum.StrEnum):
    """Why a vehicle was selected."""

    OVER = "over"
    MAY_BE_OVER = "may_be_over"
    NO_LEGAL_WEIGHT = "no_legal_weight"


@dataclass(frozen=True, slots=True)
class Case:
    """One selected vehicle; ``opened_ns`` is on the monotonic clock of the station."""

    index: int
    record_id: str
    lane: str
    plate: str
    selection: Selection
    opened_ns: int
    state: CaseState = CaseState.WAITING


def selection_of(body: Mapping[str, Any]) -> Selection | None:
    """Why the vehicle of a record is to be weighed precisely; None where it may drive on.

    An indeterminate vehicle is selected if the upper end of its expanded uncertainty (k = 2)
    passes the lowest limit that may hold, or if it crossed the lane so that no legal weight
    could come of it (braking, straddling, stopping: ways to evade).
    """
    verdict = body["verdict"]
    upper_kg = verdict["measured_kg"] + 2 * verdict["u_kg"]
    light = upper_kg < LIGHT_KG and NO_WEIGHT not in verdict["reasons"]
    if verdict["kind"] == "over":
        return Selection.OVER
    if verdict["kind"] == "within" or light:
        return None
    if any(Flag[name] & _EVASION for name in body["flags"]):
        return Selection.NO_LEGAL_WEIGHT
    limits = [limit["limit_kg"] for limit in verdict["limits"]]
    return Selection.MAY_BE_OVER if limits and upper_kg > min(limits) else None


class Floor:
    """Open and recently closed cases, by the index of the vehicle's record."""

    def __init__(self, no_show_ns: int = NO_SHOW_NS) -> None:
        self._no_show_ns = no_show_ns
        self._cases: dict[int, Case] = {}

    def see(self, record_id: str, body: Mapping[str, Any], now_ns: int) -> Case | None:
        """Open a case for a sealed vehicle if it is selected; seeing it again changes nothing."""
        index = body["index"]
        selection = selection_of(body)
        if selection is None or index in self._cases:
            return self._cases.get(index)
        plate = body["plate"]["text"]
        case = Case(index, record_id, body["lane"], plate, selection, now_ns)
        self._cases[index] = case
        self._forget_oldest()
        return case

    def settle(self, body: Mapping[str, Any]) -> None:
        """Apply a sealed case record: the only way in which a case changes."""
        case = self._cases.get(body["vehicle_index"])
        if case is not None:
            self._cases[case.index] = replace(case, state=CaseState(body["state"]))

    def guided(self, index: int, now_ns: int, time_us: int) -> Draft:
        """What is to be sealed when the operator has guided a vehicle to the precise scale.

        Raises
        ------
        InputError
            No such vehicle waits: it was never selected, or its case is closed.
        """
        case = self._cases.get(index)
        if case is None or case.state is not CaseState.WAITING:
            raise InputError(
                f"第 {index} 号记录的车辆不在等待引导",
                f"the vehicle of record {index} does not wait to be guided",
                next_zh="回到现场页，看看它是否已经处理",
                next_en="go back to the live page and see whether it is already dealt with",
            )
        return self._draft(case, CaseState.GUIDED, now_ns, time_us)

    def no_shows(self, now_ns: int, time_us: int) -> list[Draft]:
        """What is to be sealed of vehicles that nobody guided in time."""
        return [
            self._draft(case, CaseState.EXPIRED, now_ns, time_us)
            for case in self.waiting()
            if now_ns - case.opened_ns >= self._no_show_ns
        ]

    def waiting(self) -> list[Case]:
        """Cases that wait, the oldest first."""
        return [case for case in self._cases.values() if case.state is CaseState.WAITING]

    def case(self, index: int) -> Case | None:
        """The case of a vehicle record, None where it was not selected or is long closed."""
        return self._cases.get(index)

    def _draft(self, case: Case, state: CaseState, now_ns: int, time_us: int) -> Draft:
        fields = {
            "lane": case.lane,
            "vehicle_index": case.index,
            "vehicle_record_id": case.record_id,
            "selection": str(case.selection),
            "state": str(state),
            "by": "operator" if state is CaseState.GUIDED else "station",
            "waited_s": (now_ns - case.opened_ns) // 1_000_000_000,
        }
        draft = other_draft("case", time_ns=time_us * 1_000, fields=fields)
        body = draft.body | {"schema": "steelyard/case/2"}
        private = {"plate": case.plate}
        return replace(draft, body=body, private=private, urgent=state is CaseState.EXPIRED)

    def _forget_oldest(self) -> None:
        closed = [i for i, c in self._cases.items() if c.state is not CaseState.WAITING]
        for index in closed[: max(0, len(self._cases) - KEPT_CASES)]:
            del self._cases[index]
