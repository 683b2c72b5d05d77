"""Bodies of the frames about a device's program; ``stream_bodies`` takes them into its table."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from firmware_bridge.update_messages import (
    HEAD_BYTES,
    Confirm,
    Firmware,
    ImageBlock,
    Offer,
    Refusal,
    Stage,
    Switch,
)

__all__ = ["MAX_BLOCK_BYTES", "UPDATE_KINDS"]

MAX_BLOCK_BYTES = 4_096
"""Largest block that a device may ask for."""

_FIRMWARE = struct.Struct("<BBHIII32s32sB")
_U32 = struct.Struct("<I")
_DIGEST_BYTES = 32
_HEADER_BYTES, _CRC_BYTES = 16, 4

Reader: TypeAlias = Callable[[int, int, int, bytes], Any]


def _body(frame: bytes) -> bytes:
    return frame[_HEADER_BYTES:-_CRC_BYTES]


def _exact(raw: bytes, n: int) -> bytes:
    if len(raw) != n:
        raise ValueError(f"{len(raw)} bytes where {n} belong")
    return raw


def _write_firmware(message: Firmware) -> bytes:
    hardware = message.hardware.encode()
    fixed = _FIRMWARE.pack(
        message.stage,
        message.refusal,
        message.block_bytes,
        message.next_block,
        message.rollback,
        message.token,
        _exact(message.image_sha256, _DIGEST_BYTES),
        _exact(message.head_sha256, _DIGEST_BYTES),
        len(hardware),
    )
    return fixed + hardware


def _read_firmware(device_id: int, sequence: int, sample: int, frame: bytes) -> Firmware:
    body = _body(frame)
    stage, refusal, block_bytes, *numbers, image, head, length = _FIRMWARE.unpack_from(body)
    hardware = _exact(body[_FIRMWARE.size :], length).decode()
    if not 0 < block_bytes <= MAX_BLOCK_BYTES:
        raise ValueError("block_bytes")
    next_block, rollback, token = numbers
    return Firmware(
        device_id,
        sequence,
        sample,
        Stage(stage),
        Refusal(refusal),
        block_bytes,
        next_block,
        rollback,
        token,
        image,
        head,
        hardware,
    )


def _write_offer(message: Offer) -> bytes:
    return _U32.pack(message.token) + _exact(message.head, HEAD_BYTES)


def _read_offer(device_id: int, sequence: int, sample: int, frame: bytes) -> Offer:
    body = _exact(_body(frame), _U32.size + HEAD_BYTES)
    (token,) = _U32.unpack_from(body)
    return Offer(device_id, sequence, sample, token, body[_U32.size :])


def _write_block(message: ImageBlock) -> bytes:
    return _U32.pack(message.number) + _fit_block(message.data)


def _read_block(device_id: int, sequence: int, sample: int, frame: bytes) -> ImageBlock:
    body = _body(frame)
    (number,) = _U32.unpack_from(body)
    return ImageBlock(device_id, sequence, sample, number, _fit_block(body[_U32.size :]))


def _fit_block(data: bytes) -> bytes:
    if not 0 < len(data) <= MAX_BLOCK_BYTES:
        raise ValueError("length of a block")
    return data


def _read_digest(kind: type[Switch] | type[Confirm]) -> Reader:
    def read(device_id: int, sequence: int, sample: int, frame: bytes) -> Switch | Confirm:
        return kind(device_id, sequence, sample, _exact(_body(frame), _DIGEST_BYTES))

    return read


UPDATE_KINDS: dict[type[Any], tuple[int, Callable[[Any], bytes], Reader]] = {
    Firmware: (0x05, _write_firmware, _read_firmware),
    Offer: (0x85, _write_offer, _read_offer),
    ImageBlock: (0x86, _write_block, _read_block),
    Switch: (0x87, lambda m: _exact(m.head_sha256, _DIGEST_BYTES), _read_digest(Switch)),
    Confirm: (0x88, lambda m: _exact(m.image_sha256, _DIGEST_BYTES), _read_digest(Confirm)),
}
"""As in ``stream_bodies``: type on the wire, how a body is written, how a frame is read."""
