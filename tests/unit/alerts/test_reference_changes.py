"""Changes of the reference data need a proposal, a second person and an effective date (D63).

Running escalations keep their version.
"""

from __future__ import annotations

from typing import Any

import pytest

from schemas.alerts import HistoryForgotten, SiteStatusChanged
from schemas.base import DAY_MS, Command
from schemas.calling import EscalationChanged
from schemas.commands import ReapplyPolicy
from schemas.reference import (
    EscalationPolicy,
    PublishReference,
    ReferencePublished,
    Section,
    SectionData,
    Sites,
    Wave,
    compute_version,
)
from schemas.reference_changes import (
    ApproveReference,
    ChangeState,
    DeclineReference,
    DraftReference,
    Foreseen,
    ProposeReference,
    ReferenceChangeRecorded,
    ReferenceChangeRow,
    WithdrawReference,
)
from schemas.runtime import CommandApplied, CommandRefused, DeadlineFailed, OpenRealm
from services.alerts.decider import AlertsDecider
from services.alerts.evolve import evolve
from services.runtime.testing import MemoryService
from services.territory.differences import compare_sections
from tests.shipped import territory
from tests.unit.alerts.scene import Scene

COLLEGE, OTHER = "clg-0921353W", "par-05"
BASE = territory().version


@pytest.fixture
def scene() -> Scene:
    return Scene(check=True)


def _version(desks: int = 7, site: str = COLLEGE) -> tuple[SectionData, ...]:
    """Return a version with other desks for one site."""

    def one(section: SectionData) -> SectionData:
        if not isinstance(section, Sites):
            return section
        return Sites(
            sites=tuple(
                s.model_copy(update={"desks": desks}) if s.id == site else s for s in section.sites
            )
        )

    return tuple(one(section) for section in territory().sections)


def _slower() -> tuple[SectionData, ...]:
    """Return a version with escalations that leave an hour for an answer."""

    def one(section: SectionData) -> SectionData:
        if not isinstance(section, EscalationPolicy):
            return section
        ladders: dict[str, tuple[Wave, ...]] = {
            name: tuple(wave.model_copy(update={"ack_min": 60}) for wave in waves)
            for name, waves in section.policy.ladders.items()
        }
        return EscalationPolicy(policy=section.policy.model_copy(update={"ladders": ladders}))

    return tuple(one(section) for section in territory().sections)


def _draft(
    scene: Scene,
    sections: tuple[SectionData, ...],
    minute: float = 0,
    without: Section | None = None,
) -> str:
    reference = compute_version(sections)
    for section in sections:
        if section.section is not without:
            scene.command(
                DraftReference(author="ana", role="coordinator", reference=reference, data=section),
                minute,
            )
    return reference


def _proposal(reference: str, sections: tuple[SectionData, ...], **values: Any) -> ProposeReference:
    proposal_fields = {
        "author": "ana",
        "role": "coordinator",
        "reason": "text:why",
        "base": BASE,
        "reference": reference,
    }
    return ProposeReference.model_validate(
        proposal_fields
        | {"sections": tuple(compare_sections(territory().sections, sections))}
        | values
    )


def _propose(
    scene: Scene, sections: tuple[SectionData, ...] | None = None, minute: float = 0, **values: Any
) -> str:
    sections = _version() if sections is None else sections
    answer = scene.command(_proposal(_draft(scene, sections, minute), sections, **values), minute)
    assert isinstance(answer, CommandApplied), answer
    return str(answer.result["change"])


def _approve(scene: Scene, change: str, minute: float, **values: Any) -> None:
    answer = scene.command(
        ApproveReference(**{"author": "bea", "role": "director", "change": change} | values), minute
    )
    assert isinstance(answer, CommandApplied), answer


def _step(scene: Scene, minute: float) -> None:
    """Advance until nothing is due.

    A Transaction holds some 160 kB of deadlines, the rest fires with the next input.
    """
    scene.step(minute)
    while (first := scene.state.agenda.first()) is not None and first.due <= scene.at(minute):
        scene.step(minute)


def _refusal(scene: Scene, command: Command, minute: float = 0) -> tuple[int, str]:
    answer = scene.command(command, minute)
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def _row(scene: Scene, change: str) -> ReferenceChangeRow:
    return scene.state.reference_changes[change]


def _load(
    scene: Scene, sections: tuple[SectionData, ...], minute: float, until: int | None = None
) -> None:
    for n, section in enumerate(sections[:until]):
        command = PublishReference(
            author="system:reference",
            role="admin",
            reference=compute_version(sections),
            data=section,
            last=n == len(sections) - 1,
        )
        assert isinstance(scene.command(command, minute), CommandApplied)


def _published(scene: Scene, reference: str) -> list[ReferencePublished]:
    return [f for f in scene.named(ReferencePublished) if f.reference == reference]


def _without(site: str) -> tuple[SectionData, ...]:
    """Return a version without a site."""

    def one(section: SectionData) -> SectionData:
        if not isinstance(section, Sites):
            return section
        return Sites(sites=tuple(s for s in section.sites if s.id != site))

    return tuple(one(section) for section in territory().sections)


# ── a proposal, a second person, an effective date ─────────────────────────────────────────────────────────────────


def test_a_change_enters_into_force_at_its_time_after_a_second_approval(scene: Scene) -> None:
    sections = _version()
    change = _propose(
        scene, sections, effective_at=scene.at(60), foreseen=Foreseen(crises=3, moved=1, later=2)
    )
    row = _row(scene, change)
    assert (row.state, row.base, row.reference, row.version) == (
        ChangeState.PROPOSED,
        BASE,
        compute_version(sections),
        0,
    )
    assert [(d.section, d.added, d.changed, d.dropped, d.named) for d in row.sections] == [
        (Section.SITES, 0, 1, 0, (f"~{COLLEGE}",))
    ]
    assert row.foreseen is not None
    assert row.foreseen.later == 2

    _step(scene, 5)
    assert scene.state.version == BASE, "nobody approved it"
    _approve(scene, change, 10)
    _step(scene, 59)
    assert scene.state.version == BASE
    _step(scene, 60)

    row = _row(scene, change)
    assert (scene.state.version, row.state, row.in_force_at) == (
        row.reference,
        ChangeState.IN_FORCE,
        scene.at(60),
    )
    assert scene.state.territory.sites[COLLEGE].desks == 7
    assert scene.state.published_at == scene.at(60)
    assert [(d.what, d.by, d.role) for d in row.decisions] == [
        ("proposed", "ana", "coordinator"),
        ("approved", "bea", "director"),
    ]
    assert [f.data.section for f in _published(scene, row.reference)] == [
        s.section for s in sections
    ], "a whole version, in order"
    last = [f.last for f in _published(scene, row.reference)]
    assert last == [False] * (len(last) - 1) + [True]
    assert not scene.state.drafted, "what was kept for it is let go"
    assert not scene.named(DeadlineFailed)


@pytest.mark.parametrize("effective", [None, -90], ids=["no_time", "time_that_is_over"])
def test_a_change_without_a_future_time_enters_into_force_at_its_approval(
    scene: Scene, effective: float | None
) -> None:
    change = _propose(scene, effective_at=None if effective is None else scene.at(effective))
    _approve(scene, change, 10)
    _step(scene, 11)
    assert _row(scene, change).in_force_at == scene.at(10)


def test_a_change_approved_after_its_time_holds_at_once(scene: Scene) -> None:
    change = _propose(scene, effective_at=scene.at(5))
    _step(scene, 30)
    assert _row(scene, change).state is ChangeState.PROPOSED
    _approve(scene, change, 30)
    _step(scene, 31)
    assert _row(scene, change).in_force_at == scene.at(30)


@pytest.mark.parametrize(
    ("author", "code"),
    [("ana", "second_person_needed"), ("system:reference", "person_needed")],
    ids=["proposer", "program"],
)
@pytest.mark.parametrize("kind", [ApproveReference, DeclineReference], ids=["approve", "decline"])
def test_proposers_cannot_approve_their_own_change(
    scene: Scene, kind: Any, author: str, code: str
) -> None:
    change = _propose(scene)
    role = "system" if author.startswith("system:") else "coordinator"
    assert _refusal(scene, kind(author=author, role=role, reason="text:why", change=change), 1) == (
        409,
        code,
    )
    assert _row(scene, change).state is ChangeState.PROPOSED


def test_a_second_person_declines_with_a_reason(scene: Scene) -> None:
    change = _propose(scene)
    assert _refusal(scene, DeclineReference(author="bea", role="director", change=change), 1) == (
        409,
        "reason_required",
    )
    answer = scene.command(
        DeclineReference(
            author="bea", role="director", change=change, reason="text:no", expected=0
        ),
        2,
    )
    assert isinstance(answer, CommandApplied)
    assert (_row(scene, change).state, _row(scene, change).decisions[-1].reason) == (
        ChangeState.DECLINED,
        "text:no",
    )
    assert not scene.state.drafted
    assert _refusal(scene, ApproveReference(author="bea", role="director", change=change), 3) == (
        409,
        "change_decided",
    )


def test_only_the_proposer_withdraws_an_undecided_change(scene: Scene) -> None:
    change = _propose(scene)
    others = WithdrawReference(author="bea", role="director", change=change, reason="text:no")
    assert _refusal(scene, others, 1) == (409, "proposer_only")
    assert _refusal(scene, others.model_copy(update={"author": "ana", "reason": None}), 1) == (
        409,
        "reason_required",
    )
    assert isinstance(scene.command(others.model_copy(update={"author": "ana"}), 1), CommandApplied)
    assert _row(scene, change).state is ChangeState.WITHDRAWN
    assert _refusal(scene, others, 2) == (409, "change_decided")


def test_every_entitled_person_withdraws_an_approved_change_before_its_time(scene: Scene) -> None:
    change = _propose(scene, effective_at=scene.at(60))
    _approve(scene, change, 1)
    program = WithdrawReference(author="system:x", role="system", change=change, reason="text:no")
    assert _refusal(scene, program, 2) == (409, "person_needed")
    assert isinstance(
        scene.command(
            WithdrawReference(author="cid", role="admin", change=change, reason="text:no"), 2
        ),
        CommandApplied,
    )
    _step(scene, 120)
    assert scene.state.version == BASE
    assert _row(scene, change).state is ChangeState.WITHDRAWN


def test_a_decision_on_an_older_version_is_refused(scene: Scene) -> None:
    change = _propose(scene, effective_at=scene.at(60))
    _approve(scene, change, 1, expected=0)
    late = WithdrawReference(
        author="ana", role="coordinator", change=change, reason="text:no", expected=0
    )
    assert _refusal(scene, late, 2) == (412, "version_conflict")


@pytest.mark.parametrize("role", ["cell", "technician", "observer", "source"])
def test_a_person_without_the_right_to_change_reference_data_is_refused(
    scene: Scene, role: str
) -> None:
    change = _propose(scene)
    assert _refusal(scene, ApproveReference(author="bea", role=role, change=change), 1) == (
        403,
        "role_not_allowed",
    )


# ── what cannot be proposed ────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_without_one_of_its_sections_is_not_proposed(scene: Scene) -> None:
    sections = _version()
    reference = _draft(scene, sections, without=Section.STAFFING)
    assert _refusal(scene, _proposal(reference, sections)) == (409, "section_missing")
    assert not scene.state.reference_changes


def test_the_version_in_force_is_no_change(scene: Scene) -> None:
    reference = _draft(scene, territory().sections)
    assert not scene.state.drafted
    assert _refusal(scene, _proposal(reference, territory().sections)) == (
        409,
        "reference_in_force",
    )


def test_a_proposal_is_neither_repeated_nor_altered(scene: Scene) -> None:
    sections = _version()
    change = _propose(scene, sections)
    drafts = scene.state.drafted
    other = _version(desks=99)[1]
    scene.command(
        DraftReference(
            author="mal", role="coordinator", reference=compute_version(sections), data=other
        ),
        1,
    )
    assert scene.state.drafted == drafts
    assert _refusal(scene, _proposal(compute_version(sections), sections, author="bea"), 1) == (
        409,
        "reference_proposed",
    )
    assert _row(scene, change).state is ChangeState.PROPOSED


def test_a_proposal_without_a_reason_is_refused(scene: Scene) -> None:
    sections = _version()
    assert _refusal(scene, _proposal(_draft(scene, sections), sections, reason=None)) == (
        409,
        "reason_required",
    )


def test_unreadable_rules_are_not_proposed(scene: Scene) -> None:
    def one(section: SectionData) -> SectionData:
        if not isinstance(section, EscalationPolicy):
            return section
        levels = [level.model_dump(mode="json") for level in section.policy.levels]
        levels[1]["when"] = {"metric": "no_such_metric", "op": ">=", "value": 1, "args": {}}
        return EscalationPolicy.model_validate(
            {"policy": section.policy.model_dump(mode="json") | {"levels": levels}}
        )

    sections = tuple(one(section) for section in territory().sections)
    assert _refusal(scene, _proposal(_draft(scene, sections), sections)) == (
        409,
        "reference_unusable",
    )


def test_a_realm_without_reference_data_has_nothing_to_change() -> None:
    service = MemoryService(AlertsDecider(), check=True)
    service.feed(
        "92~test-bare",
        OpenRealm(author="system:test", role="admin", territory="92", started_at=0),
        id="open",
        at=0,
    )
    facts = service.feed("92~test-bare", _proposal("a" * 16, _version()), id="propose", at=1).facts
    assert [f.data["code"] for f in facts if f.name == "CommandRefused"] == ["no_reference"]


def test_a_realm_holds_a_bounded_number_of_versions(scene: Scene) -> None:
    scene.service.check = False
    for desks in range(21, 26):
        _propose(scene, _version(desks), minute=desks - 20)
    sections = _version(30)
    assert _refusal(scene, _proposal(_draft(scene, sections, 26), sections), 26) == (
        409,
        "too_many_changes",
    )
    for desks in range(31, 40):
        _draft(scene, _version(desks), desks, without=Section.PLANS)
    assert len({d.reference for d in scene.state.drafted.values()}) == 5 + 3, (
        "what nobody proposed makes room"
    )


# ── what comes in between ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_version_loaded_in_between_is_not_lost_by_an_approval(scene: Scene) -> None:
    change = _propose(scene)
    _load(scene, _version(11, OTHER), 5)
    assert _refusal(scene, ApproveReference(author="bea", role="director", change=change), 6) == (
        409,
        "base_changed",
    )
    assert _refusal(scene, _proposal(_draft(scene, _version(12), 7), _version(12)), 7) == (
        409,
        "base_changed",
    )
    assert scene.state.territory.sites[OTHER].desks == 11


def test_an_approved_change_fails_when_another_version_comes_into_force(scene: Scene) -> None:
    late, soon = (
        _propose(scene, effective_at=scene.at(90)),
        _propose(scene, _version(8), effective_at=scene.at(30)),
    )
    _approve(scene, late, 1)
    _approve(scene, soon, 2)
    _step(scene, 31)
    assert _row(scene, soon).state is ChangeState.IN_FORCE
    assert (_row(scene, late).state, _row(scene, late).cause) == (
        ChangeState.FAILED,
        "base_changed",
    )
    _step(scene, 120)
    assert scene.state.version == _row(scene, soon).reference
    assert not scene.state.drafted


def test_a_change_does_not_begin_in_the_middle_of_a_load(scene: Scene) -> None:
    change, other = _propose(scene, effective_at=scene.at(30)), _propose(scene, _version(8))
    _approve(scene, change, 1)
    loaded = _version(11, OTHER)
    _load(scene, loaded, 29, until=3)
    assert _refusal(scene, ApproveReference(author="bea", role="director", change=other), 29) == (
        409,
        "load_under_way",
    )
    _step(scene, 31)
    assert (_row(scene, change).state, _row(scene, change).cause) == (
        ChangeState.FAILED,
        "load_under_way",
    )
    assert not _published(scene, _row(scene, change).reference)


def test_a_load_ends_a_partly_published_change(scene: Scene) -> None:
    """A Transaction holds some 160 kB of deadlines: an input may come between two sections."""
    change = _propose(scene)
    _approve(scene, change, 10)
    loaded = _version(11, OTHER)
    _load(scene, loaded, 10)
    _step(scene, 12)
    row = _row(scene, change)
    assert 0 < len(_published(scene, row.reference)) < 8
    assert (row.state, row.cause) == (ChangeState.FAILED, "load_under_way")
    assert scene.state.version == compute_version(loaded)
    assert (
        scene.state.territory.sites[COLLEGE].desks,
        scene.state.territory.sites[OTHER].desks,
    ) == (next(s.desks for s in territory().sites if s.id == COLLEGE), 11), (
        "nothing of it is in the version that was loaded"
    )


def test_a_change_entering_into_force_is_not_withdrawn(scene: Scene) -> None:
    change = _propose(scene)
    _approve(scene, change, 10)
    late = WithdrawReference(author="ana", role="coordinator", change=change, reason="text:no")
    assert _refusal(scene, late, 10) == (409, "change_decided")
    assert 0 < len(_published(scene, _row(scene, change).reference)) < 8
    _step(scene, 10)
    assert _row(scene, change).state is ChangeState.IN_FORCE


# ── what runs ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_running_escalation_keeps_its_version_until_applied_again(scene: Scene) -> None:
    report = scene.report(0, "outage_power", COLLEGE, severity=4)
    incident = scene.incident_of(report).id
    ladder = scene.state.escalations[scene.state.ladders[incident]]
    change = _propose(scene, _slower(), minute=1)
    _approve(scene, change, 2)
    _step(scene, 2.5)
    assert scene.state.version == _row(scene, change).reference
    assert scene.state.escalations[ladder.id].policy == ladder.policy == BASE

    answer = scene.command(ReapplyPolicy(author="ana", role="coordinator", incident=incident), 3)
    assert isinstance(answer, CommandApplied), answer
    running = scene.state.escalations[scene.state.ladders[incident]]
    assert running.policy == _row(scene, change).reference
    assert {f.row.policy for f in scene.named(EscalationChanged) if f.row.id == ladder.id} >= {BASE}


def test_sites_are_judged_again_under_the_new_version_in_batches() -> None:
    """The new version gives a generator to a site without power.

    The sites exceed one deadline's batch.
    """
    scene = Scene()
    plain = [s.id for s in territory().sites if not s.generator and s.kind == "college"][:30]
    for n, site in enumerate(plain):
        scene.report(n / 10, "outage_power", site, severity=3, capacity_lost_pct=90)

    def one(section: SectionData) -> SectionData:
        if not isinstance(section, Sites):
            return section
        return Sites(
            sites=tuple(
                s.model_copy(update={"generator": True}) if s.id in plain else s
                for s in section.sites
            )
        )

    before = {site: scene.site(site).capacity_pct for site in plain}
    change = _propose(scene, tuple(one(section) for section in territory().sections), minute=10)
    _approve(scene, change, 11)
    _step(scene, 12)
    assert _row(scene, change).judged is None
    assert _row(scene, change).next_at is None
    assert [f.change for f in scene.named(ReferenceChangeRecorded)].count("judging") == 2
    changed = {
        f.row.id
        for f in scene.named(SiteStatusChanged)
        if f.row.id in plain and f.row.capacity_pct != before[f.row.id]
    }
    assert changed == set(plain)
    assert not scene.named(DeadlineFailed)


def test_the_steps_of_a_change_survive_a_restart(scene: Scene) -> None:
    change = _propose(scene, effective_at=scene.at(60))
    _approve(scene, change, 1)
    decider = AlertsDecider()
    loaded = decider.load(scene.state.realm, scene.state.lineage, decider.dump(scene.state))
    assert loaded == scene.state
    assert loaded.agenda.due == scene.state.agenda.due


def test_ended_changes_are_forgotten_and_open_ones_are_not(scene: Scene) -> None:
    waiting, declined = _propose(scene), _propose(scene, _version(8))
    scene.command(
        DeclineReference(author="bea", role="director", change=declined, reason="text:no"), 1
    )
    _draft(scene, _version(9), 2)
    later = scene.at(2) + DAY_MS
    state = evolve(
        scene.state, HistoryForgotten(reported_before=later, closed_before=later, next_at=None)
    )
    assert set(state.reference_changes) == {waiting}
    assert {d.reference for d in state.drafted.values()} == {_row(scene, waiting).reference}


# ── a site leaves while people are in danger there ─────────────────────────────────────────────────────────────────


def test_a_site_with_an_open_incident_does_not_leave(scene: Scene) -> None:
    """A fire at the site had no known place any more, and its reopening opened nothing."""
    scene.report(1, "fire", COLLEGE)
    sections = _without(COLLEGE)
    change = _propose(scene, sections, 2, dropped_sites=(COLLEGE,))
    approval = ApproveReference(author="bea", role="director", change=change)
    assert _refusal(scene, approval, 3) == (409, "site_in_incident")
    assert scene.state.version == BASE


def test_a_later_change_that_drops_a_site_waits_for_the_end_of_its_incident(scene: Scene) -> None:
    scene.report(1, "fire", COLLEGE)
    in_time = _propose(
        scene, _without(COLLEGE), 2, dropped_sites=(COLLEGE,), effective_at=scene.at(90)
    )
    _approve(scene, in_time, 3)
    _step(scene, 95)
    row = _row(scene, in_time)
    assert (row.state, row.cause) == (ChangeState.FAILED, "site_in_incident")
    assert scene.state.version == BASE


def test_a_site_in_an_incident_leaves_if_the_proposal_says_so(scene: Scene) -> None:
    scene.report(1, "fire", COLLEGE)
    sections = _without(COLLEGE)
    change = _propose(scene, sections, 2, dropped_sites=(COLLEGE,), release=True)
    _approve(scene, change, 3)
    _step(scene, 3)
    assert scene.state.version == compute_version(sections)


def test_a_site_of_a_closed_incident_leaves(scene: Scene) -> None:
    scene.report(1, "outage_power", COLLEGE)
    scene.report(2, "reopening", COLLEGE)
    sections = _without(COLLEGE)
    change = _propose(scene, sections, 3, dropped_sites=(COLLEGE,))
    _approve(scene, change, 4)
    _step(scene, 4)
    assert scene.state.version == compute_version(sections)
