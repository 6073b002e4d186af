"""A refusal for a missing right names the role refused and the roles allowed, in words."""

from __future__ import annotations

import pytest

from services.console.i18n import get_translator
from services.console.texts import words as w
from services.runtime.identity.permissions import (
    PERMISSIONS_BY_ROLE,
    PERSONAL_ACCOUNT,
    ROLE_NAMES,
    Permission,
    Role,
    build_forbidden,
    list_permitted_roles,
)


def test_every_role_has_one_name_that_pages_share() -> None:
    assert set(ROLE_NAMES) == set(Role)
    for role in set(Role) - {Role.POSTER}:  # no person
        assert (ROLE_NAMES[role]["fr"], ROLE_NAMES[role]["en"]) == tuple(
            w.translate_code(w.ROLE, role, get_translator(lang)) for lang in ("fr", "en")
        )


def test_a_refusal_names_the_entitled_roles_and_no_code() -> None:
    problem = build_forbidden(Role.OBSERVER, Permission.SENDING_HOLD).problem
    assert problem.status == 403
    assert (
        problem.sentence("fr")
        == "Le rôle « Observateur » ne le permet pas. Il faut : Administrateur ou Coordonnateur PCA."
    )
    assert (
        problem.sentence("en")
        == "Role “Observer” does not allow it. It needs: Administrator or Continuity coordinator."
    )
    assert "un compte personnel" in build_forbidden(Role.KIOSK, PERSONAL_ACCOUNT).problem.sentence(
        "fr"
    )


@pytest.mark.parametrize("permission", Permission)
def test_the_roles_with_a_right_are_named(permission: Permission) -> None:
    role_names = list_permitted_roles(permission)["fr"]
    assert all(
        (ROLE_NAMES[role]["fr"] in role_names) == (permission in PERMISSIONS_BY_ROLE[role])
        for role in (Role.CELL, Role.KIOSK, Role.LIAISON)
    )
