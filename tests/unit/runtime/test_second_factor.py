"""A password alone only allows to add a second factor or to log out; weak ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import httpx2 as httpx
import pyotp
import pytest
from fastapi import APIRouter, Depends, FastAPI

from services.console.accounts.account_screen import build_passkey_router
from services.console.accounts.login import add_login_routes
from services.console.accounts.second_factor import add_second_factor_routes
from services.console.web.access import PageRoute
from services.runtime.http import problem_responses
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.passkeys import Passkeys
from services.runtime.identity.passwords import PasswordRefused, check_password
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Account, Passkey, Principal, Trace
from services.runtime.identity.sessions import (
    COOKIE,
    CSRF_COOKIE,
    CSRF_HEADER,
    FREE_FAILURES,
    RECENT_LOGIN_MS,
    SESSION_LIFETIME_MS,
    Session,
    Sessions,
    create_totp_secret,
)
from services.runtime.process.settings import Settings
from services.runtime.secrets.keyring import MasterKey
from tests.keyed import MemoryKeyedLog, create_memory_access

PASSWORD = "correct horse battery"
DECIDING = (Role.ADMIN, Role.COORDINATOR, Role.DIRECTOR, Role.ELECTED)


Looking = Annotated[Principal, Depends(require_permission(Permission.PICTURE_READ))]


class World:
    """The console's ways in, over accounts in memory."""

    def __init__(self, access: AccessStore) -> None:
        self.access, self.sessions = access, Sessions(access)
        app = FastAPI()
        problem_responses.install_handlers(app)
        app.state.access, app.state.sessions, app.state.passkeys = (
            access,
            self.sessions,
            Passkeys(access, self.sessions),
        )
        app.state.guest = app.state.oidc = None

        @app.get("/picture")
        async def picture(principal: Looking) -> str:
            return principal.id

        pages = APIRouter(route_class=PageRoute)
        add_login_routes(pages)
        add_second_factor_routes(pages)
        app.include_router(build_passkey_router())
        app.include_router(pages)
        self.app = app

    async def account(self, role: Role) -> Account:
        principal = create_principal(role)
        await self.access.add_account(principal, f"moi.{role}")
        account = self.access.account(f"moi.{role}")
        assert account is not None
        return await self.sessions.set_password(account, PASSWORD)

    def client(self, session: Session | None = None) -> httpx.AsyncClient:
        headers = {}
        if session is not None:
            headers = {
                "Cookie": f"{COOKIE}={session.cookie}; {CSRF_COOKIE}={session.csrf}",
                CSRF_HEADER: session.csrf,
            }
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://localhost:8092",
            headers=headers,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(create_memory_access(tmp_path))


@pytest.mark.parametrize("role", DECIDING)
async def test_a_password_alone_opens_nothing_but_the_page_that_adds_a_second_factor(
    world: World, role: Role
) -> None:
    """An administrator came in with `nofa.admin12` and could do everything."""
    await world.account(role)
    async with world.client() as http:
        came = await http.post("/connexion", data={"user": f"moi.{role}", "password": PASSWORD})
        assert (came.status_code, came.headers["location"]) == (303, "/compte/second-facteur")
        refused = await http.get("/picture", headers={"Accept-Language": "en"})
        assert (refused.status_code, refused.json()["code"]) == (403, "second_factor_needed")
        page = await http.get("/compte/second-facteur")
        assert "Votre rôle demande un second facteur" in page.text
        assert (
            await http.post(
                "/compte/sessions/fermer", headers={CSRF_HEADER: http.cookies[CSRF_COOKIE]}
            )
        ).status_code == 403
        await http.post("/deconnexion", data={"csrf": http.cookies[CSRF_COOKIE]})
        assert (await http.get("/picture")).status_code == 401


async def test_too_many_attempts_tell_the_wait_and_the_way_in(world: World) -> None:
    """At night the cell must not take the wait for a closed door."""
    account = await world.account(Role.CELL)
    form = {"user": account.login, "password": "wrong"}
    async with world.client() as http:
        for _ in range(FREE_FAILURES):
            assert (await http.post("/connexion", data=form)).status_code == 401
        answer = await http.post("/connexion", data=form)
    assert answer.status_code == 429
    assert "Attendez 30 s avant une nouvelle tentative." in answer.text
    assert "Une clé d’accès ou un code à usage unique s’utilise sans attendre." in answer.text


@pytest.mark.parametrize("role", [Role.CELL, Role.SITE_MANAGER, Role.TECHNICIAN, Role.OBSERVER])
async def test_other_roles_come_in_with_a_password(world: World, role: Role) -> None:
    await world.account(role)
    assert not (await world.sessions.login(f"moi.{role}", PASSWORD, None, address="::1")).enrolling


async def test_adding_a_second_factor_opens_the_account_with_ten_codes_to_print(
    world: World,
) -> None:
    account = await world.account(Role.COORDINATOR)
    secret = create_totp_secret()
    async with world.client() as http:
        await http.post("/connexion", data={"user": account.login, "password": PASSWORD})
        before = http.cookies[COOKIE]
        form = {"csrf": http.cookies[CSRF_COOKIE], "secret": secret}
        for wrong in ({"second": "000000"}, {"second": pyotp.TOTP(secret).now(), "secret": "AAAA"}):
            answer = await http.post("/compte/second-facteur", data=form | wrong)
            assert (answer.status_code, "n’est pas le code affiché" in answer.text) == (422, True)
        response = await http.post(
            "/compte/second-facteur", data=form | {"second": pyotp.TOTP(secret).now()}
        )
        assert (response.status_code, response.text.count("<li><code>")) == (200, 10)
        assert (await http.get("/picture")).status_code == 200
        assert world.sessions.read(before) is None, "the session of the password alone is over"
    assert "second_factor.added" in {t.act for t in world.access.all(Trace)}
    with pytest.raises(ProblemError, match="login_failed"):
        await world.sessions.login(account.login, PASSWORD, None, address="::1")


async def test_a_forged_form_adds_no_second_factor(world: World) -> None:
    account = await world.account(Role.ADMIN)
    secret = create_totp_secret()
    async with world.client() as http:
        await http.post("/connexion", data={"user": account.login, "password": PASSWORD})
        answer = await http.post(
            "/compte/second-facteur",
            data={"secret": secret, "second": pyotp.TOTP(secret).now(), "csrf": "x"},
        )
        assert answer.status_code == 403
        current_account = world.access.account(account.login)
        assert current_account is not None
        assert current_account.totp_secret is None


async def test_a_password_cannot_add_a_factor_beside_a_passkey(world: World) -> None:
    """A stolen password could have added a second factor of the thief."""
    account = await world.account(Role.ADMIN)
    await world.access.put(
        account.model_copy(
            update={"passkeys": (Passkey(id="k", host="localhost", public_key="p", created_at=1),)}
        )
    )
    secret = create_totp_secret()
    session = await world.sessions.login(account.login, PASSWORD, None, address="::1")
    async with world.client(session) as http:
        assert "Ce compte a une clé d’accès" in (await http.get("/compte/second-facteur")).text
        form = {"secret": secret, "second": pyotp.TOTP(secret).now(), "csrf": session.csrf}
        assert (await http.post("/compte/second-facteur", data=form)).status_code == 403
        assert (await http.post("/compte/cles/options")).status_code == 403


async def test_a_one_time_code_opens_the_account_as_before(world: World) -> None:
    account = await world.account(Role.ADMIN)
    session = await world.sessions.login_with_code(
        await world.access.issue_code(account.id, expires_at=None), address="::1"
    )
    assert not session.enrolling


async def test_an_installation_may_leave_it_to_its_people(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, second_factor="optional")
    access = AccessStore.open(settings, "console", master=MasterKey.open(settings.data.secrets))
    access._writer = MemoryKeyedLog()  # type: ignore[assignment]
    world = World(access)
    await world.account(Role.ADMIN)
    assert not (await world.sessions.login("moi.admin", PASSWORD, None, address="::1")).enrolling


async def test_the_ways_to_come_in_change_only_just_after_a_login(world: World) -> None:
    """A stranger could add a key on a phone that was left unlocked."""
    account = await world.account(Role.CELL)
    principal = world.access.principal(account.id)
    assert principal is not None
    fresh = world.sessions.admit(principal)
    old = world.sessions.admit(principal, expires_at=fresh.expires_at - RECENT_LOGIN_MS - 60_000)
    for session, status in ((fresh, 200), (old, 403)):
        async with world.client(session) as http:
            answer = await http.post("/compte/cles/options")
            assert answer.status_code == status
    assert answer.json()["code"] == "proof_needed"
    async with world.client(old) as http:
        closed = await http.post("/compte/sessions/fermer")
        assert closed.status_code == 200
        renewed = world.sessions.read(http.cookies[COOKIE])
        assert renewed is not None
        assert renewed.expires_at == old.expires_at, (
            "closing other sessions makes this one no younger"
        )
    assert fresh.expires_at - SESSION_LIFETIME_MS <= renewed.expires_at


async def test_a_key_that_is_taken_away_ends_every_other_session(world: World) -> None:
    """A stolen phone kept its session of twelve hours after its passkey was removed."""
    account = await world.account(Role.CELL)
    account = account.model_copy(
        update={"passkeys": (Passkey(id="k", host="localhost", public_key="p", created_at=1),)}
    )
    await world.access.put(account)
    principal = world.access.principal(account.id)
    assert principal is not None
    stolen, own = world.sessions.admit(principal), world.sessions.admit(principal)
    async with world.client(own) as http:
        assert (await http.post("/compte/cles/k/retirer")).status_code == 200
        assert world.sessions.read(http.cookies[COOKIE]) is not None, (
            "the browser that did it stays"
        )
    assert world.sessions.read(stolen.cookie) is None


async def test_a_login_by_the_first_code_ends_other_sessions(world: World) -> None:
    """The account of this machine had no record to raise: 404."""
    await world.access.put(create_principal(Role.ADMIN, id="local-admin"))
    local = world.access.principal("local-admin")
    assert local is not None
    other, own = world.sessions.admit(local), world.sessions.admit(local)
    async with world.client(own) as http:
        assert (await http.post("/compte/sessions/fermer")).status_code == 200
    assert world.sessions.read(other.cookie) is None


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short", "too_short"),
        ("aaaaaaaaaaaa", "repeated"),
        ("abababababcd", "repeated"),
        ("x-Nofa.Admin-12345", "holds_login"),
        ("password1234", "common"),
        ("azertyuiop12", "common"),
        ("motdepasse2024", "common"),
        ("1234567890123", "common"),
    ],
)
def test_an_easily_guessed_password_is_refused_with_the_reason(password: str, code: str) -> None:
    with pytest.raises(PasswordRefused) as refused:
        check_password(password, "nofa.admin")
    assert refused.value.fault.code == code
    assert set(refused.value.fault.message) == {"fr", "en"}


@pytest.mark.parametrize(
    "password",
    [PASSWORD, "a long enough one", "un mot de passe long", "é" * 3 + "xK9-fleuve-tordu" * 20],
)
def test_a_long_sentence_is_a_password(password: str) -> None:
    check_password(password, "ab")
