"""What a network camera said about one vehicle, whoever made the camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["scene", "plate", "other"]
"""What a picture shows: the vehicle on the road, the plate cut out, or something else."""


@dataclass(frozen=True, slots=True)
class CameraPicture:
    """A JPEG as the camera made it; the camera's own file name is never used for a file."""

    role: Role
    data: bytes


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """One reading.

    Attributes
    ----------
    plate : str
        Characters as read; empty where the camera saw a vehicle but read no plate.
    colour : str
        One of ``firmware_bridge.anpr.COLOURS``.
    kind : str
        The maker's word for the kind of plate; empty where it says none.
    confidence : float or None
        0..1; None where the camera states none, or none that can be.
    direction : str
        ``toward``, ``away``, or the maker's own short word; empty where it says none.
    lane : str
        What the camera calls the lane; empty where it says none.
    device : str
        Serial number or hardware address, as far as the camera says it.
    event_id : str
        The camera's own name of the event; the same again for a repetition.
    camera_time_ns : int or None
        UTC of the picture by the camera's clock; None where it says none.
    time_step_ns : int
        How finely the camera states it.
    resent : bool
        Sent late, out of the camera's memory: of use to people, not to join with a vehicle.
    more_to_come : bool
        The same event follows again, with its pictures.
    pictures : tuple of CameraPicture
        In the order of the message.
    document : bytes
        The text of the message as it came (XML, JSON, lines), without the pictures beside it.
    media_type : str
        Of the document.
    """

    plate: str
    colour: str = "unknown"
    kind: str = ""
    confidence: float | None = None
    direction: str = ""
    lane: str = ""
    device: str = ""
    event_id: str = ""
    camera_time_ns: int | None = None
    time_step_ns: int = 1_000_000_000
    resent: bool = False
    more_to_come: bool = False
    pictures: tuple[CameraPicture, ...] = ()
    document: bytes = b""
    media_type: str = "text/plain"
