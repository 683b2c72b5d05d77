"""The page of statements names every kind and every field that the station seals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.errors import Text
from edge.evidence import events
from edge.inspection.floor import Floor
from edge.records import Draft, HostStamp
from tests.unit.test_floor import TIME_US, vehicle

DOC = (Path(__file__).parents[2] / "docs" / "statements.md").read_text(encoding="utf-8")
EVERY = {"schema", "kind", "time_us"}


def case() -> Draft:
    floor = Floor()
    floor.see("ab" * 32, vehicle(7), now_ns=10)
    return floor.guided(7, now_ns=20, time_us=TIME_US)


TOLD = Text("", "")
DRAFTS = (
    events.configuration_draft(0, {}, changed=(), previous=None, blobs=()),
    events.software_draft(0, {}, None),
    events.device_draft(0, "", "fault", level="", text=TOLD, outages=0, bad_us=0),
    events.identity_draft(0, "", "first", now={}, before=None),
    events.firmware_draft(0, "", "ordered", image={}, signer="", by="", block=0, blocks=0),
    events.gap_draft(0, "", (), first_sample=0, end_sample=0, lost=0, gaps=0, restarted=False),
    events.clock_boot_draft(0, None, None),
    events.clock_stepped_draft(0, 0, 0),
    events.clock_lost_draft(0, 0),
    events.clock_synchronised_draft(0, 0, 0, (0, 1)),
    events.operator_draft(0, "", {}),
    events.command_draft(0, "", number=0, action="", arguments={}, issued_us=0),
    events.witness_draft(0, "", "", size=0, known_size=0, known=None),
    case(),
)


def rows(kind: str) -> str:
    """The rows of a kind, those without a name of their own among them."""
    lines = [line for line in DOC.splitlines() if line.startswith("|")]
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| `{kind}` |"))
    after = lines[begin + 1 :]
    more = next((n for n, line in enumerate(after) if not line.startswith("| |")), len(after))
    return "\n".join([lines[begin], *after[:more]])


@pytest.mark.parametrize("draft", DRAFTS, ids=lambda draft: draft.kind)
def test_every_field_is_named(draft: Draft) -> None:
    named = set(re.findall(r"`(\w+)`", rows(draft.kind)))
    assert draft.body.keys() - EVERY - {"event"} <= named


def test_what_every_statement_carries_is_named() -> None:
    stamp = HostStamp("", 0, True).to_body()
    named = set(re.findall(r"`(\w+)`", DOC))
    assert stamp.keys() | stamp["clock_host"].keys() | EVERY <= named


def test_the_example_adds_up() -> None:
    example = r'"offset_us":(\d+).*"mono_us":(\d+).*= ([\d ]+) µs'
    found = re.search(example, DOC, re.DOTALL)
    assert found is not None
    offset, mono, total = (int(text.replace(" ", "")) for text in found.groups())
    assert offset + mono == total
