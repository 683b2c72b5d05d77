"""Calibration of the sensors: ``calibrate fit``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, fraction, write_out
from edge.config import load_station


@click.group()
def calibrate() -> None:
    """Calibration of the sensors (标定)."""


@calibrate.command("fit")
@click.argument("recording", type=ANY_PATH)
@click.option("--station", "station_file", type=ANY_PATH, required=True)
@click.option(
    "--references",
    type=ANY_PATH,
    help="JSON of the reference vehicles; without it the recording's truth.csv is used.",
)
@click.option("--out", type=ANY_PATH, required=True, help="The certificate (JSON).")
def calibrate_fit(
    *, recording: Path, station_file: Path, references: Path | None, out: Path
) -> None:
    """Fit a gain for every channel from reference passes: a first certificate."""
    from edge.replay import replay_passages

    config = load_station(station_file)
    session = importlib.import_module("calibration.session")
    with click.progressbar(length=1000, label="标定 / fit", file=sys.stderr) as bar:
        passages = list(replay_passages(recording, config, progress=fraction(bar)))
    certificate = session.calibrate(
        passages,
        session.read_references(references or recording),
        session.read_digitisers(recording, config),
        station=config.model.station.id,
    )
    write_out(out, certificate.to_json())
    click.echo(f"证书 / certificate {certificate.certificate_id} → {out}")
