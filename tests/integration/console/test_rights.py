"""Role × route on the console: each wrong role is refused and sees nothing, each right one enters.

Generated from the application.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import jinja2
import pytest
import pytest_asyncio

from services.runtime.identity.accounts import create_principal
from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import COOKIE, CSRF_COOKIE, CSRF_HEADER
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.integration.console.conftest import appending, projecting, until
from tests.integration.console.crisis import INCIDENT, LADDER, NOTIFICATION
from tests.integration.console.serving import Served, served
from tests.integration.console.test_projection import a_realm, play
from tests.rights import CONSOLE, Open, Who, routes_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMED = {
    "/incidents/{id}": INCIDENT,
    "/sites/{id}": "cen-1",
    "/activities/{id}": "CPL-01",
    "/plans/{id}": "PT-ELEC",
    "/reports/{id}": "r-1",
    "/signalements/{id}": "r-1",
    "/escalations/{id}": LADDER,
    "/notifications/{id}": NOTIFICATION,
    "/reference/{section}": "sites",
}
PICTURE_WORDS = ("Nanterre", "PT-ELEC", "astreinte_direction", "pmi-04", "CPL-01", "p-1")
"""Words of the crisis that is played: none of them is in a refusal."""
READERS: Final = {Role.ADMIN, Role.COORDINATOR, Role.OBSERVER, Role.SITE_MANAGER, None}
"""Roles with all rights, those of the cell, none and some sites: pages show each of them others.

For the other roles a page that was written once stays empty: its route, its rights and its data
are asked all the same. Refusals are always written.
"""
REFUSALS: Final = {"message.html", "login.html"}
BODY = b'{"id": "nobody"}'
"""Opens no realm and names nothing that exists."""


class Doors:
    """The console with one account per role."""

    def __init__(self, console: Served, realm: str) -> None:
        self.console, self.realm = console, realm
        self._headers: dict[Role | None, dict[str, str]] = {None: {}}

    async def open_for(self, role: Role) -> None:
        """Open a session as a browser; pages take only sessions, the API takes them too."""
        principal = create_principal(role)
        await self.console.access.put(principal)
        code = await self.console.access.issue_code(principal.id, expires_at=None)
        session = await self.console.app.state.sessions.login_with_code(code, address="::1")
        self._headers[role] = {
            "Cookie": f"{COOKIE}={session.cookie}; {CSRF_COOKIE}={session.csrf}",
            CSRF_HEADER: session.csrf,
        }

    async def ask(self, role: Role | None, route: str) -> tuple[int, dict[str, str], str]:
        """Return status, headers, and text without the address; of a stream only its start."""
        method, template = route.split(" ", 1)
        path = template
        for ending, id in NAMED.items():
            if ending in path:
                path = path.replace(ending, ending.split("{", 1)[0] + id)
        path = re.sub(r"\{[^}]*\}", lambda found: self.realm if "name" in found[0] else "0", path)
        begun = asyncio.Event()
        sent_messages: list[Any] = []
        request_messages = [
            {"type": "http.request", "body": b"" if method == "GET" else BODY, "more_body": False}
        ]

        async def receive() -> Any:
            if request_messages:
                return request_messages.pop()
            await begun.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent_messages.append(message)
            if route.endswith("/stream") or not message.get("more_body", True):
                begun.set()

        headers = {
            "content-type": "application/json",
            "prefer": "wait=0",
            "accept-language": "fr",
            **self._headers[role],
        }
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": f"realm={self.realm}".encode(),
            "root_path": "",
            "server": ("console", 80),
            "client": ("::1", 1),
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
        async with asyncio.timeout(60):
            await self.console.app(scope, receive, send)
        text = b"".join(m.get("body", b"") for m in sent_messages[1:]).decode("utf-8", "replace")
        return (
            sent_messages[0]["status"],
            {k.decode(): v.decode() for k, v in sent_messages[0]["headers"]},
            text.replace(path, ""),
        )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def doors(console_settings: Settings, territory: Territory) -> AsyncIterator[Doors]:
    """Return a crisis in a realm of its own."""
    realm = a_realm()
    async with appending(console_settings.kafka) as writer:
        await play(writer, realm, territory)
    async with projecting(console_settings), served(console_settings) as console:
        made = Doors(console, realm)
        for role in Role:
            await made.open_for(role)

        async def there() -> bool:
            status, _, text = await made.ask(
                Role.ADMIN, f"GET /api/v1/notifications/{NOTIFICATION}"
            )
            return status == 200 and "p-1" in text

        await until(there)
        yield made


async def test_every_route_has_its_row_and_every_row_its_route(doors: Doors) -> None:
    assert sorted(routes_of(doors.console.app.routes)) == sorted(CONSOLE)


_WRITTEN: Final[set[str | None]] = set()


def write_once(role: Role | None, patch: pytest.MonkeyPatch) -> None:
    """Leave pages empty that were written before, unless READERS have this role."""
    render = jinja2.Template.render

    def write(template: jinja2.Template, *scopes: Any, **names: Any) -> str:
        if role not in READERS and template.name in _WRITTEN - REFUSALS:
            return ""
        _WRITTEN.add(template.name)
        return render(template, *scopes, **names)

    patch.setattr(jinja2.Template, "render", write)


@pytest.mark.parametrize("role", [*Role, None], ids=lambda r: r.value if r else "stranger")
async def test_each_role_reaches_exactly_its_routes_and_sees_nothing_else(
    doors: Doors, role: Role | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision beyond the role never reaches a decider."""
    write_once(role, monkeypatch)
    decisions, calls = doors.console.app.state.decisions, list[str]()
    monkeypatch.setattr(decisions, "_producer", _Recording(decisions._producer, calls))
    wrong: list[str] = []
    for route, who in CONSOLE.items():
        if route == "POST /deconnexion":  # it would end the session of all other rows
            continue
        calls.clear()
        status, headers, text = await doors.ask(role, route)
        if (
            not _as_its_row_says(role, route, who, status, headers.get("location", ""))
            or status >= 500
        ):
            wrong.append(f"{route}: {status} {text[:160]}")
        if isinstance(who, Open) or role in who:
            continue
        if any(word in text for word in PICTURE_WORDS):
            wrong.append(f"{route} tells {text[:400]}")
        if calls:
            wrong.append(f"{route} leaves a command: {calls}")
    assert not wrong, "\n".join(wrong)


def _as_its_row_says(role: Role | None, route: str, who: Who, status: int, led_to: str) -> bool:
    page = route.startswith("GET ") and " /api/" not in route
    if who is Open.LINK:
        return status not in (200, 204, 303)
    if who is Open.TOKEN:
        return status == 401
    if isinstance(who, Open):
        return status not in (401, 403)
    if role is Role.KIOSK and page and route != "GET /mur":
        return (status == 303 and led_to.startswith("/mur?")) or (status == 403 and role not in who)
    if role is None:
        return led_to.startswith("/connexion?next=") if page else status == 401
    return (status == 403) != (role in who) and status not in (303, 401)


class _Recording:
    """Stands before the producer of commands and remembers every call."""

    def __init__(self, producer: object, calls: list[str]) -> None:
        self._producer, self._calls = producer, calls

    def __getattr__(self, name: str) -> object:
        self._calls.append(name)
        return getattr(self._producer, name)
