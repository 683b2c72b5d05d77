"""What people have the scales of the station do: carried out once, and stated in the log.

The statement that something was ordered goes before, what became of it after, so that the log
knows of an order whose end nobody saw.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edge.errors import InputError, SteelyardError
from edge.evidence.events import operator_draft
from edge.records import Draft

__all__ = ["ScaleOrders"]

_MOST_SIGNS = 80

Act = Callable[[str], Awaitable[None]]
"""Has one device do what is named, and returns when it is done; raises `SteelyardError`."""


class ScaleOrders:
    """The devices that can be told something, and the log.

    Parameters
    ----------
    say : callable
        Takes statements for the log.
    utc_ns : callable
        Time of statements.
    """

    def __init__(self, say: Callable[[Draft], None], utc_ns: Callable[[], int]) -> None:
        self._say, self._utc_ns = say, utc_ns
        self._acts: dict[str, Act] = {}

    def reach(self, device: str, act: Act) -> None:
        """Name a device and how it is told."""
        self._acts[device] = act

    async def carry_out(self, command: str, device: str, by: str) -> None:
        """Have a device do something.

        Raises
        ------
        SteelyardError
            It was not done, or nothing proves that it was.
        """
        act = self._acts.get(device)
        if act is None or not by.strip() or max(len(by), len(command)) > _MOST_SIGNS:
            raise InputError(
                f"站点没有可下命令的设备 {device}，或没有写明操作人",
                f"the station has no device {device} that takes commands, or nobody answers for it",
                next_zh="核对站点文件的 [[modbus]] 和 [[scale]]；用 --by 写明姓名",
                next_en="see [[modbus]], [[scale]] in the station file; name yourself with --by",
            )
        about = {"device": device, "command": command, "by": by}
        self._state(about, "ordered", "")
        try:
            await act(command)
        except SteelyardError as error:
            self._state(about, "not-done", str(error.what))
            raise
        self._state(about, "done", "")

    def _state(self, about: dict[str, str], outcome: str, reason: str) -> None:
        told = about | {"outcome": outcome, "reason": reason}
        self._say(operator_draft(self._utc_ns(), "scale-command", told))
