"""The document for other programs says what this program does: topics, payloads, sizes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edge.evidence.batch import MAX_RECORDS, EnvelopeBatch
from edge.evidence.canonical import canonical
from edge.evidence.command import Command
from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.envelope import Envelope, verify_checkpoint, verify_envelope, verify_record
from edge.evidence.note import Checkpoint, NoteVerifier, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.witness import Submission, WitnessAnswer
from edge.uplink.actions import ACTIONS, is_known
from edge.uplink.blobs import BlobState, Manifest
from edge.uplink.topics import (
    CHUNK_BYTES,
    MOST_CHUNK_BYTES,
    Presence,
    Reads,
    Topics,
    blob_of_state,
    parse_up,
    read_object,
)
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
        "records": topics.records,
        "manifest": topics.manifest("{sha256}"),
        "chunk": topics.chunk("{sha256}", "{number}"),  # type: ignore[arg-type]
        "checkpoint": topics.checkpoint,
        "receipt": topics.receipt,
        "witness": topics.witness,
        "blobState": topics.blob_state("{sha256}"),
        "command": topics.command,
        "reads": topics.reads,
    }


@pytest.mark.parametrize("name", DOCUMENT["channels"])
def test_the_example_of_each_parameter_makes_a_topic_that_is_understood(name: str) -> None:
    channel = DOCUMENT["channels"][name]
    values = {key: _resolve(p)["examples"][0] for key, p in channel["parameters"].items()}
    assert set(values) == set(re.findall(r"{(\w+)}", channel["address"]))
    topic = channel["address"].format(**values)
    upward = parse_up(topic)
    if name == "blobState":
        assert blob_of_state(topic) == values["sha256"]
    else:
        assert upward.what == name if upward else name in ("receipt", "witness", "command", "reads")


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


def _fields(schema: str) -> set[str]:
    return set(DOCUMENT["components"]["schemas"][schema]["properties"])


def test_the_example_record_proves_itself_with_the_example_key() -> None:
    [key], [tree] = _examples("key"), _examples("record")
    envelope = Envelope.decode(canonical(tree))
    body = verify_envelope(envelope, NoteVerifier(key))
    assert canonical(tree) == envelope.encode()
    [piece], [blob] = _examples("chunk"), body["blobs"]
    assert hashlib.sha256(piece.encode()).hexdigest() == blob["sha256"]
    assert set(tree) | {"private"} == _fields("envelope")


def test_the_example_batch_proves_itself_with_the_example_key() -> None:
    [key], [tree] = _examples("key"), _examples("records")
    batch = EnvelopeBatch.decode(canonical(tree))
    checkpoint = verify_checkpoint(batch.checkpoint_note, NoteVerifier(key))
    for envelope in batch.envelopes:
        verify_record(envelope, checkpoint)
    assert set(tree) == _fields("envelopes")
    stated = DOCUMENT["components"]["schemas"]["envelopes"]["properties"]["records"]
    assert (stated["minItems"], stated["maxItems"]) == (1, MAX_RECORDS)
    entries = [set(entry) for entry in tree["records"]]
    assert set.union(*entries) == set(stated["items"]["properties"])
    assert set.intersection(*entries) == set(stated["items"]["required"])


def test_the_example_batch_with_one_proof_says_the_same() -> None:
    [tree], [joint], [told] = map(_examples, ("records", "jointRecords", "reads"))
    batch = EnvelopeBatch.decode(joint.encode())
    assert batch == EnvelopeBatch.decode(canonical(tree))
    assert batch.encode_joint() == joint.encode()
    head = json.loads(joint.partition("\n")[0])
    assert set(head) == _fields("jointEnvelopes")
    assert Reads.decode(json.dumps(told).encode()).schemas == (head["schema"],)


def test_the_example_blob_is_read_and_written_as_it_stands() -> None:
    [manifest], states = _examples("manifest"), _examples("blobState")
    assert json.loads(Manifest.decode(json.dumps(manifest).encode()).encode()) == manifest
    for state in states:
        assert json.loads(BlobState.decode(json.dumps(state).encode()).encode()) == state
    assert set(manifest) == _fields("manifest")
    assert {frozenset(state) for state in states} == {frozenset(_fields("blobState"))}


def test_the_example_receipts_are_of_that_record_and_hold() -> None:
    centre = NoteVerifier(MESSAGES["receipt"]["x-centre-key"])
    receipts = [Receipt.decode(note.encode(), centre, "S1") for note in _examples("receipt")]
    assert [r.status for r in receipts] == ["stored", "refused"]
    [tree] = _examples("record")
    record_id = Envelope.decode(canonical(tree)).record_id
    assert {r.record_id for r in receipts} == {record_id}
    note = json.loads(receipts[0].note.splitlines()[1])
    stated = DOCUMENT["components"]["schemas"]["receipt"]["properties"]
    assert set(note) == set(stated)
    assert set(note["answers"][0]) == set(stated["answers"]["items"]["properties"])


def test_the_example_checkpoint_is_answered_by_the_example_witness() -> None:
    centre = NoteVerifier(MESSAGES["receipt"]["x-centre-key"])
    [tree], notes = _examples("checkpoint"), _examples("witness")
    submission = Submission.decode(canonical(tree))
    text = split_note(submission.checkpoint_note)[0]
    answers = [WitnessAnswer.decode(note.encode(), centre, "S1") for note in notes]
    assert [a.status for a in answers] == ["cosigned", "retry", "conflict"]
    assert answers[0].size == Checkpoint.parse(text).size
    assert CosignatureVerifier.of(centre).verify(answers[0].cosignature or "", text)
    assert set(tree) == _fields("submission")
    assert set(json.loads(notes[0].splitlines()[1])) == _fields("witness")


def test_the_example_commands_are_all_there_are() -> None:
    centre = NoteVerifier(MESSAGES["receipt"]["x-centre-key"])
    commands = [Command.decode(note.encode(), centre) for note in _examples("command")]
    assert all(is_known(command) for command in commands)
    assert {command.action for command in commands} == ACTIONS
    stated = DOCUMENT["components"]["schemas"]["command"]["properties"]
    assert all(f"{action} {{" in stated["action"]["description"] for action in ACTIONS)
    assert set(json.loads(_examples("command")[0].splitlines()[1])) == set(stated)


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
    sizes = re.findall(r"\d+", MESSAGES["chunk"]["summary"])
    assert [int(size) for size in sizes] == [MOST_CHUNK_BYTES, CHUNK_BYTES]


def test_what_a_record_was_weighed_with_has_the_stated_form() -> None:
    schema = DOCUMENT["components"]["schemas"]["dynamics"]
    body = statement(vehicle()).body
    named = body["dynamics"]
    assert set(named) == set(schema["properties"]) == set(schema["required"])
    assert re.fullmatch(schema["properties"]["sha256"]["pattern"], named["sha256"])
    stated = DOCUMENT["components"]["schemas"]["statement"]["required"]
    assert set(stated) - {"station", "index"} <= set(body)
