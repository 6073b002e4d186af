"""CPU of the pages with cards while 5,060 cards of sites are open, and one message per owner.

The read model is in memory: what Redis and the network add does not depend on the cards.
"""

from __future__ import annotations

import time
from statistics import median

import pytest

from schemas import commands as cmd
from schemas import reference as ref
from services.console.read_model.reference_index import IndexedReference
from services.runtime.process.machine import freeze_long_lived
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM
from tests.unit.console.test_one_plan import hold_plans
from tests.unit.continuity import test_site_cards as crowd
from tests.unit.continuity.world import World

ALLOWED_MS = 100.0
REQUESTS = 20
SITE = "clg-0920592U"
PAGES = (
    ("/plans", "coordinator"),
    ("/plans/PT-ELEC", "coordinator"),
    ("/plans/PT-ELEC?fiche=PT-ELEC-ALL", "coordinator"),
    ("/mes-sites", f"site_manager@{SITE}"),
    ("/sitrep", "coordinator"),
    ("/", "coordinator"),
    ("/releve", "coordinator"),
    ("/api/v1/site-cards?limit=1000", "coordinator"),
)


def _open_all_cards() -> World:
    """Activate the 20 plans of a territory with one card more per plan and site."""
    world = World(published=False)
    sections = crowd._crowded()
    for n, section in enumerate(sections, start=1):
        published = ref.ReferencePublished(
            reference="crowded", data=section, last=n == len(sections)
        )
        world.service.feed(crowd.REALM, published)
    for plan in sorted(world.state.plans):
        world.say(cmd.ActivatePlan(plan=plan, author="p", role="dgs_directeur_de_crise"), "09:50")
    world.until("09:52")
    return world


@pytest.mark.bench
async def test_pages_with_five_thousand_open_cards_take_less_than_a_tenth_of_a_second() -> None:
    world = _open_all_cards()
    opened = sum(len(rows) for rows in world.state.site_cards.values())
    reminded = [demand.site for demand in world.asked("cards_opened")]
    assert opened == 20 * 253
    assert len(reminded) == len(set(reminded)) == 253
    realm_state = hold_plans(world, "10:00")
    realm_state.reference = IndexedReference.of_sections("crowded", crowd._crowded())
    browser, _ = browsing(realm_state)
    freeze_long_lived()
    print(f"\n{opened} open cards, {len(reminded)} messages")
    late = []
    for path, role in PAGES:
        joint = "&" if "?" in path else "?"
        cpu, wall = [], []
        for n in range(REQUESTS + 3):
            used, began = time.process_time(), time.perf_counter()
            answer = await browser.get(f"{path}{joint}realm={REALM}&n={n}", role=role)
            assert answer.status_code == 200, answer.text
            if n >= 3:
                cpu.append((time.process_time() - used) * 1000)
                wall.append((time.perf_counter() - began) * 1000)
        print(f"{path:36}{median(cpu):7.1f} ms CPU{median(wall):8.1f} ms wall (p50)", flush=True)
        if median(cpu) > ALLOWED_MS:
            late.append(f"{path}: {median(cpu):.1f} ms")
    assert late == []
