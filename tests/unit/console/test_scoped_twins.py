"""No route lets a role's twin act on another site, pôle or realm."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.oncall import Place
from services.console.oncall import api as oncall_api
from services.oncall.assignment import CalendarShifts
from services.runtime.identity.permissions import Role
from tests.rights import CONSOLE, LIMITS, Limit, Open
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis

POLE = reference().sites["pmi-01"].pole
OTHER_SITE = next(site for site in reference().sites.values() if site.pole not in (POLE, "multi"))
ACTIVITY = next(
    activity for activity in reference().activities.values() if activity.pole != OTHER_SITE.pole
)
PLAN = next(plan for plan in reference().plans.values() if plan.pole not in (None, OTHER_SITE.pole))
CARDS = next(plan for plan in reference().plans.values() if plan.id == "PT-CANICULE")
STOCK = next(
    stock
    for stock in reference().names.stocks.values()
    if reference().sites[stock.site].pole != OTHER_SITE.pole and stock.kind == "generator"
)
SPAN = {"from": "2027-02-11T08:00:00Z", "to": "2027-02-11T20:00:00Z"}
DUTY = SPAN | {"role": "responsable_site", "scope": "pmi-01", "reason": "échange"}
WINDOW = {
    "sites": ["pmi-01"],
    "starts_at": SPAN["from"],
    "ends_at": SPAN["to"],
    "reason": "travaux",
}
REASON: dict[str, Any] = {"reason": "parce que"}
LATER = {"until": "2027-02-12T08:00:00Z"}
NEW_CARD: dict[str, Any] = {
    "plan": PLAN.id,
    "role": "cellule_si",
    "phase": "reflex",
    "task": "Couper",
    "t_min": 900,
    "steps": ["Couper"],
    "done_when": "Fait",
}
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/incidents/{id}/merge": {"into": "i-2"},
    "POST /api/v1/incidents/{id}/split": {"reports": ["r-1"]},
    "POST /api/v1/incidents/{id}/notes": {"text": "vu"},
    "POST /api/v1/log": {"text": "vu", "incident": "i-1"},
    "POST /api/v1/level": {"level": 3, "force": True},
    "POST /api/v1/activities/{id}/declare": {"state": "interrupted"},
    "POST /api/v1/activities/{id}/data-age": {"age_h": 2},
    "POST /api/v1/activities/{id}/strategies": {"strategy": "SR-TELE", "expected_capacity_pct": 50},
    "POST /api/v1/alarms/{id}/arbitrate": REASON,
    "POST /api/v1/plans/{id}/postpone": LATER,
    "POST /api/v1/reports/{id}/link": {"site": "pmi-01"},
    "POST /api/v1/maintenance": WINDOW,
    "POST /api/v1/maintenance/{id}/change": WINDOW,
    "POST /api/v1/oncall/overrides": DUTY | {"nobody": True},
    "POST /api/v1/oncall/swaps": DUTY | {"other_from": SPAN["from"], "other_to": SPAN["to"]},
    "POST /api/v1/improvements": {
        "text": "écrire la procédure",
        "owner": "cellule_rh",
        "due_at": SPAN["to"],
        "incident": "i-1",
    },
    "POST /api/v1/improvements/{id}/drop": REASON,
    "POST /api/v1/sending/hold": LATER | REASON,
    "POST /api/v1/callouts": {"text": "le site ferme", "sites": ["pmi-01"]},
    "POST /api/v1/headcounts": {"sites": ["pmi-01"]},
    "POST /api/v1/statements": {"audience": "press", "text": "fermé", "incident": "i-1"},
    "POST /api/v1/statements/{id}:revise": {"text": "fermé"},
    "POST /api/v1/statements/{id}:readdress": {"audience": "press"},
    "POST /api/v1/statements/{id}:refuse": REASON,
    "POST /api/v1/questions": {"asker": "press", "text": "pourquoi ?", "incident": "i-1"},
    "POST /api/v1/questions/{id}:answer": {"text": "une coupure"},
    "POST /api/v1/obligations": {
        "obligation": "rgpd-cnil",
        "incident": "i-1",
        "known_at": "2027-02-11T08:00:00Z",
    },
    "POST /api/v1/handovers": {"objective": "tenir", "recipients": ["coordinateur_pca"]},
    "POST /api/v1/reassignments/{line}/refuse": {"reason": "deux chauffeurs absents"},
    "POST /api/v1/handovers/{id}:revise": {"objective": "tenir"},
    "POST /api/v1/handovers/{id}:withdraw": REASON,
    "POST /api/v1/obligations/{id}:done": {"receipt": "n° 12"},
    "POST /api/v1/obligations/{id}:dismiss": REASON,
    "POST /api/v1/stimuli": {"id": "E1", "at": SPAN["to"], "title": "panne"},
    "POST /api/v1/stimuli/{id}:note": {"mark": 2},
    "POST /api/v1/sites/{id}/instructions": {"text": "restez à l’abri"},
    "POST /api/v1/presence": {"place": "cell"},
    "POST /api/v1/actions": {
        "title": "fermer la vanne",
        "assignee": "pmi-01",
        "due_at": SPAN["to"],
    },
    "POST /api/v1/commissioning/territory": {"version": "v1"},
    "POST /api/v1/cell/staffing": {"mode": "on_site"},
    "POST /api/v1/resource-requests": {"kind": "generator", "quantity": 1, "site": "pmi-01"},
    "POST /api/v1/resource-requests/{id}:offer": {"stock": STOCK.id},
    "POST /api/v1/resource-requests/{id}:cancel": REASON,
    "POST /api/v1/stocks/{id}:count": {"quantity": 1},
    "POST /api/v1/reference/records/{kind}/{id}/proposals": REASON | {"values": {"title": "PCA"}},
    "POST /api/v1/reference/records/{kind}/{id}/preview": {"values": {"title": "PCA"}},
    "POST /api/v1/reference/records/{kind}/{id}/withdrawal": REASON,
    "POST /api/v1/reference/new-records/{kind}/proposals": REASON | {"values": NEW_CARD},
    "POST /api/v1/reference/new-records/{kind}/preview": {"values": NEW_CARD},
}
IDS = {
    "/actions/": "ac-1",
    "/incidents/": "i-1",
    "/notifications/": "n-1",
    "/activities/": ACTIVITY.id,
    "/strategies/": "s-1",
    "/alarms/": "a-1",
    "/plans/": PLAN.id,
    "/records/plan/": PLAN.id,
    "/reviews/plan/": PLAN.id,
    "/tasks/": "t-1",
    "/reports/": "r-1",
    "/maintenance/": "m-1",
    "/duties/": "d-1",
    "/improvements/": "im-1",
    "/callouts/": "co-1",
    "/headcounts/": "co-1",
    "/statements/": "st-1",
    "/questions/": "q-1",
    "/obligations/": "ob-1",
    "/stimuli/": "E1",
    "/handovers/": "1",
    "/realms/": REALM,
    "/sites/": "pmi-01",
    "/resource-requests/": "rr-1",
    "/stocks/": STOCK.id,
}
APART = {"POST /api/v1/oncall/import", *(route for route in CONSOLE if "/cards/" in route)}
"""They have tests of their own: a calendar is asked line by line, a card by its role."""


def held() -> Held:
    """Return a crisis at one site, with one object of each kind."""
    realm = crisis()
    realm.put(
        "notifications",
        {
            "id": "n-1",
            "incident": "i-1",
            "level": 2,
            "role": "astreinte_direction",
            "person": "p-1",
            "state": "failed",
            "template": "incident_wave",
            "planned_at": START,
        },
    )
    realm.put(
        "alarms",
        {
            "id": "a-1",
            "activity": ACTIVITY.id,
            "pole": ACTIVITY.pole,
            "base": "rto",
            "pct": 100,
            "raised_at": START,
            "limit_at": START,
            "to": (),
            "demands": "arbitration",
        },
    )
    realm.put(
        "strategies",
        {
            "id": "s-1",
            "activity": ACTIVITY.id,
            "strategy": "SR-TELE",
            "state": "active",
            "expected_capacity_pct": 50,
            "started_at": START,
            "started_by": "p-1",
        },
    )
    realm.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "overdue_cause",
            "state": "open",
            "opened_at": START,
            "site": "pmi-01",
        },
    )
    realm.put(
        "actions",
        {
            "id": "ac-1",
            "state": "requested",
            "text_id": "t",
            "assignee": "pmi-01",
            "role": "responsable_site",
            "scope": "pmi-01",
            "priority": "normal",
            "requested_by": "p-1",
            "requested_role": "cell",
            "requested_at": START,
            "due_at": START + 1,
        },
    )
    realm.put(
        "duties",
        {
            "id": "d-1",
            "kind": "override",
            "role": "responsable_site",
            "scope": "pmi-01",
            "place": "holder",
            "start": START,
            "end": START + 1,
            "shifts": (),
            "by": "p-1",
            "decided_at": START,
            "number": 1,
        },
    )
    realm.put(
        "improvements",
        {
            "id": "im-1",
            "text_id": "t",
            "owner": "cellule_rh",
            "due_at": START,
            "incident": "i-1",
            "opened_at": START,
            "opened_by": "p-1",
        },
    )
    realm.put(
        "callouts",
        {
            "id": "co-1",
            "state": "draft",
            "text_id": "t",
            "sites": ("pmi-01",),
            "level": 1,
            "by": "p-1",
            "drafted_at": START,
        },
    )
    realm.put(
        "statements",
        {
            "id": "st-1",
            "state": "draft",
            "audience": "press",
            "text_id": "t",
            "incident": "i-1",
            "drafted": {"by": "p-1", "role": "cell", "at": START},
            "changed_at": START,
        },
    )
    realm.put(
        "handovers",
        {
            "id": "1",
            "number": 1,
            "state": "draft",
            "text_id": "t",
            "recipients": ("coordinateur_pca",),
            "level": 3,
            "drafted": {"by": "p-1", "role": "cell", "at": START},
            "changed_at": START,
        },
    )
    realm.put(
        "obligations",
        {
            "id": "ob-1",
            "obligation": "rgpd-cnil",
            "state": "running",
            "incident": "i-1",
            "role": "cellule_juridique",
            "started_at": START,
            "known_at": START,
            "due_at": START + 1,
            "changed_at": START,
        },
    )
    realm.put(
        "maintenance",
        {
            "id": "m-1",
            "state": "active",
            "covers": {"sites": ("pmi-01",)},
            "starts_at": START,
            "ends_at": START + 1,
            "author": "p-1",
            "role": "cell",
            "planned_at": START,
            "changed_at": START,
        },
    )
    realm.put(
        "resource_requests",
        {
            "id": "rr-1",
            "number": 1,
            "kind": "generator",
            "quantity": 1,
            "site": "pmi-01",
            "priority": "life",
            "state": "offered",
            "requested_at": START,
            "requested_by": "p-1",
            "requested_role": "cell",
            "offers": (
                {
                    "id": "rr-1/1",
                    "stock": STOCK.id,
                    "quantity": 1,
                    "eta_at": START,
                    "expires_at": START,
                    "offered_at": START,
                    "offered_by": "p-1",
                },
            ),
        },
    )
    line = {
        "id": "l-1",
        "site": "pmi-01",
        "activity": ACTIVITY.id,
        "metier": "m",
        "supply": "displaced",
        "place": "telework",
        "count": 2,
        "criticality": 1,
    }
    realm.put(
        "proposals",
        {
            "id": "p-1",
            "number": 1,
            "state": "open",
            "reference": "v",
            "requested_at": START,
            "computed_at": START,
            "sites_hit": 1,
            "elapsed_h": 1,
            "transit": True,
            "telework": True,
        },
    )
    realm.put("proposal_lines", {"id": "p-1/0", "proposal": "p-1", "part": 0, "lines": (line,)})
    realm.put(
        "reassignments",
        line
        | {
            "id": "l-2",
            "proposal": "p-1",
            "decision": "d-1",
            "state": "dispatched",
            "needed": 2,
            "approved_by": "p-1",
            "approved_role": "director",
            "approved_at": START,
            "rules": (),
        },
    )
    realm.put(
        "reassignment_orders",
        {
            "id": "o-1",
            "proposal": "p-1",
            "decision": "d-1",
            "site": "pmi-01",
            "leave": 2,
            "lines": ("l-1",),
            "dispatched_at": START,
        },
    )
    return realm


def url_of(route: str) -> str:
    """Return the address of a route for the objects of `held`."""
    path = route.split(" ", 1)[1].replace("{proposal}", "p-1").replace("{line}", "l-2")
    kind = "card" if "/new-records/" in path else "plan"
    path = path.replace("{kind}", kind).replace("{plan}", PLAN.id)
    for before, id in IDS.items():
        path = re.sub(rf"{before}\{{(id|name)(:path)?\}}", f"{before}{id}", path)
    return f"{re.sub(r'{[^}]*}', '0', path)}?realm={REALM}"


async def asked(browser: Browser, route: str, role: str) -> tuple[int, str]:
    """Return (status, code of the problem)."""
    if route.startswith("GET "):
        answer = await browser.get(url_of(route), role=role, accept="application/json")
    else:
        answer = await browser.post(url_of(route), BODIES.get(route, {}), role=role)
    json = answer.headers.get("content-type", "").startswith("application/problem+json")
    return answer.status_code, answer.json()["code"] if json else ""


DECISIONS = [
    route
    for route in CONSOLE
    if LIMITS.get(route) in (Limit.TERRITORY, Limit.PLACE) and route not in APART
]
OWN_ALERTS = {route: frozenset({Role.SOURCE}) for route in CONSOLE if "/maintenance" in route}
"""A source silences its own alerts alone, wherever they are."""


@pytest.mark.parametrize("twin", [f"@{OTHER_SITE.id}", f"@pole:{OTHER_SITE.pole}"])
async def test_decisions_stay_within_the_own_sites_and_poles(twin: str) -> None:
    browser, _ = browsing(held())
    wrong = []
    for route in DECISIONS:
        who = CONSOLE[route]
        assert not isinstance(who, Open)
        for role in sorted(who - OWN_ALERTS.get(route, frozenset())):
            refusal = await asked(browser, route, f"{role}{twin}")
            if refusal != (403, "out_of_scope"):
                wrong += [f"{role}{twin} {route}: {refusal}"]
    assert wrong == []
    assert browser.decisions.asked == []


FREE = {
    "GET /api/v1/realms",
    "GET /api/v1/me/push",
    "POST /api/v1/me/push",
    "POST /api/v1/me/push/end",
}
"""Routes filtered by account, or about the own device only."""


async def test_readings_and_decisions_stay_within_the_own_realms() -> None:
    """Each route is asked once, by the roles in turn."""
    browser, _ = browsing(held())
    wrong = []
    for n, (route, who) in enumerate(CONSOLE.items()):
        if isinstance(who, Open) or " /api/v1/" not in route or route in FREE:
            continue
        role = sorted(who)[n % len(who)]
        if (refusal := await asked(browser, route, f"{role}@realm:92~ex-9")) != (
            403,
            "out_of_scope",
        ):
            wrong.append(f"{role} {route}: {refusal}")
    assert wrong == []
    assert (
        await browser.get("/api/v1/realms", role="cell@realm:92~ex-9", accept="application/json")
    ).json()["items"] == []
    assert browser.decisions.asked == []


@pytest.mark.parametrize(
    ("role", "card", "status"),
    [
        ("technician", "directeur_pole", 403),
        ("technician", "cellule_situation", 403),
        ("technician", "astreinte_technique", 202),
        ("director", "directeur_pole", 202),
        ("director", "responsable_site", 202),
        ("director", "cellule_situation", 403),
        ("site_manager", "responsable_site", 202),
        ("site_manager", "directeur_pole", 403),
        ("cell", "directeur_pole", 202),
        ("coordinator", "cellule_situation", 202),
        ("admin", "astreinte_technique", 202),
        ("director@pole:education", "directeur_pole", 202),
    ],
)
@pytest.mark.parametrize("verb", ["start", "done", "not-applicable"])
async def test_a_card_is_worked_on_by_its_role(
    role: str, card: str, status: int, verb: str
) -> None:
    """A technician of another site did the card of the directors."""
    browser, _ = browsing(held())
    id = next(one.id for one in CARDS.cards if one.role == card)
    answer = await browser.post(
        f"/api/v1/plans/{CARDS.id}/cards/{id}/{verb}?realm={REALM}", {}, role=role
    )
    assert answer.status_code == status, answer.text
    assert len(browser.decisions.asked) == int(status == 202)


async def test_a_calendar_of_another_pole_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object) -> object:
        return SimpleNamespace(name="astreintes")

    duty = CalendarShifts("responsable_site", "pmi-01", Place.HOLDER, START, START + 1, ())
    monkeypatch.setattr(oncall_api, "read_untrusted_calendar", read)
    monkeypatch.setattr(oncall_api, "_list_contacts", lambda _vault: [])
    monkeypatch.setattr(oncall_api, "assign_shifts", lambda *_: [duty])
    browser, _ = browsing(held())
    browser.app.state.vault = None
    for role in (f"director@pole:{OTHER_SITE.pole}", f"cell@{OTHER_SITE.id}"):
        assert await asked(browser, "POST /api/v1/oncall/import", role) == (403, "out_of_scope")
    assert browser.decisions.asked == []
    assert await asked(browser, "POST /api/v1/oncall/import", f"director@pole:{POLE}") == (
        503,
        "calendar_unfinished",
    )
    assert len(browser.decisions.asked) == 1, "the decision has not come yet"


async def test_a_call_out_reaches_the_own_sites_and_only_the_territory_calls_all() -> None:
    browser, _ = browsing(held())
    for body in (
        {"sites": ["pmi-01", OTHER_SITE.id]},
        {"everybody": True},
        {"sites": ["pmi-01"], "everybody": True},
        {},
    ):
        answer = await browser.post(
            f"/api/v1/callouts?realm={REALM}", {"text": "fermé"} | body, role="coordinator@pmi-01"
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "out_of_scope")
    started = await browser.post(
        f"/api/v1/callouts/co-1/start?realm={REALM}", role="coordinator@pmi-01"
    )
    assert started.status_code == 202


class _Answers:
    """Knows the answer of one command, of the live realm."""

    async def read(self, id: str) -> dict[str, Any]:
        return {
            "id": id,
            "realm": "92",
            "command": "SetLevel",
            "state": "applied",
            "at": START,
            "values": {},
            "author": "source-1",
        }


async def test_the_answer_of_a_command_is_for_its_realm_and_concerned_people() -> None:
    """An account of the exercise, and any source, read the answers of the live realm."""
    browser, _ = browsing(held())
    browser.app.state.decisions = SimpleNamespace(answers=_Answers())
    for role, status in (
        ("cell@realm:92~ex-1", 403),
        ("cell", 200),
        ("source", 200),
        ("source@pmi-01", 404),
    ):
        answer = await browser.get(
            f"/api/v1/commands/cmd-1?realm={REALM}", role=role, accept="application/json"
        )
        assert answer.status_code == status, role
