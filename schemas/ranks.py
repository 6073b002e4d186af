"""Rank roles for decisions.

Two vocabularies meet here: roles of the organisation (`escalade.yaml`, e.g. `directeur_pole`) and
coarser roles of accounts (e.g. `director`). A command may carry either. Rule D49.
"""

from typing import Final

SITE_MANAGER_ROLE: Final = "responsable_site"
POLE_DIRECTOR_ROLE: Final = "directeur_pole"
TECHNICIAN_ROLE: Final = "astreinte_technique"
COMMUNICATION_ROLE: Final = "cellule_com"
"""Roles of the organisation that rules name."""
RANK_OF_ROLE: dict[str, int] = {
    SITE_MANAGER_ROLE: 1,
    "site_manager": 1,
    POLE_DIRECTOR_ROLE: 2,
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
"""Role → rank; a role without rank decides nothing.

The administrator stands in for the coordinator, no higher.
"""

CARD_WORKERS = frozenset(RANK_OF_ROLE) | {"cell", "technician", TECHNICIAN_ROLE, "main_courantier"}
"""Roles that carry out decisions on action cards; every `cellule_*` role may too."""

_SCOPED_ROLES: Final = frozenset(
    {SITE_MANAGER_ROLE, "site_manager", POLE_DIRECTOR_ROLE, "suppleant_directeur_pole", "director"}
)
"""Roles of a pôle or a site.

The scope of the account says which one; the API checks it.
"""
_CARD_ROLES: Final[dict[str, frozenset[str]]] = {
    "site_manager": frozenset({SITE_MANAGER_ROLE}),
    "director": frozenset({POLE_DIRECTOR_ROLE, "suppleant_directeur_pole"}),
    "technician": frozenset({TECHNICIAN_ROLE}),
}
"""Role of an account → roles of the organisation with cards that it works on."""

_CELL_ROLES: Final = frozenset(
    {
        *("admin", "coordinator", "cell", "director"),
        *("coordinateur_pca", "dgs_directeur_de_crise", "main_courantier"),
    }
)
"""Roles of accounts and of the organisation that answer for somebody else, and cancel.

The API checks the scope of an account. Every `cellule_*` role may, too.
"""
_VALIDATORS: Final = frozenset(
    {COMMUNICATION_ROLE, "coordinateur_pca", "coordinator", "admin", "dgs_directeur_de_crise"}
)
HOLD_ROLE: Final = "coordinateur_pca"
"""Lowest role for holding and releasing the sending, sending again, and call-outs."""
STRATEGY_ROLE: Final = POLE_DIRECTOR_ROLE
"""Lowest role for strategies, declared states and arbitrations.

It is also informed of data to type again (D46). Rules D41, D44 and D51.
"""


def may_decide(role: str, required_role: str) -> bool:
    """Return whether `role` has the rank of `required_role` or a higher one.

    If `required_role` has no rank, every role with a rank may decide.
    """
    return RANK_OF_ROLE.get(role, 0) >= max(RANK_OF_ROLE.get(required_role, 1), 1)


def may_decide_plan(role: str, required_role: str) -> bool:
    """Return whether `role` may decide a plan that names `required_role`.

    A role of one pôle decides only plans of a pôle.
    """
    return may_decide(role, required_role) and not (
        role in _SCOPED_ROLES and required_role not in _SCOPED_ROLES
    )


def may_act(role: str) -> bool:
    """Return whether `role` may work on action cards.

    Observers, kiosks, sources, auditors and liaison officers may not.
    """
    return role in CARD_WORKERS or role.startswith("cellule_")


def speaks_for_cell(role: str) -> bool:
    """Return whether `role` is a function of the cell, which answers actions for everybody."""
    return role in _CELL_ROLES or role.startswith("cellule_")


def may_count(role: str) -> bool:
    """Return whether `role` may start a headcount: the site manager, higher roles and the cell.

    Rule D79.
    """
    return RANK_OF_ROLE.get(role, 0) >= 1 or role == "cell" or role.startswith("cellule_")


def may_validate_statement(role: str) -> bool:
    """Return whether `role` may validate a statement: communication, or a leader of the crisis.

    The coordinator stands in for an absent communication function. Rule D91.
    """
    return role in _VALIDATORS


def may_work_card(role: str, card_role: str) -> bool:
    """Return whether `role` may work on the cards of `card_role`: its own or lower ones."""
    if role == card_role or card_role in _CARD_ROLES.get(role, ()):
        return True
    return card_role in RANK_OF_ROLE and RANK_OF_ROLE.get(role, 0) > RANK_OF_ROLE[card_role]
