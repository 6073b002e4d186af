"""One key is one decision; the request is known as long as its answer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Self

import orjson
import pytest
from fastapi import Request, Response

from schemas.base import Command
from schemas.callouts import DraftCallOut, StartCallOut
from schemas.people.directory import Contact, ContactPoint
from schemas.reassignment import OrderRow, ReassignmentRow
from schemas.runtime import SetPace
from schemas.words import Channel
from services.console.http import commands_api
from services.console.http.context import DecisionContext, require_decision
from services.console.http.decisions import (
    CommandAnswers,
    CommandDispatcher,
    CommandOutcome,
    IdempotencyKey,
)
from services.console.http.problems import RealmUnknown
from services.console.messages import callouts_api as callouts
from services.console.messages import headcounts_api
from services.console.read_model import store
from services.console.reassignment.announcement_api import AnnounceRequest, announce_reassignments
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal

REALM = "92~ex-1"
WHO = Principal(id="a", role=Role.COORDINATOR)


class Redis:
    """Store of answers and sent messages, until they expire."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.expires: dict[str, int] = {}
        self.runs_s = store.SIMULATED_COMMAND_TTL_S

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def set(self, key: str, value: str, *, ex: int) -> None:
        self.kept[key], self.expires[key] = value.encode(), ex

    async def exists(self, key: str) -> int:
        return int(key in self.kept)

    async def info(self, _section: str) -> dict[str, int]:
        return {"uptime_in_seconds": self.runs_s}


class Texts:
    async def put(self, _id: str, _item: object) -> None:
        """Keep the text elsewhere."""


class Deciders:
    """Answer each command once, unless they stand still."""

    def __init__(self) -> None:
        self.redis = Redis()
        self.sent: dict[str, Command] = {}
        self.stand_still = False
        self.decisions = CommandDispatcher(self, Texts(), CommandAnswers(self.redis), b"k" * 32)  # type: ignore[arg-type]

    async def send(
        self, _topic: str, realm: str, message: Command, *, id: str, **_more: object
    ) -> tuple[int, int]:
        if id not in self.sent and not self.stand_still:
            answer = {
                "id": id,
                "realm": realm,
                "command": type(message).__name__,
                "state": "applied",
                "at": 0,
                "values": {"n": len(self.sent)},
            }
            self.redis.kept[store.build_command_key(id)] = orjson.dumps(answer)
        self.sent.setdefault(id, message)
        return 0, 0

    async def decide(self, key: IdempotencyKey | None, speed: float) -> CommandOutcome:
        def make(by: str, role: str, reason: str | None) -> Command:
            return SetPace(author=by, role=role, reason=reason, paused=True, speed=speed)

        return await self.decisions.decide("alerts", REALM, WHO, make, key=key, wait_s=0)

    def author(self, key: IdempotencyKey | None, **state: object) -> DecisionContext:
        request: Any = SimpleNamespace(
            app=SimpleNamespace(state=SimpleNamespace(decisions=self.decisions, **state)),
            state=SimpleNamespace(),
            headers={},
            url=SimpleNamespace(path="/"),
        )
        return DecisionContext(WHO, REALM, "fr", key, None, 0, request, WHO)


class OneRealm:
    """Read model with one realm in a given state; `None` = unknown realm."""

    def __init__(self, state: str | None = "open") -> None:
        self.state = state

    def of(self, _realm: str, _lang: str) -> Self:
        return self

    async def realm(self) -> Any:
        if self.state is None:
            raise RealmUnknown
        return SimpleNamespace(state=self.state)


async def test_the_same_request_is_the_same_decision_with_any_command() -> None:
    deciders = Deciders()
    first, again = (
        await deciders.decide(IdempotencyKey("a", "pause"), 1.0),
        await deciders.decide(IdempotencyKey("a", "pause"), 5.0),
    )
    assert (again.id, again.answer, again.is_replay) == (first.id, first.answer, True)
    assert len(deciders.sent) == 1


@pytest.mark.parametrize("stand_still", [True, False])
async def test_another_request_under_a_key_is_refused_before_and_after_its_decision(
    stand_still: bool,
) -> None:
    deciders = Deciders()
    deciders.stand_still = stand_still
    await deciders.decide(IdempotencyKey("a", "pause"), 1.0)
    with pytest.raises(ProblemError, match="key_reused"):
        await deciders.decide(IdempotencyKey("a", "resume"), 1.0)


async def asked(
    body: bytes, path: str = "/api/v1/callouts", query: str = "", **headers: str
) -> str:
    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    heads = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in ({"idempotency_key": "a"} | headers).items()
    ]
    app = SimpleNamespace(state=SimpleNamespace(live_realm="92", model=None))
    request = Request(
        {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": heads,
            "app": app,
        },
        receive,
    )
    author = await require_decision(Permission.PICTURE_READ)(request, principal=WHO)  # type: ignore[call-arg]
    assert author.key is not None
    return author.key.request_digest


async def test_a_request_is_its_address_version_and_body() -> None:
    same = {await asked(b'{"a": 1, "b": 2}'), await asked(b'{"b":2,"a":1}')}
    others = {
        await asked(b'{"a": 1}'),
        await asked(b'{"a": 1, "b": 2}', path="/api/v1/headcounts"),
        await asked(b'{"a": 1, "b": 2}', if_match='"3"'),
        await asked(b'{"a": 1, "b": 2}', query="dry_run=true"),
        await asked(b""),
        await asked(b"[" * 500 + b"]" * 500),
        await asked(b"BEGIN:VCALENDAR"),
    }
    assert len(same) == 1
    assert len(others) == 7
    assert not same & others


class Directory:
    def of(self, realm: str) -> Directory:
        assert realm == REALM
        return self

    async def get(self, person: str) -> Contact:
        return Contact(
            person=person,
            site="cen-1",
            points=(ContactPoint(channel=Channel.SMS, address="+33600000000"),),
        )

    def ids(self) -> list[str]:
        return ["p-1"]


def replayed(answer: Response) -> tuple[int, str | None, Any]:
    return (
        answer.status_code,
        answer.headers.get("Idempotency-Replayed"),
        orjson.loads(answer.body)["result"],
    )


async def test_a_call_out_is_sent_once_per_key_and_another_text_is_refused() -> None:
    deciders = Deciders()

    async def call(asked: str, text: str) -> Response:
        author = deciders.author(IdempotencyKey("a", asked), directory=Directory())
        return await callouts.draft_callout(
            author, callouts.CallOutRequest(text=text, sites=["cen-1"])
        )

    assert replayed(await call("one", "Restez chez vous.")) == (200, None, {"n": 0})
    assert replayed(await call("one", "Restez chez vous.")) == (200, "true", {"n": 0})
    with pytest.raises(ProblemError, match="key_reused"):
        await call("two", "Venez.")

    async def count(asked: str, sites: list[str]) -> Response:
        return await headcounts_api.start_headcount(
            deciders.author(IdempotencyKey("b", asked), directory=Directory()),
            headcounts_api.HeadcountRequest(sites=sites),
        )

    assert replayed(await count("one", ["cen-1"])) == (200, None, {"n": 2})
    assert replayed(await count("one", ["cen-1"])) == (200, "true", {"n": 2})
    with pytest.raises(ProblemError, match="key_reused"):
        await count("two", ["cen-1", "cen-2"])


class Reassigned:
    """One proposal with an order to two sites, and its drafted call-outs."""

    def __init__(self, deciders: Deciders) -> None:
        self._deciders = deciders

    def of(self, _realm: str, _lang: str) -> Self:
        return self

    async def proposal(self, id: str) -> Any:
        return SimpleNamespace(id=id, incident="i-1")

    async def orders(self, id: str) -> list[OrderRow]:
        return [
            OrderRow.model_validate(
                {
                    "id": f"d-1/{site}/0",
                    "proposal": id,
                    "decision": "d-1",
                    "site": site,
                    "dispatched_at": 0,
                    "leave": 9,
                }
            )
            for site in ("cen-1", "cen-2")
        ]

    async def lines_of(self, _id: str) -> list[ReassignmentRow]:
        return []

    async def barred_sites(self) -> frozenset[str]:
        return frozenset()

    async def callouts(self, **_more: object) -> Any:
        commands = self._deciders.sent.values()
        started = {command.callout for command in commands if isinstance(command, StartCallOut)}
        drafted = {
            command.callout: "d-1" for command in commands if isinstance(command, DraftCallOut)
        } or dict.fromkeys(("staff-d-1-cen-1", "staff-d-1-cen-2"), "d-1")
        return SimpleNamespace(
            items=[
                SimpleNamespace(id=id, decision=d, state="running" if id in started else "draft")
                for id, d in drafted.items()
            ]
        )


async def test_a_repeated_message_to_agents_gets_the_same_answer() -> None:
    """The repeated answer said that no message was left to send, which looked like a failure."""
    deciders = Deciders()
    author = deciders.author(IdempotencyKey("a", "start"), model=Reassigned(deciders))
    first = await announce_reassignments(author, "p-1", AnnounceRequest(start=True))
    again = await announce_reassignments(author, "p-1", AnnounceRequest(start=True))
    assert (replayed(first)[0], replayed(again)[:2]) == (200, (200, "true"))
    assert replayed(first)[2] == replayed(again)[2]
    assert len(deciders.sent) == 2
    with pytest.raises(ProblemError) as nothing:
        await announce_reassignments(
            deciders.author(IdempotencyKey("b", "start"), model=Reassigned(deciders)),
            "p-1",
            AnnounceRequest(start=True),
        )
    assert (
        nothing.value.problem.sentence("en")
        == "There is nothing to send: no draft, or sent already."
    )
    assert nothing.value.problem.sentence("fr") == "Rien à envoyer : pas préparé, ou déjà parti."


async def test_a_forgotten_decision_is_not_pending() -> None:
    """A repeated request answered « pending » forever."""
    deciders = Deciders()
    deciders.stand_still = True
    decision = await deciders.decide(None, 1.0)
    realm = OneRealm()
    author = deciders.author(None, model=realm)

    async def state(id: str) -> str:
        return (await commands_api.get_command(id, author.request, Response(), author)).state

    assert await state(decision.id) == "pending"
    realm.state = None
    assert await state(decision.id) == "pending"
    assert deciders.redis.expires == {store.build_sent_key(decision.id): store.COMMAND_TTL_S}
    deciders.redis.kept.clear()
    with pytest.raises(ProblemError, match="command_gone"):
        await state(decision.id)
    with pytest.raises(ProblemError, match="resource_unknown"):
        await state("cmd-nobody-issued")


async def test_a_decision_stays_pending_after_a_killed_store() -> None:
    """The store forgets the newest requests, while the deciders still work on them."""
    deciders = Deciders()
    deciders.stand_still = True
    decision = await deciders.decide(None, 1.0)
    deciders.redis.kept.clear()
    deciders.redis.runs_s = store.SIMULATED_COMMAND_TTL_S - 1
    assert await deciders.decisions.answers.under_way(decision.id)
    deciders.redis.runs_s += 1
    assert not await deciders.decisions.answers.under_way(decision.id)


async def test_a_decision_pending_at_the_closure_of_its_realm_fails() -> None:
    """A step is never settled then: `vigie play` waited for it for ever."""
    deciders = Deciders()
    deciders.stand_still = True
    decision = await deciders.decide(None, 1.0)
    author = deciders.author(None, model=OneRealm("closed"))
    command_status = await commands_api.get_command(decision.id, author.request, Response(), author)
    assert (command_status.state, command_status.code, command_status.detail) == (
        "failed",
        "realm_closed",
        "L’exercice est terminé.",
    )


async def test_a_stopping_process_ends_the_wait_for_a_decision() -> None:
    deciders = Deciders()
    waiting = asyncio.create_task(deciders.decisions.answers.wait("cmd-1", 30))
    await asyncio.sleep(0)
    async with asyncio.timeout(1):
        deciders.decisions.answers.end()
        assert await waiting is None
        assert await deciders.decisions.answers.wait("cmd-2", 30) is None


def test_a_key_names_one_realm() -> None:
    decisions = Deciders().decisions
    assert decisions.realm_id(WHO, IdempotencyKey("a", "x")) == decisions.realm_id(
        WHO, IdempotencyKey("a", "x")
    )
    assert (
        len(
            {
                decisions.realm_id(WHO, key)
                for key in (IdempotencyKey("a", ""), IdempotencyKey("b", ""), None, None)
            }
        )
        == 4
    )
