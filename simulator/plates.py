"""Number plates: made by the Chinese grammar, and misread as cameras misread them."""

from __future__ import annotations

import numpy as np

_PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川贵云藏陕甘青宁新"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_DIGITS = "0123456789"

_CONFUSED = (
    ("0", "D"),
    ("0", "Q"),
    ("2", "Z"),
    ("5", "S"),
    ("8", "B"),
    ("6", "G"),
    ("4", "A"),
    ("7", "T"),
    ("U", "V"),
    ("冀", "翼"),
    ("京", "东"),
    ("云", "去"),
)
"""Pairs that plate readers mistake for each other."""


def make_plate(chance: np.random.Generator) -> tuple[str, str]:
    """A plate and its colour: yellow for heavy lorries, yellow-green (8 characters) if electric."""
    province = _pick(_PROVINCES, chance) + _pick(_LETTERS, chance)
    if chance.random() < 0.12:
        serial = "".join(_pick(_DIGITS, chance) for _ in range(5)) + _pick("DF", chance)
        return province + serial, "yellow-green"
    letters = set(chance.choice(5, int(chance.integers(0, 3)), replace=False).tolist())
    serial = "".join(_pick(_LETTERS if i in letters else _DIGITS, chance) for i in range(5))
    return province + serial, "yellow"


def misread(plate: str, chance: np.random.Generator) -> str:
    """The plate with one character taken for another; any digit if none is easily confused."""
    pairs = _CONFUSED + tuple((b, a) for a, b in _CONFUSED)
    choices = [(i, b) for i, c in enumerate(plate) for a, b in pairs if a == c]
    if not choices:
        choices = [(i, str((int(c) + 1) % 10)) for i, c in enumerate(plate) if c.isdigit()]
    if not choices:
        return plate[:-1]
    i, wrong = choices[int(chance.integers(len(choices)))]
    return plate[:i] + wrong + plate[i + 1 :]


def _pick(letters: str, chance: np.random.Generator) -> str:
    return letters[int(chance.integers(len(letters)))]
