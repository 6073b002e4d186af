"""Result of a migration: the rows of the territory, and a remark for everything that has none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from schemas.oncall import Rotation


class Outcome(Enum):
    """Outcome of one object of the export."""

    TAKEN = "repris"
    CHANGED = "à vérifier"
    LEFT = "non repris"


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of the list that a person checks: an object, its outcome, the reason in French."""

    subject: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MigratedPerson:
    """A person of the export: token, name, and (channel, address) in order."""

    person: str
    name: str
    points: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MigratedStep:
    """A step of an escalation, in minutes from its start."""

    after_min: int
    roles: tuple[str, ...]


@dataclass
class Migration:
    """Rows to write, and the outcome of each object of the export, in its order."""

    rotations: list[Rotation] = field(default_factory=list)
    ladders: dict[str, list[MigratedStep]] = field(default_factory=dict)
    people: list[MigratedPerson] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def note(self, subject: str, outcome: Outcome, reason: str = "") -> None:
        self.remarks.append(Remark(subject, outcome, reason))

    def list_holders(self) -> Iterator[str]:
        """Yield the people of the rotations, each once."""
        yield from dict.fromkeys(p for rotation in self.rotations for p in rotation.persons)
