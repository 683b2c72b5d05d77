"""The command ``steelyard``. Simulator, calibration and benches are loaded when asked for."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edge import __version__
from edge.errors import ConfigError, InputError, SteelyardError

if TYPE_CHECKING:
    from edge.config import StationConfig

EXISTING = click.Path(exists=True, path_type=Path)
ANY_PATH = click.Path(path_type=Path)


class _Commands(click.Group):
    """Errors made on purpose become one plain line and the exit code of their class."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SteelyardError as error:
            _fail(error)
        except BaseExceptionGroup as group:
            known = _first_known(group)
            if known is None:
                raise
            _fail(known)


def _first_known(group: BaseExceptionGroup[BaseException]) -> SteelyardError | None:
    for error in group.exceptions:
        if isinstance(error, SteelyardError):
            return error
        if isinstance(error, BaseExceptionGroup) and (inner := _first_known(error)):
            return inner
    return None


def _fail(error: SteelyardError) -> None:
    click.echo(f"steelyard: {error.line()}", err=True)
    sys.exit(error.exit_code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="steelyard")
@click.option("--verbose", is_flag=True, help="More in the log.")
def main(*, verbose: bool) -> None:
    """Steelyard: the edge service of a weigh-in-motion station (治超站边缘称重服务).

    Exit codes: 2 input file or argument, 3 configuration, 4 line or host away, 5 device,
    6 evidence does not verify, 7 disk.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("pymodbus", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def _run_until_signal(job: Callable[[asyncio.Event], Coroutine[Any, Any, Any]]) -> Any:
    """Run a job that ends when its event is set; SIGINT and SIGTERM set it."""

    async def body() -> Any:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        return await job(stop)

    return asyncio.run(body())


def _lazy(module: str, name: str) -> Any:
    """Something of a package that the edge does not depend on.

    Raises
    ------
    ConfigError
        It needs an extra that is not installed.
    """
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"缺少 Python 包 {error.name}",
            f"the Python package {error.name} is not installed",
            next_zh="运行 pip install 'steelyard[demo]'",
            next_en="run pip install 'steelyard[demo]'",
        ) from error


@main.command()
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
    run_demo = _lazy("simulator.demo", "run_demo")
    sys.exit(
        _run_until_signal(
            lambda stop: run_demo(
                stop, seconds=seconds, report=report, seed=seed, port=port, directory=directory
            )
        )
    )


@main.command()
@click.argument("station_file", type=ANY_PATH)
@click.option("--record", "record_to", type=ANY_PATH, help="Also record what the devices say.")
def run(*, station_file: Path, record_to: Path | None) -> None:
    """Run a station until SIGTERM or Ctrl-C."""
    from edge.config import load_station
    from edge.station import Station

    station = Station(load_station(station_file), record_to=record_to)

    def ready(station: Station) -> None:
        click.echo(f"站点运行中 / station runs: {station.url}", err=True)

    _run_until_signal(lambda stop: station.run(stop, on_ready=ready))


@main.command()
@click.argument("station_file", type=ANY_PATH)
def check(*, station_file: Path) -> None:
    """Check a station file: keys, ranges, names, certificate, rule pack."""
    from edge.config import load_station
    from edge.frozen import known_dynamics
    from edge.rules.pack import RulePack

    config = load_station(station_file)
    pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
    known = known_dynamics(config)
    for lane in config.model.lane:
        weighs_with = lane.dynamics or "出厂 / prior"
        click.echo(
            f"车道 / lane {lane.id}: {len(lane.row)} 排 / rows on {lane.digitiser}, "
            f"动态参数 / dynamics {weighs_with} v{known[lane.id].version}"
        )
    click.echo(f"规则包 / rule pack {pack.id} {pack.version}")
    for section in config.model.digitiser:
        certificate = config.gains_of(section.id, 1.0).certificate_id or "没有 / none"
        click.echo(
            f"数采 / digitiser {section.id}: {len(section.channels)} 通道 / channels, "
            f"证书 / certificate {certificate}"
        )
        _tell_speeds(config, section.id)
    click.echo(f"站点文件正确 / the station file is right: {station_file}")


def _tell_speeds(config: StationConfig, digitiser: str) -> None:
    """At which speeds each lane of a digitiser weighs, and who says so."""
    gains = config.gains_of(digitiser, 1.0)
    for lane in config.model.lane:
        if lane.digitiser != digitiser:
            continue
        low, high = lane.speed_kmh
        if stated := gains.speed_mps.get(lane.id):
            low, high = max(low, stated[0] * 3.6), min(high, stated[1] * 3.6)
            source = "证书与站点文件 / certificate and station file"
        elif gains.calibrated:
            source = "站点文件，证书没有写明 / station file: the certificate states none"
        else:
            source = "站点文件 / station file"
        click.echo(f"车道 / lane {lane.id}: {low:.1f}–{high:.1f} km/h ({source})")


@main.command()
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
    run_devices = _lazy("simulator.devices", "run_devices")
    _run_until_signal(
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


@main.command("case-system")
@click.option("--broker", required=True, help="mqtt://host:port of the broker.")
@click.option("--store", "directory", type=ANY_PATH, required=True, help="Where records are kept.")
def case_system(*, broker: str, directory: Path) -> None:
    """A small central case system: verifies, stores, answers with receipts."""
    system = _lazy("simulator.case_system", "CaseSystem")(_uplink_section(broker), directory)
    click.echo(f"案件系统 / case system: {broker} → {directory}", err=True)
    _run_until_signal(lambda stop: _either(system.run(), stop))


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


async def _either(job: Awaitable[Any], stop: asyncio.Event) -> None:
    """Run a job until it fails or ``stop`` is set."""
    work = asyncio.ensure_future(job)
    halt = asyncio.ensure_future(stop.wait())
    await asyncio.wait({work, halt}, return_when=asyncio.FIRST_COMPLETED)
    halt.cancel()
    if not work.done():
        work.cancel()
    await asyncio.gather(work, return_exceptions=not work.done())


@main.command()
@click.argument("station_file", type=ANY_PATH)
@click.option("--out", "directory", type=ANY_PATH, required=True, help="A new directory.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End by itself after N seconds.")
def record(*, station_file: Path, directory: Path, seconds: float | None) -> None:
    """Record what the devices of a station say; weighs nothing, seals nothing."""
    from edge.config import load_station
    from edge.record import record_devices

    config = load_station(station_file)
    _run_until_signal(lambda stop: record_devices(config, directory, stop, seconds=seconds))


@main.command()
@click.argument("recording", type=ANY_PATH)
@click.option("--station", "station_file", type=ANY_PATH, required=True)
@click.option(
    "--out", type=ANY_PATH, required=True, help="Table of vehicles: .csv, .jsonl or .parquet."
)
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; all processors if not given.")
def replay(*, recording: Path, station_file: Path, out: Path, jobs: int | None) -> None:
    """Weigh and judge a recording again, with the code of the live station."""
    from edge.config import load_station
    from edge.replay import replay_vehicles, vehicle_rows
    from edge.sources.tables import write_table

    config = load_station(station_file)
    with click.progressbar(length=1000, label="重算 / replay", file=sys.stderr) as bar:
        vehicles = replay_vehicles(
            recording, config, progress=_fraction(bar), jobs=jobs or os.cpu_count() or 1
        )
        write_table(out, vehicle_rows(vehicles, config))
    click.echo(f"车辆表 / table of vehicles → {out}", err=True)


def _fraction(bar: Any) -> Callable[[float], None]:
    """Feed a progress bar of length 1000 with fractions."""

    def advance(done: float) -> None:
        bar.update(max(0, int(done * 1000) - bar.pos))

    return advance


@main.command()
@click.argument("store", type=EXISTING)
@click.option("--key", help="Verifier key of the station (name+id+key), from another source.")
def verify(*, store: Path, key: str | None) -> None:
    """Verify a station's store offline: numbered steps, the failing one is named."""
    from edge.store.verify import verify_store

    steps = verify_store(store, key, lambda _done: None)
    for step in steps:
        click.echo(f"{'✓' if step.ok else '✗'} {step.number}. {step.title}  {step.detail}")
    failed = next((step for step in steps if not step.ok), None)
    if failed is not None:
        raise _integrity(failed)
    click.echo("全部通过 / every step passed")


def _integrity(step: Any) -> SteelyardError:
    from edge.errors import IntegrityError

    return IntegrityError(
        f"第 {step.number} 步不通过：{step.title.zh}",
        f"step {step.number} failed: {step.title.en}",
        step=str(step.number),
        next_zh="保留现场，不要改动任何文件，联系维护人员",
        next_en="keep everything as it is and call the maintainer",
    )


@main.group()
def calibrate() -> None:
    """Calibration of the sensors (检定与标定)."""


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
    from edge.config import load_station
    from edge.replay import replay_passages

    config = load_station(station_file)
    session = importlib.import_module("calibration.session")
    with click.progressbar(length=1000, label="标定 / fit", file=sys.stderr) as bar:
        passages = list(replay_passages(recording, config, progress=_fraction(bar)))
    certificate = session.calibrate(
        passages,
        session.read_references(references or recording),
        session.read_digitisers(recording, config),
        station=config.model.station.id,
    )
    try:
        out.write_bytes(certificate.to_json())
    except OSError as error:
        raise InputError(
            f"写不了 {out}：{error.strerror}", f"cannot write {out}: {error.strerror}"
        ) from error
    click.echo(f"证书 / certificate {certificate.certificate_id} → {out}")


@main.command()
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
    from edge.config import load_station
    from edge.learning import freeze, from_recordings, from_station, table

    config = load_station(station_file)
    if recordings:
        with click.progressbar(length=1000, label="学习 / learn", file=sys.stderr) as bar:
            lessons = from_recordings(
                config, recordings, lanes, jobs=jobs or os.cpu_count() or 1, progress=_fraction(bar)
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


@main.group()
def bench() -> None:
    """Measure: ratios within one run, tables for people, --json for machines."""


@bench.command("speed")
@click.option("--seconds", type=click.FloatRange(min=10), default=600.0, show_default=True)
@click.option("--json", "json_file", type=ANY_PATH, help="Write the figures here.")
def bench_speed(*, seconds: float, json_file: Path | None) -> None:
    """Core samples per second against one pass of max() over the same memory."""
    _tell_figures("speed", _lazy("simulator.bench.speed", "run")(seconds=seconds), json_file)


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
    run = _lazy("simulator.bench.live", "traced" if trace else "run")
    with click.progressbar(length=1000, label="实时 / live", file=sys.stderr) as bar:
        found = run(seconds, block_s=block_ms / 1e3, progress=_fraction(bar))
    figures, lines = found if trace else (found, [])
    _tell_figures("live", figures, json_file)
    for line in lines:
        click.echo(line)


def _tell_figures(name: str, figures: dict[str, Any], json_file: Path | None) -> None:
    """Figures for people, and for machines with machine and date beside."""
    figures = {**figures, **_lazy("simulator.bench.machine", "stamp")(name)}
    for key, value in figures.items():
        shown = value if isinstance(value, str) else f"{value:16,.4g}"
        click.echo(f"{key:36} {shown}")
    _write_figures(figures, json_file)


def _write_figures(figures: dict[str, Any], json_file: Path | None) -> None:
    if json_file is None:
        return
    try:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise InputError(
            f"写不了 {json_file}：{error.strerror}", f"cannot write {json_file}: {error.strerror}"
        ) from error


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
    others = _lazy(report, "read_figures")(beside)
    size = _lazy(accuracy, "QUICK")
    if not quick:
        size = _lazy(accuracy, "Size")(
            vehicles=vehicles, hard=hard_vehicles, free=free_vehicles, limit=limit_vehicles
        )
    with click.progressbar(length=1000, label="精度 / accuracy", file=sys.stderr) as bar:
        done = _lazy(accuracy, "run")(
            size, seed=seed or _lazy(accuracy, "SEED"), progress=_fraction(bar)
        )
    figures = {**others, **done.figures, **_lazy("simulator.bench.machine", "stamp")("accuracy")}
    click.echo(_lazy(report, "markdown")(done, figures))
    if plots is not None:
        _lazy(report, "write_pictures")(done, plots)
    if page is not None:
        _lazy(report, "write_page")(done, figures, page)
    _write_figures({k: v for k, v in figures.items() if k.startswith("accuracy.")}, json_file)


def _bench_recording(recording: Path, station_file: Path | None) -> None:
    from edge.config import load_station

    if station_file is None:
        raise InputError(
            "--recording 需要 --station",
            "--recording needs --station",
            next_zh="给出录制时的站点文件",
            next_en="give the station file with which it was recorded",
        )
    with click.progressbar(length=1000, label="重算 / replay", file=sys.stderr) as bar:
        lines, remarks = _lazy("simulator.bench.recorded", "run")(
            recording, load_station(station_file), _fraction(bar)
        )
    click.echo(_lazy("simulator.bench.recorded", "text")(lines, remarks))


if __name__ == "__main__":
    main()
