"""Build the handover page (relève): changes since the last shift, and open work."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.console.i18n import N_, Translator
from services.console.resources import Change, Changes
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames, shorten_site_name

SPANS: Final = {
    "30": N_("30 min"),
    "60": N_("1 h"),
    "240": N_("4 h"),
    "480": N_("8 h"),
    "720": N_("12 h"),
    "1440": N_("24 h"),
}
"""Minutes → label of the choice."""
DEFAULT_SPAN: Final = "480"
CLOCKS_SHOWN: Final = 6
LINES_SHOWN: Final = 20
CHANGES_SHOWN: Final = 8
"""Newest changes of a kind; earlier ones are folded."""
KINDS: Final = ("decision", "note", "action", "communication")
"""Lines about decisions, notes and words of people; those of the system are left out."""
TITLES: Final = {
    "levels": N_("Niveaux"),
    "incidents": N_("Incidents"),
    "escalations": N_("Escalades"),
    "plans": N_("Plans"),
    "sites": N_("Sites"),
    "activities": N_("Activités"),
    "tasks": N_("Tâches"),
}
ESCALATION_LABELS: Final = {
    "running": N_("en cours"),
    "answered": N_("a répondu"),
    "superseded": N_("remplacée"),
    "exhausted": N_("sans réponse"),
    "ended": N_("terminée"),
}
_STATES: Final[Mapping[str, Mapping[Any, str]]] = {
    "incidents": w.INCIDENT_STATE,
    "plans": w.PLAN_STATE,
    "sites": w.SITE_STATUS,
    "activities": w.ACTIVITY_STATE,
    "escalations": ESCALATION_LABELS,
    "tasks": {
        "open": N_("ouverte"),
        "taken": N_("prise"),
        "done": N_("faite"),
        "void": N_("sans objet"),
    },
}
_NOTHING: Final = N_("rien")
_NEW_LABELS: Final = {
    "incidents": N_("pas encore ouvert"),
    "tasks": N_("pas encore ouverte"),
}
"""State before an incident or a task existed: «rien» would say that it was done or over."""
_LINKS: Final = {
    "incidents": "/incidents/{id}",
    "sites": "/sites/{id}",
    "activities": "/activites#{id}",
}


@dataclass(frozen=True, slots=True)
class HandoverChange:
    """One change on the page."""

    key: str
    title: str
    before: str
    after: str
    at: datetime | None
    link: str | None


@dataclass(frozen=True, slots=True)
class HandoverSection:
    key: str
    title: str
    changes: list[HandoverChange]

    @property
    def earlier(self) -> list[HandoverChange]:
        """Return the changes that are folded, oldest first."""
        return self.changes[:-CHANGES_SHOWN]

    @property
    def newest(self) -> list[HandoverChange]:
        return self.changes[-CHANGES_SHOWN:]


def find_start(requested_span: str | None, until: datetime) -> datetime:
    """Return the start of the requested span in minutes, or of the default span."""
    return until - timedelta(
        minutes=int(requested_span if requested_span in SPANS else DEFAULT_SPAN)
    )


def list_sections(changes: Changes, names: TerritoryNames, _: Translator) -> list[HandoverSection]:
    """List the changes by kind, the most important first."""
    return [
        HandoverSection(key, _(title), [_build_change(c, names, _) for c in section_changes])
        for key, title in TITLES.items()
        if (section_changes := [c for c in changes.items if c.collection == key])
    ]


def _build_change(change: Change, names: TerritoryNames, _: Translator) -> HandoverChange:
    before = (
        _(_NEW_LABELS.get(change.collection, _NOTHING))
        if change.before is None
        else label_state(change.collection, change.before, _)
    )
    link = _LINKS.get(change.collection)
    return HandoverChange(
        f"{change.collection}-{change.id}",
        _format_title(change, names, _),
        before,
        label_state(change.collection, change.after, _),
        change.at,
        link.format(id=change.id) if link else None,
    )


def _format_title(change: Change, names: TerritoryNames, _: Translator) -> str:
    if change.collection == "levels":
        scope = change.id.removeprefix("pole:")
        return _("Département") if change.id == "territory" else names.pole(scope, _.lang)
    if change.collection == "sites":
        return shorten_site_name(change.title)
    if change.collection in ("activities", "plans"):
        return f"{change.title} ({change.id})"
    return change.title


def label_state(collection: str, state: str, _: Translator) -> str:
    """Return the label of a state; an incident's is followed by its level."""
    code, *rest = state.split(" ")
    return " ".join([w.translate_code(_STATES.get(collection, {}), code, _), *rest])
