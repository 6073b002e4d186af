"""People log in through the organisation's provider, which is neither required nor trusted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2 as httpx
import pytest
import pytest_asyncio
from pydantic import ValidationError

from services.console.web.shell import CSP
from services.runtime.identity import oidc_provider
from services.runtime.identity.accounts import create_principal
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal, Trace
from services.runtime.identity.sessions import COOKIE, CSRF_COOKIE
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import find_free_ports
from tests.integration.console.serving import Served, served
from tests.integration.console.test_attacks import cookies_of, sent
from tests.waiting import until

CLIENT, SECRET = "vigie", "entre nous: 100 %"
BACK = "http://console/connexion/annuaire/retour"


class Provider:
    def __init__(self, *kind: str) -> None:
        port = find_free_ports(1)[0]
        self.issuer = f"http://127.0.0.1:{port}"
        program = Path(__file__).parents[2] / "oidc_provider.py"
        self._process = subprocess.Popen(
            [sys.executable, str(program), str(port), CLIENT, SECRET, BACK, *kind]
        )
        self.http = httpx.Client(base_url=self.issuer, timeout=20, trust_env=False)
        until(self._answers)

    def _answers(self) -> bool:
        try:
            return self.http.get("/asked").status_code == 200
        except httpx.TransportError:
            return False

    def says(self, subject: str, fault: str = "", **more: Any) -> None:
        """Set the provider's next user and its lies."""
        new_key = more.pop("new_key", False)
        self.http.post(
            "/control",
            json={"subject": subject, "fault": fault, "claims": more, "new_key": new_key},
        )

    def asked(self, path: str) -> int:
        return int(self.http.get("/asked").json().get(path, 0))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self.http.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


def configured(patch: pytest.MonkeyPatch, provider: Provider, **more: str) -> None:
    settings = {"ISSUER": provider.issuer, "CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET, **more}
    for name, value in settings.items():
        patch.setenv(f"VIGIE_OIDC_{name}", value)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def console(console_settings: Settings, provider: Provider) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            configured(patch, provider)
            made = await stack.enter_async_context(served(console_settings))
        yield made


@pytest.fixture(autouse=True)
def _no_jar(console: Served) -> None:
    console.http.cookies.clear()


async def account(console: Served, role: Role = Role.CELL) -> Principal:
    principal = create_principal(role)
    await console.access.add_account(principal, f"nom-{token_hex(4)}")
    return principal


def login_of(console: Served, principal: Principal) -> str:
    return next(a.login for a in console.access.all(Account) if a.id == principal.id)


async def leave(console: Served, provider: Provider, next: str = "/") -> tuple[str, dict[str, str]]:
    """Leave to the provider, which redirects the browser back; return (target, cookies)."""
    going = await console.http.get("/connexion/annuaire", params={"next": next})
    assert going.status_code == 303, going.text
    back = provider.http.get(going.headers["location"])
    assert back.status_code == 302, back.text
    console.http.cookies.clear()
    return back.headers["location"], cookies_of(going)


async def come_in(console: Served, provider: Provider, next: str = "/") -> httpx.Response:
    back, cookies = await leave(console, provider, next)
    return await console.http.get(back, headers=sent(cookies))


def who_came(console: Served, answer: httpx.Response) -> Principal:
    session = console.app.state.sessions.read(cookies_of(answer)[COOKIE])
    return session.principal


def acts(console: Served, principal: Principal) -> list[str]:
    return sorted(t.act for t in console.access.all(Trace) if t.author == principal.id)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_confirmed_identity_logs_in_with_the_role_of_its_account(
    console: Served, provider: Provider
) -> None:
    page = await console.http.get("/connexion?next=/aide")
    assert "Se connecter avec le compte du Département" in page.text
    assert page.headers["content-security-policy"] == CSP
    owner = await account(console)
    provider.says(
        "s-1", preferred_username=login_of(console, owner), role="admin", groups=["admin"]
    )
    answer = await come_in(console, provider, "/aide")
    assert (answer.status_code, answer.headers["location"]) == (303, "/aide")
    assert who_came(console, answer) == owner
    assert acts(console, owner) == ["account.linked", "login.oidc"]
    attempt = next(h for h in answer.headers.get_list("set-cookie") if h.startswith("vigie_oidc="))
    assert "Max-Age=0" in attempt

    provider.says("s-1", preferred_username="renamed")
    assert who_came(console, await come_in(console, provider)) == owner, (
        "the account is the subject's now, whatever the claim says"
    )
    provider.says("s-2", preferred_username=login_of(console, owner))
    other = await come_in(console, provider)
    assert (other.status_code, COOKIE in cookies_of(other)) == (403, False), (
        "a name that was given anew opens nothing"
    )
    assert provider.asked("/keys") == 1, "keys are kept"


@pytest.mark.asyncio(loop_scope="module")
async def test_logging_out_needs_no_provider(console: Served, provider: Provider) -> None:
    owner = await account(console)
    provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
    mine = cookies_of(await come_in(console, provider))
    before = provider.http.get("/asked").json()
    out = await console.http.post(
        "/deconnexion", data={"csrf": mine[CSRF_COOKIE]}, headers=sent(mine)
    )
    assert out.headers["location"] == "/connexion"
    assert console.app.state.sessions.read(mine[COOKIE]) is None
    assert {k: v for k, v in provider.http.get("/asked").json().items() if k != "/asked"} == {
        k: v for k, v in before.items() if k != "/asked"
    }


@pytest.mark.parametrize(
    "fault",
    [
        "nonce",
        "no_nonce",
        "audience",
        "expired",
        "issuer",
        "future",
        "party",
        "access",
        "anonymous",
        "none",
        "secret",
        "public",
        "forged",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_token_that_is_stale_or_for_others_opens_nothing(
    console: Served, provider: Provider, fault: str
) -> None:
    owner = await account(console)
    provider.says(f"s-{owner.id}", fault, preferred_username=login_of(console, owner))
    answer = await come_in(console, provider)
    assert (answer.status_code, COOKIE in cookies_of(answer)) == (401, False)
    assert "n’a pas confirmé votre identité" in answer.text
    assert 'name="password"' in answer.text, "the way in without it is on the same page"
    assert acts(console, owner) == []
    provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
    assert who_came(console, await come_in(console, provider)) == owner


@pytest.mark.asyncio(loop_scope="module")
async def test_identities_without_an_account_get_none(console: Served, provider: Provider) -> None:
    before = console.access.all(Account)
    for claims in (
        {"preferred_username": "inconnue"},
        {},
        {"preferred_username": ["a"]},
        {"preferred_username": ""},
        {"preferred_username": "x" * 65},
    ):
        provider.says(f"s-{token_hex(4)}", **claims)
        answer = await come_in(console, provider)
        assert (answer.status_code, COOKIE in cookies_of(answer)) == (403, False)
        assert "aucun compte actif de Vigie" in answer.text
    assert console.access.all(Account) == before


@pytest.mark.asyncio(loop_scope="module")
async def test_closed_and_administrator_accounts_are_never_linked(
    console: Served, provider: Provider
) -> None:
    admin, closed = await account(console, Role.ADMIN), await account(console)
    await console.access.set_enabled(closed.id, enabled=False)
    for owner in (admin, closed):
        provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
        assert (await come_in(console, provider)).status_code == 403
        assert acts(console, owner) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_counts_once_in_the_browser_that_asked(
    console: Served, provider: Provider
) -> None:
    owner = await account(console)
    provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
    back, cookies = await leave(console, provider)
    stranger = await console.http.get(back)
    assert stranger.status_code == 401, "no cookie: planted by another site"
    _, other = await leave(console, provider)
    assert (await console.http.get(back, headers=sent(other))).status_code == 401, (
        "state of another attempt"
    )
    broken = {"vigie_oidc": cookies["vigie_oidc"][:-8] + "AAAAAAA="}
    assert (await console.http.get(back, headers=sent(broken))).status_code == 401
    request_count = provider.asked("/token")
    assert (await console.http.get(back, headers=sent(cookies))).status_code == 303
    assert (await console.http.get(back, headers=sent(cookies))).status_code == 401, "replayed"
    assert provider.asked("/token") == request_count + 1, (
        "what is refused here does not reach the provider"
    )

    code = httpx.URL(back).params["code"]
    fresh, cookies = await leave(console, provider)
    replayed = str(httpx.URL(fresh).copy_set_param("code", code))
    assert (await console.http.get(replayed, headers=sent(cookies))).status_code == 401, (
        "a used code under a fresh attempt"
    )
    fresh, cookies = await leave(console, provider)
    foreign = str(httpx.URL(fresh).copy_set_param("iss", "https://another.example"))
    assert (await console.http.get(foreign, headers=sent(cookies))).status_code == 401
    fresh, cookies = await leave(console, provider)
    denied = str(
        httpx.URL(fresh).copy_remove_param("code").copy_set_param("error", "access_denied")
    )
    assert (await console.http.get(denied, headers=sent(cookies))).status_code == 401


@pytest.mark.asyncio(loop_scope="module")
async def test_a_login_leads_only_to_a_page_of_this_site(
    console: Served, provider: Provider
) -> None:
    owner = await account(console)
    provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
    assert (await come_in(console, provider, "//example.org")).headers["location"] == "/"


@pytest.mark.asyncio(loop_scope="module")
async def test_new_keys_of_the_provider_are_fetched(
    console: Served, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await account(console)
    provider.says(f"s-{owner.id}", preferred_username=login_of(console, owner))
    assert who_came(console, await come_in(console, provider)) == owner, "the keys are cached now"
    provider.says(f"s-{owner.id}", new_key=True, preferred_username=login_of(console, owner))
    request_count = provider.asked("/keys")
    monkeypatch.setattr(oidc_provider, "KEY_REFRESH_S", 1e9)
    assert (await come_in(console, provider)).status_code == 401
    assert provider.asked("/keys") == request_count, "not for every token that somebody makes up"
    monkeypatch.setattr(oidc_provider, "KEY_REFRESH_S", 0.0)
    assert who_came(console, await come_in(console, provider)) == owner


@pytest.mark.asyncio(loop_scope="module")
async def test_newcomers_get_an_account_under_a_verified_address_if_configured(
    console_settings: Settings, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured(
        monkeypatch, provider, CLAIM="email", NEW_ROLE="observer", NAME="FranceConnect Agents"
    )
    address = f"{token_hex(4)}@departement.example"
    async with served(console_settings) as console:
        assert (
            "Se connecter avec FranceConnect Agents" in (await console.http.get("/connexion")).text
        )
        for word in ({}, {"email_verified": False}, {"email_verified": "true"}):
            provider.says(address, email=address, **word)
            assert (await come_in(console, provider)).status_code == 403
        provider.says(address, email=address, email_verified=True, role="admin")
        came = who_came(console, await come_in(console, provider))
        assert (came.role, login_of(console, came)) == (Role.OBSERVER, address)
        assert acts(console, came) == ["account.created", "account.linked", "login.oidc"]
        assert who_came(console, await come_in(console, provider)) == came


SIRET = "22920050600010"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def proconnect(console_settings: Settings) -> AsyncIterator[tuple[Served, Provider]]:
    """Start a console with a provider that identifies people as ProConnect does."""
    provider = Provider("proconnect")
    async with AsyncExitStack() as stack:
        stack.callback(provider.close)
        with pytest.MonkeyPatch.context() as patch:
            configured(
                patch,
                provider,
                CLAIM="email",
                SCOPE="openid email siret",
                SIRET=SIRET,
                LOGOUT="provider",
                NAME="ProConnect",
            )
            made = await stack.enter_async_context(served(console_settings))
        yield made, provider


@pytest.mark.parametrize("fault", ["", "userinfo_json"])
@pytest.mark.asyncio(loop_scope="module")
async def test_the_userinfo_endpoint_names_the_person(
    proconnect: tuple[Served, Provider], fault: str
) -> None:
    console, provider = proconnect
    owner = await account(console)
    provider.says(f"s-{owner.id}", fault, email=login_of(console, owner), siret=SIRET)
    answer = await come_in(console, provider, "/aide")
    assert (answer.status_code, answer.headers["location"]) == (303, "/aide")
    assert who_came(console, answer) == owner


@pytest.mark.parametrize(
    ("fault", "status"),
    [("userinfo_subject", 401), ("userinfo_audience", 401), ("userinfo_forged", 401)],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_userinfo_about_others_opens_nothing(
    proconnect: tuple[Served, Provider], fault: str, status: int
) -> None:
    console, provider = proconnect
    owner = await account(console)
    provider.says(f"s-{owner.id}", fault, email=login_of(console, owner), siret=SIRET)
    answer = await come_in(console, provider)
    assert (answer.status_code, COOKIE in cookies_of(answer)) == (status, False)


@pytest.mark.parametrize("more", [{}, {"siret": "13002526500013"}])
@pytest.mark.asyncio(loop_scope="module")
async def test_people_of_another_organisation_are_refused(
    proconnect: tuple[Served, Provider], more: dict[str, str]
) -> None:
    console, provider = proconnect
    owner = await account(console)
    provider.says(f"s-{owner.id}", email=login_of(console, owner), **more)
    answer = await come_in(console, provider)
    assert (answer.status_code, COOKIE in cookies_of(answer)) == (403, False)
    assert acts(console, owner) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_logout_leads_to_the_provider_if_configured(
    proconnect: tuple[Served, Provider],
) -> None:
    console, provider = proconnect
    owner = await account(console)
    provider.says(f"s-{owner.id}", email=login_of(console, owner), siret=SIRET)
    mine = cookies_of(await come_in(console, provider))
    out = await console.http.post(
        "/deconnexion", data={"csrf": mine[CSRF_COOKIE]}, headers=sent(mine)
    )
    assert console.app.state.sessions.read(mine[COOKIE]) is None
    there = httpx.URL(out.headers["refresh"].removeprefix("0;url="))
    assert str(there).startswith(f"{provider.issuer}/logout?")
    assert there.params["post_logout_redirect_uri"] == "http://console/connexion"
    assert there.params["id_token_hint"].count(".") == 2
    assert there.params["state"]
    assert "Terminer aussi celle de ProConnect" in out.text
    again = cookies_of(await come_in(console, provider))
    out = await console.http.post(
        "/deconnexion",
        data={"csrf": again[CSRF_COOKIE]},
        headers=sent({**again, "vigie_oidc_fin": "AAAA"}),
    )
    assert (out.status_code, out.headers["location"]) == (303, "/connexion")


@pytest.mark.asyncio(loop_scope="module")
async def test_without_the_provider_passwords_still_work(
    console_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider()
    try:
        configured(monkeypatch, provider)
        monkeypatch.setattr(oidc_provider, "TIMEOUT_S", 1.0)
        async with served(console_settings) as console:
            owner = await account(console)
            back, cookies = await leave(console, provider)
            provider.kill()
            late = await console.http.get(back, headers=sent(cookies))
            assert (late.status_code, "ne répond pas" in late.text) == (503, True)
        async with served(console_settings) as console:
            refused = await console.http.get("/connexion/annuaire")
            assert (refused.status_code, 'name="password"' in refused.text) == (503, True)
            await until_known(console, owner)
            await console.app.state.sessions.set_password(
                next(a for a in console.access.all(Account) if a.id == owner.id),
                "un mot de passe long",
            )
            local = await console.http.post(
                "/connexion",
                data={"user": login_of(console, owner), "password": "un mot de passe long"},
            )
            assert (local.status_code, who_came(console, local)) == (303, owner)
    finally:
        provider.close()


async def until_known(console: Served, principal: Principal) -> None:
    await console.access.caught_up.wait()
    assert console.access.principal(principal.id) == principal


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_setting_there_is_no_provider(console_settings: Settings) -> None:
    async with served(console_settings) as console:
        assert "fournisseur" not in (await console.http.get("/connexion")).text
        assert (await console.http.get("/connexion/annuaire")).status_code == 404


@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        (
            {"oidc_issuer": "http://id.departement.example", "oidc_client_id": "v"},
            "VIGIE_OIDC_ISSUER",
        ),
        ({"oidc_issuer": "https://id.departement.example"}, "VIGIE_OIDC_CLIENT_ID"),
        (
            {
                "oidc_issuer": "https://id.departement.example",
                "oidc_client_id": "v",
                "oidc_scope": "profile",
            },
            "VIGIE_OIDC_SCOPE",
        ),
        (
            {
                "oidc_issuer": "https://id.departement.example",
                "oidc_client_id": "v",
                "oidc_new_role": "admin",
            },
            "VIGIE_OIDC_NEW_ROLE",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, Any], variable: str) -> None:
    with pytest.raises(ValidationError, match=variable):
        OidcSettings(**settings)
