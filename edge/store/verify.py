"""Verification of a store in numbered steps, offline, by reading only.

Each step leans on the ones before it and finds what they can't: whoever alters a record must alter
its hash (2), then the tree (3), then the checkpoints (4), and for those he lacks the key (5).
Records cut off at the end are found by a later checkpoint (4) or by a receipt (8).
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, Text
from edge.evidence.note import NoteSigner, NoteVerifier
from edge.store.audit import Audit, Broken
from edge.store.blobs import BlobDirectory
from edge.store.schema import APPLICATION_ID, DATABASE, connect_reader, quick_check

KEY_FILE = "station.key"


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
    Text("图像和信号文件完整", "every picture and signal file is there and whole"),
    Text("各车道通行编号连续", "the passages of every lane have no hole"),
    Text("回执与记录一致", "every receipt fits its record"),
)


def verify_store(
    directory: Path, verifier_key: str | None, progress: Callable[[Step], None]
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

    Raises
    ------
    ConfigError
        The verifier key is malformed, or the key file is damaged or open to others.
    """
    verifier = _verifier(directory, verifier_key)
    steps: list[Step] = []

    def take(check: Callable[[], Text]) -> None:
        number = len(steps) + 1
        steps.append(Step(number, TITLES[number - 1], *_outcome(check)))
        progress(steps[-1])

    with contextlib.ExitStack() as stack:
        opened = _Opened(directory)
        stack.callback(opened.close)
        take(opened.check)
        if (audit := opened.audit) is None:
            return steps
        take(audit.records)
        take(audit.tree)
        take(audit.checkpoints)
        take(lambda: audit.signatures(verifier, trusted=verifier_key is not None))
        take(audit.blobs)
        take(audit.passages)
        take(audit.receipts)
    return steps


def _outcome(check: Callable[[], Text]) -> tuple[bool, Text]:
    try:
        return True, check()
    except Broken as broken:
        return False, broken.text
    except sqlite3.Error as error:
        return False, Text(f"数据库读不出：{error}", f"the database can't be read: {error}")


class _Opened:
    """A store in one read transaction, so that a running station may write on meanwhile."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / DATABASE
        self._blobs = BlobDirectory(directory / "blobs")
        self._connection: sqlite3.Connection | None = None
        self.audit: Audit | None = None

    def check(self) -> Text:
        if not self._path.exists():
            raise Broken(f"没有 {self._path}", f"there is no {self._path}")
        self._connection = connection = connect_reader(self._path)
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise Broken("不是本程序的数据库", "it is the database of another program")
        if finding := quick_check(connection):
            raise Broken(f"数据库损坏：{finding}", f"it is damaged: {finding}")
        connection.execute("BEGIN")
        self.audit = Audit(connection, self._blobs)
        return Text(str(self._path), str(self._path))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _verifier(directory: Path, verifier_key: str | None) -> NoteVerifier | None:
    """The key to check signatures with, or None where none can be read."""
    try:
        if verifier_key is None:
            verifier_key = NoteSigner.load(directory / KEY_FILE).verifier_key
        return NoteVerifier(verifier_key)
    except OSError:
        return None
    except ValueError as error:
        raise ConfigError(
            f"验证公钥无效：{error}",
            f"the verifier key is malformed: {error}",
            next_zh="公钥的格式是 名称+编号+base64，站点页面上可以看到",
            next_en="a verifier key reads name+id+base64, as the station's page shows it",
        ) from error
