"""Measures: ``bench speed | live | accuracy | delivery | bridge``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from edge.commands.tools import ANY_PATH, fraction, lazy, write_figures
from edge.config import load_station
from edge.errors import InputError


@click.group()
def bench() -> None:
    """Measure: ratios within one run, tables for people, --json for machines."""


@bench.command("speed")
@click.option("--seconds", type=click.FloatRange(min=10), default=600.0, show_default=True)
@click.option("--hour", is_flag=True, help="Simulate an hour of four lanes as well: a minute.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
def bench_speed(*, seconds: float, hour: bool, json_file: Path | None) -> None:
    """Core samples per second against one pass of max() over the same memory."""
    figures = lazy("simulator.bench.speed", "run")(seconds=seconds)
    if hour:
        figures |= lazy("simulator.bench.speed", "run_hour")()
    _tell_figures("speed", figures, json_file)


@bench.command("live")
@click.option("--seconds", type=click.FloatRange(min=10), default=600.0, show_default=True)
@click.option(
    "--block-ms",
    type=click.FloatRange(5, 200),
    default=100.0,
    show_default=True,
    help="Length of the blocks that the digitisers send.",
)
@click.option("--trace", is_flag=True, help="Follow every allocation instead; no other figures.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
def bench_live(*, seconds: float, block_ms: float, trace: bool, json_file: Path | None) -> None:
    """Four lanes of dense traffic over loopback sockets in real time: core, step, memory."""
    run = lazy("simulator.bench.live", "traced" if trace else "run")
    with click.progressbar(length=1000, label="实时 / live", file=sys.stderr) as bar:
        found = run(seconds, block_s=block_ms / 1e3, progress=fraction(bar))
    figures, lines = found if trace else (found, [])
    _tell_figures("live", figures, json_file)
    for line in lines:
        click.echo(line)


def _tell_figures(name: str, figures: dict[str, Any], json_file: Path | None) -> None:
    """Figures for people, and for machines with machine and date beside."""
    figures = {**figures, **lazy("simulator.bench.machine", "stamp")(name)}
    for key, value in figures.items():
        shown = value if isinstance(value, str) else f"{value:16,.4g}"
        click.echo(f"{key:36} {shown}")
    write_figures(figures, json_file)


@bench.command("accuracy")
@click.option("--vehicles", type=click.IntRange(min=5), default=100, show_default=True)
@click.option("--hard-vehicles", type=click.IntRange(min=40), default=1_000, show_default=True)
@click.option("--free-vehicles", type=click.IntRange(min=250), default=20_000, show_default=True)
@click.option("--limit-vehicles", type=click.IntRange(min=100), default=2_000, show_default=True)
@click.option("--seed", type=click.IntRange(min=1), help="Other vehicles.")
@click.option("--quick", is_flag=True, help="A few cells and conditions in less than a minute.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
@click.option("--plots", type=ANY_PATH, help="Write pictures (SVG) into this directory.")
@click.option("--page", type=ANY_PATH, help="Write the tables between the marks of this page.")
@click.option(
    "--beside",
    type=ANY_PATH,
    multiple=True,
    help="Figures of another bench (its --json), for the page.",
)
@click.option("--recording", type=ANY_PATH, help="Your own recording with truth.csv instead.")
@click.option("--station", "station_file", type=ANY_PATH, help="Station file of that recording.")
def bench_accuracy(
    *,
    vehicles: int,
    hard_vehicles: int,
    free_vehicles: int,
    limit_vehicles: int,
    seed: int | None,
    quick: bool,
    json_file: Path | None,
    plots: Path | None,
    page: Path | None,
    beside: tuple[Path, ...],
    recording: Path | None,
    station_file: Path | None,
) -> None:
    """Errors against the truth and against the bound of physics; hard traffic: what fooled us."""
    if recording is not None:
        _bench_recording(recording, station_file)
        return
    accuracy, report = "simulator.bench.accuracy", "simulator.bench.report"
    others = lazy(report, "read_figures")(beside)
    size = lazy(accuracy, "QUICK")
    if not quick:
        size = lazy(accuracy, "Size")(
            vehicles=vehicles, hard=hard_vehicles, free=free_vehicles, limit=limit_vehicles
        )
    with click.progressbar(length=1000, label="精度 / accuracy", file=sys.stderr) as bar:
        done = lazy(accuracy, "run")(
            size, seed=seed or lazy(accuracy, "SEED"), progress=fraction(bar)
        )
    figures = {**others, **done.figures, **lazy("simulator.bench.machine", "stamp")("accuracy")}
    click.echo(lazy(report, "markdown")(done, figures))
    if plots is not None:
        lazy(report, "write_pictures")(done, plots)
    if page is not None:
        lazy(report, "write_page")(done, figures, page)
    write_figures({k: v for k, v in figures.items() if k.startswith("accuracy.")}, json_file)


@bench.command("delivery")
@click.option("--commits", type=click.IntRange(min=50), default=4_000, show_default=True)
@click.option("--backlog", type=click.IntRange(min=100), default=20_000, show_default=True)
@click.option("--cases", type=click.IntRange(min=1), default=1_000, show_default=True)
@click.option("--stored", type=click.IntRange(min=100), default=1_000_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=5), default=300.0, show_default=True)
@click.option("--quick", is_flag=True, help="Little of each, in less than a minute.")
@click.option("--dir", "directory", type=ANY_PATH, help="On the disk to be measured; 15 GB.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
@click.option("--page", type=ANY_PATH, help="Write the tables between the marks of this page.")
def bench_delivery(
    *,
    commits: int,
    backlog: int,
    cases: int,
    stored: int,
    seconds: float,
    quick: bool,
    directory: Path | None,
    json_file: Path | None,
    page: Path | None,
) -> None:
    """Sealing against bare commits, delivery against bare MQTT, last wheel to receipt.

    Needs Debian's mosquitto. Station, case system, broker and yardstick are real processes.
    """
    room = "simulator.bench.delivery"
    size = lazy(room, "QUICK")
    if not quick:
        size = lazy(room, "Size")(commits, backlog, cases, stored, seconds)
    with click.progressbar(length=1000, label="投递 / delivery", file=sys.stderr) as bar:
        figures = lazy(room, "run")(size, directory=directory, progress=fraction(bar))
    _tell_figures("delivery", figures, json_file)
    if page is not None:
        stamped = {**figures, **lazy("simulator.bench.machine", "stamp")("delivery")}
        lazy("simulator.bench.delivery_page", "write_page")(stamped, page)


@bench.command("bridge")
@click.option("--quick", is_flag=True, help="Little of each, in less than a minute.")
@click.option("--only", multiple=True, help="Measures by name; may be repeated.")
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
@click.option("--page", type=ANY_PATH, help="Write the tables between the marks of this page.")
def bench_bridge(
    *, quick: bool, only: tuple[str, ...], json_file: Path | None, page: Path | None
) -> None:
    """The firmware bridge on real lines: bad replies, dead devices, speed, ports, clocks."""
    room = "simulator.bench.bridge"
    with click.progressbar(length=1000, label="仪表 / bridge", file=sys.stderr) as bar:
        figures = lazy(room, "run")(quick=quick, only=only, progress=fraction(bar))
    _tell_figures("bridge", figures, json_file)
    if page is not None:
        stamped = {**figures, **lazy("simulator.bench.machine", "stamp")("bridge")}
        lazy(room, "write_page")(stamped, page)


def _bench_recording(recording: Path, station_file: Path | None) -> None:
    if station_file is None:
        raise InputError(
            "--recording 需要 --station",
            "--recording needs --station",
            next_zh="给出录制时的站点文件",
            next_en="give the station file with which it was recorded",
        )
    with click.progressbar(length=1000, label="重算 / replay", file=sys.stderr) as bar:
        lines, remarks = lazy("simulator.bench.recorded", "run")(
            recording, load_station(station_file), fraction(bar)
        )
    click.echo(lazy("simulator.bench.recorded", "text")(lines, remarks))
