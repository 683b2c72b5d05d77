"""The document for other programs says what this program does: topics, payloads, sizes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge.evidence.canonical import canonical
from edge.evidence.envelope import Envelope, verify_envelope
from edge.evidence.note import NoteVerifier
from edge.evidence.receipt import Receipt
from edge.uplink.topics import CHUNK_BYTES, Presence, Topics, parse_up, read_object
from tests.unit.test_statement import statement, vehicle

DOCUMENT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "asyncapi.json").read_text(encoding="utf-8")
)
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]


def _examples(message: str) -> list[Any]:
    return [example["payload"] for example in MESSAGES[message]["examples"]]


def _resolve(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = DOCUMENT
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def _nodes(node: Any) -> Any:
    yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _nodes(child)


def test_every_reference_leads_somewhere() -> None:
    for node in _nodes(DOCUMENT):
        assert _resolve(node) is not None


def test_the_addresses_are_the_topics_and_no_other() -> None:
    topics = Topics("{station}")
    addresses = {name: channel["address"] for name, channel in DOCUMENT["channels"].items()}
    assert addresses == {
        "key": topics.key,
        "state": topics.state,
        "telemetry": topics.telemetry,
        "record": topics.record,
        "receipt": topics.receipt,
        "blob": topics.blob("{sha256}", "{number}", "{count}"),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("name", DOCUMENT["channels"])
def test_the_example_of_each_parameter_makes_a_topic_that_is_understood(name: str) -> None:
    channel = DOCUMENT["channels"][name]
    values = {key: _resolve(p)["examples"][0] for key, p in channel["parameters"].items()}
    assert set(values) == set(re.findall(r"{(\w+)}", channel["address"]))
    upward = parse_up(channel["address"].format(**values))
    assert (upward.what if upward else "receipt") == name


def test_every_channel_has_one_operation_with_quality_1() -> None:
    operations = DOCUMENT["operations"].values()
    assert [_resolve(o["channel"]) for o in operations] == list(DOCUMENT["channels"].values())
    assert all(o["bindings"]["mqtt"]["qos"] == 1 for o in operations)
    retained = {
        o["channel"]["$ref"].rpartition("/")[2]
        for o in operations
        if o["bindings"]["mqtt"].get("retain")
    }
    assert retained == {"key", "state"}


def test_the_example_record_proves_itself_with_the_example_key() -> None:
    [key], [tree] = _examples("key"), _examples("record")
    envelope = Envelope.decode(json.dumps(tree).encode())
    body = verify_envelope(envelope, NoteVerifier(key))
    assert canonical(tree) == envelope.encode()
    [piece], [blob] = _examples("blob"), body["blobs"]
    assert hashlib.sha256(piece.encode()).hexdigest() == blob["sha256"]
    assert set(tree) == set(_resolve(MESSAGES["record"]["payload"])["properties"])


def test_the_example_receipts_are_of_that_record_and_hold() -> None:
    centre = NoteVerifier(MESSAGES["receipt"]["x-centre-key"])
    receipts = [Receipt.decode(note.encode(), centre) for note in _examples("receipt")]
    assert [r.status for r in receipts] == ["stored", "refused"]
    [tree] = _examples("record")
    record_id = Envelope.decode(json.dumps(tree).encode()).record_id
    assert {r.record_id for r in receipts} == {record_id}
    fields = json.loads(receipts[0].note.splitlines()[1])
    assert set(fields) == set(DOCUMENT["components"]["schemas"]["receipt"]["properties"])


def test_the_example_states_are_all_there_are() -> None:
    schema = _resolve(MESSAGES["state"]["payload"])["properties"]
    decoded = [Presence.decode(json.dumps(p).encode()) for p in _examples("state")]
    assert {p.state for p in decoded} == set(schema["state"]["enum"])
    assert {p.reason for p in decoded} == set(schema["reason"]["enum"])


def test_the_example_telemetry_is_an_object_of_its_schema() -> None:
    [telemetry] = _examples("telemetry")
    schema = _resolve(MESSAGES["telemetry"]["payload"])
    assert set(read_object(json.dumps(telemetry).encode())) == set(schema["properties"])


def test_the_size_of_a_piece_is_stated() -> None:
    assert str(CHUNK_BYTES) in MESSAGES["blob"]["summary"]


def test_what_a_record_was_weighed_with_has_the_stated_form() -> None:
    schema = DOCUMENT["components"]["schemas"]["dynamics"]
    body = statement(vehicle()).body
    named = body["dynamics"]
    assert set(named) == set(schema["properties"]) == set(schema["required"])
    assert re.fullmatch(schema["properties"]["sha256"]["pattern"], named["sha256"])
    stated = DOCUMENT["components"]["schemas"]["statement"]["required"]
    assert set(stated) - {"station", "index"} <= set(body)
