"""What devices said, kept and weighed again: ``record``, ``replay``, ``learn``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, fraction, new_directory, run_until_signal
from edge.config import load_station


@click.command()
@click.argument("station_file", type=ANY_PATH)
@click.option("--out", "directory", type=ANY_PATH, required=True, help="A new directory.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End by itself after N seconds.")
def record(*, station_file: Path, directory: Path, seconds: float | None) -> None:
    """Record what the devices of a station say; weighs nothing, seals nothing.

    Exits with an error where no digitiser gave any samples.
    """
    from edge.record import record_devices

    config = load_station(station_file)
    new_directory(directory)
    missing = run_until_signal(
        lambda stop: record_devices(config, directory, stop, seconds=seconds)
    )
    for text in missing:
        click.echo(f"注意 / note: {text}", err=True)


@click.command()
@click.argument("recording", type=ANY_PATH)
@click.option("--station", "station_file", type=ANY_PATH, required=True)
@click.option(
    "--out", type=ANY_PATH, required=True, help="Table of vehicles: .csv, .jsonl or .parquet."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all processors if not given.")
def replay(*, recording: Path, station_file: Path, out: Path, jobs: int | None) -> None:
    """Weigh and judge a recording again, with the code of the live station."""
    from edge.replay import replay_vehicles, vehicle_rows
    from edge.sources.tables import write_table

    config = load_station(station_file)
    with click.progressbar(length=1000, label="重算 / replay", file=sys.stderr) as bar:
        vehicles = replay_vehicles(
            recording, config, progress=fraction(bar), jobs=jobs or os.cpu_count() or 1
        )
        write_table(out, vehicle_rows(vehicles, config))
    click.echo(f"车辆表 / table of vehicles → {out}", err=True)


@click.command()
@click.option("--station", "station_file", type=ANY_PATH, required=True)
@click.option(
    "--recording",
    "recordings",
    type=ANY_PATH,
    multiple=True,
    help="Learn from recordings instead of what the running station gathered; repeatable.",
)
@click.option("--lane", "lanes", multiple=True, help="Only these lanes; repeatable.")
@click.option("--freeze-by", "who", help="Freeze it: who answers for that (free text).")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all processors if not given.")
def learn(
    *,
    station_file: Path,
    recordings: tuple[Path, ...],
    lanes: tuple[str, ...],
    who: str | None,
    jobs: int | None,
) -> None:
    """Show what the lanes' traffic taught, and freeze it for the station file (动态参数).

    Without --freeze-by nothing is written. A station never changes its weights by itself.
    """
    from edge.learning import freeze, from_recordings, from_station, table

    config = load_station(station_file)
    if recordings:
        with click.progressbar(length=1000, label="学习 / learn", file=sys.stderr) as bar:
            lessons = from_recordings(
                config, recordings, lanes, jobs=jobs or os.cpu_count() or 1, progress=fraction(bar)
            )
    else:
        lessons = from_station(config, lanes)
    click.echo("\n\n".join(map(table, lessons)))
    if not who:
        click.echo("只看不改；冻结请加 --freeze-by 姓名 / only shown; to freeze: --freeze-by NAME")
        return
    for path, frozen in freeze(config, lessons, who, time.time_ns):
        click.echo(f"已冻结 / frozen v{frozen.version} sha256 {frozen.dynamics.sha256} → {path}")
        click.echo(f"站点文件 [[lane]] {frozen.lane} 写 / in the station file, [[lane]] of it:")
        click.echo(f'dynamics = "{path.name}"')
