"""Screens offer a plan only to accounts with the right to decide it (rule D49)."""

from __future__ import annotations

import re

import pytest

from schemas.ranks import POLE_DIRECTOR_ROLE
from schemas.reference import EVERY_POLE
from services.console.attention.next_step import build_next_step
from services.console.continuity.plan_rights import list_liftable_plans
from services.console.i18n import get_translator
from services.console.resources import to_datetime
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from tests.unit.console.held import Browser, browsing, reference
from tests.unit.console.test_every_screen import NOW, REALM, START, crisis, incident, ladder
from tests.unit.console.test_next_step import demand, queue

DIRECTOR = "director@pole:solidarites"
"""Director of the pôle Solidarités."""
PLANS = {
    "PCA-solidarites": "directeur_pole",
    "PCA-education": "directeur_pole",
    "PT-ELEC": "coordinateur_pca",
}


def _crisis(state: str = "proposed") -> Browser:
    realm_state = crisis()
    for id, decides in PLANS.items():
        realm_state.put(
            "plans", {"id": id, "state": state, "decides": decides, "proposed_at": START}
        )
    return browsing(realm_state)[0]


async def _read(path: str, role: str, state: str = "proposed") -> str:
    answer = await _crisis(state).get(f"{path}?realm={REALM}", role=role)
    assert answer.status_code == 200
    return answer.text


@pytest.mark.parametrize(
    ("role", "own"),
    [
        ("coordinator", {"F-SI", "F-POLE", "F-SITE"}),
        ("site_manager", {"F-SITE"}),
        (DIRECTOR, {"F-POLE", "F-SITE"}),
        ("director@pole:education", {"F-SITE"}),
    ],
)
@pytest.mark.parametrize("path", ["/plans", "/incidents/i-1"])
async def test_a_page_offers_only_the_cards_that_its_reader_may_work_on(
    path: str, role: str, own: set[str]
) -> None:
    """« Commencer » beside the card of another role was refused after it was pressed."""
    owners = {
        "F-SI": ("cellule_si", None),
        "F-POLE": ("directeur_pole", "solidarites"),
        "F-SITE": ("responsable_site", None),
    }
    cards = {
        id: {
            "id": id,
            "task": id,
            "role": role,
            "pole": pole,
            "due_at": START,
            "state": "to_do",
        }
        for id, (role, pole) in owners.items()
    }
    realm_state = crisis()
    realm_state.put(
        "plans",
        {
            "id": "PT-ELEC",
            "state": "active",
            "decides": "coordinateur_pca",
            "incident": "i-1",
            "cards": list(cards.values()),
        },
    )
    answer = await browsing(realm_state)[0].get(f"{path}?realm={REALM}", role=role)
    assert answer.status_code == 200
    offered = set(re.findall(r"/plans/PT-ELEC/cards/([\w-]+)/start", answer.text))
    assert offered == own


@pytest.mark.parametrize(
    ("role", "is_offered"),
    [("coordinator", True), (DIRECTOR, True), ("director@pole:education", False)],
)
@pytest.mark.parametrize("path", ["/", "/incidents/i-1"])
async def test_a_page_offers_decisions_only_about_incidents_of_its_reader(
    path: str, role: str, *, is_offered: bool
) -> None:
    """A director wrote a line about the incident of another pôle, and was refused."""
    answer = await browsing(crisis())[0].get(f"{path}?realm={REALM}", role=role)
    assert answer.status_code == 200
    for decision in ("acknowledge", "escalate"):
        address = f"/api/v1/incidents/i-1/{decision}"
        assert (f'action="{address}"' in answer.text) is is_offered, decision
    assert ('action="/api/v1/log"' in answer.text) is is_offered


async def test_a_crisis_asks_the_director_of_each_pole_and_takes_the_answer() -> None:
    """Their page said «Rien ne vous est demandé» while their phone rang; they could not answer."""
    role, address = "director@pole:education", "/api/v1/incidents/i-1"
    for called, is_asked in (("directeur_pole", False), (EVERY_POLE, True)):
        realm_state = crisis()
        escalation = ladder("e-1", "N3", "territory", "running", START, ("i-1",))
        (wave,) = escalation["waves"]
        realm_state.put("escalations", {**escalation, "waves": ({**wave, "roles": (called,)},)})
        browser, _ = browsing(realm_state)
        page = (await browser.get(f"/?realm={REALM}", role=role)).text
        assert ("Un appel attend une prise en charge" in page) is is_asked
        for path in ("/", "/incidents/i-1"):
            page = (await browser.get(f"{path}?realm={REALM}", role=role)).text
            assert (f'action="{address}/acknowledge"' in page) is is_asked, path
            assert f'action="{address}/escalate"' not in page
        answer = await browser.post(f"{address}/acknowledge?realm={REALM}", {}, role=role)
        assert answer.status_code == (202 if is_asked else 403)
        answer = await browser.post(f"{address}/escalate?realm={REALM}", {}, role=role)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("role", "own"), [(DIRECTOR, {"PCA-solidarites"}), ("coordinator", set(PLANS)), ("cell", set())]
)
async def test_the_page_of_plans_offers_only_decisions_of_its_reader(
    role: str, own: set[str]
) -> None:
    """A director saw «Activer» beside the plans of the seven other pôles."""
    page = await _read("/plans", role)
    offered = set(re.findall(r'action="/api/v1/plans/([\w-]+)/activate"', page))
    assert offered & set(PLANS) == own
    for id in PLANS:
        alone = set(
            re.findall(
                r'action="/api/v1/plans/([\w-]+)/activate"', await _read(f"/plans/{id}", role)
            )
        )
        assert alone == ({id} & own)


@pytest.mark.parametrize(
    ("role", "lifted"),
    [(DIRECTOR, {"PCA-solidarites"}), ("coordinator", set(PLANS)), ("cell", set())],
)
async def test_the_end_of_a_plan_is_offered_to_its_deciders_alone(
    role: str, lifted: set[str]
) -> None:
    """Rule D52: «Lever» stood beside every active plan, for every director."""
    page = await _read("/plans", role, state="active")
    assert set(re.findall(r'action="/api/v1/plans/([\w-]+)/stand-down"', page)) == lifted
    for id in PLANS:
        alone = await _read(f"/plans/{id}", role, state="active")
        assert (f"#lift-{id}" in alone) is (id in lifted)


@pytest.mark.parametrize(
    ("level", "lifted"), [(2, set(PLANS)), (3, {"PCA-solidarites", "PCA-education"})]
)
def test_the_pilot_of_the_level_may_end_every_plan(level: int, lifted: set[str]) -> None:
    """Rule D52: a director pilots N2, not N3."""
    pilot = Principal(id="d", role=Role.DIRECTOR, duty=POLE_DIRECTOR_ROLE)
    assert list_liftable_plans(pilot, reference(), level) & set(PLANS) == lifted


async def test_a_director_is_asked_for_the_plan_of_the_own_pole_alone() -> None:
    page = await _read("/", DIRECTOR)
    assert set(re.findall(r'data-key="p-(P\w+-\w+)"', page)) == {"PCA-solidarites"}
    assert "Ce qui vous est demandé" in page


async def test_others_see_every_open_decision_of_the_crisis() -> None:
    page = await _read("/", "cell")
    assert set(re.findall(r'data-key="p-(P\w+-\w+)"', page)) == set(PLANS)
    assert "Décider<span" not in page


def test_the_next_step_of_a_director_is_no_plan_of_another_pole() -> None:
    other = demand("plan_proposed", POLE_DIRECTOR_ROLE, plan="PCA-education")
    own = demand("plan_proposed", POLE_DIRECTOR_ROLE, plan="PCA-solidarites")
    step = build_next_step(
        queue(other, own),
        POLE_DIRECTOR_ROLE,
        [],
        reference().names,
        to_datetime(NOW),
        get_translator("fr"),
        own_plans={"PCA-solidarites"},
    )
    assert step is not None
    assert step.title.endswith(reference().names.plan("PCA-solidarites"))
    assert step.more == 0


@pytest.mark.parametrize(("pole", "asked"), [("solidarites", True), ("education", False)])
async def test_a_director_sees_danger_in_the_own_pole_first(pole: str, asked: bool) -> None:
    """Rule D77: «Et maintenant ?» and the queue of the API know the pôle of the account."""
    realm_state = crisis()
    realm_state.put("incidents", incident(danger=True))
    browser, role = browsing(realm_state)[0], f"director@pole:{pole}"
    path = f"/api/v1/attention?realm={REALM}&role={POLE_DIRECTOR_ROLE}"
    state = (await browser.get(path, role=role, accept="application/json")).json()
    assert ("danger" in [line["kind"] for line in state["queue"]]) is asked
    page = (await browser.get(f"/?realm={REALM}", role=role)).text
    assert ("peut mettre des personnes en danger" in page) is asked
