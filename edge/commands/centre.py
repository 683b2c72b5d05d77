"""The case system of tests and demos: ``case-system`` and what people do at it."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from edge.commands.tools import ANY_PATH, EXISTING, either, lazy, run_until_signal
from edge.errors import InputError

STORE = click.option(
    "--store", "directory", type=EXISTING, required=True, help="Where records are kept."
)


@click.group("case-system", invoke_without_command=True)
@click.option("--broker", help="mqtt://host:port of the broker.")
@click.option("--store", "directory", type=ANY_PATH, help="Where records are kept.")
@click.option(
    "--receipt-delay-s",
    type=click.FloatRange(min=0),
    default=0.0,
    help="Wait between storing and answering, as a slow centre does.",
)
@click.pass_context
def case_system(
    context: click.Context, *, broker: str | None, directory: Path | None, receipt_delay_s: float
) -> None:
    """A small central case system: verifies, stores, cosigns, answers with receipts.

    Without a further command it serves the stations of a broker.
    """
    if context.invoked_subcommand:
        return
    if broker is None or directory is None:
        raise click.UsageError("--broker and --store are needed to serve")
    system = lazy("simulator.case_system", "CaseSystem")(
        _uplink_section(broker), directory, receipt_delay_s=receipt_delay_s
    )
    click.echo(f"案件系统 / case system: {broker} → {directory}", err=True)
    run_until_signal(lambda stop: either(system.run(), stop))


@case_system.command()
@click.argument("station")
@click.argument(
    "action", type=click.Choice(["message", "resend", "retry_poisoned", "checkpoint", "rule_pack"])
)
@STORE
@click.option("--zh", help="message: what operators read, in Chinese.")
@click.option("--en", help="message: the same in English.")
@click.option("--first", type=click.IntRange(min=0), help="resend: number of the first record.")
@click.option("--last", type=click.IntRange(min=0), help="resend: number of the last record.")
@click.option("--pack", type=EXISTING, help="rule_pack: the TOML file.")
@click.option(
    "--valid-s",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="Seconds for which the command is good.",
)
def command(
    *,
    station: str,
    action: str,
    directory: Path,
    zh: str | None,
    en: str | None,
    first: int | None,
    last: int | None,
    pack: Path | None,
    valid_s: float,
) -> None:
    """Tell a STATION to do something; the running case system signs and sends it."""
    needed: dict[str, dict[str, Any]] = {
        "message": {"zh": zh, "en": en},
        "resend": {"first": first, "last": last},
        "rule_pack": _pack_of(pack) if pack else {"pack": None},
    }
    given = needed.get(action, {})
    missing = [f"--{name}" for name, value in given.items() if value is None]
    if missing:
        raise click.UsageError(f"{action} needs {' and '.join(missing)}")
    issue = lazy("simulator.case_commands", "issue")
    with _store(directory) as store:
        if station not in store.stations():
            raise InputError(
                f"案件系统不认得 {station} 站", f"the case system knows no station {station}"
            )
        issued = issue(store, station, action, given, valid_s=valid_s)
    until = _time(issued.expires_us)
    click.echo(f"{station} #{issued.number} {action}  有效至 / good until {until}")


@case_system.command()
@STORE
@click.option("--station", help="Of this station only.")
def commands(*, directory: Path, station: str | None) -> None:
    """What stations were told, and what became of it."""
    issued = lazy("simulator.case_commands", "issued")
    with _store(directory) as store:
        for item in issued(store, station):
            state = item.outcome or ("已发出 sent" if item.sent_us else "待发 waiting")
            told = item.command
            click.echo(
                f"{_time(told.issued_us)}  {told.station} #{told.number} {told.action}  {state}"
            )


@case_system.command()
@STORE
@click.option("--notes", is_flag=True, help="Show the signed notes that prove each.")
def alarms(*, directory: Path, notes: bool) -> None:
    """Logs that were forked, rolled back, cut or cloned; exit code 6 if there are any."""
    words = lazy("simulator.case_witness", "WORDS")
    with _store(directory) as store:
        found = lazy("simulator.case_witness", "alarms")(store)
    for alarm in found:
        click.echo(f"{_time(alarm.first_us)}  {alarm.station}  {words[alarm.name]}")
        click.echo(f"    {alarm.detail}  ×{alarm.times}")
        if notes:
            for note in (alarm.known, alarm.note):
                click.echo("".join(f"    | {line}\n" for line in note.splitlines()))
    if not found:
        click.echo("没有警报 / no alarms")
    sys.exit(6 if found else 0)


@case_system.command()
@STORE
def stations(*, directory: Path) -> None:
    """Stations with their state, records, and how far their logs are cosigned."""
    overview = lazy("simulator.case_witness", "overview")
    with _store(directory) as store:
        for line in overview(store):
            click.echo(line)


@case_system.command("verify")
@STORE
def verify_store(*, directory: Path) -> None:
    """Prove every record, blob and checkpoint anew; exit code 6 if something does not hold."""
    with _store(directory) as store:
        problems = store.verify()
    for problem in problems:
        click.echo(f"✗ {problem}")
    click.echo(f"不成立 / do not hold: {len(problems)}")
    sys.exit(6 if problems else 0)


@contextlib.contextmanager
def _store(directory: Path) -> Iterator[Any]:
    if not (directory / "cases.db").is_file():
        raise InputError(
            f"{directory} 里没有案件库", f"there is no store of a case system in {directory}"
        )
    with contextlib.closing(lazy("simulator.case_store", "CaseStore").open(directory)) as store:
        yield store


def _pack_of(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        return {"sha256": hashlib.sha256(data).hexdigest(), "toml": data.decode()}
    except UnicodeDecodeError as error:
        raise InputError(f"{path} 不是 UTF-8 文本", f"{path} is no text in UTF-8") from error


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _uplink_section(broker: str) -> Any:
    from pydantic import ValidationError

    from edge.config import UplinkSection

    try:
        return UplinkSection(broker=broker)
    except ValidationError as error:
        raise InputError(
            f"--broker {broker}：要写成 mqtt://主机:端口",
            f"--broker {broker}: must be mqtt://host:port or mqtts://host:port",
        ) from error
