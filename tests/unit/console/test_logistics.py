"""Resource requests over HTTP: lists, suggestions, rights, CSV, one generator raced for (D88)."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any

import pytest

from schemas.base import HOUR_MS, MINUTE_MS
from schemas.crisis.resource_requests import RequestResource
from schemas.runtime import CommandApplied, CommandRefused
from services.console.http.decisions import CommandOutcome
from services.runtime.identity.principals import Principal
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis
from tests.unit.continuity.world import World

API = "/api/v1/resource-requests"
ONE_GENERATOR = "gen-voi-02"


def put_request(realm: Held, id: str = "rr-1", **changes: Any) -> None:
    realm.put(
        "resource_requests",
        {
            "id": id,
            "number": 1,
            "kind": "generator",
            "quantity": 2,
            "site": "pmi-01",
            "priority": "life",
            "state": "requested",
            "text_id": "words",
            "requested_at": START,
            "requested_by": "p-1",
            "requested_role": "site_manager",
        }
        | changes,
    )


async def read(browser: Browser, path: str, role: str = "cell") -> Any:
    answer = await browser.get(f"{path}?realm={REALM}", role=role, accept="application/json")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_request_is_read_with_its_possible_offers() -> None:
    realm = crisis()
    put_request(realm)
    browser, _ = browsing(realm)
    request = await read(browser, f"{API}/rr-1")
    assert (request["title"], request["state"], request["from"]) == (
        "2 groupes électrogènes",
        "requested",
        None,
    )
    first = request["suggestions"][0]
    assert first["why"] == "nearest"
    assert first["text"] == "le plus tôt sur place"
    assert first["quantity"] == 2
    assert [one["eta_at"] for one in request["suggestions"]] == sorted(
        one["eta_at"] for one in request["suggestions"]
    )


async def test_the_cheapest_offer_in_time_is_suggested_without_danger_to_life() -> None:
    realm = crisis()
    put_request(realm, priority="continuity", quantity=1, needed_from=START + 48 * HOUR_MS)
    browser, _ = browsing(realm)
    suggestions = (await read(browser, f"{API}/rr-1"))["suggestions"]
    priced = [one["cost_eur"] for one in suggestions if one["cost_eur"] is not None]
    assert suggestions[0]["why"] == "cheapest"
    assert priced == sorted(priced)


async def test_a_reserved_stock_is_not_suggested_and_its_level_shows_it() -> None:
    realm = crisis()
    put_request(realm, quantity=1)
    stock = reference().names.stocks[ONE_GENERATOR]
    row = {"id": stock.id, "kind": stock.kind, "site": stock.site, "changed_at": START}
    realm.put("stocks", row | {"listed": 1, "reserved": 1})
    browser, _ = browsing(realm)
    suggested = (await read(browser, f"{API}/rr-1"))["suggestions"]
    assert ONE_GENERATOR not in [one["stock"] for one in suggested]
    levels = {one["id"]: one for one in (await read(browser, "/api/v1/stocks"))["items"]}
    assert levels[ONE_GENERATOR]["available"] == 0
    assert levels["gen-log-01"]["available"] == 2


@pytest.mark.parametrize("status", ["evacuated", "sheltering"])
async def test_no_stock_of_a_site_under_an_order_is_suggested(status: str) -> None:
    """Rule D78: nobody fetches a generator where people shelter, or from a site on fire."""
    realm = crisis()
    site = {"id": "log-01", "status": status, "since": START, "capacity_pct": 0.0}
    realm.put("sites", site)
    put_request(realm, quantity=1)
    browser, _ = browsing(realm)
    suggested = (await read(browser, f"{API}/rr-1"))["suggestions"]
    assert suggested
    assert "gen-log-01" not in [one["stock"] for one in suggested]


async def test_open_requests_come_first_and_life_first_of_all() -> None:
    realm = crisis()
    put_request(realm, "rr-1", priority="comfort")
    put_request(realm, "rr-2", priority="life", state="released")
    put_request(realm, "rr-3", priority="life")
    browser, _ = browsing(realm)
    assert [one["id"] for one in (await read(browser, API))["items"]] == ["rr-3", "rr-1", "rr-2"]


async def test_only_readers_of_the_logbook_read_the_text_of_a_request() -> None:
    realm = crisis()
    put_request(realm)
    browser, model = browsing(realm)
    model.words_of = lambda _id: "au fond du couloir"  # type: ignore[method-assign]
    assert (await read(browser, f"{API}/rr-1", "cell"))["text"] == "au fond du couloir"
    assert (await read(browser, f"{API}/rr-1", "kiosk"))["text"] is None


async def test_the_table_has_names_and_no_words_of_the_request() -> None:
    realm = crisis()
    put_request(realm, number=7)
    browser, model = browsing(realm)
    model.words_of = lambda _id: "au fond du couloir"  # type: ignore[method-assign]
    answer = await browser.get(f"{API}?realm={REALM}&format=csv", role="cell")
    assert "couloir" not in answer.text
    (line,) = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")), delimiter=";")
    assert (line["N°"], line["Priorité"], line["État"]) == ("7", "vie", "demandé")
    assert line["Site"] == reference().names.site("pmi-01")


async def test_an_unknown_job_family_is_refused_with_the_field() -> None:
    browser, _ = browsing(crisis())
    body = {"kind": "people", "metier": "pilote", "quantity": 1, "site": "pmi-01"}
    answer = await browser.post(f"{API}?realm={REALM}", body, role="cell")
    assert answer.status_code == 422
    assert "metier" in answer.text
    assert browser.decisions.asked == []


@pytest.mark.parametrize(
    ("role", "verb", "status"),
    [
        ("site_manager@pmi-01", "cancel", 202),
        ("site_manager@pmi-01", "arrive", 202),
        ("site_manager@pmi-01", "commit", 403),
        ("director@pole:attractivite", "commit", 202),
        ("director@pole:attractivite", "depart", 202),
        ("director@pole:attractivite", "cancel", 403),
        ("technician", "depart", 202),
        ("cell", "commit", 202),
    ],
)
async def test_the_site_cancels_and_the_holder_promises(role: str, verb: str, status: int) -> None:
    realm = crisis()
    state = "open" if verb == "commit" else "committed"
    offer = {
        "id": "rr-1/1",
        "stock": ONE_GENERATOR,
        "quantity": 1,
        "state": state,
        "eta_at": START + 30 * MINUTE_MS,
        "expires_at": START + HOUR_MS,
        "offered_at": START,
        "offered_by": "p-2",
    }
    put_request(realm, state="offered", offers=(offer,))
    browser, _ = browsing(realm)
    body = {"reason": "plus besoin"} if verb == "cancel" else {}
    answer = await browser.post(f"{API}/rr-1:{verb}?realm={REALM}", body, role=role)
    assert answer.status_code == status, answer.text


VERBS = ("offer", "commit", "depart", "cancel")
"""Decisions of the board about requests that are open, offered and committed."""


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        ("site_manager@pmi-01", {"depart", "cancel"}),
        ("site_manager@clg-0920592U", set[str]()),
        ("site_manager@voi-02", {"offer", "commit", "depart"}),
        ("director@pole:attractivite", {"offer", "commit", "depart"}),
        ("technician", {"offer", "commit", "depart"}),
        ("cell", {"offer", "commit", "depart", "cancel"}),
        ("observer", set[str]()),
    ],
)
async def test_the_board_shows_only_buttons_that_the_server_accepts(
    role: str, verbs: set[str]
) -> None:
    realm = crisis()
    offer = {
        "stock": ONE_GENERATOR,
        "quantity": 1,
        "eta_at": START + 30 * MINUTE_MS,
        "expires_at": START + HOUR_MS,
        "offered_at": START,
        "offered_by": "p-2",
    }
    put_request(realm, quantity=1)
    put_request(realm, "rr-2", state="offered", offers=({"id": "o-2", "state": "open"} | offer,))
    committed = {"id": "o-3", "state": "committed"} | offer
    put_request(realm, "rr-3", number=3, state="committed", offers=(committed,))
    browser, _ = browsing(realm)
    page = (await browser.get(f"/moyens?realm={REALM}", role=role)).text
    assert {verb for verb in VERBS if f":{verb}" in page} == verbs


class ContinuityDispatcher:
    """Sends commands to a continuity decider in memory, in the order in which they come."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def decide(
        self,
        _service: str,
        realm: str,
        principal: Principal,
        make: Any,
        *,
        reason: str | None = None,
        **_more: Any,
    ) -> CommandOutcome:
        command = make(principal.id, principal.acting_role, "text:t" if reason else None)
        await asyncio.sleep(0)
        outcome = self._world.say(command, "09:30")
        applied = isinstance(outcome, CommandApplied)
        answer = {
            "id": outcome.command_id,
            "realm": realm,
            "command": outcome.command,
            "state": "applied" if applied else "refused",
            "at": START,
            "values": outcome.result if isinstance(outcome, CommandApplied) else outcome.values,
        }
        if isinstance(outcome, CommandRefused):
            answer |= {"status": outcome.status, "code": outcome.code}
        return CommandOutcome(outcome.command_id, realm, answer)  # type: ignore[arg-type]

    async def find_earlier_outcome(self, *_: object) -> None:
        """Return no earlier request of this key."""


async def test_only_one_of_two_simultaneous_promises_gets_the_generator() -> None:
    world = World(start="09:00")
    for _ in range(2):
        request_command = RequestResource(
            author="p", role="cell", resource="generator", quantity=1, site="pmi-01"
        )
        world.say(request_command, "09:00")
    first, second = sorted(world.state.requests)
    browser, _ = browsing(crisis())
    browser.app.state.decisions = ContinuityDispatcher(world)
    answers = await asyncio.gather(
        *(
            browser.post(f"{API}/{id}:offer?realm={REALM}", {"stock": ONE_GENERATOR}, role="cell")
            for id in (first, second)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    refused = next(answer.json() for answer in answers if answer.status_code == 409)
    assert refused["code"] == "stock_short"
    assert refused["detail"].endswith("il en reste 0.")
    assert world.state.stocks[ONE_GENERATOR].reserved == 1
