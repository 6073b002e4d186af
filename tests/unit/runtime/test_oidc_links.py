"""An identity of the organisation's provider is linked to one account at first use."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.oidc import OidcLogin
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import Sessions
from services.runtime.secrets.keyring import MasterKey
from tests.keyed import create_memory_access

DECIDING = (Role.COORDINATOR, Role.DIRECTOR, Role.ELECTED)
CLAIMS = {"preferred_username": "chef", "sub": "s-1"}


@pytest.fixture
def access(tmp_path: Path) -> AccessStore:
    return create_memory_access(tmp_path)


def provider(access: AccessStore, **more: str) -> OidcLogin:
    settings = OidcSettings(oidc_issuer="http://127.0.0.1:1", oidc_client_id="vigie", **more)  # type: ignore[arg-type]
    return OidcLogin(settings, access, Sessions(access), MasterKey(b"k" * 32))


async def add_account(access: AccessStore, role: Role) -> str:
    principal = create_principal(role)
    await access.add_account(principal, "chef")
    return principal.id


async def let_link(access: AccessStore, account: str, until_ms: int) -> None:
    current_account = access.account_of(account)
    assert current_account is not None
    await access.put(current_account.model_copy(update={"link_until": until_ms}))


@pytest.mark.parametrize("role", DECIDING)
async def test_an_account_that_decides_is_linked_after_an_administrator_allows_it(
    access: AccessStore, role: Role
) -> None:
    """At some providers people choose the name that the claim holds."""
    account, oidc, now = (
        await add_account(access, role),
        provider(access),
        time.time_ns() // 1_000_000,
    )
    for until in (None, now - 1):
        if until is not None:
            await let_link(access, account, until)
        with pytest.raises(ProblemError) as caught:
            await oidc._owner(CLAIMS)
        assert caught.value.problem.code == "oidc_unapproved"
    await let_link(access, account, now + 60_000)
    assert (await oidc._owner(CLAIMS)).id == account
    linked = access.account_of(account)
    assert linked is not None
    assert linked.link_until is None, "the word counts for one identity"
    assert (await oidc._owner(CLAIMS)).id == account
    with pytest.raises(ProblemError):
        await oidc._owner(CLAIMS | {"sub": "s-2"})


async def test_other_accounts_are_linked_by_the_claim_as_before(access: AccessStore) -> None:
    account = await add_account(access, Role.CELL)
    assert (await provider(access)._owner(CLAIMS)).id == account


async def test_an_administrators_account_is_never_linked(access: AccessStore) -> None:
    account = await add_account(access, Role.ADMIN)
    await let_link(access, account, time.time_ns() // 1_000_000 + 60_000)
    with pytest.raises(ProblemError) as caught:
        await provider(access)._owner(CLAIMS)
    assert caught.value.problem.code == "oidc_unknown"


async def test_an_account_that_is_opened_for_an_identity_is_its_own_at_once(
    access: AccessStore,
) -> None:
    assert (await provider(access, oidc_new_role="director")._owner(CLAIMS)).role is Role.DIRECTOR
