"""What a record proves, and how anybody checks it: ``export``, ``verify``, ``recompute``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge.commands.tools import ANY_PATH, EXISTING, write_out
from edge.config import StationConfig, load_station
from edge.errors import ConfigError, InputError, IntegrityError, SteelyardError, why_zh

if TYPE_CHECKING:
    from edge.bundle.dossier import Dossier

_MARKS = {"ok": "✓", "failed": "✗", "absent": "–"}


@click.command()
@click.argument("record")
@click.option("--station", "station_file", type=ANY_PATH, required=True)
@click.option("--out", type=ANY_PATH, help="File to write; named after the record if not given.")
@click.option("--key", help="Verifier key of the station, where its key file is not at hand.")
def export(*, record: str, station_file: Path, out: Path | None, key: str | None) -> None:
    """Write one file with everything that proves a record (证据包).

    RECORD is its number, or its id or the first digits of that. The station may run meanwhile.
    """
    from edge.bundle.gather import Keys, Source
    from edge.bundle.pages import export as bundled
    from edge.bundle.steps import given_key

    config = load_station(station_file)
    keys = Keys(key or _station_key(config), config.model.uplink.centre_key)
    for one in (keys.station, keys.centre):
        given_key(one)
    with Source(config.data_dir, keys, config) as source:
        dossier = source.dossier(source.find(record))
    path = out or Path(f"{config.model.station.id}-{dossier.main.index:09d}.zip")
    data = bundled(dossier)
    write_out(path, data)
    click.echo(f"证据包 / bundle → {path} ({len(data):,} bytes)")
    for blob in dossier.missing:
        click.echo(f"缺少文件 / missing file: {blob.role} {blob.sha256}", err=True)


def _station_key(config: StationConfig) -> str:
    """The verifier key of the key file; none is made."""
    from edge.evidence.note import NoteSigner, origin_of
    from edge.evidence.station_key import KEY_FILE

    path = config.data_dir / KEY_FILE
    try:
        return NoteSigner.load(path, origin_of(config.model.station.id)).verifier_key
    except OSError as error:
        raise ConfigError(
            f"密钥文件 {path} 无法读取{why_zh(error)}",
            f"cannot read the key file {path}: {error.strerror}",
            next_zh="用本站的账户运行，或用 --key 给出公钥",
            next_en="run it as the station's user, or give the verifier key with --key",
        ) from error


@click.command()
@click.argument("path", type=EXISTING)
@click.option("--key", help="Verifier key of the station (name+id+key), from another source.")
@click.option("--centre-key", help="Verifier key of the case system, likewise.")
@click.option("--second-key", help="Verifier key of the station's SM2 signature, likewise.")
def verify(*, path: Path, key: str | None, centre_key: str | None, second_key: str | None) -> None:
    """Verify a bundle or a station's store offline, in numbered steps; a failing one is named.

    PATH is a bundle, the folder that it was unpacked into, or a data directory.
    """
    if _is_store(path):
        _verify_store(path, key, centre_key, second_key)
    else:
        _verify_bundle(path, key, centre_key, second_key)


def _verify_bundle(
    path: Path, key: str | None, centre_key: str | None, second_key: str | None
) -> None:
    from edge.bundle.steps import Step, verify_bundle

    def tell(step: Step) -> None:
        click.echo(f"{_MARKS[step.state]} {step.number}. {step.title}  {step.detail}")
        if step.state == "ok":
            click.echo(f"     {step.proves}")

    steps = verify_bundle(path, key, centre_key, tell, second_key=second_key)
    if key is None:
        click.echo(
            "没有给出 --key：只能说明完整，不能说明是谁的证据 / "
            "without --key this shows wholeness, not whose evidence it is"
        )
    _conclude([step for step in steps if step.state == "failed"])


def _verify_store(
    path: Path, key: str | None, centre_key: str | None, second_key: str | None
) -> None:
    from edge.store.verify import verify_store

    steps = verify_store(
        path, key, lambda _done: None, centre_key=centre_key, second_key=second_key
    )
    for step in steps:
        click.echo(f"{'✓' if step.ok else '✗'} {step.number}. {step.title}  {step.detail}")
    _conclude([step for step in steps if not step.ok])


def _conclude(failed: list[Any]) -> None:
    if failed:
        raise _integrity(failed[0])
    click.echo("全部通过 / every step passed")


def _integrity(step: Any) -> SteelyardError:
    return IntegrityError(
        f"第 {step.number} 步不通过：{step.title.zh}：{step.detail.zh}",
        f"step {step.number} failed: {step.title.en}: {step.detail.en}",
        step=str(step.number),
        next_zh="保留现场，不要改动任何文件，联系维护人员",
        next_en="keep everything as it is and call the maintainer",
    )


@click.command()
@click.argument("path", type=EXISTING)
@click.argument("record", required=False)
def recompute(*, path: Path, record: str | None) -> None:
    """Weigh and judge a sealed vehicle again, and compare every sealed number.

    PATH is a bundle, or a data directory with the RECORD's number or id.
    """
    from edge.bundle.recompute import recompute as weigh_again

    with _dossier(path, record) as dossier:
        if dossier.main.record.kind != "vehicle":
            raise InputError(
                f"第 {dossier.main.index} 号记录不是车辆，没有重量可以重算",
                f"record {dossier.main.index} is no vehicle: there is no weight to compute",
            )
        outcome = weigh_again(dossier)
    for note in outcome.notes:
        click.echo(f"注意 / note: {note}")
    for difference in outcome.differences:
        click.echo(f"✗ {difference}")
    if outcome.problem is not None:
        raise IntegrityError(*outcome.problem, step="recompute")
    if not outcome.equal:
        raise IntegrityError(
            f"第 {outcome.index} 号记录重算有 {len(outcome.differences)} 处不同",
            f"record {outcome.index}: {len(outcome.differences)} value(s) come out otherwise",
            step="recompute",
            next_zh="程序版本不同时，安装记录中写明的版本再算；版本相同则联系维护人员",
            next_en="if the program differs, install the version that the record states; if it "
            "does not, call the maintainer",
        )
    gross = "–" if outcome.gross_kg is None else f"{outcome.gross_kg:,} kg"
    click.echo(
        f"✓ 第 {outcome.index} 号记录：重算与封存的每个数字相同，{gross} / "
        f"record {outcome.index}: every sealed number comes out again, {gross}"
    )
    click.echo(
        "记录是否原样、是谁的，由 steelyard verify 核对 / "
        "whether the record is unaltered, and whose it is, steelyard verify says"
    )


@contextmanager
def _dossier(path: Path, record: str | None) -> Iterator[Dossier]:
    """The dossier of a bundle, or of a record in a store."""
    from edge.bundle.archive import read
    from edge.bundle.gather import Keys, Source
    from edge.bundle.layout import dossier_of

    if not _is_store(path):
        yield dossier_of(read(path)[0])
        return
    if record is None:
        raise InputError(
            "证据库里有很多记录：请给出序号或编号",
            "a store holds many records: give a number or an id",
        )
    with Source(path, Keys("")) as source:
        yield source.dossier(source.find(record))


def _is_store(path: Path) -> bool:
    return path.is_dir() and not (path / "manifest.json").exists()


@click.command()
@click.option("--files", is_flag=True, help="Also each file of the legally relevant part.")
def version(*, files: bool) -> None:
    """Version, and one hash over the legally relevant part: what weighs, judges and seals."""
    from edge.evidence.identity import legally_relevant_lines, software_identity

    identity = software_identity()
    click.echo(f"{identity['name']} {identity['version']}")
    click.echo(f"法定相关部分 / legally relevant part  sha256 {identity['sha256']}")
    if files:
        click.echo(legally_relevant_lines(), nl=False)
