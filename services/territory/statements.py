"""Read `communiques.yaml`: templates of statements by event and audience. Rule D91."""

from __future__ import annotations

import re
from typing import Any, Final

from schemas import reference as ref
from schemas.alerts import FAMILIES
from schemas.crisis.communication import Audience
from services.territory.source import SourceFile, find_line, to_plain_value

AUDIENCES: Final = {
    "agents": Audience.AGENTS,
    "familles": Audience.FAMILIES,
    "usagers": Audience.USERS,
    "elus": Audience.ELECTED,
    "presse": Audience.PRESS,
}
"""Word in the file → audience."""
KNOWN_VALUES: Final = frozenset({"territoire", "heure", "communes", "sites", "depuis"})
"""Placeholders that Vigie fills by itself."""
EVENTS: Final = frozenset({"any", *FAMILIES})
"""Families of incidents, and any event."""
_FIELDS: Final = frozenset(
    {"id", "evenement", "public", "falc", "titre", "texte", "titre_en", "texte_en"}
)
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


def read_statements(f: SourceFile) -> ref.Statements | None:
    """Read `communiques.yaml`; a territory without it has no templates."""
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
    return f.make(ref.Statements, 1, templates=templates, blanks=blanks)


def _read_template(
    f: SourceFile, entries: Any, n: int, blanks: dict[str, str]
) -> ref.StatementTemplate | None:
    fields, line = to_plain_value(entries[n]), find_line(entries, n)
    name = fields.get("id", n + 1)
    for field in sorted(set(fields) - _FIELDS):
        f.fault(
            line, f"template {name}: no field {field!r}; there are {', '.join(sorted(_FIELDS))}"
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
    for placeholder in sorted(set(_PLACEHOLDER.findall(words)) - KNOWN_VALUES - set(blanks)):
        f.fault(line, f"template {name}: say under a_completer what to write for {placeholder!r}")
    return template
