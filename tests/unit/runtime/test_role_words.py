"""A refusal for want of a right says in words who is refused, and who may."""

from __future__ import annotations

import pytest

from services.console.i18n import translator
from services.console.texts import words as w
from services.runtime.identity.permissions import RIGHTS, Permission, Role
from services.runtime.identity.role_names import OF_A_PERSON, ROLE, able, forbidden


def test_every_role_has_its_words_and_pages_use_the_same() -> None:
    assert set(ROLE) == set(Role)
    for role in set(Role) - {Role.POSTER}:  # no person
        assert (ROLE[role]["fr"], ROLE[role]["en"]) == tuple(
            w.word(w.ROLE, role, translator(lang)) for lang in ("fr", "en")
        )


def test_it_names_the_roles_that_may_and_no_code() -> None:
    problem = forbidden(Role.OBSERVER, Permission.SENDING_HOLD).problem
    assert problem.status == 403
    assert (
        problem.sentence("fr")
        == "Le rôle « Observateur » ne le permet pas. Il faut : Administrateur ou Coordonnateur PCA."
    )
    assert (
        problem.sentence("en")
        == "Role “Observer” does not allow it. It takes: Administrator or Continuity coordinator."
    )
    assert "un compte personnel" in forbidden(Role.KIOSK, OF_A_PERSON).problem.sentence("fr")


@pytest.mark.parametrize("permission", Permission)
def test_somebody_may_do_everything(permission: Permission) -> None:
    named = able(permission)["fr"]
    assert all(
        (ROLE[role]["fr"] in named) == (permission in RIGHTS[role])
        for role in (Role.CELL, Role.KIOSK, Role.LIAISON)
    )
