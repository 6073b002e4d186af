"""Names of account roles, and the problem for a missing permission.

It names the refused role and the roles that have the permission.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.runtime.http.problems import Language, ProblemError
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Permission, Role

BilingualText = Mapping[Language, str]
ROLE_NAMES: Final[Mapping[Role, BilingualText]] = {
    Role.ADMIN: {"fr": "Administrateur", "en": "Administrator"},
    Role.COORDINATOR: {"fr": "Coordonnateur PCA", "en": "Continuity coordinator"},
    Role.CELL: {"fr": "Cellule de crise", "en": "Crisis cell"},
    Role.DIRECTOR: {"fr": "Directeur de pôle", "en": "Director of a pôle"},
    Role.SITE_MANAGER: {"fr": "Responsable de site", "en": "Site manager"},
    Role.TECHNICIAN: {"fr": "Astreinte technique", "en": "Technician on call"},
    Role.ELECTED: {"fr": "Élu", "en": "Elected"},
    Role.LIAISON: {"fr": "Officier de liaison", "en": "Liaison officer"},
    Role.OBSERVER: {"fr": "Observateur", "en": "Observer"},
    Role.KIOSK: {"fr": "Mur d’images", "en": "Wall display"},
    Role.SOURCE: {"fr": "Source automatique", "en": "Automatic source"},
    Role.POSTER: {"fr": "Affiche d’un site", "en": "Poster of a site"},
    Role.AUDITOR: {"fr": "Auditeur", "en": "Auditor"},
}
ACCOUNT_OF_REALM: Final[BilingualText] = {
    "fr": "un compte qui voit ce territoire ou cet exercice",
    "en": "an account that sees this territory or exercise",
}
PERSONAL_ACCOUNT: Final[BilingualText] = {
    "fr": "un compte personnel",
    "en": "an account of one’s own",
}


def build_forbidden(role: Role, right: Permission | BilingualText) -> ProblemError:
    """Return a 403 problem.

    `right` is a permission, described by its roles, or a text about the account that is needed.
    """
    return ProblemError(
        "forbidden",
        role=ROLE_NAMES[role],
        able=list_permitted_roles(right) if isinstance(right, Permission) else right,
    )


def list_permitted_roles(permission: Permission) -> BilingualText:
    """List the roles with a permission: `Administrateur, Coordonnateur PCA ou Cellule de crise`.

    The order is that of `Role`.
    """
    roles = [role for role in Role if permission in PERMISSIONS_BY_ROLE[role]]
    return {
        "fr": _join_alternatives([ROLE_NAMES[r]["fr"] for r in roles], "ou"),
        "en": _join_alternatives([ROLE_NAMES[r]["en"] for r in roles], "or"),
    }


def _join_alternatives(names: list[str], word: str) -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
