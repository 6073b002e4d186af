import asyncio
import time
from pathlib import Path
from typing import Annotated

import httpx2 as httpx
import pyotp
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, Form, Request

from services.intake.routes import Authenticator
from services.runtime.http import problem_responses
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.sessions import (
    CSRF_COOKIE,
    FREE_FAILURES,
    MAX_THROTTLED_KEYS,
    SESSION_LIFETIME_MS,
    LoginThrottle,
    Session,
    Sessions,
    build_clearing_headers,
    create_totp_secret,
)
from tests.keyed import create_memory_access

PASSWORD = "correct horse battery"


@pytest.fixture
def store(tmp_path: Path) -> AccessStore:
    return create_memory_access(tmp_path)


@pytest.fixture
def sessions(store: AccessStore) -> Sessions:
    return Sessions(store)


async def person(
    store: AccessStore, sessions: Sessions, role: Role = Role.CELL
) -> tuple[Principal, Account]:
    principal = create_principal(role)
    await store.add_account(principal, "cellule")
    account = store.account("cellule")
    assert account is not None
    return principal, await sessions.set_password(account, PASSWORD)


async def test_a_password_opens_a_session_that_ends_by_its_time(
    store: AccessStore, sessions: Sessions
) -> None:
    principal, _ = await person(store, sessions)
    session = await sessions.login("Cellule", PASSWORD, None, address="::1")
    assert session.principal == principal
    assert sessions.read(session.cookie) == session
    assert sessions.read(session.cookie, now=session.expires_at) is None


async def test_a_forged_or_foreign_cookie_opens_nothing(
    store: AccessStore, sessions: Sessions
) -> None:
    await person(store, sessions)
    cookie = (await sessions.login("cellule", PASSWORD, None, address="::1")).cookie
    for forged in (
        None,
        "",
        ".",
        "a.b.c",
        cookie[:-1] + "é",
        "local-admin" + cookie,
        cookie.replace(".", "..", 1),
    ):
        assert sessions.read(forged) is None


async def test_logging_out_a_new_password_and_disabling_end_sessions(
    store: AccessStore, sessions: Sessions
) -> None:
    principal, account = await person(store, sessions)
    first = await sessions.login("cellule", PASSWORD, None, address="::1")
    sessions.end(first)
    assert sessions.read(first.cookie) is None
    second = await sessions.login("cellule", PASSWORD, None, address="::1")
    await sessions.set_password(account, PASSWORD + "!")
    assert sessions.read(second.cookie) is None
    third = await sessions.login("cellule", PASSWORD + "!", None, address="::1")
    await store.set_enabled(principal.id, enabled=False)
    assert sessions.read(third.cookie) is None


async def test_a_second_factor_is_asked_for_and_never_accepted_twice(
    store: AccessStore, sessions: Sessions
) -> None:
    _, account = await person(store, sessions)
    secret = create_totp_secret()
    enrolment = pyotp.TOTP(secret).now()
    await sessions.enrol_second_factor(account, secret, enrolment, ["AAAA-BBBB"])
    for wrong in (None, "", "000000", enrolment):
        with pytest.raises(ProblemError, match="login_failed"):
            await sessions.login("cellule", PASSWORD, wrong, address=f"a{wrong}")
        sessions._throttle.forget_failures("login:cellule")
    assert await sessions.login("cellule", PASSWORD, "aaaa bbbb", address="::1")
    with pytest.raises(ProblemError, match="login_failed"):
        await sessions.login("cellule", PASSWORD, "AAAA-BBBB", address="::1")


async def test_guessing_is_slowed_down_for_the_login_and_the_address(
    store: AccessStore, sessions: Sessions
) -> None:
    await person(store, sessions)
    for _ in range(FREE_FAILURES):
        with pytest.raises(ProblemError, match="login_failed"):
            await sessions.login("cellule", "wrong", None, address="::1")
    for user, address in (("cellule", "::2"), ("other", "::1")):
        with pytest.raises(ProblemError, match="too_many_attempts"):
            await sessions.login(user, PASSWORD, None, address=address)
    assert await sessions.login_with_code(
        await store.issue_code((await person_id(store)), expires_at=None), address="::3"
    )


async def test_guesses_that_come_all_at_once_are_counted_one_by_one(
    store: AccessStore, sessions: Sessions
) -> None:
    """All fifty wait for the first to fail; a known browser waits for no stranger."""
    await person(store, sessions)
    looked = 0
    first = await sessions.login("cellule", PASSWORD, None, address="::1")
    password_is = sessions._password_is

    def counted(hashed: str | None, password: str) -> bool:
        nonlocal looked
        looked += 1
        return password_is(hashed, password)

    sessions._password_is = counted  # type: ignore[method-assign]
    guesses = [sessions.login("cellule", f"wrong {n}", None, address=f"::{n}") for n in range(50)]
    own = sessions.login("cellule", PASSWORD, None, address="::1", device=first.device)
    *outcomes, mine = await asyncio.gather(*guesses, own, return_exceptions=True)
    assert looked == FREE_FAILURES + 1
    assert sorted({f.problem.code for f in outcomes if isinstance(f, ProblemError)}) == [
        "login_failed",
        "too_many_attempts",
    ]
    assert isinstance(mine, Session)
    assert not sessions._throttle._turns


@pytest.mark.parametrize("second", ["totp", "printed"])
async def test_one_second_factor_opens_one_session_in_any_number_of_requests(
    store: AccessStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    principal, account = await person(store, sessions)
    secret = create_totp_secret()
    await sessions.enrol_second_factor(account, secret, pyotp.TOTP(secret).now(), ["AAAA-BBBB"])
    code = pyotp.TOTP(secret).at(int(time.time()) + 30) if second == "totp" else "AAAA-BBBB"
    device = sessions._device(principal.id)
    logins = [
        sessions.login("cellule", PASSWORD, code, address="::1", device=d) for d in (None, device)
    ]
    outcomes = await asyncio.gather(*logins, return_exceptions=True)
    assert [isinstance(f, Session) for f in outcomes].count(True) == 1


async def test_a_login_takes_back_nothing_that_was_decided_while_its_password_was_looked_at(
    store: AccessStore, sessions: Sessions
) -> None:
    principal, account = await person(store, sessions)
    secret = create_totp_secret()
    account = await sessions.enrol_second_factor(
        account, secret, pyotp.TOTP(secret).now(), ["AAAA-BBBB"]
    )
    password_is = sessions._password_is
    loop = asyncio.get_running_loop()

    def slow(hashed: str | None, password: str) -> bool:
        asyncio.run_coroutine_threadsafe(store.end_sessions(principal.id), loop).result()
        return password_is(hashed, password)

    sessions._password_is = slow  # type: ignore[method-assign]
    await sessions.login("cellule", PASSWORD, "AAAA-BBBB", address="::1")
    current_account = store.account_of(principal.id)
    assert current_account is not None
    assert (current_account.epoch, current_account.printed) == (account.epoch + 1, ())

    def changed(hashed: str | None, password: str) -> bool:
        new = store.put(
            current_account.model_copy(
                update={"password_hash": "another", "epoch": current_account.epoch + 1}
            )
        )
        asyncio.run_coroutine_threadsafe(new, loop).result()
        return password_is(hashed, password)

    sessions._password_is = changed  # type: ignore[method-assign]
    with pytest.raises(ProblemError, match="login_failed"):
        await sessions.login(
            "cellule", PASSWORD, pyotp.TOTP(secret).at(int(time.time()) + 30), address="::1"
        )
    assert (now := store.account_of(principal.id)) is not None
    assert now.password_hash == "another"


async def test_a_second_factor_and_a_shut_account_end_the_sessions_that_were_open(
    store: AccessStore, sessions: Sessions
) -> None:
    """This also holds for a reopened account: a cookie stolen meanwhile is worthless."""
    principal, account = await person(store, sessions)
    before = await sessions.login("cellule", PASSWORD, None, address="::1")
    secret = create_totp_secret()
    await sessions.enrol_second_factor(account, secret, pyotp.TOTP(secret).now(), ["AAAA-BBBB"])
    assert sessions.read(before.cookie) is None
    stolen = await sessions.login("cellule", PASSWORD, "AAAA-BBBB", address="::1")
    await store.set_enabled(principal.id, enabled=False)
    await store.set_enabled(principal.id, enabled=True)
    assert sessions.read(stolen.cookie) is None


async def person_id(store: AccessStore) -> str:
    return store.all(Principal)[0].id


async def test_a_one_time_code_opens_one_session(store: AccessStore, sessions: Sessions) -> None:
    principal, _ = await person(store, sessions)
    code = await store.issue_code(principal.id, expires_at=None)
    assert (await sessions.login_with_code(code, address="::1")).principal == principal
    with pytest.raises(ProblemError, match="login_failed"):
        await sessions.login_with_code(code, address="::1")


async def test_an_unknown_account_costs_as_much_as_a_known_one_and_a_start_no_hash(
    store: AccessStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as starting:
        starting.setattr(PasswordHasher, "hash", lambda *_: pytest.fail("64 MB at each start"))
        started = Sessions(store)
    await person(store, started)
    compared: list[str] = []

    def verify(hasher: PasswordHasher, hashed: str, password: str) -> bool:
        compared.append(hashed)
        return bool(check(hasher, hashed, password))

    check = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", verify)
    for login in ("nobody", "cellule"):
        with pytest.raises(ProblemError):
            await started.login(login, "not the password", None, address="::1")
    decoy, real = compared
    assert extract_parameters(decoy) == extract_parameters(real)
    with pytest.raises(VerifyMismatchError):  # The whole work is done before it says no
        check(PasswordHasher(), decoy, PASSWORD)


async def test_an_unknown_code_is_wrong_only_after_a_look_at_the_topic(
    store: AccessStore, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have made it a moment ago, and a busy broker answers late."""

    async def away(timeout_s: float) -> bool:
        return False

    async def asked(timeout_s: float) -> bool:
        return True

    monkeypatch.setattr(store._follower, "settle", away)
    with pytest.raises(ProblemError, match="code_unchecked"):
        await sessions.login_with_code("ABCD-EFGH-JKLM-NPQR", address="::1")
    monkeypatch.setattr(store._follower, "settle", asked)
    with pytest.raises(ProblemError, match="login_failed"):
        await sessions.login_with_code("ABCD-EFGH-JKLM-NPQR", address="::1")


def app_of(store: AccessStore, sessions: Sessions) -> httpx.AsyncClient:
    app = FastAPI()
    problem_responses.install_handlers(app)
    app.state.access, app.state.sessions = store, sessions

    @app.api_route("/level", methods=["GET", "POST"])
    async def level(
        principal: Principal = Depends(require_permission(Permission.LEVEL_SET)),  # noqa: B008
    ) -> str:  # noqa: B008, RUF100
        return principal.id

    @app.post("/file", dependencies=[Depends(require_permission(Permission.LEVEL_SET))])
    async def file(request: Request) -> list[int]:
        return [len(await request.body()), sum([len(part) async for part in request.stream()])]

    @app.post("/fields", dependencies=[Depends(require_permission(Permission.LEVEL_SET))])
    async def fields(name: Annotated[str, Form()]) -> str:
        return name

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vigie")


async def open_for(store: AccessStore, sessions: Sessions, role: Role) -> Session:
    principal = create_principal(role)
    await store.put(principal)
    return await sessions.login_with_code(
        await store.issue_code(principal.id, expires_at=None), address="::1"
    )


@pytest.mark.parametrize(
    ("scheme", "prefix", "other"), [("https", "__Host-", ""), ("http", "", "__Host-")]
)
async def test_over_tls_only_cookies_of_this_very_host_count(
    store: AccessStore, sessions: Sessions, scheme: str, prefix: str, other: str
) -> None:
    """A neighbour host can set a cookie for the whole domain, but not one with this name."""
    await store.put(person := create_principal(Role.CELL))
    session = sessions.admit(person)
    is_tls = scheme == "https"
    set_ = [header.partition("=")[0] for header in session.set_cookie_headers(secure=is_tls)]
    assert set_ == [f"{prefix}vigie_session", f"{prefix}vigie_csrf", f"{prefix}vigie_device"]
    cleared = build_clearing_headers(secure=is_tls)
    assert {f"{prefix}vigie_session", f"{prefix}vigie_csrf"} <= {
        header.partition("=")[0] for header in cleared
    }
    assert all("Secure" in header for header in cleared if header.startswith("__Host-"))

    async def identified(given: str) -> Principal:
        cookie = f"{given}vigie_session={session.cookie}; {given}vigie_csrf={session.csrf}".encode()
        headers = [(b"cookie", cookie), (b"x-csrf-token", session.csrf.encode())]
        return await Authenticator(store, sessions).identify(
            {"type": "http", "method": "POST", "scheme": scheme, "headers": headers}
        )

    assert await identified(prefix) == session.principal
    with pytest.raises(ProblemError) as caught:
        await identified(other)
    assert caught.value.problem.code == "unauthenticated"


async def test_a_cookie_reads_but_changes_nothing_without_the_csrf_proof(
    store: AccessStore, sessions: Sessions
) -> None:
    session = await open_for(store, sessions, Role.COORDINATOR)
    client = app_of(store, sessions)
    headers = session.set_cookie_headers(secure=True)
    assert all("Secure" in h and "SameSite=Lax" in h for h in headers)
    assert all(f"Max-Age={SESSION_LIFETIME_MS // 1000};" in h for h in headers[:2])
    assert ["HttpOnly" in h for h in headers] == [True, False, True]
    cookies = {"vigie_session": session.cookie, CSRF_COOKIE: session.csrf}
    client.cookies.update(cookies)
    assert (await client.get("/level")).status_code == 200
    assert (await client.post("/level")).json()["code"] == "csrf"
    assert (await client.post("/level", headers={"X-CSRF-Token": "x" * 48})).json()[
        "code"
    ] == "csrf"
    assert (await client.post("/level", headers={"X-CSRF-Token": session.csrf})).status_code == 200
    assert (await client.post("/level", data={"csrf": session.csrf})).status_code == 200
    other = await open_for(store, sessions, Role.COORDINATOR)
    client.cookies.set(CSRF_COOKIE, other.csrf)
    assert (await client.post("/level", headers={"X-CSRF-Token": other.csrf})).json()[
        "code"
    ] == "csrf"


@pytest.mark.parametrize("multipart", [False, True])
async def test_a_form_that_proves_its_page_still_has_its_body(
    store: AccessStore, sessions: Sessions, multipart: bool
) -> None:
    """An import that a browser posted as a plain form was answered with 500."""
    session = await open_for(store, sessions, Role.COORDINATOR)
    client = app_of(store, sessions)
    client.cookies.update({"vigie_session": session.cookie, CSRF_COOKIE: session.csrf})
    file = {"files": {"file": b"person,name"}} if multipart else {}
    posted = await client.post("/file", data={"csrf": session.csrf}, **file)
    assert posted.status_code == 200
    size = int(posted.request.headers["content-length"])
    assert posted.json() == [size, size]
    posted = await client.post("/fields", data={"csrf": session.csrf, "name": "Nanterre"}, **file)
    assert posted.json() == "Nanterre"


async def test_strangers_and_roles_without_the_right_get_their_problem(
    store: AccessStore, sessions: Sessions
) -> None:
    client = app_of(store, sessions)
    stranger = await client.get("/level", headers={"Accept-Language": "en"})
    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, "Bearer")
    assert stranger.headers["content-type"] == "application/problem+json"
    _, token = await store.create_token(create_principal(Role.OBSERVER))
    refused = await client.get("/level", headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 403
    assert "Observateur" in refused.json()["detail"]
    store.caught_up.set()
    assert (
        await client.get("/level", headers={"Authorization": "Bearer wrong"})
    ).status_code == 401


@pytest.mark.parametrize(
    ("secret", "second"), [("A" * 17, "123456"), ("A" * 16, "\u00b2" * 6), ("A" * 16, "abcdef")]
)
async def test_a_secret_or_a_code_that_cannot_be_is_wrong_and_nothing_more(
    store: AccessStore, sessions: Sessions, secret: str, second: str
) -> None:
    await store.add_account(create_principal(Role.CELL), "cellule")
    account = store.account("cellule")
    assert account is not None
    with pytest.raises(ProblemError, match="login_failed"):
        await sessions.enrol_second_factor(account, secret, second, [])


def test_a_stranger_with_thousands_of_names_resets_no_other_count() -> None:
    """Beyond the bound all counts that did not wait at that moment began anew."""
    throttle = LoginThrottle()
    for _ in range(FREE_FAILURES - 1):
        throttle.count_failure("cell")
    for n in range(MAX_THROTTLED_KEYS + 1_000):
        throttle.count_failure(f"stranger-{n}")
    assert len(throttle._failures) <= MAX_THROTTLED_KEYS
    throttle.check("cell")
    throttle.count_failure("cell")
    with pytest.raises(ProblemError):
        throttle.check("cell")
