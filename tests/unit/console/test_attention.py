"""Demands on attention: one row per decision, ten new ones in ten minutes, danger at once (D77)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.alerts import Headcount, IncidentRow, TaskRow
from schemas.base import HOUR_MS, MINUTE_MS
from schemas.calling import EscalationRow, WaveRow
from schemas.callouts import CallOutRow
from schemas.continuity import ActivityRow, AlarmRow, CardRow, ClockRow, PlanRow
from schemas.crisis.actions import ActionRow
from schemas.crisis.communication import (
    Audience,
    Signature,
    StatementRow,
    StatementState,
)
from schemas.crisis.handovers import HandoverRow, HandoverState
from schemas.crisis.publication import PublicPage
from schemas.crisis.resource_requests import RequestState, ResourceRequestRow
from schemas.oncall import DutyRow, Place, Shift
from schemas.ranks import POLE_DIRECTOR_ROLE
from schemas.reassignment import Decision, ProposalRow, ProposalState
from schemas.reference import Holder, Roster
from schemas.reference_changes import ChangeDecision, ChangeState, ReferenceChangeRow
from schemas.words import (
    ActivityState,
    Certainty,
    ClockBase,
    ClockState,
    IncidentState,
    Level,
    PlanState,
    TaskState,
)
from services.console.attention.queries import group_roles_by_person, narrow_to_poles
from services.console.attention.rows import (
    CELL_ROLE,
    DANGER_RESERVE,
    MAX_NEW,
    AttentionQueue,
    DemandRows,
    Urgency,
    limit_demands,
    list_demands,
)
from services.console.public.document import StalePage
from services.oncall.schedule import Schedule
from tests.shipped import territory

ROLE = "coordinateur_pca"
POLICY = territory().policy


def seen(facts: DemandRows, role: str | None, now: int) -> AttentionQueue:
    """List the demands that one role sees."""
    return limit_demands(list_demands(facts, now), role, now)


def _plans(count: int, minute: float = 0) -> dict[str, Any]:
    row = {"state": PlanState.PROPOSED, "decides": ROLE, "proposed_at": int(minute * MINUTE_MS)}
    return {f"P{n}": PlanRow(id=f"P{n}", **row) for n in range(count)}


def _incident(id: str, minute: float = 0, **values: Any) -> IncidentRow:
    at = int(minute * MINUTE_MS)
    incident_fields = {
        "number": "92-1",
        "kind": "fire",
        "key": id,
        "state": IncidentState.OPEN,
        "level": Level.N2,
        "severity": 4,
        "opened_at": at,
        "certainty": Certainty.CONFIRMED,
        "known_at": at,
        "updated_at": at,
        "version": 0,
        "danger": True,
    }
    return IncidentRow(id=id, **(incident_fields | values))


def test_the_least_urgent_demands_wait_in_the_digest_for_room() -> None:
    facts = DemandRows(POLICY, plans=_plans(20))
    for minute, queue_length in ((0, 6), (9, 6), (10, 12), (20, 18), (30, 20)):
        attention_queue = seen(facts, ROLE, minute * MINUTE_MS)
        assert (len(attention_queue.queue), len(attention_queue.digest)) == (
            queue_length,
            20 - queue_length,
        )
        assert attention_queue.rate <= MAX_NEW - DANGER_RESERVE


def test_danger_to_people_never_waits_and_the_rate_holds() -> None:
    fires = {f"i{n}": _incident(f"i{n}", minute=1) for n in range(15)}
    attention_queue = seen(
        DemandRows(POLICY, incidents=fires, plans=_plans(20)), ROLE, 2 * MINUTE_MS
    )
    dangers = [d for d in attention_queue.queue if d.urgency is Urgency.DANGER]
    assert len(dangers) + sum(d.others for d in dangers) == 15, (
        "those beyond the limit are told by the last row"
    )
    assert {d.count for d in dangers} == {1}, "each row counts its own sites"
    assert attention_queue.queue[0].kind == "danger"
    assert Urgency.DANGER not in {d.urgency for d in attention_queue.digest}
    assert attention_queue.rate == MAX_NEW


def test_people_not_found_come_before_every_other_danger() -> None:
    fire = _incident("i1", members=("cen-1", "pmi-01"))
    call = EscalationRow(
        id="e",
        ladder="N2",
        scope="i1",
        incidents=("i1",),
        state="running",
        policy="v1",
        started_at=0,
        wave=1,
        cycle=1,
        next_at=5 * MINUTE_MS,
        waves=(
            WaveRow(wave=1, cycle=1, due_at=0, fired_at=0, state="fired", roles=(ROLE, "rssi")),
        ),
    )
    facts = DemandRows(
        POLICY,
        incidents={"i1": fire},
        escalations={"e": call},
        missing={
            "cen-1": Headcount(found=3, expected=5, at=0, report="r"),
            "col-1": Headcount(found=0, expected=9, at=0, report="r"),
        },
    )
    first, *others = seen(facts, ROLE, MINUTE_MS).queue
    assert (first.kind, first.count, first.incident) == ("missing", 2, "i1")
    assert [d.kind for d in others] == ["escalation", "danger"]
    answered = call.model_copy(
        update={"waves": (call.waves[0].model_copy(update={"answered": ("p-pca",)}),)}
    )
    facts = replace(
        facts, escalations={"e": answered}, roles_by_person={"p-pca": frozenset({ROLE})}
    )
    assert [d.kind for d in seen(facts, ROLE, MINUTE_MS).queue] == ["missing", "danger"]
    assert "escalation" in [d.kind for d in seen(facts, "rssi", MINUTE_MS).queue]
    assert seen(facts, ROLE, MINUTE_MS).rate == 3, "the call counts, answered or not"
    facts = replace(facts, missing={"cen-1": Headcount(found=0, expected=1460, at=0, report="r")})
    first = seen(facts, ROLE, MINUTE_MS).queue[0]
    assert (first.kind, first.count) == ("counting", 1460), "a count that has only begun"


def _alarm(id: str, activity: str, pole: str) -> AlarmRow:
    return AlarmRow(
        id=id,
        activity=activity,
        pole=pole,
        base=ClockBase.RTO,
        pct=50,
        raised_at=0,
        limit_at=60 * MINUTE_MS,
        to=(POLE_DIRECTOR_ROLE,),
    )


def _activity(id: str, pole: str) -> ActivityRow:
    running = ClockRow(base=ClockBase.RTO, state=ClockState.RUNNING, limit_h=4)
    idle = ClockRow(base=ClockBase.DMIA, state=ClockState.NEVER, limit_h=8)
    return ActivityRow(
        id=id,
        pole=pole,
        criticality=2,
        state=ActivityState.INTERRUPTED,
        capacity_pct=0,
        mbco_pct=50,
        since=0,
        rto=running,
        dmia=idle,
    )


def test_an_alarm_of_an_earlier_interruption_asks_for_nothing() -> None:
    """A clock that had just begun stood in the queue with a limit of last month."""
    activity = _activity("A1", "education")
    facts = DemandRows(
        POLICY, activities={"A1": activity}, alarms={"x": _alarm("x", "A1", "education")}
    )
    demands = [(d.kind, d.activity) for d in list_demands(facts, HOUR_MS)]
    assert demands == [("clocks_rto", "A1")]
    restarted = activity.rto.model_copy(update={"started_at": MINUTE_MS})
    facts = replace(facts, activities={"A1": activity.model_copy(update={"rto": restarted})})
    assert list_demands(facts, HOUR_MS) == []


def test_a_director_is_asked_about_the_own_pole_alone() -> None:
    """Dangers of the own pôle were missing, clocks of the seven others were there."""
    own, other = "solidarites", "education"
    facts = DemandRows(
        POLICY,
        incidents={
            "i-own": _incident("i-own", members=("pmi-01",)),
            "i-other": _incident("i-other", members=("clg-01",)),
        },
        activities={"A": _activity("A", own), "B": _activity("B", other)},
        alarms={"a": _alarm("a", "A", own), "b": _alarm("b", "B", other)},
        plans={
            pole: PlanRow(
                id=pole,
                pole=pole,
                state=PlanState.PROPOSED,
                decides=POLE_DIRECTOR_ROLE,
                proposed_at=0,
            )
            for pole in (own, other)
        },
    )
    mine = narrow_to_poles(facts, {own}, {"pmi-01": own, "clg-01": other})
    queue = seen(mine, POLE_DIRECTOR_ROLE, MINUTE_MS).queue
    assert queue[0].key == "danger:i-own"
    assert {d.key: d.count for d in queue} == {
        "danger:i-own": 1,
        "plan:solidarites": 1,
        "clocks:rto:territory:rest": 1,
    }
    cell = seen(facts, "cellule_situation", MINUTE_MS).queue
    assert {d.key for d in cell} >= {"danger:i-own", "danger:i-other"}
    assert not any(POLE_DIRECTOR_ROLE in d.roles for d in cell)


def test_a_signed_handover_asks_for_the_second_signature_until_somebody_takes_it() -> None:
    """D115: the outgoing person waited, and nobody was asked."""
    by = Signature(by="p-1", role="cellule_rh", at=5 * MINUTE_MS)
    draft = HandoverRow(
        id="1",
        number=1,
        state=HandoverState.DRAFT,
        text_id="t",
        recipients=("cellule_rh",),
        level=Level.N3,
        drafted=by,
        changed_at=by.at,
    )
    signed = draft.model_copy(update={"state": HandoverState.SIGNED, "signed": by})
    accepted = signed.model_copy(update={"state": HandoverState.ACCEPTED, "accepted": by})
    for role in ("cellule_rh", CELL_ROLE, ROLE):
        (demand,) = seen(DemandRows(POLICY, handovers={"1": signed}), role, 10 * MINUTE_MS).queue
        assert (demand.kind, demand.since) == ("handover_signed", 5 * MINUTE_MS)
    for row in (draft, accepted):
        assert list_demands(DemandRows(POLICY, handovers={"1": row}), 10 * MINUTE_MS) == []


def test_a_handover_refused_by_the_incoming_person_returns_to_its_author() -> None:
    """D115: the outgoing person had signed, and nothing asked for another page."""
    outgoing = Signature(by="p-1", role="cellule_rh", at=5 * MINUTE_MS)
    incoming = Signature(by="p-2", role="cellule_si", at=8 * MINUTE_MS)
    signed = HandoverRow(
        id="1",
        number=1,
        state=HandoverState.SIGNED,
        text_id="t",
        recipients=("cellule_rh",),
        level=Level.N3,
        drafted=outgoing,
        signed=outgoing,
        changed_at=outgoing.at,
    )
    revision = {"state": HandoverState.DRAFT, "signed": None}
    refused = signed.model_copy(update={"state": HandoverState.WITHDRAWN, "withdrawn": incoming})
    revised = signed.model_copy(update=revision | {"revised": incoming})
    own = signed.model_copy(update={"state": HandoverState.WITHDRAWN, "withdrawn": outgoing})
    next_one = signed.model_copy(update=revision | {"id": "2", "number": 2})
    crisis = {"i": _incident("i", 3)}
    for row in (refused, revised):
        for role in ("cellule_rh", CELL_ROLE, ROLE):
            facts = DemandRows(POLICY, incidents=crisis, handovers={"1": row})
            queue = seen(facts, role, 10 * MINUTE_MS).queue
            assert ("handover_returned", 8 * MINUTE_MS) in {(d.kind, d.since) for d in queue}
    quiet = (
        DemandRows(POLICY, incidents=crisis, handovers={"1": own}),
        DemandRows(POLICY, incidents=crisis, handovers={"1": refused, "2": next_one}),
        DemandRows(POLICY, handovers={"1": refused}),
    )
    for facts in quiet:
        assert not any(d.kind == "handover_returned" for d in list_demands(facts, 10 * MINUTE_MS))


def test_decisions_of_two_persons_ask_for_the_second_one() -> None:
    by = Signature(by="p-1", role="cellule_com", at=5 * MINUTE_MS)
    submitted = StatementRow(
        id="s",
        state=StatementState.SUBMITTED,
        audience=Audience.USERS,
        text_id="t",
        drafted=by,
        submitted=by,
        changed_at=by.at,
    )
    proposal = ChangeDecision(what="proposed", by="p-1", role=ROLE, at=6 * MINUTE_MS)
    proposed = ReferenceChangeRow(
        id="c",
        state=ChangeState.PROPOSED,
        reference="v2",
        base="v1",
        sections=(),
        decisions=(proposal,),
    )
    facts = DemandRows(
        POLICY, statements={"s": submitted}, changes={"c": proposed}, erasures=[7 * MINUTE_MS]
    )
    queue = seen(facts, ROLE, 10 * MINUTE_MS).queue
    assert [(d.kind, d.since // MINUTE_MS, d.count) for d in queue] == [
        ("statement_submitted", 5, 1),
        ("change_proposed", 6, 1),
        ("erasure_proposed", 7, 1),
    ]
    assert [d.kind for d in seen(facts, "cellule_com", 10 * MINUTE_MS).queue] == [
        "statement_submitted"
    ]
    decided = DemandRows(
        POLICY,
        statements={"s": submitted.model_copy(update={"state": StatementState.VALIDATED})},
        changes={"c": proposed.model_copy(update={"state": ChangeState.APPROVED})},
    )
    assert list_demands(decided, 10 * MINUTE_MS) == []


def test_a_published_page_that_sends_people_into_danger_goes_first() -> None:
    pages = {
        PublicPage.SERVICES: StalePage(MINUTE_MS, is_dangerous=False),
        PublicPage.AGENTS: StalePage(2 * MINUTE_MS, is_dangerous=True),
    }
    queue = seen(DemandRows(POLICY, stale_pages=pages), "cellule_com", 10 * MINUTE_MS).queue
    assert [(d.kind, d.urgency) for d in queue] == [
        ("page_dangerous", Urgency.DANGER),
        ("page_stale", Urgency.REST),
    ]


def test_fifty_silent_sites_of_an_incident_are_one_row() -> None:
    tasks = {
        f"t{n}": TaskRow(
            id=f"t{n}",
            kind="verify_site",
            state=TaskState.OPEN,
            opened_at=n,
            site=f"s{n}",
            incident="i1",
        )
        for n in range(50)
    }
    (row,) = seen(DemandRows(POLICY, tasks=tasks), None, 50).queue
    assert (row.key, row.count) == ("silent:i1", 50)


def test_an_unverified_danger_waits_for_no_room() -> None:
    """A stranger's fire calls nobody: it stood in the digest behind twenty plans."""
    tasks = {
        report: TaskRow(
            id=report,
            kind="verify_report",
            state=TaskState.OPEN,
            opened_at=9,
            due_at=30 * MINUTE_MS,
            report=report,
            owner=ROLE,
        )
        for report in ("fire", "gas", "rain")
    }
    facts = DemandRows(
        POLICY, plans=_plans(20), tasks=tasks, dangers=frozenset({"fire", "gas", "gone"})
    )
    state = seen(facts, ROLE, MINUTE_MS)
    first = state.queue[0]
    assert (first.key, first.kind, first.urgency, first.count) == (
        f"danger_doubted:{ROLE}",
        "danger_doubted",
        Urgency.DANGER,
        2,
    )
    assert [d.key for d in state.digest if d.kind == "verify_report"] == [
        f"task:verify_report:{ROLE}"
    ]


def test_a_danger_in_any_of_the_joined_reports_does_not_wait() -> None:
    """A person in danger is told of in the second report of a power cut."""
    task = TaskRow(
        id="t",
        kind="verify_report",
        state=TaskState.OPEN,
        opened_at=9,
        due_at=30 * MINUTE_MS,
        report="cut",
        candidates=("person", "cut-again"),
    )
    facts = DemandRows(POLICY, plans=_plans(20), tasks={"t": task}, dangers=frozenset({"person"}))
    first = seen(facts, None, MINUTE_MS).queue[0]
    assert (first.kind, first.urgency, first.report) == (
        "danger_doubted",
        Urgency.DANGER,
        "person",
    )


def test_a_danger_without_a_place_asks_all_roles_of_danger_at_once() -> None:
    tasks = {
        report: TaskRow(
            id=report,
            kind="link_site",
            state=TaskState.OPEN,
            opened_at=9,
            due_at=5 * MINUTE_MS,
            report=report,
            incident="i1",
        )
        for report in ("fire", "rain")
    }
    facts = DemandRows(POLICY, plans=_plans(20), tasks=tasks, dangers=frozenset({"fire"}))
    for role in (CELL_ROLE, "astreinte_direction", "dgs_directeur_de_crise"):
        first = seen(facts, role, MINUTE_MS).queue[0]
        assert (first.kind, first.urgency, first.count, first.report, first.due_at) == (
            "danger_placeless",
            Urgency.DANGER,
            1,
            "fire",
            5 * MINUTE_MS,
        )
    placed = {id: row.model_copy(update={"state": TaskState.VOID}) for id, row in tasks.items()}
    gone = DemandRows(POLICY, tasks=placed, dangers=frozenset({"fire"}))
    assert seen(gone, CELL_ROLE, MINUTE_MS).queue == ()


def _taken_task(kind: str, report: str, due_min: float) -> TaskRow:
    return TaskRow(
        id=report,
        kind=kind,
        state=TaskState.TAKEN,
        opened_at=0,
        due_at=int(due_min * MINUTE_MS),
        report=report,
        taken_by="p-cell",
    )


def test_a_danger_that_somebody_looks_for_stays_a_demand_on_the_others() -> None:
    """One click on «Prendre en charge» took a fire without a place off all queues, for good."""
    tasks = {
        "fire": _taken_task("link_site", "fire", 5),
        "gas": _taken_task("verify_report", "gas", 30),
    }
    facts = DemandRows(
        POLICY,
        tasks=tasks,
        dangers=frozenset(tasks),
        roles_by_person={"p-cell": frozenset({"astreinte_direction"})},
    )
    kinds = ["danger_placeless", "danger_doubted"]
    assert [d.kind for d in seen(facts, None, MINUTE_MS).queue] == kinds
    assert [d.kind for d in seen(facts, "dgs_directeur_de_crise", MINUTE_MS).queue] == kinds[:1]
    assert not seen(facts, "astreinte_direction", MINUTE_MS).queue, "that role has it"
    late = seen(facts, "astreinte_direction", 5 * MINUTE_MS).queue
    assert [d.kind for d in late] == kinds[:1], "nothing came of it"


def test_a_stand_in_answers_for_the_role_by_taking_a_danger() -> None:
    """The queue knew the roster alone: the role of a person on leave was asked for nothing."""
    roster = Roster(
        holders=(Holder(role="astreinte_direction", scope=None, holder="p-dir", deputy=None),),
        channels={},
    )
    shift = Shift(start=0, end=HOUR_MS, person="p-cell")
    override = DutyRow(
        id="duty-1",
        kind="override",
        role="astreinte_direction",
        place=Place.HOLDER,
        start=0,
        end=HOUR_MS,
        shifts=(shift,),
        by="p-pca",
        decided_at=0,
        number=1,
    )
    holders: dict[str, tuple[str, str | None, bool]] = {
        "p-dir": ("astreinte_direction", None, False),
        "p-cell": ("responsable_site", "cen-1", False),
    }
    schedule = Schedule(roster, (override,))
    tasks = {"fire": _taken_task("link_site", "fire", 5)}
    facts = DemandRows(POLICY, tasks=tasks, dangers=frozenset(tasks))
    now = group_roles_by_person(holders, schedule, None, MINUTE_MS)
    assert not seen(replace(facts, roles_by_person=now), "astreinte_direction", MINUTE_MS).queue
    assert now["p-dir"] == {"astreinte_direction"}
    later = group_roles_by_person(holders, schedule, None, HOUR_MS)
    assert seen(replace(facts, roles_by_person=later), "astreinte_direction", MINUTE_MS).queue


def test_a_taken_task_asks_again_when_it_is_late() -> None:
    """Its taker may have left the cell."""
    facts = DemandRows(POLICY, tasks={"rain": _taken_task("verify_report", "rain", 30)})
    assert not seen(facts, CELL_ROLE, 29 * MINUTE_MS).queue
    assert [d.kind for d in seen(facts, CELL_ROLE, 30 * MINUTE_MS).queue] == ["verify_report"]


def test_each_danger_without_a_place_is_a_demand_of_its_own() -> None:
    """The second fire was a count on the row of the first, with the words of the first."""
    tasks = {
        report: TaskRow(
            id=report, kind="link_site", state=TaskState.OPEN, opened_at=at, report=report
        )
        for report, at in (("fire-1", 9), ("fire-2", 30_000))
    }
    facts = DemandRows(POLICY, tasks=tasks, dangers=frozenset(tasks))
    queue = seen(facts, "astreinte_direction", MINUTE_MS).queue
    assert [(d.kind, d.count, d.report, d.since) for d in queue] == [
        ("danger_placeless", 1, "fire-1", 9),
        ("danger_placeless", 1, "fire-2", 30_000),
    ]


def test_a_headcount_after_an_order_never_waits_behind_other_work() -> None:
    """D79: the one after a fire went to the digest, in the words of people without an answer."""
    tasks = {
        site: TaskRow(
            id=site,
            kind="headcount",
            state=TaskState.OPEN,
            opened_at=MINUTE_MS,
            due_at=6 * MINUTE_MS,
            site=site,
            incident="i1",
        )
        for site in ("sst-11", "pmi-01")
    }
    facts = DemandRows(POLICY, plans=_plans(20), tasks=tasks)
    state = seen(facts, None, 2 * MINUTE_MS)
    first = state.queue[0]
    assert (first.kind, first.urgency, first.count) == ("headcount_proposed", Urgency.DANGER, 2)
    assert "headcount_proposed" not in [d.kind for d in state.digest]


def test_a_role_sees_its_own_decisions_and_an_ended_incident_asks_its_pilot() -> None:
    over = {"i1": _incident("i1", over_since=3, danger=True)}
    facts = DemandRows(POLICY, incidents=over, plans=_plans(1))
    assert [d.kind for d in seen(facts, ROLE, MINUTE_MS).queue] == ["plan_proposed"]
    assert [d.kind for d in seen(facts, "directeur_pole", MINUTE_MS).queue] == ["lowering_proposed"]
    assert seen(facts, "president", MINUTE_MS).queue == ()


def test_a_higher_level_of_a_plan_activated_by_hand_waits_for_a_decision() -> None:
    """It had no time of a proposal: a person had activated the plan."""
    row = PlanRow(
        id="P",
        state=PlanState.ACTIVE,
        decides=ROLE,
        decided_at=MINUTE_MS,
        level=2,
        proposed_level=3,
    )
    (raised,) = list_demands(DemandRows(POLICY, plans={"P": row}), HOUR_MS)
    assert (raised.kind, raised.since) == ("plan_proposed", MINUTE_MS)


def test_cards_are_late_only_while_their_plan_is_active() -> None:
    """Those of a plan that was stood down stayed in the queue for ever."""
    cards = (
        CardRow(id="F1", role="cellule_com", due_at=MINUTE_MS, overdue=True),
        CardRow(id="F2", role="cellule_com", due_at=MINUTE_MS),
    )
    row = PlanRow(id="P", state=PlanState.ACTIVE, decides=ROLE, decided_at=2, cards=cards)
    (late,) = list_demands(DemandRows(POLICY, plans={"P": row}), HOUR_MS)
    assert (late.kind, late.count, late.since) == ("cards_late", 1, MINUTE_MS)
    for state in (PlanState.LIFTED, PlanState.REFUSED, PlanState.POSTPONED, PlanState.PROPOSED):
        ended = {"P": row.model_copy(update={"state": state})}
        demands = list_demands(DemandRows(POLICY, plans=ended), HOUR_MS)
        assert "cards_late" not in [d.kind for d in demands], state


def _action(id: str, **values: Any) -> ActionRow:
    action_fields = {
        "state": "requested",
        "text_id": "t",
        "assignee": "cellule_rh",
        "role": "cellule_rh",
        "priority": "normal",
        "requested_by": "p",
        "requested_role": "cell",
        "requested_at": 1,
        "due_at": 60 * MINUTE_MS,
    }
    return ActionRow.model_validate({"id": id} | action_fields | values)


def test_actions_wait_for_their_role_and_late_ones_for_the_coordinator_too() -> None:
    late = _action("a3", overdue_at=2, due_at=2, state="accepted", accepted_by="p")
    rows = {
        "a1": _action("a1"),
        "a2": _action("a2"),
        "a3": late,
        "a4": _action("a4", state="done", accepted_by="p"),
    }
    facts = DemandRows(POLICY, actions=rows)
    waiting = [(d.kind, d.count) for d in seen(facts, "cellule_rh", MINUTE_MS).queue]
    assert waiting == [("action_late", 1), ("action", 2)]
    assert [d.kind for d in seen(facts, ROLE, MINUTE_MS).queue] == ["action_late"]


def test_the_escalation_of_an_action_is_no_demand_of_its_own() -> None:
    row = EscalationRow(
        id="e1",
        ladder="action",
        scope="action:a1",
        action="a1",
        state="running",
        policy="v",
        started_at=1,
        wave=1,
        cycle=1,
    )
    assert seen(DemandRows(POLICY, escalations={"e1": row}), None, MINUTE_MS).queue == ()


def test_requests_for_life_are_one_demand_before_the_others() -> None:
    request_fields = {
        "kind": "generator",
        "quantity": 1,
        "site": "pmi-01",
        "state": "requested",
        "requested_by": "p",
        "requested_role": "cell",
    }
    rows = {
        str(n): ResourceRequestRow.model_validate(
            request_fields | {"id": str(n), "number": n, "priority": priority, "requested_at": n}
        )
        for n, priority in enumerate(("comfort", "life", "life"), 1)
    }
    demands = seen(DemandRows(POLICY, requests=rows), "cellule_logistique", 50).queue
    assert [(row.key, row.count) for row in demands] == [
        ("resources:life", 2),
        ("resources:comfort", 1),
    ]


def test_a_late_resource_that_was_cancelled_is_awaited_no_more() -> None:
    row = ResourceRequestRow(
        id="r",
        number=1,
        kind="generator",
        quantity=1,
        site="pmi-01",
        priority="continuity",
        state="en_route",
        requested_at=1,
        requested_by="p",
        requested_role="cell",
        late_at=2,
    )
    assert [d.kind for d in list_demands(DemandRows(POLICY, requests={"r": row}), 9)] == [
        "resource_late"
    ]
    for state in ("cancelled", "in_place", "released"):
        ended = row.model_copy(update={"state": RequestState(state)})
        assert list_demands(DemandRows(POLICY, requests={"r": ended}), 9) == []


def _headcount(id: str, minute: float = 0, **values: Any) -> CallOutRow:
    at = int(minute * MINUTE_MS)
    fields: dict[str, Any] = {
        "kind": "headcount",
        "state": "running",
        "text_id": "t",
        "level": Level.N0,
        "channels": (),
        "sites": ("gym-08",),
        "by": "p",
        "drafted_at": at,
        "started_at": at,
        "people": 10,
    }
    return CallOutRow(id=id, **(fields | values))


def _rows(now: int, *counts: CallOutRow, **facts: Any) -> list[tuple[str, int]]:
    rows = DemandRows(POLICY, callouts={c.id: c for c in counts}, **facts)
    return [(d.kind, d.count) for d in seen(rows, CELL_ROLE, now).queue]


def test_requests_for_help_come_first_and_outlive_their_headcount() -> None:
    """D37: they stood among those without an answer, and vanished with the end of the headcount."""
    running = _headcount("c", safe=4, help=2, away=1)
    assert _rows(MINUTE_MS, running) == [("help", 2), ("headcount", 3)]
    ended = {"state": "done", "ended_at": 5 * MINUTE_MS, "safe": 7, "help": 2, "away": 1}
    assert _rows(HOUR_MS, _headcount("c", **ended)) == [("help", 2)]
    assert _rows(5 * HOUR_MS, _headcount("c", **ended)) == []


def test_a_request_for_help_stays_while_the_incident_of_its_headcount_is_open() -> None:
    ended = {"state": "done", "ended_at": 5 * MINUTE_MS, "safe": 9, "help": 1, "incident": "i"}
    count = _headcount("c", **ended)
    quiet = _incident("i", danger=False)
    assert _rows(9 * HOUR_MS, count, incidents={"i": quiet}) == [("help", 1)]
    closed = _incident("i", danger=False, state=IncidentState.CLOSED)
    assert _rows(9 * HOUR_MS, count, incidents={"i": closed}) == []


def test_a_request_for_help_follows_its_incident_into_the_one_that_it_was_merged_into() -> None:
    """D37: a merge took requests for help out of the queue."""
    ended = {"state": "done", "ended_at": 5 * MINUTE_MS, "safe": 9, "help": 1, "incident": "i"}
    incidents = {
        "i": _incident("i", danger=False, state=IncidentState.MERGED, merged_into="j"),
        "j": _incident("j", danger=False, state=IncidentState.MERGED, merged_into="k"),
        "k": _incident("k", danger=False),
    }
    facts = DemandRows(POLICY, incidents, callouts={"c": _headcount("c", **ended)})
    (demand,) = seen(facts, CELL_ROLE, 9 * HOUR_MS).queue
    assert (demand.kind, demand.count, demand.incident) == ("help", 1, "k")
    incidents["k"] = _incident("k", danger=False, state=IncidentState.CLOSED)
    assert seen(replace(facts, incidents=incidents), CELL_ROLE, 9 * HOUR_MS).queue == ()


def test_a_request_for_help_stays_while_an_incident_at_its_sites_is_open() -> None:
    """D37: a headcount of the page «Appels» names no incident, and its help vanished after 4 h."""
    count = _headcount("c", state="done", ended_at=5 * MINUTE_MS, safe=9, help=1)
    here = _incident("i", danger=False, members=("gym-08",))
    assert _rows(9 * HOUR_MS, count, incidents={"i": here}) == [("help", 1)]
    elsewhere = _incident("i", danger=False, members=("gym-09",))
    assert _rows(9 * HOUR_MS, count, incidents={"i": elsewhere}) == []


def test_a_later_headcount_of_the_same_sites_asks_for_help_anew() -> None:
    first = _headcount("c", help=1, safe=9, state="done", ended_at=MINUTE_MS)
    second = _headcount("d", 10, safe=10, state="done", ended_at=12 * MINUTE_MS)
    assert _rows(15 * MINUTE_MS, first, second) == []


def test_a_proposal_asks_for_its_undecided_lines() -> None:
    """The row stayed, with all its lines, after each of them had been approved."""

    def count(*decided: tuple[str, ...], withdrawn: tuple[str, ...] = ()) -> list[tuple[str, int]]:
        proposal = ProposalRow(
            id="p-1",
            number=1,
            state=ProposalState.OPEN,
            reference="v1",
            requested_at=0,
            computed_at=0,
            sites_hit=1,
            elapsed_h=0,
            transit=True,
            telework=True,
            lines=3,
            withdrawn=withdrawn,
            decisions=tuple(
                Decision(
                    id=f"d-{n}",
                    verb=verb,
                    lines=lines,
                    agents=len(lines),
                    by="dgs",
                    role="dgs",
                    at=0,
                    rules=("D49",),
                )
                for n, (verb, lines) in enumerate(
                    zip(("approve", "decline"), decided, strict=False)
                )
            ),
        )
        facts = DemandRows(policy=POLICY, proposals={"p-1": proposal})
        rows = list_demands(facts, HOUR_MS)
        return [(row.kind, row.count) for row in rows if row.kind == "reassignment_proposed"]

    assert count() == [("reassignment_proposed", 3)]
    assert count(("l-1",)) == [("reassignment_proposed", 2)]
    assert count(("l-1",), ("l-2", "l-3")) == []
    assert count(("l-1",), withdrawn=("l-2", "l-3")) == [], "lines at a site that shelters"


def test_a_call_about_a_danger_that_is_over_is_an_ordinary_decision() -> None:
    call = EscalationRow(
        id="e",
        ladder="N2",
        scope="i1",
        incidents=("i1",),
        state="exhausted",
        policy="v1",
        started_at=0,
        wave=1,
        cycle=1,
        waves=(WaveRow(wave=1, cycle=1, due_at=0, fired_at=0, state="fired", roles=(ROLE,)),),
    )
    fire = _incident("i1", members=("cen-1",))
    for over_since, urgency in ((None, Urgency.DANGER), (MINUTE_MS, Urgency.DECISION)):
        incident = fire.model_copy(update={"over_since": over_since})
        facts = DemandRows(POLICY, incidents={"i1": incident}, escalations={"e": call})
        (demand,) = (d for d in list_demands(facts, 2 * MINUTE_MS) if d.kind == "escalation")
        assert demand.urgency is urgency
