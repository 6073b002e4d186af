"""A report to a realm that does not exist or is closed is refused at once.

The console must be sure of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest

from services.intake.reports import report_checks
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door, report


class Console:
    """Answers whether a realm is known and closed. Its clock is that of the door."""

    def __init__(self, door: Door, known: Any) -> None:
        self.asked: list[str] = []
        self.now_s = 1_000.0
        self.closed = False
        self.delay_s = 0.0
        self._known = known
        realms = door.intake.receiver._realms
        realms._ask, realms._monotonic = self.ask, lambda: self.now_s

    async def ask(self, path: str, timeout_s: float) -> Any:  # noqa: ARG002
        self.asked.append(path)
        await asyncio.sleep(self.delay_s)
        if isinstance(self._known, Exception):
            raise self._known
        return {"known": self._known, "closed": self.closed}


async def post(door: Door, realm: str | None, key: str = "k") -> tuple[int, dict[str, Any]]:
    async with await door.as_(Role.CELL) as http:
        body = report(**({} if realm is None else {"realm": realm}))
        answer = await http.post("/api/v1/reports", json=body, headers={"Idempotency-Key": key})
        return answer.status_code, answer.json()


async def test_an_unknown_realm_is_refused_at_once_and_the_message_is_kept(door: Door) -> None:
    Console(door, False)
    status, problem = await post(door, "92~ex-nowhere")
    assert (status, problem["code"]) == (404, "realm_unknown")
    assert door.inputs.appended == []
    letter = door.intake.refused._queue.get_nowait()
    assert letter.problem.code == "realm_unknown"


@pytest.mark.parametrize("doubt", [None, TimeoutError(), aiohttp.ClientConnectionError("away")])
async def test_in_doubt_the_report_is_accepted(door: Door, doubt: Any) -> None:
    Console(door, doubt)
    assert (await post(door, "92~ex-maybe"))[0] == 202


async def test_a_known_realm_is_asked_for_once_and_the_own_one_never(door: Door) -> None:
    console = Console(door, True)
    for key in ("a", "b"):
        assert (await post(door, "92~ex-1", key))[0] == 202
    assert (await post(door, None))[0] == 202
    assert console.asked == ["/realm.json?name=92~ex-1"]


async def test_a_closed_exercise_refuses_at_once_and_the_message_is_kept(door: Door) -> None:
    console = Console(door, True)
    assert (await post(door, "92~ex-1", "a"))[0] == 202
    console.closed = True
    console.now_s += report_checks.OPEN_S
    status, problem = await post(door, "92~ex-1", "b")
    assert (status, problem["code"]) == (409, "realm_closed")
    assert len(door.inputs.appended) == 1
    assert door.intake.refused._queue.get_nowait().problem.code == "realm_closed"
    assert (await post(door, "92~ex-1", "b"))[0] == 409
    assert len(console.asked) == 2, "a closed realm stays closed"


async def test_a_repetition_after_the_closing_gets_its_first_answer(door: Door) -> None:
    console = Console(door, True)
    async with await door.as_(Role.CELL) as http:
        request = {
            "json": report(realm="92~ex-1"),
            "headers": {"Idempotency-Key": "one"},
        }
        first = await http.post("/api/v1/reports", **request)
        console.closed = True
        console.now_s += report_checks.OPEN_S
        again = await http.post("/api/v1/reports", **request)
    assert (again.status_code, again.json()["report_id"]) == (202, first.json()["report_id"])


async def test_a_report_in_the_moment_of_the_closing_is_left_to_the_decider(door: Door) -> None:
    console = Console(door, True)
    assert (await post(door, "92~ex-1", "a"))[0] == 202
    console.closed = True
    assert (await post(door, "92~ex-1", "b"))[0] == 202


async def test_an_exercise_that_was_open_stays_so_while_the_console_is_away(door: Door) -> None:
    console = Console(door, True)
    assert (await post(door, "92~ex-1", "a"))[0] == 202
    console.now_s += report_checks.OPEN_S
    console._known = TimeoutError()
    for key in ("b", "c"):
        assert (await post(door, "92~ex-1", key))[0] == 202
    assert len(console.asked) == 2, "each question may take seconds"


async def test_a_busy_console_delays_no_stream_of_reports_to_an_open_exercise(door: Door) -> None:
    console = Console(door, True)
    assert (await post(door, "92~ex-1", "first"))[0] == 202
    console.now_s += report_checks.OPEN_S
    console.delay_s = 60.0
    began = time.monotonic()
    answers = await asyncio.gather(*(post(door, "92~ex-1", f"k{n}") for n in range(20)))
    assert {status for status, _ in answers} == {202}
    assert time.monotonic() - began < report_checks.PATIENCE_S / 2
    assert len(console.asked) == 2, "one question at a time"


async def test_a_live_realm_of_another_territory_is_asked_for_once(door: Door) -> None:
    console = Console(door, True)
    for key in ("a", "b"):
        assert (await post(door, "93", key))[0] == 202
        console.now_s += 3_600
    assert len(console.asked) == 1


async def test_the_same_message_twice_at_once_counts_once_in_a_new_realm(door: Door) -> None:
    Console(door, True)
    async with await door.as_(Role.CELL) as http:
        requests = [
            http.post(
                "/api/v1/reports",
                json=report(realm="92~ex-1"),
                headers={"Idempotency-Key": "one"},
            )
            for _ in range(4)
        ]
        answers = await asyncio.gather(*requests)
    assert {a.status_code for a in answers} == {202}
    assert len({a.json()["report_id"] for a in answers}) == 1
    assert len(door.inputs.appended) == 1


async def test_each_member_of_a_batch_is_judged_by_its_realm(door: Door) -> None:
    Console(door, False)
    async with await door.as_(Role.CELL) as http:
        members = [report(), report(realm="92~ex-nowhere")]
        answer = await http.post("/api/v1/reports:batch", json=members)
    assert answer.status_code == 207
    assert [item["status"] for item in answer.json()["items"]] == [202, 404]


@pytest.mark.parametrize(
    "path", ["/realm.json?name=92", "/managers.json?realm=92", "/publications.json"]
)
async def test_the_question_is_for_the_front_alone(door: Door, path: str) -> None:
    async with door.client() as http:
        assert (await http.get(path)).status_code == 404
