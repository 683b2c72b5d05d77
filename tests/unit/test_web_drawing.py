"""The drawing is to scale, its labels do not touch, and holes in the record do not break it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edge.records import RawClip
from edge.web.drawing import Drawing, draw
from edge.web.waveform import Trace, signal_view, thin

VEHICLES = {
    "car": ((2_680,), (980, 720), (1, 1)),
    "lorry": ((3_900, 1_350), (6_100, 8_900, 8_700), (1, 2)),
    "eight wheels": ((1_900, 3_600, 1_350), (7_000, 7_000, 9_000, 9_000), (2, 2)),
    "semi": ((3_450, 1_350, 6_200, 1_310, 1_310), (7_310, 11_820, 11_640, 9, 9, 9), (1, 2, 3)),
    "train": ((4_900, 1_350, 5_200, 4_800), (7_000, 9_000, 9_000, 9_000, 9_000), (1, 2, 1, 1)),
}  # fmt: skip


def body(name: str, **changed: Any) -> dict[str, Any]:
    spacings, loads, counts = VEHICLES[name]
    firsts = [sum(counts[:i]) for i in range(len(counts))]
    return {
        "spacings_mm": list(spacings),
        "gross_kg": sum(loads),
        "axles": [{"load_kg": kg, "flags": []} for kg in loads],
        "groups": [
            {"first": a, "count": n, "load_kg": sum(loads[a : a + n])}
            for a, n in zip(firsts, counts, strict=True)
        ],
    } | changed


@pytest.mark.parametrize("name", VEHICLES)
def test_wheels_stand_as_far_apart_as_measured(name: str) -> None:
    drawing = draw(body(name))
    gaps_mm = [(b.x - a.x) * 10 for a, b in pairwise(drawing.wheels)]
    assert gaps_mm == pytest.approx(VEHICLES[name][0])


@pytest.mark.parametrize("name", VEHICLES)
def test_everything_lies_inside_the_picture_and_no_labels_touch(name: str) -> None:
    drawing = draw(body(name))
    xs = [wheel.x for wheel in drawing.wheels]
    assert drawing.left <= min(xs) - drawing.radius
    assert max(xs) + drawing.radius <= drawing.left + drawing.width
    assert drawing.ground < drawing.group_y <= drawing.spacing_y - 0.3 * drawing.text
    assert drawing.spacing_y + drawing.text < drawing.height
    assert all(b - a >= 2.2 * drawing.load_text for a, b in pairwise(xs))


def test_loads_are_shown_in_tonnes_and_groups_bracket_their_axles() -> None:
    drawing = draw(body("semi"))
    assert drawing.wheels[0].load == "7.3 t"
    assert drawing.wheels[1].load == "11.8"
    assert [(g.x0, g.x1) for g in drawing.groups] == [
        (drawing.wheels[1].x, drawing.wheels[2].x),
        (drawing.wheels[3].x, drawing.wheels[5].x),
    ]


def _bodies(drawing: Drawing) -> int:
    return len(drawing.bodies)


def test_a_trailer_train_has_one_body_more_than_a_lorry() -> None:
    assert _bodies(draw(body("train"))) == _bodies(draw(body("lorry"))) + 1
    assert _bodies(draw(body("car"))) == 1


def test_what_was_not_measured_is_a_question_mark() -> None:
    holes = body("lorry", spacings_mm=[None, 1_350], gross_kg=None)
    holes["axles"][1] = {"load_kg": None, "flags": ["WHEEL_OFF"]}
    drawing = draw(holes)
    assert drawing.wheels[1].load == "?"
    assert drawing.wheels[1].doubtful
    assert drawing.spacings[0].label == "?"


def test_thinning_keeps_every_extreme() -> None:
    counts = np.random.default_rng(3).integers(-(1 << 23), 1 << 23, 10_007).astype(np.int32)
    least, greatest = thin(counts, 250)
    assert len(least) == len(greatest) == 250
    assert min(least) == counts.min()
    assert max(greatest) == counts.max()
    assert thin(counts, len(counts)) == (counts.tolist(), counts.tolist())
    assert thin(counts[:3], 250)[0] == counts[:3].tolist()
    assert thin(counts[:0], 250) == ([], [])


def test_a_window_is_cut_to_the_clip_and_unknown_channels_are_left_out() -> None:
    counts = np.arange(200, dtype=np.int32).reshape(100, 2)
    clip = RawClip("D1", 1_000, 500.0, counts)
    traces = [Trace("b", 1, 0.0, "left"), Trace("gone", 1, 0.0, "right")]
    view = signal_view(clip, ["a", "b"], traces, (990, 1_010), 800)
    assert view["window"] == [1_000, 1_010]
    assert [t["channel"] for t in view["traces"]] == ["b"]
    assert view["traces"][0]["max"] == counts[:10, 1].tolist()
    outside = signal_view(clip, ["a", "b"], traces, (5_000, 6_000), 800)
    assert outside["traces"][0]["min"] == []
