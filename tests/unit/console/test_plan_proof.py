"""Rule D85: the share of a plan that is proven, at any time, and the change that helps most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from schemas import reference as ref
from schemas.base import DAY_MS, MINUTE_MS, Instant, Model
from schemas.continuity import CardRow, PlanRow, SiteCardRow, StrategyRow
from schemas.delivery import NotificationRow
from schemas.oncall import Reach, ReachRow
from schemas.words import CardState, Channel, Level, NotificationState, PlanState, SiteStatus
from services.console.continuity.fallbacks import RealmRows
from services.console.proof import judgement, queries
from services.console.proof.judgement import (
    ExercisedCard,
    PlanProof,
    ProofFacts,
    ProofKind,
    judge_plan,
    judge_plans,
    sum_up_messages,
)
from services.console.proof.queries import list_cards_in_time
from services.console.read_model import query_base
from services.console.read_model.history import Chronicle, Fold, Version
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.snapshot import PastSnapshot, RealmSnapshot, list_row_models
from services.oncall.schedule import Schedule
from services.runtime.log.chain import Position
from tests.unit.console.held import Held, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import NOW, REALM, realm, site, words

PLAN, LIVE, EXERCISE = "PCA-solidarites", "92", "92~ex-proof"
DIRECTOR, PERSON = "directeur_pole:solidarites", "dir-solidarites"
CARD, HOSTS = "SOL-F01", "gymnase"
ALL_DAY = 8 * 60 * MINUTE_MS


def build_facts(now: Instant = NOW, **changes: Any) -> ProofFacts:
    roster = next(s.roster for s in reference().sections if isinstance(s, ref.RosterSection))
    return ProofFacts(now, reference(), Schedule(roster), **changes)


def judge(facts: ProofFacts) -> PlanProof:
    return judge_plan(reference().plans[PLAN], facts)


def verify(at: Instant | None) -> tuple[Reach, ...]:
    return (Reach(channel=Channel.SMS, verified_at=at),)


def count(proof: PlanProof, kind: ProofKind, key: str) -> tuple[int, int]:
    item = next(item for item in proof.items if (item.kind, item.key) == (kind, key))
    return item.proven, item.total


def message(state: NotificationState, at: Instant, **changes: Any) -> NotificationRow:
    return NotificationRow(
        id=f"n-{at}",
        level=Level.N1,
        role="directeur_pole",
        person=PERSON,
        state=state,
        template="t",
        planned_at=at,
        **changes,
    )


def plan_with(card: CardRow, state: PlanState = PlanState.LIFTED) -> PlanRow:
    return PlanRow(
        id=PLAN, pole="solidarites", state=state, decides="directeur_pole", cards=(card,)
    )


def done(at: Instant, due_at: Instant) -> CardRow:
    return CardRow(id=CARD, role="directeur_pole", due_at=due_at, state=CardState.DONE, at=at)


def occupy(place: str) -> StrategyRow:
    return StrategyRow(
        id="SOL-02/1",
        activity="SOL-02",
        strategy="SR-SITE:gymnase",
        state="active",
        expected_capacity_pct=50,
        site=place,
        desks=ref.GYMNASIUM_DESKS,
        started_at=NOW,
        started_by="p-1",
    )


GYMNASIUM = next(id for id, one in reference().sites.items() if one.kind == HOSTS)


def test_a_contact_is_proven_for_thirty_days_by_a_verification_or_an_answer() -> None:
    fresh = build_facts(reach={PERSON: verify(NOW - 30 * DAY_MS)})
    assert count(judge(fresh), ProofKind.CONTACTS, DIRECTOR) == (1, 2)
    old = build_facts(reach={PERSON: verify(NOW - 30 * DAY_MS - 1)})
    assert count(judge(old), ProofKind.CONTACTS, DIRECTOR) == (0, 2)
    never = build_facts(reach={PERSON: verify(None)})
    assert count(judge(never), ProofKind.CONTACTS, DIRECTOR) == (0, 2)
    answered = message(NotificationState.ANSWERED, NOW - DAY_MS, acknowledged_at=NOW - DAY_MS)
    proof_facts = build_facts(messages=sum_up_messages([answered]))
    assert count(judge(proof_facts), ProofKind.CONTACTS, DIRECTOR) == (1, 2)


def test_a_message_that_reached_no_channel_ends_the_proof_until_the_next_answer() -> None:
    verified = {PERSON: verify(NOW - 2 * DAY_MS)}
    lost = message(NotificationState.FAILED, NOW - DAY_MS)
    dead = build_facts(reach=verified, messages=sum_up_messages([lost]))
    assert count(judge(dead), ProofKind.CONTACTS, DIRECTOR) == (0, 2)
    answered = message(NotificationState.ANSWERED, NOW - 60_000, acknowledged_at=NOW - 60_000)
    again = build_facts(reach=verified, messages=sum_up_messages([lost, answered]))
    assert count(judge(again), ProofKind.CONTACTS, DIRECTOR) == (1, 2)


def test_a_partner_is_proven_by_its_number_in_the_directory() -> None:
    token = "contact:cump"
    facts = build_facts(partner_proofs={token: NOW - DAY_MS})
    assert count(judge(facts), ProofKind.CONTACTS, token) == (1, 1)
    future = build_facts(partner_proofs={token: NOW + DAY_MS})
    assert count(judge(future), ProofKind.CONTACTS, token) == (0, 1)


def test_a_card_done_late_is_not_exercised_and_time_runs_from_the_plan() -> None:
    assert list_cards_in_time({PLAN: plan_with(done(at=100, due_at=100))}, {}) == [
        ExercisedCard(PLAN, CARD, 100)
    ]
    assert list_cards_in_time({PLAN: plan_with(done(at=101, due_at=100))}, {}) == []
    waited = done(at=150, due_at=100).model_copy(update={"ready_at": 160})
    assert len(list_cards_in_time({PLAN: plan_with(waited)}, {})) == 1


def test_one_site_in_time_exercises_a_card_of_sites() -> None:
    row = SiteCardRow(
        id="x", plan=PLAN, card="SOL-F05", life=1, role="r", opened_at=0, due_at=9, at=9
    )
    closed = row.model_copy(update={"state": CardState.DONE})
    assert list_cards_in_time({}, {"x": closed}) == [ExercisedCard(PLAN, "SOL-F05", 9)]
    assert list_cards_in_time({}, {"x": row}) == []


def test_skills_count_agents_at_open_sites_only() -> None:
    whole = judge(build_facts())
    assert count(whole, ProofKind.SKILLS, "inspecteur_ase") == (1, 1)
    staffing = next(s for s in reference().sections if isinstance(s, ref.Staffing))
    places = {c.site for c in staffing.cells if c.metier == "inspecteur_ase"}
    rows = {
        id: list_row_models()["sites"].model_validate(
            {**site(id), "status": SiteStatus.CLOSED.value}
        )
        for id in places
    }
    shut = judge(build_facts(rows=RealmRows(sites=rows)))  # type: ignore[arg-type]
    assert count(shut, ProofKind.SKILLS, "inspecteur_ase") == (0, 1)
    assert shut.pct < whole.pct


def test_a_review_out_of_date_loses_its_whole_kind() -> None:
    content = build_facts().contents[PLAN]
    assert content.review is not None
    last = content.review.next_on - date(1970, 1, 1)
    in_date, over = (
        judge(build_facts(now=(last + timedelta(days=n)).days * DAY_MS + DAY_MS // 2))
        for n in (0, 1)
    )
    assert count(in_date, ProofKind.REVIEW, "review") == (1, 1)
    assert count(over, ProofKind.REVIEW, "review") == (0, 1)


@pytest.mark.parametrize(("days", "proven"), [(None, 0), (0, 1), (366, 1), (367, 0)])
def test_an_activity_of_the_minimal_mode_is_proven_by_a_confirmation_of_this_year(
    days: int | None, proven: int
) -> None:
    """A lapsed confirmation never counts less than one that was never given."""
    facts = build_facts()
    activity = facts.contents[PLAN].goes_on[0].activity
    today = date(1970, 1, 1) + timedelta(days=facts.now // DAY_MS)
    day = None if days is None else today - timedelta(days=days)
    index = facts.reference
    confirmed = index.activities[activity].model_copy(update={"reviewed_on": day})
    names = replace(index.names, activities={**index.activities, activity: confirmed})
    proof = judge(replace(facts, reference=replace(index, names=names)))
    assert count(proof, ProofKind.REVIEW, activity) == (proven, 1)


def test_the_best_change_brings_exactly_the_points_that_it_promises() -> None:
    """Every kind weighs the same; an exercise proves all cards at once."""
    facts = build_facts()
    before = judge(facts)
    best = before.changes[0]
    assert best.kind is ProofKind.CARDS
    cards = tuple(ExercisedCard(PLAN, item.key, NOW) for item in best.items)
    after = judge(replace(facts, exercised_cards=cards))
    assert after.pct - before.pct == pytest.approx(best.gain, abs=0.11)
    assert all(one.gain <= best.gain for one in before.changes)
    assert after.changes[0].kind is not ProofKind.CARDS


def test_a_plan_with_everything_proven_needs_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judgement, "_is_fresh", lambda *_: True)
    items = judge(build_facts()).items
    assert {item.kind for item in items} == set(ProofKind)
    full = tuple(replace(item, proven=item.total) for item in items)
    monkeypatch.setattr(judgement, "_list_items", lambda *_: full)
    proof = judge(build_facts())
    assert (proof.pct, proof.changes) == (100.0, ())


async def test_a_plan_without_content_is_not_called_proven() -> None:
    """A plan that counts on nothing misses nothing: « Tout est prouvé » stood at 0 %."""
    plans = [
        section.model_copy(update={"plans": (section.plans[0].model_copy(update={"cards": ()}),)})
        if isinstance(section, ref.Plans)
        else section
        for section in reference().sections
        if not isinstance(section, ref.PlanContents)
    ]
    realm_state = realm()
    realm_state.reference = IndexedReference.of_sections("bare", tuple(plans))
    browser, _ = browsing(realm_state)
    (bare,) = realm_state.reference.plans
    page = await browser.get(f"/plans/{bare}?realm={REALM}", role="coordinator")
    text = words(page.text)
    assert "Ce plan n’a encore ni fiche ni contenu à prouver." in text
    assert "Tout est prouvé" not in text


def test_every_valid_plan_of_the_territory_is_judged_in_both_languages() -> None:
    proofs = judge_plans(build_facts())
    assert set(proofs) == {id for id, plan in reference().plans.items() if plan.state == "valide"}
    assert all(0 <= proof.pct <= 100 and proof.items for proof in proofs.values())


def test_each_person_is_judged_once_for_all_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """253 managers stand in many plans; judging them for each took most of the page’s time."""
    judged_people: list[str] = []
    judge_person = ProofFacts._judge_person
    monkeypatch.setattr(
        ProofFacts,
        "_judge_person",
        lambda facts, person: judged_people.append(person) or judge_person(facts, person),
    )
    judge_plans(build_facts())
    assert len(judged_people) == len(set(judged_people)) > 253


# A dead contact, a full host, a card that nobody exercised: live, and in time travel.


@dataclass(frozen=True)
class Loss:
    """Rows that prove something, and those that end it."""

    kind: ProofKind
    key: str
    before: Sequence[tuple[str, Model]]
    after: Sequence[tuple[str, Model]]


def list_losses(now: Instant) -> dict[str, Loss]:
    verified = ReachRow(id=PERSON, points=verify(now - DAY_MS))
    return {
        "dead contact": Loss(
            ProofKind.CONTACTS,
            DIRECTOR,
            [("reachability", verified)],
            [("reachability", ReachRow(id=PERSON, points=()))],
        ),
        "lost message": Loss(
            ProofKind.CONTACTS,
            DIRECTOR,
            [("reachability", verified)],
            [("notifications", message(NotificationState.FAILED, now))],
        ),
        "full host": Loss(ProofKind.HOSTS, HOSTS, [], [("strategies", occupy(GYMNASIUM))]),
    }


LOSSES = tuple(list_losses(NOW))


async def read_count(
    get: Callable[[str], Any], path: str, kind: ProofKind, key: str
) -> tuple[float, int]:
    answer = await get(path)
    assert answer.status_code == 200, answer.text
    proof = answer.json()
    return proof["pct"], next(
        one["proven"] for one in proof["items"] if (one["kind"], one["id"]) == (kind.value, key)
    )


@pytest.mark.parametrize("name", LOSSES)
async def test_a_loss_lowers_the_plan_within_twenty_seconds(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr(queries, "monotonic", lambda: passed[0])
    loss = list_losses(query_base.now_ms())[name]
    realm_state = Held(LIVE, clock=query_base.now_ms(), reference=reference())
    browser, _ = browsing(realm_state)
    path = f"/api/v1/plans/{PLAN}/proof?realm={LIVE}"
    for collection, row in loss.before:
        realm_state.put(collection, row.model_dump())
    pct, proven = await read_count(browser.get, path, loss.kind, loss.key)
    for collection, row in loss.after:
        realm_state.put(collection, row.model_dump())
    passed[0] = 20.0
    lower, remaining = await read_count(browser.get, path, loss.kind, loss.key)
    assert (remaining, lower < pct) == (proven - 1, True)


async def test_messages_are_read_once_in_twenty_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a crisis thousands of messages change, and every page of plans would read them all."""
    read: list[int] = []
    monkeypatch.setattr(
        queries, "sum_up_messages", lambda rows: read.append(1) or sum_up_messages(rows)
    )
    passed = [0.0]
    monkeypatch.setattr(queries, "monotonic", lambda: passed[0])
    _, model = browsing(Held(LIVE, clock=query_base.now_ms(), reference=reference()))
    for passed[0] in (0.0, 19.9, 20.0):
        await model.of(LIVE).plan_proofs()
    assert len(read) == 2


class TimeTravel(HeldModel):
    """Reads the live realm from row versions, as the chronicle of the logs holds them."""

    def __init__(self, chronicle: Chronicle, *others: Held) -> None:
        super().__init__(*others)
        self._chronicle = chronicle

    async def _picture(self, realm: str, as_of: Instant | None) -> RealmSnapshot:
        if realm != LIVE:
            return await super()._picture(realm, as_of)
        as_of = self._moment if as_of is None else as_of
        assert as_of is not None
        past = PastSnapshot(LIVE, Fold(self._chronicle, LIVE, as_of), as_of)
        past.reference, past.fields = reference(), {"territory": "92", "opened_at": 0}
        return past


def remember(*told: tuple[Instant, str, Model]) -> Chronicle:
    made = Chronicle.in_memory()
    versions = [
        Version(
            LIVE, collection, str(row.model_dump()["id"]), at, n, row.model_dump_json().encode()
        )
        for n, (at, collection, row) in enumerate(told, 1)
    ]
    clock = [Version(LIVE, "~clock", "", NOW, 0, b"")]
    made.add("alerts", 0, [*versions, *clock], Position(next=1))
    return made


@pytest.mark.parametrize("name", LOSSES)
async def test_time_travel_shows_the_loss_from_its_minute_on(name: str) -> None:
    loss = list_losses(NOW)[name]
    model = TimeTravel(
        remember(
            *((NOW - DAY_MS, collection, row) for collection, row in loss.before),
            *((NOW, collection, row) for collection, row in loss.after),
        )
    )
    (_, before), (_, after) = [
        await model.at(at).of(LIVE).plan_proof(PLAN) for at in (NOW - MINUTE_MS, NOW)
    ]
    proven, remaining = (count(one, loss.kind, loss.key)[0] for one in (before, after))
    assert (remaining, after.pct < before.pct) == (proven - 1, True)


def hold_exercise(opened_at: Instant, **fields: Any) -> Held:
    """Hold a closed exercise in which one card was done in time."""
    realm_state = Held(
        EXERCISE,
        clock=opened_at + ALL_DAY,
        reference=reference(),
        fields={"opened_at": opened_at, "started_at": opened_at, "state": "closed", **fields},
    )
    realm_state.put("plans", plan_with(done(at=100, due_at=200)).model_dump())
    return realm_state


async def test_an_exercised_card_loses_its_mark_after_a_year_of_wall_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exercise has a clock of its own: the day of its opening counts."""
    opened = query_base.now_ms()
    live = Held(LIVE, clock=opened, reference=reference())
    browser, _ = browsing(live, hold_exercise(opened))
    path = f"/api/v1/plans/{PLAN}/proof?realm={LIVE}"
    proofs = []
    for age in (0, 365 * DAY_MS, 365 * DAY_MS + MINUTE_MS):
        monkeypatch.setattr(query_base, "now_ms", lambda age=age: opened + age)
        proofs.append(await read_count(browser.get, path, ProofKind.CARDS, CARD))
    assert [proven for _, proven in proofs] == [1, 1, 0]


async def test_time_travel_knows_an_exercise_from_its_day_on_and_for_a_year() -> None:
    opened = NOW - 400 * DAY_MS
    model = TimeTravel(remember(), hold_exercise(opened))
    proven_counts = [
        count((await model.at(at).of(LIVE).plan_proof(PLAN))[1], ProofKind.CARDS, CARD)[0]
        for at in (opened - MINUTE_MS, opened, opened + 365 * DAY_MS, opened + 366 * DAY_MS)
    ]
    assert proven_counts == [0, 1, 1, 0]


async def test_a_page_of_the_past_reads_an_exercise_by_its_own_clock() -> None:
    """An exercise that plays in 2030 has not begun at the time that the page shows."""
    opened = NOW - DAY_MS
    later = hold_exercise(opened, started_at=NOW + 1000 * DAY_MS)
    later.clock = NOW + 1001 * DAY_MS
    past = TimeTravel(remember(), later).at(NOW)
    _, proof = await past.of(LIVE).plan_proof(PLAN)
    assert count(proof, ProofKind.CARDS, CARD) == (1, 1)


@pytest.mark.parametrize(
    ("name", "fields"), [("open", {"state": "open"}), ("of another territory", {"territory": "93"})]
)
async def test_other_realms_exercise_nothing(name: str, fields: dict[str, Any]) -> None:
    assert name
    model = TimeTravel(remember(), hold_exercise(NOW - DAY_MS, **fields))
    _, proof = await model.at(NOW).of(LIVE).plan_proof(PLAN)
    assert count(proof, ProofKind.CARDS, CARD) == (0, 1)


async def test_the_page_names_the_best_change_with_its_gain_and_a_link() -> None:
    browser, _ = browsing(realm())
    page = await browser.get(f"/plans/{PLAN}?realm={REALM}", role="coordinator")
    text = words(page.text)
    assert "du plan est prouvé" in text
    assert "Jouer un exercice du plan : 17 fiches à faire à temps + 16,7 points" in text
    assert f'href="/exercices-courts?realm={REALM}">Jouer un exercice' in page.text
    limited = await browser.get(f"/plans/{PLAN}?realm={REALM}", role="site_manager")
    assert f'href="/realms?realm={REALM}">Jouer un exercice' in limited.text
    listed = words((await browser.get(f"/plans?realm={REALM}", role="coordinator")).text)
    assert "Preuve des plans" in listed
    assert "prouvé à" in listed


async def test_the_proof_is_written_in_both_languages_without_ids() -> None:
    browser, _ = browsing(realm())
    path = f"/api/v1/plans/{PLAN}/proof?realm={REALM}"
    for lang in ("fr", "en"):
        proof = (await browser.get(path, role="coordinator", lang=lang)).json()
        names = [one["name"] for one in proof["items"]]
        assert not [n for n in names if "_" in n or n.startswith("contact:") or n[:3] == "DOC"]
    proofs = (await browser.get(f"/api/v1/plan-proofs?realm={REALM}", role="coordinator")).json()
    assert {one["pole"] for one in proofs["poles"]} == set(reference().poles)
