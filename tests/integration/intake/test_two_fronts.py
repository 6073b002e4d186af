"""Two machines on one broker: a sender goes on at the other front when one is gone."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.integration.intake.conftest import FrontProcess, Starter, report


@pytest.fixture
async def fronts(new_front: Starter) -> list[FrontProcess]:
    """Start two fronts with one master key, each with its own data."""
    first = new_front("first", VIGIE_CLUSTER="1")
    await first.accepting()
    secrets = first.data.root.parents[1] / "second" / "data" / "secrets"
    secrets.mkdir(parents=True, mode=0o700)
    for name in ("master.key", "admin.token"):
        shutil.copy2(first.data.secrets / name, secrets / name)
    second = new_front("second", VIGIE_CLUSTER="1")
    await second.accepting()
    return [first, second]


@pytest.fixture
async def clients(fronts: list[FrontProcess]) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(front.client()) for front in fronts]


async def post(client: httpx.AsyncClient, key: str, **changes: Any) -> httpx.Response:
    body = report(**changes)
    return await client.post("/api/v1/reports", json=body, headers={"Idempotency-Key": key})


async def test_one_key_has_one_answer_at_both_fronts(
    clients: list[httpx.AsyncClient], on_log: Callable[[str], Awaitable[list[Any]]]
) -> None:
    first, second = clients
    key, realm = uuid4().hex, f"92{uuid4().hex[:6]}"
    accepted = await post(first, key, realm=realm)
    assert accepted.status_code == 202
    again = await post(second, key, realm=realm)
    assert again.json()["report_id"] == accepted.json()["report_id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    other = await post(second, key, realm=realm, headline="Autre panne")
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")
    ids = {dict(record.headers)["ce_id"].decode() for record in await on_log(realm)}
    assert ids == {accepted.json()["report_id"]}


async def test_repetitions_at_the_other_front_get_the_first_answer(
    clients: list[httpx.AsyncClient],
) -> None:
    first, second = clients
    for key in [uuid4().hex for _ in range(40)]:
        accepted = await post(first, key)
        again = await post(second, key)
        assert again.headers.get("Idempotency-Replayed") == "true"
        assert again.json()["recorded_at"] == accepted.json()["recorded_at"]


async def test_one_of_two_bodies_under_one_key_is_accepted(
    clients: list[httpx.AsyncClient],
) -> None:
    key = uuid4().hex
    answers = await asyncio.gather(
        *(post(client, key, headline=f"Panne {n}") for n, client in enumerate(clients))
    )
    assert sorted(answer.status_code for answer in answers) == [202, 422]


async def test_the_other_front_goes_on_after_the_death_of_one(
    fronts: list[FrontProcess], clients: list[httpx.AsyncClient]
) -> None:
    key = uuid4().hex
    accepted = await post(clients[0], key)
    fronts[0].kill()
    again = await post(clients[1], key)
    assert again.json()["report_id"] == accepted.json()["report_id"]
