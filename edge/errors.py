"""Errors say whose fault it is and what to do next, in Chinese first.

::

    SteelyardError                     exit code
    ├── InputError         2   a file or argument of a command is wrong: its writer mends it
    ├── ConfigError        3   station file, pack, certificate or key: the installer mends it
    ├── LinkDown           4   a port, broker or host is away: wait, it is tried again by itself
    ├── DeviceFault        5   a device speaks, but not as agreed: call the maintainer of the device
    ├── IntegrityError     6   stored evidence does not prove itself: stop, keep everything, call
    └── StoreError         7   the disk refuses: free space or change the disk, then start again
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any, NamedTuple


class Text(NamedTuple):
    """One sentence for people, in both languages of the station."""

    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.zh} / {self.en}"

    def lang(self, code: str) -> str:
        """The sentence in the language ``code`` (``"zh"`` or ``"en"``)."""
        return self.en if code == "en" else self.zh


NO_STEP = Text("", "")
"""Nothing is to be done."""


_OS_WORDS = {
    os.strerror(number).lower(): zh
    for number, zh in (
        (errno.ENOENT, "没有这个文件或目录"),
        (errno.EACCES, "没有权限"),
        (errno.EPERM, "不允许这样做"),
        (errno.EISDIR, "它是目录，不是文件"),
        (errno.ENOTDIR, "路径中有一段不是目录"),
        (errno.EEXIST, "已经存在"),
        (errno.ENOSPC, "磁盘已满"),
        (errno.EROFS, "磁盘是只读的"),
        (errno.EIO, "磁盘读写出错"),
        (errno.EDQUOT, "超出磁盘配额"),
        (errno.EMFILE, "打开的文件太多"),
        (errno.EADDRINUSE, "地址已被占用"),
        (errno.EADDRNOTAVAIL, "本机没有这个地址"),
        (errno.ECONNREFUSED, "对方拒绝连接"),
    )
}


_PLACE = re.compile(r"line (\d+),? column (\d+)")


def why_zh(error: Exception) -> str:
    """The end of a Chinese sentence that says why: in Chinese as far as it is known.

    What else a library says in English follows as what it is, a technical detail.
    """
    own = getattr(error, "what", None) or getattr(error, "text", None)
    if isinstance(own, Text):
        return f"：{own.zh}"
    system = error if isinstance(error, OSError) else error.__cause__
    # asyncio says more of a port before the system's words, and writes these small.
    told = (getattr(system, "strerror", None) or "").lower()
    known = next((zh for words, zh in _OS_WORDS.items() if told.endswith(words)), "")
    if known and system is error:
        return f"：{known}"
    said = str(error) or type(error).__name__
    if place := _PLACE.search(said):
        known = f"第 {place[1]} 行第 {place[2]} 列"
    return (f"：{known}" if known else "") + f"（技术细节：{said}）"


class SteelyardError(Exception):
    """Root of every error that Steelyard raises on purpose.

    Parameters
    ----------
    zh, en : str
        What happened, in plain words.
    next_zh, next_en : str
        What to do next; empty where nothing is to be done.
    """

    exit_code = 1
    whose = Text("程序", "the program")

    def __init__(self, zh: str, en: str, *, next_zh: str = "", next_en: str = "") -> None:
        self.what = Text(zh, en)
        self.next_step = Text(next_zh, next_en)
        super().__init__(str(self.what))

    def __reduce__(self) -> tuple[Any, ...]:
        """An error of another process arrives whole."""
        return type(self).__new__, (type(self), *self.args), self.__dict__

    def line(self) -> str:
        """The error as one plain line: what, then what to do."""
        step = f" → {self.next_step}" if self.next_step.zh or self.next_step.en else ""
        return f"{self.what}{step}"


class InputError(SteelyardError):
    """A file or argument that was handed in is wrong."""

    exit_code = 2
    whose = Text("输入文件或参数", "the input file or argument")


class ConfigError(SteelyardError):
    """The station file, a rule pack, a certificate or a key is wrong."""

    exit_code = 3
    whose = Text("站点配置", "the station's configuration")


class LinkDown(SteelyardError):
    """A port, broker or host is away; the supervisor tries again.

    ``appears`` is the path that comes back when it does, where there is one: it is worth a look
    more often than a host that may be off for the night.
    """

    exit_code = 4
    whose = Text("线路或对端", "the line or its other end")
    appears: Path | None = None


class DeviceFault(SteelyardError):
    """A device answers, but not as agreed."""

    exit_code = 5
    whose = Text("设备", "the device")


class IntegrityError(SteelyardError):
    """Stored evidence does not prove itself; ``step`` names the check that failed."""

    exit_code = 6
    whose = Text("证据库", "the evidence store")

    def __init__(
        self, zh: str, en: str, *, step: str = "", next_zh: str = "", next_en: str = ""
    ) -> None:
        super().__init__(zh, en, next_zh=next_zh, next_en=next_en)
        self.step = step


class StoreError(SteelyardError):
    """The disk or the database refuses to keep something."""

    exit_code = 7
    whose = Text("磁盘或数据库", "the disk or database")


def cannot_write(path: Path, error: OSError) -> InputError:
    """What to tell of a file that the disk refuses."""
    return InputError(
        f"写不了 {path}{why_zh(error)}",
        f"cannot write {path}: {error.strerror}",
        next_zh="检查这个位置的权限和剩余空间，或换一个位置",
        next_en="see that you may write there and that there is room, or take another place",
    )


def cannot_make(path: Path, error: OSError) -> InputError:
    """What to tell of a file that can't be made, or is there already."""
    return InputError(
        f"不能新建文件 {path}{why_zh(error)}",
        f"cannot make the file {path}: {error.strerror}",
        next_zh="换一个文件名：已有的文件不会被覆盖",
        next_en="take another name: no file is overwritten",
    )
