"""Rule packs: dated limits, tariff and words of a jurisdiction, as data with article and source.

A pack is a TOML file that a lawyer can read and sign. It is validated strictly (unknown keys are
errors), hashed, and never changed by the program. How to write one: ``docs/rules.md``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError

from edge.errors import ConfigError, Text, why_zh
from edge.rules.sections import Basis, GrossLimit, PackFile, RuleSet
from edge.validation import problems, read_toml

_NS_PER_S = 1_000_000_000
_S_PER_DAY = 86_400
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class RulePack:
    """A validated pack and the hash of its exact bytes.

    Attributes
    ----------
    file : PackFile
        The content, key by key as it stands in the TOML.
    sha256 : str
        Hex digest of the bytes that were parsed; every verdict carries it.
    """

    file: PackFile
    sha256: str

    @classmethod
    def parse(cls, raw: bytes, name: str = "") -> RulePack:
        """Validate the bytes of a pack.

        Parameters
        ----------
        raw : bytes
            TOML in UTF-8.
        name : str
            What the error calls the file, such as its path.

        Raises
        ------
        ConfigError
            No TOML, an unknown or missing key, a value out of range, sets that overlap in time, a
            fact from memory marked as verified, or a reason without words.
        """
        try:
            file = PackFile.model_validate(read_toml(raw))
        except ValidationError as error:
            raise _wrong(name, *problems(error)) from error
        except ValueError as error:
            raise _wrong(
                name, f"不是有效的 TOML{why_zh(error)}", f"is not valid TOML: {error}"
            ) from error
        return cls(file, hashlib.sha256(raw).hexdigest())

    @property
    def id(self) -> str:
        """Name of the pack."""
        return self.file.id

    @property
    def version(self) -> str:
        """Version of its text."""
        return self.file.version

    @property
    def label(self) -> str:
        """Name and version, as a verdict states them."""
        return f"{self.id} {self.version}"

    @property
    def level(self) -> float:
        """One-sided coverage that "over" must reach, between 0.5 and 1."""
        return self.file.level

    @property
    def texts(self) -> dict[str, Text]:
        """Words for people by key of a reason or of an information."""
        return {key: Text(words.zh, words.en) for key, words in self.file.texts.items()}

    def text(self, key: str) -> Text:
        """Words of one key; the key itself where the pack has none."""
        words = self.file.texts.get(key)
        return Text(words.zh, words.en) if words else Text(key, key)

    def at(self, time_ns: int) -> RuleSet | None:
        """The law of the day.

        Parameters
        ----------
        time_ns : int
            UTC nanoseconds of the passage; its calendar day is taken at ``utc_offset_minutes``.

        Returns
        -------
        RuleSet or None
            None before the first set, after the last, or in a hole between two.
        """
        day = self._day(time_ns)
        return next((s for s in self.file.set if s.holds_on(day)), None)

    def basis_at(self, time_ns: int) -> Basis | None:
        """On what a penalty by record rests; None before the day of its approval, and if none is.

        Parameters
        ----------
        time_ns : int
            UTC nanoseconds of the passage.
        """
        basis = self.file.basis
        approved = basis is not None and basis.approved_on.toordinal() <= self._day(time_ns)
        return basis if approved else None

    def _day(self, time_ns: int) -> int:
        """Calendar day of the jurisdiction, as ``datetime.date.toordinal`` counts."""
        local_s = time_ns // _NS_PER_S + self.file.utc_offset_minutes * 60
        return _EPOCH_ORDINAL + local_s // _S_PER_DAY


def axle_count(configuration: str) -> int:
    """Number of axles of a configuration such as ``"1+2+3"``; 0 where it is none."""
    groups = configuration.split("+")
    return sum(map(int, groups)) if all(g.isascii() and g.isdigit() for g in groups) else 0


def candidate_limits(rules: RuleSet, configuration: str) -> tuple[GrossLimit, ...]:
    """The gross limits that may hold for a vehicle of which only the axles were seen.

    Parameters
    ----------
    rules : RuleSet
        The law of the day.
    configuration : str
        Axle groups front to rear, such as ``"1+2+3"``.

    Returns
    -------
    tuple of GrossLimit
        Rising by ``limit_kg``. Entries that name the configuration, or, where none does, every
        entry of its number of axles; empty where the pack knows no such number.
    """
    axles = axle_count(configuration)
    same = [entry for entry in rules.limit if entry.covers(axles)]
    named = [entry for entry in same if configuration in entry.patterns]
    return tuple(sorted(named or same, key=lambda entry: entry.limit_kg))


def _wrong(name: str, zh: str, en: str) -> ConfigError:
    return ConfigError(
        f"{f'规则包 {name}'.strip()}：{zh}",
        f"{f'rule pack {name}'.strip()}: {en}",
        next_zh="对照 docs/rules.md 改正，改动须经法制人员签认",
        next_en="mend it by docs/rules.md; a change needs the legal reviewer's signature",
    )
