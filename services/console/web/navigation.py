"""Build the navigation: six screens that this reader needs first, the others in one menu."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from services.console.i18n import N_, Translator
from services.console.web.pages import WebPage, load_pages
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


_GROUPS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        N_("Conduire"),
        (
            "cell",
            "search",
            "incident",
            "activities",
            "plans",
            "actions",
            "reassignment",
            "calls",
            "communication",
            "mine",
            "report",
            "wall",
            "logbook",
            "sitrep",
            "handover",
        ),
    ),
    (N_("Préparer"), ("duty", "contingency", "maintenance", "realms", "player", "retex")),
    (
        N_("Exploiter Vigie"),
        ("commissioning", "reference", "sources", "people", "account", "device"),
    ),
)
"""Pages of the menu; others follow the page that they name (`WebPage.after`)."""
_CELL_FIRST: Final = ("cell", "incident", "activities", "reassignment", "duty", "sitrep")
_FIELD_FIRST: Final = ("mine", "report", "cell", "incident", "activities", "plans")


@cache
def list_groups() -> tuple[tuple[str, tuple[Destination, ...]], ...]:
    """Return all screens of the menu, by group.

    The first `PRIMARY_COUNT` of a reader's own order move to the bar. Raises ValueError for a page
    that follows an unknown one.
    """
    pages_by_name = {page.name: page for page in load_pages() if page.label}
    groups = [(title, list(names)) for title, names in _GROUPS]
    listed_names = {name for _title, names in groups for name in names}
    remaining_pages = [page for page in pages_by_name.values() if page.name not in listed_names]
    while remaining_pages:
        page = next((page for page in remaining_pages if page.after in listed_names), None)
        if page is None:
            raise ValueError(
                f"no page {remaining_pages[0].after!r} for {remaining_pages[0].name!r} to follow"
            )
        names = next(names for _title, names in groups if page.after in names)
        names.insert(names.index(page.after) + 1, page.name)
        listed_names.add(page.name)
        remaining_pages.remove(page)
    return tuple(
        (title, tuple(_build_destination(pages_by_name[name]) for name in names))
        for title, names in groups
    )


def _build_destination(page: WebPage) -> Destination:
    return Destination(page.name, page.path, page.label, page.listed_for or page.needs)


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
        path = f"/incidents/{leads_to}" if d.page == "incident" else d.path
        stays = (
            {"vue": "a-traiter"} if d.page == "cell" and starts_at_own_sites(shell.reader) else {}
        )
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
            d.page == "duty" and shell.urgent > 0,
        )

    def reachable(d: Destination) -> bool:
        there = {
            "incident": leads_to is not None,
            "mine": bool(reader.principal.scope.sites or reader.principal.scope.poles),
            "player": shell.realm.simulated,
        }
        return reader.may(d.needs) and there.get(d.page, True)

    destinations_by_page = {
        d.page: d for _title, destinations in list_groups() for d in destinations
    }
    order = _CELL_FIRST if reader.may(Permission.LOG_READ) else _FIELD_FIRST
    first = [destinations_by_page[name] for name in order if reachable(destinations_by_page[name])][
        :PRIMARY_COUNT
    ]
    keep: Callable[[Destination], bool] = lambda d: reachable(d) and d not in first  # noqa: E731
    groups = [
        (_(title), [way(d) for d in destinations if keep(d)])
        for title, destinations in list_groups()
    ]
    rest = [w for _title, ways in groups for w in ways if w.here]
    return Navigation([way(d) for d in first], [g for g in groups if g[1]], next(iter(rest), None))
