"""Bundles: whole from a real store, checked by this program, by the script and by openssl alone."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.bundle.archive import pack, unpack
from edge.bundle.dossier import Dossier
from edge.bundle.gather import Keys, Source
from edge.bundle.layout import dossier_of, files_of
from edge.bundle.pages import HOW_TO, MANIFEST, SHEET, export, manifest, path_sides
from edge.bundle.steps import Step, verify_bundle, verify_files
from edge.cli import main
from edge.evidence.merkle import Frontier, inclusion_proof, leaf_hash, node_hash
from edge.evidence.note import NoteSigner, NoteVerifier
from edge.evidence.sm2 import Sm2Signer
from edge.evidence.statement import other_draft
from edge.web.terms import CHECKED
from simulator.tamper_bundle import repacked, run
from tests.evidence.bundled import JPEG, PLATE, Sealed
from tests.evidence.sample import opened


@pytest.fixture(scope="module")
def bundle(dossier: Dossier) -> bytes:
    return export(dossier)


@pytest.fixture
def folder(bundle: bytes, tmp_path: Path) -> Path:
    """The bundle unpacked by another program."""
    (tmp_path / "b.zip").write_bytes(bundle)
    shutil.unpack_archive(tmp_path / "b.zip", tmp_path / "unpacked")
    return tmp_path / "unpacked"


def steps_of(files: Mapping[str, bytes], sealed: Sealed) -> list[Step]:
    keys = sealed.keys
    return verify_files(files, None, NoteVerifier(keys.station), NoteVerifier(str(keys.centre)))


def failed(steps: list[Step]) -> list[int]:
    return [step.number for step in steps if step.state == "failed"]


def test_every_step_passes_and_none_lacks_anything(
    sealed: Sealed, bundle: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "b.zip"
    path.write_bytes(bundle)
    steps = verify_bundle(path, sealed.keys.station, sealed.keys.centre)
    assert [(s.number, s.state) for s in steps] == [(n, "ok") for n in range(1, 11)], steps
    assert all(s.title.zh and s.title.en and s.proves.zh and s.proves.en for s in steps)


def test_the_same_record_gives_the_same_bytes(dossier: Dossier, bundle: bytes) -> None:
    assert export(dossier_of(unpack(bundle))) == bundle == export(dossier)


def test_settings_corrections_and_files_are_in_it(dossier: Dossier) -> None:
    kinds = [statement.record.kind for statement in dossier.others]
    assert kinds == ["start", "configuration", "correction"]
    assert dossier.later[0].body["corrects"] == dossier.main.index
    names = set(files_of(dossier))
    assert {"pictures/1.jpg", "signal/1.flac", "configuration/station.toml"} <= names
    assert {"configuration/certificate.json", "configuration/rules.toml"} <= names
    assert files_of(dossier)["pictures/1.jpg"] == JPEG
    assert dossier.missing == []


def test_no_secret_of_the_station_is_in_it(sealed: Sealed, bundle: bytes) -> None:
    lines = (sealed.config.data_dir / "station.key").read_text().split("\n")
    for secret in [line for line in lines if len(line) > 20 and "-----" not in line]:
        assert secret.encode() not in bundle
    assert b"PRIVATE KEY" not in bundle


def test_the_sheet_is_for_people(bundle: bytes, dossier: Dossier) -> None:
    page = unpack(bundle)[SHEET].decode()
    gross = f"{dossier.body['gross_kg']:,}"
    assert gross in page
    assert f"{2 * dossier.body['u_gross_kg']:,}" in page
    assert f"{PLATE[:2]}·{PLATE[2:]}" in page
    assert dossier.main.record.record_id in page
    assert dossier.body["verdict"]["limits"][0]["source"] in page
    assert page.count("<svg") >= 5
    assert CHECKED[True].zh in page
    assert "标定证书" in page
    assert "检定" not in page, "the site's own calibration is no verification by law"
    assert "超限" in page
    assert "Over limit" in page


# ---------------------------------------------------------------------------- by other means


def commands(page: bytes) -> list[str]:
    return [
        html.unescape(c) for c in re.findall(r'<pre class="run">(.*?)</pre>', page.decode(), re.S)
    ]


def expectations(page: bytes) -> list[str]:
    return [
        html.unescape(c) for c in re.findall(r'<pre class="out">(.*?)</pre>', page.decode(), re.S)
    ]


def test_every_command_of_the_page_works_with_openssl_alone(bundle: bytes, folder: Path) -> None:
    page = unpack(bundle)[HOW_TO]
    script = [command for command in commands(page) if "check.py" not in command]
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert said.count("Signature Verified Successfully") == 3
    for expected in expectations(page):
        for line in expected.splitlines():
            assert line in said
    root = (folder / "log/checkpoint.signed").read_text().split("\n")[2]
    assert said.count(f"{root}\n") == 2  # folded by hand, and as it was signed
    assert "same log" in said
    hashes = said[said.index(root) :].splitlines()
    assert hashes.count("1") == 2 + 4 + 1  # files, settings with private part, receipt
    assert not [s for s in steps_of_folder(folder) if s.state != "ok"]


def steps_of_folder(folder: Path) -> list[Step]:
    return verify_bundle(folder)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("log/checkpoint.signed", "signature"),
        ("log/checkpoint.sig", "signature"),
        ("record/record.json", "root"),
        ("log/proof/01", "root"),
        ("signal/1.flac", "hash"),
        ("log/cosigned.signed", "signature"),
        ("receipt/receipt.signed", "signature"),
        ("keys/station.pem", "signature"),
    ],
)
def test_by_hand_an_altered_file_shows(bundle: bytes, folder: Path, place: str, name: str) -> None:
    data = bytearray((folder / place).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / place).write_bytes(bytes(data))
    script = [c for c in commands(unpack(bundle)[HOW_TO]) if "check.py" not in c]
    done = subprocess.run(
        ["sh", "-c", "\n".join(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    root = (folder / "log/checkpoint.signed").read_text().split("\n")[2]
    shows = {
        "signature": done.stdout.count("Signature Verified Successfully") == 2,
        "root": done.stdout.count(f"{root}\n") < 2,
        "hash": "\n0\n" in done.stdout,
    }
    assert shows[name], done.stdout + done.stderr


def check_script(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "check.py", *options],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_script_needs_the_standard_library_and_openssl_alone(
    folder: Path, sealed: Sealed
) -> None:
    keys = sealed.keys
    done = check_script(folder, "--key", keys.station, "--centre-key", str(keys.centre))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ALL STEPS PASSED" in done.stdout
    assert done.stdout.count("ok 通过") == 4 + 4
    assert "There is none" not in done.stdout


def test_the_script_refuses_another_key(folder: Path) -> None:
    stranger = NoteSigner("steelyard/DEMO", Ed25519PrivateKey.generate()).verifier_key
    assert check_script(folder, "--key", stranger).returncode == 1
    assert check_script(folder, "--centre-key", stranger).returncode == 1


@pytest.mark.parametrize("kind", ["altered", "removed", "added"])
def test_the_script_names_what_is_wrong(folder: Path, kind: str) -> None:
    for path in ("record/record.json", "signal/1.flac", "log/proof/02", "keys/centre.pem"):
        place = folder / (path if kind != "added" else f"{path}.more")
        data = place.read_bytes() if place.exists() else b""
        place.unlink() if kind == "removed" else place.write_bytes(data + b" ")
        done = check_script(folder)
        assert done.returncode == 1
        assert place.relative_to(folder).as_posix() in done.stdout
        place.write_bytes(data) if data else place.unlink()
    assert check_script(folder).returncode == 0


# ---------------------------------------------------------------------------- forgers


def test_damage_anywhere_is_found(bundle: bytes) -> None:
    outcome = run(bundle, 300, 1)
    assert outcome.found == outcome.tried == 300, outcome.unseen


def test_an_altered_part_in_a_bundle_that_was_packed_anew_is_found(bundle: bytes) -> None:
    outcome = repacked(bundle, 120, 2)
    assert outcome.found == outcome.tried == 120, outcome.unseen


def another(files: dict[str, bytes], dossier: Dossier, name: str) -> dict[str, bytes]:
    """As a forger packs it: the list of files fits."""
    changed = files | {name: files[name] + b" "}
    return changed | {MANIFEST: manifest(dossier, changed)}


@pytest.mark.parametrize("name", ["pictures/1.jpg", "signal/1.flac", "configuration/rules.toml"])
def test_an_exchanged_file_is_named(
    bundle: bytes, dossier: Dossier, sealed: Sealed, name: str
) -> None:
    steps = steps_of(another(unpack(bundle), dossier, name), sealed)
    assert 2 in failed(steps)
    assert name in steps[1].detail.en


def test_a_picture_left_out_is_missed(bundle: bytes, dossier: Dossier, sealed: Sealed) -> None:
    files = unpack(bundle)
    del files["pictures/1.jpg"]
    without = replace(dossier, blobs={k: v for k, v in dossier.blobs.items() if v != JPEG})
    files = unpack(export(without))
    steps = steps_of(files, sealed)
    assert failed(steps) == [6]
    assert "picture" in steps[5].detail.en


def test_keys_exchanged_with_everything_else_are_told_by_the_trusted_key(
    sealed: Sealed, dossier: Dossier
) -> None:
    thief = NoteSigner("steelyard/DEMO", Ed25519PrivateKey.generate())
    text = dossier.main.envelope.checkpoint_note.split("\n\n")[0] + "\n"
    forged = replace(
        dossier.main, envelope=replace(dossier.main.envelope, checkpoint_note=thief.sign(text))
    )
    fake = replace(dossier, main=forged, others=(), station_key=thief.verifier_key)
    files = unpack(export(fake))
    assert failed(verify_files(files, None)) == []
    assert 3 in failed(steps_of(files, sealed))


def test_the_receipt_of_another_record_is_no_receipt(sealed: Sealed, dossier: Dossier) -> None:
    other = next(r for r in sealed.records if r.index != dossier.main.index)
    files = unpack(export(replace(dossier, receipt=sealed.dossier(other.index).receipt)))
    assert failed(steps_of(files, sealed)) == [9]


def test_without_its_private_part_the_record_still_proves_itself(
    sealed: Sealed, dossier: Dossier
) -> None:
    envelope = replace(dossier.main.envelope, private=None)
    erased = replace(dossier, main=replace(dossier.main, envelope=envelope))
    files = unpack(export(erased))
    steps = steps_of(files, sealed)
    assert failed(steps) == []
    assert "erased" in steps[3].detail.en
    assert f"{PLATE[:2]}·{PLATE[2:]}" not in files[SHEET].decode()


def test_an_archive_that_was_packed_anew_is_told_but_its_folder_holds(
    folder: Path, tmp_path: Path
) -> None:
    again = Path(shutil.make_archive(str(tmp_path / "again"), "zip", folder))
    steps = verify_bundle(again)
    assert failed(steps) == [1]
    assert not failed(verify_bundle(folder))


# ---------------------------------------------------------------------------- the rest


def test_sides_of_a_proof_fold_to_the_root() -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(23)]
    for size in range(1, 24):
        frontier, stored = Frontier(), dict[tuple[int, int], bytes]()
        for leaf in leaves[:size]:
            frontier, nodes = frontier.append(leaf)
            stored |= {(n.level, n.position): n.hash for n in nodes}
        read: Callable[[int, int], bytes] = lambda level, at, stored=stored: stored[level, at]  # noqa: E731
        for index in range(size):
            value = leaves[index]
            proof = inclusion_proof(index, size, read)
            for left, node in zip(path_sides(index, size), proof, strict=True):
                value = node_hash(node, value) if left else node_hash(value, node)
            assert value == frontier.root()


def test_an_archive_gives_its_files_back() -> None:
    files = {"b/c": b"", "a": b"PK\x03\x04" * 9, "z.bin": bytes(range(256))}
    assert unpack(pack(files, 1_700_000_000_000_000)) == files


def test_commands_of_the_shell(sealed: Sealed, tmp_path: Path) -> None:
    out, runner = tmp_path / "case.zip", CliRunner()
    station = ["--station", str(sealed.site.station_file), "--out", str(out)]
    for name in (str(sealed.case.index), sealed.case.record_id[:12]):
        made = runner.invoke(main, ["export", name, *station])
        assert made.exit_code == 0, made.output
    checked = runner.invoke(main, ["verify", str(out), "--key", sealed.keys.station])
    assert checked.exit_code == 0, checked.output
    weighed = runner.invoke(main, ["recompute", str(out)])
    assert weighed.exit_code == 0, weighed.output
    out.write_bytes(out.read_bytes()[:-100])
    broken = runner.invoke(main, ["verify", str(out)])
    assert broken.exit_code == 6
    nothing = runner.invoke(main, ["export", "999999", *station])
    assert nothing.exit_code == 2
    foreign = runner.invoke(main, ["export", str(sealed.case.index), *station, "--key", "bad"])
    assert (foreign.exit_code, "验证公钥无效" in foreign.output) == (3, True)


def test_version_states_the_hash_that_records_carry(sealed: Sealed) -> None:
    said = CliRunner().invoke(main, ["version", "--files"])
    assert said.exit_code == 0
    assert sealed.case.body["software"]["sha256"] in said.output
    assert "edge/core/weigh.py" in said.output


# ------------------------------------------------------- files removed by rule, SM2, old stores


def copied(sealed: Sealed, directory: Path) -> Path:
    return Path(shutil.copytree(sealed.config.data_dir, directory / "data"))


async def swept(sealed: Sealed, data: Path) -> None:
    """The same station twelve years later: every time to keep is over."""
    later_ns = time.time_ns() + 12 * 366 * 86_400 * 10**9
    async with opened(
        data, station="DEMO", signer=sealed.station, now_ns=lambda: later_ns
    ) as store:
        await asyncio.to_thread(store.house.sweep)


def test_files_that_were_removed_by_rule_are_told_from_lost_ones(
    sealed: Sealed, tmp_path: Path
) -> None:
    data = copied(sealed, tmp_path)
    asyncio.run(swept(sealed, data))
    with Source(data, sealed.keys) as source:
        dossier = source.dossier(sealed.case.index)
    assert {blob.role for blob in dossier.missing} == {"signal", "picture"}
    files = unpack(export(dossier))
    steps = steps_of(files, sealed)
    assert failed(steps) == []
    assert steps[5].state == "absent"
    (removal, *_) = sorted(name for name in files if name.endswith(".removed.txt"))
    forged = replace(
        dossier, removed={n: (*names, "ab" * 32) for n, names in dossier.removed.items()}
    )
    assert failed(steps_of(unpack(export(forged)), sealed)) == [6], removal
    with Source(data, sealed.keys) as source:
        lawful = next(r for r in sealed.records if r.body["verdict"]["kind"] == "within")
        assert source.dossier(lawful.index).body["plate"]["join"] == "erased"


def test_a_second_signature_is_in_the_bundle_and_in_the_commands(tmp_path: Path) -> None:
    second = Sm2Signer.load_or_create(tmp_path / "sm2.key", "steelyard/S1")
    signer = NoteSigner("steelyard/S1", Ed25519PrivateKey.generate(), second)

    async def seal() -> None:
        async with opened(tmp_path / "data", signer=signer) as store:
            await store.append(other_draft("start", time_ns=1_700_000_000 * 10**9, fields={}))

    asyncio.run(seal())
    with Source(tmp_path / "data", Keys(signer.verifier_key)) as source:
        files = unpack(export(source.dossier(0)))
    steps = verify_files(files, None, second=second.verifier_key)
    assert failed(steps) == []
    assert "SM2" in steps[2].detail.en
    for name, data in files.items():
        (tmp_path / "un" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "un" / name).write_bytes(data)
    script = [c for c in commands(files[HOW_TO]) if "check.py" not in c]
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(script)],
        cwd=tmp_path / "un", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.count("Signature Verified Successfully") == 2, done.stderr
    altered = dict(files)
    altered["log/checkpoint.sm2.sig"] = altered["log/checkpoint.sm2.sig"][:-1] + b"\0"
    assert 2 in failed(verify_files(altered, None))
    other = Sm2Signer.load_or_create(tmp_path / "other.key", "steelyard/S1").verifier_key
    assert failed(verify_files(files, None, second=other)) == [3]


def test_a_store_of_the_first_release_gives_bundles_that_hold(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "store_of_the_first_release"
    data = Path(shutil.copytree(golden, tmp_path / "data"))
    (data / "station.key").chmod(0o600)
    station = NoteSigner.load(data / "station.key").verifier_key
    centre = (golden / "centre.pub").read_text().strip()
    with Source(data, Keys(station, centre)) as source:
        for index in (3, 4, 10):
            files = unpack(export(source.dossier(index)))
            steps = verify_files(files, None, NoteVerifier(station), NoteVerifier(centre))
            assert failed(steps) == []
        assert source.dossier(3).later[0].index == 10
        assert [source.dossier(i).receipt is not None for i in source.indices("vehicle")].count(
            True
        ) > 1
