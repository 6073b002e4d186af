"""Read the facts that prove plans: people reached, cards exercised, seats, skills. Rule D85."""

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from schemas import alerts as a
from schemas import continuity as c
from schemas import reassignment as g
from schemas.base import DAY_MS, Instant
from schemas.crisis.area_orders import AreaOrderRow
from schemas.delivery import NotificationRow
from schemas.topics import RealmKind, is_demonstration, is_live
from schemas.words import CardState
from services.console.continuity.fallbacks import RealmRows
from services.console.http.problems import RealmUnknown
from services.console.oncall.queries import OnCallQueries
from services.console.proof.judgement import (
    EXERCISE_DAYS,
    ExercisedCard,
    PersonMessages,
    PlanProof,
    ProofFacts,
    judge_plan,
    judge_plans,
    sum_up_messages,
)
from services.console.read_model.query_base import get_known, get_snapshot_time
from services.console.read_model.snapshot import RealmSnapshot
from services.console.resource_base import to_instant
from services.console.resources import Realm
from services.runtime.http.problems import ProblemError

MESSAGES_MAX_AGE_S: Final = 20.0
MESSAGES_KEPT: Final = 50
"""Realms of which the messages stay in memory."""
REALMS_KEPT: Final = 2_000
"""Closed exercises of which the cards stay in memory, as a few ids."""


class ProofQueries(OnCallQueries):
    """Queries about the proof of plans."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._exercised: dict[str, frozenset[tuple[str, str]]] = {}
        """Closed exercise → (plan, card) done in time in it; this never changes again."""
        self._messages: dict[str, tuple[float, PersonMessages]] = {}
        """Realm → time of reading, and its messages."""

    async def plan_proofs(
        self, *, partners: Mapping[str, Instant] | None = None
    ) -> tuple[ProofFacts, dict[str, PlanProof]]:
        """Return the facts, and the proof of each valid plan by id.

        `partners` are the verifications of their numbers in the directory, for a live realm.
        """
        facts = await self._read_facts(partners)
        return facts, judge_plans(facts)

    async def plan_proof(
        self, id: str, *, partners: Mapping[str, Instant] | None = None
    ) -> tuple[ProofFacts, PlanProof]:
        """Return the facts and the proof of one plan. Raises NotFound."""
        facts = await self._read_facts(partners)
        return facts, judge_plan(get_known(facts.reference.plans, id), facts)

    async def _read_facts(self, partners: Mapping[str, Instant] | None) -> ProofFacts:
        view = await self.read()
        picture, now = view.picture, get_snapshot_time(view.picture)
        schedule, _ = await self.desk()
        read = picture.rows
        plans = await read(c.PlanRow)
        facts = ProofFacts(
            now=now,
            reference=picture.reference,
            schedule=schedule.rota,
            reach=replace(schedule, published_at=None).reach,
            partner_proofs=(partners or {}) if is_live(self._realm) else {},
            rows=RealmRows(
                sites=await read(a.SiteRow),
                incidents=await read(a.IncidentRow),
                plans=plans,
                strategies=await read(c.StrategyRow),
                reassignments=await read(g.ReassignmentRow),
                area_orders=await read(AreaOrderRow),
            ),
            messages=await self._read_messages(picture),
        )
        used = list_cards_in_time(plans, await read(c.SiteCardRow))
        exercised_plans = await self._list_exercised(picture, now)
        return replace(facts, exercised_cards=(*used, *exercised_plans))

    async def _read_messages(self, picture: RealmSnapshot) -> PersonMessages:
        """Return the messages of each person; those of the present are at most 20 s old.

        In a crisis thousands of them change every second, and a month of proof can wait.
        """
        cached_messages = self._messages.get(picture.realm)
        if (
            picture.at is None
            and cached_messages is not None
            and monotonic() - cached_messages[0] < MESSAGES_MAX_AGE_S
        ):
            return cached_messages[1]
        messages = sum_up_messages((await picture.rows(NotificationRow)).values())
        if picture.at is None:
            self._messages[picture.realm] = (monotonic(), messages)
            while len(self._messages) > MESSAGES_KEPT:
                self._messages.pop(next(iter(self._messages)))
        return messages

    async def _list_exercised(self, picture: RealmSnapshot, now: Instant) -> list[ExercisedCard]:
        """List the cards done in time in closed exercises of the territory of the last year.

        An exercise has a simulated clock, so the day when it was opened counts. A simulated
        realm knows the exercises that were before it, as far back as they were then.
        """
        live = is_live(picture.realm)
        moment = now if live else int(picture.fields["opened_at"])
        exercise_cards = []
        for realm in await self.realms():
            age = moment - to_instant(realm.opened_at)
            if is_exercise(realm, picture) and 0 <= age <= EXERCISE_DAYS * DAY_MS:
                cards = await self._read_exercise(realm.name)
                exercise_cards += [ExercisedCard(plan, card, now - age) for plan, card in cards]
        return exercise_cards

    async def _read_exercise(self, realm: str) -> frozenset[tuple[str, str]]:
        """Return the cards done in time in a closed exercise; none if its log cannot be read now.

        It is read as it ended: its clock is not that of the past that a page may show.
        """
        cached_cards = self._exercised.get(realm)
        if cached_cards is not None:
            return cached_cards
        try:
            picture = (await self.at(None).of(realm).read()).picture
            plans = await picture.rows(c.PlanRow)
            site_cards = await picture.rows(c.SiteCardRow)
        except (RealmUnknown, ProblemError):
            return frozenset()
        exercise_cards = frozenset(
            (one.plan, one.card) for one in list_cards_in_time(plans, site_cards)
        )
        if len(self._exercised) < REALMS_KEPT:
            self._exercised[realm] = exercise_cards
        return exercise_cards


def list_cards_in_time(
    plans: Mapping[str, c.PlanRow], site_cards: Mapping[str, c.SiteCardRow]
) -> list[ExercisedCard]:
    """List the cards that a person completed in time; of the cards of sites, one is enough.

    Time runs from the trigger, as the plan says, or from the last card that it depends on.
    """
    exercise_cards = [
        ExercisedCard(plan.id, card.id, card.at)
        for plan in plans.values()
        for card in plan.cards
        if card.state is CardState.DONE
        and card.sites is None
        and card.at is not None
        and card.at <= max(card.due_at, card.ready_at or 0)
    ]
    exercise_cards += [
        ExercisedCard(one.plan, one.card, one.at)
        for one in site_cards.values()
        if one.state is CardState.DONE
        and one.at is not None
        and one.at <= max(one.due_at, one.ready_at or 0)
    ]
    return exercise_cards


def is_exercise(realm: Realm, picture: RealmSnapshot) -> bool:
    """Return whether people of this territory were exercised in a realm that is over."""
    return (
        realm.kind == RealmKind.EXERCISE
        and realm.state == "closed"
        and realm.name != picture.realm
        and realm.territory == picture.fields.get("territory", realm.territory)
        and not is_demonstration(realm.name)
    )
