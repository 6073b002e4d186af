"""Build the handover page (relève): changes since the last shift, and open work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from services.console.i18n import N_, Translator
from services.console.resources import Change, Changes
from services.console.texts import words as w
from services.console.texts.names import Names, short

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
LINES_SHOWN: Final = 60
KINDS: Final = ("decision", "note", "action")
"""Lines about decisions and notes."""
TITLES: Final = {
    "levels": N_("Niveaux"),
    "incidents": N_("Incidents"),
    "escalations": N_("Échelles d’appel"),
    "plans": N_("Plans"),
    "sites": N_("Sites"),
    "activities": N_("Activités"),
    "tasks": N_("Tâches"),
}
LADDER_STATE: Final = {
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
    "escalations": LADDER_STATE,
    "tasks": {
        "open": N_("ouverte"),
        "taken": N_("prise"),
        "done": N_("faite"),
        "void": N_("sans objet"),
    },
}
_AT_REST: Final = {
    ("levels", "N0"),
    ("sites", "normal"),
    ("activities", "nominal"),
    ("plans", "valid"),
}
"""Initial states that count as unchanged: opening a realm sets all of them."""
_LINKS: Final = {
    "incidents": "/incidents/{id}",
    "sites": "/sites/{id}",
    "activities": "/activites#{id}",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """One change on the page."""

    key: str
    title: str
    before: str
    after: str
    at: datetime | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Section:
    key: str
    title: str
    moved: list[Moved]


def since_of(asked: str | None, until: datetime) -> datetime:
    """Return the start of the requested span in minutes, or of the default span."""
    return until - timedelta(minutes=int(asked if asked in SPANS else DEFAULT_SPAN))


def sections_of(changes: Changes, names: Names, _: Translator) -> list[Section]:
    """List the changes by kind, the most important first."""
    return [
        Section(key, _(title), [_moved(c, names, _) for c in found])
        for key, title in TITLES.items()
        if (found := [c for c in changes.items if c.collection == key and not _began_at_rest(c)])
    ]


def _began_at_rest(change: Change) -> bool:
    return change.before is None and (change.collection, change.after) in _AT_REST


def _moved(change: Change, names: Names, _: Translator) -> Moved:
    before = _("rien") if change.before is None else state_of(change.collection, change.before, _)
    link = _LINKS.get(change.collection)
    return Moved(
        f"{change.collection}-{change.id}",
        _title(change, names, _),
        before,
        state_of(change.collection, change.after, _),
        change.at,
        link.format(id=change.id) if link else None,
    )


def _title(change: Change, names: Names, _: Translator) -> str:
    if change.collection == "levels":
        scope = change.id.removeprefix("pole:")
        return _("Département") if change.id == "territory" else names.pole(scope, _.lang)
    if change.collection == "sites":
        return short(change.title)
    return (
        f"{change.id} {change.title}"
        if change.collection in ("activities", "plans")
        else change.title
    )


def state_of(collection: str, state: str, _: Translator) -> str:
    """Return the label of a state; an incident's is followed by its level."""
    code, *rest = state.split(" ")
    return " ".join([w.word(_STATES.get(collection, {}), code, _), *rest])
