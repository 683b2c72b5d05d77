"""A small believable station: a real store with sealed vehicles, behind the real web server."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from edge.config import StationConfig, load_station
from edge.evidence.identity import software_identity
from edge.evidence.note import NoteSigner
from edge.evidence.statement import other_draft, vehicle_draft
from edge.frozen import known_dynamics
from edge.health import Health, Level
from edge.records import (
    AxleGroup,
    AxleTable,
    Blob,
    ClockReading,
    Flag,
    Gains,
    JoinKind,
    Passage,
    Picture,
    PlateJoin,
    PlateRead,
    RawClip,
    Record,
    Vehicle,
)
from edge.rules.judge import judge
from edge.rules.pack import RulePack
from edge.store.signal import encode_clip
from edge.store.store import Store
from edge.web.app import create_app
from edge.web.feed import Feed
from edge.web.server import WebServer
from edge.web.view import StationView

RATE_HZ = 2_000.0
U_REL = 0.012

STATION = """
[station]
id = "XY-03"
name = "向阳治超站"
name_en = "Xiangyang weigh station"
[web]
port = 0
[[digitiser]]
id = "D1"
url = "/dev/ttyS9"
channels = ["r1L", "r1R", "r2L", "r2R", "s1L", "s1R", "s2L", "s2R"]
[[lane]]
id = "1"
name = "一号车道"
digitiser = "D1"
direction = "北行"
row = [
  { position_m = 0.0, width_m = 0.07, kind = "strip", left = "r1L", right = "r1R" },
  { position_m = 2.1, width_m = 0.07, kind = "strip", left = "r2L", right = "r2R" },
]
[[lane]]
id = "2"
name = "二号车道"
digitiser = "D1"
direction = "北行"
row = [
  { position_m = 0.0, width_m = 0.07, kind = "strip", left = "s1L", right = "s1R" },
  { position_m = 2.1, width_m = 0.07, kind = "strip", left = "s2L", right = "s2R" },
]
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One vehicle of the sample: what is needed to make its passage."""

    lane: str
    axle_kg: tuple[float, ...]
    spacing_m: tuple[float, ...]
    groups: tuple[int, ...]
    plate: str
    colour: str = "yellow"
    speed_kmh: float = 62.0
    flags: Flag = Flag.NONE
    join: JoinKind = JoinKind.READ
    astride: tuple[str, ...] = ()
    perhaps_with: str = ""


CHANNELS = {"1": ["r1L", "r1R", "r2L", "r2R"], "2": ["s1L", "s1R", "s2L", "s2R"]}

SEMI = (3.45, 1.35, 6.2, 1.31, 1.31)
CAR = Sample("1", (980, 720), (2.68,), (1, 1), "鄂F6K201", "blue", 74)
BUS_TRUCK = Sample("2", (5_900, 10_950), (5.3,), (1, 1), "鄂A3D776", speed_kmh=51)
LEGAL_SEMI = Sample("1", (6_700, 8_100, 7_900, 7_400, 7_350, 7_300), SEMI, (1, 2, 3), "冀B5T288")
OVER_SEMI = Sample(
    "2", (7_310, 11_820, 11_640, 10_980, 11_130, 10_870), SEMI, (1, 2, 3), "豫C8L930"
)
CLOSE_SEMI = Sample("1", (6_950, 8_650, 8_500, 8_420, 8_380, 8_350), SEMI, (1, 2, 3), "皖K0G415")
ELECTRIC = Sample("2", (6_100, 8_900, 8_700), (3.9, 1.35), (1, 2), "苏B12345D", "yellow-green", 47)
STRADDLER = Sample(
    "1",
    (3_100, 5_400, 5_300),
    (4.0, 1.35),
    (1, 2),
    "",
    flags=Flag.STRADDLING | Flag.WHEEL_OFF,
    join=JoinKind.MISSING,
    astride=("1", "2"),
)
SAMPLES = (CAR, BUS_TRUCK, LEGAL_SEMI, ELECTRIC, STRADDLER, CAR, OVER_SEMI, CLOSE_SEMI, BUS_TRUCK)


def _clip(sample: Sample) -> RawClip:
    """Bell-shaped wheel pulses on noise, gain 1 count a newton and a half."""
    n = 4_000
    t = np.arange(n) / RATE_HZ
    speed_mps = sample.speed_kmh / 3.6
    arrive_s = 0.35 + np.concatenate([[0.0], np.cumsum(sample.spacing_m)]) / speed_mps
    rng = np.random.default_rng(7)
    counts = rng.normal(1_200, 25, (n, 4))
    for load_kg, at_s in zip(sample.axle_kg, arrive_s, strict=True):
        for column, (row_m, share) in enumerate(((0, 0.51), (0, 0.49), (2.1, 0.5), (2.1, 0.5))):
            centre_s = at_s + row_m / speed_mps
            counts[:, column] += load_kg * share * 6 * np.exp(-(((t - centre_s) / 0.008) ** 2))
    return RawClip("D1", 5_000_000, RATE_HZ, counts.round().astype(np.int32))


def _axles(sample: Sample) -> AxleTable:
    load = np.array(sample.axle_kg, float)
    rows = np.stack([load * 1.004, load * 0.996], axis=1)
    axle_flags = np.full(len(load), int(sample.flags & Flag.WHEEL_OFF), np.uint32)
    return AxleTable(
        load_kg=load,
        u_load_kg=load * 0.02,
        left_kg=load * 0.507,
        right_kg=load * 0.493,
        spacing_m=np.array(sample.spacing_m),
        u_spacing_m=np.full(len(sample.spacing_m), 0.01),
        row_load_kg=rows,
        row_sample=np.zeros_like(rows),
        wheel_kg=np.stack([rows * 0.507, rows * 0.493], axis=2),
        wheel_area_s=np.stack([rows * 0.004, rows * 0.004], axis=2),
        flags=axle_flags,
    )


def _groups(sample: Sample) -> tuple[AxleGroup, ...]:
    firsts = np.concatenate([[0], np.cumsum(sample.groups)[:-1]])
    return tuple(
        AxleGroup(int(a), n, sum(sample.axle_kg[a : a + n]), 0.018 * sum(sample.axle_kg[a : a + n]))
        for a, n in zip(firsts, sample.groups, strict=True)
    )


def _passage(sample: Sample) -> Passage:
    clip, gross = _clip(sample), float(sum(sample.axle_kg))
    return Passage(
        device="D1",
        lane=sample.lane,
        first_wheel_sample=clip.first_sample + 660.0,
        last_wheel_sample=clip.first_sample + 3_000.0,
        closed_sample=clip.end_sample,
        speed_mps=sample.speed_kmh / 3.6,
        u_speed_mps=0.08,
        speed_change=0.004,
        axles=_axles(sample),
        groups=_groups(sample),
        configuration="+".join(map(str, sample.groups)),
        gross_kg=gross,
        u_gross_kg=gross * U_REL,
        flags=sample.flags,
        clip=clip,
        astride=sample.astride,
        perhaps_with=sample.perhaps_with,
    )


def _picture(plate: str) -> bytes:
    image = Image.new("RGB", (640, 300), "#56636d")
    pen = ImageDraw.Draw(image)
    pen.rectangle((170, 30, 470, 270), fill="#8c2f22")
    pen.rectangle((200, 60, 440, 140), fill="#1c262e")
    pen.rectangle((250, 210, 390, 250), fill="#f7c600")
    pen.text((285, 222), plate[1:], fill="#16130a")
    data = io.BytesIO()
    image.save(data, "JPEG")
    return data.getvalue()


def _join(sample: Sample, time_ns: int, picture: Blob | None) -> PlateJoin:
    if sample.join is JoinKind.MISSING or picture is None:
        return PlateJoin(JoinKind.MISSING, None, reason="no-read")
    read = PlateRead(
        camera="C1",
        lane=sample.lane,
        text=sample.plate,
        raw_text=sample.plate,
        colour=sample.colour,
        confidence=0.964,
        direction="in",
        camera_time_ns=time_ns,
        received_ns=time_ns,
        time_ns=time_ns,
        picture=Picture("p.jpg", "", picture.sha256, picture.size_bytes),
        grammar="cn-ordinary",
    )
    return PlateJoin(sample.join, read, (read,), (42_000_000,))


class SampleStation:
    """A store, a health and a feed, filled by ``seal``."""

    def __init__(self, config: StationConfig, store: Store, signer: NoteSigner) -> None:
        self.health = Health(time.monotonic_ns)
        self.store, self.feed = store, Feed()
        self.view = StationView(
            config=config,
            health=self.health,
            store=store,
            feed=self.feed,
            pack=RulePack.parse(config.pack_bytes()),
            software=dict(software_identity()),
            verifier_key=signer.verifier_key,
            mono_ns=time.monotonic_ns,
        )
        self.well()

    def well(self) -> None:
        """Every part works."""
        for part, zh, en in (
            ("digitiser.D1", "2000 Hz，时钟已锁定，无丢失", "2000 Hz, clock settled, nothing lost"),
            ("camera.C1", "在线，最近一次读牌 12 秒前", "online, last plate 12 s ago"),
            ("modbus.M1", "机柜 31 °C，门关闭，市电", "cabinet 31 °C, door closed, mains power"),
            ("uplink", "已连接中心，全部签收", "connected, everything receipted"),
            ("store", "证据库正常", "evidence store works"),
        ):
            self.health.state(part, Level.OK, zh, en)
        self.health.count("digitiser.D1.frames", 123_456)
        self.health.gauge("measured.M1.cabinet_temperature", 31.25)

    async def seal(self, sample: Sample, *, ago_s: float = 0.0, tell: bool = True) -> Record:
        """Weigh, judge and seal one vehicle as the station does, then tell the pages."""
        time_ns = time.time_ns() - round(ago_s * 1e9)
        passage = _passage(sample)
        signal = [
            await self.store.put_blob(data, "signal", "audio/flac")
            for data in encode_clip(passage.clip, CHANNELS[sample.lane])
        ]
        picture = (
            await self.store.put_blob(_picture(sample.plate), "picture", "image/jpeg")
            if sample.plate
            else None
        )
        clock = ClockReading(0, time_ns, 5e5, 900_000, 1.8, True)
        join = _join(sample, time_ns, picture)
        vehicle = Vehicle("XY-03", time_ns, clock, passage, join, sample.flags)
        draft = vehicle_draft(
            vehicle,
            judge(vehicle, self.view.pack),
            channels=CHANNELS[sample.lane],
            gains=Gains(np.ones(4), np.full(4, 0.005), 0.003, 9.79, "CAL-2026-0117", "ab" * 32),
            dynamics=known_dynamics(self.view.config)[passage.lane].name,
            config_sha256=self.view.config.sha256,
            software=self.view.software,
            blobs=[*signal, *([picture] if picture else [])],
        )
        record = await self.store.append(draft)
        if tell:
            self.feed.publish("vehicle", {**record.body, "record_id": record.record_id})
        return record


@asynccontextmanager
async def open_station(directory: Path) -> AsyncIterator[SampleStation]:
    """A sample station in an empty directory."""
    path = directory / "station.toml"
    path.write_text(STATION)
    config = load_station(path)
    config.data_dir.mkdir()
    signer = NoteSigner.load_or_create(config.data_dir / "key", "steelyard/XY-03")
    store = await Store.open(
        config.data_dir,
        station="XY-03",
        signer=signer,
        health=Health(time.monotonic_ns),
        now_ns=time.time_ns,
    )
    try:
        yield SampleStation(config, store, signer)
    finally:
        await store.close()


class Served:
    """A sample station that is served from a thread of its own, for a browser in this one."""

    def __init__(self, directory: Path, samples: tuple[Sample, ...]) -> None:
        self._directory, self._samples = directory, samples
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.station: SampleStation
        self.url = ""

    def serve(self) -> None:
        """Run until stopped."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with open_station(self._directory) as self.station:
            await self.station.store.append(
                other_draft("start", time_ns=time.time_ns(), fields={"pack": "cn-national"})
            )
            for number, sample in enumerate(self._samples):
                ago_s = 47.0 * (len(self._samples) - number)
                await self.station.seal(sample, ago_s=ago_s, tell=False)
            server = WebServer(create_app(self.station.view), "127.0.0.1", 0)
            self.url = server.url
            running = asyncio.create_task(server.run())
            self._ready.set()
            await self._stop.wait()
            running.cancel()
            await asyncio.wait([running])

    def seal(self, sample: Sample) -> Record:
        """A vehicle passes."""
        return asyncio.run_coroutine_threadsafe(self.station.seal(sample), self._loop).result(60)

    def wait_ready(self) -> None:
        """Until the page answers."""
        assert self._ready.wait(60)

    def stop(self) -> None:
        """End the server; the thread ends after it."""
        self._loop.call_soon_threadsafe(self._stop.set)


@contextmanager
def served(directory: Path, samples: tuple[Sample, ...] = SAMPLES) -> Iterator[Served]:
    """A running sample station with its page."""
    sample = Served(directory, samples)
    thread = threading.Thread(target=sample.serve, name="sample station")
    thread.start()
    try:
        sample.wait_ready()
        yield sample
    finally:
        sample.stop()
        thread.join(60)
