"""What people want of a device's program, and how far it is: files between the command line and the
station.

``firmware/<device>`` below the station's data directory holds ``order.json`` with its image,
``accept.json``, and ``status.json``, which the station writes. An order lies there until it has
ended, so that a station which is started anew goes on with it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge.config import DigitiserSection
from edge.errors import ConfigError
from edge.evidence.keys import ED25519, decode_key
from edge.seals import Identity
from edge.store.files import replace_file
from firmware_bridge.update_image import BadImage, ImageHead, check_image, read_head
from firmware_bridge.update_messages import HEAD_BYTES

__all__ = ["Acceptance", "Mailbox", "Order", "trusted_keys", "vouched_image"]


@dataclass(frozen=True, slots=True)
class Order:
    """An image that a person wants on the device.

    ``begun``: the station has stated it. ``switched``: the device was told to start it.
    """

    image: bytes
    by: str
    ordered_us: int
    begun: bool = False
    switched: bool = False

    @property
    def sha256(self) -> str:
        """The hash that names the image."""
        return hashlib.sha256(self.image).hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """The image, as statements name it."""
        named: dict[str, Any] = {"sha256": self.sha256}
        try:
            head = read_head(self.image[:HEAD_BYTES])
        except BadImage:
            return named
        return named | {
            "version": head.version,
            "hardware": head.hardware,
            "rollback": head.rollback,
        }


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A person answers for the device as it names itself now."""

    identity: Identity
    by: str
    reason: str


class Mailbox:
    """The files of one device."""

    def __init__(self, data_dir: Path, device: str) -> None:
        self._directory = data_dir / "firmware" / device
        self._order = self._directory / "order.json"
        self._acceptance = self._directory / "accept.json"
        self._status = self._directory / "status.json"

    def put_order(self, order: Order) -> None:
        """Leave an order, or note how far it is; the image first."""
        self._directory.mkdir(parents=True, exist_ok=True)
        image = self._image(order.sha256)
        if not image.is_file():
            replace_file(image, order.image)
        fields = {k: v for k, v in asdict(replace(order, image=b"")).items() if k != "image"}
        replace_file(self._order, _packed({"sha256": order.sha256, **fields}))

    def order(self) -> Order | None:
        """The order that lies there; None where there is none, or it is damaged."""
        told = _read(self._order)
        try:
            image = self._image(str(told["sha256"])).read_bytes()
            order = Order(
                image,
                str(told["by"]),
                int(told["ordered_us"]),
                bool(told["begun"]),
                bool(told["switched"]),
            )
            return order if order.sha256 == told["sha256"] else None
        except (KeyError, ValueError, OSError):
            return None

    def end_order(self) -> None:
        """Take the order away with its image."""
        self._order.unlink(missing_ok=True)
        for image in self._directory.glob("*.img"):
            image.unlink(missing_ok=True)

    def put_acceptance(self, acceptance: Acceptance) -> None:
        """Leave that a person answers for the device."""
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_file(self._acceptance, _packed(asdict(acceptance)))

    def take_acceptance(self) -> Acceptance | None:
        """What a person left, once."""
        told = _read(self._acceptance)
        if not told:
            return None
        self._acceptance.unlink(missing_ok=True)
        try:
            identity = Identity.from_body(told["identity"])
            return Acceptance(identity, str(told["by"]), str(told["reason"]))
        except (KeyError, TypeError):
            return None

    def write_status(self, status: dict[str, Any]) -> None:
        """Say how the device is doing."""
        self._directory.mkdir(parents=True, exist_ok=True)
        replace_file(self._status, _packed(status))

    def status(self) -> dict[str, Any]:
        """What the station said last; empty where it has said nothing."""
        return _read(self._status)

    def _image(self, sha256: str) -> Path:
        return self._directory / f"{int(sha256, 16):064x}.img"


def _packed(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def trusted_keys(section: DigitiserSection) -> dict[str, bytes]:
    """Public keys by name of those whose programs the device may be given.

    Raises
    ------
    ConfigError
        One is no verifier key.
    """
    try:
        return dict(decode_key(key, ED25519, 32) for key in section.firmware_keys)
    except ValueError as error:
        raise ConfigError(
            f"数字化仪 {section.id}：firmware_keys 不正确",
            f"digitiser {section.id}: firmware_keys is wrong: {error}",
            next_zh="写成 名称+编号+base64，由 steelyard firmware key 给出",
            next_en="write name+id+base64, as steelyard firmware key prints it",
        ) from error


def vouched_image(image: bytes, section: DigitiserSection) -> ImageHead:
    """What an image says of itself, if a trusted key signed it.

    Raises
    ------
    BadImage
        It does not prove itself.
    """
    return check_image(image, list(trusted_keys(section).values()))
