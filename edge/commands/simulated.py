"""Everything simulated: ``demo``, ``simulate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, lazy, run_until_signal


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after N seconds.")
@click.option("--report", type=ANY_PATH, help="Write the figures of the run as JSON.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the traffic.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--dir", "directory", type=ANY_PATH, help="Keep the demo's data here.")
def demo(
    *,
    seconds: float | None,
    report: Path | None,
    seed: int,
    port: int,
    directory: Path | None,
) -> None:
    """Show the whole: simulated trucks, real bytes, a real broker, a live page.

    With --seconds it exits 0 only if every vehicle that left the lane is a verified record at
    the case system, with its receipt.
    """
    run_demo = lazy("simulator.demo", "run_demo")
    sys.exit(
        run_until_signal(
            lambda stop: run_demo(
                stop, seconds=seconds, report=report, seed=seed, port=port, directory=directory
            )
        )
    )


@click.command()
@click.argument("scenario_file", type=ANY_PATH)
@click.option("--for", "station_file", type=ANY_PATH, required=True, help="The station file.")
@click.option("--seconds", type=click.FloatRange(min=1), help="Traffic ends after N seconds.")
@click.option("--seed", type=int, help="Instead of the scenario's seed.")
@click.option("--truth", type=ANY_PATH, help="Write what really passed, as JSON lines.")
def simulate(
    *,
    scenario_file: Path,
    station_file: Path,
    seconds: float | None,
    seed: int | None,
    truth: Path | None,
) -> None:
    """Play simulated devices in real time: digitisers, cameras, Modbus, on real ports."""
    run_devices = lazy("simulator.devices", "run_devices")
    run_until_signal(
        lambda stop: run_devices(
            station_file,
            scenario_file,
            stop=stop,
            seconds=seconds,
            seed=seed,
            truth=truth,
            announce=lambda text: click.echo(text, err=True),
        )
    )
