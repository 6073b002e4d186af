"""While decisions are behind, ordinary reports are asked to retry; danger to people never is."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from schemas.topics import PARTITION_COUNT, partition_of, urgent_topic
from services.intake.admission import (
    ALWAYS_ADMITTED,
    ASSUMED_PACE,
    REALM_ALWAYS_ADMITTED,
    REALMS_AGE_S,
    SENDER_ALWAYS_ADMITTED,
    SENDER_SHARE_S,
    Admission,
    BodyMemory,
    DecisionLag,
    LaneBacklog,
)
from services.intake.reports.deduplication import TOPIC
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from tests.unit.intake.conftest import Door, report

P = partition_of("92", PARTITION_COUNT)
URGENT = urgent_topic("alerts")
SHARE = int(ASSUMED_PACE * 2)
"""Reports that a realm may have undecided for two seconds."""


def behind(backlog: DecisionLag, waiting: int) -> None:
    """Set the number of waiting ordinary inputs."""
    backlog._lanes[TOPIC, P].note(waiting + 1, 0, 1.0)


def test_the_pace_is_learnt_while_something_waits_and_kept_while_the_decider_is_down() -> None:
    lane = LaneBacklog()
    lane.note(10_000, 0, 1.0)
    assert lane.wait_s == pytest.approx(9_999 / ASSUMED_PACE)
    for second in range(1, 30):
        lane.note(50_000, second * 1000, 1.0)
    assert lane.pace == pytest.approx(1000, rel=0.01)
    for _ in range(100):
        lane.note(50_000, 29_000, 1.0)
    assert lane.pace == pytest.approx(1000, rel=0.01)
    assert lane.wait_s == pytest.approx(21, rel=0.01)


def test_reports_are_accepted_before_the_first_sign_of_a_decider_and_for_a_small_backlog() -> None:
    backlog = DecisionLag("nowhere:1", 1.0)
    backlog.record_report(TOPIC, P, 1_000_000, "92", "source-1")
    backlog.check(P, "92")
    backlog = DecisionLag("nowhere:1", 0.001)
    behind(backlog, ALWAYS_ADMITTED)
    backlog.check(P, "92")


def test_a_refusal_gives_the_delay_of_decisions() -> None:
    backlog = DecisionLag("nowhere:1", 30.0)
    behind(backlog, int(ASSUMED_PACE * 40))
    with pytest.raises(ProblemError, match="decider_behind") as refused:
        backlog.check(P, "92")
    assert (refused.value.problem.status, refused.value.problem.retry_after_s) == (503, 10)
    assert backlog.note() is not None
    DecisionLag("nowhere:1", 0.0).check(P, "92")


async def test_danger_and_renewals_pass_while_decisions_are_behind_and_the_front_stays_ready(
    door: Door,
) -> None:
    behind(door.intake.backlog, 1_000_000)
    async with await door.as_(Role.CELL) as http:
        refused = await http.post("/api/v1/reports", json=report())
        assert (refused.status_code, refused.json()["code"]) == (503, "decider_behind")
        assert int(refused.headers["retry-after"]) >= 2
        assert (await http.post("/api/v1/reports", json=report(type="fire"))).status_code == 202
        exercise = report(realm="92~ex-1", status="Exercise")
        assert (await http.post("/api/v1/reports", json=exercise)).status_code == 202
        readiness = (await http.get("/readyz")).json()
        assert "only danger to people" in readiness["checks"]["decisions"]
        behind_no_more = DecisionLag("nowhere:1", 60.0)
        assert behind_no_more.note() is None


def flood(
    backlog: DecisionLag, realm: str, count: int, topic: str = TOPIC, sender: str = "source-1"
) -> None:
    """Accept reports of a realm that nobody has decided."""
    lane = backlog._lanes[topic, P]
    begin = lane.end
    if lane.applied_offset is None:
        lane.note(begin, begin - 1, 0.0)
    for n in range(count):
        backlog.record_report(topic, P, begin + n, realm, sender)


def share(*realms: str) -> DecisionLag:
    return DecisionLag("nowhere:1", 60.0, 2.0, lambda: realms)


def test_a_flood_of_93_is_asked_to_retry_and_92_is_admitted() -> None:
    assert partition_of("93", PARTITION_COUNT) == P, "92 and 93 share a decider"
    backlog = share("92", "93")
    flood(backlog, "93", SHARE)
    backlog.check(P, "93")
    flood(backlog, "93", 1)
    with pytest.raises(ProblemError, match="decider_behind"):
        backlog.check(P, "93")
    backlog.check(P, "92")


def test_reports_of_a_realm_count_until_they_are_decided() -> None:
    backlog = share("92", "93")
    flood(backlog, "93", SHARE + 10)
    lane = backlog._lanes[TOPIC, P]
    lane.note(lane.end, 9, 0.0)
    assert lane.waiting_of("93") == SHARE
    backlog.check(P, "93")


def test_a_realm_alone_has_the_whole_decider() -> None:
    backlog = share("92")
    flood(backlog, "92", SHARE * 10)
    backlog.check(P, "92")
    assert not backlog.has_neighbours("92~ex-1")


def test_a_realm_beside_others_always_has_a_few_reports() -> None:
    backlog = DecisionLag("nowhere:1", 60.0, 0.001, lambda: ("92", "93"))
    flood(backlog, "93", REALM_ALWAYS_ADMITTED)
    backlog.check(P, "93")
    flood(backlog, "93", 1)
    assert backlog.is_over_share(TOPIC, P, "93")


def test_a_territory_that_opens_later_is_a_neighbour() -> None:
    realms, now = ["92"], [0.0]
    backlog = DecisionLag("nowhere:1", 60.0, 2.0, lambda: tuple(realms), monotonic=lambda: now[0])
    assert not backlog.has_neighbours("92")
    realms.append("93")
    now[0] += REALMS_AGE_S
    assert backlog.has_neighbours("92")


async def test_danger_beyond_the_share_waits_behind_ordinary_reports_up_to_twice_the_share(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = door.intake.backlog
    monkeypatch.setattr(backlog, "_live_realms", lambda: ("92", "93"))
    flood(backlog, "92", SHARE, URGENT)
    async with await door.as_(Role.CELL) as http:
        for topic in (URGENT, TOPIC):
            body = report(type="fire", headline=f"Feu, {topic}")
            assert (await http.post("/api/v1/reports", json=body)).status_code == 202
            assert door.inputs.topics[-1] == topic
        flood(backlog, "92", SHARE + 1, TOPIC)
        refused = await http.post("/api/v1/reports", json=report(type="fire", headline="Feu, 3"))
        assert (refused.status_code, refused.json()["code"]) == (503, "decider_behind")


async def test_a_flood_of_danger_leaves_the_urgent_lane_to_other_senders(door: Door) -> None:
    backlog = door.intake.backlog
    async with await door.as_(Role.SOURCE) as first, await door.as_(Role.SOURCE) as second:
        assert (await first.post("/api/v1/reports", json=report(type="fire"))).status_code == 202
        sender = next(iter(backlog._lanes[URGENT, P]._by_sender))
        flood(backlog, "92", int(ASSUMED_PACE * SENDER_SHARE_S) + 1, URGENT, sender)
        for http, topic in ((first, TOPIC), (second, URGENT)):
            answer = await http.post("/api/v1/reports", json=report(type="fire", headline=topic))
            assert (answer.status_code, door.inputs.topics[-1]) == (202, topic)


def test_a_sender_has_the_urgent_lane_again_when_its_danger_is_decided() -> None:
    backlog = DecisionLag("nowhere:1", 60.0)
    lane = backlog._lanes[URGENT, P]
    lane.pace = 1.0
    flood(backlog, "92", SENDER_ALWAYS_ADMITTED, URGENT)
    assert not backlog.fills_urgent_lane(URGENT, P, "92", "source-1")
    flood(backlog, "92", 1, URGENT)
    assert backlog.fills_urgent_lane(URGENT, P, "92", "source-1")
    lane.note(lane.end, 0, 0.0)
    assert not backlog.fills_urgent_lane(URGENT, P, "92", "source-1")


def test_senders_that_flood_the_urgent_lane_share_its_half_second() -> None:
    backlog = DecisionLag("nowhere:1", 60.0)
    whole = int(ASSUMED_PACE * SENDER_SHARE_S)
    flood(backlog, "92", whole, URGENT, "source-1")
    assert not backlog.fills_urgent_lane(URGENT, P, "92", "source-1")
    flood(backlog, "92", whole // 2, URGENT, "source-2")
    assert backlog.fills_urgent_lane(URGENT, P, "92", "source-1")
    assert not backlog.fills_urgent_lane(URGENT, P, "92", "source-2")


def test_a_realm_uses_half_of_the_places_while_there_are_others() -> None:
    room = BodyMemory(1000)
    admission = Admission(4, 2, room, lambda _realm: True)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.enter("93", danger=False))
        with pytest.raises(ProblemError, match="overloaded"):
            stack.enter_context(admission.enter("93", danger=False))
        stack.enter_context(admission.enter("93", danger=True))
        stack.enter_context(admission.enter("92", danger=False))
    alone = Admission(4, 2, room)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(alone.enter("92", danger=False))


def test_exercises_leave_half_of_the_places_to_the_live_realm() -> None:
    admission = Admission(4, 2, BodyMemory(1000))
    with ExitStack() as stack:
        for exercise in ("92~ex-1", "92~ex-2"):
            stack.enter_context(admission.enter(exercise, danger=False))
        with pytest.raises(ProblemError, match="overloaded"):
            stack.enter_context(admission.enter("92~ex-3", danger=False))
        stack.enter_context(admission.enter("92~ex-3", danger=True))
        with pytest.raises(ProblemError, match="overloaded"):
            stack.enter_context(admission.enter("92~ex-3", danger=True))
        stack.enter_context(admission.enter("92", danger=False))
        for _ in range(2):
            stack.enter_context(admission.enter("92", danger=True))
