"""Check this evidence bundle, unpacked, with Python's standard library and openssl alone.

    python3 check.py [--key KEY] [--centre-key KEY]

KEY is a verifier key (name+id+base64) from a source that you trust, not from this folder. Needs
Python 3.8 or newer and openssl 3.0 or newer. Writes nothing but one temporary folder.
核对解压后的证据包：只用 Python 标准库和 openssl。公钥要来自可信的地方，不要取自本文件夹。
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ED25519_DER = bytes.fromhex("302a300506032b6570032100")
NOTE, COSIGNATURE = b"\x01", b"\x04"
FOLDERS = ("signal/", "pictures/", "configuration/", "files/")
failures: list[str] = []


def say(title: str, problems: list[str], proves: str) -> None:
    """One line a step; problems are printed below it."""
    failures.extend(problems)
    print(("FAILED 不符  " if problems else "ok 通过      ") + title)
    for line in problems:
        print("      ! " + line)
    if not problems:
        print("      " + proves)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def read(name: str) -> bytes:
    return (HERE / name).read_bytes()


def split_key(text: str) -> tuple[str, bytes]:
    """Name, id and public key of a verifier key."""
    name, key_id, encoded = text.strip().split("+", 2)
    key = base64.b64decode(encoded)
    if len(key) != 33 or key[:1] != NOTE or key_id != id_of(name, NOTE, key[1:]).hex():
        raise ValueError("not a verifier key: " + text)
    return name, key[1:]


def id_of(name: str, kind: bytes, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def signatures(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The signed text of a note, and (name, id, signature) of each line under it."""
    text, _, tail = note.rpartition("\n\n")
    lines = [line.split(" ") for line in tail.strip("\n").split("\n")]
    found = [(name, base64.b64decode(data)) for _, name, data in lines]
    return text + "\n", [(name, data[:4], data[4:]) for name, data in found]


def openssl_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether openssl finds an Ed25519 signature right."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "key.der").write_bytes(ED25519_DER + public)
        (place / "message").write_bytes(message)
        (place / "signature").write_bytes(signature)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key.der -rawin"
        command += " -in message -sigfile signature"
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False)
        return done.returncode == 0


def signed(note: str, key: str, kind: bytes = NOTE) -> tuple[str, list[int]]:
    """The text, and times of the signatures of that key over it (0 for those without a time)."""
    name, public = split_key(key)
    text, found = signatures(note)
    times = []
    for who, key_id, signature in found:
        if (who, key_id) != (name, id_of(name, kind, public)):
            continue
        message, time = text.encode(), 0
        if kind == COSIGNATURE:
            time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = f"cosignature/v1\ntime {time}\n".encode() + message
        if not openssl_verify(public, message, signature):
            raise ValueError("the signature of " + name + " is WRONG")
        times.append(time)
    return text, times


def root_of(record: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """Root that a record and its proof lead to (RFC 9162, 2.1.3.2)."""
    value = hashlib.sha256(b"\x00" + record).digest()
    at, last = index, size - 1
    if not 0 <= index < size:
        raise ValueError("number outside the log")
    for node in proof:
        if last == 0:
            raise ValueError("proof too long")
        if at & 1 or at == last:
            value = hashlib.sha256(b"\x01" + node + value).digest()
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            value = hashlib.sha256(b"\x01" + value + node).digest()
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("proof too short")
    return value


def check_manifest() -> None:
    """Every file is there as it was listed, and no other."""
    problems = []
    listed = {entry["name"]: entry for entry in json.loads(read("manifest.json"))["files"]}
    for name, entry in listed.items():
        path = HERE / name
        if not path.is_file():
            problems.append("missing / 缺少 " + name)
        elif sha256(path.read_bytes()) != entry["sha256"]:
            problems.append("altered / 被改动 " + name)
    for path in HERE.rglob("*"):
        name = path.relative_to(HERE).as_posix()
        own = name.split("/")[0] in ("check", "manifest.json")
        if path.is_file() and not own and name not in listed:
            problems.append("does not belong here / 多出 " + name)
    say("files are as they were packed / 文件与打包时一致", problems,
        "Nothing was damaged on the way. It does not show who packed them.")  # fmt: skip


def check_statement(name: str, station_key: str) -> tuple[Any, Any, list[str]]:
    """A sealed statement against its envelope, its private part, its proof and the signature."""
    envelope = json.loads(read(name + ".envelope.json"))
    record = base64.b64decode(envelope["record"])
    body = json.loads(record)
    text, times = signed(envelope["checkpoint"], station_key)
    origin, size, root = text.split("\n")[:3]
    proof = [base64.b64decode(node) for node in envelope["proof"]]
    problems = []
    if record != read(name + ".json"):
        problems.append(name + ".json is not the record of the envelope")
    if not times:
        problems.append("the station did not sign the checkpoint / 检查点没有站点签名")
    if root_of(record, envelope["index"], int(size), proof) != base64.b64decode(root):
        problems.append("it does not stand in the signed log / 不在已签名的日志中")
    if (
        origin.split("/")[:2] != ["steelyard", body["station"]]
        or body["index"] != envelope["index"]
    ):
        problems.append("it names another station or number / 站点或编号不符")
    private = HERE / (name + ".private.json")
    if private.exists() != ("private" in envelope):
        problems.append("the private part is not the envelope's")
    elif private.exists() and sha256(private.read_bytes()) != body["private_sha256"]:
        problems.append("the private part is another one / 隐私部分不符")
    return body, envelope, problems


def check_files(body: Any) -> None:
    """Files that the record names by their hash."""
    there = {}
    for path in HERE.rglob("*"):
        name = path.relative_to(HERE).as_posix()
        if path.is_file() and name.startswith(FOLDERS):
            there[sha256(path.read_bytes())] = name
    named = {blob["sha256"]: blob["role"] for blob in body["blobs"]}
    named[body.get("configuration_sha256")] = "station file"
    named[body.get("calibration", {}).get("sha256")] = "certificate"
    named[body.get("verdict", {}).get("pack_sha256")] = "rule pack"
    for sha, role in named.items():
        if sha:
            print(f"      {sha[:16]} {role}: {there.get(sha, 'NOT HERE / 不在包中')}")
    strange = [n for s, n in there.items() if s not in named and "/dynamics" not in n]
    say("pictures, signal and settings are those that the record names / 文件与记录所列散列一致",
        [n + " is named by no record / 记录没有提到" for n in strange],
        "A file under a hash of the sealed record can't have been exchanged.")  # fmt: skip


def check_centre(envelope: Any, body: Any, record_id: str, centre_key: str) -> None:
    """What the case system signed about the log and about the record."""
    _, times = signed(envelope["checkpoint"], centre_key, COSIGNATURE)
    say("cosignature of the case system / 案件系统副署", [],
        f"Cosigned at {times[0]} s (Unix time): all it saw before was part of this very log."
        if times else "There is none: this proves nothing, for or against.")  # fmt: skip
    receipt = HERE / "receipt" / "receipt.txt"
    if not receipt.exists():
        print("      no receipt in the bundle / 没有回执")
        return
    text, times = signed(receipt.read_text(encoding="utf-8"), centre_key)
    answer = json.loads(text.split("\n")[1])
    ids = [a["record_id"] for a in answer.get("answers", [answer]) if a["status"] == "stored"]
    problems = [] if times else ["the case system did not sign it / 没有中心签名"]
    if record_id not in ids or answer.get("station", body["station"]) != body["station"]:
        problems.append("it does not answer this record / 不是这条记录的回执")
    say("receipt of the case system / 案件系统回执", problems,
        "The case system confirmed that it holds this record and its files.")  # fmt: skip


def key_of(name: str, given: str | None) -> str | None:
    """A key that was given, else the one in the folder, which proves no origin."""
    path = HERE / "keys" / (name + ".txt")
    if given is None and path.exists():
        print(f"? key of the {name} taken from this folder: shows wholeness, not whose it is")
        given = path.read_text(encoding="utf-8")
    if given is not None:
        print(f"  {name}: {given.strip()}")
    return given


def main() -> int:
    """All steps; 0 if every one holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key", help="verifier key of the station, from a trusted source")
    parser.add_argument("--centre-key", help="verifier key of the case system, likewise")
    options = parser.parse_args()
    check_manifest()
    station_key = key_of("station", options.key) or ""
    centre_key = key_of("centre", options.centre_key)
    body, envelope, problems = check_statement("record/record", station_key)
    record_id = sha256(b"\x00" + base64.b64decode(envelope["record"]))
    say("the record stands in the station's signed log / 记录在站点签名的日志中", problems,
        f"Number {body['index']}, id {record_id}: not altered, not inserted later.")  # fmt: skip
    for path in sorted(HERE.glob("statements/*.envelope.json")):
        name = "statements/" + path.name[: -len(".envelope.json")]
        other, _, problems = check_statement(name, station_key)
        say(f"statement {other['index']} ({other['kind']}) of the same log", problems,
            "It was sealed in the same way.")  # fmt: skip
    check_files(body)
    if centre_key is not None:
        check_centre(envelope, body, record_id, centre_key)
    print("ALL STEPS PASSED / 全部通过" if not failures else f"{len(failures)} PROBLEM(S) / 有不符")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        print(f"FAILED 不符  the bundle is damaged / 证据包损坏 (技术细节 / detail): {error!r}")
        sys.exit(1)
