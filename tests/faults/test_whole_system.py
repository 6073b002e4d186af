"""The whole product under SIGKILL: every accepted report is applied once; `vigie verify` agrees."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.faults.deciding import Deciding, Racing, decide_under_kills
from tests.faults.matrix import proves
from tests.faults.reporting import WAIT_S, Reporter, kept, wait_until_settled
from tests.linear.checker import Operation, linearizable
from tests.linear.models import (
    INCIDENT,
    PLAN,
    Answered,
    Asked,
    Held,
    Stock,
    stock_of,
)
from tests.system import RunningVigie
from tests.waiting import until

ON_THE_WAY = ("alerts", "continuity", "delivery", "intake")
"""Processes that a report passes."""
BESIDE = ("console", "projector", "background")
"""Processes that show, pace, plan and check."""


@pytest.fixture(scope="module")
def vigie(victim: RunningVigie) -> RunningVigie:
    return victim


def killed(vigie: RunningVigie, victim: str) -> bool:
    """Return whether it ran and is killed now."""
    try:
        vigie.kill(victim)
    except (ProcessLookupError, KeyError):
        return False
    return True


def storm(
    vigie: RunningVigie,
    victims: tuple[str, ...],
    *,
    reporters: int,
    each: int,
    kills: int,
    seed: int,
) -> None:
    """Kill one process after the other while reports come: each before any for the second time."""
    rnd = random.Random(seed)
    threads = [Reporter(vigie, seed * 100 + n, each) for n in range(reporters)]
    for thread in threads:
        thread.start()
    remaining_victims: list[str] = []
    for _ in range(kills):
        time.sleep(rnd.uniform(0.3, 1.5))
        remaining_victims = remaining_victims or rnd.sample(victims, len(victims))
        victim = remaining_victims.pop()
        until(lambda victim=victim: killed(vigie, victim), WAIT_S)
    for thread in threads:
        thread.join()
    accepted = [r for t in threads for r in t.accepted.values()]
    assert [t.refused for t in threads if t.refused] == []
    assert len(set(accepted)) == reporters * each
    assert wait_until_settled(vigie, accepted) == []


@proves("worker", "kill")
@proves("intake", "kill")
@pytest.mark.timeout(400)
def test_random_kills_lose_and_repeat_no_decision(vigie: RunningVigie) -> None:
    """The other processes die in the test of those that end twice, which checks all logs."""
    storm(vigie, ON_THE_WAY, reporters=3, each=30, kills=len(ON_THE_WAY), seed=1)


@proves("store", "kill")
@pytest.mark.timeout(400)
def test_reports_are_accepted_while_the_store_is_dead_and_shown_when_it_is_back(
    vigie: RunningVigie,
) -> None:
    vigie.kill("store")
    vigie.kill("console")
    reporter = Reporter(vigie, 77, 20)
    reporter.run()
    assert reporter.refused == []
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []


@proves("broker", "kill")
@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_killed_broker_comes_back_and_nothing_is_lost(vigie: RunningVigie) -> None:
    reporter = Reporter(vigie, 88, 60)
    reporter.start()
    vigie.kill("broker")
    reporter.join()
    assert reporter.refused == []
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    verdict = vigie.cli("verify")
    assert verdict.returncode == 0, verdict.stdout[-3000:]


@proves("worker", "stop")
@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_frozen_worker_that_wakes_up_changes_nothing(vigie: RunningVigie) -> None:
    """SIGSTOP past the session timeout, then SIGCONT."""
    pid = vigie.kill("alerts", signal.SIGSTOP)
    reporter = Reporter(vigie, 99, 30)
    reporter.run()
    time.sleep(12)
    try:
        vigie.kill("alerts", signal.SIGCONT) if vigie.processes().get("alerts") == pid else None
    except ProcessLookupError:
        pass
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    assert vigie.cli("verify").returncode == 0


STANDING = ("supervisor", "projector", "background", "console")


@proves("supervisor", "stop")
@proves("conductor", "stop")
@proves("projector", "stop")
@proves("planner", "stop")
@proves("auditor", "stop")
@proves("console", "stop")
@pytest.mark.timeout(400)
def test_suspended_processes_continue_where_they_stopped_while_reports_arrive(
    vigie: RunningVigie,
) -> None:
    """All of them at once: the front and the deciders need none of them to accept and to decide."""
    stopped = {
        name: vigie.pid if name == "supervisor" else vigie.processes()[name] for name in STANDING
    }
    for pid in stopped.values():
        os.kill(pid, signal.SIGSTOP)
    try:
        reporter = Reporter(vigie, 66, 25)
        reporter.run()
    finally:
        for pid in stopped.values():
            os.kill(pid, signal.SIGCONT)
    assert (len(reporter.accepted), reporter.refused) == (25, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []


@proves("broker", "restarts")
@proves("store", "restarts")
@proves("sender", "restarts", doubled="said")
@proves("projector", "restarts")
@proves("console", "restarts")
@proves("conductor", "restarts")
@proves("planner", "restarts")
@proves("auditor", "restarts")
@proves("auditor", "kill", note="it reads the logs from the beginning, and is green again")
@pytest.mark.timeout(600)
def test_processes_that_end_twice_in_a_row_return_without_loss(vigie: RunningVigie) -> None:
    """Each dies again as soon as it is back, all of them beside each other, while reports come.

    The check at the end is about all reports and faults that this system has seen before.
    """
    names = ("broker", "store", "delivery", *BESIDE)
    reporter = Reporter(vigie, 55, 60)
    reporter.start()
    for _ in range(2):
        ended = {name: vigie.kill(name) for name in names}
        until(
            lambda ended=ended: all(
                vigie.processes().get(name) not in (None, pid) for name, pid in ended.items()
            ),
            WAIT_S,
        )
    reporter.join()
    assert (len(reporter.accepted), reporter.refused) == (60, [])
    assert wait_until_settled(vigie, list(reporter.accepted.values())) == []
    kept(vigie)


PLANS = ("PT-CRUE", "PT-CANICULE")


def choosing(incident: str) -> Any:
    """Choose decisions about one incident and two plans; some authors name their version."""

    def choose(rnd: random.Random, known: int) -> tuple[str, Asked, dict[str, Any]]:
        about = rnd.choice((f"incidents/{incident}", *(f"plans/{p}" for p in PLANS)))
        verb = rnd.choice(
            ("acknowledge", "acknowledge", "resolve", "reopen")
            if about.startswith("inc")
            else ("activate", "stand-down")
        )
        expected = known if verb in ("resolve", "activate") and rnd.random() < 0.3 else None
        body = {"force": True, "reason": "essai"} if verb in ("resolve", "stand-down") else {}
        return f"{about}/{verb}", Asked(verb, expected), body

    return choose


def one_change(history: list[Operation]) -> list[Operation]:
    """Return the same history, but the second applied decision heard the answer of the first."""
    applied = sorted(
        (o for o in history if isinstance(o.answered, Answered) and not o.answered.code),
        key=lambda o: o.returned,
    )
    return [replace(o, answered=applied[0].answered) if o is applied[1] else o for o in history]


@pytest.mark.timeout(400)
def test_decisions_of_many_at_once_are_those_of_one_after_the_other(vigie: RunningVigie) -> None:
    """Acknowledge, close, reopen, activate and stand down are linearizable under SIGKILL."""
    body = {
        "site_id": "par-05",
        "type": "fire",
        "severity": 4,
        "occurred_at": datetime.now(UTC).isoformat(),
        "certainty": "confirmed",
    }
    id = vigie.http.post("/api/v1/reports", json=body).json()["report_id"]
    until(lambda: vigie.get(f"/api/v1/reports/{id}").get("incident"), WAIT_S)
    incident = vigie.get(f"/api/v1/reports/{id}")["incident"]
    version = vigie.get(f"/api/v1/incidents/{incident}")["version"]
    people = [Deciding(vigie, choosing(incident), 25, seed) for seed in range(6)]
    histories_by_object = decide_under_kills(
        vigie, people, ("alerts", "continuity", "console", "projector", "intake"), 4, seed=7
    )
    initial = {f"incidents/{incident}": (Held(True, version), INCIDENT)} | {
        f"plans/{p}": (Held(False, 0), PLAN) for p in PLANS
    }
    assert histories_by_object.keys() == initial.keys()
    for about, history in histories_by_object.items():
        assert linearizable(history, *initial[about]), about
        assert not linearizable(one_change(history), *initial[about]), about


GENERATOR = "gen-voi-02"
"""Stock of one generator."""
NEED = {"kind": "generator", "quantity": 1, "site": "pmi-01", "priority": "life"}


def given_to_all(history: list[Operation]) -> list[Operation]:
    """Return the same history, but the stock refused nobody."""
    return [
        replace(o, answered=Answered(""))
        if o.asked.verb == "offer" and o.answered == Answered("stock_short")
        else o
        for o in history
    ]


@proves("worker", "kill", note="two people promise the last generator at once")
@proves("console", "kill", note="two people promise the last generator at once")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("rounds", "kills"),
    [pytest.param(6, 3, id="short"), pytest.param(150, 40, id="long", marks=pytest.mark.soak)],
)
def test_one_of_many_gets_the_last_generator(vigie: RunningVigie, rounds: int, kills: int) -> None:
    """Offers, promises and cancellations are linearizable under SIGKILL, and none leaks.

    Before the race one is refused in any case: the history without refusals has to be wrong.
    """
    people = [Racing(vigie, GENERATOR, NEED, rounds, seed) for seed in range(3)]
    people[0].keep_from(people[1])
    history = decide_under_kills(vigie, people, ("continuity", "console"), kills, seed=rounds)[
        GENERATOR
    ]
    assert linearizable(history, Stock(), stock_of(1))
    assert not linearizable(given_to_all(history), Stock(), stock_of(1))
    cancelled = {o.asked.request for o in history if o.asked.verb == "cancel"}
    assert len(cancelled) == len(people) * rounds + 2
    until(lambda: read_stock(vigie) == (1, 0, 0), WAIT_S)


def read_stock(vigie: RunningVigie) -> tuple[int, int, int]:
    """Return the free, reserved and engaged quantity of the generator."""
    (level,) = [s for s in vigie.get("/api/v1/stocks")["items"] if s["id"] == GENERATOR]
    return level["available"], level["reserved"], level["engaged"]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_fifty_kills_with_two_workers(tmp_path: Path) -> None:
    with RunningVigie(tmp_path, workers=2) as vigie:
        for seed in range(5):
            storm(vigie, ON_THE_WAY + BESIDE, reporters=4, each=300, kills=12, seed=seed)
        kept(vigie)
