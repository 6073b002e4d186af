"""A site manager reports every trouble of the form from the own page, danger first."""

from __future__ import annotations

import re

import pytest

from schemas.base import HOUR_MS
from schemas.reassignment import RefuseReassignment
from services.console.incidents.report_form_screen import TROUBLES
from tests.unit.console.held import Held, browsing
from tests.unit.console.held import reference as shipped_reference
from tests.unit.console.test_every_screen import (
    REALM,
    START,
    crisis,
    incident,
    report,
    shown,
    site,
    words,
)

MANAGER = "site_manager@pmi-01"


async def _read(path: str) -> str:
    browser, _ = browsing(crisis())
    answer = await browser.get(path, role=MANAGER)
    assert answer.status_code == 200
    return answer.text


async def test_every_trouble_of_the_form_has_a_button_danger_first() -> None:
    """Rule D75: nobody searches a form while the gas leaks."""
    page = await _read(f"/mes-sites?realm={REALM}")
    offered = re.findall(r"[?&;]quoi=(\w+)", page)
    assert sorted(offered) == sorted(t.key for t in TROUBLES)
    assert set(offered[:6]) == {"gas", "fire", "evacuation", "shelter", "security", "illness"}
    assert page.index("appelez d’abord le 18 ou le 112") < page.index("quoi=gas")


async def test_an_end_that_is_expected_on_another_day_has_its_hour() -> None:
    """«Fin attendue ven. 12/02» told a manager neither 2 a.m. nor 11 p.m."""
    realm_state = crisis()
    realm_state.put("sites", site(expected_end=START + 17 * HOUR_MS))
    answer = await browsing(realm_state)[0].get(f"/mes-sites?realm={REALM}", role=MANAGER)
    assert "fin attendue ven. 12/02 02:40" in words(answer.text)


async def test_an_outage_is_never_reported_as_a_closure_unasked() -> None:
    """The buttons answered «Non, fermé» (severity 4) for a cut in one wing."""
    page = await _read(f"/mes-sites?realm={REALM}")
    links = [
        link.replace("&amp;", "&")
        for link in re.findall(r'href="(/signaler[^"]+quoi=power[^"]*)"', page)
    ]
    assert links
    form = await _read(links[0])
    assert _checked(form) == ["power", "no"]
    assert re.search(r'name="going"[^>]* required', form)


def _checked(page: str) -> list[str]:
    return re.findall(r'value="(\w+)"[^>]* checked', page)


@pytest.mark.parametrize(
    ("link", "chosen"),
    [
        ("quoi=power&va=no", ["power", "no", "no"]),
        ("quoi=power&va=dire", ["power", "no"]),
        ("quoi=fire&va=dire", ["fire"]),
        ("quoi=flooding", ["flooding"]),
        ("quoi=fire&va=no", ["fire", "no"]),
        ("quoi=nuke&va=no", []),
        ("quoi=water&va=nuke", ["water"]),
    ],
)
async def test_a_link_never_answers_whether_somebody_is_in_danger_of_fire(
    link: str, chosen: list[str]
) -> None:
    """The form assumed no danger for every choice."""
    assert _checked(await _read(f"/signaler?realm={REALM}&site=pmi-01&{link}")) == chosen


async def test_the_form_of_an_exercise_leads_out_of_it_in_a_real_emergency() -> None:
    """A fire during an exercise was reported into the exercise, and called nobody."""
    browser, _ = browsing(crisis(), Held("92", clock=START, reference=shipped_reference()))
    page = (await browser.get(f"/signaler?realm={REALM}", role=MANAGER)).text
    assert '<a href="/signaler?realm=92">Urgence réelle' in page
    assert "<title>[EXERCICE] Signaler" in page
    assert "numéro {id} (exercice" in page
    live = (await browser.get("/signaler?realm=92", role=MANAGER)).text
    assert "EXERCICE" not in live


def _reported(confirmation: str = "confirmed", *others: str, **changes: object) -> Held:
    """Return a crisis in which this account reported the power cut, and others as well."""
    realm_state = crisis()
    key = "site_manager-2"
    realm_state.put(
        "reports", report(confirmation=confirmation, source_key=key, dialect="native") | changes
    )
    confirmed = confirmation == "confirmed"
    realm_state.put("sites", site(reports=("r-1", *others) if confirmed else ("r-0",)))
    return realm_state


async def _offers_withdrawal(realm_state: Held, role: str = MANAGER) -> bool:
    browser, _ = browsing(realm_state)
    answer = await browser.get(f"/signalements/r-1?realm={REALM}", role=role)
    assert answer.status_code == 200
    return 'name="msg_type" value="Cancel"' in answer.text


async def test_a_site_manager_takes_a_wrong_report_back_on_its_page() -> None:
    """A false alarm could only be declared over, and stood in every document as a fact."""
    assert await _offers_withdrawal(_reported())
    assert await _offers_withdrawal(_reported("unconfirmed"))
    browser, _ = browsing(_reported(flags=("cancelled",)))
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role=MANAGER)).text
    assert "annulé par sa source" in page
    assert f"/signaler?site=pmi-01&amp;realm={REALM}" in page or "/signaler?" in page


@pytest.mark.parametrize(("sender", "offered"), [("site_manager-2", True), ("another", False)])
async def test_a_danger_in_two_texts_is_taken_back_with_the_second_one(
    sender: str, offered: bool
) -> None:
    """Neither text offered it: the first was replaced, and the second only replaced it."""
    realm_state = _reported("confirmed", msg_type="Update", references=["r-0"])
    realm_state.put("reports", report("r-0", source_key=sender, flags=["superseded"]))
    realm_state.put("sites", site(reports=("r-0", "r-1")))
    assert await _offers_withdrawal(realm_state) is offered


async def test_the_page_of_a_replaced_text_leads_to_the_one_that_replaced_it() -> None:
    """It offered no withdrawal, and no way to the page that does."""
    realm_state = _reported("confirmed", flags=["superseded"])
    key = "site_manager-2"
    for id, reference in (("r-2", "r-1"), ("r-3", "r-2")):
        update = report(id, source_key=key, msg_type="Update", references=[reference])
        realm_state.put("reports", update)
    assert not await _offers_withdrawal(realm_state)
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/signalements/r-1?realm={REALM}", role=MANAGER)).text
    assert "Remplacé par la mise à jour" in page
    assert re.search(r'href="/signalements/r-3[^"]*">Ouvrir la mise à jour', page)
    reader = (await browser.get(f"/signalements/r-1?realm={REALM}", role="coordinator")).text
    assert "Remplacé par la mise à jour" in reader
    assert "Ouvrir la mise à jour" not in reader


@pytest.mark.parametrize(
    "realm_state",
    [
        _reported("confirmed", "r-2"),
        _reported(source_key="another"),
        _reported(flags=("cancelled",)),
        _reported(type="reopening"),
        _reported(msg_type="Cancel"),
    ],
    ids=["others said it too", "of another", "already", "an end", "a withdrawal"],
)
async def test_other_reports_are_not_taken_back_there(realm_state: Held) -> None:
    """The word of another source must not end with one's own."""
    assert not await _offers_withdrawal(realm_state)


def ordered(state: str) -> Held:
    """Return a crisis with an order for agents of the manager's site."""
    realm_state = crisis()
    realm_state.put(
        "reassignments",
        {
            "id": "l-1",
            "site": "pmi-01",
            "activity": "SOL-01",
            "metier": "agent_accueil",
            "supply": "releasable",
            "need_site": "sst-01",
            "need_activity": "SOL-01",
            "need_metier": "agent_accueil",
            "place": "sst-01",
            "count": 4,
            "criticality": 1,
            "proposal": "p-1",
            "decision": "d-1",
            "state": state,
            "needed": 4,
            "approved_by": "dgs",
            "approved_role": "director",
            "approved_at": START,
            "dispatched_at": START,
            "rules": ["D49"],
        },
    )
    return realm_state


@pytest.mark.parametrize(
    ("state", "offered"), [("dispatched", True), ("accepted", True), ("arrived", False)]
)
async def test_an_order_can_be_refused_until_the_agents_have_arrived(
    state: str, offered: bool
) -> None:
    browser, _ = browsing(ordered(state))
    page = (await browser.get(f"/mes-sites?realm={REALM}", role=MANAGER)).text
    assert "Partent travailler ailleurs" in page
    form = re.search(r'action="/api/v1/reassignments/l-1/refuse".*?</form>', page)
    assert (form is not None) is offered
    assert form is None or re.search(r'name="reason" required', form[0])


@pytest.mark.parametrize(("state", "is_stopped"), [("dispatched", True), ("arrived", False)])
async def test_an_order_into_danger_is_marked_until_the_agents_arrive(
    state: str, is_stopped: bool
) -> None:
    realm_state = ordered(state)
    evacuated = {"id": "sst-01", "status": "evacuated", "since": START, "capacity_pct": 0}
    realm_state.put("sites", evacuated)
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/mes-sites?realm={REALM}", role=MANAGER)).text
    assert ("N’envoyez personne à" in page) is is_stopped


async def test_a_refusal_becomes_a_command_with_its_reason() -> None:
    browser, _ = browsing(ordered("dispatched"))
    path = f"/api/v1/reassignments/l-1/refuse?realm={REALM}"
    for body in ({}, {"reason": " "}):
        assert (await browser.post(path, body, role=MANAGER)).status_code == 422
    answer = await browser.post(path, {"reason": "deux chauffeurs absents"}, role=MANAGER)
    assert answer.status_code == 202, answer.text
    (command,) = browser.decisions.asked
    assert isinstance(command, RefuseReassignment)
    assert (command.line, command.role) == ("l-1", "site_manager")
    assert (command.reason or "").startswith("text:")


def _answered_order(**changes: object) -> Held:
    """Return a crisis with an order for the area of the manager's site, and its no."""
    realm_state = crisis()
    realm_state.put(
        "area_orders",
        {
            "id": "c-9",
            "incident": "i-1",
            "order": "evacuated",
            "report": "r-9",
            "source": "prefecture",
            "ordered_at": START,
            "communes": ["92036"],
            "sites": ["pmi-01", "cen-1"],
            "outside": ["pmi-01"],
        }
        | changes,
    )
    realm_state.put(
        "tasks",
        {
            "id": "t-9",
            "kind": "area_order",
            "state": "done",
            "opened_at": START,
            "site": "pmi-01",
            "incident": "i-1",
            "candidates": ["c-9", "r-9"],
            "outcome": "not_concerned",
            "done_at": START + 60_000,
        },
    )
    return realm_state


@pytest.mark.parametrize(
    ("path", "role"),
    [("/mes-sites", MANAGER), ("/sites/pmi-01", MANAGER), ("/incidents/i-1", "coordinator")],
)
async def test_an_answer_about_an_order_for_the_area_can_be_changed(path: str, role: str) -> None:
    """After a no the question was gone from the page, and nothing was left to say yes with."""
    browser, _ = browsing(_answered_order())
    page = (await browser.get(f"{path}?realm={REALM}", role=role)).text.replace("\u00a0", " ")
    change = r'name="outcome" value="(\w+)"><button class="btn" type="submit">Finalement concerné'
    assert re.findall(change, page) == ["concerned"]
    assert "non concerné" in page


@pytest.mark.parametrize(
    "changes", [{"ended_at": START + 120_000, "sites": []}, {"report": "r-10"}]
)
async def test_an_answer_about_an_area_that_holds_no_more_is_over(
    changes: dict[str, object],
) -> None:
    """Another area asks again."""
    browser, _ = browsing(_answered_order(**changes))
    page = (await browser.get(f"/mes-sites?realm={REALM}", role=MANAGER)).text
    assert "Finalement concerné" not in page


async def test_the_title_of_an_order_for_communes_names_them_while_it_holds() -> None:
    """After the first yes it named one gymnasium, and the cell read the order as one for it."""
    for changes, title in (({}, "Gennevilliers"), ({"ended_at": START + 60_000}, "PMI Darracq")):
        realm_state = _answered_order(**changes)
        realm_state.put("incidents", incident(members=["pmi-01"], communes=["92036"]))
        browser, _ = browsing(realm_state)
        page = (await browser.get(f"/incidents/i-1?realm={REALM}", role="coordinator")).text
        heading = re.search(r"<h1>(.*?)</h1>", page)
        assert heading is not None
        assert title in heading[1]


async def test_a_program_reads_the_answers_to_an_order_for_an_area() -> None:
    realm_state = crisis()
    realm_state.put(
        "area_orders",
        {
            "id": "c-9",
            "incident": "i-1",
            "order": "evacuated",
            "report": "r-9",
            "source": "prefecture",
            "ordered_at": START,
            "communes": ["92036"],
            "sites": ["pmi-01", "cen-1", "gym-07"],
        },
    )
    for place, state, outcome in (("pmi-01", "open", None), ("cen-1", "done", "concerned")):
        realm_state.put(
            "tasks",
            {
                "id": f"t-{place}",
                "kind": "area_order",
                "state": state,
                "opened_at": START,
                "site": place,
                "candidates": ["c-9", "r-9"],
                "outcome": outcome,
            },
        )
    browser, _ = browsing(realm_state)
    address = f"/api/v1/area-orders?realm={REALM}"
    (order,) = (await browser.get(address, role="coordinator")).json()["items"]
    assert (order["order"], order["communes"]) == ("evacuated", ["92036"])
    assert {one["site"]: (one["answer"], one["task"]) for one in order["sites"]} == {
        "cen-1": ("concerned", "t-cen-1"),
        "gym-07": ("ordered", None),
        "pmi-01": ("waiting", "t-pmi-01"),
    }
    for query, count in (("site=gym-07", 1), ("site=cen-2", 0), ("in_force=false", 0)):
        page = (await browser.get(f"{address}&{query}", role="coordinator")).json()
        assert len(page["items"]) == count, query
    table = (await browser.get(f"{address}&format=csv", role="coordinator")).text.splitlines()
    assert len(table) == 4
    assert any("sans réponse" in line and "pmi-01" in line for line in table)


async def test_the_manager_of_a_site_with_a_generator_reads_why_it_is_not_closed() -> None:
    """«Non, fermé» was sent, «Dégradé» stood there, without a word about the generator."""
    powered = next(s.id for s in shipped_reference().sites.values() if s.generator)
    realm_state = crisis()
    degraded = site(powered, effect="degraded", loss_pct=60) | {"status": "degraded"}
    realm_state.put("sites", degraded)
    text = await shown(browsing(realm_state)[0], "/mes-sites", role=f"site_manager@{powered}")
    assert "sans courant ; groupe électrogène depuis" in text.replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("status", "effect", "runs"),
    [("degraded", "degraded", True), ("closed", "closed", False), ("evacuated", "degraded", False)],
)
async def test_a_generator_is_named_only_where_it_keeps_the_site_open(
    status: str, effect: str, runs: bool
) -> None:
    """A closed site said «groupe électrogène», as if somebody still worked there."""
    realm_state = crisis()
    row = site("cen-4", effect=effect, loss_pct=60 if runs else 100)
    realm_state.put("sites", {**row, "status": status})
    browser, _ = browsing(realm_state)
    cell = await shown(browser, "/")
    assert ("groupe électrogène" in cell) is runs
    mine = await shown(browser, "/mes-sites", role="site_manager@cen-4")
    assert ("groupe électrogène depuis" in mine) is runs
