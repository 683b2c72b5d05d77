"""What the doctor found, in plain words, and as a piece of the station file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from edge.doctor import Look, modbus_url
from edge.errors import Text
from edge.sources.ports import link_down
from firmware_bridge.ports import LATENCY_GOOD_MS, is_numbered
from firmware_bridge.recognising import Live, Speaker

KINDS = {
    "digitiser": Text("数字化仪", "digitiser"),
    "camera": Text("车牌相机", "plate camera"),
    "scale": Text("称重仪表", "weighing indicator"),
    "modbus": Text("Modbus 设备", "Modbus device"),
}

_QUALITY = {
    "": Text("正常", "good"),
    "moving": Text("变化中", "moving"),
    "over": Text("超出量程", "over its range"),
    "under": Text("低于零点", "under its range"),
    "error": Text("没有读数", "no reading"),
    "unproved": Text("无校验", "nothing proves it"),
}

_PROTECTION = {
    "crc": Text("CRC 校验", "CRC"),
    "checksum": Text("有校验和", "checksum"),
    "parity": Text("仅奇偶校验", "parity only"),
    "none": Text("无校验：不能单独作为称重依据", "unprotected: never carries a weight alone"),
}

_SILENT = (
    "  没有声音，询问也不应答 / silent, and does not answer",
    "  → 检查设备电源、接线（收发是否接反）和输出方式；车牌相机只在有车时发送，可加 --wait 60",
    "  → check power, wiring (crossed?) and output mode; a camera waits for vehicles: --wait 60",
)
_MASTERED = (
    "  → 一条总线只能有一个主站：停用它（触摸屏、PLC、其他程序），或给本站另接一条线",
    "  → a bus has one master: switch the other off (panel, PLC, program), or take another line",
)
_NOISE = (
    "  有数据，但不是已知的格式 / bytes come, but of no known format",
    "  → 核对仪表的输出格式，或用 steelyard tap 抓取数据交给维护人员",
    "  → check the output format, or write it down with steelyard tap for the maintainer",
)


def describe(look: Look) -> Iterator[str]:
    """A port in a few lines."""
    yield look.url
    yield from _hardware(look)
    if look.holders:
        who = ", ".join(map(str, look.holders))
        yield f"  被另一个程序占用，未打开 / held by another program, left alone: {who}"
    if look.held:
        yield f"  站点正在使用，只旁听 / the running station's, only listened to: {look.held.part}"
    finding = look.finding
    if finding is None:
        return
    if finding.lost is not None:
        yield f"  {link_down(Text('打不开', 'cannot be opened'), finding.lost).line()}"
    elif finding.outcome == "silent":
        yield from _SILENT[:1] if look.held else _SILENT
    elif finding.outcome == "mastered":
        units = ", ".join(map(str, finding.units))
        yield (
            f"  总线上另有 Modbus 主站：听到它与单元 {units} 通信，未再询问 / "
            f"another Modbus master is on this bus, heard with units {units}: left alone"
        )
        yield from _MASTERED
    elif finding.outcome == "noise":
        yield from _NOISE
        yield f"  {finding.sample[:24].hex(' ')}"
    for speaker in finding.speakers:
        yield from _speaker(look, speaker, other=speaker not in look.devices)


def _hardware(look: Look) -> Iterator[str]:
    if look.port is not None:
        port = look.port
        parts = (str(port.device), port.driver, port.product, port.serial_number)
        yield f"  {' · '.join(part for part in parts if part)}"
        if port.holds_back:
            yield (
                f"  适配器延迟 {port.latency_ms} 毫秒，应为 {LATENCY_GOOD_MS} / "
                f"the adapter holds bytes back for {port.latency_ms} ms, set {LATENCY_GOOD_MS} "
                "(docs/installing.md 2)"
            )
    if is_numbered(look.url):
        yield (
            "  名称会随插拔改变，站点文件请用 /dev/serial/by-id/… / "
            "this name changes when it is plugged again; use /dev/serial/by-id/… "
        )


def _speaker(look: Look, speaker: Speaker, *, other: bool) -> Iterator[str]:
    kind = KINDS[speaker.kind]
    baud = look.finding.baud if look.finding else 0
    line = f"{baud} {speaker.data_bits}{speaker.parity[0].upper()}1, " if baud else ""
    lead = "也可能是 / or" if other else "✓"
    number = f" #{speaker.unit}" if speaker.unit else ""
    yield (
        f"  {lead} {kind}{number}: {speaker.what}{_settings(speaker)} "
        f"({line}{_PROTECTION[speaker.protection]})"
    )
    if not other:
        yield from (f"      {_live(value)}" for value in speaker.live)
    if speaker.maps:
        yield f"      寄存器表 / register maps that fit: {', '.join(speaker.maps)}"
    for name in speaker.open_settings if not speaker.maps else ():
        yield f"      {name}: 数据看不出，请对照仪表 / the bytes don't tell: look at the device"


def _settings(speaker: Speaker) -> str:
    told = ", ".join(f"{k} = {_toml(v)}" for k, v in speaker.settings.items())
    return f" [{told}]" if told else ""


def _live(value: Live) -> str:
    number = f"{value.value:,g}" if isinstance(value.value, float) else str(value.value)
    return f"{value.name}: {number} {value.unit}  {_QUALITY[value.quality]}"


def live_line(values: Sequence[Live]) -> str:
    """Live values in one line."""
    return "   ".join(map(_live, values))


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def station_piece(looks: Sequence[Look]) -> str:
    """The tables of a station file for all that was found and is not in the station yet."""
    numbers: dict[str, int] = {}
    tables = []
    for look in looks:
        for speaker in () if look.held else look.devices:
            kind = speaker.kind
            numbers[kind] = numbers.get(kind, 0) + 1
            rows = _TABLES[kind](look, speaker, numbers[kind])
            tables.append("\n".join([f"[[{kind}]]", *rows]))
    return _HEAD + "".join(f"\n{table}\n" for table in tables)


def _digitiser(look: Look, speaker: Speaker, number: int) -> Iterator[str]:
    yield f'id = "D{number}"'
    yield f"device_id = {speaker.unit}  # {speaker.what}"
    yield from _line(look)
    names = ", ".join(f'"c{n}"' for n in range(1, speaker.channels + 1))
    yield f"channels = [{names}]  # 改：通道名称，按接线顺序 / ! names, in the order of the wires"


def _camera(look: Look, speaker: Speaker, number: int) -> Iterator[str]:
    yield f'id = "C{number}"'
    yield from _line(look)
    yield f"format = {_toml(speaker.what)}"
    yield 'lanes = ["1"]  # 改：它看的车道 / ! the lanes it watches'


def _scale(look: Look, speaker: Speaker, number: int) -> Iterator[str]:
    yield f'id = "F{number}"'
    yield from _line(look)
    yield f"format = {_toml(speaker.what)}"
    if speaker.settings:
        told = ", ".join(f"{k} = {_toml(v)}" for k, v in speaker.settings.items())
        unsure = ", ".join(speaker.open_settings)
        note = f"  # 改：核对 {unsure} / ! check {unsure}" if unsure else ""
        yield f"settings = {{ {told} }}{note}"
    if speaker.data_bits == 7:
        yield "data_bits = 7"
        yield f"parity = {_toml(speaker.parity)}"
    yield "max_kg = 60000  # 改：铭牌上的 Max / ! Max of the plate"
    yield "division_kg = 20  # 改：铭牌上的 e / ! e of the plate"


def _modbus(look: Look, speaker: Speaker, number: int) -> Iterator[str]:
    yield f'id = "M{number}"'
    yield f"url = {_toml(modbus_url(look))}"
    yield f"unit = {speaker.unit}"
    maps = speaker.maps
    fitting, chosen = ", ".join(maps) or "-", maps[0] if maps else "cabinet"
    yield f"map = {_toml(chosen)}  # 改：寄存器表 / ! register maps that fit: {fitting}"


def _line(look: Look) -> Iterator[str]:
    yield f"url = {_toml(look.url)}"
    if look.finding and look.finding.baud:
        yield f"baud = {look.finding.baud}"


_HEAD = """\
# steelyard doctor 写的设备表：核对带“改”的行，再抄入站点文件
# written by steelyard doctor: mend the lines marked "!", then copy into the station file
"""

_TABLES = {"digitiser": _digitiser, "camera": _camera, "scale": _scale, "modbus": _modbus}
