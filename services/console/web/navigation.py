"""Build the navigation: six screens that this reader needs first, the others in one menu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.console.i18n import N_, Translator
from services.console.web.pages import load_pages
from services.console.web.shell import ScreenReader, ScreenShell
from services.runtime.identity.permissions import Permission, Role

PRIMARY_COUNT: Final = 6


@dataclass(frozen=True, slots=True)
class Destination:
    """A screen in the navigation; `page` is the name in its shell."""

    page: str
    path: str
    label: str
    needs: Permission = Permission.PICTURE_READ


@dataclass(frozen=True, slots=True)
class NavigationLink:
    """A link as displayed."""

    page: str
    url: str
    label: str
    here: bool
    count: int = 0
    """Number shown beside the link; 0 shows none."""
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Navigation:
    primary: list[NavigationLink]
    groups: list[tuple[str, list[NavigationLink]]]
    elsewhere: NavigationLink | None
    """The current page if it is in the menu, so that the bar shows the place."""


_LOG: Final = Permission.LOG_READ
CELL: Final = Destination("cell", "/", N_("Cellule"))
INCIDENT: Final = Destination("incident", "/incidents", N_("Incident"))
ACTIVITIES: Final = Destination("activities", "/activites", N_("Activités"))
ON_CALL: Final = Destination("duty", "/astreintes", N_("Astreintes"), _LOG)
SITREP: Final = Destination("sitrep", "/sitrep", N_("Point de situation"), _LOG)
PLANS: Final = Destination("plans", "/plans", N_("Plans"))
ACTIONS: Final = Destination("actions", "/actions", N_("Actions"))
REASSIGNMENT: Final = Destination("reassignment", "/reaffectation", N_("Réaffectation"))
REPORT: Final = Destination("report", "/signaler", N_("Signaler"), Permission.REPORT_POST)
MINE: Final = Destination("mine", "/mes-sites", N_("Mes sites"))
CALLS: Final = Destination("calls", "/appels", N_("Appels et recensements"), _LOG)
COMMUNICATION: Final = Destination("communication", "/communication", N_("Communication"), _LOG)
PLAYER: Final = Destination("player", "/exercice", N_("Animer l’exercice"))
SEARCH: Final = Destination("search", "/recherche", N_("Rechercher"))
_GROUPS: Final[tuple[tuple[str, tuple[Destination, ...]], ...]] = (
    (
        N_("Conduire"),
        (
            CELL,
            SEARCH,
            INCIDENT,
            ACTIVITIES,
            PLANS,
            ACTIONS,
            REASSIGNMENT,
            CALLS,
            COMMUNICATION,
            MINE,
            REPORT,
            Destination("wall", "/mur", N_("Mur")),
            Destination("logbook", "/main-courante", N_("Main courante"), _LOG),
            SITREP,
            Destination("handover", "/releve", N_("Relève")),
        ),
    ),
    (
        N_("Préparer"),
        (
            ON_CALL,
            Destination("contingency", "/prevoyance", N_("Prévoyance")),
            Destination("maintenance", "/travaux", N_("Travaux")),
            Destination("realms", "/realms", N_("Exercices")),
            PLAYER,
            Destination("retex", "/retex", N_("RETEX"), _LOG),
        ),
    ),
    (
        N_("Exploiter Vigie"),
        (
            Destination(
                "commissioning", "/mise-en-service", N_("Mise en service"), Permission.AUDIT_READ
            ),
            Destination(
                "reference", "/donnees", N_("Données de référence"), Permission.REFERENCE_DECIDE
            ),
            Destination("sources", "/sources", N_("Sources"), _LOG),
            Destination("people", "/personnes", N_("Personnes et droits"), Permission.AUDIT_READ),
            Destination("account", "/compte", N_("Mon compte")),
            Destination("device", "/appareil", N_("Cet appareil"), Permission.INCIDENT_ACKNOWLEDGE),
        ),
    ),
)
"""Screens of the menu without those that describe themselves."""
_CELL_FIRST: Final = (CELL, INCIDENT, ACTIVITIES, REASSIGNMENT, ON_CALL, SITREP)
_FIELD_FIRST: Final = (MINE, REPORT, CELL, INCIDENT, ACTIVITIES, PLANS)


@cache
def list_groups() -> tuple[tuple[str, tuple[Destination, ...]], ...]:
    """Return all screens of the menu, by group.

    The first `PRIMARY_COUNT` of a reader's own order move to the bar. Raises ValueError for a page
    that follows an unknown one.
    """
    groups = [(title, list(found)) for title, found in _GROUPS]
    left = list(load_pages())
    while left:
        there = {d.page: (found, n) for _title, found in groups for n, d in enumerate(found)}
        page = next((page for page in left if page.after in there), None)
        if page is None:
            raise ValueError(f"no page {left[0].after!r} for {left[0].name!r} to follow")
        found, n = there[page.after]
        found.insert(n + 1, Destination(page.name, page.path, page.label, page.needs))
        left.remove(page)
    return tuple((title, tuple(found)) for title, found in groups)


def starts_at_own_sites(reader: ScreenReader) -> bool:
    """Return whether this person is a manager of sites and starts at « Mes sites »."""
    return reader.principal.role is Role.SITE_MANAGER and bool(reader.principal.scope.sites)


def build_navigation(shell: ScreenShell, _: Translator, incident: str | None = None) -> Navigation:
    """Build the navigation for this reader on this page.

    The bar leads to `incident`, the one on display, or else to the gravest.
    """
    reader = shell.reader
    leads_to = incident or (shell.gravest.id if shell.gravest else None)

    def way(d: Destination) -> NavigationLink:
        path = f"/incidents/{leads_to}" if d is INCIDENT else d.path
        stays = {"vue": "a-traiter"} if d is CELL and starts_at_own_sites(shell.reader) else {}
        counts = {
            "actions": shell.overview.counts.get("actions_late", 0),
            "duty": shell.urgent,
            "maintenance": shell.overview.counts.get("maintenance_active", 0),
        }
        return NavigationLink(
            d.page,
            shell.url(path, **stays),
            _(d.label),
            shell.page == d.page,
            counts.get(d.page, 0),
            d is ON_CALL and shell.urgent > 0,
        )

    def reachable(d: Destination) -> bool:
        there = {
            INCIDENT: leads_to is not None,
            MINE: bool(reader.principal.scope.sites or reader.principal.scope.poles),
            PLAYER: shell.realm.simulated,
        }
        return reader.may(d.needs) and there.get(d, True)

    order = _CELL_FIRST if reader.may(_LOG) else _FIELD_FIRST
    first: Sequence[Destination] = [d for d in order if reachable(d)][:PRIMARY_COUNT]
    keep: Callable[[Destination], bool] = lambda d: reachable(d) and d not in first  # noqa: E731
    groups = [(_(title), [way(d) for d in found if keep(d)]) for title, found in list_groups()]
    rest = [w for _title, ways in groups for w in ways if w.here]
    return Navigation([way(d) for d in first], [g for g in groups if g[1]], next(iter(rest), None))
