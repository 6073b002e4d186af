"""Decisions under SIGKILL: planner, continuity and delivery die at named points.

The planner dies in the middle of a solve, continuity at every named point of an activation and of
an approval, delivery while the agents of the sites are informed. Nothing is lost, sent twice or
sent without an approval.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx2 as httpx
import orjson
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from schemas.topics import PARTITION_COUNT, TOPICS_BY_NAME, partition_of
from services.runtime.kafka.security import get_client_options
from services.runtime.process.exits import SETTING, Point
from services.runtime.process.settings import Settings
from tests import forked
from tests.faults.matrix import proves
from tests.system import RunningVigie
from tests.waiting import until

WAIT_S = 240.0
REALM = "92"
PARTITION = partition_of(REALM, PARTITION_COUNT)
MOST_DEATHS = 6
NO_BODY: Mapping[str, Any] = {}


@pytest.fixture(scope="module")
def vigie(victim: RunningVigie) -> RunningVigie:
    """Close the headquarters in the live realm."""
    shut = {
        "site_id": "cen-1",
        "type": "closure",
        "severity": 5,
        "occurred_at": datetime.now(UTC).isoformat(),
        "certainty": "confirmed",
    }
    assert victim.http.post("/api/v1/reports", json=shut).status_code == 202
    return victim


def ask(
    vigie: RunningVigie,
    path: str,
    body: Mapping[str, Any] = NO_BODY,
    *,
    key: str = "",
    **headers: str,
) -> httpx.Response | None:
    """Send a decision; return None while the front restarts."""
    once = {"Idempotency-Key": key} if key else {}
    try:
        return vigie.http.post(
            f"/api/v1/{path}", json=body, headers={"Prefer": "wait=20", **once, **headers}
        )
    except httpx.TransportError:
        return None


def read(vigie: RunningVigie, path: str) -> list[dict[str, Any]]:
    try:
        answer = vigie.http.get(f"/api/v1/{path}")
    except httpx.TransportError:
        return []
    return answer.json()["items"] if answer.status_code == 200 else []


def ordered(vigie: RunningVigie, lines: set[str]) -> bool:
    """Return true once these orders went out, and no others."""
    return {line["id"] for line in read(vigie, "reassignments/lines?state=dispatched")} == lines


def proposed(vigie: RunningVigie) -> dict[str, Any] | None:
    """Return the proposal with lines to decide."""
    return next(
        (p for p in read(vigie, "reassignments") if p["state"] == "open" and p["agents"]), None
    )


async def records(vigie: RunningVigie, topic: str) -> AsyncIterator[ConsumerRecord]:
    """Return all records in the partition of the realm."""
    settings, part = Settings(data_dir=vigie.folder / "data"), TopicPartition(topic, PARTITION)
    assert TOPICS_BY_NAME[topic].partitions == PARTITION_COUNT
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka,
        enable_auto_commit=False,
        auto_offset_reset="none",
        **get_client_options(),
    )
    await consumer.start()
    try:
        end = (await consumer.end_offsets([part]))[part]
        consumer.assign([part])
        consumer.seek(part, 0)
        while await consumer.position(part) < end:
            for record in (await consumer.getmany(part, timeout_ms=500)).get(part, ()):
                yield record
    finally:
        await consumer.stop()


async def log_of(vigie: RunningVigie, service: str = "continuity") -> list[dict[str, Any]]:
    """Return its transactions of the realm."""
    chain = [orjson.loads(record.value) async for record in records(vigie, f"{service}.log")]
    return [tx for tx in chain if tx["realm"] == REALM]


def facts(chain: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [
        fact["data"] for tx in chain for fact in tx["facts"] if fact["type"] == f"vigie.{name}.v1"
    ]


def activated(chain: list[dict[str, Any]]) -> Counter[str]:
    """Plan → activations."""
    return Counter(
        fact["row"]["id"] for fact in facts(chain, "PlanChanged") if fact["change"] == "activated"
    )


def decided(chain: list[dict[str, Any]]) -> set[str]:
    """Return approved lines; their orders follow."""
    return {
        line
        for fact in facts(chain, "ProposalChanged")
        for decision in fact["row"]["decisions"]
        if decision["verb"] == "approve"
        for line in decision["lines"]
    }


async def published(vigie: RunningVigie, topic: str, name: str) -> list[dict[str, Any]]:
    """Return facts of one type on a public topic. An id may repeat and counts once."""
    facts_by_id: dict[bytes, dict[str, Any]] = {}
    async for record in records(vigie, topic):
        headers = dict(record.headers)
        if headers["ce_type"] == f"vigie.{name}.v1".encode() and record.key == REALM.encode():
            facts_by_id[headers["ce_id"]] = orjson.loads(record.value)
    return list(facts_by_id.values())


async def check(vigie: RunningVigie, approved: set[str], plans: set[str]) -> None:
    """Check that approvals were ordered once, activations happened once, and `verify` agrees."""
    verdict = await asyncio.to_thread(vigie.cli, "verify")
    assert verdict.returncode == 0, verdict.stdout[-3000:]
    chain = await log_of(vigie)
    ordered_lines = Counter(
        line for fact in facts(chain, "ReassignmentOrdered") for line in fact["row"]["lines"]
    )
    assert ordered_lines == dict.fromkeys(approved, 1)
    assert activated(chain) == dict.fromkeys(plans, 1)
    published_lines = Counter(
        line
        for fact in await published(vigie, "reassignments", "ReassignmentOrdered")
        for line in fact["row"]["lines"]
    )
    assert published_lines == ordered_lines
    activated_plans = [
        fact["row"]["id"]
        for fact in await published(vigie, "plans", "PlanChanged")
        if fact["change"] == "activated"
    ]
    assert Counter(activated_plans) == dict.fromkeys(plans, 1)


# ── the planner in the middle of a solve ─────────────────────────────────────────────────────────────────────────────


@proves("planner", "kill")
@pytest.mark.timeout(900)
async def test_kills_during_a_solve_lose_and_repeat_nothing(vigie: RunningVigie) -> None:
    planner = psutil.Process(vigie.processes()["background"])
    idle_s = sum(planner.cpu_times()[:2])
    until(
        lambda: (
            (answer := ask(vigie, "reassignments/compute")) is not None
            and answer.status_code == 200
        ),
        WAIT_S,
    )
    until(lambda: sum(planner.cpu_times()[:2]) > idle_s + 0.05, WAIT_S, longest_s=0.0)
    vigie.kill("background")
    vigie.kill("continuity")
    until(lambda: proposed(vigie) is not None, WAIT_S)
    proposal = proposed(vigie)
    assert proposal is not None
    assert (proposal["demand"], proposal["displaced"], proposal["unmet_agents"]) == (311, 1460, 0)
    computed = Counter(
        fact["row"]["id"]
        for fact in facts(await log_of(vigie), "ProposalChanged")
        if fact["change"] == "computed"
    )
    assert computed[proposal["id"]] == 1


# ── continuity at every named point ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Death:
    """Death at a point of the `input`, activation (0) or approval (1), or once the log holds it."""

    point: Point
    input: int | None
    holds: tuple[bool | None, bool | None]
    """Activation and approval in the log after the death; None if they were on their way."""


DEATHS = {
    "PCA-education": Death("before-decide", input=0, holds=(False, False)),
    "PCA-logement": Death("before-decide", input=1, holds=(None, False)),
    "PCA-communication": Death("after-append", input=0, holds=(True, None)),
    "PCA-solidarites": Death("after-append", input=1, holds=(True, True)),
    "PT-EAU": Death("before-publish", input=None, holds=(True, None)),
    "PT-GAZ": Death("after-publish", input=None, holds=(True, None)),
    "PT-NEIGE": Death("before-commit", input=None, holds=(True, True)),
}
"""Plan → where continuity dies while the plan is being activated and two lines are being approved."""


def living(vigie: RunningVigie, name: str) -> psutil.Process:
    """Return the process of this name, restarted if it has just died."""

    def found() -> psutil.Process | None:
        try:
            process = psutil.Process(vigie.processes()[name])
            return process if process.status() != psutil.STATUS_ZOMBIE else None
        except (KeyError, psutil.NoSuchProcess, psutil.ZombieProcess):
            return None

    until(found, WAIT_S)
    process = found()
    assert process is not None
    return process


@contextmanager
def alone(vigie: RunningVigie, service: str = "continuity") -> Iterator[dict[str, str]]:
    """Stop the service for good and return the environment of a worker of our own.

    Its supervisor continues at the end.
    """
    worker, planner = living(vigie, service), living(vigie, "background")
    environment = vigie.service_environment()
    planner.kill()  # quiet for a minute then: no ranking comes between
    os.kill(vigie.pid, signal.SIGSTOP)
    try:
        worker.kill()
        yield environment | {"VIGIE_PROCESS": service, "VIGIE_INSTANCE": f"{service}-0"}
    finally:
        os.kill(vigie.pid, signal.SIGCONT)


async def waiting_inputs(vigie: RunningVigie) -> int:
    """Return the inputs that the log of continuity has not applied yet."""
    input_offsets = [record.offset async for record in records(vigie, "continuity.inputs")]
    chain = [orjson.loads(record.value) async for record in records(vigie, "continuity.log")]
    return input_offsets[-1] - max(
        tx["src"]["offset"] for tx in chain if tx["src"]["topic"] == "continuity.inputs"
    )


def die(environment: dict[str, str], point: str, log: Path, service: str = "continuity") -> None:
    """Run one worker that kills itself at a named point."""
    worker = forked.start(
        f"services.{service}", environment=environment | {SETTING: point}, log=log
    )
    try:
        assert worker.wait(WAIT_S) == -signal.SIGKILL, (
            f"{point}: {log.read_text(encoding='utf-8')[-2000:]}"
        )
    finally:
        worker.kill()
        worker.wait()


async def die_at(
    vigie: RunningVigie, environment: dict[str, str], death: Death, plan: str, lines: set[str]
) -> None:
    """Kill the worker there.

    Ticks come between publishing and committing, so it may take several deaths.
    """
    first = 1 if death.input is None else death.input + await waiting_inputs(vigie) - 1
    outcomes = []
    for passes in range(first, first + MOST_DEATHS):
        die(environment, f"{death.point}:{passes}", vigie.folder / "continuity.log")
        chain = await log_of(vigie)
        outcomes.append((activated(chain)[plan] == 1, lines <= decided(chain)))
        if all(
            expected in (None, holds)
            for expected, holds in zip(death.holds, outcomes[-1], strict=True)
        ):
            return
    raise AssertionError(f"{death}: {outcomes}")


@proves("worker", "kill", note="continuity, at each named point of an activation and an approval")
@pytest.mark.timeout(900)
async def test_a_kill_at_every_point_of_an_activation_and_an_approval(vigie: RunningVigie) -> None:
    until(lambda: proposed(vigie) is not None, WAIT_S)
    proposal = proposed(vigie)
    assert proposal is not None
    observer = vigie.cli("token", "create", "--role", "observer", "--quiet").stdout.strip()
    for path in (f"reassignments/{proposal['id']}/approve", "plans/PT-EAU/activate"):
        refused = ask(vigie, path, Authorization=f"Bearer {observer}")
        assert refused is not None
        assert refused.status_code == 403, refused.text

    lines = [line["id"] for line in vigie.get(f"/api/v1/reassignments/{proposal['id']}")["lines"]]
    approved: set[str] = set()
    with alone(vigie) as environment:
        for n, (plan, death) in enumerate(DEATHS.items()):
            mine = lines[2 * n : 2 * n + 2]
            for path, body in (
                (f"plans/{plan}/activate", {}),
                (f"reassignments/{proposal['id']}/approve", {"lines": mine}),
            ):
                answer = ask(
                    vigie,
                    path,
                    body,
                    **{"Idempotency-Key": f"{plan}-{path[:5]}", "Prefer": "wait=0"},
                )
                assert answer is not None
                assert answer.status_code == 202, answer.text
            await die_at(vigie, environment, death, plan, set(mine))
            approved.update(mine)
    until(partial(ordered, vigie, approved), WAIT_S)

    again = ask(
        vigie, f"reassignments/{proposal['id']}/approve", {"lines": mine}, key=f"{plan}-reass"
    )
    assert again is not None
    assert again.status_code in (200, 202), "the same key is the same decision"
    stale = ask(vigie, f"reassignments/{proposal['id']}/approve", **{"If-Match": '"0"'})
    assert stale is not None
    assert stale.status_code == 412, stale.text
    moved = read(vigie, "reassignments/lines")
    assert all(line["approved_by"] and "D49" in line["rules"] for line in moved)
    assert {
        plan["id"]: plan["state"] for plan in read(vigie, "plans") if plan["id"] in DEATHS
    } == dict.fromkeys(DEATHS, "active")
    await check(vigie, approved, set(DEATHS))


# ── delivery while the agents are told ───────────────────────────────────────────────────────────────────────────────

TOLD_DEATHS: Mapping[bool, tuple[str, ...]] = {
    False: ("before-decide:2", "after-append:2"),
    True: ("after-append:1", "after-publish:2"),
}
"""Start of the drafts or not → deaths of delivery, one after the other, with two people."""


async def employ(vigie: RunningVigie, sites: set[str], folder: Path) -> None:
    """Add one agent of each site to the directory."""
    people = folder / "people.csv"
    agents = [
        f"agent-{site},Agent,fr,sms,+336000000{n:02},,{site}"
        for n, site in enumerate(sorted(sites))
    ]
    people.write_text(
        "\n".join(["person,name,language,channel,address,verified_at,site", *agents]),
        encoding="utf-8",
    )
    assert (await asyncio.to_thread(vigie.cli, "directory", "import", str(people))).returncode == 0


def stand(vigie: RunningVigie, callouts: set[str], states: set[str]) -> bool:
    """Return true once these are the call-outs of approvals, each in one of the states."""
    callout_states = {
        one["id"]: one["state"]
        for one in read(vigie, "callouts?limit=500")
        if one["id"].startswith("staff-")
    }
    return callout_states.keys() == callouts and set(callout_states.values()) <= states


@proves(
    "worker",
    "kill",
    note="delivery, at named points while two people have the agents of the sites told",
)
@pytest.mark.timeout(600)
async def test_a_kill_during_two_announcements_informs_each_site_once(
    vigie: RunningVigie, tmp_path: Path
) -> None:
    until(lambda: proposed(vigie) is not None, WAIT_S)
    proposal = proposed(vigie)
    assert proposal is not None
    lines = vigie.get(f"/api/v1/reassignments/{proposal['id']}")["lines"]
    last = [
        line["id"]
        for line in lines
        if line["to"]["site"] not in (None, "telework", line["from"]["site"])
    ][-2:]
    for line in last:  # two approvals
        assert ask(vigie, f"reassignments/{proposal['id']}/approve", {"lines": [line]}) is not None
    until(
        lambda: (
            set(last)
            <= {line["id"] for line in read(vigie, "reassignments/lines?state=dispatched")}
        ),
        WAIT_S,
    )
    orders = [
        fact["row"]
        for fact in facts(await log_of(vigie), "ReassignmentOrdered")
        if fact["row"]["proposal"] == proposal["id"]
    ]
    concerned = [row for row in orders if row.get("leave") or row.get("come")]
    callout_ids = {f"staff-{row['decision']}-{row['site']}" for row in concerned}
    assert len({row["decision"] for row in concerned}) > 1
    await employ(vigie, {row["site"] for row in concerned}, tmp_path)

    for start, deaths in TOLD_DEATHS.items():
        with alone(vigie, "delivery") as environment:
            for who in ("one", "two"):
                answer = ask(
                    vigie,
                    f"reassignments/{proposal['id']}/announce",
                    {"start": start},
                    key=f"{who}-{start}",
                    Prefer="wait=0",
                )
                assert answer is not None
                assert answer.status_code == 202, answer.text
            for death in deaths:
                die(environment, death, vigie.folder / "delivery.log", "delivery")
        until(
            partial(stand, vigie, callout_ids, {"running", "done"} if start else {"draft"}), WAIT_S
        )

    until(
        lambda: (
            len([n for n in read(vigie, "notifications?limit=1000") if n["role"] == "agent"])
            >= len(callout_ids)
        ),
        WAIT_S,
    )
    again = ask(vigie, f"reassignments/{proposal['id']}/announce", {"start": True})
    assert again is not None
    assert again.status_code == 409, "everybody was told"
    chain = await log_of(vigie, "delivery")
    listed = Counter(
        fact["callout"] for fact in facts(chain, "CallOutListed") for _ in fact["people"]
    )
    released = Counter(
        fact["callout"] for fact in facts(chain, "CallOutReleased") for _ in range(fact["count"])
    )
    started = Counter(
        fact["result"]["callout"]
        for fact in facts(chain, "CommandApplied")
        if fact["command"] == "StartCallOut"
    )
    called = {
        fact["row"]["id"]: fact["row"]["campaign"]
        for fact in facts(chain, "NotificationChanged")
        if fact["row"]["role"] == "agent"
    }
    assert (
        listed == released == started == Counter(called.values()) == dict.fromkeys(callout_ids, 1)
    )
