"""What is checked of a bundle, step by step: each gives its outcome, or raises what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from edge.bundle.dossier import Dossier, Statement
from edge.bundle.layout import cosignature_of, files_of, names_of
from edge.bundle.pages import MANIFEST, PAGES, maker, with_pages
from edge.bundle.sheet import answer_of
from edge.bundle.whole import State, named, unlike, whole
from edge.errors import IntegrityError, Text
from edge.evidence.canonical import parse_canonical
from edge.evidence.cosignature import CosignatureVerifier
from edge.evidence.envelope import verify_checkpoint, verify_record
from edge.evidence.note import NoteVerifier, split_note
from edge.evidence.receipt import Receipt
from edge.evidence.removal import removal_hash
from edge.evidence.sm2 import Sm2Verifier


@dataclass(frozen=True, slots=True)
class Checks:
    """A bundle under verification; each method is a step and gives its outcome, or raises."""

    dossier: Dossier
    contents: Mapping[str, bytes]
    zipped: bytes | None
    trusted_station: NoteVerifier | None
    trusted_centre: NoteVerifier | None
    trusted_second: str | None = None

    def archive(self) -> tuple[State, Text]:
        return whole(self.contents, self.zipped, self.dossier)

    def parts(self) -> tuple[State, Text]:
        expected, found = files_of(self.dossier), dict(self.contents)
        for name in (*PAGES, MANIFEST):
            found.pop(name, None)
        wrong = unlike(expected, found)
        if wrong:
            return "failed", named("与证据不符的文件", "files that do not fit the evidence", wrong)
        return "ok", Text(f"{len(found)} 个文件", f"{len(found)} files")

    def signature(self) -> tuple[State, Text]:
        note = self.dossier.main.envelope.checkpoint_note
        checkpoint = verify_checkpoint(note, self._station())
        second = self.dossier.second_key
        if self.trusted_second not in (None, second):
            raise _another_key()
        if second is not None:
            Sm2Verifier(second).verify(note)
        return "ok", Text(
            f"{checkpoint.origin}，{checkpoint.size} 条记录"
            f"{'，另有国密签名' if second else ''}{self._whose(self.trusted_station).zh}",
            f"{checkpoint.origin}, {checkpoint.size} records"
            f"{', SM2 signature too' if second else ''}{self._whose(self.trusted_station).en}",
        )

    def record(self) -> tuple[State, Text]:
        body = self._proven(self.dossier.main)
        erased = body.get("erased") is True
        return "ok", Text(
            f"第 {body['index']} 号，编号 {self.dossier.main.record.record_id}"
            f"{'；个人信息已删除或未提供' if erased else ''}",
            f"number {body['index']}, id {self.dossier.main.record.record_id}"
            f"{'; its private part was erased or left out' if erased else ''}",
        )

    def others(self) -> tuple[State, Text]:
        for statement in self.dossier.others:
            self._proven(statement)
        if not self.dossier.others:
            return "absent", Text("包中没有", "none in the bundle")
        said = [f"{s.index} {s.record.kind}" for s in self.dossier.others]
        return "ok", Text("；".join(said), "; ".join(said))

    def files(self) -> tuple[State, Text]:
        self._check_sizes()
        missing = self.dossier.missing
        unexplained = [b for b in missing if not self._removed_by_rule(b.sha256)]
        if unexplained:
            names = [f"{b.role} {b.sha256}" for b in unexplained]
            return "failed", named("缺少的文件", "missing files", names)
        total = len(self.dossier.main.record.blobs)
        if missing:
            return "absent", Text(
                f"{total} 个文件中 {len(missing)} 个已按封存的规定清除",
                f"{len(missing)} of {total} files were removed by a rule that was sealed",
            )
        return "ok", Text(f"{total} 个文件", f"{total} files")

    def settings(self) -> tuple[State, Text]:
        files = [n for n in names_of(self.dossier).items() if n[0].startswith("configuration/")]
        if not files:
            return "absent", Text("这类记录不涉及", "not for records of this kind")
        missing = [name for name, sha256 in files if sha256 not in self.dossier.blobs]
        if missing:
            return "absent", named("包中没有", "not in the bundle", missing)
        names = ", ".join(name for name, _ in files)
        return "ok", Text(names, names)

    def cosignature(self) -> tuple[State, Text]:
        cosigned = cosignature_of(self.dossier)
        centre = self._centre()
        if cosigned is None or centre is None:
            return "absent", Text("尚无副署", "there is none")
        text = split_note(self.dossier.main.envelope.checkpoint_note)[0]
        time_s = CosignatureVerifier.of(centre).verify(cosigned[0], text)
        time = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
        whose = self._whose(self.trusted_centre)
        return "ok", Text(f"{time} UTC{whose.zh}", f"{time} UTC{whose.en}")

    def receipt(self) -> tuple[State, Text]:
        centre, note = self._centre(), self.dossier.receipt
        if note is None or centre is None:
            return "absent", Text("没有回执", "there is none")
        Receipt.decode_all(note.encode(), centre)
        answer = answer_of(self.dossier)
        station = self.dossier.body["station"]
        if answer is None or answer.station not in ("", station):
            return "failed", Text("是别的记录的回执", "it answers another record")
        if answer.status != "stored" or answer.index != self.dossier.main.index:
            return "failed", Text(
                f"中心拒收（技术细节：{answer.reason}）", f"refused: {answer.reason}"
            )
        time = datetime.fromtimestamp(answer.time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
        return "ok", Text(f"{time} UTC", f"{time} UTC")

    def pages(self) -> tuple[State, Text]:
        expected = with_pages(self.dossier)
        wrong = unlike(
            {name: expected[name] for name in PAGES},
            {name: data for name, data in self.contents.items() if name in PAGES},
        )
        if not wrong:
            return "ok", Text("逐字节相同", "the same to the last byte")
        if parse_canonical(self.contents[MANIFEST])["made_by"] == dict(maker()):
            return "failed", named("与记录不符的页面", "pages that the record does not give", wrong)
        return "absent", Text(
            "由另一版本的程序制作，无法逐字比较；以 record/record.json 为准",
            "made by another version, which can't be compared; record/record.json is what counts",
        )

    # ------------------------------------------------------------------------------- helpers

    def _station(self) -> NoteVerifier:
        own = NoteVerifier(self.dossier.station_key)
        return _same(own, self.trusted_station or own)

    def _centre(self) -> NoteVerifier | None:
        if self.dossier.centre_key is None:
            return self.trusted_centre
        own = NoteVerifier(self.dossier.centre_key)
        return _same(own, self.trusted_centre or own)

    @staticmethod
    def _whose(trusted: NoteVerifier | None) -> Text:
        if trusted is not None:
            return Text("", "")
        return Text("（用包中自带的公钥）", " (by the key in the bundle itself)")

    def _proven(self, statement: Statement) -> dict[str, Any]:
        checkpoint = verify_checkpoint(statement.envelope.checkpoint_note, self._station())
        return verify_record(statement.envelope, checkpoint)

    def _check_sizes(self) -> None:
        for blob in self.dossier.main.record.blobs:
            data = self.dossier.blobs.get(blob.sha256)
            if data is not None and len(data) != blob.size_bytes:
                raise ValueError(f"{blob.role} has {len(data)} bytes, not {blob.size_bytes}")

    def _removed_by_rule(self, sha256: str) -> bool:
        """Whether a sealed statement binds a list of removals with this file."""
        for statement in self.dossier.later:
            names = self.dossier.removed.get(statement.index, ())
            bound = statement.body.get("blobs_sha256") == removal_hash(names)
            if statement.record.kind == "retention" and sha256 in names and bound:
                return True
        return False


def _same(own: NoteVerifier, trusted: NoteVerifier) -> NoteVerifier:
    """The trusted key, if the bundle names the same."""
    if own.public != trusted.public:
        raise _another_key()
    return trusted


def _another_key() -> IntegrityError:
    return IntegrityError(
        "证据包中的公钥不是您给出的那一把", "the bundle names another key than the one given"
    )
