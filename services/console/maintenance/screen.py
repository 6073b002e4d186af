"""Page `/travaux`: maintenance windows. Rule D64."""

from datetime import timedelta
from typing import Any, Final

from services.console.i18n import N_
from services.console.maintenance import page as maintenance_page
from services.console.maintenance.resources import WindowCoverage
from services.console.texts import words as w
from services.console.web import times
from services.console.web.screen_context import (
    LINE_LIMIT,
    ScreenData,
    ScreenPage,
    list_site_choices,
)
from services.runtime.identity.permissions import Permission

WINDOWS_SHOWN: Final = 200


def covers_window(x: ScreenData, covers: WindowCoverage) -> bool:
    """Return whether the reader decides about windows of these sites or pôles, as the API does."""
    reader = x.shell.reader
    if covers.sites or reader.principal.scope.sites or not covers.poles:
        own = {site.id for site in x.sites if reader.covers(site)}
        return reader.whole or (bool(covers.sites) and own.issuperset(covers.sites))
    return reader.whole or set(covers.poles) <= set(reader.principal.scope.poles)


async def build_maintenance_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    may = x.shell.reader.may(Permission.LOG_READ)
    windows = (await x.queries.maintenance(texts=may, limit=LINE_LIMIT)).items
    states = {"active": x._("En cours"), "planned": x._("À venir"), "over": x._("Terminés")}
    groups = [
        (title, [m for m in windows if m.state == state][:WINDOWS_SHOWN])
        for state, title in states.items()
    ]
    own = [site for site in x.sites if x.shell.reader.covers(site)]
    start = times.to_paris(x.shell.now)
    return {
        "groups": groups,
        "sites": list_site_choices(own),
        "covers": lambda covers: covers_window(x, covers),
        "kinds": sorted({s.kind for s in x.sites}),
        "types": maintenance_page.PLANNABLE_TYPES,
        "rules": maintenance_page.USUAL_RULES,
        "repeats": lambda rrule: maintenance_page.describe_rule(rrule, x._),
        "person": lambda token: w.name_person(token, x.names, x._),
        "start_value": start.strftime("%Y-%m-%dT%H:%M"),
        "end_value": (start + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M"),
    }


PAGE: Final = ScreenPage(
    "maintenance", "/travaux", "maintenance.html", build_maintenance_page, N_("Travaux")
)
