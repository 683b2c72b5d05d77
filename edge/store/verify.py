"""Verification of a store in numbered steps, offline, by reading only.

Each step leans on the ones before it and finds what they can't: whoever alters a record must alter
its hash (2), then the tree (3), then the checkpoints (4), and for those he lacks the key (5).
Records cut off at the end are found by a later checkpoint (4) or by a receipt (8). Private parts
may be gone (9): that is what they are for; what is there must be what the record binds.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edge.errors import ConfigError, Text, why_zh
from edge.evidence.note import NoteSigner, NoteVerifier, origin_of
from edge.evidence.station_key import KEY_FILE
from edge.store.audit import LogAudit
from edge.store.audit_proofs import Keys, ProofAudit
from edge.store.blobs import BlobDirectory
from edge.store.findings import Broken
from edge.store.schema import APPLICATION_ID, DATABASE, connect_reader, find_damage


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the verification: what was checked, whether it holds, and what was found."""

    number: int
    title: Text
    ok: bool
    detail: Text


TITLES = (
    Text("数据库可读", "the database is readable"),
    Text("每条记录与其编号、散列一致", "every record fits its number and its hash"),
    Text("哈希树由这些记录构成", "the tree is made of these records"),
    Text("检查点与哈希树一致", "every checkpoint fits the tree"),
    Text("检查点签名有效", "every checkpoint is signed by the station"),
    Text("图像和信号文件完整，或按规定清除", "every file is there and whole, or removed by rule"),
    Text("各车道通行编号连续", "the passages of every lane have no hole"),
    Text("回执与记录一致，没有记录漏发", "every record waits or has a receipt that fits"),
    Text("隐私部分与记录一致", "every private part that is kept fits its record"),
    Text("见证签名与检查点一致", "every cosignature fits its checkpoint"),
)


def verify_store(
    directory: Path,
    verifier_key: str | None,
    progress: Callable[[Step], None],
    *,
    centre_key: str | None = None,
    second_key: str | None = None,
) -> list[Step]:
    """Check everything that a store claims; the steps in order, each with its outcome.

    Parameters
    ----------
    directory : Path
        The station's data directory, or a copy of it.
    verifier_key : str or None
        The station's verifier key from a source that is trusted. Without it the key file in the
        directory is used, which proves wholeness, but not whose log it is.
    progress : callable
        Called with every step when it is done.
    centre_key : str or None
        The case system's verifier key. Without it the signatures of receipts and cosignatures are
        left aside.
    second_key : str or None
        Verifier key of the station's second signature (SM2). Without it the one that the store
        names is used.

    Raises
    ------
    ConfigError
        A verifier key is malformed, or the key file is damaged or open to others.
    """
    given = Keys(
        station=_verifier(verifier_key),
        trusted=verifier_key is not None,
        centre=_verifier(centre_key),
        second=second_key,
    )
    steps: list[Step] = []

    def take(check: Callable[[], Text]) -> None:
        number = len(steps) + 1
        steps.append(Step(number, TITLES[number - 1], *_outcome(check)))
        progress(steps[-1])

    with contextlib.ExitStack() as stack:
        opened = _Opened(directory)
        stack.callback(opened.close)
        take(opened.check)
        if opened.connection is not None and steps[0].ok:
            keys = given if given.trusted else replace(given, station=opened.own_key())
            for check in checks(opened.connection, opened.blobs, keys):
                take(check)
    return steps


def checks(
    connection: sqlite3.Connection, blobs: BlobDirectory, keys: Keys
) -> Iterator[Callable[[], Text]]:
    """The steps from the second on, over the state of the database that a connection sees."""
    log, proofs = LogAudit(connection), ProofAudit(connection, blobs, keys)
    yield log.records
    yield log.tree
    yield log.checkpoints
    yield proofs.signatures
    yield proofs.blobs
    yield log.passages
    yield proofs.receipts
    yield proofs.private
    yield proofs.cosignatures


def _outcome(check: Callable[[], Text]) -> tuple[bool, Text]:
    try:
        return True, check()
    except Broken as broken:
        return False, broken.text
    except sqlite3.Error as error:
        return False, Text(f"数据库读不出{why_zh(error)}", f"the database can't be read: {error}")


class _Opened:
    """A store in one read transaction, so that a running station may write on meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.blobs = BlobDirectory(directory / "blobs")
        self.connection: sqlite3.Connection | None = None

    def check(self) -> Text:
        path = self._directory / DATABASE
        if not path.exists():
            raise Broken(f"没有 {path}", f"there is no {path}")
        self.connection = connection = connect_reader(path)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise Broken("不是本程序的数据库", "it is the database of another program")
        if finding := find_damage(connection):
            raise Broken(f"数据库损坏：{finding}", f"it is damaged: {finding}")
        connection.execute("BEGIN")
        LogAudit(connection)
        return Text(str(path), str(path))

    def own_key(self) -> NoteVerifier | None:
        """The key that lies in the directory itself, or None where none can be read."""
        assert self.connection is not None
        row = self.connection.execute("SELECT id FROM station").fetchone()
        try:
            signer = NoteSigner.load(self._directory / KEY_FILE, origin_of(row[0]) if row else None)
        except OSError:
            return None
        return NoteVerifier(signer.verifier_key)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _verifier(key: str | None) -> NoteVerifier | None:
    try:
        return None if key is None else NoteVerifier(key)
    except ValueError as error:
        raise ConfigError(
            f"验证公钥无效{why_zh(error)}",
            f"the verifier key is malformed: {error}",
            next_zh="公钥的格式是 名称+编号+base64，站点页面上可以看到",
            next_en="a verifier key reads name+id+base64, as the station's page shows it",
        ) from error
