"""The action cards of one's own sites on `/mes-sites`. Rule D84."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from schemas import commands as cmd
from schemas.continuity import CardProof, SiteCardChanged
from schemas.words import EventType
from services.console.continuity.api import _check_photo
from services.console.evidence.collect import _read_photos
from services.console.logbook.lines import render_line
from services.runtime.http.problems import ProblemError
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Held, browsing, reference
from tests.unit.console.test_every_screen import REALM, words
from tests.unit.console.test_lines import lines
from tests.unit.console.test_one_plan import COLLEGES, EDUCATION, MANAGER, activate, hold_plans
from tests.unit.continuity.world import REALM as WORLD_REALM
from tests.unit.continuity.world import World

COORDINATOR = {"author": "p-1", "role": "coordinator"}
SITE, OTHER = "clg-0920592U", "clg-0921244C"


async def show(held: object, role: str = f"site_manager@{SITE}", lang: str = "fr") -> str:
    browser, _ = browsing(held)
    return (await browser.get(f"/mes-sites?realm={REALM}", role=role, lang=lang)).text


async def test_a_principal_sees_the_card_of_the_own_site_with_its_steps_and_buttons() -> None:
    page = await show(hold_plans(activate(EDUCATION), "10:00"))
    text = words(page)
    assert "1 fiche à faire" in text
    assert "Dire si le collège peut ouvrir à faire avant 10:41" in text
    assert "Vérifiez loge, sanitaires, alarme" in text
    assert "Faite quand : " in text
    assert page.count(f'action="/api/v1/plans/{EDUCATION}/cards/{COLLEGES}:complete"') == 1
    assert f'name="site" value="{SITE}"' in page
    assert 'name="proof.number"' in page
    assert OTHER not in page
    assert "Et maintenant ?" in text
    assert "Rien ne vous est demandé" not in text


async def test_a_count_of_people_takes_both_numbers() -> None:
    """The card asked for present and expected; «38/40» became 3840 in its one number field."""
    world = activate(EDUCATION)
    world.hit(SITE, EventType.EVACUATION, "09:52")
    world.until("09:53")
    page = await show(hold_plans(world, "10:00"))
    assert 'name="proof.of"' in page
    assert "Nombre personnes présentes Sur attendues" in words(page)
    proof = CardProof(number=38, of=40)
    world.say(
        cmd.CompleteCard(plan=EDUCATION, card="EDU-F02", site=SITE, proof=proof, **MANAGER), "09:55"
    )
    (fact,) = (f for f in world.facts(SiteCardChanged) if f.change == "completed")
    (line,) = lines("continuity", fact)
    assert render_line(line, reference().names, "fr").endswith("élèves et agents (38 sur 40)")


async def test_a_completed_card_says_so_and_nothing_is_left_to_do() -> None:
    world = activate(EDUCATION)
    world.say(cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=SITE, **MANAGER), "09:55")
    realm_state = hold_plans(world, "10:00")
    text = words(await show(realm_state))
    assert "0 fiche à faire" in text
    assert "Dire si le collège peut ouvrir : faite 09:55" in text
    assert ":complete" not in await show(realm_state)
    assert "1 fiche à faire" in words(await show(realm_state, role=f"site_manager@{OTHER}"))


async def test_a_card_in_progress_is_not_started_twice_and_a_late_one_says_so() -> None:
    world = activate(EDUCATION)
    world.say(cmd.StartCard(plan=EDUCATION, card=COLLEGES, site=SITE, **MANAGER), "09:55")
    realm_state = hold_plans(world, "10:50")
    page = await show(realm_state)
    assert ":start" not in page
    assert "1 en retard" in words(page)
    assert "en retard, à faire avant 10:41 , en cours" in words(page)
    assert "1 card to do" in words(await show(realm_state, lang="en"))


async def test_cards_stand_in_due_order_and_waiting_ones_name_their_condition() -> None:
    realm_state = hold_plans(activate("PCA-solidarites"), "10:00")
    cards = realm_state.rows["site_cards"].values()
    site = next(
        one.site
        for one in cards
        if one.state == "to_do" and sum(o.site == one.site for o in cards) > 1
    )
    own = sorted((o for o in cards if o.site == site), key=lambda o: (o.due_at, o.id))
    page = await show(realm_state, role=f"site_manager@{site}")
    order = re.findall(r'id="fiche-([A-Z]+-F[0-9]+)-', page)
    assert order == [o.card for o in own if o.state == "to_do"]
    waiting = [o for o in own if o.state == "waiting"]
    assert words(page).count("Attend : ") == len(waiting)


async def test_the_card_to_reopen_goes_when_the_crisis_goes_on() -> None:
    world, stand_down = activate(EDUCATION), f"{EDUCATION}:stand-down"
    world.hit(SITE, EventType.CLOSURE, "09:51")
    for box in range(2):
        world.say(cmd.TickBox(plan=EDUCATION, box=box, ticked=True, **COORDINATOR), "09:55")
    world.trigger(EDUCATION, 0, "11:00", id=stand_down)
    world.until("11:01")
    assert "Rouvrir le collège" in words(await show(hold_plans(world, "11:10")))
    world.trigger(EDUCATION, 0, "11:30", id=stand_down, state="released")
    assert "Rouvrir le collège" not in words(await show(hold_plans(world, "11:40")))


async def test_the_cell_does_not_get_a_list_of_all_sites() -> None:
    page = await show(hold_plans(activate(EDUCATION), "10:00"), role="cell")
    assert ":complete" not in page


async def test_the_evidence_in_words_goes_with_the_completion() -> None:
    world = activate(EDUCATION)
    world.say(
        cmd.CompleteCard(plan=EDUCATION, card=COLLEGES, site=SITE, reason="text:t-1", **MANAGER),
        "09:55",
    )
    row = world.state.site_cards[EDUCATION][f"{EDUCATION}/{COLLEGES}/{SITE}"]
    assert row.reason == "text:t-1"


def _hold_photo_card(photo: str | None = None) -> Held:
    """Hold a site card that asks for a photo, completed with one if it is given."""
    world = activate("PCA-solidarites")
    world.hit("pmi-01", EventType.OUTAGE_POWER, "09:52")
    world.until("09:53")
    if photo is not None:
        proof = CardProof(photo=photo)
        world.say(
            cmd.CompleteCard(
                plan="PCA-solidarites", card="SOL-F05", site="pmi-01", proof=proof, **MANAGER
            ),
            "09:55",
        )
    return hold_plans(world, "10:00")


async def test_a_card_that_asks_for_a_photo_takes_it_with_the_camera() -> None:
    page = await show(_hold_photo_card(), role="site_manager@pmi-01")
    (field,) = re.findall(r'<input[^>]*name="proof.photo"[^>]*>', page)
    for part in ('type="file"', 'accept="image/*"', 'capture="environment"', 'data-type="photo"'):
        assert part in field


def _complete_by_sms(world: World, at: str, **proof: Any) -> None:
    command = cmd.CompleteCard(
        plan="PCA-solidarites",
        card="SOL-F05",
        site="pmi-01",
        channel=None if proof else "sms",
        reason="text:photo" if proof else None,
        proof=CardProof(**proof) if proof else None,
        **MANAGER,
    )
    world.say(command, at)


async def test_a_card_done_without_its_photo_says_so_and_takes_it_later() -> None:
    world = activate("PCA-solidarites")
    world.hit("pmi-01", EventType.OUTAGE_POWER, "09:52")
    world.until("09:53")
    _complete_by_sms(world, "09:55")
    browser, _ = browsing(hold_plans(world, "10:00"))
    page = (await browser.get(f"/mes-sites?realm={REALM}", role="site_manager@pmi-01")).text
    assert "photo manquante" in page
    assert "Joindre la photo" in page
    path = f"/plans/PCA-solidarites?realm={REALM}&fiche=SOL-F05"
    assert "photo manquante" in (await browser.get(path, role="coordinator")).text
    _complete_by_sms(world, "10:05", photo="photo-1")
    browser, _ = browsing(hold_plans(world, "10:10"))
    page = (await browser.get(f"/mes-sites?realm={REALM}", role="site_manager@pmi-01")).text
    assert "photo manquante" not in page
    facts = [f for f in world.facts(SiteCardChanged) if f.row.card == "SOL-F05"]
    done, added = facts[-2:]
    assert (done.change, added.change) == ("completed", "photo")
    assert (added.row.at, added.row.by) == (done.row.at, done.row.by)


@pytest.mark.parametrize(("role", "reads"), [("coordinator", True), ("director", False)])
async def test_the_photo_of_a_card_is_shown_to_readers_of_photos(role: str, reads: bool) -> None:
    browser, _ = browsing(_hold_photo_card("photo-1"))
    path = f"/plans/PCA-solidarites?realm={REALM}&fiche=SOL-F05"
    page = (await browser.get(path, role=role)).text
    assert ("/api/v1/attachments/photo-1" in page) is reads
    assert ("photo jointe" in words(page)) is not reads


@pytest.mark.parametrize(
    ("item", "taken"),
    [
        (TextItem({"realm": REALM}, b"jpeg", "image/jpeg"), True),
        (TextItem({"realm": "92~other"}, b"jpeg", "image/jpeg"), False),
        (TextItem({"realm": REALM}), False),
        (None, False),
    ],
)
async def test_a_photo_is_evidence_only_if_it_is_stored_and_of_this_realm(
    item: TextItem | None, taken: bool
) -> None:
    class Stored:
        async def get(self, text_id: str, wait_s: float = 0) -> TextItem | None:
            assert (text_id, wait_s > 0) == ("attachment-photo-1", True)
            return item

    state = SimpleNamespace(texts=Stored())
    author: Any = SimpleNamespace(
        realm=REALM, request=SimpleNamespace(app=SimpleNamespace(state=state))
    )
    if taken:
        await _check_photo(author, "photo-1")
        return
    with pytest.raises(ProblemError) as refused:
        await _check_photo(author, "photo-1")
    assert [one.field for one in refused.value.problem.faults] == ["proof.photo"]


async def test_an_evidence_bundle_holds_each_photo_of_a_card_once_and_no_erased_one() -> None:
    stored_photos = {"p-1": TextItem({"realm": REALM}, b"jpeg", "image/jpeg")}

    async def read(photo: str) -> TextItem | None:
        return stored_photos.get(photo)

    world = activate("PCA-solidarites")
    world.hit("pmi-01", EventType.OUTAGE_POWER, "09:52")
    world.until("09:53")
    for photo, card in (("p-1", "SOL-F05"), ("p-2", "SOL-F07")):
        done = cmd.CompleteCard(
            plan="PCA-solidarites",
            card=card,
            site="pmi-01" if card == "SOL-F05" else None,
            proof=CardProof(photo=photo),
            **COORDINATOR,
        )
        world.say(done, "09:55")
    transactions = [record.transaction for record in world.service.log.of(WORLD_REALM)]
    photos = await _read_photos([*transactions, *transactions], read)
    assert [id for id, _ in photos] == ["p-1"]
