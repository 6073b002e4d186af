"""Who stands above whom when a decision is taken (DOMAIN D49).

Two vocabularies meet here: the roles of the organisation (`escalade.yaml`, e.g. `directeur_pole`) and the coarser roles of
accounts (API.md, e.g. `director`). A command may carry either.
"""

from __future__ import annotations

from typing import Final

RANK: dict[str, int] = {
    "responsable_site": 1,
    "site_manager": 1,
    "directeur_pole": 2,
    "suppleant_directeur_pole": 2,
    "coordinateur_pca": 2,
    "director": 2,
    "coordinator": 2,
    "admin": 2,
    "astreinte_direction": 3,
    "dgs_directeur_de_crise": 4,
    "elu_astreinte": 5,
    "president": 5,
    "elected": 5,
}
"""Role → rank. A role that is not here decides nothing. The administrator stands in for the coordinator, no higher."""

ACTING = frozenset(RANK) | {"cell", "technician", "astreinte_technique", "main_courantier"}
"""Roles that carry out what was decided: action cards. Every `cellule_*` role may too."""

_OF_A_POLE: Final = frozenset(
    {"responsable_site", "site_manager", "directeur_pole", "suppleant_directeur_pole", "director"}
)
"""Roles of a pôle or a site; which one is the account's scope, which the door checks."""
_CARD_ROLES: Final[dict[str, frozenset[str]]] = {
    "site_manager": frozenset({"responsable_site"}),
    "director": frozenset({"directeur_pole", "suppleant_directeur_pole"}),
    "technician": frozenset({"astreinte_technique"}),
}
"""Role of an account → roles of the organisation whose cards it works on."""

HOLDER: Final = "coordinateur_pca"
"""Stopping and releasing what is sent, sending again, and telling everybody at once belong to this role or above (API.md, `/api/v1/sending/hold`)."""
STRATEGIST: Final = "directeur_pole"
"""Strategies, declared states and arbitrations belong to this role or above (D41, D44, D51); it hears of data to type again (D46)."""


def may_decide(role: str, needed: str) -> bool:
    """True if `role` has the rank of `needed` or above. A `needed` that has no rank is everybody's who has one."""
    return RANK.get(role, 0) >= max(RANK.get(needed, 1), 1)


def may_decide_plan(role: str, needed: str) -> bool:
    """True if `role` may decide a plan that names `needed`: a role of one pôle decides no plan that is not a pôle's."""
    return may_decide(role, needed) and not (role in _OF_A_POLE and needed not in _OF_A_POLE)


def may_act(role: str) -> bool:
    """True if `role` may work on an action card: not observers, kiosks, sources, auditors, liaison officers."""
    return role in ACTING or role.startswith("cellule_")


def may_count(role: str) -> bool:
    """Return whether `role` may ask the people of a site whether they are safe: its manager and whoever stands above, and the cell (D79)."""
    return RANK.get(role, 0) >= 1 or role == "cell" or role.startswith("cellule_")


def may_work_card(role: str, card_role: str) -> bool:
    """Return whether `role` works on the cards of `card_role`: its own ones, and those of whoever stands below it."""
    if role == card_role or card_role in _CARD_ROLES.get(role, ()):
        return True
    return card_role in RANK and RANK.get(role, 0) > RANK[card_role]
