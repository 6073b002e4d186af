"""Read legal deadlines with their declarations, and templates of statements. Rules D91 and D92."""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from schemas import reference as ref
from schemas.alerts import FAMILIES
from schemas.crisis.communication import Audience
from schemas.crisis.obligations import LimitUnit, Obligation, ObligationLimit
from schemas.ranks import POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from services.territory.public_information import read_public_information
from services.territory.source import SourceFile, find_line, to_plain_value

UNITS: Final = {
    "heures": LimitUnit.HOURS,
    "jours": LimitUnit.DAYS,
    "jours_ouvres": LimitUnit.WORKING_DAYS,
    "mois": LimitUnit.MONTHS,
}
"""Word in the file → unit of a limit."""
KNOWN_VALUES: Final = frozenset(
    {
        "territoire",
        "heure",
        "numero",
        "incident",
        "depuis",
        "connu",
        "communes",
        "sites",
        "agents",
        "public",
    }
)
"""Placeholders that Vigie fills by itself."""
_SCOPED_ROLES: Final = frozenset(
    {SITE_MANAGER_ROLE, POLE_DIRECTOR_ROLE, "suppleant_directeur_pole"}
)
"""Roles of one site or pôle: a legal deadline belongs to the whole territory."""
_FIELDS: Final = {
    "id": "id",
    "titre": "title",
    "titre_en": "title_en",
    "fondement": "basis",
    "autorite": "authority",
    "contact": "contact",
    "role": "role",
    "sans_delai": "without_delay",
    "a_compter_de": "counts_from",
    "condition": "condition",
    "sinistre": "claim",
    "projet_titre": "draft_title",
    "projet": "draft",
}
"""Field in the file → field of an obligation."""
_STARTS: Final = {"plans": "plans", "familles": "kinds", "apres": "after"}
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
AUDIENCES: Final = {
    "agents": Audience.AGENTS,
    "familles": Audience.FAMILIES,
    "usagers": Audience.USERS,
    "elus": Audience.ELECTED,
    "presse": Audience.PRESS,
}
"""Word in the file → audience."""
_STATEMENT_VALUES: Final = frozenset({"territoire", "heure", "communes", "sites", "depuis"})
"""Placeholders that Vigie fills by itself."""
EVENTS: Final = frozenset({"any", *FAMILIES})
"""Families of incidents, and any event."""
_STATEMENT_FIELDS: Final = frozenset(
    {"id", "evenement", "public", "falc", "titre", "texte", "titre_en", "texte_en"}
)


def read_obligations(
    f: SourceFile, roles: Collection[str], plans: Collection[str], contacts: Collection[str] | None
) -> ref.Obligations | None:
    """Read `obligations.yaml`; a territory without it has no legal deadlines.

    `contacts` is None for a territory without a list of partners.
    """
    if not f.exists():
        return None
    doc = f.yaml()
    blanks = {str(name): str(words) for name, words in doc.get("a_completer", {}).items()}
    entries = doc.get("obligations", [])
    obligation_by_id: dict[str, Obligation] = {}
    for n in range(len(entries)):
        line = find_line(entries, n)
        obligation = _read_obligation(f, entries[n], line)
        if obligation is None:
            continue
        if obligation.id in obligation_by_id:
            f.fault(line, f"obligation {obligation.id}: there are two of this id")
        obligation_by_id[obligation.id] = obligation
        _check_names(f, line, obligation, roles, plans, contacts)
        _check_blanks(f, line, obligation, blanks)
    for n, obligation in enumerate(obligation_by_id.values()):
        if obligation.after is not None and (
            obligation.after not in obligation_by_id or obligation.after == obligation.id
        ):
            f.fault(
                find_line(entries, n),
                f"obligation {obligation.id}: no such obligation {obligation.after!r}",
            )
    return f.make(ref.Obligations, 1, obligations=tuple(obligation_by_id.values()), blanks=blanks)


def _read_obligation(f: SourceFile, node: Any, line: int) -> Obligation | None:
    fields = to_plain_value(node)
    name, limit, starts = fields.get("id"), fields.get("delai") or {}, fields.get("demarre") or {}
    field_names = {*_FIELDS, "delai", "demarre"}
    for field in sorted(set(fields) - field_names):
        f.fault(line, f"obligation {name}: no field {field!r}; there are {_join(field_names)}")
    for field in sorted(set(starts) - set(_STARTS)):
        f.fault(line, f"obligation {name}: demarre has {_join(_STARTS)}, not {field!r}")
    if limit.get("unite") not in UNITS:
        f.fault(line, f"obligation {name}: unite is one of {_join(UNITS)}")
        return None
    length = f.make(ObligationLimit, line, amount=limit.get("valeur"), unit=UNITS[limit["unite"]])
    if length is None:
        return None
    values = {_FIELDS[field]: fields[field] for field in _FIELDS if field in fields}
    begins = {_STARTS[field]: starts[field] for field in _STARTS if field in starts}
    return f.make(Obligation, line, limit=length, **values, **begins)


def _check_names(
    f: SourceFile,
    line: int,
    obligation: Obligation,
    roles: Collection[str],
    plans: Collection[str],
    contacts: Collection[str] | None,
) -> None:
    """Report each name that the territory does not have."""
    if obligation.role not in roles:
        f.fault(line, f"obligation {obligation.id}: no such role {obligation.role!r}")
    elif obligation.role in _SCOPED_ROLES:
        f.fault(
            line, f"obligation {obligation.id}: {obligation.role} is no role of the whole territory"
        )
    if (
        obligation.contact is not None
        and contacts is not None
        and obligation.contact not in contacts
    ):
        f.fault(line, f"obligation {obligation.id}: no such contact {obligation.contact!r}")
    for plan in obligation.plans:
        if plan not in plans:
            f.fault(line, f"obligation {obligation.id}: no such plan {plan!r}")
    for kind in obligation.kinds:
        if kind not in FAMILIES:
            f.fault(
                line, f"obligation {obligation.id}: familles are of {_join(FAMILIES)}, not {kind!r}"
            )


def _check_blanks(
    f: SourceFile, line: int, obligation: Obligation, blanks: Collection[str]
) -> None:
    words = f"{obligation.draft_title} {obligation.draft}"
    for name in sorted(set(_PLACEHOLDER.findall(words)) - KNOWN_VALUES - set(blanks)):
        f.fault(
            line, f"obligation {obligation.id}: say under a_completer what to write for {name!r}"
        )


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def read_statements(f: SourceFile, kinds: Collection[str]) -> ref.Statements | None:
    """Read `communiques.yaml`; a territory without it has no templates. `kinds`: of sites."""
    if not f.exists():
        return None
    doc = f.yaml()
    blanks = {str(name): str(words) for name, words in doc.get("a_completer", {}).items()}
    entries = doc.get("communiques", [])
    all_templates = [_read_template(f, entries, n, blanks) for n in range(len(entries))]
    templates = [template for template in all_templates if template is not None]
    template_ids: set[str] = set()
    for n, template in enumerate(templates):
        if template.id in template_ids:
            f.fault(find_line(entries, n), f"template {template.id}: there are two of this id")
        template_ids.add(template.id)
    public = (
        read_public_information(f, doc["page_publique"], kinds) if "page_publique" in doc else None
    )
    return f.make(ref.Statements, 1, templates=templates, blanks=blanks, public=public)


def _read_template(
    f: SourceFile, entries: Any, n: int, blanks: dict[str, str]
) -> ref.StatementTemplate | None:
    fields, line = to_plain_value(entries[n]), find_line(entries, n)
    name = fields.get("id", n + 1)
    for field in sorted(set(fields) - _STATEMENT_FIELDS):
        f.fault(
            line,
            f"template {name}: no field {field!r}; there are {', '.join(sorted(_STATEMENT_FIELDS))}",
        )
    if fields.get("evenement") not in EVENTS:
        f.fault(line, f"template {name}: evenement is one of {', '.join(sorted(EVENTS))}")
    if fields.get("public") not in AUDIENCES:
        f.fault(line, f"template {name}: public is one of {', '.join(sorted(AUDIENCES))}")
        return None
    template = f.make(
        ref.StatementTemplate,
        line,
        id=name,
        event=fields.get("evenement"),
        audience=AUDIENCES[fields["public"]],
        plain=fields.get("falc", False),
        title=fields.get("titre"),
        text=fields.get("texte"),
        title_en=fields.get("titre_en"),
        text_en=fields.get("texte_en"),
    )
    if template is None:
        return None
    words = " ".join(
        filter(None, (template.title, template.text, template.title_en, template.text_en))
    )
    for placeholder in sorted(set(_PLACEHOLDER.findall(words)) - _STATEMENT_VALUES - set(blanks)):
        f.fault(line, f"template {name}: say under a_completer what to write for {placeholder!r}")
    return template
