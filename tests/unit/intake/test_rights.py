"""Each role reaches exactly its routes of the front, as generated from its own document."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx2 as httpx
import pytest

from services.intake.openapi import build_own_document
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.kafka.dead_letters import DeadLetter
from tests.rights import FRONT, LIMITS, Limit, Open
from tests.unit.intake.conftest import Door

ROUTES = [
    f"{method.upper()} {path}"
    for path, operations in build_own_document()["paths"].items()
    for method in operations
]
CONSOLE_DECIDES = frozenset(
    route for route in FRONT if "/api/v2/" in route and not isinstance(FRONT[route], Open)
) - {"GET /api/v2/status", "GET /api/v2/receivers"}
"""Paths of an Alertmanager: the front asks the console with the key of the caller."""


@pytest.fixture
async def clients(door: Door) -> AsyncIterator[dict[Role | None, httpx.AsyncClient]]:
    made: dict[Role | None, httpx.AsyncClient] = {role: await door.as_(role) for role in Role}
    made[None] = door.client()
    door.intake.front._refused._letters = _no_letters  # type: ignore[method-assign]
    yield made
    for client in made.values():
        await client.aclose()


async def _no_letters(_reader: object) -> list[DeadLetter]:
    """Replace the reading of the topic of dead letters."""
    return []


async def ask(client: httpx.AsyncClient, route: str) -> int:
    method, template = route.split(" ", 1)
    answer = await client.request(
        method,
        re.sub(r"\{[^}]*\}", "0", template),
        json=None if method == "GET" else {"id": "nobody"},
    )
    assert answer.status_code < 500 or answer.status_code == 503, (route, answer.text)
    return answer.status_code


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    assert sorted(ROUTES) == sorted(FRONT)


def test_every_path_of_a_dialect_is_in_the_document(door: Door) -> None:
    documented = {
        path for path, operations in build_own_document()["paths"].items() if "post" in operations
    }
    served = [path for dialect in door.intake.front._machines.dialects for path in dialect.PATHS]
    assert [
        path
        for path in served
        if not any(
            document_path == path or document_path.startswith(f"{path}/")
            for document_path in documented
        )
    ] == []


async def test_each_role_reaches_exactly_its_routes(
    door: Door, clients: dict[Role | None, httpx.AsyncClient]
) -> None:
    wrong = []
    for route, who in FRONT.items():
        for role, client in clients.items():
            status = await ask(client, route)
            if route in CONSOLE_DECIDES:
                right = (
                    status == 401 if role is None else status in (400, 503)
                )  # no console stands behind this door
            elif who is Open.TO_ALL:
                right = status in (200, 503)
            elif isinstance(who, Open):
                right = 400 <= status < 500  # each dialect has its own number for it
            else:
                right = (status not in (401, 403)) == (role in who) and (
                    role is not None or status == 401
                )
            if not right:
                wrong.append(f"{route} as {role.value if role else 'a stranger'}: {status}")
    assert not wrong, "\n".join(wrong)
    assert door.inputs.appended == []


ELSEWHERE = {
    "site_id": "col-001",
    "type": "outage_power",
    "severity": 3,
    "occurred_at": "2027-02-11T09:40:00+01:00",
}
BODIES = {
    "POST /api/v1/reports": ELSEWHERE,
    "POST /api/v1/reports:batch": [ELSEWHERE],
    "POST /api/v1/reports:line": {"text": "col-001 ELEC"},
    "POST /api/v1/attachments": {},
}
APART = {"POST /api/v1/cap"}
"""Its messages have tests of their own: tests/unit/intake/machines/test_cap.py."""
LIMITED = [
    route
    for route in FRONT
    if LIMITS.get(route) in (Limit.TERRITORY, Limit.PLACE) and route not in CONSOLE_DECIDES | APART
]


@pytest.mark.parametrize(
    "scope",
    [Scope(sites=("pmi-01",)), Scope(sites=("pmi-01",), poles=("education",))],
    ids=["sites", "sites and pole"],
)
async def test_accounts_change_only_their_own_sites(
    door: Door, clients: dict[Role | None, httpx.AsyncClient], scope: Scope
) -> None:
    assert clients, "no letters are read"
    wrong = []
    for route in LIMITED:
        who = FRONT[route]
        assert not isinstance(who, Open)
        for role in sorted(who):
            async with await door.as_(role, scope=scope) as http:
                method, path = route.split(" ", 1)
                answer = await http.request(
                    method, re.sub(r"\{[^}]*\}", "0", path), json=BODIES.get(route, {})
                )
            if "out_of_scope" not in answer.text or answer.status_code not in (403, 422):
                wrong.append(f"{route} as {role}: {answer.status_code} {answer.text[:100]}")
    assert wrong == []
    assert door.inputs.appended == []


async def test_an_account_of_an_exercise_sees_its_sources_alone(door: Door) -> None:
    """The mapping and the last refusal of every live source stood there."""
    async with await door.as_(Role.ADMIN) as admin:
        for name, realms in (("live", []), ("both", ["92", "92~ex-1"]), ("exercise", ["92~ex-1"])):
            made = await admin.post(
                "/api/v1/sources",
                json={"name": name, "dialect": "generic", "scope": {"realms": realms}},
            )
            assert made.status_code == 201, made.text
    async with (
        await door.as_(Role.CELL, scope=Scope(realms=("92~ex-1",))) as pupil,
        await door.as_(Role.CELL) as cell,
    ):
        assert [s["name"] for s in (await pupil.get("/api/v1/sources")).json()["items"]] == [
            "exercise"
        ]
        assert [s["name"] for s in (await cell.get("/api/v1/sources")).json()["items"]] == [
            "both",
            "exercise",
            "live",
        ]


async def test_an_administrator_of_an_exercise_administers_no_account(door: Door) -> None:
    """Such an account made itself another one without its limits."""
    async with await door.as_(Role.ADMIN, scope=Scope(realms=("92~ex-1",))) as limited:
        made = await limited.post("/api/v1/tokens", json={"role": "admin"})
        assert (made.status_code, made.json()["code"]) == (403, "out_of_scope")
