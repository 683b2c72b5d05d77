"""A machine that stands still, as one does that is overloaded or was suspended."""

from __future__ import annotations

import time


def stand_still(seconds: float) -> None:
    """Nothing at all goes on for so long: deadlines pass, and what comes lies there unread.

    It waits for nothing: the whole event loop is held up, as the machine would hold it up.
    """
    time.sleep(seconds)
