"""The housekeeper of a store: one named thread that does every chore when it is due."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.errors import SteelyardError
from edge.health import Health

log = logging.getLogger("steelyard")


@dataclass(slots=True)
class Chore:
    """Work that is done again and again; ``wait_s`` is the time until it is due next."""

    name: str
    run: Callable[[], None]
    period_s: float
    wait_s: float
    due_s: float = 0.0


class Keeper:
    """Runs chores until it is closed; one that fails is counted and tried at its next time."""

    def __init__(self, chores: Sequence[Chore], health: Health) -> None:
        self._chores = chores
        self._health = health
        self._bell = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="store-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        now_s = time.monotonic()
        for chore in self._chores:
            chore.due_s = now_s + chore.wait_s
        self._thread.start()

    def call(self, name: str) -> None:
        """Do a chore now."""
        for chore in self._chores:
            if chore.name == name:
                chore.due_s = 0.0
        self._bell.set()

    def close(self) -> None:
        """End after the chore that is being done."""
        self._closed = True
        self._bell.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._bell.clear()
            for chore in self._chores:
                if not self._closed and chore.due_s <= time.monotonic():
                    self._do(chore)
            next_s = min(chore.due_s for chore in self._chores)
            self._bell.wait(max(0.0, next_s - time.monotonic()))

    def _do(self, chore: Chore) -> None:
        chore.due_s = time.monotonic() + chore.period_s
        try:
            chore.run()
        except (SteelyardError, OSError, sqlite3.Error):
            self._health.count(f"store.chores_failed.{chore.name}")
        except Exception:  # a defect in one chore must not end the others, healing among them
            log.exception("%s: defect in the program", chore.name)
            self._health.count(f"store.chores_failed.{chore.name}")
