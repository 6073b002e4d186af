"""A decision is a command with author and role, answered by the decider, once per key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from schemas.base import Command, Fact
from schemas.commands import (
    AcknowledgeIncident,
    AddNote,
    AnswerNotification,
    ResolveIncident,
    SetLevel,
)
from schemas.reference import PublishReference
from schemas.runtime import CommandApplied, CommandRefused, OpenRealm, PaceChanged, SetPace
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.identity.signed_links import AnswerLink, AnswerLinks
from services.runtime.process.settings import Settings
from services.territory import Territory
from tests.integration.console.conftest import appending, projecting
from tests.integration.console.serving import Served, answering, applied, served
from tests.integration.console.test_projection import a_realm
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


def reply(command_id: str, command: Command) -> Fact:
    """Answer as a decider with one incident, at version 3."""
    name = type(command).__name__
    if isinstance(command, ResolveIncident) and command.expected not in (None, 3):
        return CommandRefused(
            command_id=command_id, command=name, status=412, code="version_conflict"
        )
    if isinstance(command, ResolveIncident) and not command.force:
        return CommandRefused(command_id=command_id, command=name, status=409, code="causes_open")
    if isinstance(command, AddNote):
        return CommandApplied(command_id=command_id, command=name, result={"line": "line-1"})
    return applied(command_id, command)


async def post(
    console: Served, headers: dict[str, str], path: str, body: object = None, **more: str
) -> tuple[int, dict[str, object], dict[str, str]]:
    answer = await console.http.post(f"/api/v1/{path}", json=body, headers={**headers, **more})
    return answer.status_code, answer.json(), dict(answer.headers)


async def test_decisions_are_answered_by_the_decider(console_settings: Settings) -> None:
    realm = a_realm()
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
        answering(console_settings, writer, reply) as command_log,
    ):
        cell = await console.as_role(Role.CELL)
        coordinator = await console.as_role(Role.COORDINATOR, duty="dgs_directeur_de_crise")
        observer = await console.as_role(Role.OBSERVER)
        where = f"?realm={realm}"

        status, body, _ = await post(console, cell, f"incidents/i-1/acknowledge{where}")
        assert (status, body["state"], body["result"]) == (200, "applied", {"done": True})
        _, command = command_log[-1]
        assert isinstance(command, AcknowledgeIncident)
        assert command.role == "cell"

        status, body, _ = await post(console, observer, f"incidents/i-1/acknowledge{where}")
        assert (status, body["code"]) == (403, "forbidden")

        status, body, _ = await post(
            console,
            coordinator,
            "level",
            {"realm": realm, "level": "N3", "reason": "Ordre du préfet"},
        )
        assert status == 200
        _, command = command_log[-1]
        assert isinstance(command, SetLevel)
        assert (command.level, command.role) == (3, "dgs_directeur_de_crise")
        assert command.reason is not None
        assert "préfet" not in command.model_dump_json()
        item = await console.app.state.decisions._texts.get(
            command.reason.removeprefix("text:"), wait_s=60
        )
        assert item.fields == {"text": "Ordre du préfet"}

        status, body, _ = await post(console, cell, f"incidents/i-1/resolve{where}", None)
        assert (status, body["code"]) == (409, "causes_open")
        assert "forcez" in str(body["detail"])
        status, body, _ = await post(
            console, cell, f"incidents/i-1/resolve{where}", {"force": True}, **{"If-Match": '"2"'}
        )
        assert (status, body["code"]) == (412, "version_conflict")
        status, body, _ = await post(
            console, cell, f"incidents/i-1/resolve{where}", {"force": True}, **{"If-Match": '"3"'}
        )
        assert status == 200

        before = len(command_log)
        key = {"Idempotency-Key": "one-note"}
        first = await post(
            console, cell, f"log{where}", {"text": "Appel du préfet", "incident": "i-1"}, **key
        )
        again = await post(
            console, cell, f"log{where}", {"text": "Appel du préfet", "incident": "i-1"}, **key
        )
        other = await post(console, cell, f"log{where}", {"text": "Autre chose"}, **key)
        assert (first[0], again[0], other[0]) == (200, 200, 422)
        assert first[1] == again[1]
        assert again[2]["idempotency-replayed"] == "true"
        assert other[1]["code"] == "key_reused"
        assert len(command_log) == before + 1


async def test_without_an_answer_in_time_the_decision_is_on_its_way(
    console_settings: Settings,
) -> None:
    realm = a_realm()
    async with projecting(console_settings), served(console_settings) as console:
        cell = await console.as_role(Role.CELL)
        status, body, headers = await post(
            console, cell, f"incidents/i-1/escalate?realm={realm}", None, Prefer="wait=0"
        )
        assert (status, body["state"]) == (202, "pending")
        assert headers["location"] == f"/api/v1/commands/{body['command_id']}?realm={realm}"
        held_to_it = await console.as_role(Role.COORDINATOR, scope=Scope(realms=(realm,)))
        await eventually(
            console.is_ready
        )  # what a scope holds is in the picture, which is being made
        assert (await console.http.get(headers["location"], headers=held_to_it)).status_code == 200
        status_answer = await console.http.get(headers["location"], headers=cell)
        assert (status_answer.status_code, status_answer.json()["state"]) == (200, "pending")
        waiting = asyncio.create_task(
            console.http.get(headers["location"], headers={**cell, "Prefer": "wait=20"})
        )
        async with appending(console_settings.kafka) as writer:
            done = CommandApplied(
                command_id=str(body["command_id"]), command="EscalateIncident", result={"wave": 2}
            )
            await writer.append("alerts", realm, done, at=round(time.time() * 1000))
        assert (await waiting).json()["result"] == {"wave": 2}


async def test_a_realm_opens_with_its_reference_data(
    console_settings: Settings, territory: Territory
) -> None:
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
        answering(console_settings, writer) as command_log,
    ):
        admin = await console.as_role(Role.ADMIN)
        realm = a_realm().replace("test", "ex")
        body = {
            "id": realm,
            "kind": "exercise",
            "title_code": "S04",
            "started_at": "2027-02-11T08:40:00Z",
            "speed": 20.0,
            "responders": [],
        }
        status, answer, _ = await post(console, admin, "realms", body)
        assert (status, answer["realm"]) == (200, realm)
        kinds = [type(command) for _, command in command_log]
        assert kinds == [OpenRealm, *[PublishReference] * len(territory.sections)]

        async def shown() -> bool:
            """Wait until the read model is live: a decision does not wait for it."""
            realm_answer = await console.http.get(f"/api/v1/realms/{realm}", headers=admin)
            return realm_answer.status_code == 200 and realm_answer.json()["simulated"] is True

        await eventually(shown)
        assert (await post(console, admin, f"realms/{realm}/pause", **{"Idempotency-Key": "stop"}))[
            0
        ] == 200
        assert isinstance(command_log[-1][1], SetPace)
        await writer.append(
            "alerts", realm, PaceChanged(paused=False, speed=5.0), at=round(time.time() * 1000)
        )
        await eventually(speeds(console, admin, realm, 5.0))
        again = await post(console, admin, f"realms/{realm}/pause", **{"Idempotency-Key": "stop"})
        assert (again[0], again[2]["idempotency-replayed"]) == (200, "true"), (
            "whatever its speed is by now"
        )
        for wrong in (
            {"id": "92"},
            {"id": "75~ex-1"},
            {"id": "92~what-1", "kind": "exercise"},
            {"id": "no realm"},
        ):
            assert (await post(console, admin, "realms", wrong))[0] == 422


def speeds(
    console: Served, headers: dict[str, str], realm: str, speed: float
) -> Callable[[], Awaitable[bool]]:
    async def shown() -> bool:
        return bool(
            (await console.http.get(f"/api/v1/realms/{realm}", headers=headers)).json().get("speed")
            == speed
        )

    return shown


async def test_one_key_opens_one_realm(console_settings: Settings) -> None:
    """Without a name each try drew another; with one its start was another moment.

    The result was a second realm, or 422.
    """
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
        answering(console_settings, writer) as command_log,
    ):
        admin = await console.as_role(Role.ADMIN)
        for body in ({"kind": "test"}, {"id": a_realm()}):
            key = {"Idempotency-Key": f"open-{len(command_log)}", "Prefer": "wait=20"}
            first, again = [await post(console, admin, "realms", body, **key) for _ in range(2)]
            assert (first[0], again[0], again[2]["idempotency-replayed"]) == (200, 200, "true")
            assert first[1] == again[1]
        assert sum(isinstance(command, OpenRealm) for _, command in command_log) == 2


async def test_a_link_answers_once_without_a_login(console_settings: Settings) -> None:
    realm, notification = a_realm(), "33333333-0000-5000-8000-00000000000a"
    token = AnswerLinks.open(console_settings.data.secrets).token(
        AnswerLink(realm, notification, "p-1", 4_000_000_000_000)
    )
    async with (
        appending(console_settings.kafka) as writer,
        projecting(console_settings),
        served(console_settings) as console,
        answering(console_settings, writer) as command_log,
    ):
        for method in (
            "GET",
            "HEAD",
        ):  # a mail scanner opens whatever it finds, and answers nothing
            await console.http.request(method, f"/a/{token}", params={"answer": "decline"})
        for _ in range(2):
            await console.http.post(f"/a/{token}", data={"answer": "ack"})
        commands = [command for _, command in command_log]
        assert len(commands) == 1, "once, by the button"
        assert isinstance(commands[0], AnswerNotification)
        assert (commands[0].notification, commands[0].person, commands[0].answer) == (
            notification,
            "p-1",
            "ack",
        )
        assert (
            await console.http.post(f"/a/{token[:-3]}abc", data={"answer": "ack"})
        ).status_code == 404
