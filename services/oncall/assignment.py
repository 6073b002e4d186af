"""Assign calendar events to roles and persons by their words.

A shift without a known person is refused, never guessed.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.base import Instant
from schemas.oncall import DutyRow, Place, Shift
from schemas.people.directory import Contact
from schemas.reference import Activities as ActivitiesSection
from schemas.reference import EscalationPolicy, RosterSection, SectionData, Sites
from services.oncall.ics import CalendarOccurrence, CalendarRefused, ImportedCalendar
from services.oncall.schedule import ScopedRole

_SEPARATORS: Final = re.compile(r"\s*(?:[:;,|/()\[\]]|\s[-–—]\s)\s*")
_DEPUTY_WORDS: Final = frozenset({"suppleant", "suppleante", "deputy"})


def fold_text(text: str) -> str:
    """Remove accents, case and doubled spaces, to compare words."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(plain.replace("’", "'").casefold().split())


@dataclass(frozen=True, slots=True)
class Phonebook:
    """Folded words → person token, from tokens, names and mail addresses of the directory."""

    tokens: Mapping[str, str]

    @classmethod
    def of(cls, persons: Iterable[str], contacts: Iterable[Contact] = ()) -> "Phonebook":
        """Build a phonebook.

        Words that two people share are left out.
        """
        tokens_by_word: dict[str, set[str]] = {}
        for token in persons:
            tokens_by_word.setdefault(fold_text(token), set()).add(token)
        for contact in contacts:
            words = [contact.person, contact.name or "", *(p.address for p in contact.points)]
            for word in filter(None, map(fold_text, words)):
                tokens_by_word.setdefault(word, set()).add(contact.person)
        return cls(
            {
                word: next(iter(tokens))
                for word, tokens in tokens_by_word.items()
                if len(tokens) == 1
            }
        )

    def find(self, words: str) -> str | None:
        return self.tokens.get(fold_text(words))


@dataclass(frozen=True, slots=True)
class TerritoryVocabulary:
    """Folded words → role and scope, as the territory names them."""

    roles: Mapping[str, str] = field(default_factory=dict)
    scopes: Mapping[str, str] = field(default_factory=dict)
    posts: frozenset[ScopedRole] = frozenset()

    @classmethod
    def of(
        cls, sections: Iterable[SectionData], words: Iterable[tuple[str, str]] = ()
    ) -> "TerritoryVocabulary":
        """Build the vocabulary of a territory.

        `words`: (label, role) pairs known besides the territory's own labels.
        """
        roles: dict[str, str] = {fold_text(label): role for label, role in words}
        scopes: dict[str, str] = {}
        posts: set[ScopedRole] = set()
        for section in sections:
            match section:
                case EscalationPolicy(policy=policy):
                    for id, label in policy.roles.items():
                        roles |= {
                            fold_text(id): id,
                            fold_text(label): id,
                            fold_text(re.split(r"[(,]", label)[0]): id,
                        }
                case Sites(sites=sites):
                    scopes |= {fold_text(s.id): s.id for s in sites} | {
                        fold_text(s.name): s.id for s in sites
                    }
                case ActivitiesSection(poles=poles):
                    scopes |= {fold_text(p.id): p.id for p in poles} | {
                        fold_text(p.name): p.id for p in poles
                    }
                case RosterSection(roster=roster):
                    posts |= {(h.role, h.scope) for h in roster.holders} | {
                        (r.role, r.scope) for r in roster.rotations
                    }
        return cls(roles, scopes, frozenset(posts))


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Role, scope and place that override the words of an imported calendar."""

    role: str | None = None
    scope: str | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class CalendarShifts:
    """Shifts of a calendar for holder or deputy of one role."""

    role: str
    scope: str | None
    place: Place
    start: Instant
    end: Instant
    shifts: tuple[Shift, ...]


def assign_shifts(
    calendar: ImportedCalendar,
    phonebook: Phonebook,
    organisation: TerritoryVocabulary,
    options: ImportOptions,
    window: tuple[Instant, Instant] | None = None,
) -> list[CalendarShifts]:
    """Group the shifts of a calendar by role, scope and place.

    Raises CalendarRefused for the first event that names no known person or no role.
    """
    calendar_words = _split_title(calendar.name or "")
    shifts_by_post: dict[tuple[str, str | None, Place], list[Shift]] = {}
    for o in calendar.occurrences:
        words = [*_split_title(o.title), *o.categories]
        post = _find_role(o, [*words, *calendar_words], organisation, options)
        place = options.place or (
            Place.DEPUTY
            if any(fold_text(w) in _DEPUTY_WORDS for w in (*words, *calendar_words))
            else Place.HOLDER
        )
        start, end = (
            (o.start, o.end) if window is None else (max(o.start, window[0]), min(o.end, window[1]))
        )
        shifts = [
            Shift(start=start, end=end, person=p) for p in _find_persons(o, phonebook, organisation)
        ]
        shifts_by_post.setdefault((*post, place), []).extend(
            s for s in shifts if s not in shifts_by_post.get((*post, place), ())
        )
    return [
        CalendarShifts(
            role,
            scope,
            place,
            *(window or (min(s.start for s in shifts), max(s.end for s in shifts))),
            tuple(shifts),
        )
        for (role, scope, place), shifts in sorted(
            shifts_by_post.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2])
        )
    ]


def list_outdated_shifts(
    duties: Iterable[DutyRow],
    calendar: str,
    options: ImportOptions,
    calendar_shifts: Iterable[CalendarShifts],
) -> list[str]:
    """List ids of earlier shifts of this calendar for roles that it no longer names.

    Only roles that match `options` count.
    """
    current_posts = {(d.role, d.scope, d.place) for d in calendar_shifts}
    return [
        d.id
        for d in duties
        if d.kind == "calendar"
        and d.state == "in_force"
        and d.calendar == calendar
        and (d.role, d.scope, d.place) not in current_posts
        and options.role in (None, d.role)
        and options.scope in (None, d.scope)
        and options.place in (None, d.place)
    ]


def _split_title(title: str) -> list[str]:
    return [title, *(p for p in _SEPARATORS.split(title) if p and p != title)]


def _find_role(
    o: CalendarOccurrence,
    words: list[str],
    organisation: TerritoryVocabulary,
    options: ImportOptions,
) -> ScopedRole:
    role = options.role or next(
        (r for w in words if (r := organisation.roles.get(fold_text(w))) is not None), None
    )
    if role is None:
        raise CalendarRefused(
            f"L’événement {o.label} ne dit pas de quel rôle il s’agit : nommez le rôle (--role) ou écrivez-le dans le titre."
        )
    if role not in organisation.roles.values():
        raise CalendarRefused(f"Le rôle « {role} » n’existe pas dans ce territoire.")
    scope = options.scope or next(
        (s for w in words if (s := organisation.scopes.get(fold_text(w))) is not None), None
    )
    if (role, scope) in organisation.posts:
        return role, scope
    if (role, None) in organisation.posts and options.scope is None:
        return role, None
    where = f" pour « {scope} »" if scope else ""
    raise CalendarRefused(
        f"L’événement {o.label} : le rôle « {role} » n’existe pas{where or ' sans pôle ni site'} ; nommez son périmètre (--scope)."
    )


def _find_persons(
    o: CalendarOccurrence, phonebook: Phonebook, organisation: TerritoryVocabulary
) -> list[str]:
    """Find the persons named in the title; otherwise all invited ones."""
    if (whole := phonebook.find(o.title)) is not None:
        return [whole]
    persons = [
        p
        for w in _split_title(o.title)[1:]
        if fold_text(w) not in organisation.roles and (p := phonebook.find(w)) is not None
    ]
    if persons:
        return list(dict.fromkeys(persons))
    invited_persons: list[str] = []
    for address in o.attendees:
        person = phonebook.find(address)
        if person is None:
            raise CalendarRefused(
                f"L’événement {o.label} invite « {address[:80]} », que l’annuaire ne connaît pas."
            )
        invited_persons.append(person)
    if not invited_persons:
        raise CalendarRefused(
            f"L’événement {o.label} ne nomme aucune personne que l’annuaire connaît."
        )
    return list(dict.fromkeys(invited_persons))
