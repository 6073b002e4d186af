"""A recorded crisis replays to the same facts; a changed replay shows the changed calls."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from schemas.base import MINUTE_MS, Message, parse_open
from schemas.commands import AnswerNotification
from schemas.delivery import NotificationRow
from schemas.reassignment import ApproveReassignments, ProposalComputed
from schemas.reference import PublishReference, compute_version
from schemas.reference_changes import ApproveReference, DraftReference, ProposeReference
from schemas.runtime import OpenRealm, RealmOpened, StepRequested
from schemas.words import Answer
from services.continuity.reassignment.proposals import Proposals
from services.runtime.log.transaction import FactRecord, Transaction
from services.runtime.testing import MemoryService, MemorySystem, StoredRecord
from services.simulation.history import (
    Difference,
    Milestone,
    compare_summaries,
    summarise_history,
)
from services.simulation.recording import (
    ForkPoint,
    NotRecorded,
    OutsideInput,
    Recording,
    _describe_behaviour,
    _is_outside,
)
from services.simulation.replay import (
    ChangeInvalid,
    apply_patch,
    count_matching_facts,
    get_initial_reference,
    replay_recording,
)
from tests.scenarios.memory import MemoryPlayer, scenario

UNTIL_MIN = 25


@cache
def recorded() -> Recording:
    """Return S04 as its logs and inputs hold it."""
    inputs: list[tuple[str, Message, str, int | None]] = []
    feed = MemorySystem.feed

    def keeping(
        self: MemorySystem,
        service: str,
        realm: str,
        message: Message,
        *,
        id: str,
        at: int | None = None,
        settle: bool = True,
    ) -> Any:
        inputs.append((service, message, id, at))
        return feed(self, service, realm, message, id=id, at=at, settle=settle)

    patch = pytest.MonkeyPatch()
    patch.setattr(MemorySystem, "feed", keeping)
    try:
        player = MemoryPlayer(scenario("S04"), "92~ex-recorded")
        player.play(player.played.start + UNTIL_MIN * MINUTE_MS)
    finally:
        patch.undo()
    facts = tuple(player.system.facts(player.realm))
    opened = next(f.message() for f in facts if f.name == "RealmOpened")
    assert isinstance(opened, RealmOpened)
    outside = [
        (s, m, id, at) for s, m, id, at in inputs if not isinstance(m, StepRequested | OpenRealm)
    ]
    return Recording(
        player.realm,
        opened,
        tuple(
            OutsideInput(s, n, id, opened.started_at if at is None else at, n, m)
            for n, (s, m, id, at) in enumerate(outside, start=1)
        ),
        player.played.start + UNTIL_MIN * MINUTE_MS,
        facts,
        (),
    )


@cache
def as_it_was() -> tuple[FactRecord, ...]:
    return tuple(replay_recording(recorded()))


def with_patch(patch: dict[str, Any], fork: ForkPoint | None = None) -> list[Difference]:
    changed = replay_recording(
        recorded(), apply_patch(get_initial_reference(recorded()), patch), fork
    )
    return compare_summaries(summarise_history(as_it_was()), summarise_history(changed))


def test_a_replay_without_a_change_gives_every_fact_again() -> None:
    same, total = count_matching_facts(recorded(), as_it_was())
    assert same == total > 300
    assert (
        compare_summaries(summarise_history(recorded().facts), summarise_history(as_it_was())) == []
    )


SOONER = {"escalation": {"policy": {"ladders": {"N3": {"3": {"after_min": 11}}}}}}
"""The escalation's third wave calls the duty elected representative after 11 minutes, not 15."""


def test_an_earlier_wave_calls_its_role_earlier_and_no_one_later() -> None:
    differences = with_patch(SOONER)
    called = {d.milestone.of: d.minutes for d in differences if d.milestone.what == "called"}
    assert called["elu_astreinte"] == -4
    assert not [d for d in differences if d.worse]


def test_a_later_wave_is_shown_as_worse() -> None:
    differences = with_patch(
        {"escalation": {"policy": {"ladders": {"N3": {"3": {"after_min": 18}}}}}}
    )
    assert {(d.milestone.of, d.milestone.what) for d in differences if d.worse} >= {
        ("elu_astreinte", "called")
    }


def test_a_change_after_the_start_of_an_escalation_does_not_move_it() -> None:
    began = next(
        n
        for n, o in enumerate(recorded().outside)
        if o.at
        > summarise_history(recorded().facts).milestones[Milestone("level", "territory", "N3")]
    )
    assert not [
        d for d in with_patch(SOONER, fork=ForkPoint(began)) if d.milestone.of == "elu_astreinte"
    ]


def test_a_change_applies_from_its_time_and_not_from_the_earlier_input() -> None:
    last = recorded().outside[-1].at
    at = last + (recorded().end - last) // 2
    fork = recorded().moment(at)
    assert fork == ForkPoint(len(recorded().outside), at)
    published = [
        f
        for f in replay_recording(
            recorded(), apply_patch(get_initial_reference(recorded()), SOONER), fork
        )
        if f.name == "ReferencePublished" and f.at > last
    ]
    assert {f.at for f in published} == {at}


def test_a_change_before_the_crisis_applies_from_its_beginning() -> None:
    """The change was published before the recorded data, which then replaced it.

    The answer was: « rien ne serait arrivé à un autre moment ».
    """
    assert recorded().position("alerts/0") is None
    assert recorded().moment(recorded().opening.started_at - 1) is None
    with pytest.raises(NotRecorded, match=r"is recorded until .* only"):
        recorded().moment(recorded().end + 1)


def test_a_missing_plan_is_not_proposed() -> None:
    plans = {m.of for m in summarise_history(as_it_was()).milestones if m.kind == "plan"}
    gone = min(plans)
    differences = with_patch({"plans": {"plans": {gone: None}}})
    assert all(
        d.after is None
        for d in differences
        if d.milestone.kind == "plan" and d.milestone.of == gone
    )
    assert any(d.milestone == Milestone("plan", gone, "proposed") for d in differences)


def test_a_log_position_is_an_input() -> None:
    outside = recorded().outside
    last = max(n for n, o in enumerate(outside) if isinstance(o.message, PublishReference))
    assert recorded().position(f"alerts/{outside[last + 1].seq}") == ForkPoint(last + 2)
    for wrong in ("alerts", "nobody/3", "alerts/x"):
        with pytest.raises(NotRecorded, match="no log position"):
            recorded().position(wrong)


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        (
            {"escalation": {"policy": {"ladders": {"N2": {"1": {"after_min": "soon"}}}}}},
            r"escalation\.policy\.ladders\.N2\.0\.after_min",
        ),
        (
            {"escalation": {"policy": {"ladders": {"N2": {"9": {"after_min": 1}}}}}},
            "no element wave = 9",
        ),
        ({"sites": {"sites": {"nowhere": {"staff": 3}}}}, "no element id = nowhere"),
        ({"escalation": {"policy": {"never_skipped": {"x": 1}}}}, "have no name"),
    ],
)
def test_an_unfit_patch_names_its_place(patch: dict[str, Any], says: str) -> None:
    with pytest.raises(ChangeInvalid, match=says):
        apply_patch(get_initial_reference(recorded()), patch)


def test_a_patch_merges_and_removes() -> None:
    sections = get_initial_reference(recorded())
    site = next(s for s in sections if s.section == "sites").sites[0]
    after = apply_patch(sections, {"sites": {"sites": {site.id: {"staff": site.staff + 7}}}})
    assert next(s for s in after if s.section == "sites").sites[0] == site.model_copy(
        update={"staff": site.staff + 7}
    )
    without = apply_patch(sections, {"sites": {"sites": {site.id: None}}})
    assert site not in next(s for s in without if s.section == "sites").sites


def test_people_answer_as_recorded() -> None:
    rows = [
        FactRecord(
            "vigie.NotificationChanged.v1",
            "f",
            0,
            {"row": row("n-1", "p-1", 1000).model_dump(mode="json")},
        )
    ]
    answer = AnswerNotification(
        author="p-1", role="dgs", notification="n-1", person="p-1", answer=Answer.ACK, channel="sms"
    )
    exact, general = _describe_behaviour(rows, [(91_000, answer)])
    assert exact == {
        "person": "p-1",
        "answer": "ack",
        "after_s": 90,
        "role": "dgs",
        "level": 3,
        "wave": 1,
    }
    assert general == {"person": "p-1", "answer": "ack", "after_s": 90}


def row(id: str, person: str, at: int) -> NotificationRow:
    return NotificationRow.model_validate(
        {
            "id": id,
            "level": 3,
            "role": "dgs",
            "person": person,
            "state": "accepted",
            "template": "incident_wave",
            "planned_at": at,
            "wave": 1,
        }
    )


def test_references_are_not_published_twice() -> None:
    commands = [o for o in recorded().outside if isinstance(o.message, PublishReference)]
    assert len(get_initial_reference(recorded())) == len(commands) > 5


def test_a_decision_during_a_computation_keeps_its_place_in_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second proposal is requested, people approve the first, then the answer arrives.

    The replay finds none of that stale.
    """
    stored_inputs: list[tuple[Transaction, bytes]] = []
    computes = False
    feed_raw, job = MemoryService.feed_raw, Proposals.job

    def keeping(
        self: MemoryService[Any],
        partition: int,
        key: Any,
        value: Any,
        headers: Any,
        timestamp: int | None = None,
    ) -> StoredRecord:
        stored = feed_raw(self, partition, key, value, headers, timestamp)
        stored_inputs.append((stored.transaction, value))
        return stored

    with monkeypatch.context() as patch:
        patch.setattr(MemoryService, "feed_raw", keeping)
        patch.setattr(Proposals, "job", lambda self, realm: None if computes else job(self, realm))
        player = MemoryPlayer(scenario("S04"), "92~ex-decided", planner=True)
        realm, start = player.realm, player.played.start
        player.play(start + 4 * MINUTE_MS)
        (first,) = [
            f.data["row"] for f in player.system.facts(realm) if f.name == "ProposalChanged"
        ]
        computes = True
        for event in player.played.events:
            if start + 4 * MINUTE_MS < event.reported_at <= start + 8 * MINUTE_MS:
                player.system.step(realm, event.reported_at)
                player.report(event.id, event.body, event.reported_at)
        player.system.step(realm, start + 8 * MINUTE_MS)
        approval = ApproveReassignments(
            author="c", role="coordinateur_pca", proposal=first["id"], expected=0
        )
        player.system.feed("continuity", realm, approval, id="approval", at=start + 8 * MINUTE_MS)
        computes = False
        player.system.step(realm, start + 8 * MINUTE_MS)
        player.system.step(realm, start + 10 * MINUTE_MS)
    facts = tuple(player.system.facts(realm))
    assert sum(f.name == "ReassignmentOrdered" for f in facts) > 5
    outside = tuple(
        OutsideInput(tx.service, tx.seq, tx.src.id, tx.at, n, parse_open(tx.src.type, value))
        for n, (tx, value) in enumerate(stored_inputs)
        if _is_outside(tx)
    )
    assert sum(isinstance(o.message, ProposalComputed) for o in outside) > 1
    opened = next(f.message() for f in facts if f.name == "RealmOpened")
    assert isinstance(opened, RealmOpened)
    recording = Recording(realm, opened, outside, start + 10 * MINUTE_MS, facts, ())
    same, total = count_matching_facts(recording, replay_recording(recording))
    assert same == total


def test_a_change_by_two_persons_is_replayed_and_left_out_of_a_what_if() -> None:
    """It is a later version of the data that the changed replay alters from the start."""
    recording = recorded()
    base = next(
        o.message.reference for o in recording.outside if isinstance(o.message, PublishReference)
    )
    sections = apply_patch(get_initial_reference(recording), SOONER)
    reference, who = compute_version(sections), {"author": "ana", "role": "coordinator"}
    drafts = [DraftReference(**who, reference=reference, data=section) for section in sections]
    proposal = ProposeReference(
        **who, reason="text:why", reference=reference, base=base, sections=()
    )
    at = recording.end - 5 * MINUTE_MS
    before = replace(recording, outside=tuple(o for o in recording.outside if o.at < at))

    def with_inputs(*messages: Message) -> Recording:
        inputs = (
            OutsideInput("alerts", 10_000 + n, f"change-{n}", at, at, message)
            for n, message in enumerate(messages)
        )
        return replace(before, outside=(*before.outside, *inputs))

    proposed = replay_recording(with_inputs(*drafts, proposal))
    change = next(f.data["row"]["id"] for f in proposed if f.name == "ReferenceChangeRecorded")
    history = with_inputs(
        *drafts, proposal, ApproveReference(author="bea", role="director", change=change)
    )
    assert [
        f.data["change"] for f in replay_recording(history) if f.name == "ReferenceChangeRecorded"
    ].count("in_force") == 1
    assert "ReferenceChangeRecorded" not in {f.name for f in replay_recording(history, sections)}
