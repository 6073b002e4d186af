"""Screens offer a plan only to accounts with the right to decide it (rule D49)."""

from __future__ import annotations

import re

import pytest

from schemas.ranks import POLE_DIRECTOR_ROLE
from services.console.attention.next_step import build_next_step
from services.console.i18n import get_translator
from services.console.resources import to_datetime
from tests.unit.console.held import Browser, browsing, reference
from tests.unit.console.test_every_screen import NOW, REALM, START, crisis
from tests.unit.console.test_next_step import demand, queue

DIRECTOR = "director@pole:solidarites"
"""Director of the pôle Solidarités."""
PLANS = {
    "PCA-solidarites": "directeur_pole",
    "PCA-education": "directeur_pole",
    "PT-ELEC": "coordinateur_pca",
}


def _crisis() -> Browser:
    held = crisis()
    for id, decides in PLANS.items():
        held.put(
            "plans",
            {
                "id": id,
                "state": "proposed",
                "decides": decides,
                "proposed_at": START,
            },
        )
    return browsing(held)[0]


async def _read(path: str, role: str) -> str:
    answer = await _crisis().get(f"{path}?realm={REALM}", role=role)
    assert answer.status_code == 200
    return answer.text


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
