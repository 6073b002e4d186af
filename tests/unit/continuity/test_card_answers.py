"""Answers by number about action cards, applied one by one (D84)."""

from __future__ import annotations

import pytest

from schemas import commands as cmd
from schemas.continuity import (
    CardAnswerSettled,
    CardProof,
    CardReference,
    CardsAnswered,
    CrisisTended,
    SiteCardRow,
)
from schemas.plans import Evidence
from schemas.runtime import CommandRefused
from schemas.words import CardChange, CardState, EventType
from tests.shipped import territory
from tests.unit.continuity.world import World

POWER, SITE = "PT-ELEC", "pmi-01"
WHO = {"author": "p-1", "role": "coordinator"}


def _world() -> World:
    """Return a plan with several open cards at one site and a message to its manager."""
    world = World()
    world.trigger(POWER, 3, "09:41")
    world.say(cmd.ActivatePlan(plan=POWER, **WHO), "09:50")
    world.hit(SITE, EventType.OUTAGE_POWER, "09:55")
    world.until("10:30")
    return world


def _listed(world: World) -> tuple[str, ...]:
    requests = [
        a for a in (*world.asked("cards_opened"), *world.asked("card_overdue")) if a.site == SITE
    ]
    return requests[-1].listed or ()


def _row(world: World, reference: str) -> SiteCardRow:
    card_reference = CardReference.parse(reference)
    return world.state.site_cards[card_reference.plan][
        f"{card_reference.plan}/{card_reference.card}/{card_reference.owner}"
    ]


def _answer(
    world: World,
    cards: tuple[str, ...],
    *numbers: int,
    change: CardChange = CardChange.COMPLETE,
    reason: str | None = None,
    when: str = "10:31",
) -> CardAnswerSettled:
    world._tell(
        CardsAnswered(
            notification="n1",
            person="p-7",
            role="responsable_site",
            change=change,
            cards=cards,
            numbers=numbers,
            channel="sms",
            reason=reason,
        ),
        when,
    )
    return world.facts(CardAnswerSettled)[-1]


def test_a_reminder_lists_the_open_cards_of_its_site_in_the_order_of_their_times() -> None:
    world = _world()
    listed = _listed(world)
    rows = [_row(world, reference) for reference in listed]
    assert len(rows) > 1
    assert {row.site for row in rows} == {SITE}
    assert all(row.state is CardState.TO_DO for row in rows)
    assert [row.due_at for row in rows] == sorted(row.due_at for row in rows)


def test_numbers_change_their_cards_as_deeds_of_the_person_by_sms() -> None:
    world = _world()
    cards = _listed(world)
    settled = _answer(world, cards, 2)
    done = _row(world, cards[1])
    assert (done.state, done.by, done.channel) == (CardState.DONE, "p-7", "sms")
    assert (settled.applied, settled.refused, settled.left) == ((2,), (), len(cards) - 1)
    assert world.facts(CrisisTended)[-1].by == "p-7"


def test_one_wrong_number_hinders_no_other() -> None:
    world = _world()
    cards = _listed(world)
    _answer(world, cards, 1)
    settled = _answer(world, cards, 1, 9, 2, when="10:32")
    assert settled.applied == (2,)
    assert [(one.number, one.why) for one in settled.refused] == [(1, "closed"), (9, "unknown")]


def test_without_a_number_the_only_open_card_is_meant() -> None:
    world = _world()
    cards = _listed(world)[:2]
    unclear = _answer(world, cards)
    assert (unclear.applied, unclear.missing, unclear.left) == ((), "number", 2)
    _answer(world, cards, 1, when="10:32")
    assert _answer(world, cards, when="10:33").applied == (2,)
    over = _answer(world, cards, when="10:34")
    assert (over.applied, over.missing, over.left) == ((), None, 0)


def test_started_cards_stay_open_and_skipped_ones_need_a_reason() -> None:
    world = _world()
    cards = _listed(world)
    started = _answer(world, cards, 1, change=CardChange.START)
    assert (_row(world, cards[0]).state, started.left) == (CardState.DOING, len(cards))
    assert _answer(world, cards, 1, change=CardChange.SKIP, when="10:32").missing == "reason"
    skipped = _answer(world, cards, 1, change=CardChange.SKIP, reason="text:t", when="10:33")
    row = _row(world, cards[0])
    assert skipped.applied == (1,)
    assert (row.state, row.reason) == (CardState.NOT_APPLICABLE, "text:t")


@pytest.mark.parametrize("change", list(CardChange))
def test_a_list_of_an_earlier_life_of_the_plan_changes_nothing(change: CardChange) -> None:
    world = _world()
    cards = tuple(
        str(CardReference(one.life + 1, one.plan, one.card, one.owner))
        for one in map(CardReference.parse, _listed(world))
    )
    before = dict(world.state.site_cards[POWER])
    settled = _answer(world, cards, 1, 2, change=change, reason="text:t")
    assert [one.why for one in settled.refused] == ["over", "over"]
    assert dict(world.state.site_cards[POWER]) == before


def test_an_answer_after_the_stand_down_changes_nothing() -> None:
    world = _world()
    cards = _listed(world)
    world.say(cmd.StandDownPlan(plan=POWER, force=True, reason="text:1", **WHO), "10:31")
    settled = _answer(world, cards, 1, when="10:32")
    assert (settled.applied, [one.why for one in settled.refused]) == ((), ["over"])


def _photo_world() -> tuple[World, tuple[str, ...], int]:
    """Return the listed cards with the number of one that asks for a photo."""
    world = _world()
    cards = _listed(world)
    (plan,) = [plan for plan in territory().plans if plan.id == POWER]
    evidence = {card.id: card.evidence for card in plan.cards}
    number = next(
        n
        for n, id in enumerate(cards, start=1)
        if evidence[CardReference.parse(id).card] is Evidence.PHOTO
    )
    return world, cards, number


def _add_photo(world: World, reference: str, when: str) -> str:
    card = CardReference.parse(reference)
    proof = CardProof(photo="photo-1")
    answer = world.say(
        cmd.CompleteCard(
            plan=POWER, card=card.card, site=SITE, proof=proof, reason="text:p", **WHO
        ),
        when,
    )
    return answer.code if isinstance(answer, CommandRefused) else ""


def test_a_card_done_by_sms_lacks_its_photo_until_somebody_adds_it() -> None:
    world, cards, number = _photo_world()
    settled = _answer(world, cards, number)
    assert (settled.applied, settled.photos) == ((number,), (number,))
    done = _row(world, cards[number - 1])
    assert _add_photo(world, cards[number - 1], "11:00") == ""
    row = _row(world, cards[number - 1])
    assert row.proof is not None
    assert (row.proof.photo, row.state) == ("photo-1", CardState.DONE)
    assert (row.by, row.at, row.channel) == (done.by, done.at, "sms"), "it was done at that time"
    assert row.proof.photo_at is not None
    assert row.proof.photo_at > (row.at or 0)
    assert _add_photo(world, cards[number - 1], "11:01") == "already"


def test_a_started_card_and_one_without_a_photo_ask_for_none() -> None:
    world, cards, number = _photo_world()
    assert _answer(world, cards, number, change=CardChange.START).photos == ()
    other = next(n for n in range(1, len(cards) + 1) if n != number)
    assert _answer(world, cards, other, when="10:32").photos == ()
    assert _add_photo(world, cards[other - 1], "10:33") == "already"
