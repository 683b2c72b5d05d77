"""The maker of the simulated digitisers: his key, and images of programs that behave or do not.

A simulated program is a line of JSON that says how it behaves, and filling. Whatever else a person
signs and sends runs like a healthy one.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, TypeAlias, get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.evidence.keys import ED25519, encode_key
from firmware_bridge.update_image import build_image

HARDWARE = "SIM-LC"
VERSION = "1.0"
"""What a simulated device leaves its factory with."""

Behaviour: TypeAlias = Literal["healthy", "mute", "no-samples", "crashes"]

_NAME = "steelyard-simulator"
_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_NAME.encode()).digest())

PUBLIC = _KEY.public_key().public_bytes_raw()
VERIFIER_KEY = encode_key(_NAME, ED25519, PUBLIC)
"""For ``firmware_keys`` of a station file in a simulation: anybody can have the private key."""


def make_image(
    version: str = VERSION,
    *,
    rollback: int = 1,
    behaviour: Behaviour = "healthy",
    hardware: str = HARDWARE,
    size_bytes: int = 20_000,
    key: Ed25519PrivateKey = _KEY,
) -> bytes:
    """A signed image."""
    told = json.dumps({"behaviour": behaviour, "version": version}).encode() + b"\n"
    filling = hashlib.shake_128(told).digest(max(size_bytes - len(told), 0))
    public = key.public_key().public_bytes_raw()
    return build_image(told + filling, hardware, version, rollback, public, key.sign)


def behaviour_of(program: bytes) -> Behaviour:
    """How a program behaves when it runs."""
    try:
        told = json.loads(program.split(b"\n", 1)[0])
    except ValueError:
        return "healthy"
    named = told.get("behaviour") if isinstance(told, dict) else None
    known: tuple[Behaviour, ...] = get_args(Behaviour)
    return next((behaviour for behaviour in known if behaviour == named), "healthy")
