"""Read a written mapping: schedules to roles, escalations to levels, people to tokens.

Names of another product say nothing about our roles, so nothing is guessed except tokens. The
result holds the rows of the territory, and a remark for everything that has none.

Starts, turns and hours of other products become those of a rotation, in local time.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from schemas.oncall import Rotation

_SECTIONS: Final = ("roles", "ladders", "people")
_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LEVEL: Final = re.compile(r"N[1-4]")
PARIS: Final = ZoneInfo("Europe/Paris")
DAY_S: Final = 86_400


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

    def check_tokens(self, addresses: Iterable[str]) -> None:
        """Check that no token was made for two people: one would be called in place of the other.

        Raises MappingInvalid.
        """
        owners: dict[str, set[str]] = {}
        for address in addresses:
            owners.setdefault(self.find_token(address), set()).add(address.casefold())
        faults = [
            f"{token} serait le jeton de {' et '.join(sorted(own))}"
            for token, own in owners.items()
            if len(own) > 1 and own - set(self.tokens)
        ]
        if faults:
            raise MappingInvalid(f"people : {' ; '.join(faults)} ; donnez à chacun le sien")


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


class NotMigrated(ValueError):
    """Signal an object without a counterpart; the message is the reason, in French."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Turns of people in local time; `hours` are local minutes of each day."""

    persons: tuple[str, ...]
    every_days: int
    start: datetime
    until: date | None = None
    hours: tuple[int, int] | None = None


_YEARS: Final = range(1970, 2200)
"""Years of dates that may be converted and moved without leaving the calendar."""


def find_zone(name: str | None) -> ZoneInfo:
    """Return a zone by its name; without a name, Paris. Raises NotMigrated."""
    try:
        return ZoneInfo(name) if name else PARIS
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError) as error:
        raise NotMigrated(f"fuseau horaire inconnu : {name}") from error


def parse_start(text: Any, zone: ZoneInfo) -> datetime:
    """Parse a time; one without offset is in `zone`. Return it in Paris. Raises NotMigrated."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise NotMigrated(f"date illisible : {text}") from error
    if at.year not in _YEARS:
        raise NotMigrated(f"date hors du calendrier : {text}")
    return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(PARIS)


def shift_minute(minute: int, zone: ZoneInfo, at: datetime) -> int:
    """Return the minute of the day in Paris for a minute of the day in `zone`."""
    local = at.astimezone(zone)
    offset = (local.utcoffset() or timedelta()) - (at.astimezone(PARIS).utcoffset() or timedelta())
    return int(minute - offset.total_seconds() // 60) % 1440


def keeps_paris_time(zone: ZoneInfo, at: datetime) -> bool:
    """Return whether clocks of the zone show the time of Paris all year round."""
    days = (at + timedelta(days=30 * n) for n in range(12))
    return all(d.astimezone(zone).utcoffset() == d.astimezone(PARIS).utcoffset() for d in days)


def build_rotation(post: RoleAssignment, turns: Turns) -> Rotation:
    """Build the rotation of a post. Raises NotMigrated."""
    if not turns.persons:
        raise NotMigrated("aucune personne")
    try:
        return Rotation(
            role=post.role,
            scope=post.scope,
            persons=turns.persons,
            every_days=turns.every_days,
            hand_off_min=turns.start.hour * 60 + turns.start.minute,
            since=turns.start.date(),
            until=turns.until,
            hours=turns.hours,
        )
    except ValidationError as error:
        fields = ", ".join(str(e["loc"][0]) for e in error.errors())
        raise NotMigrated(f"hors des limites d’une rotation : {fields}") from error
