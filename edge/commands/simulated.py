"""Everything simulated: ``demo``, ``simulate``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, lazy, new_directory, run_until_signal


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End by itself after N seconds.")
@click.option("--report", type=ANY_PATH, help="Write the figures of the run as JSON.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the traffic.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option(
    "--dir", "directory", type=ANY_PATH, help="Keep the demo's data here, in a new directory."
)
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
    if directory is not None:
        new_directory(directory)
    sys.exit(
        run_until_signal(
            lambda stop: run_demo(
                stop, seconds=seconds, report=report, seed=seed, port=port, directory=directory
            )
        )
    )


@click.command()
@click.argument("scenario_file", type=ANY_PATH, required=False)
@click.option("--for", "station_file", type=ANY_PATH, help="The station file.")
@click.option("--seconds", type=click.FloatRange(min=1), help="Traffic ends after N seconds.")
@click.option("--seed", type=int, help="Instead of the scenario's seed.")
@click.option("--truth", type=ANY_PATH, help="Write what really passed, as JSON lines.")
@click.option("--tap", type=ANY_PATH, help="Play a file of steelyard tap on a pseudo-terminal.")
@click.option("--link", type=ANY_PATH, help="With --tap: where the host finds the line.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, help="With --tap.")
@click.option("--loop", is_flag=True, help="With --tap: over and over.")
def simulate(
    *,
    scenario_file: Path | None,
    station_file: Path | None,
    seconds: float | None,
    seed: int | None,
    truth: Path | None,
    tap: Path | None,
    link: Path | None,
    speed: float,
    loop: bool,
) -> None:
    """Play simulated devices in real time: digitisers, cameras, Modbus, on real ports.

    With --tap, play back what a line carried, byte for byte and with the same timing.
    """
    if tap is not None:
        play = lazy("simulator.playback", "play_tape")
        run_until_signal(
            lambda stop: play(tap, link=link, speed=speed, loop=loop, stop=stop, announce=_tell)
        )
        return
    if scenario_file is None or station_file is None:
        raise click.UsageError("SCENARIO_FILE and --for STATION, or --tap FILE")
    run_devices = lazy("simulator.devices", "run_devices")
    run_until_signal(
        lambda stop: run_devices(
            station_file,
            scenario_file,
            stop=stop,
            seconds=seconds,
            seed=seed,
            truth=truth,
            announce=_tell,
        )
    )


def _tell(text: str) -> None:
    click.echo(text, err=True)
