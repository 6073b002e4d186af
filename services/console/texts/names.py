"""Names of the territory's objects by id, in the reader's language if the territory has both.

Fallback strategies are named by their codes in activities.yaml (`strategies`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas import reference as ref
from schemas.catalogue.strategies import STRATEGIES
from schemas.crisis.obligations import Obligation
from services.console.i18n import Translator
from services.console.texts.site_kinds import KIND_MANY

SITE_STRATEGY: Final = "SR-SITE"
_CODE: Final = re.compile(r"[a-z]+(?:_[a-z]+)+")


def name_strategy(strategy: str, _: Translator) -> str:
    """Name a strategy; an unknown code stays as it is.

    `SR-SITE:datacenter de secours` → `repli sur un autre site (datacenter de secours)`, and
    `SR-SITE:pmi_css|gymnase` → `repli sur un autre site (centres de PMI ou gymnases)`.
    """
    code, _sign, more = strategy.partition(":")
    name = _(STRATEGIES[code].label.fr) if code in STRATEGIES else code
    choices = [_name_kinds(one.strip(), _) for one in more.split("|")]
    return f"{name} ({_(' ou ').join(choices)})" if more else name


def _name_kinds(words: str, _: Translator) -> str:
    """Name a kind of site that stands alone, and every code in other words."""
    if words in KIND_MANY:
        return _(KIND_MANY[words])
    return _CODE.sub(lambda code: _(KIND_MANY.get(code[0], code[0])), words)


def shorten_site_name(name: str) -> str:
    """Shorten a site's name: drop its explanation and the mark of draft data."""
    return name.split(" – ", maxsplit=1)[0].removesuffix(" (brouillon)").strip()


def shorten_activity_name(name: str) -> str:
    """Shorten an activity's name (`Protection de l’enfance : accueil…`) to its first part."""
    for sign in (" : ", " (", "\u00a0: "):
        name = name.split(sign, maxsplit=1)[0]
    return name


def _index_holders(roster: ref.Roster) -> dict[str, tuple[str, str | None, bool]]:
    """Return person token → (role, scope, is the deputy); the first role of a person counts."""
    holders: dict[str, tuple[str, str | None, bool]] = {}
    for h in roster.holders:
        if h.holder:
            holders.setdefault(h.holder, (h.role, h.scope, False))
        if h.deputy:
            holders.setdefault(h.deputy, (h.role, h.scope, True))
    return holders


_POLE_PLAN_PREFIX = "PCA du pôle "


@dataclass(frozen=True, slots=True)
class TerritoryNames:
    """Lookups that never fail: an id without a name is returned unchanged."""

    sites: Mapping[str, ref.Site] = field(default_factory=dict)
    communes: Mapping[str, ref.Commune] = field(default_factory=dict)
    poles: Mapping[str, ref.Pole] = field(default_factory=dict)
    activities: Mapping[str, ref.Activity] = field(default_factory=dict)
    systems: Mapping[str, ref.SystemName] = field(default_factory=dict)
    plans: Mapping[str, ref.Plan] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[int, str] = field(default_factory=dict)
    metiers: Mapping[str, ref.Metier] = field(default_factory=dict)
    holders: Mapping[str, tuple[str, str | None, bool]] = field(default_factory=dict)
    """Person token → (role, scope, is the deputy), from the roster."""
    resource_kinds: Mapping[str, ref.ResourceKind] = field(default_factory=dict)
    stocks: Mapping[str, ref.Stock] = field(default_factory=dict)
    obligations: Mapping[str, Obligation] = field(default_factory=dict)
    partners: Mapping[str, str] = field(default_factory=dict)
    """Partner → its name."""
    suppliers: Mapping[str, str] = field(default_factory=dict)
    """Supplier → its body, or its function in a body that the directory names several times."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """Transport line → its name."""
    former_sites: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Site of an earlier version that this one does not have → its name and commune."""

    @classmethod
    def of(cls, sections: Iterable[ref.SectionData]) -> "TerritoryNames":
        """Collect names from the sections of a reference version; any may be missing."""
        fields: dict[str, object] = {}
        for section in sections:
            match section:
                case ref.Communes():
                    fields["communes"] = {c.insee: c for c in section.communes}
                case ref.Sites():
                    fields["sites"] = {s.id: s for s in section.sites}
                case ref.Activities():
                    fields["poles"] = {p.id: p for p in section.poles}
                    fields["activities"] = {a.id: a for a in section.activities}
                    fields["systems"] = {system.id: system for system in section.systems}
                case ref.Plans():
                    fields["plans"] = {p.id: p for p in section.plans}
                case ref.EscalationPolicy():
                    fields["roles"] = section.policy.roles
                    fields["levels"] = {rule.level: rule.name for rule in section.policy.levels}
                case ref.Staffing():
                    fields["metiers"] = {m.id: m for m in section.metiers}
                case ref.ResourcesSection(rules=rules):
                    fields["resource_kinds"] = {kind.id: kind for kind in rules.kinds}
                    fields["stocks"] = {stock.id: stock for stock in rules.stocks}
                    fields["partners"] = {partner.id: partner.name for partner in rules.partners}
                case ref.Contacts(contacts=contacts):
                    organisation_counts = Counter(c.organisation for c in contacts)
                    fields["suppliers"] = {
                        c.id: c.organisation
                        if organisation_counts[c.organisation] == 1
                        else c.function
                        for c in contacts
                    }
                case ref.Obligations():
                    fields["obligations"] = {o.id: o for o in section.obligations}
                case ref.TransportLines(lines=lines):
                    fields["lines"] = {line.id: line.name for line in lines}
                case ref.RosterSection():
                    fields["holders"] = _index_holders(section.roster)
        return cls(**fields)  # type: ignore[arg-type]

    def has_site(self, key: str) -> bool:
        """Check whether this version, or an earlier one, has a site."""
        return key in self.sites or key in self.former_sites

    def site(self, key: str) -> str:
        if key in self.sites:
            return shorten_site_name(self.sites[key].name)
        if key in self.former_sites:
            return f"{shorten_site_name(self.former_sites[key][0])} (site retiré)"
        return key

    def commune(self, insee: str) -> str:
        return self.communes[insee].name if insee in self.communes else insee

    def line(self, id: str) -> str:
        return self.lines.get(id, id)

    def commune_of(self, site: str) -> str | None:
        if site in self.sites:
            return self.sites[site].commune_name
        return self.former_sites[site][1] if site in self.former_sites else None

    def pole(self, key: str, lang: str) -> str:
        if key not in self.poles:
            return key
        return self.poles[key].name if lang == "fr" else self.poles[key].name_en

    def pole_short(self, key: str, lang: str) -> str:
        """Return the short name in the pôle's own plan (`RH et finances`), else the whole name."""
        plan = self.plans.get(f"PCA-{key}")
        if lang == "fr" and plan is not None and plan.title.startswith(_POLE_PLAN_PREFIX):
            return plan.title.removeprefix(_POLE_PLAN_PREFIX)
        return self.pole(key, lang).removeprefix("Pôle ")

    def pole_titles(self, poles: Iterable[str], _: Translator) -> dict[str, str]:
        """Return pôle → title in the given order, after the shared central sites (`multi`)."""
        titles = {pole: self.pole_short(pole, _.lang) for pole in poles}
        return {
            "multi": _("Sites centraux"),
            **{pole: title[:1].upper() + title[1:] for pole, title in titles.items()},
        }

    def activity(self, key: str, lang: str) -> str:
        if key not in self.activities:
            return key
        return self.activities[key].name if lang == "fr" else self.activities[key].name_en

    def activity_short(self, key: str, lang: str) -> str:
        """Return the short name of an activity, or the first part of its name."""
        activity = self.activities.get(key)
        if activity is None:
            return key
        if lang == "fr" and activity.short_name:
            return activity.short_name
        return shorten_activity_name(self.activity(key, lang))

    def activity_label(self, key: str, lang: str) -> str:
        """Return the short name of an activity, followed by its code. Rule D70."""
        return f"{self.activity_short(key, lang)} ({key})" if key in self.activities else key

    def metier(self, key: str, lang: str) -> str:
        if key not in self.metiers:
            return key.replace("_", " ")
        return self.metiers[key].name if lang == "fr" else self.metiers[key].name_en

    def resource(self, key: str, quantity: int, lang: str) -> str:
        """Return the name of a kind of resource, in the plural from two on."""
        kind = self.resource_kinds.get(key)
        if kind is None:
            return key
        one, many = (kind.name, kind.names) if lang == "fr" else (kind.name_en, kind.names_en)
        return one if quantity <= 1 else many

    def giver(self, stock: str | None, partner: str | None) -> str:
        """Return the name of a stock with its site, or of a partner."""
        if stock is None:
            return self.partners.get(partner or "", partner or "")
        stock_row = self.stocks.get(stock)
        return stock if stock_row is None else f"{stock_row.name}, {self.site(stock_row.site)}"

    def obligation(self, key: str, lang: str) -> str:
        """Return the title of a legal obligation."""
        legal_obligation = self.obligations.get(key)
        return (
            key
            if legal_obligation is None
            else legal_obligation.title
            if lang == "fr"
            else legal_obligation.title_en
        )

    def plan(self, key: str) -> str:
        return self.plans[key].title if key in self.plans else key

    def plan_label(self, key: str, _: Translator) -> str:
        """Return the title of a plan as the subject of a sentence. Rule D70."""
        title = self.plan(key)
        if title == key or title.startswith(_POLE_PLAN_PREFIX):
            return title
        return _("Plan « {title} » ({code})", title=title, code=key)

    def level(self, level: int, _: Translator) -> str:
        """Return the level's name in the policy, in English if the catalogue has it."""
        return _(self.levels[level]) if level in self.levels else f"N{level}"
