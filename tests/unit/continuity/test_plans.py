"""Plans and cards: proposed with reasons, decided by persons, chased, stood down (D48–D50, D52)."""

from __future__ import annotations

import pytest

from schemas import commands as cmd
from schemas import reference as ref
from schemas.base import DAY_MS, Command
from schemas.predicates import Measured, Not
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import CardState, IncidentState, Level, PlanState
from tests.shipped import territory
from tests.unit.continuity.world import REALM, World, at, clock

WHO = {"author": "p-1", "role": "coordinator"}


def _active(world: World, when: str = "09:53") -> World:
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 3, "09:42")
    assert isinstance(world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), when), CommandApplied)
    return world


def _code(answer: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


# ── proposals ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_plan_of_the_territory_is_listed_as_valid() -> None:
    world = World()
    assert {row.state for row in world.state.plans.values()} == {PlanState.VALID}
    assert len(world.state.plans) == 20


def test_a_trigger_proposes_once_with_its_reason_and_asks_the_deciding_role() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 2, "09:45")
    row = world.plan("PT-ELEC")
    assert (row.state, row.level, row.incident, clock(row.trigger_since)) == (
        PlanState.PROPOSED,
        2,
        "i-1",
        "09:41",
    )
    assert [why.metric for why in row.why] == ["customers_cut"]
    assert world.plan_changes("PT-ELEC") == ["listed", "proposed"]
    assert [a.roles for a in world.asked("plan_proposed")] == [("coordinateur_pca",)]


def _with_automatic(plan: str) -> World:
    """Return the shipped territory with this plan as automatic."""
    world, sections = World(published=False), []
    for section in territory().sections:
        changed = isinstance(section, ref.Plans)
        plans = (
            [p.model_copy(update={"auto": p.id == plan}) for p in section.plans]
            if isinstance(section, ref.Plans)
            else []
        )
        sections.append(section.model_copy(update={"plans": tuple(plans)}) if changed else section)
    for n, section in enumerate(sections):
        world.service.feed(
            REALM,
            ref.ReferencePublished(
                reference="automatic", data=section, last=n == len(sections) - 1
            ),
        )
    return world


def test_an_automatic_plan_activates_with_its_trigger_without_a_question() -> None:
    world = _with_automatic("PCA-evaluation_orga")
    world.trigger("PCA-evaluation_orga", 0, "09:41")
    row = world.plan("PCA-evaluation_orga")
    assert (row.state, row.decided_by, clock(row.decided_at), row.version) == (
        PlanState.ACTIVE,
        "system:plan",
        "09:41",
        1,
    )
    assert world.plan_changes("PCA-evaluation_orga") == ["listed", "proposed", "activated"]
    assert world.asked("plan_proposed") == []
    world.trigger("PCA-evaluation_orga", 2, "09:50", id="PCA-evaluation_orga:2")
    higher = world.plan("PCA-evaluation_orga")
    assert (higher.state, higher.level, higher.proposed_level, higher.version) == (
        PlanState.ACTIVE,
        2,
        None,
        2,
    )
    assert world.asked("plan_proposed") == []
    world.trigger("PT-ELEC", 2, "09:51")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED, "the others wait for a person"


def test_a_higher_level_raises_the_proposal_and_keeps_the_first_instant() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 3, "09:42")
    row = world.plan("PT-ELEC")
    assert (row.level, clock(row.trigger_since)) == (3, "09:41")
    assert world.plan_changes("PT-ELEC")[1:] == ["proposed", "raised"]


def test_a_released_trigger_leaves_the_proposal_and_is_shown() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 2, "10:41", state="released")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").trigger_held) == (
        PlanState.PROPOSED,
        False,
    )
    world.trigger("PT-ELEC", 2, "11:00")
    assert world.plan("PT-ELEC").trigger_held
    assert world.plan_changes("PT-ELEC")[1:] == ["proposed", "released", "held"]


def test_a_proposal_changes_no_metric_and_starts_no_clock() -> None:
    world = World()
    metric_count = len(world.metrics(""))
    world.trigger("PCA-evaluation_orga", 0, "09:42")
    world.level(Level.N3, "09:43")
    assert len(world.metrics("")) == metric_count


# ── decisions ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("role", "plan", "allowed"),
    [
        ("site_manager", "PCA-education", False),
        ("observer", "PCA-education", False),
        ("cell", "PT-ELEC", False),
        ("director", "PCA-education", True),
        ("directeur_pole", "PCA-education", True),
        ("director", "PT-CYBER", False),
        ("directeur_pole", "PT-CYBER", False),
        ("suppleant_directeur_pole", "PT-ELEC", False),
        ("astreinte_direction", "PT-CYBER", True),
        ("coordinator", "PT-ELEC", True),
        ("elected", "PT-ELEC", True),
        ("dgs_directeur_de_crise", "PT-ELEC", True),
        ("admin", "PT-ELEC", True),
    ],
)
def test_only_the_deciding_role_or_above_activates(role: str, plan: str, allowed: bool) -> None:
    world = World()
    answer = world.say(cmd.ActivatePlan(author="p", role=role, plan=plan), "10:00")
    assert isinstance(answer, CommandApplied) is allowed
    if not allowed:
        assert _code(answer) == (403, "role_too_low")
        assert world.plan(plan).state is PlanState.VALID


def test_an_activation_is_attributed_and_counted() -> None:
    row = _active(World()).plan("PT-ELEC")
    assert (row.state, row.level, row.decided_by, clock(row.decided_at), row.version) == (
        PlanState.ACTIVE,
        3,
        "p-1",
        "09:53",
        1,
    )


def test_two_people_collide_on_the_version_of_decisions() -> None:
    world = _active(World())
    assert _code(world.say(cmd.StandDownPlan(plan="PT-ELEC", expected=0, **WHO), "10:00")) == (
        412,
        "version_conflict",
    )
    assert _code(world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "10:00")) == (409, "already")


def test_activation_below_the_level_asked_for_is_partial_until_the_rest_is_decided() -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:42")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N2, **WHO), "09:50")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").proposed_level) == (
        PlanState.PARTLY_ACTIVE,
        3,
    )
    world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N3, **WHO), "09:55")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").level) == (PlanState.ACTIVE, 3)


def test_a_higher_trigger_of_an_active_plan_proposes_the_higher_level() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 3, "09:55")
    assert (
        world.plan("PT-ELEC").state,
        world.plan("PT-ELEC").level,
        world.plan("PT-ELEC").proposed_level,
    ) == (PlanState.ACTIVE, 2, 3)


def test_a_refusal_needs_a_reason_and_holds_for_a_day() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    assert _code(world.say(cmd.RefusePlan(plan="PT-ELEC", **WHO), "09:50")) == (
        409,
        "reason_required",
    )
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "09:51")
    world.trigger("PT-ELEC", 2, "15:00", report="r-new")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED
    world.trigger("PT-ELEC", 2, "2027-02-12 10:00", report="r-new")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


def test_a_refused_plan_returns_at_a_higher_level() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "09:51")
    world.trigger("PT-ELEC", 3, "09:52")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").level) == (PlanState.PROPOSED, 3)


def test_the_deciding_role_learns_of_a_rising_proposal() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 3, "09:42")
    world.trigger("PT-ELEC", 3, "09:43")
    assert len(world.asked("plan_proposed")) == 2, "once for each level"


def test_a_further_reason_is_added_to_a_proposal() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 2, "09:45", id="PT-ELEC:2b", metric="outage_power_sites")
    world.trigger("PT-ELEC", 2, "09:50", report="r-newer")
    assert [why.metric for why in world.plan("PT-ELEC").why] == [
        "customers_cut",
        "outage_power_sites",
    ]
    assert len(world.asked("plan_proposed")) == 1


def _refused() -> World:
    world = World()
    world.level(Level.N2, "09:40")
    world.announce(None, "09:40", level=Level.N2)
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "09:51")
    return world


def test_a_refused_plan_returns_when_the_level_of_the_territory_rises() -> None:
    world = _refused()
    world.level(Level.N1, "10:00")
    world.level(Level.N2, "10:05")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED, "it was refused at this level"
    world.level(Level.N3, "10:10")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED
    assert world.plan_changes("PT-ELEC")[-1] == "returned"
    assert len(world.asked("plan_proposed")) == 2, "whoever decides hears of it"


def test_a_refused_plan_returns_when_the_level_of_its_incident_rises() -> None:
    world = _refused()
    world.announce(None, "10:00", incident="i-2", level=Level.N3)
    assert world.plan("PT-ELEC").state is PlanState.REFUSED, "another incident"
    world.announce(None, "10:05", level=Level.N3)
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


def test_a_refused_plan_returns_when_the_incident_that_took_its_own_rises() -> None:
    """The level of the merged incident never moves again."""
    world = _refused()
    world.announce(None, "10:00", incident="i-2", level=Level.N2)
    world.announce(None, "10:01", level=Level.N2, merged_into="i-2")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED
    world.announce(None, "10:05", incident="i-2", level=Level.N3)
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


def test_a_plan_of_a_merged_incident_is_asked_again_once_its_incident_calls() -> None:
    """Its demand was withheld under the incident of before."""
    world = World()
    world.announce(None, "09:40", quiet="maintenance")
    world.trigger("PT-ELEC", 2, "09:41")
    world.announce(None, "09:50", incident="i-2", quiet="maintenance")
    world.announce(None, "09:51", quiet="maintenance", merged_into="i-2")
    assert len(world.asked("plan_proposed")) == 1
    world.announce(None, "10:00", incident="i-2")
    assert len(world.asked("plan_proposed")) == 2


def test_a_merge_into_an_incident_that_calls_asks_for_a_withheld_plan() -> None:
    world = World()
    world.announce(None, "09:40", quiet="maintenance")
    world.announce(None, "09:40", incident="i-2")
    world.trigger("PT-ELEC", 2, "09:41")
    world.announce(None, "09:51", quiet="maintenance", merged_into="i-2")
    assert len(world.asked("plan_proposed")) == 2


def test_a_refused_plan_returns_when_its_trigger_holds_again_at_a_higher_level() -> None:
    world = _refused()
    world.trigger("PT-ELEC", 2, "09:55", state="released")
    world.level(Level.N3, "10:00")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED, "its trigger does not hold"
    world.trigger("PT-ELEC", 2, "10:05")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


def _refused_level() -> World:
    world = World()
    world.level(Level.N2, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 3, "09:55")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "10:00")
    assert world.plan("PT-ELEC").proposed_level is None
    return world


def test_a_refused_higher_level_returns_when_the_territory_rises() -> None:
    world = _refused_level()
    world.level(Level.N3, "10:10")
    row = world.plan("PT-ELEC")
    assert (row.state, row.level, row.proposed_level) == (PlanState.ACTIVE, 2, 3)
    assert len(world.asked("plan_proposed")) == 3, "the deciding role hears of it again"


@pytest.mark.parametrize(("state", "level"), [("held", 3), ("released", None)])
def test_a_refused_higher_level_returns_after_a_day_while_its_trigger_holds(
    state: str, level: int | None
) -> None:
    world = _refused_level()
    if state == "released":
        world.trigger("PT-ELEC", 3, "12:00", state="released")
    world.until("2027-02-12 09:59")
    assert world.plan("PT-ELEC").proposed_level is None
    world.until("2027-02-12 10:01")
    assert world.plan("PT-ELEC").proposed_level == level


def test_an_activated_plan_forgets_its_refusal() -> None:
    world = _refused()
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "10:00")
    world.until("2027-02-13 10:00")
    row = world.plan("PT-ELEC")
    assert (row.level, row.proposed_level, row.refused_level) == (2, None, None)


@pytest.mark.parametrize(
    ("state", "after"), [("held", PlanState.PROPOSED), ("released", PlanState.REFUSED)]
)
def test_a_refused_plan_returns_after_a_day_while_its_trigger_holds(
    state: str, after: PlanState
) -> None:
    world = _refused()
    if state == "released":
        world.trigger("PT-ELEC", 2, "12:00", state="released")
    world.until("2027-02-12 09:50")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED
    world.until("2027-02-12 09:52")
    assert world.plan("PT-ELEC").state is after
    world.until("2027-02-14 09:52")
    assert world.plan("PT-ELEC").state is after


def test_a_postponed_proposal_returns_at_its_time() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    until = world.instant("10:30")
    assert _code(
        world.say(
            cmd.PostponePlan(plan="PT-ELEC", until=until - DAY_MS, reason="text:1", **WHO), "09:50"
        )
    ) == (409, "until_past")
    world.say(cmd.PostponePlan(plan="PT-ELEC", until=until, reason="text:1", **WHO), "09:50")
    assert world.plan("PT-ELEC").state is PlanState.POSTPONED
    world.until("10:30")
    assert (world.plan("PT-ELEC").state, world.plan_changes("PT-ELEC")[-1]) == (
        PlanState.PROPOSED,
        "returned",
    )
    assert len(world.asked("plan_proposed")) == 2, "the deciding role hears of it again"


def test_a_postponed_proposal_lapses_if_its_trigger_has_ended() -> None:
    """Its director was asked about a cut that was over."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    until = world.instant("10:30")
    world.say(cmd.PostponePlan(plan="PT-ELEC", until=until, reason="text:1", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "10:10", state="released")
    assert world.plan("PT-ELEC").state is PlanState.POSTPONED
    asked_before = len(world.asked("plan_proposed"))
    world.until("10:30")
    assert (world.plan("PT-ELEC").state, world.plan_changes("PT-ELEC")[-1]) == (
        PlanState.VALID,
        "lapsed",
    )
    assert len(world.asked("plan_proposed")) == asked_before
    world.trigger("PT-ELEC", 2, "11:00")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED
    assert len(world.asked("plan_proposed")) == asked_before + 1


def test_a_postponed_proposal_returns_if_its_trigger_holds_again_at_its_time() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    until = world.instant("10:30")
    world.say(cmd.PostponePlan(plan="PT-ELEC", until=until, reason="text:1", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "10:10", state="released")
    world.trigger("PT-ELEC", 2, "10:20")
    assert world.plan("PT-ELEC").state is PlanState.POSTPONED
    world.until("10:30")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED


@pytest.mark.parametrize("decision", ["refused", "postponed"])
def test_a_plan_returns_at_the_level_for_which_a_trigger_holds(decision: str) -> None:
    """The trigger of the higher level has ended since."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.trigger("PT-ELEC", 3, "09:42")
    if decision == "refused":
        world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "09:50")
    else:
        until = world.instant("2027-02-12 09:50")
        world.say(cmd.PostponePlan(plan="PT-ELEC", until=until, reason="text:1", **WHO), "09:50")
    world.trigger("PT-ELEC", 3, "12:00", state="released")
    world.until("2027-02-12 09:51")
    row = world.plan("PT-ELEC")
    assert (row.state, row.level) == (PlanState.PROPOSED, 2)


def test_a_missing_plan_or_card_is_404() -> None:
    world = _active(World())
    assert _code(world.say(cmd.ActivatePlan(plan="PT-RIEN", **WHO), "10:00")) == (
        404,
        "plan_not_found",
    )
    assert _code(world.say(cmd.CompleteCard(plan="PT-ELEC", card="ELE-F09", **WHO), "10:00")) == (
        404,
        "card_not_found",
    )


def test_a_refused_command_changes_nothing() -> None:
    world = World()
    before = world.state
    world.say(cmd.ActivatePlan(author="p", role="observer", plan="PT-ELEC"), "09:40")
    assert world.state == before


# ── cards ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cards_count_from_the_trigger_and_not_from_the_activation() -> None:
    """The mock-up: counted from 09:41, due 09:46, 09:51, 10:41, 10:41; shedding, 10:11."""
    world = _active(World())
    row = world.plan("PT-ELEC")
    assert [(c.id, clock(c.due_at), c.overdue) for c in row.cards] == [
        ("ELE-F01", "09:46", True),
        ("ELE-F02", "09:51", False),
        ("ELE-F03", "10:41", False),
        ("ELE-F04", "10:41", False),
        ("ELE-F05", "10:11", False),
    ]
    assert [(a.card, a.roles) for a in world.asked("card_overdue")] == [
        ("ELE-F01", ("cellule_si",))
    ]


def test_an_overdue_card_goes_to_its_owner_then_after_ten_minutes_to_the_pilot() -> None:
    world = World()
    world.level(Level.N3, "09:42")
    world = _active(world)
    world.until("10:03")
    requests = world.asked("card_overdue")
    assert [(a.card, a.roles) for a in requests] == [
        ("ELE-F01", ("cellule_si",)),
        ("ELE-F01", ("dgs_directeur_de_crise",)),
    ]
    world.say(
        cmd.CompleteCard(plan="PT-ELEC", card="ELE-F01", author="p-2", role="cellule_si"), "10:05"
    )
    world.until("11:00")
    assert [(a.card, a.roles[0]) for a in world.asked("card_overdue")[2:]] == [
        ("ELE-F05", "cellule_logistique"),
        ("ELE-F05", "dgs_directeur_de_crise"),
    ]
    assert world.next_deadline() is None


def test_a_card_is_started_done_or_not_applicable_with_a_reason() -> None:
    world = _active(World())
    technician = {"author": "p-3", "role": "technician"}
    world.say(cmd.StartCard(plan="PT-ELEC", card="ELE-F01", **technician), "09:54")
    world.say(cmd.CompleteCard(plan="PT-ELEC", card="ELE-F01", **technician), "09:58")
    assert _code(
        world.say(cmd.SkipCard(plan="PT-ELEC", card="ELE-F05", **technician), "09:59")
    ) == (409, "reason_required")
    world.say(cmd.SkipCard(plan="PT-ELEC", card="ELE-F05", reason="text:2", **technician), "09:59")
    states = {c.id: (c.state, c.by, clock(c.at), c.overdue) for c in world.plan("PT-ELEC").cards}
    assert states["ELE-F01"] == (CardState.DONE, "p-3", "09:58", False)
    assert states["ELE-F05"] == (CardState.NOT_APPLICABLE, "p-3", "09:59", False)
    assert _code(
        world.say(cmd.CompleteCard(plan="PT-ELEC", card="ELE-F01", **technician), "10:00")
    ) == (409, "already")


@pytest.mark.parametrize(
    "command", [cmd.StartCard(plan="PT-ELEC", card="ELE-F01", author="p", role="observer")]
)
def test_observers_do_not_work_on_cards(command: Command) -> None:
    assert _code(_active(World()).say(command, "10:00")) == (403, "not_allowed")


def test_cards_of_an_inactive_plan_wait() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.until("12:00")
    assert world.asked("card_overdue") == []
    assert _code(world.say(cmd.StartCard(plan="PT-ELEC", card="ELE-F01", **WHO), "12:00")) == (
        409,
        "not_active",
    )


def test_cards_of_a_strike_count_from_the_morning_of_its_day() -> None:
    world = World(day="2027-03-01", start="09:00")
    world.flag("flag:strike_notice", True, "09:00", speaks_of="2027-03-04 00:00")
    world.trigger("PT-GREVE", 1, "09:00")
    dues = [c.due_at for c in world.plan("PT-GREVE").cards]
    assert dues == [
        world.instant("2027-03-02 06:00"),
        world.instant("2027-03-03 16:00"),
        world.instant("2027-03-04 07:30"),
        world.instant("2027-03-03 06:00"),
    ]


def test_cards_follow_a_moved_strike() -> None:
    """D50: finished cards stay finished, and delays of the first day end.

    Cards already late for an earlier day are reported at once.
    """
    world = World(day="2027-03-01", start="09:00")
    world.flag("flag:strike_notice", True, "09:00", speaks_of="2027-03-04 00:00")
    world.trigger("PT-GREVE", 1, "09:00")
    world.say(cmd.ActivatePlan(plan="PT-GREVE", **WHO), "09:10")
    for done in ("GRE-F01", "GRE-F04"):
        world.say(
            cmd.CompleteCard(plan="PT-GREVE", card=done, author="p-2", role="cellule_rh"), "10:00"
        )
    world.until("2027-03-03 17:00")
    assert [c.overdue for c in world.plan("PT-GREVE").cards] == [False, True, False, False]
    world.flag(
        "flag:strike_notice",
        True,
        "2027-03-03 17:30",
        since="2027-03-01 09:00",
        speaks_of="2027-03-11 00:00",
    )
    row = world.plan("PT-GREVE")
    dues = [
        world.instant(day)
        for day in ("2027-03-02 06:00", "2027-03-10 16:00", "2027-03-11 07:30", "2027-03-03 06:00")
    ]
    assert [(c.due_at, c.overdue, c.pilot_told) for c in row.cards] == [
        (due, False, False) for due in dues
    ]
    assert world.plan_changes("PT-GREVE")[-1] == "moved"
    request_count = len(world.asked("card_overdue"))
    world.flag(
        "flag:strike_notice",
        True,
        "2027-03-08 08:00",
        since="2027-03-01 09:00",
        speaks_of="2027-03-09 00:00",
    )
    world.until("2027-03-08 16:00")
    assert [a.card for a in world.asked("card_overdue")[request_count:]] == ["GRE-F02"]


def test_cards_of_a_proposal_follow_the_notice_and_keep_their_day_after_its_withdrawal() -> None:
    world = World(day="2027-03-01", start="09:00")
    world.flag("flag:strike_notice", True, "09:00")
    world.trigger("PT-GREVE", 1, "09:00")
    world.flag("flag:strike_notice", True, "09:30", since="09:00", speaks_of="2027-03-04 00:00")
    first = world.plan("PT-GREVE").cards
    assert [c.due_at for c in first] == [
        world.instant(day)
        for day in ("2027-03-02 06:00", "2027-03-03 16:00", "2027-03-04 07:30", "2027-03-03 06:00")
    ]
    world.flag("flag:strike_notice", False, "10:00")
    assert world.plan("PT-GREVE").cards == first


# ── stand-down ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stand_down_is_proposed_after_its_condition_held_long_enough() -> None:
    world = _active(World())
    world.trigger("PT-ELEC", 0, "13:30", id="PT-ELEC:stand-down")
    assert (world.plan("PT-ELEC").state, clock(world.plan("PT-ELEC").stand_down_at)) == (
        PlanState.RECOVERING,
        "14:30",
    )
    world.trigger("PT-ELEC", 0, "13:50", id="PT-ELEC:stand-down", state="released")
    assert world.plan("PT-ELEC").state is PlanState.ACTIVE
    world.trigger("PT-ELEC", 0, "14:00", id="PT-ELEC:stand-down")
    world.until("15:00")
    assert world.plan("PT-ELEC").stand_down_proposed
    assert len(world.asked("stand_down_proposed")) == 1
    world.say(cmd.StandDownPlan(plan="PT-ELEC", **WHO), "15:05")
    assert (world.plan("PT-ELEC").state, world.next_deadline()) == (PlanState.LIFTED, None)


def test_earlier_conditions_of_a_reactivated_plan_propose_no_stand_down() -> None:
    """All has been well since the last crisis: its hour begins with the plan."""
    world = _active(World())
    world.trigger("PT-ELEC", 0, "13:30", id="PT-ELEC:stand-down")
    world.trigger("PT-ELEC", 3, "13:40", state="released")
    world.until("14:30")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", **WHO), "15:05")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N1, **WHO), "2027-03-20 08:00")
    row = world.plan("PT-ELEC")
    assert (row.state, row.stand_down_proposed, clock(row.stand_down_at)) == (
        PlanState.RECOVERING,
        False,
        "09:00",
    )
    world.until("2027-03-20 09:00")
    assert world.plan("PT-ELEC").stand_down_proposed
    assert len(world.asked("stand_down_proposed")) == 2


def test_an_early_stand_down_needs_force_and_a_reason() -> None:
    world = _active(World())
    assert _code(world.say(cmd.StandDownPlan(plan="PT-ELEC", **WHO), "10:00")) == (
        409,
        "stand_down_not_held",
    )
    assert _code(world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, **WHO), "10:00")) == (
        409,
        "reason_required",
    )
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "10:01")
    assert world.plan("PT-ELEC").state is PlanState.LIFTED


def test_manual_conditions_are_ticked_by_a_named_person() -> None:
    world = World()
    world.trigger("PT-TIAC", 3, "09:50")
    world.say(cmd.ActivatePlan(plan="PT-TIAC", **WHO), "09:55")
    assert [box.text for box in world.plan("PT-TIAC").boxes] == ["avis DDPP", "analyses conformes"]
    world.say(cmd.TickBox(plan="PT-TIAC", box=0, **WHO), "10:00")
    assert not world.plan("PT-TIAC").stand_down_proposed
    world.say(cmd.TickBox(plan="PT-TIAC", box=1, **WHO), "10:10")
    assert world.plan("PT-TIAC").stand_down_proposed
    assert [box.by for box in world.plan("PT-TIAC").boxes] == ["p-1", "p-1"]


def test_a_lifted_plan_is_proposed_again_by_a_new_trigger_only() -> None:
    world = _active(World())
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    world.trigger("PT-ELEC", 3, "14:10", since="09:42")
    assert world.plan("PT-ELEC").state is PlanState.LIFTED
    world.trigger("PT-ELEC", 2, "15:00", since="15:00")
    row = world.plan("PT-ELEC")
    assert (row.state, clock(row.trigger_since), row.cards[0].state) == (
        PlanState.PROPOSED,
        "15:00",
        CardState.TO_DO,
    )


def test_a_plan_reactivated_by_hand_forgets_the_last_crisis() -> None:
    """It forgets its level, its incident and its ticks.

    A box ticked last month would propose the stand-down at once.
    """
    world = World()
    world.trigger("PT-TIAC", 3, "09:50")
    world.say(cmd.ActivatePlan(plan="PT-TIAC", **WHO), "09:55")
    world.say(cmd.TickBox(plan="PT-TIAC", box=0, **WHO), "10:00")
    world.say(cmd.TickBox(plan="PT-TIAC", box=1, **WHO), "10:10")
    world.trigger("PT-TIAC", 3, "10:20", state="released")
    world.say(cmd.StandDownPlan(plan="PT-TIAC", **WHO), "10:30")
    world.say(cmd.ActivatePlan(plan="PT-TIAC", level=Level.N1, **WHO), "2027-03-20 08:00")
    row = world.plan("PT-TIAC")
    assert (row.state, row.level, row.proposed_level, row.incident, row.why) == (
        PlanState.ACTIVE,
        1,
        None,
        None,
        (),
    )
    assert [box.by for box in row.boxes] == [None, None]
    assert not row.stand_down_proposed
    assert {card.state for card in row.cards} <= {CardState.TO_DO, CardState.WAITING}


def test_a_plan_reactivated_by_hand_belongs_to_its_open_incident() -> None:
    """Its cards, messages and clocks did not end with the incident."""
    world = _active(World())
    world.announce(None, "10:00")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "14:10")
    assert world.plan("PT-ELEC").incident == "i-1"


def test_a_plan_reactivated_by_hand_belongs_to_no_closed_incident() -> None:
    world = _active(World())
    world.announce(None, "10:00")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    world.announce(None, "14:05", state=IncidentState.CLOSED)
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "14:10")
    assert world.plan("PT-ELEC").incident is None


def test_a_plan_reactivated_by_hand_follows_a_merge() -> None:
    world = _active(World())
    world.announce(None, "10:00")
    world.announce(None, "10:01", incident="i-2")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    world.announce(None, "14:05", merged_into="i-2")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "14:10")
    assert world.plan("PT-ELEC").incident == "i-2"


def test_a_decision_names_the_open_incident_of_a_plan() -> None:
    world = World()
    world.announce(None, "10:00", incident="i-2")
    world.announce(None, "10:01", incident="i-3", state=IncidentState.CLOSED)
    refusals = [
        _code(world.say(cmd.ActivatePlan(plan="PT-ELEC", incident=incident, **WHO), "10:05"))
        for incident in ("i-3", "i-9")
    ]
    assert refusals == [(409, "incident_not_open"), (404, "incident_not_found")]
    assert world.plan("PT-ELEC").state is PlanState.VALID
    decision = cmd.ActivatePlan(plan="PT-ELEC", incident="i-2", **WHO)
    assert isinstance(world.say(decision, "10:10"), CommandApplied)
    assert world.plan("PT-ELEC").incident == "i-2"


def test_a_plan_stood_down_under_its_trigger_reactivates_at_that_level() -> None:
    world = _active(World())
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "14:10")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").level) == (PlanState.ACTIVE, 3)


def test_a_refused_higher_level_does_not_return_with_the_same_facts() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 3, "09:55")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "10:00")
    world.trigger("PT-ELEC", 3, "10:01", since="09:55")  # its incident is known now
    assert world.plan("PT-ELEC").proposed_level is None
    world.trigger("PT-ELEC", 3, "12:00", state="released")
    world.trigger("PT-ELEC", 3, "13:00")
    assert world.plan("PT-ELEC").proposed_level == 3


def test_refusing_a_higher_level_keeps_the_running_stand_down() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 0, "10:00", id="PT-ELEC:stand-down")
    world.trigger("PT-ELEC", 3, "10:05")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), "10:10")
    assert (world.plan("PT-ELEC").state, clock(world.plan("PT-ELEC").stand_down_at)) == (
        PlanState.RECOVERING,
        "11:00",
    )


def test_a_partly_active_plan_stays_so_after_its_stand_down_is_released() -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:42")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N2, **WHO), "09:50")
    world.trigger("PT-ELEC", 0, "10:00", id="PT-ELEC:stand-down")
    assert world.plan("PT-ELEC").state is PlanState.RECOVERING
    world.trigger("PT-ELEC", 0, "10:05", id="PT-ELEC:stand-down", state="released")
    row = world.plan("PT-ELEC")
    assert (row.state, row.level, row.proposed_level) == (PlanState.PARTLY_ACTIVE, 2, 3)


@pytest.mark.parametrize(
    "decision",
    [
        cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO),
        cmd.ActivatePlan(plan="PT-ELEC", level=Level.N3, **WHO),
    ],
)
def test_decisions_on_the_rest_of_a_recovering_plan_stand(decision: Command) -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:42")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N2, **WHO), "09:50")
    world.trigger("PT-ELEC", 0, "10:00", id="PT-ELEC:stand-down")
    assert isinstance(world.say(decision, "10:02"), CommandApplied)
    world.trigger("PT-ELEC", 0, "10:05", id="PT-ELEC:stand-down", state="released")
    assert (world.plan("PT-ELEC").state, world.plan("PT-ELEC").proposed_level) == (
        PlanState.ACTIVE,
        None,
    )


def test_an_active_plan_shows_the_state_of_its_trigger() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "11:00", state="released")
    assert not world.plan("PT-ELEC").trigger_held
    world.trigger("PT-ELEC", 2, "12:30")
    assert world.plan("PT-ELEC").trigger_held


def test_a_plan_activated_by_hand_shows_the_trigger_that_holds_later() -> None:
    """It said that the condition holds no more, beside the higher level that it asks for."""
    world = World()
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 3, "10:00")
    row = world.plan("PT-ELEC")
    assert (row.proposed_level, row.trigger_held, row.incident) == (3, True, "i-1")
    world.trigger("PT-ELEC", 3, "11:00", state="released")
    assert not world.plan("PT-ELEC").trigger_held


def test_a_negated_condition_of_a_stand_down_is_not_negated_twice() -> None:
    """Alerts publishes the result of the whole measured part.

    Negated again, it proposed the stand-down too early.
    """
    measure = Measured(
        metric="river_level", args={"station": "paris-austerlitz"}, op=">=", value=4.5
    )
    section = next(s for s in territory().sections if isinstance(s, ref.Plans))
    plans = tuple(
        p.model_copy(
            update={
                "stand_down": ref.StandDown(
                    text="sous 4,5 m", when=Not.model_validate({"not": measure}), hold_min=0
                )
            }
        )
        if p.id == "PT-ELEC"
        else p
        for p in section.plans
    )
    world = World()
    world.service.feed(
        REALM,
        ref.ReferencePublished(
            reference="negated", data=section.model_copy(update={"plans": plans}), last=True
        ),
    )
    _active(world)
    assert world.plan("PT-ELEC").state is PlanState.ACTIVE
    world.trigger("PT-ELEC", 0, "13:30", id="PT-ELEC:stand-down")
    assert world.plan("PT-ELEC").stand_down_proposed


def test_a_plan_refused_for_one_incident_is_proposed_for_the_next() -> None:
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.RefusePlan(plan="PT-ELEC", reason="text:no", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "10:00", since="09:41", incident="i-2")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED, "the same facts, looked at otherwise"
    world.trigger("PT-ELEC", 2, "11:00", state="released")
    world.trigger("PT-ELEC", 2, "12:00")
    assert world.plan("PT-ELEC").state is PlanState.REFUSED, "the same incident: a day must pass"
    world.trigger("PT-ELEC", 2, "12:30", state="released")
    world.trigger("PT-ELEC", 2, "13:00", incident="i-2")
    row = world.plan("PT-ELEC")
    assert (row.state, row.incident, clock(row.trigger_since)) == (
        PlanState.PROPOSED,
        "i-2",
        "13:00",
    )


@pytest.mark.parametrize("postponed", [False, True])
def test_an_undecided_proposal_does_not_hide_the_next_incident(postponed: bool) -> None:
    """Its role was never told of the second cut, and its cards counted from the first one."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    if postponed:
        until = world.instant("20:00")
        world.say(cmd.PostponePlan(plan="PT-ELEC", until=until, reason="text:1", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "11:00", state="released")
    world.trigger("PT-ELEC", 2, "12:00")
    row = world.plan("PT-ELEC")
    assert (row.incident, clock(row.trigger_since)) == ("i-1", "09:41"), "the same incident: once"
    world.trigger("PT-ELEC", 2, "12:30", state="released")
    asked_before = len(world.asked("plan_proposed"))
    world.trigger("PT-ELEC", 2, "13:00", incident="i-2")
    row = world.plan("PT-ELEC")
    assert (row.state, row.incident, clock(row.trigger_since)) == (
        PlanState.PROPOSED,
        "i-2",
        "13:00",
    )
    assert len(world.asked("plan_proposed")) == asked_before + 1
    world.trigger("PT-ELEC", 2, "13:10", since="13:00", incident="i-3")
    assert world.plan("PT-ELEC").incident == "i-2", "the same trigger, in an incident that grew"
    assert len(world.asked("plan_proposed")) == asked_before + 1


def test_a_plan_that_was_stood_down_is_proposed_when_its_incident_is_open_again() -> None:
    """Its trigger had begun before the stand-down, and never proposed it again."""
    world = World()
    world.announce(None, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    force = cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO)
    world.say(force, "10:00")
    world.announce(None, "10:05", state=IncidentState.CLOSED)
    assert world.plan("PT-ELEC").state is PlanState.LIFTED
    asked_before = len(world.asked("plan_proposed"))
    world.announce(None, "12:00")
    row = world.plan("PT-ELEC")
    assert (row.state, row.incident, clock(row.trigger_since)) == (
        PlanState.PROPOSED,
        "i-1",
        "12:00",
    )
    assert [why.metric for why in row.why] == ["customers_cut"]
    assert len(world.asked("plan_proposed")) == asked_before + 1


@pytest.mark.parametrize("change", ["lessons", "merged"])
def test_a_stood_down_plan_returns_after_its_lessons_and_with_the_merged_incident(
    change: str,
) -> None:
    """D26: the incident that is open again may be the one that took the plan's own."""
    world = World()
    world.announce(None, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO), "10:00")
    incident = "i-1"
    if change == "lessons":
        world.say(cmd.CloseRetex(plan="PT-ELEC", **WHO), "10:01")
        assert world.plan("PT-ELEC").state is PlanState.RETEX_CLOSED
    else:
        incident = "i-2"
        world.announce(None, "10:01", incident="i-2")
        world.announce(None, "10:02", merged_into="i-2")
    world.announce(None, "10:05", incident=incident, state=IncidentState.CLOSED)
    assert world.plan("PT-ELEC").state is not PlanState.PROPOSED
    world.announce(None, "12:00", incident=incident)
    row = world.plan("PT-ELEC")
    assert (row.state, row.incident) == (PlanState.PROPOSED, incident)


def test_a_stood_down_plan_under_revision_does_not_return_with_its_incident() -> None:
    """D48: only valid plans are proposed."""
    world = World()
    world.announce(None, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO), "10:00")
    world = _publish(world, "en_revue")
    world.announce(None, "10:05", state=IncidentState.CLOSED)
    world.announce(None, "12:00")
    assert world.plan("PT-ELEC").state is not PlanState.PROPOSED


def test_a_plan_without_a_trigger_stays_stood_down_when_its_incident_is_open_again() -> None:
    world = World()
    world.announce(None, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.trigger("PT-ELEC", 2, "09:55", state="released")
    force = cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO)
    world.say(force, "10:00")
    world.announce(None, "10:05", state=IncidentState.CLOSED)
    world.announce(None, "12:00")
    assert world.plan("PT-ELEC").state is PlanState.LIFTED


def test_a_plan_stood_down_in_another_incident_does_not_return() -> None:
    world = World()
    world.announce(None, "09:40")
    world.announce(None, "09:40", incident="i-2")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO), "10:00")
    world.announce(None, "10:05", incident="i-2", state=IncidentState.CLOSED)
    world.announce(None, "12:00", incident="i-2")
    assert world.plan("PT-ELEC").state is PlanState.LIFTED


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (cmd.ActivatePlan(plan="PT-ELEC", **WHO), PlanState.ACTIVE),
        (cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), PlanState.REFUSED),
    ],
)
def test_an_incident_that_is_open_again_changes_no_other_decision(
    decision: Command, state: PlanState
) -> None:
    world = World()
    world.announce(None, "09:40")
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(decision, "09:50")
    world.announce(None, "10:05", state=IncidentState.CLOSED)
    world.announce(None, "12:00")
    assert world.plan("PT-ELEC").state is state
    assert len(world.asked("plan_proposed")) == 1


@pytest.mark.parametrize(
    ("decision", "state"),
    [
        (cmd.RefusePlan(plan="PT-ELEC", reason="text:1", **WHO), PlanState.REFUSED),
        (
            cmd.PostponePlan(plan="PT-ELEC", until=at("2027-02-11 20:00"), reason="text:1", **WHO),
            PlanState.IN_REVIEW,
        ),
    ],
)
def test_a_plan_under_revision_does_not_return(decision: Command, state: PlanState) -> None:
    """D48: only valid plans are proposed."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    world.say(decision, "09:50")
    world = _publish(world, "en_revue")
    world.until("2027-02-12 10:00")
    assert world.plan("PT-ELEC").state is state
    assert len(world.asked("plan_proposed")) == 1


# ── the library (D48) ──────────────────────────────────────────────────────────────────────────────────────────────


def _publish(world: World, state: str, plan: str = "PT-ELEC", reference: str = "edited") -> World:
    """Return the shipped territory with another validity of this plan."""
    for n, section in enumerate(sections := territory().sections):
        data = section
        if isinstance(section, ref.Plans):
            data = section.model_copy(
                update={
                    "plans": tuple(
                        p.model_copy(update={"state": state}) if p.id == plan else p
                        for p in section.plans
                    )
                }
            )
        world.service.feed(
            REALM,
            ref.ReferencePublished(
                reference=f"{reference}-{state}", data=data, last=n == len(sections) - 1
            ),
        )
    return world


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("brouillon", PlanState.DRAFT),
        ("en_revue", PlanState.IN_REVIEW),
        ("archive", PlanState.ARCHIVED),
    ],
)
def test_an_invalid_plan_is_marked_and_neither_proposed_nor_activated(
    state: str, shown: PlanState
) -> None:
    world = _publish(World(published=False), state)
    world.trigger("PT-ELEC", 3, "09:42")
    assert world.plan("PT-ELEC").state is shown
    assert _code(world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")) == (
        409,
        "plan_not_valid",
    )


def test_a_draft_becomes_valid_with_a_new_version_and_an_active_plan_stays_active() -> None:
    world = _publish(_publish(World(published=False), "brouillon"), "valide")
    assert world.plan("PT-ELEC").state is PlanState.VALID
    world = _publish(_active(World()), "en_revue")
    assert world.plan("PT-ELEC").state is PlanState.ACTIVE


def _drop(world: World, plan: str, when: str) -> None:
    """Publish the plans without this one."""
    section = next(s for s in territory().sections if isinstance(s, ref.Plans))
    plans = tuple(p for p in section.plans if p.id != plan)
    data = section.model_copy(update={"plans": plans})
    dropped = ref.ReferencePublished(reference="smaller", data=data, last=True)
    world.service.feed(REALM, dropped, at=world.instant(when))


@pytest.mark.parametrize(
    ("decision", "roles"),
    [
        (None, [("coordinateur_pca",)]),
        (cmd.ActivatePlan(plan="PT-ELEC", **WHO), [("coordinateur_pca",)]),
        (cmd.RefusePlan(plan="PT-ELEC", reason="text:no", **WHO), []),
    ],
)
def test_the_role_that_decides_a_plan_hears_that_new_data_drop_it(
    decision: cmd.ActivatePlan | cmd.RefusePlan | None, roles: list[tuple[str, ...]]
) -> None:
    """It ended with a line in the logbook; its director went on with it."""
    world = World()
    world.trigger("PT-ELEC", 2, "09:41")
    if decision is not None:
        world.say(decision, "09:50")
    _drop(world, "PT-ELEC", "10:00")
    assert world.plan("PT-ELEC").state is PlanState.LIFTED
    assert [a.roles for a in world.asked("plan_dropped")] == roles


def test_owners_of_open_cards_hear_that_new_data_drop_their_plan() -> None:
    world = World()
    world.trigger("PCA-education", 0, "09:41")
    world.say(cmd.ActivatePlan(plan="PCA-education", **WHO), "09:50")
    world.until("09:52")
    _drop(world, "PCA-education", "10:00")
    assert {a.plan for a in world.asked("cards_over")} == {"PCA-education"}
    assert len({a.site for a in world.asked("cards_over")}) == 98


def test_a_stood_down_plan_ends_with_its_lessons() -> None:
    world = _active(World())
    assert _code(world.say(cmd.CloseRetex(plan="PT-ELEC", **WHO), "10:00")) == (409, "not_lifted")
    world.say(cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:3", **WHO), "14:00")
    assert _code(
        world.say(cmd.CloseRetex(plan="PT-ELEC", author="p-1", role="observer"), "15:00")
    ) == (403, "role_too_low")
    world.say(cmd.CloseRetex(plan="PT-ELEC", **WHO), "15:00")
    row = world.plan("PT-ELEC")
    assert (row.state, clock(row.decided_at)) == (PlanState.RETEX_CLOSED, "14:00")
    world.trigger("PT-ELEC", 2, "16:00", since="16:00")
    assert world.plan("PT-ELEC").state is PlanState.PROPOSED
