"""The one file of a bundle: a ZIP archive with exactly one spelling for its contents.

Nothing is compressed, names are plain, every date is that of the record. So the archive can be made
again from what is in it and compared byte by byte: there is no place in it that is not checked, and
no two programs can see different contents in it. Any ZIP program opens it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import InputError, IntegrityError, why_zh

WORK = "check"
"""Folder for what the commands of the page write; it is no part of a bundle."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION, _UNIX, _STORED = 20, 3, 0
_MODE = 0o100644 << 16
_MOST_BYTES = 512 << 20
_MOST_FILES = 20_000
_MOST_HEAD_BYTES = 1_000
"""Of one file: both its headers with its name in each."""


def pack(files: Mapping[str, bytes], time_us: int) -> bytes:
    """The archive of files, in the order of their names.

    Raises
    ------
    ValueError
        A name is not plain ASCII, or there is more than an archive of this kind holds.
    """
    if sum(map(len, files.values())) > _MOST_BYTES or len(files) > _MOST_FILES:
        raise ValueError("too much for one bundle")
    stamp = _dos_time(time_us)
    body, central = bytearray(), bytearray()
    for name in sorted(files):
        data, encoded = files[name], name.encode("ascii")
        shared = (_STORED, *stamp, zlib.crc32(data), len(data), len(data), len(encoded), 0)
        central += _CENTRAL.pack(
            b"PK\x01\x02", _UNIX << 8 | _VERSION, _VERSION, 0, *shared, 0, 0, 0, _MODE, len(body)
        )
        central += encoded
        body += _LOCAL.pack(b"PK\x03\x04", _VERSION, 0, *shared) + encoded + data
    count = len(files)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), len(body), 0)
    return bytes(body + central + end)


def unpack(data: bytes) -> dict[str, bytes]:
    """Names and bytes of an archive's files, read from its front; nothing is verified.

    Raises
    ------
    IntegrityError
        It is no archive of this kind, or it ends too early; ``step`` is ``"archive"``.
    """
    files: dict[str, bytes] = {}
    at = 0
    while data[at : at + 4] == b"PK\x03\x04":
        try:
            *_, stored, size, name_size, _extra = _LOCAL.unpack_from(data, at)
            begin = at + _LOCAL.size + name_size
            name = data[at + _LOCAL.size : begin].decode("ascii")
        except (struct.error, UnicodeDecodeError) as error:
            raise damaged(at, str(error)) from error
        at = begin + size
        if stored != size or at > len(data) or name in files:
            raise damaged(begin, "sizes do not fit")
        files[name] = data[begin:at]
    if not files:
        raise damaged(at, "no files")
    return files


def read(path: Path) -> tuple[dict[str, bytes], bytes | None]:
    """Files of a bundle, and the archive's own bytes; of an unpacked folder, the files alone.

    Raises
    ------
    InputError
        It can't be read, or is larger than any bundle.
    IntegrityError
        It is no archive of this kind.
    """
    try:
        if path.is_dir():
            return _read_folder(path), None
        _check_size(1, path.stat().st_size - _MOST_FILES * _MOST_HEAD_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"读不到 {path}{why_zh(error)}", f"cannot read {path}: {error.strerror}"
        ) from error
    return unpack(data), data


def damaged(at: int, why: str) -> IntegrityError:
    """What to say of an archive that is not as it was written."""
    return IntegrityError(
        f"证据包在第 {at} 字节处不是原样（技术细节：{why}）",
        f"the bundle is not as it was written, at byte {at} ({why})",
        step="archive",
        next_zh="若只是重新压缩过：解压后核对文件夹；否则向站点索取原件",
        next_en="if it was only packed anew: unpack it and verify the folder; else ask for the "
        "original",
    )


def _read_folder(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    own = {n: p for n, p in found.items() if n.split("/")[0] != WORK and p.is_file()}
    _check_size(len(own), sum(path.stat().st_size for path in own.values()))
    return {name: path.read_bytes() for name, path in own.items()}


def _check_size(files: int, size_bytes: int) -> None:
    """Before anything is read: what somebody hands us may be made to fill the memory."""
    if files > _MOST_FILES or size_bytes > _MOST_BYTES:
        raise InputError(
            f"太大，不是证据包（{files:,} 个文件，{size_bytes / 1e6:,.0f} MB）",
            f"too large to be a bundle ({files:,} files, {size_bytes / 1e6:,.0f} MB)",
            next_zh="检查是否选错了文件或文件夹",
            next_en="see whether this is the file or folder that was meant",
        )


def _dos_time(time_us: int) -> tuple[int, int]:
    """Time and date as ZIP writes them, UTC; what it can't write is its first or last day."""
    earliest, latest = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
    clipped = min(max(time_us / 1e6, earliest.timestamp()), latest.timestamp())
    t = datetime.fromtimestamp(clipped, UTC)
    return (
        t.hour << 11 | t.minute << 5 | t.second >> 1,
        t.year - 1980 << 9 | t.month << 5 | t.day,
    )
