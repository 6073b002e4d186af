"""One strip shows a reader the next decision, its deadline, consequence and place."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.base import MINUTE_MS
from schemas.words import CardState, TaskState
from services.console.attention.next_step import build_next_step, build_site_step, choose_role
from services.console.attention.resources import AttentionState, DemandLine
from services.console.attention.rows import DEMAND_KINDS
from services.console.i18n import get_translator
from services.console.resources import Task, to_datetime
from services.console.texts import words as w
from services.runtime.identity.permissions import Role
from tests.unit.console.held import browsing, reference
from tests.unit.console.test_actions import acting
from tests.unit.console.test_actions import row as action_row
from tests.unit.console.test_every_screen import NOW, REALM, crisis, incident, shown, site

HERE = to_datetime(NOW)


def demand(kind: str, *roles: str, count: int = 1, urgency: int = 3, **values: Any) -> DemandLine:
    defaults = {"since": HERE, "due_at": None, "incident": None, "plan": None, "escalation": None}
    return DemandLine(
        key=f"{kind}:1",
        kind=kind,
        urgency=urgency,
        count=count,
        roles=list(roles),
        **defaults | values,
    )


def queue(*lines: DemandLine) -> AttentionState:
    return AttentionState(
        realm=REALM, role=None, at=HERE, queue=list(lines), digest=[], rate=0, limit=10
    )


def step_for(role: str | None, *lines: DemandLine) -> Any:
    return build_next_step(queue(*lines), role, [], reference().names, HERE, get_translator("fr"))


def test_the_first_decision_of_the_readers_role_counts() -> None:
    plan = demand("plan_proposed", "directeur_pole", plan="PT-ELEC", due_at=HERE)
    step = step_for("directeur_pole", demand("escalation", "president"), plan, plan)
    assert step.title.startswith("Un plan est proposé")
    assert step.title.endswith(reference().names.plan("PT-ELEC"))
    assert (step.path, step.late, step.more) == ("/plans/PT-ELEC", True, 1)
    assert step.button == "Décider du plan"
    assert step.consequence


def test_a_clock_names_the_activity_with_the_first_limit() -> None:
    """«Une activité approche de son délai» sent its reader to a page of sixty."""
    one = demand("clocks_rto", "directeur_pole", activity="CPL-01", due_at=HERE)
    many = one.model_copy(update={"kind": "clocks_dmia", "count": 3})
    titles = [step_for("directeur_pole", line).title.replace("\u00a0", " ") for line in (one, many)]
    assert titles == [
        "Sûreté des bâtiments : le délai de reprise approche",
        "3 durées maximales d’interruption approchent, d’abord Sûreté des bâtiments",
    ]


def test_a_role_without_demands_has_no_step() -> None:
    assert step_for("president", demand("escalation", "directeur_pole")) is None


def test_danger_is_named_and_leads_to_its_incident() -> None:
    step = step_for(None, demand("danger", "cellule_rh", urgency=1, incident="i-1"))
    assert step.urgent
    assert step.path == "/incidents/i-1"


def test_people_of_a_headcount_are_counted_as_they_are_written() -> None:
    step = step_for(None, demand("counting", "cellule_rh", count=1460, urgency=1))
    assert "1\u202f460 personnes attendues" in step.title


def test_a_row_says_how_many_other_dangers_it_tells() -> None:
    unplaced = demand("danger_placeless", "cellule_rh", urgency=1, report="r-1", others=3)
    title = step_for(None, unplaced).title
    assert title.startswith("Un danger est signalé sans lieu connu")
    assert title.endswith("3 autres dangers signalés")


def test_every_kind_of_demand_has_a_text_and_an_address() -> None:
    for kind in (*DEMAND_KINDS, *w.TASK):
        for id in (None, "i-1"):
            step = step_for(None, demand(kind, "r", count=3, incident=id, plan="PT-ELEC"))
            assert step.path.startswith("/"), kind
            assert "{" not in step.title + step.path, kind
            assert not re.search("[a-z]_[a-z]", step.title), kind
            assert step.button, kind


def test_a_role_that_took_charge_is_asked_for_the_next_decision() -> None:
    """The others are still asked to answer the same call."""
    call = demand(
        "escalation",
        "coordinateur_pca",
        "cellule_rh",
        urgency=1,
        incident="i-1",
        answered=["coordinateur_pca"],
    )
    plan = demand("plan_proposed", "coordinateur_pca", plan="PT-ELEC")
    assert step_for("coordinateur_pca", call, plan).path == "/plans/PT-ELEC"
    assert step_for("cellule_rh", call, plan).path == "/incidents/i-1"


@pytest.mark.parametrize(("taken", "path"), [([], "/incidents/i-1"), (["p-1"], "/plans/PT-ELEC")])
def test_a_danger_in_charge_gives_way_to_decisions(taken: list[str], path: str) -> None:
    incidents: Any = [SimpleNamespace(id="i-1", title="Incendie : Nanterre", acknowledged_by=taken)]
    danger = demand("danger", "cellule_rh", urgency=1, incident="i-1")
    plan = demand("plan_proposed", "cellule_rh", plan="PT-ELEC")
    step = build_next_step(
        queue(danger, plan), "cellule_rh", incidents, reference().names, HERE, get_translator("fr")
    )
    assert step is not None
    assert (step.path, step.more) == (path, 1)


async def test_people_not_found_come_before_calls_and_decisions() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(danger=True))
    realm_state.put(
        "sites", {**site(), "headcount": {"expected": 40, "found": 38, "at": NOW, "report": "r-1"}}
    )
    browser, _ = browsing(realm_state)
    text = await shown(browser, "/", role="cell")
    assert "2 personnes ne sont pas retrouvées" in text
    assert "Ouvrir l’incident" in text


@pytest.mark.parametrize("role", ["observer", "auditor", "technician"])
async def test_readers_without_a_decision_are_asked_nothing(role: str) -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(danger=True))
    browser, _ = browsing(realm_state)
    assert "Rien ne vous est demandé." in await shown(browser, "/", role=role)


def test_a_card_of_a_site_is_reached_by_its_anchor() -> None:
    """The realm stands before the anchor, so the link of an exercise leads there, too."""
    card: Any = SimpleNamespace(
        card="ELE-F02",
        site="pmi-01",
        state=CardState.TO_DO,
        task="Vérifier",
        due_at=HERE,
        overdue=False,
        id="k",
    )
    step = build_site_step([], {"pmi-01"}, HERE, get_translator("fr"), [card])
    assert step is not None
    assert (step.path, step.anchor) == ("/mes-sites", "fiche-ELE-F02-pmi-01")


@pytest.mark.parametrize("is_asked", [True, False])
def test_an_order_of_reassignment_is_asked_until_it_is_answered(*, is_asked: bool) -> None:
    """The first page said that nothing was asked, above the order."""
    order: Any = SimpleNamespace(key="come-dispatched", warning="", agents_text="37")
    order.direction_text = "Viennent travailler ici"
    order.is_asked, order.is_over = is_asked, False
    step = build_site_step(
        [], {"pmi-01"}, HERE, get_translator("fr"), orders={"pmi-01": [order], "cen-1": [order]}
    )
    if not is_asked:
        assert step is None
        return
    assert step is not None
    assert step.title == "Ordre de réaffectation\u00a0: Viennent travailler ici, 37 agents"
    assert (step.path, step.anchor, step.more) == ("/mes-sites", "ordres-pmi-01", 0)


def test_the_end_of_a_reassignment_asks_for_the_return() -> None:
    """It was announced as an order that waited for an answer."""
    order: Any = SimpleNamespace(
        key="come-arrived-over", warning="", agents_text="37", is_asked=True
    )
    order.direction_text, order.is_over = "Travaillent à domicile", True
    step = build_site_step([], {"pmi-01"}, HERE, get_translator("fr"), orders={"pmi-01": [order]})
    assert step is not None
    assert step.title == "Fin de réaffectation\u00a0: Travaillent à domicile, 37 agents"
    assert "Confirmez leur retour" in step.consequence


def test_a_function_of_the_account_goes_before_its_rights() -> None:
    assert choose_role(Role.CELL, "cellule_rh") == "cellule_rh"
    assert choose_role(Role.DIRECTOR, None) == "directeur_pole"
    assert choose_role(Role.CELL, None) is None


def task(id: str, site: str, minutes: float, state: TaskState = TaskState.OPEN) -> Task:
    return Task(
        id=id,
        realm=REALM,
        kind="verify_site",
        title=f"Levée de doute : {site}",
        state=state,
        opened_at=HERE,
        due_at=HERE + timedelta(minutes=minutes),
        site=site,
        incident=None,
        report=None,
        candidates=[],
        taken_by=None,
        done_at=None,
        outcome=None,
        owner=None,
        post=None,
    )


def test_a_manager_sees_the_own_site_due_first() -> None:
    tasks = [
        task("t-1", "pmi-01", 20),
        task("t-2", "pmi-01", 5),
        task("t-3", "col-01", 1),
        task("t-4", "pmi-01", 1, TaskState.TAKEN),
    ]
    step = build_site_step(tasks, {"pmi-01"}, HERE, get_translator("fr"))
    assert step is not None
    assert (step.path, step.more, step.late) == ("/sites/pmi-01", 1, False)
    assert build_site_step(tasks, set(), HERE, get_translator("fr")) is None


@pytest.mark.parametrize("kind", ["headcount", "area_order"])
def test_a_question_about_people_goes_before_a_late_task(kind: str) -> None:
    """D110: a card late since the morning hid whether the order to leave concerns the site."""
    question = task("t-1", "pmi-01", 10).model_copy(update={"kind": kind})
    tasks = [task("t-2", "pmi-01", -120), question]
    step = build_site_step(tasks, {"pmi-01"}, HERE, get_translator("fr"))
    assert step is not None
    assert (step.due_at, step.urgent, step.more) == (question.due_at, True, 1)


async def test_the_strip_stands_on_the_first_page_of_cell_and_manager() -> None:
    realm_state = crisis()
    realm_state.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "verify_site",
            "state": "open",
            "opened_at": NOW,
            "due_at": NOW + 30 * MINUTE_MS,
            "site": "pmi-01",
            "incident": "i-1",
        },
    )
    realm_state.put("sites", site())
    browser, _ = browsing(realm_state)
    for path, role, button in (
        ("/", "cell", "Voir les tâches"),
        ("/?vue=a-traiter", "site_manager@pmi-01", "Répondre"),
        ("/mes-sites", "site_manager@pmi-01", "Répondre"),
    ):
        text = await shown(browser, path, role=role)
        assert "Et maintenant ?" in text
        assert button in text


async def test_an_accepted_action_is_to_be_done_and_no_longer_answered() -> None:
    """The strip went on about a missing answer two seconds after «Je m’en charge»."""
    for state, late, consequence, button in (
        ("requested", False, "Sans réponse, votre suppléant", "Répondre"),
        ("accepted", False, "Vous vous en chargez. Passé ce délai,", "Dire que c’est fait"),
        ("accepted", True, "Le suppléant, puis le pilote sont appelés", "Dire que c’est fait"),
    ):
        due_at = NOW + (-5 if late else 10) * MINUTE_MS
        browser, _ = acting(action_row(state=state, accepted_by="rs-pmi-01", due_at=due_at))
        page = (await browser.get(f"/mes-sites?realm={REALM}", role="site_manager@pmi-01")).text
        strip = re.sub(
            r"<[^>]+>", " ", page.partition('id="next-step"')[2].partition("</section>")[0]
        )
        assert consequence in strip
        assert button in strip
