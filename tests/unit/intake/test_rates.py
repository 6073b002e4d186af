"""A sender above its rate gets a retry time and is named; danger has its own bucket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.admission import ReportRateLimiter, SenderRate
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.process import metrics
from tests.unit.intake.conftest import Door, report

NORMAL, DANGER = SenderRate(2, 10), SenderRate(1, 4)
SMALL: dict[str, Any] = {
    "reports_per_s": 1,
    "reports_burst": 20,
    "danger_per_s": 1,
    "danger_burst": 5,
}


def members(count: int, **changes: Any) -> dict[str, Any]:
    return {"reports": [report(headline=str(n), **changes) for n in range(count)]}


def principal(role: Role = Role.SOURCE, **fields: Any) -> Principal:
    return Principal(id=f"{role.value}-1", role=role, **fields)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """Rates on a clock that the test moves."""

    def __init__(self, normal: SenderRate = NORMAL) -> None:
        self.clock, self.exceeded = Clock(), list[str]()
        self.rates = ReportRateLimiter(normal, DANGER, self.exceeded.append, monotonic=self.clock)

    def lets_in(self, who: Principal, *, danger: bool = False, realm: str = "92") -> bool:
        try:
            self.rates.count_report(who, realm, danger=danger)
        except ProblemError:
            return False
        return True

    def let_in(self, who: Principal, count: int, *, danger: bool = False, realm: str = "92") -> int:
        return sum(self.lets_in(who, danger=danger, realm=realm) for _ in range(count))


@pytest.fixture
async def small(tmp_path: Path) -> Any:
    door = Door(tmp_path, **SMALL)
    yield door
    await door.close()


def test_a_burst_is_let_in_and_then_the_rate() -> None:
    desk, source = Desk(), principal()
    assert desk.let_in(source, 30) == 10
    desk.clock.now += 3
    assert desk.let_in(source, 30) == 6
    assert desk.exceeded == [source.id] * 44


def test_danger_takes_from_its_own_bucket_then_from_that_of_the_others() -> None:
    desk, source = Desk(), principal()
    assert desk.let_in(source, 30) == 10
    assert desk.let_in(source, 30, danger=True) == 4
    other = principal(Role.TECHNICIAN)
    assert desk.let_in(other, 30, danger=True) == 14
    assert desk.let_in(other, 1) == 0


def test_an_exercise_takes_nothing_of_the_live_rate() -> None:
    desk, source = Desk(), principal()
    for exercise in ("92~ex-1", "92~ex-2"):
        desk.let_in(source, 30, danger=True, realm=exercise)
    assert desk.let_in(source, 1, realm="92~ex-3") == 0, "exercises share one rate"
    assert desk.let_in(source, 30, danger=True) == 14
    other = principal(Role.TECHNICIAN)
    desk.rates.charge(other, "92~ex-1", danger=False)
    assert desk.let_in(other, 30) == 10


def test_a_refused_sender_gets_the_time_of_the_next_try() -> None:
    desk, source = Desk(SenderRate(0.1, 1)), principal()
    desk.rates.count_report(source, "92", danger=False)
    with pytest.raises(ProblemError, match="over_rate") as refused:
        desk.rates.count_report(source, "92", danger=False)
    assert (refused.value.problem.status, refused.value.problem.retry_after_s) == (503, 10)
    desk.clock.now += 10
    assert desk.lets_in(source)


def test_scenario_players_have_no_limit_unless_they_have_their_own_rate() -> None:
    desk = Desk()
    assert desk.let_in(principal(Role.ADMIN), 2500) == 2500
    assert desk.let_in(principal(Role.COORDINATOR), 2500) == 2500
    assert desk.let_in(principal(Role.ADMIN, rate_per_s=3.0), 100) == 30
    assert desk.let_in(principal(Role.SOURCE, rate_per_s=0.0), 2500) == 2500
    assert desk.let_in(Principal(id="fast", role=Role.SOURCE, rate_per_s=500.0), 9000) == 5000


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans(), st.integers(0, 1)), max_size=200))
def test_no_sender_waits_for_another(steps: list[tuple[float, bool, int]]) -> None:
    together, alone = Desk(), Desk()
    senders = [Principal(id="a", role=Role.SOURCE), Principal(id="b", role=Role.SOURCE)]
    for pause, danger, who in steps:
        together.clock.now += pause
        alone.clock.now += pause
        let_in = together.lets_in(senders[who], danger=danger)
        if who == 0:
            assert let_in == alone.lets_in(senders[0], danger=danger)


def over_rate(sender: str) -> float:
    return float(metrics._get_collector("vigie_over_rate_total").labels(sender=sender)._value.get())  # type: ignore[union-attr]


async def test_the_items_of_a_batch_count_one_each_and_the_whole_may_be_sent_again(
    small: Door,
) -> None:
    async with await small.as_(Role.SOURCE) as flood, await small.as_(Role.SOURCE) as other:
        answer = await flood.post("/api/v1/reports:batch", json=members(50))
        statuses = [i["status"] for i in answer.json()["items"]]
        assert (answer.status_code, statuses.count(202), statuses.count(503)) == (503, 20, 30)
        assert {i["problem"]["code"] for i in answer.json()["items"] if i["status"] == 503} == {
            "over_rate"
        }
        assert int(answer.headers["retry-after"]) >= 2
        assert (await other.post("/api/v1/reports", json=report(type="fire"))).status_code == 202
        assert (await flood.post("/api/v1/reports", json=report(type="fire"))).status_code == 202
        again = await flood.post("/api/v1/reports:batch", json=members(20))
        assert [i["replayed"] for i in again.json()["items"]] == [True] * 20, (
            "what was accepted costs nothing"
        )


async def test_the_page_of_sources_and_a_metric_name_senders_above_their_rate(small: Door) -> None:
    async with await small.as_(Role.ADMIN) as admin:
        made = (
            await admin.post(
                "/api/v1/sources",
                json={"name": "bavarde", "dialect": "alertmanager", "site": "cen-1"},
            )
        ).json()
        before = over_rate(made["id"])
        alerts = [
            {
                "status": "firing",
                "labels": {"alertname": f"a{n}"},
                "startsAt": "2026-11-26T08:00:00Z",
                "fingerprint": f"f{n}",
            }
            for n in range(30)
        ]
        async with small.client(Authorization=f"Bearer {made['key']}") as http:
            answer = await http.post(
                "/webhooks/alertmanager",
                json={"version": "4", "groupKey": "g", "status": "firing", "alerts": alerts},
            )
        assert (answer.status_code, answer.json()["code"]) == (503, "over_rate")
        assert len(small.inputs.appended) == 20
        (source_view,) = (await admin.get("/api/v1/sources")).json()["items"]
        assert (source_view["over_rate"], source_view["refused"], source_view["rate_per_s"]) == (
            True,
            {"over_rate": 10},
            1,
        )
        assert over_rate(made["id"]) - before == 10
        changed = await admin.patch("/api/v1/sources/bavarde", json={"rate_per_s": 100})
        assert changed.json()["rate_per_s"] == 100
        async with small.client(Authorization=f"Bearer {made['key']}") as http:
            assert (
                await http.post(
                    "/webhooks/alertmanager",
                    json={"version": "4", "groupKey": "g", "alerts": alerts},
                )
            ).status_code == 202


async def test_a_token_may_be_given_its_own_rate(small: Door) -> None:
    async with await small.as_(Role.ADMIN) as admin:
        made = (
            await admin.post("/api/v1/tokens", json={"role": "source", "rate_per_s": 50})
        ).json()
    assert made["principal"]["rate_per_s"] == 50
    async with small.client(Authorization=f"Bearer {made['token']}") as http:
        answer: httpx.Response = await http.post("/api/v1/reports:batch", json=members(500))
    assert answer.status_code == 202
