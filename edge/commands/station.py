"""Run a station, and look at its file: ``run``, ``check``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edge.commands.tools import ANY_PATH, run_until_signal
from edge.config import LOOPBACK, ModbusSection, ScaleSection, StationConfig, load_station
from edge.records import Gains


@click.command()
@click.argument("station_file", type=ANY_PATH)
@click.option("--record", "record_to", type=ANY_PATH, help="Also record what the devices say.")
def run(*, station_file: Path, record_to: Path | None) -> None:
    """Run a station until SIGTERM or Ctrl-C."""
    from edge.station import Station

    station = Station(load_station(station_file), record_to=record_to)

    def ready(station: Station) -> None:
        click.echo(f"站点运行中 / station runs: {station.url}", err=True)

    run_until_signal(lambda stop: station.run(stop, on_ready=ready))


@click.command()
@click.argument("station_file", type=ANY_PATH)
def check(*, station_file: Path) -> None:
    """Check a station file, and the files that it names, as a start would."""
    from edge.frozen import known_dynamics
    from edge.rules.pack import RulePack
    from edge.sources.camera_http import check_camera

    config = load_station(station_file)
    config.zone()
    pack = RulePack.parse(config.pack_bytes(), config.model.rules.pack)
    known = known_dynamics(config)
    for lane in config.model.lane:
        weighs_with = lane.dynamics or "出厂 / prior"
        click.echo(
            f"车道 / lane {lane.id}: {len(lane.row)} 排 / rows on {lane.digitiser}, "
            f"动态参数 / dynamics {weighs_with} v{known[lane.id].version}"
        )
    law = pack.at(time.time_ns())
    today = (
        f"今天 / today: {law.id}" if law else "注意：今天没有有效的规定 / careful: no law of today"
    )
    click.echo(f"规则包 / rule pack {pack.id} {pack.version}, {today}")
    for section in config.model.digitiser:
        click.echo(
            f"数采 / digitiser {section.id}: {len(section.channels)} 通道 / channels, "
            f"证书 / certificate {_certificate(config.gains_of(section.id, 1.0))}"
        )
        _tell_speeds(config, section.id)
    for scale in config.model.scale:
        _tell_scale(scale)
    for device in config.model.modbus:
        _tell_modbus(config.with_map(device))
    for camera in config.model.camera:
        check_camera(config.with_files(camera))
        click.echo(f"车牌相机 / plate camera {camera.id}: {camera.format}, {camera.url}")
    _tell_centre(config)
    _tell_page(config)
    click.echo(f"站点文件正确 / the station file is right: {station_file}")


def _certificate(gains: Gains) -> str:
    """The certificate, and whether it holds now."""
    if not gains.calibrated:
        return "没有 / none"
    now_ns = time.time_ns()
    if gains.expired(now_ns):
        return f"{gains.certificate_id}, 注意：已过期 / careful: expired"
    if gains.premature(now_ns):
        return f"{gains.certificate_id}, 注意：签发时间在将来 / careful: issued in the future"
    return gains.certificate_id


def _tell_centre(config: StationConfig) -> None:
    """How the centre is reached; keys and certificates are read as the uplink reads them."""
    from edge.uplink.access import read_access
    from edge.uplink.uplink import centre_verifier

    section = config.model.uplink
    access = read_access(section, config.resolve)
    how = "TLS" if access.tls else "没有加密 / not encrypted"
    proof = (
        "回执验签 / receipts are proven"
        if centre_verifier(section.centre_key)
        else "没有 centre_key，回执不验签 / no centre_key: receipts are believed, not proven"
    )
    click.echo(f"中心 / centre {access}: {how}, {proof}")


def _tell_page(config: StationConfig) -> None:
    """Where the page is, and whom it is open to: it asks for no password."""
    web = config.model.web
    alone = web.host in LOOPBACK
    open_to = (
        "只在本机 / on this machine only"
        if alone
        else "注意：没有口令，能连到这里的人都能看车牌、按按钮 / "
        "careful: no password, whoever reaches it sees plates and presses buttons"
    )
    click.echo(f"网页 / page {web.host}:{web.port}: {open_to}")


def _tell_modbus(section: ModbusSection) -> None:
    """Which map reads a Modbus device, and whether a device has confirmed it."""
    from edge.sources.modbus import modbus_map

    found = modbus_map(section)
    stands = (
        "已核实 / confirmed"
        if found.verified
        else "未核实，先用已知重量核对 / not confirmed, try known loads"
    )
    click.echo(f"Modbus {section.id}: {found.name}, {stands}")


def _tell_scale(section: ScaleSection) -> None:
    """What an indicator speaks, and whether its readings may stand alone."""
    from edge.sources.scale import scale_format

    if section.over_modbus:
        click.echo(f"衡器 / scale {section.id}: {section.url}")
        return
    protection = scale_format(section).protection_on(section.data_bits, section.parity)
    alone = {
        "checksum": "有校验 / checksum",
        "parity": "奇偶校验 / parity",
        "none": "无校验，不能单独定案 / unprotected, never carries a weight alone",
    }[protection]
    if protection == "none" and section.check_with:
        alone += f"，由 / vouched for by {section.check_with}"
    click.echo(f"衡器 / scale {section.id}: {section.format}, {alone}")


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
