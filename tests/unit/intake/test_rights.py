"""Role × route on the front door, generated from its own document: each wrong role is refused, each right one comes in."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from services.intake.openapi import own_document
from services.runtime.deadletters import DeadLetter
from services.runtime.rights import Role
from tests.rights import FRONT, Open
from tests.unit.intake.conftest import Door

ROUTES = [f"{method.upper()} {path}" for path, operations in own_document()["paths"].items() for method in operations]
CONSOLE_DECIDES = frozenset(route for route in FRONT if "/api/v2/" in route and not isinstance(FRONT[route], Open)) - {
    "GET /api/v2/status",
    "GET /api/v2/receivers",
}
"""An Alertmanager's paths: the front asks the console with the caller's key, which has its own row there."""


@pytest.fixture
async def clients(door: Door) -> AsyncIterator[dict[Role | None, httpx.AsyncClient]]:
    made: dict[Role | None, httpx.AsyncClient] = {role: await door.as_(role) for role in Role}
    made[None] = door.client()
    door.intake.front._refused._letters = _no_letters  # type: ignore[method-assign]
    yield made
    for client in made.values():
        await client.aclose()


async def _no_letters(_reader: object) -> list[DeadLetter]:
    """Stands for reading the topic of dead letters."""
    return []


async def ask(client: httpx.AsyncClient, route: str) -> int:
    method, template = route.split(" ", 1)
    answer = await client.request(method, re.sub(r"\{[^}]*\}", "0", template), json=None if method == "GET" else {"id": "nobody"})
    assert answer.status_code < 500 or answer.status_code == 503, (route, answer.text)
    return answer.status_code


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert sorted(ROUTES) == sorted(FRONT)


def test_every_path_of_a_dialect_is_in_the_document(door: Door) -> None:
    documented = {path for path, operations in own_document()["paths"].items() if "post" in operations}
    served = [path for dialect in door.intake.front._machines.dialects for path in dialect.PATHS]
    assert [path for path in served if not any(known == path or known.startswith(f"{path}/") for known in documented)] == []


async def test_each_role_comes_in_where_its_row_says_and_nowhere_else(door: Door, clients: dict[Role | None, httpx.AsyncClient]) -> None:
    wrong = []
    for route, who in FRONT.items():
        for role, client in clients.items():
            status = await ask(client, route)
            if route in CONSOLE_DECIDES:
                right = status == 401 if role is None else status in (400, 503)  # no console stands behind this door
            elif who is Open.TO_ALL:
                right = status in (200, 503)
            elif isinstance(who, Open):
                right = 400 <= status < 500  # each dialect has its own number for it
            else:
                right = (status not in (401, 403)) == (role in who) and (role is not None or status == 401)
            if not right:
                wrong.append(f"{route} as {role.value if role else 'a stranger'}: {status}")
    assert not wrong, "\n".join(wrong)
    assert door.inputs.appended == []
