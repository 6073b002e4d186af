"""Attacks on the pages fail: forged forms, planted sessions, used-up secrets, climbing paths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import SimpleCookie

import httpx2 as httpx
import pytest
import pytest_asyncio

from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import COOKIE, CSRF_COOKIE, CSRF_HEADER
from services.runtime.process.settings import Settings
from tests.integration.console.serving import Served, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def console(console_settings: Settings) -> AsyncIterator[Served]:
    async with served(console_settings) as made:
        yield made


async def code_of(console: Served, role: Role = Role.CELL) -> str:
    """Return a one-time code of a new account."""
    principal = create_principal(role)
    await console.access.put(principal)
    return await console.access.issue_code(principal.id, expires_at=None)


async def log_in(console: Served, code: str, **headers: str) -> httpx.Response:
    return await console.http.post("/connexion", data={"code": code}, headers=headers)


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """Return the cookies that a browser would keep; the test client keeps none."""
    jar: SimpleCookie = SimpleCookie()
    for header in answer.headers.get_list("set-cookie"):
        jar.load(header)
    return {name: morsel.value for name, morsel in jar.items()}


def sent(cookies: dict[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{k}={v}" for k, v in cookies.items())}


@pytest.fixture(autouse=True)
def _no_jar(console: Served) -> None:
    console.http.cookies.clear()


async def test_another_site_can_neither_log_out_nor_log_in(console: Served) -> None:
    mine = cookies_of(await log_in(console, await code_of(console)))
    for proof in ({}, {"csrf": "x" * 48}, {"csrf": ""}):
        assert (
            await console.http.post("/deconnexion", data=proof, headers=sent(mine))
        ).status_code == 403
        assert (await console.http.get("/aide", headers=sent(mine))).status_code == 200
        assert console.app.state.sessions.read(mine[COOKIE]) is not None
    for site in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ):  # a browser sends no cookie of ours with their form, and takes what comes back
        console.http.cookies.clear()
        answer = await console.http.post("/deconnexion", headers=site)
        assert (answer.status_code, cookies_of(answer)) == (403 if site else 303, {})
    assert (
        await console.http.post(
            "/deconnexion", data={"csrf": mine[CSRF_COOKIE]}, headers=sent(mine)
        )
    ).status_code == 303
    assert console.app.state.sessions.read(mine[COOKIE]) is None

    code = await code_of(console)
    for foreign in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
    ):  # over plain HTTP browsers send the origin alone
        assert (await log_in(console, code, **foreign)).status_code == 403
    assert (await log_in(console, code, **{"Sec-Fetch-Site": "same-origin"})).status_code == 303, (
        "the code was not used up by the attempt"
    )


async def test_a_session_that_was_planted_before_the_login_is_worth_nothing_after_it(
    console: Served,
) -> None:
    planted = cookies_of(await log_in(console, await code_of(console, Role.OBSERVER)))
    console.http.cookies.clear()
    answer = await console.http.post(
        "/connexion", data={"code": await code_of(console)}, headers=sent(planted)
    )
    own = cookies_of(answer)
    assert own[COOKIE] != planted[COOKIE]
    assert own[CSRF_COOKIE] != planted[CSRF_COOKIE]
    read = console.app.state.sessions.read
    assert (read(planted[COOKIE]).principal.role, read(own[COOKIE]).principal.role) == (
        Role.OBSERVER,
        Role.CELL,
    )
    mixed = sent({COOKIE: own[COOKIE], CSRF_COOKIE: planted[CSRF_COOKIE]})
    assert (
        await console.http.post("/deconnexion", data={"csrf": planted[CSRF_COOKIE]}, headers=mixed)
    ).status_code == 403
    assert "HttpOnly" in next(
        h for h in answer.headers.get_list("set-cookie") if h.startswith(COOKIE)
    )
    assert all("SameSite=Lax" in h for h in answer.headers.get_list("set-cookie"))


async def test_used_or_ended_credentials_open_nothing(console: Served) -> None:
    code = await code_of(console)
    mine = cookies_of(await log_in(console, code))
    again = await log_in(console, code)
    assert COOKIE not in cookies_of(again)
    assert again.status_code != 303
    await console.http.post("/deconnexion", data={"csrf": mine[CSRF_COOKIE]}, headers=sent(mine))
    page = await console.http.get("/", headers=sent(mine))
    assert (page.status_code, page.headers["location"].startswith("/connexion")) == (303, True)
    assert (await console.http.get("/api/v1/overview", headers=sent(mine))).status_code == 401


@pytest.mark.parametrize(
    "target",
    [
        "//example.org",
        "https://example.org",
        "/\\example.org",
        "\\\\example.org",
        "/\texample",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie:a=b\r\nX:1",
    ],
)
async def test_a_login_only_redirects_to_pages_of_this_site(console: Served, target: str) -> None:
    answer = await console.http.post(
        "/connexion", data={"code": await code_of(console), "next": target}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    login_page = await console.http.get("/connexion", params={"next": target})
    assert 'name="next" value="/"' in login_page.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/0/../../app.py",
        "/static/0/%2e%2e/%2e%2e/app.py",
        "/static/0/..%2f..%2fapp.py",
        "/static/0//etc/passwd",
        "/static/0/css/../../../app.py",
        "/static/0/css/..%5c..%5capp.py",
        "/static/0/js/%00",
        "/static/0/css",
        "/sitrep/..%2f..%2fetc%2fpasswd",
        "/a/..%2f..%2fetc%2fpasswd",
        "/calendriers/..%2f..%2fetc.ics",
    ],
)
async def test_no_path_climbs_out_of_its_folder(console: Served, path: str) -> None:
    request = console.http.build_request("GET", "http://console/")
    request.url = httpx.URL("http://console", raw_path=path.encode())
    answer = await console.http.send(request)
    assert answer.status_code in (303, 403, 404), answer.text[:200]
    assert "root:" not in answer.text
    assert "FastAPI" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/compte/cles/options", "/compte/cles", "/compte/cles/k/retirer", "/compte/sessions/fermer"],
)
async def test_a_token_gets_no_passkey_and_no_session_beside_the_session_of_another(
    console: Served, path: str
) -> None:
    """A token ends and is revoked, but a planted passkey or session would stay."""
    mine = cookies_of(await log_in(console, await code_of(console, Role.OBSERVER)))
    token = await console.as_role(Role.ADMIN)
    answer = await console.http.post(
        path, json={"credential": {}}, headers=sent(mine) | token | {CSRF_HEADER: mine[CSRF_COOKIE]}
    )
    assert answer.status_code == 401
    assert COOKIE not in cookies_of(answer)
    own = await console.http.post(
        path, json={"credential": {}}, headers=sent(mine) | {CSRF_HEADER: mine[CSRF_COOKIE]}
    )
    assert own.status_code not in (401, 403)
    assert (
        await console.http.post(path, json={"credential": {}}, headers=sent(mine))
    ).status_code == 403
