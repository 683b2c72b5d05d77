"""What network cameras send for one reading, written from the makers' documents and captures.

Nothing here uses the bridge: a decoder that is wrong does not find its own error in its test.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TypeAlias

Message: TypeAlias = tuple[str, bytes]
"""Content type and body."""

BOUNDARY = "myboundary"

_HIKVISION_COLOURS = {"yellow-green": "newEnergyYellowGreen", "green": "newEnergyGreen"}
_DAHUA_COLOURS = {"yellow-green": "YellowGreen", "green": "ShallowGreen"}
_VZENITH_COLOURS = ("unknown", "blue", "yellow", "white", "black", "green", "yellow-green")


@dataclass(frozen=True, slots=True)
class Shown:
    """A vehicle as a camera saw it; ``plate`` is empty where it read none."""

    plate: str
    colour: str = "yellow"
    confidence: int = 93
    utc_ms: int = 1_790_000_000_250
    lane: int = 1
    number: int = 1
    toward: bool = True
    pictures: tuple[bytes, ...] = ()
    """The scene, then the plate cut out."""
    resent: bool = False
    utc_offset_h: int = 8

    @property
    def local(self) -> datetime:
        """The camera's local time."""
        zone = timezone(timedelta(hours=self.utc_offset_h))
        return datetime.fromtimestamp(self.utc_ms / 1e3, UTC).astimezone(zone)


def hikvision(shown: Shown) -> Message:
    """ISAPI: a document and its pictures as parts of a form."""
    names = ("detectionPicture", "licensePlatePicture")[: len(shown.pictures)]
    parts = [("anpr.xml", "text/xml", hikvision_xml(shown))]
    parts += [
        (f"{name}.jpg", "image/jpeg", data)
        for name, data in zip(names, shown.pictures, strict=True)
    ]
    return f"multipart/form-data; boundary={BOUNDARY}", b"".join(map(_form_part, parts)) + _END


def hikvision_xml(shown: Shown) -> bytes:
    """The document of an ISAPI event."""
    stamp = shown.local.strftime("%Y%m%d%H%M%S") + f"{shown.utc_ms % 1000:03d}"
    pictures = "".join(
        f"<pictureInfo><fileName>{name}</fileName><absTime>{stamp}</absTime></pictureInfo>"
        for name in ("detectionPicture.jpg", "licensePlatePicture.jpg")
    )
    colour = _HIKVISION_COLOURS.get(shown.colour, shown.colour)
    direction = "forward" if shown.toward else "reverse"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<EventNotificationAlert version="2.0" xmlns="http://www.isapi.org/ver20/XMLSchema">\n'
        "<ipAddress>192.0.2.21</ipAddress><macAddress>02:00:5e:10:00:01</macAddress>\n"
        f"<dateTime>{shown.local.isoformat(timespec='seconds')}</dateTime>\n"
        "<activePostCount>1</activePostCount><eventType>ANPR</eventType>\n"
        f"<ANPR><country>0</country><licensePlate>{shown.plate or 'unknown'}</licensePlate>"
        f"<line>{shown.lane}</line><direction>{direction}</direction>"
        f"<confidenceLevel>{shown.confidence}</confidenceLevel><plateType>92TypeCivil</plateType>"
        f"<plateColor>{colour}</plateColor><vehicleInfo><color>white</color></vehicleInfo>"
        f"<pictureInfoList>{pictures}</pictureInfoList></ANPR>\n"
        f"<UUID>0190-{shown.number:08d}</UUID><picNum>{len(shown.pictures)}</picNum>"
        f"<isDataRetransmission>{str(shown.resent).lower()}</isDataRetransmission>\n"
        "</EventNotificationAlert>\n"
    ).encode()


def dahua(shown: Shown) -> Message:
    """The stream of snapManager: counted parts, text and then one JPEG part with all pictures."""
    parts = [_counted_part("text/plain", dahua_lines(shown))]
    if shown.pictures:
        parts.append(_counted_part("image/jpeg", b"".join(shown.pictures)))
    return f"multipart/x-mixed-replace; boundary={BOUNDARY}", b"".join(parts)


def dahua_heartbeat() -> bytes:
    """What keeps the stream alive."""
    return _counted_part("text/plain", b"Heartbeat")


def dahua_lines(shown: Shown) -> bytes:
    """The text part of an event."""
    offset, table = 0, []
    for number, data in enumerate(shown.pictures):
        table += [f"ImageInfo[{number}].Offset={offset}", f"ImageInfo[{number}].Length={len(data)}"]
        offset += len(data)
    lines = [
        "EventBaseInfo.Code=TrafficJunction",
        "EventBaseInfo.Action=Pulse",
        f"GroupID={shown.number}",
        *table,
        f"JunctionDirection={'Obverse' if shown.toward else 'Reverse'}",
        f"Object.Confidence={round(shown.confidence * 2.55)}",
        "Object.ObjectType=Vehicle",
        "Object.Text=Jiefang",
        f"TrafficCar.Lane={shown.lane}",
        "TrafficCar.MachineName=IPC-1",
        f"TrafficCar.PlateColor={_DAHUA_COLOURS.get(shown.colour, shown.colour.title())}",
        f"TrafficCar.PlateNumber={shown.plate}",
        f"UTC={shown.utc_ms // 1000}",
        f"UTCMS={shown.utc_ms % 1000}",
    ]
    return "".join(f"Events[0].{line}\r\n" for line in lines).encode()


def milesight(shown: Shown) -> Message:
    """All fields as one JSON object, pictures in base64."""
    body = {
        "device": "LPR Camera",
        "time": shown.local.strftime("%Y-%m-%dT%H:%M:%S"),
        "time_msec": shown.local.isoformat(sep=" ", timespec="milliseconds")[:23],
        "plate": shown.plate or "-",
        "type": "Visitor",
        "direction": "Approach" if shown.toward else "Away",
        "detection_region": shown.lane,
        "confidence": f"{shown.confidence}.0",
        "plate_color": shown.colour.title(),
        "vehicle_type": "Truck",
    }
    names = ("full_image", "plate_image")
    body |= {n: _base64(data) for n, data in zip(names, shown.pictures, strict=False)}
    return "application/json", json.dumps(body).encode()


def vzenith(shown: Shown) -> Message:
    """The push of an all-in-one camera."""
    names = ("imageFile", "imageFragmentFile")
    result = {
        "license": shown.plate or "_无_",
        "colorType": _VZENITH_COLOURS.index(shown.colour),
        "type": 3,
        "confidence": shown.confidence,
        "direction": 4 if shown.toward else 3,
        "isoffline": int(shown.resent),
        "location": {"RECT": {"left": 648, "top": 696, "right": 1004, "bottom": 802}},
        "plateid": shown.number,
        "timeStamp": {
            "Timeval": {
                "dechour": shown.local.hour,
                "sec": shown.utc_ms // 1000,
                "usec": shown.utc_ms % 1000 * 1000,
            }
        },
        "triggerType": 1,
    } | {n: _base64(data) for n, data in zip(names, shown.pictures, strict=False)}
    alarm = {"channel": shown.lane, "serialno": "e0fade", "result": {"PlateResult": result}}
    return "application/json", json.dumps({"AlarmInfoPlate": alarm}, ensure_ascii=False).encode()


def tcp_text(shown: Shown) -> bytes:
    """A frame of the plain text form."""
    stamp = shown.local.strftime("%Y%m%d%H%M%S")
    return f"\x02{stamp} {shown.lane:02d} {shown.plate or 'Not defined'}\x03".encode()


SPEAKERS: dict[str, Callable[[Shown], Message]] = {
    "hikvision": hikvision,
    "dahua": dahua,
    "milesight": milesight,
    "vzenith": vzenith,
}
"""By the name of the camera format."""

_END = f"--{BOUNDARY}--\r\n".encode()


def _form_part(part: tuple[str, str, bytes]) -> bytes:
    name, media_type, data = part
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n'
        f"Content-Type: {media_type}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data + b"\r\n"


def _counted_part(media_type: str, data: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data + b"\r\n"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
