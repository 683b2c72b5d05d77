"""Flash memory as a microcontroller has it, and the power that fails while it is written.

Erasing sets bytes to FF, writing can only clear bits, both byte after byte: where the power fails,
what came before is done and what comes after is not.
"""

from __future__ import annotations

ERASED = 0xFF


class PowerCut(Exception):
    """The power failed; what ran until now runs no more."""


class Flash:
    """``data`` outlives the power; ``cut_after`` more bytes are changed before it fails."""

    def __init__(self, size: int) -> None:
        self.data = bytearray([ERASED]) * size
        self.cut_after: int | None = None

    def read(self, at: int, n: int) -> bytes:
        """The bytes there."""
        return bytes(self.data[at : at + n])

    def erase(self, at: int, n: int) -> None:
        """Set bytes to FF."""
        done = self._spend(n)
        self.data[at : at + done] = bytes([ERASED]) * done
        self._fail_after(done, n)

    def write(self, at: int, data: bytes) -> None:
        """Clear the bits that are 0 in ``data``; no bit is ever set."""
        done = self._spend(len(data))
        there = int.from_bytes(self.data[at : at + done], "big")
        self.data[at : at + done] = (there & int.from_bytes(data[:done], "big")).to_bytes(
            done, "big"
        )
        self._fail_after(done, len(data))

    def _spend(self, n: int) -> int:
        if self.cut_after is None:
            return n
        done = min(n, self.cut_after)
        self.cut_after -= done
        return done

    def _fail_after(self, done: int, n: int) -> None:
        if done < n:
            self.cut_after = None
            raise PowerCut
