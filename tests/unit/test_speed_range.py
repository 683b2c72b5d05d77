"""Speeds that a calibration covers: written into the certificate, kept by the weighing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from calibration.certificate import SPEED_FACTOR, Run, speed_ranges_kmh
from edge.cli import main
from edge.config import load_station
from edge.core.weigh import weigh
from edge.errors import ConfigError
from edge.gains import parse_gains
from edge.health import Health, Level
from edge.lanes import Lanes
from edge.records import ClockReading, Flag, Passage
from edge.sources.ports import DeviceHello
from tests.unit.core_signals import Lorry, Scene, gains, strip_lane
from tests.unit.test_config import GOOD

KMH = 1 / 3.6
DAY_US = 86_400 * 1_000_000


def run(lane: str, speed_kmh: float, status: str = "used") -> Run:
    return Run("D1", lane, "lorry", 0, speed_kmh, status, "", 1.0)


@pytest.fixture(scope="module")
def passage() -> Passage:
    (one,) = Scene(strip_lane(), [Lorry(0.8, 15.0)], 4.0).passages()
    return one


def flags(passage: Passage, **changes: object) -> Flag:
    lane = strip_lane()
    own = {key: changes.pop(key) for key in ("speed_min_mps", "speed_max_mps") if key in changes}
    return weigh(passage.clip, replace(lane, **own), replace(gains(8), **changes)).flags


def test_the_range_is_that_of_the_used_runs_and_a_margin() -> None:
    runs = [run("1", 33.0), run("1", 66.0), run("1", 90.0, "outlier"), run("1", 5.0, "excluded")]
    assert speed_ranges_kmh([*runs, run("2", 20.0)]) == {
        "1": [pytest.approx(33.0 / SPEED_FACTOR), pytest.approx(66.0 * SPEED_FACTOR)],
        "2": [pytest.approx(18.2), pytest.approx(22.0)],
    }


@pytest.mark.parametrize(
    ("range_kmh", "outside"),
    [((30, 80), False), ((30, 53), True), ((55, 80), True), ((5, 53.9), True)],
)
def test_a_vehicle_outside_the_certificate_is_flagged(
    passage: Passage, range_kmh: tuple[float, float], outside: bool
) -> None:
    low, high = range_kmh
    found = flags(passage, speed_mps={"1": (low * KMH, high * KMH)})
    assert (Flag.SPEED_OUT_OF_RANGE in found) == outside


def test_other_lanes_and_certificates_without_a_range_leave_the_station_file(
    passage: Passage,
) -> None:
    assert Flag.SPEED_OUT_OF_RANGE not in flags(passage, speed_mps={"2": (1.0, 2.0)})
    assert Flag.SPEED_OUT_OF_RANGE not in flags(passage)
    assert Flag.SPEED_OUT_OF_RANGE in flags(passage, speed_max_mps=14.0)


@pytest.mark.parametrize(("sigmas", "outside"), [(-1.0, True), (1.0, True), (3.0, False)])
def test_a_speed_nearer_to_a_limit_than_it_is_sure_is_outside(
    passage: Passage, sigmas: float, outside: bool
) -> None:
    reach = sigmas * passage.u_speed_mps
    for limits in (
        {"speed_max_mps": passage.speed_mps + reach},
        {"speed_min_mps": passage.speed_mps - reach},
    ):
        assert (Flag.SPEED_OUT_OF_RANGE in flags(passage, **limits)) == outside


def certificate(**more: object) -> bytes:
    channels = [
        {"name": n, "newton_per_count": 1.0, "u_rel": 0.01} for n in ("aL", "aR", "bL", "bR")
    ]
    device = {"u_rel_common": 0.001, "channels": channels}
    body = {"station": "ST01", "certificate_id": "K1", "digitisers": {"D1": device}}
    return json.dumps(body | more).encode()


def test_the_station_reads_the_range() -> None:
    read = parse_gains(certificate(speed_kmh={"1": [36, 72]}), Path("c"), "D1", ["aL"])
    assert read.speed_mps == {"1": (10.0, 20.0)}
    assert parse_gains(certificate(), Path("c"), "D1", ["aL"]).speed_mps == {}


@pytest.mark.parametrize(
    "wrong",
    [
        [1, 2],
        {"1": [60, 30]},
        {"1": [float("nan"), 30]},
        {"1": 3},
        {"1": [1]},
        {"1": ["x", 2]},
        "fast",
    ],
)
def test_a_damaged_range_is_refused(wrong: object) -> None:
    with pytest.raises(ConfigError):
        parse_gains(certificate(speed_kmh=wrong), Path("c"), "D1", ["aL"])


def test_check_tells_who_states_the_range_and_whether_the_certificate_holds(tmp_path: Path) -> None:
    station = tmp_path / "station.toml"
    station.write_text(GOOD + '\n[calibration]\nfile = "c.json"\n')
    for body, words in (
        (certificate(), "证书没有写明"),
        (certificate(speed_kmh={"1": [30, 60]}), "30.0–60.0 km/h (证书与站点文件"),
        (certificate(valid_until_us=1), "K1, 注意：已过期"),
        (certificate(issued_us=10**16), "K1, 注意：签发时间在将来"),
    ):
        (tmp_path / "c.json").write_bytes(body)
        result = CliRunner().invoke(main, ["check", str(station)])
        assert result.exit_code == 0, result.output
        assert words in result.output


@pytest.mark.parametrize(
    ("now_us", "said"),
    [
        (1_999, "签发时间在将来"),
        (2_000, "有效"),
        (70 * DAY_US, "有效"),
        (70 * DAY_US + 1, "30 天内到期"),
        (100 * DAY_US + 1, "已过期"),
    ],
)
def test_the_page_says_from_when_to_when_a_certificate_holds(
    tmp_path: Path, now_us: int, said: str
) -> None:
    station = tmp_path / "station.toml"
    station.write_text(GOOD + '\n[calibration]\nfile = "c.json"\n')
    body = certificate(issued_us=2_000, valid_until_us=100 * DAY_US, speed_kmh={"1": [30, 60]})
    (tmp_path / "c.json").write_bytes(body)
    health = Health(lambda: 0)
    clock = ClockReading(0, now_us * 1_000, 5e5, 1_000, 0.0, True)
    hello = DeviceHello("D1", "S", "M", "1", 2_000.0, 1.0, 4)
    Lanes(load_station(station), health).take(hello, lambda: clock, 0)
    state = health.snapshot().states["calibration.D1"]
    assert said in state.text.zh
    assert (state.level is Level.OK) == (said == "有效")
