"""A plate camera: what it reads when a nose passes, how it errs, and the picture it takes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from firmware_bridge.anpr import PlateFrame
from simulator.fleet import SimVehicle
from simulator.plates import misread
from simulator.scenario import PlateSection
from simulator.seeds import stream

_SIZE = (800, 450)
_GROUND = {"yellow": "#f2b705", "yellow-green": "#b9d532", "blue": "#1f4fa3", "white": "#f4f4f4"}
_CABS = ("#b5342c", "#2d5f9a", "#e3e1dc", "#3b7d4f", "#d98324", "#5c6470")
_FONTS = (
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/System/Library/Fonts/PingFang.ttc",
)
_STATION_ZONE = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class PlateEvent:
    """One reading: taken at ``taken_s`` of the world's time, on the line at ``sent_s``."""

    camera: str
    lane: str
    vehicle: SimVehicle
    taken_s: float
    sent_s: float
    text: str
    confidence: float
    speed_mps: float

    def frame(self, sequence: int, camera_time_ns: int, direction: str, picture: str) -> PlateFrame:
        """The reading as the camera's line carries it."""
        colour = self.vehicle.colour if self.text else "unknown"
        return PlateFrame(
            sequence,
            self.lane,
            self.text,
            colour,
            self.confidence,
            direction,
            camera_time_ns,
            picture,
        )


def read_plate(
    camera: str,
    lane: str,
    vehicle: SimVehicle,
    taken_s: float,
    speed_mps: float,
    section: PlateSection,
    seed: int,
) -> PlateEvent:
    """What the camera makes of a vehicle: mostly right, sometimes wrong, sometimes nothing."""
    chance = stream(seed, "plate", camera, vehicle.number)
    low, high = (ms / 1e3 for ms in section.delay_ms)
    delay_s = min(low * math.exp(abs(chance.normal(0, 0.7))), high)
    text, confidence = vehicle.plate, float(chance.beta(40, 1.5))
    fate = chance.random()
    if fate < section.miss_rate:
        text, confidence = "", 0.0
    elif fate < section.miss_rate + section.misread_rate:
        text, confidence = misread(text, chance), float(chance.beta(8, 3))
    return PlateEvent(
        camera, lane, vehicle, taken_s, taken_s + delay_s, text, round(confidence, 3), speed_mps
    )


def write_picture(directory: Path, name: str, picture: bytes) -> None:
    """Lay a picture down as cameras do: under another name first, then in one step its own."""
    directory.mkdir(parents=True, exist_ok=True)
    fresh = directory / f".{name}.tmp"
    fresh.write_bytes(picture)
    fresh.replace(directory / name)


def draw_picture(event: PlateEvent, utc_ns: int) -> bytes:
    """A JPEG of the lorry from the side with its plate and the time, as evidence would show it."""
    image = _scene().copy()
    draw = ImageDraw.Draw(image)
    _draw_lorry(draw, event.vehicle)
    _draw_plate(draw, event.vehicle)
    when = datetime.fromtimestamp(utc_ns // 1_000_000_000, _STATION_ZONE)
    stamp = f"{when:%Y-%m-%d %H:%M:%S}.{utc_ns // 1_000_000 % 1000:03d} UTC+8"
    text = f"{stamp}   {event.camera}   {event.lane}   {event.speed_mps * 3.6:.0f} km/h"
    draw.rectangle((0, 0, _SIZE[0], 26), fill="#101418")
    draw.text((10, 4), text, fill="#e8edf2", font=_font(15))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=82)
    return out.getvalue()


@lru_cache(maxsize=1)
def _scene() -> Image.Image:
    """Sky, hills, road: the same behind every lorry."""
    width, height = _SIZE
    rows = np.linspace(0, 1, 300)[:, None]
    sky = np.array([142, 176, 205]) * (1 - rows) + np.array([222, 230, 232]) * rows
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:300] = sky[:, None, :]
    pixels[300:] = (92, 95, 98)
    speckle = stream(0, "asphalt").integers(-7, 8, (height - 300, width, 1))
    pixels[300:] = np.clip(pixels[300:] + speckle, 0, 255)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    x = np.arange(0, width + 20, 20)
    ridge = 262 + 16 * np.sin(x / 97) + 9 * np.sin(x / 41)
    draw.polygon([(0, 300), *zip(x.tolist(), ridge.tolist(), strict=True), (width, 300)], "#7f9a7c")
    draw.line((0, 300, width, 300), fill="#b8bcbf", width=5)
    for left in range(20, width, 130):
        draw.rectangle((left, 428, left + 70, 433), fill="#dcdcd4")
    return image


def _draw_lorry(draw: ImageDraw.ImageDraw, vehicle: SimVehicle) -> None:
    """Side view to scale, nose to the left: bodies between axle groups, cab, wheels."""
    scale = min(38.0, 740 / vehicle.length_m)
    left, ground, radius = (_SIZE[0] - vehicle.length_m * scale) / 2, 385.0, 0.5 * scale
    axles = [left + (vehicle.front_overhang_m + behind) * scale for behind in vehicle.axle_behind_m]
    floor, right = ground - 1.15 * scale, left + vehicle.length_m * scale
    cab_end = left + 2.2 * scale
    chance = stream(vehicle.number, "paint")
    cab = _CABS[int(chance.integers(len(_CABS)))]
    body = _CABS[int(chance.integers(len(_CABS)))]
    draw.ellipse((left - 8, ground - 8, right + 12, ground + 16), fill="#4a4d50")
    draw.rectangle((left + 6, floor, right, floor + 0.25 * scale), fill="#2b2e31")
    draw.rectangle((cab_end + 0.3 * scale, floor - 2.3 * scale, right, floor), fill=body)
    for x in range(round(cab_end + 0.3 * scale), round(right), max(round(scale), 8)):
        draw.line((x, floor - 2.3 * scale, x, floor), fill="#7d8388", width=1)
    draw.rounded_rectangle(
        (left, floor - 1.9 * scale, cab_end, floor + 0.55 * scale), radius=7, fill=cab
    )
    draw.rectangle(
        (left + 0.15 * scale, floor - 1.65 * scale, left + 1.3 * scale, floor - 0.75 * scale),
        fill="#9fc3d8",
    )
    for wheel in axles:
        draw.ellipse((wheel - radius, ground - 2 * radius, wheel + radius, ground), fill="#17191b")
        hub = radius * 0.45
        hub_box = (wheel - hub, ground - radius - hub, wheel + hub, ground - radius + hub)
        draw.ellipse(hub_box, "#8b9298")


def _draw_plate(draw: ImageDraw.ImageDraw, vehicle: SimVehicle) -> None:
    box = (30, 40, 290, 108)
    draw.rounded_rectangle(
        box, radius=6, fill=_GROUND.get(vehicle.colour, "#f4f4f4"), outline="#111", width=3
    )
    text = vehicle.plate if len(vehicle.plate) > 8 else f"{vehicle.plate[:2]}·{vehicle.plate[2:]}"
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(middle, text, fill="#111", font=_font(38 if len(text) < 10 else 24), anchor="mm")


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font with Chinese characters where the machine has one."""
    found: Sequence[str] = [path for path in _FONTS if Path(path).exists()]
    return ImageFont.truetype(found[0], size) if found else ImageFont.load_default(size)
