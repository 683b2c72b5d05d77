"""What must never happen to a record, tried: ``faults``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, lazy, write_figures


@click.command()
@click.option("--quick", is_flag=True, help="A few trials in less than a minute.")
@click.option("--only", multiple=True, help="Trials whose name begins so; may be repeated.")
@click.option("--jobs", type=click.IntRange(min=1), help="Trials side by side.")
@click.option("--keep", type=ANY_PATH, help="Keep the trials' directories here.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
@click.option("--page", type=ANY_PATH, help="Write the table between the marks of this page.")
def faults(
    *,
    quick: bool,
    only: tuple[str, ...],
    jobs: int | None,
    keep: Path | None,
    json_file: Path | None,
    page: Path | None,
) -> None:
    """Kill, cut, fill, forge, set clocks back; then prove that no record was lost or doubled.

    Exits 0 only if every promise was kept. Needs Debian's mosquitto, and root for the small disks.
    """
    room = "simulator.faults.run"
    rows = lazy(room, "run")(
        quick=quick,
        only=only,
        keep=keep,
        jobs=jobs,
        tell=lambda line: click.echo(line, err=True),
    )
    stamp = lazy("simulator.bench.machine", "stamp")("faults")
    figures = lazy("simulator.faults.outcome", "figures")(rows)
    click.echo(lazy("simulator.faults.outcome", "markdown")(lazy(room, "gathered")(rows)))
    for key, value in figures.items():
        click.echo(f"{key:36} {value:16,.4g}")
    if page is not None:
        lazy(room, "write_page")(page, rows, stamp)
    write_figures({**figures, **stamp}, json_file)
    sys.exit(0 if all(row.ok for row in rows) else 1)
