"""Hold the territory's names for messages: names by id, requests, telephone numbers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self

from schemas import reference as ref
from schemas.topics import parse_realm

TERRITORY: Final = {"92": "Hauts-de-Seine"}
"""Territory code → name."""
MAX_NAME_CHARACTERS: Final = 40
"""Length above which a name loses its part in brackets."""
_DRAFT: Final = " (brouillon)"
_CONTINUITY: Final = re.compile(r"^PCA\b")
"""Prefix of a pôle's plan in the data, unknown outside the continuity team."""


def find_territory_name(realm: str) -> str:
    """Return the name of the territory of a realm; empty if nobody has given it one."""
    return TERRITORY.get(parse_realm(realm)[0], "")


def shorten_name(name: str) -> str:
    """Return the name of a site without explanation and without the mark of draft data."""
    short = name.split(" – ", maxsplit=1)[0].removesuffix(_DRAFT).strip()
    return short if len(short) <= MAX_NAME_CHARACTERS else re.sub(r"\s*\([^)]*\)$", "", short)


@dataclass(frozen=True, slots=True)
class MessageNames:
    """Names of one version of the reference data.

    An id without a name is never shown.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[int, str] = field(default_factory=dict)
    sites: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Site → (name, name of its commune). One that a later version dropped keeps its name."""
    communes: Mapping[str, str] = field(default_factory=dict)
    poles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Pôle → (French name, English name)."""
    activities: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Activity → (short French name, English name)."""
    plans: Mapping[str, str] = field(default_factory=dict)
    """Plan → its title. One that a later version dropped keeps its title."""
    cards: Mapping[str, str] = field(default_factory=dict)
    """Card → its task."""
    resources: Mapping[str, tuple[str, str, str, str]] = field(default_factory=dict)
    """Kind of resource → (French name, plural, English name, plural)."""
    obligations: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Obligation → (French title, English title)."""
    asks: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """`<level>/<role>` → (French request, English request); `*` is every other role."""
    bridges: Mapping[int, str] = field(default_factory=dict)
    """Level → conference bridge."""
    cell_phone: str | None = None
    meeting_points: tuple[ref.MeetingPoint, ...] = ()
    """Places where the cell meets, the usual one first."""
    territory: str = ""

    @classmethod
    def of(cls, sections: Iterable[ref.SectionData]) -> Self:
        """Return the names in these sections of a version."""
        names = cls()
        for section in sections:
            names = names.with_section(section)
        return names

    def with_section(self, section: ref.SectionData) -> Self:
        """Return these names with those of one section replaced."""
        match section:
            case ref.Communes(communes=communes):
                return replace(self, communes={one.insee: one.name for one in communes})
            case ref.Sites(sites=sites):
                present = {one.id: (shorten_name(one.name), one.commune_name) for one in sites}
                return replace(self, sites={**self.sites, **present})
            case ref.Activities(poles=poles, activities=activities):
                return replace(
                    self,
                    poles={one.id: (one.name, one.name_en) for one in poles},
                    activities={
                        one.id: (one.short_name or one.name, one.name_en) for one in activities
                    },
                )
            case ref.Plans(plans=plans):
                cards = {card.id: card.task for plan in plans for card in plan.cards}
                titles = {one.id: _CONTINUITY.sub("Continuité", one.title) for one in plans}
                return replace(self, plans={**self.plans, **titles}, cards=cards)
            case ref.ResourcesSection(rules=rules):
                return replace(
                    self,
                    resources={
                        one.id: (one.name, one.names, one.name_en, one.names_en)
                        for one in rules.kinds
                    },
                )
            case ref.Obligations(obligations=obligations):
                return replace(
                    self, obligations={one.id: (one.title, one.title_en) for one in obligations}
                )
            case ref.EscalationPolicy(policy=policy):
                asks = {
                    f"{one.level}/{one.role}": (one.text, one.text_en or one.text)
                    for one in policy.asks
                }
                return replace(
                    self,
                    roles=policy.roles,
                    levels={rule.level: rule.name for rule in policy.levels},
                    asks=asks,
                    bridges=policy.reach.bridges,
                    cell_phone=policy.reach.cell_phone,
                    meeting_points=_list_meeting_points(policy.reach),
                )
            case _:
                return self

    def role(self, role: str) -> str:
        """Return the label of a role without its part in brackets, or its id in words."""
        return self.roles.get(role, role.replace("_", " ")).split("(")[0].strip()

    def ask(self, level: int, role: str, lang: str) -> str | None:
        """Return the request to a role at a level, or None if the territory has none."""
        request_text = self.asks.get(f"{level}/{role}") or self.asks.get(f"{level}/*")
        return None if request_text is None else request_text[lang == "en"]


def _list_meeting_points(reach: ref.Reaching) -> tuple[ref.MeetingPoint, ...]:
    """Return the places where the cell meets, of a list or of a single text."""
    if reach.meeting_points or reach.meeting_point is None:
        return reach.meeting_points
    return (ref.MeetingPoint(name=reach.meeting_point),)
