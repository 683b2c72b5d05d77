"""The station file: what is wrong is named by file, key and allowed range."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.config import load_station, parse_station
from edge.errors import ConfigError
from edge.frozen import Frozen
from edge.gains import parse_gains
from edge.rules.pack import RulePack

GOOD = """
[station]
id = "ST01"

[[digitiser]]
id = "D1"
url = "socket://127.0.0.1:5001"
channels = ["aL", "aR", "bL", "bR"]

[[lane]]
id = "1"
digitiser = "D1"
speed_kmh = [5, 90]
separator = { input = 2, position_m = -0.4 }
[[lane.row]]
position_m = 0.0
width_m = 0.07
kind = "strip"
left = "aL"
right = "aR"
[[lane.row]]
position_m = 2.0
width_m = 0.07
kind = "strip"
left = "bL"
right = "bR"

[[camera]]
id = "C1"
url = "/dev/ttyS1"
lanes = ["1"]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(text)
    return path


def test_layout_counts_channels_and_turns_units(tmp_path: Path) -> None:
    (lane,) = load_station(write(tmp_path, GOOD)).lanes_of("D1")
    assert [(r.left, r.right) for r in lane.rows] == [(0, 1), (2, 3)]
    assert lane.speed_max_mps == pytest.approx(25.0)
    assert lane.separator is not None
    assert lane.separator.input == 2


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('id = "ST01"', 'id = "ST01"\ncolour = "red"', "station.colour: unknown key"),
        ('id = "ST01"', 'id = "ST 01!"', "station.id"),
        ("speed_kmh = [5, 90]", "speed_kmh = [90, 5]", "lane[1]"),
        ("width_m = 0.07", "width_m = 0", "lane[1].row[1].width_m"),
        ('left = "bL"', 'left = "zL"', "'zL' is not one of"),
        ('left = "bL"', 'left = "bL"\ngain = 2', "lane[1].row[2].gain: unknown key"),
        ("position_m = 2.0", "position_m = 0.0", "order of travel"),
        ('digitiser = "D1"', 'digitiser = "D9"', "'D9' is not in the file"),
        ('lanes = ["1"]', 'lanes = ["7"]', "'7' is not in the file"),
        ('"bL", "bR"]', '"bL", "bL"]', "bL stands twice"),
        ('kind = "strip"', 'kind = "quartz"', "lane[1].row[1].kind"),
        ("[station]", '[web]\nhost = ""\n[station]', "web.host"),
        ("[station]", "[station", "not valid TOML"),
    ],
)
def test_every_mistake_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_station(path)
    assert named in caught.value.what.en
    assert str(path) in caught.value.what.en
    assert str(path) in caught.value.what.zh


SCALE = """
[[scale]]
id = "F1"
url = "/dev/ttyS2"
format = "yaohua"
max_kg = 60000
division_kg = 20
"""


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("speed_kmh = [5, 90]", "speed_kmh = [90, 5]"),
        lambda text: text.replace("speed_kmh = [5, 90]", "speed_kmh = [5]"),
        lambda text: text.replace("speed_kmh = [5, 90]", "speed_kmh = 5"),
        lambda text: text.replace("speed_kmh = [5, 90]", "axle_kg = [9, 5]"),
        lambda text: text.replace("position_m = 2.0", "position_m = 0.0"),
        lambda text: text.replace('left = "bL"', 'left = "zL"'),
        lambda text: text.replace('digitiser = "D1"', 'digitiser = "D9"'),
        lambda text: text.replace('lanes = ["1"]', 'lanes = ["7"]'),
        lambda text: text.replace('lanes = ["1"]', 'lanes = "1"'),
        lambda text: text.replace('lanes = ["1"]', "lanes = []"),
        lambda text: text.replace('"bL", "bR"]', '"bL", "bL"]'),
        lambda text: text.replace("/dev/ttyS1", "listen://0.0.0.0"),
        lambda text: text.replace('"/dev/ttyS1"', '"listen://h:1"\nformat = "dahua"'),
        lambda text: text.replace('"/dev/ttyS1"', '"http://u:p@h/"\nformat = "dahua"'),
        lambda text: text.replace('"/dev/ttyS1"', '"http://h/"\nformat = "dahua"\nuser = "u"'),
        lambda text: text + 'lane_names = { "2" = "9" }',
        lambda text: text + '[uplink]\nbroker = "http://x"',
        lambda text: text + '[uplink]\nbroker = "mqtt://u:p@x"',
        lambda text: text + '[uplink]\ncert_file = "x"',
        lambda text: text + SCALE + "data_bits = 7",
        lambda text: text + SCALE + 'lane = "9"',
        lambda text: text + SCALE + 'check_with = "F1"',
        lambda text: text + SCALE.replace("yaohua", "modbus"),
        lambda text: text + MODBUS_SCALE.format(poll_s=2.5),
        lambda text: text + MODBUS_SCALE.format(poll_s=1).replace("modbus:W1", "modbus:W2"),
        lambda text: (
            "station = 5\n" + text.replace("[station]", "[web]").replace('id = "ST01"', "")
        ),
    ],
)
def test_the_chinese_half_is_chinese(tmp_path: Path, change: Callable[[str], str]) -> None:
    """Names, keys and values apart, no three English words stand in a row in it."""
    path = write(tmp_path, change(GOOD))
    with pytest.raises(ConfigError) as caught:
        load_station(path)
    said = caught.value.what.zh.replace(str(path), "")
    assert not re.search(r"\b[a-z]{2,} [a-z]{2,} [a-z]{2,}\b", said), said
    assert len(re.findall(r"[\u4e00-\u9fff]", said)) >= 6, said


MODBUS_SCALE = """
[[modbus]]
id = "W1"
url = "tcp://127.0.0.1:502"
map = "generic-scale"
poll_s = {poll_s}
[[scale]]
id = "F1"
url = "modbus:W1"
format = "modbus"
max_kg = 60000
division_kg = 20
"""


def test_a_modbus_device_that_is_a_scale_is_asked_often_enough(tmp_path: Path) -> None:
    assert load_station(write(tmp_path, GOOD + MODBUS_SCALE.format(poll_s=1))).model.scale
    with pytest.raises(ConfigError, match="poll_s <= 1"):
        load_station(write(tmp_path, GOOD + MODBUS_SCALE.format(poll_s=2.5)))


def test_allowed_range_is_told(tmp_path: Path) -> None:
    text = GOOD.replace('url = "/dev/ttyS1"', 'url = "/dev/ttyS1"\nwait_s = 99')
    with pytest.raises(ConfigError, match="不大于 30"):
        load_station(write(tmp_path, text))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "D1"', 'id = "D1"\nbaud = "fast"', "baud = 'fast'：不允许（要写整数）"),
        ('kind = "strip"', 'kind = "quartz"', "'quartz'：不允许（只能是 'strip' 或 'plate'）"),
        ('id = "ST01"', 'id = "../x"', "不允许（要符合 ^[A-Za-z0-9_-]{1,32}$）"),
        ("speed_kmh = [5, 90]", "speed_kmh = [90, 5]", "不允许（speed_kmh 要写 [最低, 最高]"),
    ],
)
def test_what_is_allowed_is_told_in_chinese(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_station(write(tmp_path, GOOD.replace(old, new, 1)))
    assert said in caught.value.what.zh


def test_missing_file_is_the_installers_matter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_station(tmp_path / "none.toml")
    assert caught.value.exit_code == 3


def test_without_certificate_the_nominal_scale_is_doubted(tmp_path: Path) -> None:
    gains = load_station(write(tmp_path, GOOD)).gains_of("D1", 0.5)
    assert not gains.calibrated
    assert gains.newton_per_count.tolist() == [0.5] * 4
    assert (gains.u_rel >= 0.05).all()


def test_neighbours_are_lanes_of_a_direction_that_follow_each_other(tmp_path: Path) -> None:
    lane = GOOD[GOOD.index("[[lane]]") : GOOD.index("[[camera]]")]
    more = "".join(
        lane.replace('id = "1"', f'id = "{name}"\ndirection = "{direction}"')
        for name, direction in (("2", "east"), ("3", ""), ("4", "east"), ("5", ""))
    )
    channels = [f"c{n}" for n in range(20)]
    wired = re.sub(r"channels = .*", f"channels = {json.dumps(channels)}", GOOD + more)
    numbers = iter(channels)
    wired = re.sub(r'(left|right) = "\w+"', lambda m: f'{m[1]} = "{next(numbers)}"', wired)
    lanes = load_station(write(tmp_path, wired)).lanes_of("D1")
    assert {x.lane: x.beside for x in lanes} == {
        "1": ("3",),
        "2": ("4",),
        "3": ("1", "5"),
        "4": ("2",),
        "5": ("3",),
    }


def certificate(names: str) -> bytes:
    channels = [
        {"name": name, "newton_per_count": i + 1.0, "u_rel": 0.01} for i, name in enumerate(names)
    ]
    device = {"u_rel_common": 0.001, "channels": channels}
    body = {"schema": "steelyard-cal/1", "certificate_id": "K1", "digitisers": {"D1": device}}
    return json.dumps(body).encode()


def test_certificate_goes_by_channel_name_not_by_order() -> None:
    gains = parse_gains(certificate("ba"), Path("c.json"), "D1", ["a", "b"])
    assert gains.newton_per_count.tolist() == [2.0, 1.0]
    assert gains.calibrated


def test_certificate_without_the_digitiser_or_a_channel_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse_gains(certificate("ba"), Path("c.json"), "D1", ["a", "c"])
    with pytest.raises(ConfigError):
        parse_gains(certificate("ba"), Path("c.json"), "D2", ["a"])


def certified(tmp_path: Path, text: str, **more: object) -> str:
    """The id of the certificate by which a station of that text would weigh."""
    channels = [
        {"name": name, "newton_per_count": 1.0, "u_rel": 0.01} for name in ("aL", "aR", "bL", "bR")
    ]
    body = {
        "station": "ST01",
        "certificate_id": "K1",
        "digitisers": {"D1": {"u_rel_common": 0.001, "channels": channels}},
    }
    (tmp_path / "c.json").write_text(json.dumps(body | more))
    calibrated = text + '\n[calibration]\nfile = "c.json"\n'
    return load_station(write(tmp_path, calibrated)).gains_of("D1", 1.0).certificate_id


ROWS = [
    {"position_m": 0.0, "width_m": 0.07, "kind": "strip", "left": "aL", "right": "aR"},
    {"position_m": 2.0, "width_m": 0.07, "kind": "strip", "left": "bL", "right": "bR"},
]


def test_certificate_of_another_station_weighs_nothing_here(tmp_path: Path) -> None:
    assert certified(tmp_path, GOOD) == "K1"
    with pytest.raises(ConfigError, match="ST02"):
        certified(tmp_path, GOOD, station="ST02")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("width_m = 0.07", "width_m = 0.05"),
        ("position_m = 2.0", "position_m = 2.1"),
        ('left = "bL"\nright = "bR"', 'left = "bR"\nright = "bL"'),
        ('"1"', '"2"'),
    ],
    ids=["width", "place", "wiring", "a lane that was not calibrated"],
)
def test_certificate_holds_for_the_rows_that_were_calibrated(
    tmp_path: Path, old: str, new: str
) -> None:
    assert certified(tmp_path, GOOD, rows={"1": ROWS}) == "K1"
    reordered = GOOD.replace('"aL", "aR", "bL", "bR"', '"bR", "aR", "bL", "aL"')
    assert certified(tmp_path, reordered, rows={"1": ROWS}) == "K1"
    changed = GOOD.replace(old, new)
    with pytest.raises(ConfigError, match="rows of lane"):
        certified(tmp_path, changed, rows={"1": ROWS})


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('right = "aR"', 'right = "aL"', "channel aL"),
        ('left = "bL"', 'left = "aL"', "channel aL"),
        (
            "[[camera]]",
            '[[camera]]\nid = "C2"\nurl = "/dev/ttyS2"\nlanes = ["1"]\n\n[[camera]]',
            "lane 1 has two plate cameras",
        ),
        ("/dev/ttyS1", "socket://127.0.0.1:5001", "stands for two devices"),
        (
            "[[camera]]",
            '[[modbus]]\nid = "M1"\nurl = "rtu:///dev/ttyS1"\nmap = "cabinet"\n\n[[camera]]',
            "/dev/ttyS1 stands for two devices",
        ),
    ],
    ids=["channel left and right", "channel in two rows", "two cameras", "line", "line of a bus"],
)
def test_what_no_station_can_be_is_found_before_it_starts(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    text = GOOD.replace(old, new, 1)
    with pytest.raises(ConfigError, match=re.escape(named)):
        load_station(write(tmp_path, text))
    parse_station(Path("station.toml"), text.encode())  # an old record is weighed again with it


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"nonsense", b'{"digitisers": 3}', b"\xff"])
def test_what_is_no_certificate_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_gains(raw, Path("c.json"), "D1", ["a"])


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    text = GOOD + '\n[calibration]\nfile = "none.json"\n'
    with pytest.raises(ConfigError, match=r"none\.json"):
        load_station(write(tmp_path, text)).gains_of("D1", 1.0)


@pytest.mark.parametrize(
    "read",
    [
        lambda deep: parse_station(Path("station.toml"), b"x = " + deep),
        lambda deep: RulePack.parse(b"x = " + deep),
        lambda deep: parse_gains(deep, Path("certificate.json"), "D1", ["a"]),
        lambda deep: Frozen.parse(deep),
    ],
    ids=["station file", "rule pack", "certificate", "dynamics"],
)
def test_a_file_that_is_nested_beyond_all_sense_is_refused_as_any_wrong_one(
    read: Callable[[bytes], object],
) -> None:
    with pytest.raises((ConfigError, ValueError)):
        read(b"[" * 50_000 + b"]" * 50_000)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("newton_per_count", 0.0),
        ("newton_per_count", float("nan")),
        ("u_rel", 0.0),
        ("u_rel", -0.1),
        ("u_rel_common", float("nan")),
        ("gravity_mps2", 0.0),
    ],
)
def test_a_certificate_with_a_figure_that_no_calibration_gives_weighs_nothing(
    key: str, value: float
) -> None:
    figures = {"newton_per_count": 1.0, "u_rel": 0.01, "u_rel_common": 0.003, "gravity_mps2": 9.8}
    figures[key] = value
    common, gravity = figures.pop("u_rel_common"), figures.pop("gravity_mps2")
    device = {"u_rel_common": common, "channels": [{"name": "a", **figures}]}
    body = {"certificate_id": "C", "gravity_mps2": gravity, "digitisers": {"D1": device}}
    with pytest.raises(ConfigError, match=key):
        parse_gains(json.dumps(body).encode(), Path("certificate.json"), "D1", ["a"])


def test_a_digitiser_without_a_lane_is_no_reason_to_stop(tmp_path: Path) -> None:
    spare = '[[digitiser]]\nid = "D2"\nurl = "socket://127.0.0.1:5002"\nchannels = ["c"]\n'
    path = tmp_path / "station.toml"
    path.write_text(GOOD + spare)
    assert load_station(path).lane_names() == {"D1": ["1"], "D2": []}
