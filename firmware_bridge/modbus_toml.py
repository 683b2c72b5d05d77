"""Reads register maps from TOML; `firmware_bridge.modbus_map` shows the language."""

from __future__ import annotations

import math
import re
import tomllib
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from pathlib import Path

from firmware_bridge.indicators.reading import UNITS_KG
from firmware_bridge.modbus_checks import Checks, MapError, Tree
from firmware_bridge.modbus_map import (
    BIT_KINDS,
    FORMATS,
    MAX_WORDS,
    WORD_KINDS,
    BitOf,
    Command,
    Register,
    RegisterMap,
)
from firmware_bridge.modbus_weight import MOST_DECIMALS, Codes, WeightRule

__all__ = ["MapError", "load_map", "own_maps"]

_TOP = {
    *("name", "models", "verified", "source", "like", "block", "gap", "counter", "writes"),
    *("register", "weight", "command"),
}
_REGISTER = {
    *("name", "kind", "register", "type", "words", "scale", "offset", "unit", "range"),
    *("rate", "sign"),
}
_WEIGHT = {
    *("register", "net", "unit", "division", "decimals", "stable", "moving", "zero"),
    *("over", "under", "error"),
}
_CODES = {"of", "shift", "mask", "codes"}
_COMMAND = {"name", "register", "write", "until"}
_HERE = Path(str(files("firmware_bridge"))) / "maps"


def own_maps() -> list[str]:
    """Names of the maps that ship with the bridge."""
    return sorted(path.stem for path in _HERE.glob("*.toml"))


def load_map(name_or_path: str | Path) -> RegisterMap:
    """A map of the bridge by its name (``cabinet``), or a TOML file.

    Raises
    ------
    MapError
        There is no such map, or it is not as agreed.
    """
    where = f"register map {name_or_path}"
    try:
        return _Reader(where).map(_tree(str(name_or_path)))
    except (TypeError, AttributeError) as error:  # a number where a table or a list belongs
        raise MapError(f"{where}: a value is of another kind than agreed: {error}") from error


def _tree(name: str, depth: int = 0) -> Tree:
    """The TOML of a map, over that of the map which it is like."""
    if name.endswith(".toml"):
        source = Path(name)
    elif re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        source = _HERE / f"{name}.toml"
    else:
        raise MapError(f"register map {name}: neither a name nor a .toml file")
    try:
        tree = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise MapError(f"register map {name}: {error.strerror}") from error
    except ValueError as error:
        raise MapError(f"register map {name}: is no TOML: {error}") from error
    like = tree.pop("like", None)
    if like is None:
        return tree
    if depth or not isinstance(like, str) or like.endswith(".toml"):
        raise MapError(f"register map {name}: like is not the name of a map of the bridge")
    base = _tree(like, depth + 1)
    weight = {**base.get("weight", {}), **tree.get("weight", {})}
    return {**base, **tree, **({"weight": weight} if weight else {})}


class _Reader(Checks):
    """Reads the parts of one map."""

    def __init__(self, where: str) -> None:
        super().__init__(where)
        self._registers: dict[str, Register] = {}

    def map(self, tree: Tree) -> RegisterMap:
        self.known(tree, _TOP, "")
        rows = tree.get("register")
        self.need(isinstance(rows, list) and rows, "", "no [[register]]")
        for number, row in enumerate(tree["register"], 1):
            own = self._register(row, f", entry {number}")
            self.need(own.name not in self._registers, "", f"{own.name} stands twice")
            self._registers[own.name] = own
        for own in self._registers.values():
            self.need(
                own.sign is None or own.sign.register in self._registers,
                f", {own.name}",
                "sign is not [register, bit]",
            )
        made = RegisterMap(
            name=str(tree.get("name", self.where)),
            models=str(tree.get("models", "")),
            registers=tuple(self._registers.values()),
            block=self.whole(tree, "block", MAX_WORDS, 2, MAX_WORDS),
            gap=self.whole(tree, "gap", 0, 0, MAX_WORDS),
            verified=tree.get("verified", False) is True,
            counter=tree.get("counter"),
            weight=self._weight(tree["weight"]) if "weight" in tree else None,
            commands=tuple(self._command(row, tree) for row in tree.get("command", [])),
        )
        self.need(
            made.counter is None or made.counter in self._registers, "", "counter is no register"
        )
        self._of_one_moment(made)
        return made

    def _register(self, row: object, at: str) -> Register:
        tree = self.table(row, _REGISTER, at)
        low, high = self._range(tree, at)
        register = Register(
            name=tree.get("name", ""),
            kind=tree.get("kind", ""),
            register=tree.get("register", -1),
            type=tree.get("type", "bit" if tree.get("kind") in BIT_KINDS else ""),
            words=tree.get("words", "big"),
            scale=tree.get("scale", 1.0),
            offset=tree.get("offset", 0.0),
            unit=tree.get("unit", ""),
            low=low,
            high=high,
            rate=tree.get("rate", math.inf),
            sign=self.bit(tree["sign"], f"{at}: sign") if "sign" in tree else None,
        )
        problem = _problem(register)
        self.need(not problem, at, problem)
        return register

    def _range(self, tree: Tree, at: str) -> tuple[float, float]:
        match tree.get("range", [-math.inf, math.inf]):
            case [int() | float() as low, int() | float() as high] if low < high:
                return float(low), float(high)
        raise MapError(f"{self.where}{at}: range is not [lowest, highest]")

    def _weight(self, row: object) -> WeightRule:
        at = ", [weight]"
        tree = self.table(row, _WEIGHT, at)
        register, net = self._named(tree, "register"), None
        self.need(register is not None, at, "register names no register")
        if "net" in tree:
            net = self._named(tree, "net")
            self.need(net is not None, at, "net names no register")
        for used in filter(None, (register, net)):
            self.need((used.scale, used.offset) == (1, 0), at, f"{used.name} has a scale")
        assert register is not None
        unit, division = self._told(tree.get("unit", "kg"), at), tree.get("division")
        assert unit is not None
        for name in unit.table.values() if isinstance(unit, Codes) else (unit,):
            self.need(name in UNITS_KG, at, f"unit {name} is none of {', '.join(UNITS_KG)}")
        rule = WeightRule(
            register=register,
            net=net,
            unit=unit,
            division=self._registers.get(str(division)) or self._division(division, at),
            decimals=self._decimals(tree, at),
            stable=self._flag(tree, "stable"),
            moving=self._flag(tree, "moving"),
            zero=self._flag(tree, "zero"),
            over=self._flags(tree, "over"),
            under=self._flags(tree, "under"),
            error=self._flags(tree, "error"),
        )
        self.need(
            register.type == "f32" or rule.decimals is not None or rule.division is not None,
            at,
            "whole numbers need decimals or division",
        )
        return rule

    def _decimals(self, tree: Tree, at: str) -> int | Register | None:
        if not isinstance(tree.get("decimals", 0), str):
            return self.whole(tree, "decimals", 0, 0, MOST_DECIMALS) if "decimals" in tree else None
        found = self._named(tree, "decimals")
        self.need(found is not None, at, "decimals names no register")
        return found

    def _division(self, told: object, at: str) -> str | Codes | None:
        found = self._told(told, at)
        table = found.table if isinstance(found, Codes) else {} if found is None else {0: found}
        for step in table.values():
            try:
                above_zero = 0 < Decimal(step) < math.inf
            except InvalidOperation:
                above_zero = False
            self.need(above_zero, at, f"division {step} is no number above 0, as text")
        return found

    def _told(self, told: object, at: str) -> str | Codes | None:
        """A text, or a table of codes."""
        if told is None or isinstance(told, str):
            return told
        tree = self.table(told, _CODES, at)
        codes = tree.get("codes")
        self.need(isinstance(codes, dict) and codes, at, "codes are missing")
        self.need(tree.get("of") in self._registers, at, "of names no register")
        try:
            table = {int(code): str(value) for code, value in tree["codes"].items()}
        except ValueError:
            raise MapError(f"{self.where}{at}: codes are not whole numbers") from None
        return Codes(
            tree["of"],
            self.whole(tree, "shift", 0, 0, 15),
            self.whole(tree, "mask", 0xFFFF, 1, 0xFFFF),
            table,
        )

    def _command(self, row: object, top: Tree) -> Command:
        tree = self.table(row, _COMMAND, ", [[command]]")
        name, words, until = tree.get("name", ""), tree.get("write"), tree.get("until")
        at = f", command {name}"
        good = isinstance(words, list) and 0 < len(words) <= 16
        good = good and all(isinstance(w, int) and 0 <= w <= 0xFFFF for w in tree["write"])
        self.need(good, at, "write is no list of words")
        writes = top.get("writes", "multiple")
        self.need(writes in ("multiple", "single"), "", "writes is not multiple or single")
        self.need(writes == "multiple" or len(tree["write"]) == 1, at, "writes more than a word")
        state = True
        if isinstance(until, list) and len(until) == 3 and isinstance(until[2], bool):
            until, state = until[:2], until[2]
        return Command(
            name=name,
            register=self.whole(tree, "register", -1, 0, 0xFFFF),
            words=tuple(tree["write"]),
            single=writes == "single",
            until=None if until is None else self._known_bit(until, f"{at}: until"),
            state=state,
        )

    def _of_one_moment(self, made: RegisterMap) -> None:
        if made.weight is None:
            return
        moment = made.weight.moment
        spans = [{r.name for r in span.registers} for span in made.spans]
        together = any(moment <= span for span in spans)
        self.need(together, ", [weight]", "weight and status are not read in one request")

    def _named(self, tree: Tree, key: str) -> Register | None:
        return self._registers.get(str(tree.get(key, "")))

    def _flag(self, tree: Tree, key: str) -> BitOf | None:
        return self._known_bit(tree[key], f", [weight]: {key}") if key in tree else None

    def _flags(self, tree: Tree, key: str) -> tuple[BitOf, ...]:
        return tuple(self._known_bit(bit, f", [weight]: {key}") for bit in tree.get(key, []))

    def _known_bit(self, told: object, at: str) -> BitOf:
        bit = self.bit(told, at)
        found = self._registers.get(bit.register)
        self.need(found is not None and found.size == 1, at, f"{bit.register} is no word or bit")
        return bit


def _problem(register: Register) -> str:
    """What is wrong with an entry; empty if nothing is."""
    types = ("bit",) if register.kind in BIT_KINDS else tuple(FORMATS)
    checks = (
        (isinstance(register.name, str) and register.name, "name is missing"),
        (register.kind in BIT_KINDS + WORD_KINDS, "kind is not input, holding, coil or discrete"),
        (
            _is_number(register.register) and isinstance(register.register, int),
            "register is no whole number",
        ),
        (register.type in types, f"type is not {' or '.join(types)}"),
        (register.words in ("big", "little"), "words is not big or little"),
        (_is_number(register.scale) and register.scale != 0, "scale is no number, or 0"),
        (_is_number(register.offset), "offset is no number"),
        (isinstance(register.unit, str), "unit is no text"),
        (
            isinstance(register.rate, int | float) and register.rate > 0,
            "rate is no number above 0",
        ),
    )
    problem = next((text for holds, text in checks if not holds), "")
    if not problem and not 0 <= register.register <= 65_536 - register.size:
        return "register is outside 0..65535"
    return problem


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
