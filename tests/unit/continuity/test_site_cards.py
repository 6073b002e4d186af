"""A card per site or person: opened, waited for, done, reminded of once (D84)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import commands as cmd
from schemas import reference as ref
from schemas.alerts import AttentionRequested
from schemas.continuity import CardProof, CardRow, PlanChanged, SiteCardChanged, SiteCardRow
from schemas.plans import Card, CardScope
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import CardState, EventType, Level, PlanState
from services.continuity.decider import ContinuityDecider
from services.runtime.log.transaction import MAX_TRANSACTION_BYTES
from tests.shipped import territory
from tests.unit.continuity.world import REALM, World, clock

WHO = {"author": "p-1", "role": "coordinator"}
MANAGER = {"author": "p-2", "role": "responsable_site"}
EDUCATION, COLLEGES = "PCA-education", "EDU-F03"
ARROWS = {
    CardState.WAITING: {CardState.TO_DO, CardState.NOT_APPLICABLE},
    CardState.TO_DO: {CardState.DOING, CardState.DONE, CardState.NOT_APPLICABLE},
    CardState.DOING: {CardState.DONE, CardState.NOT_APPLICABLE},
    CardState.DONE: set(),
    CardState.NOT_APPLICABLE: set(),
}


def _schools(when: str = "09:50") -> World:
    world = World()
    world.trigger(EDUCATION, 0, "09:41")
    world.say(cmd.ActivatePlan(plan=EDUCATION, author="p-1", role="directeur_pole"), when)
    world.until(when)
    return world


def _site_cards(world: World, plan: str = EDUCATION, card: str = COLLEGES) -> list[SiteCardRow]:
    rows = world.state.site_cards.get(plan)
    return [row for row in rows.values() if row.card == card] if rows else []


def _card(world: World, plan: str, card: str) -> CardRow:
    return next(row for row in world.plan(plan).cards if row.id == card)


def _refusal(answer: CommandApplied | CommandRefused) -> tuple[int, str]:
    assert isinstance(answer, CommandRefused), answer
    return answer.status, answer.code


def test_one_principal_closes_one_of_98_cards() -> None:
    """Count one completion for its site alone; it once closed the card of all 98."""
    world = _schools()
    rows = _site_cards(world)
    assert len(rows) == 98
    assert {row.state for row in rows} == {CardState.TO_DO}
    assert {row.role for row in rows} == {"responsable_site"}
    world.say(
        cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=rows[0].site, **MANAGER), "09:55"
    )
    assert Counter(row.state for row in _site_cards(world)) == {
        CardState.TO_DO: 97,
        CardState.DONE: 1,
    }
    summed = _card(world, EDUCATION, COLLEGES)
    assert (summed.sites, summed.state) == (98, CardState.DOING)


def test_the_card_of_a_site_that_new_data_drop_hinders_no_other() -> None:
    """The site had no manager any more, so the card of all sites was never done."""
    world = _schools()
    dropped_site, *others = [row.site for row in _site_cards(world)]
    sections = [
        section.model_copy(
            update={"sites": tuple(s for s in section.sites if s.id != dropped_site)}
        )
        if isinstance(section, ref.Sites)
        else section
        for section in territory().sections
    ]
    for n, section in enumerate(sections):
        last = n == len(sections) - 1
        published = ref.ReferencePublished(reference="another", data=section, last=last)
        world.service.feed(REALM, published, at=world.instant("09:55"))
    world.until("09:56")
    for site in others:
        command = cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=site, **MANAGER)
        world.say(command, "09:57")
    assert Counter(row.state for row in _site_cards(world)) == {
        CardState.DONE: 97,
        CardState.NOT_APPLICABLE: 1,
    }
    assert _card(world, EDUCATION, COLLEGES).state is CardState.DONE


def test_a_card_of_all_sites_is_done_when_the_last_one_is_closed_and_the_next_may_begin() -> None:
    world = _schools()
    waiting = _card(world, EDUCATION, "EDU-F04")
    assert waiting.state is CardState.WAITING
    assert _refusal(world.say(cmd.StartCard(plan=EDUCATION, card="EDU-F04", **WHO), "09:51")) == (
        409,
        "card_waiting",
    )
    world.say(cmd.CompleteCard(plan=EDUCATION, card="EDU-F01", **WHO), "09:52")
    first, *others = _site_cards(world)
    for row in others:
        world.say(cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=row.site, **WHO), "10:00")
    assert _card(world, EDUCATION, "EDU-F04").state is CardState.WAITING
    skip = cmd.SkipCard(plan=EDUCATION, card=COLLEGES, site=first.site, reason="text:1", **WHO)
    world.say(skip, "10:30")
    assert _card(world, EDUCATION, COLLEGES).state is CardState.DONE
    ready = _card(world, EDUCATION, "EDU-F04")
    assert (ready.state, clock(ready.ready_at), ready.overdue) == (CardState.TO_DO, "10:30", False)


def test_a_card_that_waits_is_never_overdue() -> None:
    world = _schools()
    world.until("20:00")
    waiting = [card for card in world.plan(EDUCATION).cards if card.state is CardState.WAITING]
    assert waiting
    assert not any(card.overdue for card in waiting)
    assert not {a.card for a in world.asked("card_overdue")} & {card.id for card in waiting}


def test_each_owner_hears_once_and_the_pilot_gets_one_line_with_the_count() -> None:
    world = _schools()
    done = _site_cards(world)[:41]
    world.until("09:52")
    opened = world.asked("cards_opened")
    assert len(opened) == 98 == len({a.site for a in opened})
    assert {(a.cards, a.card, a.plan) for a in opened} == {(1, COLLEGES, EDUCATION)}
    for row in done:
        world.say(cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=row.site, **WHO), "09:55")
    world.until("12:00")
    reminded = [a for a in world.asked("card_overdue") if a.site is not None]
    assert Counter(a.site for a in reminded).most_common(1)[0][1] == 1
    assert len(reminded) == 57
    (line,) = [a for a in world.asked("card_overdue") if a.total is not None]
    assert (line.card, line.unfinished, line.total) == (COLLEGES, 57, 98)


def test_owners_of_open_cards_hear_that_their_plan_is_stood_down() -> None:
    """After a plan by mistake, the schools went on with its cards."""
    world = _schools()
    world.until("09:52")
    done, *others = _site_cards(world)
    world.say(cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=done.site, **WHO), "09:55")
    stand_down = cmd.StandDownPlan(plan=EDUCATION, force=True, reason="text:1", **WHO)
    assert isinstance(world.say(stand_down, "10:00"), CommandApplied)
    notices = world.asked("cards_over")
    assert {one.site for one in notices} == {card.site for card in others}
    assert {(one.roles, one.plan, one.unfinished) for one in notices} == {
        (("responsable_site",), EDUCATION, 1)
    }


def test_owners_not_yet_informed_of_their_cards_hear_of_no_end() -> None:
    world = _schools()
    stand_down = cmd.StandDownPlan(plan=EDUCATION, force=True, reason="text:1", **WHO)
    assert isinstance(world.say(stand_down, "09:50"), CommandApplied)
    world.until("10:30")
    assert world.asked("cards_opened") == world.asked("cards_over") == []


def test_sites_hit_in_the_same_millisecond_get_cards_with_ids_of_their_own() -> None:
    """The deadline that opens cards fired once per site, always with the same ids."""
    world = World()
    world.trigger("PT-ELEC", 3, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:53")
    world.until("09:54")
    for site in ("mdph-01", "pmi-01", "pmi-04"):
        world.hit(site, EventType.OUTAGE_POWER, "10:20")
    world.until("10:21")
    opened = {row.site for row in _site_cards(world, "PT-ELEC", "ELE-F02")}
    assert opened == {"mdph-01", "pmi-01", "pmi-04"}
    assert [id for id, n in Counter(r.id for r in world.records()).items() if n > 1] == []


def test_a_site_that_is_hit_later_gets_its_card_with_its_own_delay() -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:41")
    world.hit("clg-0921545E", EventType.OUTAGE_POWER, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:53")
    world.until("09:53")
    assert [(row.site, clock(row.due_at)) for row in _site_cards(world, "PT-ELEC", "ELE-F02")] == [
        ("clg-0921545E", "09:51")
    ]
    world.hit("mdph-01", EventType.OUTAGE_POWER, "10:20")
    world.hit("pmi-01", EventType.OUTAGE_POWER, "10:20", incident="i-other")
    world.until("10:20")
    rows = {row.site: clock(row.due_at) for row in _site_cards(world, "PT-ELEC", "ELE-F02")}
    assert rows == {"clg-0921545E": "09:51", "mdph-01": "10:30"}
    assert _card(world, "PT-ELEC", "ELE-F02").sites == 2


@pytest.mark.parametrize(("plan_of", "into"), [("i-1", "i-2"), ("i-2", "i-1")])
def test_a_site_of_a_merged_incident_gets_the_cards_of_the_plan(plan_of: str, into: str) -> None:
    """The plan kept the incident of its trigger, and sites under the other one got no card."""
    merged = {"i-1": "i-2", "i-2": "i-1"}[into]
    world = World()
    for incident in ("i-1", "i-2"):
        world.announce(None, "09:40", incident=incident)
    world.trigger("PT-ELEC", 3, "09:41", incident=plan_of)
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:53")
    other = {"i-1": "i-2", "i-2": "i-1"}[plan_of]
    world.hit("mdph-01", EventType.OUTAGE_POWER, "10:00", incident=other)
    world.until("10:01")
    assert _site_cards(world, "PT-ELEC", "ELE-F02") == []
    world.announce(None, "10:05", incident=merged, merged_into=into)
    world.hit("pmi-01", EventType.OUTAGE_POWER, "10:20", incident=into)
    world.until("10:21")
    opened = {row.site for row in _site_cards(world, "PT-ELEC", "ELE-F02")}
    assert opened == {"mdph-01", "pmi-01"}


def test_a_card_for_a_chosen_site_opens_only_there() -> None:
    world = _schools()
    chosen = next(s.id for s in territory().sites if s.kind == "gymnase")
    college = next(s.id for s in territory().sites if s.kind == "college")
    assert _site_cards(world, card="EDU-F11") == []
    start = cmd.StartCard(plan=EDUCATION, card="EDU-F11", site=chosen, **WHO)
    assert isinstance(world.say(start, "10:00"), CommandApplied)
    (row,) = _site_cards(world, card="EDU-F11")
    assert (row.state, clock(row.due_at)) == (CardState.TO_DO, "12:00")
    elsewhere = start.model_copy(update={"site": college})
    assert _refusal(world.say(elsewhere, "10:01")) == (409, "site_not_selected")


def test_a_card_of_many_needs_its_site_and_keeps_its_evidence() -> None:
    world = _schools()
    complete = cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, **MANAGER)
    assert _refusal(world.say(complete, "10:00")) == (409, "site_required")
    nowhere = complete.model_copy(update={"site": "mdph-01"})
    assert _refusal(world.say(nowhere, "10:00")) == (404, "site_card_not_found")
    site = _site_cards(world)[0].site
    proven = complete.model_copy(update={"site": site, "proof": CardProof(number=412)})
    world.say(proven, "10:00")
    (row,) = [row for row in _site_cards(world) if row.site == site]
    assert row.proof == CardProof(number=412)
    assert _refusal(world.say(proven, "10:01")) == (409, "already")


def test_a_time_in_the_future_is_no_evidence() -> None:
    world = _schools()
    site = _site_cards(world)[0].site
    later = CardProof(at=world.instant("11:00"))
    complete = cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=site, proof=later, **MANAGER)
    assert _refusal(world.say(complete, "10:00")) == (409, "proof_in_future")
    world.say(complete, "11:00")
    (row,) = [row for row in _site_cards(world) if row.site == site]
    assert (row.state, row.proof) == (CardState.DONE, later)


def test_cards_of_the_return_come_with_the_recovery_and_site_cards_end_with_the_plan() -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:41")
    world.hit("mdph-01", EventType.OUTAGE_POWER, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:53")
    assert "ELE-F06" not in {card.id for card in world.plan("PT-ELEC").cards}
    world.trigger("PT-ELEC", 0, "11:00", id="PT-ELEC:stand-down")
    assert world.plan("PT-ELEC").state is PlanState.RECOVERING
    back = _card(world, "PT-ELEC", "ELE-F06")
    assert (clock(back.due_at), back.state) == ("12:00", CardState.WAITING)
    stand_down = cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO)
    world.say(stand_down, "11:30")
    assert "PT-ELEC" not in world.state.site_cards
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "14:00")
    world.until("14:00")
    assert {row.life for row in _site_cards(world, "PT-ELEC", "ELE-F02")} == {2}


def test_cards_of_the_return_rest_while_the_crisis_goes_on() -> None:
    """The crisis began again: cards of the return rest, and count anew from the next recovery."""
    world, back = World(), "EDU-F15"
    first, later = [s.id for s in territory().sites if s.kind == "college"][:2]
    world.trigger(EDUCATION, 1, "09:41")
    world.hit(first, EventType.CLOSURE, "09:41")
    world.say(cmd.ActivatePlan(plan=EDUCATION, **WHO), "09:50")
    for box in range(2):
        world.say(cmd.TickBox(plan=EDUCATION, box=box, ticked=True, **WHO), "10:30")
    stand_down = f"{EDUCATION}:stand-down"
    world.trigger(EDUCATION, 0, "11:00", id=stand_down)
    world.trigger(EDUCATION, 0, "11:30", id=stand_down, state="released")
    world.hit(later, EventType.CLOSURE, "11:31")
    known_count = len(world.facts(AttentionRequested))
    world.until("16:00")
    assert [card.site for card in _site_cards(world, card=back)] == [first]
    demands = [a for a in world.facts(AttentionRequested)[known_count:] if a.code == "card_overdue"]
    assert later in {demand.site for demand in demands}
    assert not any(back in f"{demand.card} {demand.listed}" for demand in demands)
    assert not _card(world, EDUCATION, back).overdue
    world.trigger(EDUCATION, 0, "17:00", id=stand_down)
    world.until("17:01")
    cards = _site_cards(world, card=back)
    assert {(card.site, clock(card.due_at)) for card in cards} == {
        (first, "19:00"),
        (later, "19:00"),
    }
    assert clock(_card(world, EDUCATION, back).due_at) == "19:00"


# ── many cards ────────────────────────────────────────────────────────────────────────────────


@cache
def _crowded() -> tuple[ref.SectionData, ...]:
    """Build the shipped territory with one more card for all 253 sites in each of the 20 plans."""

    def crowd(plan: ref.Plan) -> ref.Plan:
        card = Card(
            id=f"{plan.id}-ALL",
            t_min=60,
            role="responsable_site",
            task="Dire si le site est ouvert",
            scope=CardScope(type="site", where="all"),
        )
        return plan.model_copy(update={"cards": (card,)})

    return tuple(
        section.model_copy(update={"plans": tuple(map(crowd, section.plans))})
        if isinstance(section, ref.Plans)
        else section
        for section in territory().sections
    )


def test_five_thousand_cards_open_in_bounded_steps_and_each_person_hears_once() -> None:
    world = World(published=False)
    for n, section in enumerate(_crowded()):
        last = n == len(_crowded()) - 1
        world.service.feed(
            REALM, ref.ReferencePublished(reference="crowded", data=section, last=last)
        )
    for plan in sorted(world.state.plans):
        decide = cmd.ActivatePlan(plan=plan, author="p", role="dgs_directeur_de_crise")
        assert isinstance(world.say(decide, "09:50"), CommandApplied)
    world.until("09:51")
    assert sum(len(rows) for rows in world.state.site_cards.values()) == 20 * 253
    world.until("11:30")
    assert len(world.asked("cards_opened")) == 253
    reminded = [a for a in world.asked("card_overdue") if a.site is not None]
    assert {a.cards for a in reminded} == {20}
    assert len(reminded) == len({a.site for a in reminded}) == 253
    lines = [a for a in world.asked("card_overdue") if a.total is not None]
    assert [(a.unfinished, a.total) for a in lines] == [(253, 253)] * 20
    assert max(len(record.raw) for record in world.service.log.of(REALM)) < MAX_TRANSACTION_BYTES
    state = world.state
    assert ContinuityDecider().load("", "", ContinuityDecider().dump(state)) == state


# ── random histories ──────────────────────────────────────────────────────────────────────────

_SITES = ("clg-0921545E", "mdph-01", "pmi-01")
_CARDS = ("ELE-F01", "ELE-F02", "ELE-F03", "ELE-F04", "ELE-F05", "ELE-F06")
_STEPS = st.one_of(
    st.tuples(
        st.sampled_from((cmd.StartCard, cmd.CompleteCard, cmd.SkipCard)),
        st.sampled_from(_CARDS),
        st.sampled_from((None, *_SITES)),
    ),
    st.tuples(st.sampled_from(("hit", "lift")), st.sampled_from(_SITES)),
    st.tuples(st.sampled_from(("activate", "recover", "resume", "lift_plan")), st.just("")),
)


@dataclass
class _Moves:
    """States of every card, in the order of the log."""

    seen: dict[tuple[str, int], list[CardState]] = field(default_factory=dict)

    def add(self, name: str, life: int, state: CardState) -> None:
        states = self.seen.setdefault((name, life), [])
        if not states or states[-1] is not state:
            states.append(state)


def _take_step(world: World, step: tuple[object, ...], when: str) -> None:
    match step:
        case (type() as command, card, site):
            given_site = {} if site is None else {"site": site}
            world.say(
                command(plan="PT-ELEC", card=card, reason="text:1", **given_site, **WHO), when
            )
        case ("hit", site):
            world.hit(str(site), EventType.OUTAGE_POWER, when)
        case ("lift", site):
            if world.causes.get(str(site)):
                world.lift(str(site), when)
        case ("activate", _):
            world.say(cmd.ActivatePlan(plan="PT-ELEC", level=Level.N4, **WHO), when)
        case ("recover", _):
            world.trigger("PT-ELEC", 0, when, id="PT-ELEC:stand-down")
        case ("resume", _):
            world.trigger("PT-ELEC", 0, when, id="PT-ELEC:stand-down", state="released")
        case ("lift_plan", _):
            stand_down = cmd.StandDownPlan(plan="PT-ELEC", force=True, reason="text:1", **WHO)
            world.say(stand_down, when)


@settings(max_examples=25)
@given(st.lists(_STEPS, min_size=3, max_size=14))
def test_states_only_move_along_their_arrows(steps: Sequence[tuple[object, ...]]) -> None:
    world = World()
    world.trigger("PT-ELEC", 3, "09:41")
    world.hit(_SITES[0], EventType.OUTAGE_POWER, "09:41")
    world.say(cmd.ActivatePlan(plan="PT-ELEC", **WHO), "09:50")
    for minute, step in enumerate(steps, 1):
        when = f"{10 + minute * 7 // 60}:{minute * 7 % 60:02}"
        _take_step(world, step, when)
    world.until("16:00")
    moves = _Moves()
    for fact in world.facts(SiteCardChanged):
        moves.add(fact.row.id, fact.row.life, fact.row.state)
    for changed in world.facts(PlanChanged):
        for card in changed.row.cards if changed.row.life else ():
            if card.sites is None and not card.id.endswith(("F02", "F03", "F04")):
                moves.add(card.id, changed.row.life, card.state)
    for name, states in moves.seen.items():
        for before, after in pairwise(states):
            assert after in ARROWS[before], (name, states)
