"""Passages of reference vehicles over sensors whose gains are off by known factors."""

from __future__ import annotations

import numpy as np

from calibration.reference import Reference
from calibration.session import Digitiser
from edge.records import AxleTable, Flag, Floats, Gains, LaneLayout, Passage, RawClip, Row

RIGID = Reference("rigid", "", (6_200.0, 11_300.0), 10.0, 17_500.0, 12.0)
SEMI = Reference("semi", "", (6_500.0, 8_500.0, 8_500.0, 7_800.0, 7_800.0, 7_900.0), 10, 47_000, 15)


def digitiser(device: str = "D1", rows: int = 4, spare: int = 0) -> Digitiser:
    """One lane of strips, left channels even and right ones odd, with channels to spare."""
    layout = LaneLayout(
        f"{device}-lane", tuple(Row(2.0 * r, 0.07, "strip", 2 * r, 2 * r + 1) for r in range(rows))
    )
    n = 2 * rows + spare
    gains = Gains(np.full(n, 0.004), np.full(n, 0.05), 0.05)
    return Digitiser(device, tuple(f"c{i}" for i in range(n)), (layout,), gains)


def passages(
    site: Digitiser,
    reading: Floats,
    runs: dict[Reference, int],
    rng: np.random.Generator,
    *,
    dynamic_rel: float = 0.05,
    share_sd: float = 0.0,
) -> list[Passage]:
    """Runs of vehicles; ``reading`` (n_rows, 2) is what each channel shows of a true kilogram."""
    found = []
    for reference, count in runs.items():
        static_kg = np.array(reference.axle_kg)[:, None, None]
        for _ in range(count):
            left = 0.5 + share_sd * rng.standard_normal()
            bounce = 1 + dynamic_rel * rng.standard_normal((len(static_kg), len(reading), 1))
            roll = 1 + 0.01 * rng.standard_normal((len(static_kg), len(reading), 2))
            wheel_kg = static_kg * [left, 1 - left] * bounce * roll * reading
            found.append(passage(site, wheel_kg, len(found)))
    return found


def passage(
    site: Digitiser, wheel_kg: Floats, number: int = 0, flags: Flag = Flag.UNCALIBRATED
) -> Passage:
    """A passage that shows these wheels, at one of three speeds in turn."""
    n, rows, _ = wheel_kg.shape
    load_kg = wheel_kg.sum(axis=-1).mean(axis=1)
    table = AxleTable(
        load_kg=load_kg,
        u_load_kg=0.03 * load_kg,
        left_kg=wheel_kg[..., 0].mean(axis=1),
        right_kg=wheel_kg[..., 1].mean(axis=1),
        spacing_m=np.full(n - 1, 1.35),
        u_spacing_m=np.full(n - 1, 0.01),
        row_load_kg=wheel_kg.sum(axis=-1),
        row_sample=np.zeros((n, rows)),
        wheel_kg=wheel_kg,
        wheel_area_s=wheel_kg / 1e3,
        flags=np.zeros(n, dtype=np.uint32),
    )
    return Passage(
        device=site.device,
        lane=site.lanes[0].lane,
        first_wheel_sample=1000.0 * number,
        last_wheel_sample=1000.0 * number + 500,
        closed_sample=1000 * number + 600,
        speed_mps=(10.0, 15.0, 20.0)[number % 3],
        u_speed_mps=0.05,
        speed_change=0.0,
        axles=table,
        groups=(),
        configuration="+".join(["1"] * n),
        gross_kg=float(load_kg.sum()),
        u_gross_kg=float(0.02 * load_kg.sum()),
        flags=flags,
        clip=RawClip(site.device, 1000 * number, 2000.0, np.zeros((1, 1), dtype=np.int32)),
    )
