"""An open stream ends with its session, token, account or demonstration."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from fastapi import FastAPI

from services.console.app import add_routes
from services.console.live import api as live_api
from services.console.live.stream import LiveStream
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.http_access import create_guest
from services.runtime.identity.permissions import Role
from services.runtime.identity.sessions import COOKIE, Session, Sessions
from tests.directories import make_directory
from tests.keyed import create_memory_access

EXERCISE = "92~ex-demo-1"


class OneFrame:
    """A hub that keeps the question which the stream asks before every frame."""

    def __init__(self) -> None:
        self.still_allowed: Callable[[], bool] = lambda: False

    async def stream(
        self, _realm: str, *, still_allowed: Callable[[], bool], **_: Any
    ) -> LiveStream:
        self.still_allowed = still_allowed

        async def frames() -> AsyncGenerator[bytes]:
            yield b"event: hello\n\n"

        return LiveStream(frames(), lambda: None)


class Doors:
    def __init__(self, folder: Path) -> None:
        self.access: AccessStore = create_memory_access(folder)
        self.sessions, self.hub = Sessions(self.access), OneFrame()
        self.app = app = FastAPI()
        add_routes(app, live_api.router)
        app.state.access, app.state.sessions, app.state.hub = self.access, self.sessions, self.hub
        app.state.model, app.state.live_realm, app.state.guest = None, "92", create_guest(EXERCISE)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://vigie")

    async def somebody(self) -> Session:
        principal = create_principal(Role.CELL)
        await self.access.add_account(principal, "cellule")
        return self.sessions.admit(principal)

    async def open(self, realm: str = "92", **headers: str) -> Callable[[], bool]:
        """Return the validity, checked again while the stream continues."""
        answer = await self.http.get(
            "/api/v1/stream",
            params={"realm": realm},
            headers={"Accept-Encoding": "identity", **headers},
        )
        assert answer.status_code == 200
        assert self.hub.still_allowed()
        return self.hub.still_allowed


@pytest.fixture
def doors(tmp_path: Path) -> Doors:
    return Doors(tmp_path)


async def test_a_stream_ends_with_its_session_and_no_other(doors: Doors) -> None:
    mine = await doors.somebody()
    other = doors.sessions.admit(mine.principal)
    here, there = [await doors.open(Cookie=f"{COOKIE}={s.cookie}") for s in (mine, other)]
    doors.sessions.end(mine)
    assert (here(), there()) == (False, True)
    await doors.access.end_sessions(mine.principal.id)
    assert not there()


async def test_a_stream_ends_when_its_session_is_over(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = await doors.somebody()
    still = await doors.open(Cookie=f"{COOKIE}={mine.cookie}")
    monkeypatch.setattr(
        "services.runtime.identity.sessions.time.time_ns", lambda: mine.expires_at * 1_000_000
    )
    assert not still()


async def test_a_stream_ends_with_its_token_or_account(doors: Doors) -> None:
    principal = create_principal(Role.OBSERVER)
    (first, one), (_, two) = [await doors.access.create_token(principal) for _ in range(2)]
    revoked, shut = [await doors.open(Authorization=f"Bearer {token}") for token in (one, two)]
    await doors.access.revoke_token(first)
    assert (revoked(), shut()) == (False, True)
    await doors.access.set_enabled(principal.id, enabled=False)
    assert not shut()


async def test_the_demonstration_is_followed_live_without_an_account(doors: Doors) -> None:
    assert (await doors.open(EXERCISE))()


async def test_a_person_of_one_realm_follows_another_live(doors: Doors) -> None:
    """There the account has no person (D140), which is no change of the account."""
    doors.app.state.directory = make_directory(r92=[], r93=[])
    principal = create_principal(Role.CELL).model_copy(update={"person": "dgs"})
    _, token = await doors.access.create_token(principal)
    still = await doors.open("93", Authorization=f"Bearer {token}")
    assert still()
    await doors.access.set_enabled(principal.id, enabled=False)
    assert not still()
