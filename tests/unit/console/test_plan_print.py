"""Rule D83: a plan on paper has its whole content, the cards by role, and no code alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from schemas import reference as ref
from services.console.documents.plan.sheet import PlanSheet, Sheet, print_plans
from services.console.i18n import get_translator
from services.console.read_model.shapes import Shaper
from tests.unit.console.held import browsing, outlines, reference
from tests.unit.console.test_every_screen import REALM, realm

AT = datetime(2026, 11, 29, 12, tzinfo=UTC)
PLAN = "PCA-solidarites"


def arrange(id: str, lang: str = "fr", **numbers: list[str]) -> Sheet:
    shape = Shaper("92", reference(), outlines(), lang)
    return PlanSheet(reference(), shape, get_translator(lang), AT, numbers).build(id)


@pytest.mark.parametrize("id", sorted(reference().plans))
def test_every_card_with_its_steps_stands_once_under_its_role(id: str) -> None:
    content = ref.collect_plan_contents(reference().sections)[id]
    printed = [card for role in arrange(id)["roles"] for card in role["cards"]]
    assert sorted(card["id"] for card in printed) == sorted(c.id for c in content.cards)
    steps = {card.id: list(card.steps) for card in content.cards}
    assert all(card["steps"] == steps[card["id"]] and card["phase"] for card in printed)
    roles = [role["role"] for role in arrange(id)["roles"]]
    assert len(roles) == len(set(roles))
    assert not [role for role in roles if "_" in role]


@pytest.mark.parametrize("id", ["PT-ELEC", PLAN])
def test_documents_are_named_by_their_titles(id: str) -> None:
    """A card of one plan may need a document of another: it had its id only."""
    printed = [card for role in arrange(id)["roles"] for card in role["cards"]]
    texts = [text for card in printed for _name, text in card["details"]]
    assert not [text for text in texts if "DOC-" in text]


def test_minimal_mode_recovery_order_deputies_documents_and_partners_are_on_it() -> None:
    content = ref.collect_plan_contents(reference().sections)[PLAN]
    sheet = arrange(PLAN)
    rows = {s["title"].replace("\u00a0", " "): s["rows"] for s in sheet["sections"]}
    assert len(rows["Mode minimal : ce qui continue"]) == len(content.goes_on)
    assert len(rows["Mode minimal : ce qui s’arrête"]) == len(content.stops)
    recovery = rows["Ordre de reprise"]
    assert [row[0].partition(".")[0] for row in recovery] == [
        str(n) for n in range(1, len(content.recovery) + 1)
    ]
    assert len(rows["Suppléances"]) == len(content.deputies)
    assert len(rows["Documents"]) == len(content.documents)
    assert rows["Partenaires à appeler"]
    assert sheet["triggers"]["groups"]
    assert sheet["stand_down"]["lines"]


def test_numbers_of_partners_are_printed_only_if_they_are_given() -> None:
    def find(sheet: Sheet) -> dict[str, str]:
        partners = next(s for s in sheet["sections"] if len(s["columns"]) == 3)
        return {row[0]: row[2] for row in partners["rows"]}

    without = find(arrange(PLAN))
    assert {text.strip("…") for text in without.values()} == {""}
    phones_by_partner = find(arrange(PLAN, cump=["téléphone 01 02 03 04 05"]))
    assert [text for text in phones_by_partner.values() if "01 02" in text] == [
        "téléphone 01 02 03 04 05"
    ]


def test_the_same_content_gives_the_same_pages_that_screen_readers_can_read() -> None:
    shape = Shaper("92", reference(), outlines(), "fr")
    ids = ("PT-GAZ", "PT-GREVE")
    one, other = (print_plans(shape, ids, get_translator("fr"), AT) for _ in range(2))
    assert one == other
    assert b"pdfuaid" in one


@pytest.mark.parametrize("lang", ["fr", "en"])
async def test_the_route_prints_a_plan_and_its_page_links_to_it(lang: str) -> None:
    browser, _ = browsing(realm())
    answer = await browser.get(
        f"/api/v1/plans/PT-GAZ/pdf?realm={REALM}", role="observer", lang=lang
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content.startswith(b"%PDF")
    page = await browser.get(f"/plans/PT-GAZ?realm={REALM}", role="coordinator", lang=lang)
    assert "/api/v1/plans/PT-GAZ/pdf?realm=" in page.text
    missing = await browser.get(f"/api/v1/plans/none/pdf?realm={REALM}", role="observer")
    assert missing.status_code == 404
