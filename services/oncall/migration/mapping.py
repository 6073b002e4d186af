"""Read a written mapping: schedules to roles, escalations to levels, people to tokens.

Names of another product say nothing about our roles, so nothing is guessed except tokens. The
result holds the rows of the territory, and a remark for everything that has none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from schemas.oncall import Rotation

_SECTIONS: Final = ("roles", "ladders", "people")
_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LEVEL: Final = re.compile(r"N[1-4]")


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


class MappingInvalid(ValueError):
    """Signal a mapping that cannot be used; the message names the entry."""


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A role of the territory, with its pôle or site."""

    role: str
    scope: str | None


@dataclass(frozen=True, slots=True)
class Mapping:
    """Posts by name of a schedule or group, levels by name of an escalation, tokens by address."""

    posts: dict[str, RoleAssignment] = field(default_factory=dict)
    levels: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def find_token(self, address: str) -> str:
        """Return the token of a person: as mapped, or made from the part before the `@`."""
        return self.tokens.get(address.casefold()) or make_token(address)


def make_token(address: str) -> str:
    """Make a token from a mail address or login: `Zoé.Durand@x` becomes `zoe.durand`."""
    plain = unicodedata.normalize("NFKD", address.partition("@")[0]).encode("ascii", "ignore")
    return re.sub(r"[^a-z0-9._-]+", "-", plain.decode().lower()).strip("-._")[:63] or "personne"


def read_mapping(document: Any) -> Mapping:
    """Read a mapping from its YAML document. Raises MappingInvalid."""
    if not isinstance(document, dict) or set(document) - set(_SECTIONS):
        raise MappingInvalid(f"parties attendues : {', '.join(_SECTIONS)}")
    for section in _SECTIONS:
        entries = document.get(section) or {}
        if not isinstance(entries, dict) or not all(
            isinstance(text, str) for pair in entries.items() for text in pair
        ):
            raise MappingInvalid(f"{section} : des lignes « nom: valeur » sont attendues")
    posts = {name: _read_post(text) for name, text in (document.get("roles") or {}).items()}
    levels = dict(document.get("ladders") or {})
    for name, level in levels.items():
        if not _LEVEL.fullmatch(level):
            raise MappingInvalid(f"ladders, {name} : N1, N2, N3 ou N4 est attendu")
    tokens = {
        address.casefold(): token for address, token in (document.get("people") or {}).items()
    }
    for address, token in tokens.items():
        if not _TOKEN.fullmatch(token):
            raise MappingInvalid(f"people, {address} : ce jeton ne convient pas")
    return Mapping(posts, levels, tokens)


def _read_post(text: str) -> RoleAssignment:
    role, _, scope = text.partition(":")
    return RoleAssignment(role.strip(), scope.strip() or None)
