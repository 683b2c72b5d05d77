"""Verification of a bundle in numbered steps, offline: what was checked, and what that proves.

Each step leans on those before it. A step that finds nothing to check (no receipt yet) is absent:
it proves nothing, for or against. A damaged or exchanged part is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.bundle.archive import read
from edge.bundle.checks import Checks
from edge.bundle.layout import dossier_of
from edge.bundle.whole import State, whole
from edge.errors import ConfigError, IntegrityError, SteelyardError, Text, why_zh
from edge.evidence.note import NoteVerifier

Outcome = tuple[State, Text]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what was checked, how it came out, what was found, and what that proves."""

    number: int
    title: Text
    state: State
    detail: Text
    proves: Text


@dataclass(frozen=True, slots=True)
class _Check:
    """A step before it is taken."""

    run: Callable[[], Outcome]
    title: Text
    proves: Text


def verify_bundle(
    path: Path,
    station_key: str | None = None,
    centre_key: str | None = None,
    progress: Callable[[Step], None] = lambda _step: None,
    *,
    second_key: str | None = None,
) -> list[Step]:
    """Check a bundle, or the folder that it was unpacked into.

    Parameters
    ----------
    path : Path
    station_key, centre_key : str or None
        Verifier keys from sources that are trusted. Without them those of the bundle are used:
        that shows wholeness, not whose evidence it is.
    progress : callable
        Called with every step when it is done.
    second_key : str or None
        Verifier key of the station's SM2 signature, likewise.

    Raises
    ------
    InputError
        It can't be read.
    ConfigError
        A key that was given is malformed.
    """
    given = given_key(station_key), given_key(centre_key)
    try:
        files, archive = read(path)
    except IntegrityError as error:
        unreadable = error.what
        return _taken([_Check(lambda: ("failed", unreadable), *_ARCHIVE)], progress)
    return verify_files(files, archive, *given, progress, second=second_key)


def verify_files(
    files: Mapping[str, bytes],
    archive: bytes | None,
    station: NoteVerifier | None = None,
    centre: NoteVerifier | None = None,
    progress: Callable[[Step], None] = lambda _step: None,
    *,
    second: str | None = None,
    until_failed: bool = False,
) -> list[Step]:
    """As ``verify_bundle``, of files that were read already; perhaps no further than what fails."""
    try:
        dossier = dossier_of(files)
        _ = NoteVerifier(dossier.station_key), given_key(dossier.centre_key)
    except (SteelyardError, ValueError) as error:
        what = error.what if isinstance(error, SteelyardError) else Text(str(error), str(error))
        container = _Check(lambda: whole(files, archive, None), *_ARCHIVE)
        checks = [container, _Check(lambda: ("failed", what), *_PARTS)]
    else:
        checks = _checks(Checks(dossier, files, archive, station, centre, second))
    return _taken(checks, progress, until_failed=until_failed)


def _taken(
    checks: list[_Check], progress: Callable[[Step], None], *, until_failed: bool = False
) -> list[Step]:
    steps: list[Step] = []
    for number, check in enumerate(checks, 1):
        steps.append(Step(number, check.title, *_outcome(check.run), check.proves))
        progress(steps[-1])
        if until_failed and steps[-1].state == "failed":
            break
    return steps


def _outcome(run: Callable[[], Outcome]) -> Outcome:
    try:
        return run()
    except SteelyardError as error:
        return "failed", error.what
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return "failed", Text(f"格式无效{why_zh(error)}", f"malformed: {error}")


_ARCHIVE = (
    Text("证据包完整，没有损坏", "the bundle is whole"),
    Text(
        "传送和保存中没有损坏；不说明是谁打的包。",
        "Nothing was damaged on the way. It does not show who packed it.",
    ),
)
_PARTS = (
    Text("各部分彼此相符", "its parts fit each other"),
    Text(
        "供 openssl 和人使用的文件都出自同一份证据，没有换过。",
        "The files for openssl and for people all come from the same evidence.",
    ),
)


def _checks(v: Checks) -> list[_Check]:
    return [
        _Check(v.archive, *_ARCHIVE),
        _Check(v.parts, *_PARTS),
        _Check(
            v.signature,
            Text("站点的签名", "the station's signature"),
            Text(
                "该站点的密钥签署了当时的整个日志。",
                "The station's key signed the whole log as it then was.",
            ),
        ),
        _Check(
            v.record,
            Text("记录在已签名的日志中", "the record stands in the signed log"),
            Text(
                "记录一个字都没有改动，也不是事后插入的。",
                "Not one letter of the record was altered, and it was not inserted later.",
            ),
        ),
        _Check(
            v.others,
            Text("有关的其他声明也在该日志中", "statements about it stand in the log too"),
            Text(
                "当时的配置和事后的更正同样封存过。是否还有更新的更正，要问中心。",
                "Settings of the time and later corrections were sealed alike. Whether there are "
                "newer ones, the centre knows.",
            ),
        ),
        _Check(
            v.files,
            Text("图片和原始信号是记录所指的", "pictures and raw signal are the record's own"),
            Text(
                "文件与记录中的散列一致，不可能被调换。",
                "They have the hashes that the record states: they can't have been exchanged.",
            ),
        ),
        _Check(
            v.settings,
            Text(
                "站点文件、证书、规则是当时所用的",
                "station file, certificate and rules are those that were used",
            ),
            Text(
                "称重和判定所依据的就是这些文件；可以用它们重算。",
                "Weight and verdict rest on these very files; both can be computed again.",
            ),
        ),
        _Check(
            v.cosignature,
            Text("案件系统的副署", "the cosignature of the case system"),
            Text(
                "到副署之时，日志没有被改写、截短或分叉。",
                "Up to that time the log was not rewritten, cut short or forked.",
            ),
        ),
        _Check(
            v.receipt,
            Text("案件系统的回执", "the receipt of the case system"),
            Text(
                "案件系统收存了这条记录及其文件。",
                "The case system confirmed that it holds the record and its files.",
            ),
        ),
        _Check(
            v.pages,
            Text("可读的证据单与记录一致", "the sheet for reading says what the record says"),
            Text(
                "打印出来的内容就是封存的内容。",
                "What is printed is what was sealed.",
            ),
        ),
    ]


def given_key(key: str | None) -> NoteVerifier | None:
    """The verifier key that somebody gave; None where nobody did.

    Raises
    ------
    ConfigError
        It is no verifier key.
    """
    if key is None:
        return None
    try:
        return NoteVerifier(key)
    except ValueError as error:
        raise ConfigError(
            f"验证公钥无效{why_zh(error)}",
            f"the verifier key is malformed: {error}",
            next_zh="公钥的格式是 名称+编号+base64，站点页面上可以看到",
            next_en="a verifier key reads name+id+base64, as the station's page shows it",
        ) from error
