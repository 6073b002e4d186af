"""Select the sites of an action card by its scope. Rule D84."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from schemas.plans import CardScope
from schemas.reference import Site

_COLUMNS: Final[Mapping[str, Callable[[Site], str]]] = {
    "generator": lambda site: "oui" if site.generator else "non",
    "flood_exposure": lambda site: site.flood_exposure,
    "kitchen": lambda site: site.kitchen or "",
}
"""Column of the sites by which a scope selects → its value for a site."""


def has_flag_column(name: str) -> bool:
    """Return whether a scope may select sites by this column."""
    return name in _COLUMNS


def is_selected(scope: CardScope, site: Site) -> bool:
    """Return whether the fixed part of a scope selects a site: kinds, ids, communes, columns."""
    if scope.kinds and site.kind not in scope.kinds:
        return False
    if scope.sites and site.id not in scope.sites:
        return False
    if scope.communes and site.commune not in scope.communes:
        return False
    for name, accepted_values in scope.flags.items():
        value = _COLUMNS[name](site) if name in _COLUMNS else ""
        if not (value and "*" in accepted_values) and value not in accepted_values:
            return False
    return True


def list_selected_sites(scope: CardScope, sites: Iterable[Site]) -> list[Site]:
    """Return the sites that the fixed part of a scope selects."""
    return [site for site in sites if is_selected(scope, site)]
