"""Decide the kind of source of a report, and check its scope.

The kind decides independence (rule D6, rumours) and authority, so a sender cannot choose it freely.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from schemas.catalogue.sources import SOURCE_KINDS
from schemas.realms import is_live
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

SHARED: Final = "multi"
"""Pôle of a site where several work (`sites.csv`)."""
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def choose_source_kind(requested_kind: str | None, principal: Principal, realm: str) -> str:
    """Return the kind of source of a report.

    A principal that may not relay reports always has its own kind.
    """
    if requested_kind is None or not principal.may(Permission.REPORT_RELAY):
        return principal.source_kind
    if requested_kind in SOURCE_KINDS or (not is_live(realm) and _CODE.fullmatch(requested_kind)):
        return requested_kind
    return principal.source_kind


def check_scope(
    principal: Principal, realm: str, site_id: str | None, type: str, lifts: Iterable[str]
) -> None:
    """Check that a source reports only on its own realms, types and sites, and ends nothing else.

    A source with sites must name one. Raises ProblemError.
    """
    scope = principal.scope
    if not principal.sees(realm):
        raise ProblemError("out_of_scope", field="realm")
    if scope.types and type not in scope.types:
        raise ProblemError("out_of_scope", field="type")
    if scope.types and not set(lifts) <= set(scope.types):
        raise ProblemError("out_of_scope", field="lifts")
    if scope.sites and site_id not in scope.sites:
        raise ProblemError("out_of_scope", field="site_id")


def check_poles(
    principal: Principal,
    site_id: str | None,
    pole_of: Callable[[str | None], str | None],
    *,
    is_danger: bool,
) -> None:
    """Refuse sites of other pôles, except shared ones, if the scope names pôles.

    Raises ProblemError.

    Danger to people may be told of any site: who sees a fire is not asked whose building it is.
    """
    own = principal.scope.poles
    if own and not is_danger and pole_of(site_id) not in (*own, SHARED):
        raise ProblemError("out_of_scope", field="site_id")


def check_places(
    principal: Principal,
    message: Mapping[str, Any],
    stated_fields: Collection[str],
    own: Callable[[], str | None],
    pole_of: Callable[[str | None], str | None],
) -> None:
    """Refuse other sites and communes if the scope names sites or pôles.

    The commune of the report's own site (`own`) is allowed.

    A place not in `stated_fields` is one of the area's. Raises ProblemError.
    """
    scope = principal.scope
    if not (scope.sites or scope.poles):
        return
    communes = {
        "commune": {message["commune"]} if "commune" in message else set(),
        "zone": set(message.get("zone", ())),
    }
    places = message.get("sites", ())
    is_own = (
        all(site in scope.sites for site in places)
        if scope.sites
        else all(pole_of(site) in scope.poles for site in places)
    )
    beyond = [] if is_own else ["sites"]
    beyond += [name for name, places in communes.items() if places and places != {own()}]
    if beyond:
        raise ProblemError(
            "out_of_scope", field=beyond[0] if beyond[0] in stated_fields else "area"
        )
