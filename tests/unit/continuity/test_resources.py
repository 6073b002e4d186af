"""Resource requests: nothing is promised twice, states follow the arrows, stocks never go negative.

Rule D88, resource requests.
"""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import AttentionRequested
from schemas.base import MINUTE_MS, Command
from schemas.crisis.resource_requests import (
    ARROWS,
    OVER_STATES,
    ArriveResource,
    CancelResource,
    CommitResource,
    CountStock,
    DepartResource,
    OfferResource,
    OfferState,
    ReleaseResource,
    RequestPriority,
    RequestResource,
    RequestState,
    ResourceRequestChanged,
    ResourceRequestRow,
    StockChanged,
)
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import EventType
from services.continuity.decider import ContinuityDecider
from tests.linear.checker import Operation, linearizable
from tests.linear.models import Answered, Promising, Stock, stock_of
from tests.unit.continuity.test_area_orders import order
from tests.unit.continuity.world import REALM, World

GENERATORS, ONE_GENERATOR, WATER = "gen-log-01", "gen-voi-02", "eau-log-01"
SITE = "pmi-01"
CELL = {"author": "p-cell", "role": "cell"}
MANAGER = {"author": "p-manager", "role": "site_manager"}


@pytest.fixture
def world() -> World:
    return World(start="09:00")


def ask(world: World, when: str = "09:00", **changes: Any) -> ResourceRequestRow:
    """Request one generator for a site by default."""
    request_fields = {"resource": "generator", "quantity": 1, "site": SITE} | changes
    answer = world.say(RequestResource(**MANAGER, **request_fields), when)
    assert isinstance(answer, CommandApplied), answer
    return world.state.requests[str(answer.result["request"])]


def do(world: World, kind: type[Command], row: ResourceRequestRow, when: str, **more: Any) -> str:
    """Decide about a request; return the code of the refusal, empty when it is applied."""
    answer = world.say(kind(**CELL, request=row.id, **more), when)  # type: ignore[call-arg]
    return answer.code if isinstance(answer, CommandRefused) else ""


def free(world: World, stock: str) -> int:
    listed = world.state.bia.resources.stocks[stock].quantity  # type: ignore[union-attr]
    row = world.state.stocks.get(stock)
    return listed if row is None else row.available


def told(world: World, code: str) -> list[AttentionRequested]:
    return world.asked(code)


# ── one request through its life ─────────────────────────────────────────────────────────────────


def test_a_request_goes_from_the_question_to_the_return(world: World) -> None:
    row = ask(world, quantity=2)
    assert do(world, OfferResource, row, "09:05", stock=GENERATORS) == ""
    assert free(world, GENERATORS) == 0
    assert do(world, CommitResource, row, "09:10") == ""
    assert do(world, DepartResource, row, "09:50") == ""
    assert do(world, ArriveResource, row, "09:55") == ""
    assert free(world, GENERATORS) == 0
    assert do(world, ReleaseResource, row, "18:00") == ""
    assert free(world, GENERATORS) == 2
    assert row.id not in world.state.requests
    assert [fact.change for fact in world.facts(ResourceRequestChanged)] == [
        "requested",
        "offered",
        "committed",
        "departed",
        "arrived",
        "released",
    ]


def test_an_offer_estimates_arrival_and_cost_from_the_reference_data(world: World) -> None:
    row = ask(world, needed_until=world.instant("2027-02-13 08:00"))
    assert do(world, OfferResource, row, "09:00", stock=GENERATORS) == ""
    offer = world.state.requests[row.id].offers[0]
    ready = world.state.bia.resources.stocks[GENERATORS].ready_min  # type: ignore[union-attr]
    assert offer.eta_at > world.instant("09:00") + ready * MINUTE_MS
    assert offer.cost_eur == 2 * 120
    assert offer.expires_at == world.instant("10:00")


def test_steps_out_of_order_are_refused(world: World) -> None:
    row = ask(world)
    for kind in (CommitResource, DepartResource, ArriveResource, ReleaseResource):
        assert do(world, kind, row, "09:01") == "request_state"
    do(world, OfferResource, row, "09:02", stock=GENERATORS)
    do(world, CommitResource, row, "09:03")
    assert do(world, ArriveResource, row, "09:04") == "request_state"
    assert do(world, OfferResource, row, "09:05", stock=ONE_GENERATOR) == "request_state"


def test_a_cancelled_request_returns_everything(world: World) -> None:
    row = ask(world, quantity=2)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    do(world, CommitResource, row, "09:02")
    assert do(world, CancelResource, row, "09:03") == "reason_required"
    assert do(world, CancelResource, row, "09:04", reason="text:t-1") == ""
    assert free(world, GENERATORS) == 2
    closed = world.facts(ResourceRequestChanged)[-1].row
    assert closed.state is RequestState.CANCELLED
    assert [offer.state for offer in closed.offers] == [OfferState.WITHDRAWN]


def test_used_up_resources_never_return(world: World) -> None:
    row = ask(world, resource="water", quantity=500)
    do(world, OfferResource, row, "09:01", stock=WATER)
    do(world, CommitResource, row, "09:02")
    do(world, DepartResource, row, "09:03")
    assert do(world, ArriveResource, row, "09:30") == ""
    assert free(world, WATER) == 1000
    assert do(world, ReleaseResource, row, "12:00") == ""
    assert free(world, WATER) == 1000
    assert world.state.stocks[WATER].engaged == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"resource": "tank"}, "resource_not_found"),
        ({"site": "nowhere"}, "site_not_found"),
        ({"resource": "people"}, "metier_needed"),
        ({"metier": "chauffeur"}, "metier_unused"),
        ({"incident": "i-none"}, "incident_not_found"),
        ({"needed_until": 1}, "until_past"),
    ],
)
def test_an_unfillable_request_is_refused(world: World, changes: dict[str, Any], code: str) -> None:
    request_fields = {"resource": "generator", "quantity": 1, "site": SITE} | changes
    answer = world.say(RequestResource(**MANAGER, **request_fields), "09:00")
    assert isinstance(answer, CommandRefused)
    assert answer.code == code
    assert not world.state.requests


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({}, "stock_or_partner"),
        ({"stock": "none"}, "stock_not_found"),
        ({"partner": "none"}, "partner_not_found"),
        ({"stock": WATER}, "other_resource"),
        ({"partner": "traiteur_secours"}, "other_resource"),
        ({"stock": GENERATORS, "quantity": 2}, "offer_too_large"),
        ({"stock": GENERATORS, "eta_at": 1}, "eta_past"),
        ({"stock": GENERATORS, "expected": 7}, "version_conflict"),
    ],
)
def test_an_unfit_offer_is_refused_and_reserves_nothing(
    world: World, given: dict[str, Any], code: str
) -> None:
    row = ask(world)
    assert do(world, OfferResource, row, "09:01", **given) == code
    assert not world.state.stocks
    assert world.state.requests[row.id] == row


def test_requests_for_people_name_a_job_family(world: World) -> None:
    row = ask(world, resource="people", metier="chauffeur", quantity=3)
    assert do(world, OfferResource, row, "09:01", stock="age-log-02") == "other_resource"
    assert do(world, OfferResource, row, "09:01", stock="age-log-08") == ""


@pytest.mark.parametrize("role", ["observer", "source", "liaison", "kiosk"])
def test_an_observer_neither_requests_nor_commits(world: World, role: str) -> None:
    command = RequestResource(author="o", role=role, resource="generator", quantity=1, site=SITE)
    assert getattr(world.say(command, "09:00"), "code", "") == "not_allowed"
    row = ask(world)
    offer = OfferResource(author="o", role=role, request=row.id, stock=GENERATORS)
    assert getattr(world.say(offer, "09:01"), "code", "") == "not_allowed"


# ── offers ───────────────────────────────────────────────────────────────────────────────────────


def test_a_commitment_takes_the_needed_amount_and_frees_the_rest(world: World) -> None:
    row = ask(world, quantity=3)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    do(world, OfferResource, row, "09:02", stock="gen-log-07")
    do(world, OfferResource, row, "09:03", stock=ONE_GENERATOR)
    assert do(world, CommitResource, row, "09:04", offers=(f"{row.id}/1", f"{row.id}/2")) == ""
    request_row = world.state.requests[row.id]
    assert request_row.committed == 3
    assert [(o.state, o.quantity) for o in request_row.offers] == [
        (OfferState.COMMITTED, 2),
        (OfferState.COMMITTED, 1),
        (OfferState.WITHDRAWN, 1),
    ]
    assert (free(world, GENERATORS), free(world, "gen-log-07"), free(world, ONE_GENERATOR)) == (
        0,
        2,
        1,
    )


def test_too_little_is_committed_only_on_purpose(world: World) -> None:
    row = ask(world, quantity=3)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    assert do(world, CommitResource, row, "09:02") == "request_short"
    assert do(world, CommitResource, row, "09:03", partial=True) == ""
    assert world.state.requests[row.id].committed == 2


def test_a_partner_may_offer_beyond_the_stocks(world: World) -> None:
    row = ask(world, quantity=9)
    assert do(world, OfferResource, row, "09:01", partner="loueur_energie") == ""
    assert do(world, CommitResource, row, "09:02") == ""
    assert world.state.requests[row.id].committed == 9
    assert not world.state.stocks


def test_a_request_for_life_takes_the_nearest_and_another_the_cheapest(world: World) -> None:
    for priority, stock in ((RequestPriority.LIFE, "loueur"), (RequestPriority.COMFORT, "stock")):
        row = ask(world, priority=priority)
        do(world, OfferResource, row, "09:00", stock=GENERATORS, cost_eur=10)
        soon = world.instant("09:10")
        do(world, OfferResource, row, "09:00", partner="loueur_energie", eta_at=soon)
        do(world, CommitResource, row, "09:00")
        (offer,) = world.state.requests[row.id].committed_offers
        assert (offer.partner is not None) is (stock == "loueur")


# ── deadlines ────────────────────────────────────────────────────────────────────────────────────


def test_a_reservation_expires_and_its_stock_is_free_again(world: World) -> None:
    row = ask(world)
    do(world, OfferResource, row, "09:00", stock=ONE_GENERATOR)
    world.until("09:59")
    assert free(world, ONE_GENERATOR) == 0
    world.until("10:00")
    assert free(world, ONE_GENERATOR) == 1
    assert world.state.requests[row.id].state is RequestState.REQUESTED
    assert [a.request for a in told(world, "resource_expired")] == [row.id]
    assert do(world, CommitResource, row, "10:01") == "request_state"


def test_a_request_for_life_is_sent_at_once_and_repeated_until_committed(world: World) -> None:
    row = ask(world, priority=RequestPriority.LIFE)
    assert len(told(world, "resource_unanswered")) == 1
    assert "cellule_logistique" in told(world, "resource_unanswered")[0].roles
    world.until("09:25")
    assert len(told(world, "resource_unanswered")) == 3
    do(world, OfferResource, row, "09:26", stock=GENERATORS)
    do(world, CommitResource, row, "09:27")
    world.until("10:20")
    assert len(told(world, "resource_unanswered")) == 3


def test_other_requests_are_not_repeated(world: World) -> None:
    ask(world)
    world.until("20:00")
    assert told(world, "resource_unanswered") == []


def test_a_request_without_a_commitment_in_time_is_unfilled_and_may_still_be_filled(
    world: World,
) -> None:
    row = ask(world, needed_from=world.instant("11:00"))
    world.until("10:59")
    assert world.state.requests[row.id].state is RequestState.REQUESTED
    world.until("11:00")
    assert world.state.requests[row.id].state is RequestState.UNFILLED
    assert len(told(world, "resource_unfilled")) == 1
    assert do(world, OfferResource, row, "11:05", stock=GENERATORS) == ""
    world.until("13:00")
    assert world.state.requests[row.id].state is RequestState.UNFILLED
    assert len(told(world, "resource_unfilled")) == 1


def test_a_commitment_in_time_is_not_unfilled(world: World) -> None:
    row = ask(world, needed_from=world.instant("11:00"))
    do(world, OfferResource, row, "10:30", stock=GENERATORS)
    do(world, CommitResource, row, "10:59")
    world.until("12:00")
    assert told(world, "resource_unfilled") == []


def test_a_late_arrival_asks_once_and_a_new_time_of_arrival_asks_again(world: World) -> None:
    row = ask(world)
    do(world, OfferResource, row, "09:00", stock=GENERATORS, eta_at=world.instant("10:00"))
    do(world, CommitResource, row, "09:01")
    world.until("12:00")
    assert [a.limit_at for a in told(world, "resource_late")] == [world.instant("10:00")]
    assert world.state.requests[row.id].late_at == world.instant("10:00")
    do(world, DepartResource, row, "12:01", eta_at=world.instant("12:30"))
    assert world.state.requests[row.id].late_at is None
    world.until("13:00")
    assert len(told(world, "resource_late")) == 2


def test_a_late_request_that_is_cancelled_is_late_no_more(world: World) -> None:
    row = ask(world)
    do(world, OfferResource, row, "09:00", stock=GENERATORS, eta_at=world.instant("10:00"))
    do(world, CommitResource, row, "09:01")
    world.until("10:30")
    assert do(world, CancelResource, row, "10:31", reason="text:t-1") == ""
    assert world.facts(ResourceRequestChanged)[-1].row.late_at is None


def test_an_overdue_resource_is_requested_back(world: World) -> None:
    row = ask(world, needed_until=world.instant("12:00"))
    for kind, more in (
        (OfferResource, {"stock": GENERATORS}),
        (CommitResource, {}),
        (DepartResource, {}),
        (ArriveResource, {}),
    ):
        assert do(world, kind, row, "09:10", **more) == ""
    world.until("12:00")
    assert len(told(world, "resource_return")) == 1


def test_after_a_stall_all_due_steps_happen_in_order(world: World) -> None:
    row = ask(world, priority=RequestPriority.LIFE, needed_from=world.instant("09:30"))
    do(world, OfferResource, row, "09:01", stock=GENERATORS, expires_at=world.instant("09:20"))
    world.until("18:00")
    request_row = world.state.requests[row.id]
    assert request_row.state is RequestState.UNFILLED
    assert request_row.offers[0].state is OfferState.EXPIRED
    assert free(world, GENERATORS) == 2


# ── stocks ───────────────────────────────────────────────────────────────────────────────────────


def test_a_count_never_lowers_a_stock_below_its_commitments(world: World) -> None:
    row = ask(world, quantity=2)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    low = CountStock(**CELL, stock=GENERATORS, quantity=1)
    assert getattr(world.say(low, "09:02"), "code", "") == "stock_promised"
    high = CountStock(**CELL, stock=GENERATORS, quantity=5)
    assert isinstance(world.say(high, "09:03"), CommandApplied)
    assert free(world, GENERATORS) == 3
    assert world.state.stocks[GENERATORS].counted_by == "p-cell"


def test_a_snapshot_holds_requests_and_stocks(world: World) -> None:
    row = ask(world, priority=RequestPriority.LIFE)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    decider = ContinuityDecider()
    assert decider.load(REALM, REALM, decider.dump(world.state)) == world.state


# ── nothing is promised twice ────────────────────────────────────────────────────────────────────


def test_two_people_cannot_commit_the_same_generator(world: World) -> None:
    first, second = ask(world), ask(world)
    assert do(world, OfferResource, first, "09:01", stock=ONE_GENERATOR) == ""
    assert do(world, OfferResource, second, "09:01", stock=ONE_GENERATOR) == "stock_short"


def test_offers_from_one_stock_are_linearizable(world: World) -> None:
    """The operations overlap: each was called before any returned."""
    rows = [ask(world) for _ in range(5)]
    answers = [do(world, OfferResource, row, "09:01", stock=GENERATORS) for row in rows]
    assert sorted(answers) == ["", "", "stock_short", "stock_short", "stock_short"]
    assert linearizable(offer_at_once(answers), Stock(), stock_of(2))
    assert not linearizable(offer_at_once(["", "", ""]), Stock(), stock_of(2))


def offer_at_once(answers: list[str]) -> list[Operation]:
    return [
        Operation(Promising("offer", f"rr-{n}"), Answered(code), 0, 1 + n)
        for n, code in enumerate(answers)
    ]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["ask", "offer", "partner", "commit", "depart", "arrive", "release", "cancel", "wait"]
        ),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(0, 1 << 30),
    ),
    max_size=45,
)
KINDS: dict[str, type[Command]] = {
    "commit": CommitResource,
    "depart": DepartResource,
    "arrive": ArriveResource,
    "release": ReleaseResource,
    "cancel": CancelResource,
}
STOCKS = {"generator": (GENERATORS, ONE_GENERATOR), "water": (WATER,)}


def play(world: World, steps: list[tuple[str, int, int, int]]) -> None:
    """Play steps on a handful of requests; refused ones change nothing."""
    rows: list[ResourceRequestRow] = []
    minute = 9 * 60
    for verb, which, quantity, seed in steps:
        rnd = random.Random(seed)
        minute += rnd.choice((0, 0, 1, 7, 45))
        when = f"2027-02-{11 + minute // 1440} {minute // 60 % 24:02}:{minute % 60:02}"
        world.until(when)
        if verb == "ask":
            kind = rnd.choice(("generator", "water"))
            start = world.instant(when) + rnd.choice((-1, 30, 120)) * MINUTE_MS
            rows.append(
                ask(
                    world,
                    when,
                    resource=kind,
                    quantity=quantity if kind == "generator" else quantity * 400,
                    priority=rnd.choice(tuple(RequestPriority)),
                    needed_from=rnd.choice((None, start)),
                    needed_until=rnd.choice((None, world.instant(when) + 200 * MINUTE_MS)),
                )
            )
            continue
        if not rows or verb == "wait":
            continue
        row = rows[which % len(rows)]
        if verb in ("offer", "partner"):
            partner = "loueur_energie" if row.kind == "generator" else "distributeur_eau"
            stock = rnd.choice(STOCKS[row.kind])
            source = {"partner": partner} if verb == "partner" else {"stock": stock}
            do(world, OfferResource, row, when, **source)
        else:
            more: dict[str, Any] = {"reason": "text:t"} if verb == "cancel" else {}
            more |= {"partial": rnd.random() < 0.5} if verb == "commit" else {}
            do(world, KINDS[verb], row, when, **more)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_states_follow_the_arrows_and_stocks_match_the_requests(
    steps: list[tuple[str, int, int, int]],
) -> None:
    world = World(start="09:00")
    play(world, steps)
    lives: dict[str, list[RequestState]] = {}
    for fact in world.facts(ResourceRequestChanged):
        lives.setdefault(fact.row.id, []).append(fact.row.state)
    for life in lives.values():
        assert life[0] is RequestState.REQUESTED
        for before, after in itertools.pairwise(life):
            assert after is before or after in ARROWS[before]
    for fact in world.facts(StockChanged):
        bound_quantity = fact.row.reserved + fact.row.engaged
        assert 0 <= bound_quantity <= fact.row.listed + fact.row.adjusted, fact.row
    _check_levels(world)


def _check_levels(world: World) -> None:
    """Check the levels of stocks against the sums over the requests that hold them."""
    reserved: dict[str, int] = {}
    engaged: dict[str, int] = {}
    for row in world.state.requests.values():
        assert row.state not in OVER_STATES
        for offer in row.open_offers:
            if offer.stock:
                reserved[offer.stock] = reserved.get(offer.stock, 0) + offer.quantity
        for offer in () if row.used_up else row.committed_offers:
            if offer.stock:
                engaged[offer.stock] = engaged.get(offer.stock, 0) + offer.quantity
    for id, stock in world.state.stocks.items():
        assert stock.reserved == reserved.get(id, 0)
        assert stock.engaged == engaged.get(id, 0)


# ── orders to leave or to shelter at the site of a stock (D78) ───────────────────────────────────


def test_nothing_leaves_a_site_where_people_shelter(world: World) -> None:
    """Eight agents of a sheltering depot were offered, promised and sent out."""
    world.hit("log-02", EventType.SHELTER_IN_PLACE, "09:05")
    row = ask(world, "09:10", resource="people", metier="agent_logistique", quantity=4)
    assert do(world, OfferResource, row, "09:11", stock="age-log-02") == "stock_barred"
    world.lift("log-02", "09:20")
    assert do(world, OfferResource, row, "09:21", stock="age-log-02") == ""


def test_an_order_withdraws_the_open_offers_of_its_site(world: World) -> None:
    row = ask(world, resource="people", metier="agent_logistique", quantity=4)
    do(world, OfferResource, row, "09:01", stock="age-log-02")
    world.hit("log-02", EventType.SHELTER_IN_PLACE, "09:05")
    stopped = world.state.requests[row.id]
    assert (stopped.state, stopped.offers[0].state) == (
        RequestState.REQUESTED,
        OfferState.WITHDRAWN,
    )
    assert free(world, "age-log-02") == 8
    assert [(a.site, a.barred) for a in told(world, "resource_stopped")] == [(SITE, "log-02")]


def test_a_promised_resource_does_not_leave_a_site_on_fire(world: World) -> None:
    row = ask(world, quantity=1)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    do(world, CommitResource, row, "09:02")
    world.hit("log-01", EventType.FIRE, "09:05")
    assert len(told(world, "resource_stopped")) == 1
    assert do(world, DepartResource, row, "09:06") == "stock_barred"
    assert do(world, CancelResource, row, "09:07", reason="text:t-1") == ""
    assert free(world, GENERATORS) == 2


def test_the_cell_hears_that_the_goal_of_a_resource_is_evacuated_and_decides(world: World) -> None:
    """An evacuated site may need a pump: a person decides, after being told."""
    row = ask(world, resource="pump", quantity=1)
    do(world, OfferResource, row, "09:01", stock="pom-eau-01")
    do(world, CommitResource, row, "09:02")
    do(world, DepartResource, row, "09:03")
    world.hit(SITE, EventType.EVACUATION, "09:05")
    assert [a.barred for a in told(world, "resource_stopped")] == [SITE]
    world.hit(SITE, EventType.FIRE, "09:06")
    assert len(told(world, "resource_stopped")) == 1, "told once"
    assert do(world, ArriveResource, row, "09:30") == ""


def test_the_cell_hears_that_a_request_may_have_the_stock_of_a_site_again(world: World) -> None:
    """It had heard of the order, and nobody told it of the end."""
    row = ask(world, resource="people", metier="agent_logistique", quantity=4)
    do(world, OfferResource, row, "09:01", stock="age-log-02")
    world.hit("log-02", EventType.SHELTER_IN_PLACE, "09:05")
    assert not told(world, "resource_resumed")
    world.lift("log-02", "09:20")
    assert [(a.site, a.barred) for a in told(world, "resource_resumed")] == [(SITE, "log-02")]


@pytest.mark.parametrize("decision", [None, CommitResource, CancelResource])
def test_the_end_of_an_order_calls_only_for_requests_that_still_wait(
    world: World, decision: type[Command] | None
) -> None:
    """A partner offers or gives its help since, or nobody needs it any more."""
    row = ask(world, quantity=1)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    world.hit("log-01", EventType.FIRE, "09:05")
    do(world, OfferResource, row, "09:10", partner="loueur_energie")
    if decision is not None:
        assert do(world, decision, row, "09:11", reason="text:1") == ""
    world.lift("log-01", "09:20")
    assert not told(world, "resource_resumed")


@pytest.mark.parametrize("ended", ["area", "site"])
def test_the_end_of_the_last_order_at_the_goal_of_a_resource_calls(
    world: World, ended: str
) -> None:
    row = ask(world, resource="pump", quantity=1)
    do(world, OfferResource, row, "09:01", stock="pom-eau-01")
    do(world, CommitResource, row, "09:02")
    order(world, "09:05", SITE)
    world.hit(SITE, EventType.EVACUATION, "09:06")
    steps = [lambda: order(world, "09:10"), lambda: world.lift(SITE, "09:11")]
    first, last = steps if ended == "area" else reversed(steps)
    first()
    assert not told(world, "resource_resumed"), "the other order stands"
    last()
    assert [a.barred for a in told(world, "resource_resumed")] == [SITE]


def test_a_promise_may_leave_a_site_again_after_the_fire(world: World) -> None:
    row = ask(world, quantity=1)
    do(world, OfferResource, row, "09:01", stock=GENERATORS)
    do(world, CommitResource, row, "09:02")
    world.hit("log-01", EventType.FIRE, "09:05")
    world.lift("log-01", "09:20")
    assert [(a.site, a.barred) for a in told(world, "resource_resumed")] == [(SITE, "log-01")]


def test_a_stock_of_a_closed_site_serves_as_before(world: World) -> None:
    world.hit("log-01", EventType.CLOSURE, "09:05")
    row = ask(world, "09:10")
    assert do(world, OfferResource, row, "09:11", stock=GENERATORS) == ""
    assert not told(world, "resource_stopped")


def test_nothing_leaves_a_site_in_the_area_of_an_order_until_it_says_no(world: World) -> None:
    row = ask(world, resource="people", metier="agent_logistique", quantity=4)
    do(world, OfferResource, row, "09:01", stock="age-log-02")
    order(world, "09:05", "log-02")
    assert world.state.requests[row.id].offers[0].state is OfferState.WITHDRAWN
    assert [(a.site, a.barred) for a in told(world, "resource_stopped")] == [(SITE, "log-02")]
    assert do(world, OfferResource, row, "09:06", stock="age-log-02") == "stock_barred"
    order(world, "09:10", "log-02", outside=("log-02",))
    assert do(world, OfferResource, row, "09:11", stock="age-log-02") == ""


def test_the_cell_hears_once_that_the_goal_of_a_resource_lies_in_the_area_of_an_order(
    world: World,
) -> None:
    row = ask(world, resource="pump", quantity=1)
    do(world, OfferResource, row, "09:01", stock="pom-eau-01")
    do(world, CommitResource, row, "09:02")
    order(world, "09:05", SITE)
    assert [a.barred for a in told(world, "resource_stopped")] == [SITE]
    world.hit(SITE, EventType.EVACUATION, "09:06")
    assert len(told(world, "resource_stopped")) == 1, "the order at the site itself says the same"
