"""Checks of a register map's TOML, and how a wrong map is told."""

from __future__ import annotations

from typing import Any, TypeAlias

from firmware_bridge.modbus_map import BitOf

__all__ = ["Checks", "MapError", "Tree"]

Tree: TypeAlias = dict[str, Any]


class MapError(ValueError):
    """A register map can't be read; the message names the file, the entry and the key."""


class Checks:
    """What every part of a map must stand; ``where`` begins each complaint."""

    def __init__(self, where: str) -> None:
        self.where = where

    def bit(self, told: object, at: str) -> BitOf:
        """``[register, bit]``."""
        match told:
            case [str() as register, int() as bit] if 0 <= bit <= 15:
                return BitOf(register, bit)
        raise MapError(f"{self.where}{at} is not [register, bit]")

    def table(self, row: object, keys: set[str], at: str) -> Tree:
        """A table without unknown keys."""
        if not isinstance(row, dict):
            raise MapError(f"{self.where}{at}: is no table")
        self.known(row, keys, at)
        return row

    def known(self, tree: Tree, keys: set[str], at: str) -> None:
        """No key but those agreed."""
        if unknown := sorted(set(tree) - keys):
            raise MapError(f"{self.where}{at}: unknown key {unknown[0]}")

    def whole(self, tree: Tree, key: str, missing: int, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = tree.get(key, missing)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise MapError(f"{self.where}: {key} is outside {least}..{most}")
        return value

    def need(self, holds: object, at: str, complaint: str) -> None:
        """What must hold, or the map can't be read."""
        if not holds:
            raise MapError(f"{self.where}{at}: {complaint}")
