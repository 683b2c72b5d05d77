"""What each camera format lets through when one bit in a thousand is flipped.

A network does not do that: TCP's checksum guards it. The figures say what the documents alone are
worth, as over a serial line or a converter that checks nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from firmware_bridge.anpr import PlateDecoder, PlateFrame, encode_plate
from firmware_bridge.cameras.decoder import CameraDecoder
from firmware_bridge.cameras.dialect import load_dialect
from firmware_bridge.cameras.tcp_text import TcpTextDecoder
from simulator.bench.pages import put
from simulator.network_cameras import SPEAKERS, Shown, dahua_lines, hikvision_xml, tcp_text
from simulator.scales import Damage

FLIPPED = 1e-3
FRAMES, QUICK_FRAMES = 20_000, 300
SEED = 20_262

BEGIN = "<!-- begin: bad line of cameras, written by steelyard bench bridge -->"
END = "<!-- end: bad line of cameras -->"

Encode = Callable[[Shown], bytes]
Read = Callable[[bytes], list[str]]


def run(*, quick: bool) -> dict[str, float]:
    """Of each format the readings with a wrong plate, and the frames without any reading."""
    frames = QUICK_FRAMES if quick else FRAMES
    figures: dict[str, float] = {"bridge.cameras.frames": frames}
    for name, (encode, read) in _formats().items():
        right, wrong = _measure(name, encode, read, frames)
        figures[f"bridge.cameras.wrong_ppm.{name}"] = 1e6 * wrong / frames
        figures[f"bridge.cameras.lost_pct.{name}"] = 100 * (frames - right - wrong) / frames
    return figures


def _measure(name: str, encode: Encode, read: Read, frames: int) -> tuple[int, int]:
    damage = Damage(flipped_bits=FLIPPED, chance=random.Random(f"{SEED} {name}"))
    right = wrong = 0
    for shown in _vehicles(frames):
        for plate in read(damage.spoil(encode(shown))):
            right, wrong = right + (plate == shown.plate), wrong + (plate != shown.plate)
    return right, wrong


def _vehicles(count: int) -> Iterator[Shown]:
    chance = random.Random(SEED)
    for number in range(count):
        plate = f"冀{chance.choice('ABCDEFGH')}{chance.randrange(100_000):05d}"
        yield Shown(plate, utc_ms=1_790_000_000_000 + number * 7_001, number=number)


def _formats() -> dict[str, tuple[Encode, Read]]:
    """How each format writes a vehicle, and the plates that are read of the bytes."""
    return {
        "steelyard": (_own_frame, lambda data: [f.plate for f in PlateDecoder().feed(data)]),
        "tcp-text": (tcp_text, lambda data: [e.plate for e in TcpTextDecoder().feed(data)]),
        "hikvision": (hikvision_xml, _reader("hikvision")),
        "dahua": (dahua_lines, _reader("dahua")),
        "milesight": (lambda shown: SPEAKERS["milesight"](shown)[1], _reader("milesight")),
        "vzenith": (lambda shown: SPEAKERS["vzenith"](shown)[1], _reader("vzenith")),
    }


def _own_frame(shown: Shown) -> bytes:
    time_ns = shown.utc_ms * 1_000_000
    return encode_plate(
        PlateFrame(shown.number, "1", shown.plate, shown.colour, 0.93, "toward", time_ns, "")
    )


def _reader(name: str) -> Read:
    dialect = load_dialect(name)

    def read(data: bytes) -> list[str]:
        events = CameraDecoder(dialect).message(dialect.media_types[0], data)
        return [event.plate for event in events]

    return read


def write_table(figures: Mapping[str, float | str], page: Path) -> None:
    """Put the figures into the page's section on cameras."""
    lines = ["| format | no reading | wrong plates in a million |", "|---|---:|---:|"]
    for name in _formats():
        lost_pct = float(figures[f"bridge.cameras.lost_pct.{name}"])
        wrong_ppm = float(figures[f"bridge.cameras.wrong_ppm.{name}"])
        lines.append(f"| {name} | {lost_pct:.1f} % | {wrong_ppm:,.0f} |")
    put(page, BEGIN, END, "\n".join(lines))
