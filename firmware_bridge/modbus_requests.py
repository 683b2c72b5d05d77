"""Requests of Modbus, and whether a reply can be one to them (V1.1b3, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.diag_message import ReturnQueryDataRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from firmware_bridge.modbus_map import BIT_KINDS, Command

__all__ = [
    "LOOPBACK",
    "Words",
    "echo_request",
    "is_exception",
    "read_request",
    "reads_as",
    "reply_bytes",
    "states_its_length",
    "words_of",
    "write_request",
    "wrote",
]

Words: TypeAlias = Sequence[int]

LOOPBACK = 0x08
_EXCEPTION = 0x80

_READS: dict[str, type[ModbusPDU]] = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}


def read_request(unit: int, kind: str, start: int, count: int) -> ModbusPDU:
    """A read of ``count`` registers or bits."""
    return _READS[kind](dev_id=unit, address=start, count=count)


def reads_as(reply: ModbusPDU, kind: str, count: int) -> bool:
    """Whether a reply is one to a read of that kind and length."""
    bits = kind in BIT_KINDS
    size, due = (len(reply.bits), -(-count // 8) * 8) if bits else (len(reply.registers), count)
    return (reply.function_code, size) == (_READS[kind].function_code, due)


def reply_bytes(reply: ModbusPDU) -> int:
    """Length of a reply without its envelope; 0 for one that none of our requests can have."""
    function = reply.function_code
    if function & _EXCEPTION:
        return 2
    if function in (1, 2):
        return 2 + len(reply.bits) // 8
    if function in (3, 4):
        return 2 + 2 * len(reply.registers)
    return 5 if function in (LOOPBACK, 6, 16) else 0


def states_its_length(pdu: bytes) -> bool:
    """Whether a read's reply has as many bytes as it says; pymodbus does not look, for bits."""
    return pdu[:1] > b"\x04" or pdu[1:2] == bytes((len(pdu) - 2 & 0xFF,))


def words_of(reply: ModbusPDU, kind: str) -> Words:
    """The words, or bits, of a read's reply."""
    return [int(bit) for bit in reply.bits] if kind in BIT_KINDS else reply.registers


def echo_request(unit: int, number: int) -> ReturnQueryDataRequest:
    """Function 08, sub-function 0: the device sends the number back."""
    return ReturnQueryDataRequest(number.to_bytes(2, "big"), dev_id=unit)


def is_exception(reply: ModbusPDU, request: ModbusPDU) -> bool:
    """Whether the device refuses a request of that function."""
    return reply.function_code == request.function_code | _EXCEPTION


def write_request(unit: int, command: Command) -> ModbusPDU:
    """The write of a command's words."""
    kind = WriteSingleRegisterRequest if command.single else WriteMultipleRegistersRequest
    return kind(dev_id=unit, address=command.register, registers=list(command.words))


def wrote(reply: ModbusPDU, command: Command) -> bool:
    """Whether a reply says that the words are written."""
    if command.single:
        told = (reply.function_code, reply.address, *reply.registers)
        return told == (WriteSingleRegisterRequest.function_code, command.register, *command.words)
    told = (reply.function_code, reply.address, reply.count)
    size = len(command.words)
    return told == (WriteMultipleRegistersRequest.function_code, command.register, size)
