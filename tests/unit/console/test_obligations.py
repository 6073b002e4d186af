"""Legal deadlines over HTTP, on their page, in the queue and in the situation report (D92)."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import reference as ref
from schemas.base import DAY_MS, HOUR_MS
from schemas.crisis.obligations import (
    DismissObligation,
    FulfilObligation,
    LimitUnit,
    ObligationChanged,
    ObligationRow,
    StartObligation,
)
from services.console.attention.rows import DemandRows, find_attention_time, list_demands
from services.console.communication import drafting
from services.console.i18n import get_translator
from services.console.logbook.lines import LineRecord
from services.console.logbook.lines import render_line as said
from services.console.obligations.queries import ObligationRule, build_clock, is_late, is_near
from services.console.obligations.screen import describe_left, describe_limit
from services.console.resource_base import to_datetime
from services.runtime.secrets.vault import TextItem
from tests.shipped import territory
from tests.unit.console.held import Browser, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis
from tests.unit.console.test_lines import lines

_ = get_translator("fr")
JSON = "application/json"
SECTION = next(s for s in territory().sections if isinstance(s, ref.Obligations))


def clock(id: str = "ob-1", **values: Any) -> dict[str, Any]:
    return {
        "id": id,
        "obligation": "rgpd-cnil",
        "state": "running",
        "incident": "i-1",
        "role": "cellule_juridique",
        "plan": "PT-CYBER",
        "started_at": START,
        "known_at": START,
        "due_at": START + 72 * HOUR_MS,
        "next_at": START + 36 * HOUR_MS,
        "changed_at": START,
    } | values


def ended(change: str, **values: Any) -> dict[str, Any]:
    signature = {"by": "cell-1", "role": "cell", "at": START + HOUR_MS}
    return (
        clock("ob-2", state=change, text_id="words", next_at=None, version=1, **{change: signature})
        | values
    )


@pytest.fixture
def desk() -> tuple[Browser, HeldModel]:
    realm_state = crisis()
    realm_state.put("obligations", clock())
    realm_state.put("obligations", ended("done", obligation="nis2-alerte", declared_at=START))
    browser, model = browsing(realm_state)
    model.words.kept["words"] = TextItem({"text": "n° CNIL-2027-118"})
    return browser, model


@pytest.mark.parametrize("one", SECTION.obligations, ids=lambda one: one.id)
def test_every_blank_of_a_draft_explains_its_content(one: Any) -> None:
    blank_values = dict.fromkeys(
        (
            *("territoire", "heure", "numero", "incident", "depuis"),
            *("connu", "communes", "sites", "agents", "public"),
        ),
        "x",
    )
    text = drafting.fill_text(one.draft, blank_values, SECTION.blanks)
    assert "{" not in text
    assert "_" not in text
    assert drafting.list_blanks(text)


def test_the_law_gives_these_limits() -> None:
    limits = {one.id: (one.limit.amount, one.limit.unit) for one in SECTION.obligations}
    assert limits["rgpd-cnil"] == (72, LimitUnit.HOURS)
    assert limits["nis2-alerte"] == (24, LimitUnit.HOURS)
    assert limits["nis2-notification"] == (72, LimitUnit.HOURS)
    assert limits["nis2-rapport"] == (1, LimitUnit.MONTHS)
    assert limits["plainte-cyber"] == (72, LimitUnit.HOURS)
    assert limits["assureur-sinistre"] == (5, LimitUnit.WORKING_DAYS)
    assert limits["assureur-vol"] == (2, LimitUnit.WORKING_DAYS)
    assert limits["catnat-assure"] == (30, LimitUnit.DAYS)
    assert limits["catnat-commune"] == (24, LimitUnit.MONTHS)
    assert {one.id for one in SECTION.obligations if one.without_delay} >= {"tiac-ars", "tiac-ddpp"}


def test_a_limit_reads_as_the_law_says_it() -> None:
    rule = ObligationRule.from_row(
        SECTION.obligations[0], realm=REALM, amount=5, unit="working_days", plans=[], kinds=[]
    )
    assert describe_limit(rule, _) == "5 jours ouvrés"
    urgent = rule.model_copy(update={"without_delay": True, "amount": 2, "unit": LimitUnit.HOURS})
    assert describe_limit(urgent, _) == "sans délai, objectif 2 h"


def test_a_clock_shows_the_time_left() -> None:
    row = ObligationRow.model_validate(clock())
    obligation_clock = build_clock(row, REALM, reference().names.obligations, {}, "fr", START)
    assert describe_left(obligation_clock, to_datetime(START + 70 * HOUR_MS), _) == "reste 2 h 00"
    assert (
        describe_left(obligation_clock, to_datetime(START + 73 * HOUR_MS), _)
        == "dépassée depuis 1 h 00"
    )


def test_a_clock_is_near_from_half_of_its_limit_or_a_day_before() -> None:
    row = ObligationRow.model_validate(clock())
    assert find_attention_time(row) == START + 36 * HOUR_MS
    assert [is_near(row, START + n * HOUR_MS) for n in (35, 36)] == [False, True]
    short = ObligationRow.model_validate(clock(due_at=START + 24 * HOUR_MS))
    assert is_near(short, START)
    assert [is_late(row, row.due_at - 1), is_late(row, row.due_at)] == [False, True]
    declared = row.model_copy(update={"state": "done", "declared_at": row.due_at + 1})
    assert is_late(declared, row.due_at + DAY_MS)
    assert not is_near(declared, row.due_at + DAY_MS)


def test_the_queue_holds_one_row_per_role_for_near_and_for_passed_deadlines() -> None:
    rows = {
        str(n): ObligationRow.model_validate(clock(str(n), obligation=f"o-{n}", **values))
        for n, values in enumerate(
            (
                {"due_at": START + 2 * HOUR_MS},
                {"due_at": START + 4 * HOUR_MS},
                {"due_at": START + 40 * DAY_MS},
                {"due_at": START + 72 * HOUR_MS, "state": "dismissed"},
            )
        )
    }
    early = list_demands(DemandRows(None, obligations=rows), START + HOUR_MS)
    assert [(d.kind, d.count, d.due_at) for d in early] == [("obligation", 2, START + 2 * HOUR_MS)]
    late = list_demands(DemandRows(None, obligations=rows), START + 3 * HOUR_MS)
    assert [(d.kind, d.count) for d in late] == [("obligation_late", 1), ("obligation", 1)]
    assert late[0].roles == {"cellule_juridique", "coordinateur_pca"}


async def test_clocks_are_read_with_their_receipt(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    clocks = (await browser.get(f"/api/v1/obligations?realm={REALM}", accept=JSON)).json()["items"]
    assert [(c["id"], c["state"], c["words"]) for c in clocks] == [
        ("ob-1", "running", None),
        ("ob-2", "done", "n° CNIL-2027-118"),
    ]
    assert clocks[0]["title"] == "Notifier la violation de données à la CNIL"
    assert "article 33" in clocks[0]["basis"]
    path = f"/api/v1/obligations?realm={REALM}&state=done"
    assert len((await browser.get(path, accept=JSON)).json()["items"]) == 1
    one = await browser.get(f"/api/v1/obligations/ob-1?realm={REALM}", accept=JSON, lang="en")
    assert one.json()["title"] == "Notify the data breach to the CNIL"
    missing = await browser.get(f"/api/v1/obligations/x?realm={REALM}", accept=JSON)
    assert missing.status_code == 404


async def test_the_list_is_a_table_too(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    text = (await browser.get(f"/api/v1/obligations?realm={REALM}&format=csv")).text
    assert text.splitlines()[0].lstrip("\ufeff").startswith('"Obligation";"Fondement";"Autorité"')
    assert "n° CNIL-2027-118" in text
    assert len(text.splitlines()) == 3


async def test_a_draft_holds_the_facts_of_the_log(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    draft = (await browser.get(f"/api/v1/obligations/ob-1/draft?realm={REALM}", accept=JSON)).json()
    assert "Référence : incident 92-2027-0211-01, Coupure électrique" in draft["text"]
    assert "PMI Darracq (Nanterre)" in draft["text"]
    assert "Agents des sites concernés : 11." in draft["text"]
    assert "Violation connue depuis : 9 h 40." in draft["text"]
    assert "i-1" not in draft["text"]
    assert draft["text"].startswith("Responsable du traitement : Département, Hauts-de-Seine.")
    assert any("catégories de données" in blank for blank in draft["blanks"])
    assert not any("connu" in blank for blank in draft["blanks"])


async def test_decisions_become_commands(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    for path, body in (
        (
            "obligations",
            {"obligation": "rgpd-cnil", "incident": "i-1", "known_at": "2027-02-11T08:00:00Z"},
        ),
        ("obligations/ob-1:done", {"receipt": "n° 118"}),
        ("obligations/ob-1:dismiss", {"reason": "Aucune donnée personnelle."}),
    ):
        answer = await browser.post(f"/api/v1/{path}?realm={REALM}", body)
        assert answer.status_code == 202, answer.text
    kinds = [type(command) for command in browser.decisions.asked]
    assert kinds == [StartObligation, FulfilObligation, DismissObligation]
    done = browser.decisions.asked[1]
    assert isinstance(done, FulfilObligation)
    assert (done.clock, done.text_id, done.declared_at) == ("ob-1", "t", None)
    for path in ("obligations/ob-1:done", "obligations/ob-1:dismiss"):
        assert (await browser.post(f"/api/v1/{path}?realm={REALM}", {})).status_code == 422, path


async def test_the_page_shows_clocks_and_their_drafts(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    text = (await browser.get(f"/echeances?realm={REALM}&projet=ob-1", role="coordinator")).text
    for words in (
        "Notifier la violation de données à la CNIL",
        "Notification d’une violation de données",
        "n° CNIL-2027-118",
        "Lancer une échéance",
        "5 jours ouvrés",
    ):
        assert words in text, words
    assert "ob-1:done" in text
    read = (await browser.get(f"/echeances?realm={REALM}&projet=x", role="observer")).text
    assert "ob-1:done" not in read
    assert "Lancer une échéance" not in read
    forbidden = await browser.get(f"/echeances?realm={REALM}", role="site_manager")
    assert forbidden.status_code == 403


async def test_the_situation_report_names_the_next_legal_deadlines(
    desk: tuple[Browser, HeldModel],
) -> None:
    browser, _model = desk
    text = (await browser.get(f"/sitrep?realm={REALM}")).text
    assert "Notifier la violation de données à la CNIL\xa0: échéance légale" in text


def _line(change: str, values: dict[str, Any]) -> LineRecord:
    row = ObligationRow.model_validate(values)
    (line,) = lines("alerts", ObligationChanged(row=row, change=change))
    return line


def test_each_step_is_a_line_with_the_text_to_erase() -> None:
    names = reference().names
    started = _line("started", clock())
    assert (started.kind, started.incident, started.text_id) == ("alarm", "i-1", None)
    assert said(started, names, "fr").startswith(
        "Échéance légale\xa0: Notifier la violation de données à la CNIL, avant "
    )
    done = _line("done", ended("done", declared_at=START))
    assert (done.kind, done.text_id) == ("decision", "words")
    assert said(done, names, "en") == "Declared: Notify the data breach to the CNIL"
    late = _line("done", ended("done", declared_at=START + 73 * HOUR_MS))
    assert said(late, names, "fr").startswith("Déclaration faite après la limite")
    dismissed = _line("dismissed", ended("dismissed"))
    assert said(dismissed, names, "fr").startswith("Échéance légale sans objet")
