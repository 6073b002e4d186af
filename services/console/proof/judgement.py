"""Judge the proven share of a plan, and the change that would raise it most.

Pure: the facts of one realm at one time in, the proof out. It reads no clock, so the present and a
past time are judged alike. Rule D85, proof of a plan.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Final

from schemas import reference as ref
from schemas.base import DAY_MS, Instant
from schemas.delivery import NotificationRow
from schemas.oncall import Reach
from schemas.plans import Card, PlanContent
from schemas.ranks import POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from schemas.words import NotificationState, PlanState, SiteStatus
from services.console.continuity.fallbacks import FreePlaces, RealmRows
from services.console.read_model.reference_index import IndexedReference
from services.console.texts.names import SITE_STRATEGY
from services.oncall.schedule import OnCallPair, Schedule, get_local_day

CONTACT_DAYS: Final = 30
"""Days for which an answer, a receipt or a verification proves that somebody is reached."""
EXERCISE_DAYS: Final = 365
"""Days for which a card done in time stays exercised."""
REVIEW_DAYS: Final = 366
"""Days for which the review of an activity holds."""
REVIEW_KEY: Final = "review"
"""Key of the review of the plan itself."""
_POLE_ROLES: Final = frozenset({POLE_DIRECTOR_ROLE, "suppleant_directeur_pole"})
_NOBODY_WORKS: Final = frozenset(
    {SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING, SiteStatus.UNKNOWN}
)
_EPOCH: Final = date(1970, 1, 1)


class ProofKind(StrEnum):
    """Kind of thing that a plan counts on."""

    CONTACTS = "contacts"
    CARDS = "cards"
    HOSTS = "hosts"
    SKILLS = "skills"
    REVIEW = "review"
    DOCUMENTS = "documents"


@dataclass(frozen=True, slots=True)
class ProofItem:
    """One thing that a plan counts on: how much of it is proven."""

    kind: ProofKind
    key: str
    """Role or `role:pôle`, `contact:<id>`, card, kind of site, métier, document; `review` or the
    activity that is reviewed.
    """
    proven: int
    total: int
    at: Instant | None = None
    """Time of the newest proof, if one is dated."""

    @property
    def share(self) -> float:
        return self.proven / self.total


@dataclass(frozen=True, slots=True)
class ProofChange:
    """One deed that would prove these items, and the points that the plan would gain."""

    kind: ProofKind
    items: tuple[ProofItem, ...]
    gain: float


@dataclass(frozen=True, slots=True)
class PlanProof:
    """Proof of one plan. Kinds that the plan does not count on have no share."""

    plan: str
    pct: float
    shares: Mapping[ProofKind, float]
    items: tuple[ProofItem, ...]
    changes: tuple[ProofChange, ...]
    """The one that helps most comes first."""


@dataclass(frozen=True, slots=True)
class ExercisedCard:
    """A card that was done in time at `at`, in an exercise or in a real crisis."""

    plan: str
    card: str
    at: Instant


@dataclass(frozen=True, slots=True)
class PersonMessages:
    """Newest messages of each person that say something about reaching them."""

    heard: Mapping[str, Instant] = field(default_factory=dict)
    """Person → newest answer or receipt."""
    undelivered_at: Mapping[str, Instant] = field(default_factory=dict)
    """Person → newest message that no channel could bring."""


def sum_up_messages(rows: Iterable[NotificationRow]) -> PersonMessages:
    """Return the newest answer or receipt, and the newest lost message, of each person."""
    answer_times: dict[str, Instant] = {}
    lost_times: dict[str, Instant] = {}
    for row in rows:
        times = [at for at in (row.acknowledged_at, row.receipt_at) if at is not None]
        if times:
            answer_times[row.person] = max(answer_times.get(row.person, 0), *times)
        if row.state is NotificationState.FAILED:
            lost_times[row.person] = max(lost_times.get(row.person, 0), row.planned_at)
    return PersonMessages(answer_times, lost_times)


@dataclass(frozen=True)
class ProofFacts:
    """Facts of one realm at one time."""

    now: Instant
    reference: IndexedReference
    schedule: Schedule
    reach: Mapping[str, tuple[Reach, ...]] = field(default_factory=dict)
    """Person → usable channels, with the dates of their proofs."""
    partner_proofs: Mapping[str, Instant] = field(default_factory=dict)
    """Token of a partner → last verification of one of its numbers in the directory."""
    rows: RealmRows = field(default_factory=RealmRows)
    messages: PersonMessages = PersonMessages()
    exercised_cards: tuple[ExercisedCard, ...] = ()

    @cached_property
    def contents(self) -> dict[str, PlanContent]:
        return ref.collect_plan_contents(self.reference.sections)

    @cached_property
    def places(self) -> FreePlaces:
        return FreePlaces(self.reference, self.rows)

    @cached_property
    def partners(self) -> dict[str, ref.PartnerContact]:
        sections = self.reference.sections
        return {c.id: c for s in sections if isinstance(s, ref.Contacts) for c in s.contacts}

    @cached_property
    def placed_documents(self) -> frozenset[str]:
        """Documents of any plan with form and place."""
        documents = (d for content in self.contents.values() for d in content.documents)
        return frozenset(document.id for document in documents if document.support.strip())

    @cached_property
    def exercised_at(self) -> dict[tuple[str, str], Instant]:
        """(plan, card) → newest time when it was done in time."""
        exercise_times: dict[tuple[str, str], Instant] = {}
        for one in self.exercised_cards:
            if one.at <= self.now:
                key = (one.plan, one.card)
                exercise_times[key] = max(exercise_times.get(key, 0), one.at)
        return exercise_times

    @cached_property
    def staff(self) -> dict[str, int]:
        """Métier → agents whose site is open."""
        staff_by_metier: dict[str, int] = {}
        sections = self.reference.sections
        cells = next((s.cells for s in sections if isinstance(s, ref.Staffing)), ())
        for cell in cells:
            row = self.rows.sites.get(cell.site)
            if row is None or row.status not in _NOBODY_WORKS:
                staff_by_metier[cell.metier] = staff_by_metier.get(cell.metier, 0) + cell.staff
        return staff_by_metier

    @cached_property
    def _people(self) -> dict[tuple[str, str | None], OnCallPair]:
        return {}

    def find_people(self, role: str, scope: str | None) -> OnCallPair:
        """Return the people on call in a role now."""
        pair = self._people.get((role, scope))
        if pair is None:
            pair = self._people[role, scope] = self.schedule.pair(role, scope, self.now)
        return pair

    @cached_property
    def roles(self) -> dict[tuple[str, tuple[tuple[str, str | None], ...]], ProofItem]:
        """(key, posts) → their item, for the plans that name the same."""
        return {}

    @cached_property
    def _proofs(self) -> dict[str, Instant | None]:
        return {}

    def find_proof(self, person: str) -> Instant | None:
        """Return when a person was last reached; None if a later message reached no channel."""
        if person not in self._proofs:
            self._proofs[person] = self._judge_person(person)
        return self._proofs[person]

    def _judge_person(self, person: str) -> Instant | None:
        verification_times = [
            p.verified_at for p in self.reach.get(person, ()) if p.verified_at is not None
        ]
        times = [
            at for at in (*verification_times, self.messages.heard.get(person)) if at is not None
        ]
        newest = max((at for at in times if at <= self.now), default=None)
        if newest is None or self.messages.undelivered_at.get(person, newest) > newest:
            return None
        return newest


def judge_plan(plan: ref.Plan, facts: ProofFacts) -> PlanProof:
    """Judge one plan. Every kind of item weighs the same, every item of a kind the same."""
    items = tuple(_list_items(plan, facts))
    shares = _compute_shares(items)
    pct = _compute_pct(shares)
    changes = [
        ProofChange(some[0].kind, some, _compute_gain(some, items, len(shares)))
        for some in _group_deeds(items)
    ]
    ranked_changes = sorted(changes, key=lambda one: (-one.gain, one.kind, one.items[0].key))
    return PlanProof(plan.id, round(pct, 1), shares, items, tuple(ranked_changes))


def judge_plans(facts: ProofFacts) -> dict[str, PlanProof]:
    """Judge the valid plans of the library, by id."""
    return {
        id: judge_plan(plan, facts)
        for id, plan in facts.reference.plans.items()
        if plan.shelf is PlanState.VALID
    }


def average_proofs(proofs: Iterable[PlanProof]) -> float | None:
    """Return the mean of some plans in percent; None without a plan."""
    percentages = [one.pct for one in proofs]
    return round(sum(percentages) / len(percentages), 1) if percentages else None


def _compute_shares(items: Iterable[ProofItem]) -> dict[ProofKind, float]:
    """Return kind → mean share of its items."""
    shares_by_kind: dict[ProofKind, list[float]] = {}
    for item in items:
        shares_by_kind.setdefault(item.kind, []).append(item.share)
    return {
        kind: sum(shares_by_kind[kind]) / len(shares_by_kind[kind])
        for kind in ProofKind
        if kind in shares_by_kind
    }


def _compute_pct(shares: Mapping[ProofKind, float]) -> float:
    return 100 * sum(shares.values()) / len(shares) if shares else 0.0


def _compute_gain(some: tuple[ProofItem, ...], items: tuple[ProofItem, ...], kinds: int) -> float:
    """Return the points that a plan gains if these items of one kind are proven in full."""
    count = sum(item.kind is some[0].kind for item in items)
    missing = sum(1 - item.share for item in some)
    return round(100 * missing / count / kinds, 1)


def _group_deeds(items: Iterable[ProofItem]) -> Iterator[tuple[ProofItem, ...]]:
    """Yield the items that one deed proves: one exercise all cards, every other deed one item."""
    missing = [item for item in items if item.proven < item.total]
    cards = tuple(item for item in missing if item.kind is ProofKind.CARDS)
    if cards:
        yield cards
    yield from ((item,) for item in missing if item.kind is not ProofKind.CARDS)


def _list_items(plan: ref.Plan, facts: ProofFacts) -> Iterator[ProofItem]:
    content = facts.contents.get(plan.id)
    yield from _list_role_items(plan, facts)
    yield from (_judge_card(plan, card, facts) for card in plan.cards)
    if content is not None:
        yield from _list_partner_items(content, facts)
        yield from _list_host_items(content, facts)
        yield from _list_skill_items(content, facts)
        yield from _list_review_items(content, facts)
        yield from _list_document_items(content, facts)


def _list_role_items(plan: ref.Plan, facts: ProofFacts) -> Iterator[ProofItem]:
    """Yield the roles of the cards: how many of the people on call in them are reached."""
    for key, posts in _list_posts(plan, facts).items():
        cached_item = facts.roles.get((key, tuple(posts)))
        yield _judge_posts(key, posts, facts) if cached_item is None else cached_item


def _judge_posts(key: str, posts: Sequence[tuple[str, str | None]], facts: ProofFacts) -> ProofItem:
    """Judge the people on call in some posts; plans with the same posts share the result."""
    proofs = [facts.find_proof(person) for person in _list_people(posts, facts)]
    fresh = [at for at in proofs if at is not None and _is_fresh(at, facts, CONTACT_DAYS)]
    proof_item = ProofItem(
        ProofKind.CONTACTS, key, len(fresh), max(len(proofs), 1), max(fresh, default=None)
    )
    facts.roles[key, tuple(posts)] = proof_item
    return proof_item


def _list_posts(plan: ref.Plan, facts: ProofFacts) -> dict[str, list[tuple[str, str | None]]]:
    """Return key → posts (role, scope) that the cards name; managers of all their sites are one."""
    posts: dict[str, list[tuple[str, str | None]]] = {}
    managed_sites: set[str] = set()
    for card in plan.cards:
        if card.role == SITE_MANAGER_ROLE:
            managed_sites.update(facts.reference.card_sites.get((plan.id, card.id), ()))
        for role, pole in ((card.role, card.pole), (card.deputy_role, card.deputy_pole)):
            if role is None or role == SITE_MANAGER_ROLE:
                continue
            scope = (pole or card.pole or plan.pole) if role in _POLE_ROLES else None
            if role in _POLE_ROLES and scope is None:
                posts.setdefault(role, [(role, one) for one in facts.schedule.scopes(role)])
            else:
                posts.setdefault(role if scope is None else f"{role}:{scope}", [(role, scope)])
    if managed_sites:
        posts[SITE_MANAGER_ROLE] = [(SITE_MANAGER_ROLE, site) for site in sorted(managed_sites)]
    return posts


def _list_people(posts: Iterable[tuple[str, str | None]], facts: ProofFacts) -> list[str]:
    """Return the people on call in these posts, each once: holders, and deputies but of sites."""
    person_ids: dict[str, None] = {}
    for role, scope in posts:
        pair = facts.find_people(role, scope)
        people = (pair.holder,) if role == SITE_MANAGER_ROLE else (pair.holder, pair.deputy)
        person_ids.update(dict.fromkeys(person for person in people if person is not None))
    return list(person_ids)


def _list_partner_items(content: PlanContent, facts: ProofFacts) -> Iterator[ProofItem]:
    contact_ids = dict.fromkeys(contact for card in content.cards for contact in card.contacts)
    for contact in (facts.partners[id] for id in contact_ids if id in facts.partners):
        token = ref.build_contact_token(contact.id)
        verified_at = (
            None if contact.verified_on is None else (contact.verified_on - _EPOCH).days * DAY_MS
        )
        dates = (facts.partner_proofs.get(token), verified_at)
        at = max((one for one in dates if one is not None and one <= facts.now), default=None)
        fresh = at is not None and _is_fresh(at, facts, CONTACT_DAYS)
        yield ProofItem(ProofKind.CONTACTS, token, int(fresh), 1, at if fresh else None)


def _judge_card(plan: ref.Plan, card: Card, facts: ProofFacts) -> ProofItem:
    at = facts.exercised_at.get((plan.id, card.id))
    fresh = at is not None and _is_fresh(at, facts, EXERCISE_DAYS)
    return ProofItem(ProofKind.CARDS, card.id, int(fresh), 1, at if fresh else None)


def _list_host_items(content: PlanContent, facts: ProofFacts) -> Iterator[ProofItem]:
    """Yield the kinds of site that kept activities fall back on: sites with seats, and all."""
    activities = facts.reference.activities
    ongoing_activities = (
        activities[one.activity] for one in content.goes_on if one.activity in activities
    )
    site_kinds = dict.fromkeys(
        kind for activity in ongoing_activities for kind in _list_host_kinds(activity)
    )
    for kind in site_kinds:
        seats = facts.places.count_by_site(kind)
        if seats:
            free = sum(count > 0 for count in seats.values())
            yield ProofItem(ProofKind.HOSTS, kind, free, len(seats))


def _list_host_kinds(activity: ref.Activity) -> list[str]:
    return [
        kind.strip()
        for strategy in activity.strategies
        if strategy.startswith(f"{SITE_STRATEGY}:")
        for kind in strategy.partition(":")[2].split("|")
    ]


def _list_skill_items(content: PlanContent, facts: ProofFacts) -> Iterator[ProofItem]:
    """Yield the métiers of the cards: agents at open sites, up to the number that a card needs."""
    needed_counts: dict[str, int] = {}
    for card in content.cards:
        for metier, count in card.metiers.items():
            needed_counts[metier] = max(needed_counts.get(metier, 0), count)
    for metier, count in needed_counts.items():
        if count > 0:
            present = min(count, facts.staff.get(metier, 0))
            yield ProofItem(ProofKind.SKILLS, metier, present, count)


def _list_review_items(content: PlanContent, facts: ProofFacts) -> Iterator[ProofItem]:
    """Yield the review of the plan, then those of the activities that its minimal mode keeps.

    An activity that nobody ever confirmed is not proven: it is overdue on `/revue`, too.
    """
    today = get_local_day(facts.now)
    if content.review is not None:
        yield ProofItem(ProofKind.REVIEW, REVIEW_KEY, int(today <= content.review.next_on), 1)
    for row in content.goes_on:
        activity = facts.reference.activities.get(row.activity)
        if activity is not None:
            day = activity.reviewed_on
            is_current = day is not None and (today - day).days <= REVIEW_DAYS
            yield ProofItem(ProofKind.REVIEW, activity.id, int(is_current), 1)


def _list_document_items(content: PlanContent, facts: ProofFacts) -> Iterator[ProofItem]:
    """Yield the documents, listed or named by a card; one is present if its place is written."""
    listed_ids = (document.id for document in content.documents)
    card_documents = (document for card in content.cards for document in card.documents)
    for id in dict.fromkeys((*listed_ids, *card_documents)):
        yield ProofItem(ProofKind.DOCUMENTS, id, int(id in facts.placed_documents), 1)


def _is_fresh(at: Instant, facts: ProofFacts, days: int) -> bool:
    return 0 <= facts.now - at <= days * DAY_MS
