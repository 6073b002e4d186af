"""A point de situation states facts, marks unconfirmed ones and cites the log (D54).

It is the same in every form.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import cache

from schemas.base import MINUTE_MS
from schemas.reassignment import ProposalRow, ProposalState
from schemas.words import ActivityState, CardState, PlanState
from services.console.documents.document import Citations, Document, hash_document
from services.console.documents.facts import SitrepFacts, count_figures
from services.console.documents.formats import WIDTH, render_standalone_html, render_text
from services.console.documents.pdf import Typesetter
from services.console.documents.sitrep.continuity import (
    count_decisions,
    write_clocks_section,
    write_decisions_section,
    write_plans_section,
)
from services.console.documents.sitrep.foresight import write_risks_section
from services.console.documents.sitrep.situation import write_essentials_section
from services.console.logbook.lines import LineRecord
from services.console.resources import Card
from tests.scenarios.memory import MemoryPlayer, played_to
from tests.scenarios.remembered import OUTLINES, Remembered
from tests.shipped import FOLDER

AT_MIN = 36.4
DAY_MIN = 24 * 60


@cache
def power_cut() -> MemoryPlayer:
    """Return S04, 36 minutes after the cut, without answers."""
    return played_to("S04", AT_MIN, whole=False)


@cache
def report() -> Document:
    played = power_cut()
    return asyncio.run(
        Remembered(played)
        .at(played.played.start + int(AT_MIN * MINUTE_MS))
        .of(played.realm)
        .draft_sitrep()
    )


def said(section: str, lang: str = "fr") -> str:
    document_section = report().sheet(lang).section(section)
    assert document_section is not None
    cells = (
        [" | ".join(row.cells) for row in document_section.table.rows]
        if document_section.table
        else []
    )
    return "\n".join(
        [
            document_section.title,
            document_section.aside,
            *(line.text for line in document_section.lines),
            *cells,
            document_section.table.note if document_section.table else "",
        ]
    ).replace("\u00a0", " ")


def test_the_sitrep_states_the_situation_and_its_reasons() -> None:
    sheet = report().sheet("fr")
    assert (sheet.title.replace("\u00a0", " "), sheet.badge, sheet.badge_text) == (
        "Point de situation n° 1",
        "N3",
        "Crise départementale",
    )
    assert sheet.draft
    assert "11:16 au plus tard" in sheet.intro
    assert "180\u202f000 clients coupés" in said("essential")
    assert "14 sites sans nouvelles : ni ouverts ni fermés." in said("essential")
    assert "N3, 09:42" in said("level")
    assert "N4" not in said("level"), "the secretariat of the cell alone proposes none"
    assert "8 plans en attente, le plus ancien depuis 35 min." in said("decisions")
    assert "Vague 1 (09:42) : 0 réponse sur 8 attendues." in said("calls")
    assert "10:22 : DMIA de CPL-01" in said("ahead")


def test_the_sitrep_names_the_five_highest_risks_of_breach() -> None:
    section = report().sheet("fr").section("risks")
    assert section is not None
    risks = [line.text.replace("\u00a0", " ") for line in section.lines]
    assert len(risks) == 5
    assert risks[0] == (
        "Communication de crise : plus de 99 % de risque de dépasser la DMIA ; "
        "93 % avec télétravail."
    )
    assert section.aside == "et 24 autres"


def test_the_sitrep_names_the_proven_share_of_the_plans_in_use() -> None:
    section = report().sheet("fr").section("proofs")
    assert section is not None
    assert section.aside.endswith("en moyenne")
    lines = [line.text.replace("\u00a0", " ") for line in section.lines]
    assert len(lines) == 3
    assert lines[0].startswith("PCA du pôle Communication : prouvé à 29 %. Jouer un exercice")
    assert all(line.refs for line in section.lines), "each cites the proposal of the plan"


def test_absent_people_take_no_desk_away() -> None:
    """A strike: the number was that of the absent, in a document that goes to the prefecture."""
    played = played_to("S03", 2 * DAY_MIN + 600, whole=False)
    at = played.played.start + (2 * DAY_MIN + 600) * MINUTE_MS
    document_section = (
        asyncio.run(Remembered(played).at(at).of(played.realm).draft_sitrep())
        .sheet("fr")
        .section("staff")
    )
    assert document_section is not None
    assert document_section.table is not None
    assert [
        row.cells[1]
        for row in document_section.table.rows
        if row.cells[0] == "Postes de bureau perdus"
    ] == ["0"]


def _read_facts() -> SitrepFacts:
    played = power_cut()
    model, at = Remembered(played).of(played.realm), played.played.start + int(AT_MIN * MINUTE_MS)

    async def read() -> SitrepFacts:
        (sitrep_facts,) = await model._facts(await model.at(at).read(), ("fr",), {}, None)
        return sitrep_facts

    return asyncio.run(read())


def test_withdrawn_lines_of_a_proposal_wait_for_no_decision() -> None:
    """Lines at sites that shelter cannot be approved."""
    proposal = ProposalRow(
        id="p",
        number=1,
        state=ProposalState.OPEN,
        reference="v",
        requested_at=0,
        computed_at=0,
        sites_hit=1,
        elapsed_h=0,
        transit=True,
        telework=True,
        agents=5,
        lines=2,
    )
    facts = replace(_read_facts(), proposal=proposal)
    withdrawn = proposal.model_copy(update={"withdrawn": ("l-1", "l-2")})
    assert count_decisions(replace(facts, proposal=withdrawn)) == count_decisions(facts) - 1
    partly = proposal.model_copy(update={"withdrawn": ("l-1",), "withdrawn_agents": 3})
    section = write_decisions_section(replace(facts, proposal=partly), Citations((), {}))
    assert "2 agents à décider" in " ".join(line.text for line in section.lines)


def test_the_clock_of_a_site_uses_its_announced_end() -> None:
    """Its row keeps none: without it the report would call the return unknown."""
    local = [clock for clock in _read_facts().clocks if clock.site is not None]
    broken = [clock for clock in local if clock.breach_at is not None]
    assert broken
    assert all(
        clock.expected_end is not None and clock.expected_end > clock.breach_at
        for clock in broken
        if clock.breach_at
    )
    assert any(clock.expected_end is not None for clock in local if clock.breach_at is None)


def test_no_foreseen_breach_is_stated_beside_the_unknown_ends() -> None:
    """«0 rupture de DMIA prévue» stood alone while no activity had an announced return."""
    facts = _read_facts()
    open_ended = replace(
        facts,
        activities=tuple(
            activity.model_copy(update={"expected_end": None, "forecast_breach_at": None})
            for activity in facts.activities
        ),
        clocks=tuple(replace(clock, breach_at=None) for clock in facts.clocks),
    )
    essential = " ".join(
        line.text for line in write_essentials_section(open_ended, Citations((), {})).lines
    )
    none = "0 rupture de DMIA prévue d’après les heures annoncées, 30 sans heure de rétablissement"
    assert f"{none}." in essential
    clocks = write_clocks_section(open_ended, Citations((), {}))
    assert clocks.aside.endswith(none)
    assert "sans heure" not in said("essential"), "here each return is announced"


def test_a_breach_at_one_site_is_counted_above_the_table_that_lists_it() -> None:
    """«0 rupture de DMIA prévue» stood above 11 lines «rupture prévue 11:00» of closed schools."""
    facts = _read_facts()
    first = facts.clocks[0]
    flooded = replace(first, site="clg-0921239X", breach_at=facts.at)
    calm = replace(
        facts,
        activities=tuple(
            activity.model_copy(
                update={"state": ActivityState.DEGRADED, "forecast_breach_at": None}
            )
            for activity in facts.activities
        ),
        clocks=(flooded, replace(flooded, breach_at=None)),
        risks=(),
    )
    count = "1 rupture de DMIA prévue d’après les heures annoncées, dont 1 à un seul site"
    clocks = write_clocks_section(calm, Citations((), {}))
    assert clocks.table is not None
    assert sum("rupture prévue" in row.cells[5] for row in clocks.table.rows) == 1
    assert count in clocks.aside
    essential = [line.text for line in write_essentials_section(calm, Citations((), {})).lines]
    assert f"{count}." in essential
    assert count_figures(calm)["activities:breach"] == 1
    (risk,) = write_risks_section(calm, Citations((), {})).lines
    assert risk.text.endswith("2 horloges de sites courent.")


def test_a_card_without_an_object_is_closed_and_not_done() -> None:
    """«1 sur 16 faites» was one card that did not apply. Cards of the return count later."""
    facts = _read_facts()
    card = Card.model_construct(state=CardState.NOT_APPLICABLE, overdue=False, due_at=facts.at)
    later = Card.model_construct(state=CardState.TO_DO, overdue=False, due_at=None)
    plan = facts.plans[0].model_copy(update={"state": PlanState.ACTIVE, "cards": [card, later]})
    section = write_plans_section(replace(facts, plans=(plan,)), Citations((), {}))
    assert section.table is not None
    assert "1 sur 1 closes, 0 en retard" in section.table.note.replace("\u00a0", " ")


def test_sites_without_news_stand_apart_and_every_site_is_counted_once() -> None:
    table = report().sheet("fr").section("sites")
    assert table is not None
    assert table.table is not None
    *poles, total = table.table.rows
    columns = [
        sum(int(c) for c in column if c != "–")
        for column in zip(*(row.cells[1:] for row in poles), strict=True)
    ]
    assert columns == [int(c) if c != "–" else 0 for c in total.cells[1:]]
    assert sum(columns) == 253
    assert columns[4] == report().figures["sites:unknown"] == 14


def test_every_citation_is_a_line_known_at_that_time() -> None:
    document = report()
    lines_by_key = {line.key: line for line in _lines()}
    assert document.sources
    assert [s.n for s in document.sources] == list(range(1, len(document.sources) + 1))
    assert [s.key for s in document.sources] == sorted(s.key for s in document.sources)
    for source in document.sources:
        assert lines_by_key[source.key].id == source.id
        assert source.at <= document.as_of
    assert {n for section in document.sheet("fr").sections for n in section.refs} == {
        s.n for s in document.sources
    }


def _lines() -> list[LineRecord]:
    played = power_cut()

    async def read() -> list[LineRecord]:
        model = Remembered(played)
        return list(await model._list_sitrep_lines((await model.of(played.realm).read()).picture))

    return asyncio.run(read())


def test_unconfirmed_reports_are_marked_and_do_not_count() -> None:
    played = played_to("S04", 80, whole=False)
    document = asyncio.run(Remembered(played).of(played.realm).draft_sitrep())
    claims = document.sheet("fr").section("claims")
    assert claims is not None
    marked = [line for line in claims.lines if line.mark == "unconfirmed"]
    assert len(marked) == document.figures["reports:unconfirmed"] > 0
    assert all("non confirmé" in line.text or "rumeur" in line.text for line in marked)
    essential = document.sheet("fr").section("essential")
    assert essential is not None
    assert not any(line.mark == "unconfirmed" for line in essential.lines)


def test_both_languages_have_the_same_sections_and_citations() -> None:
    french, english = report().sheet("fr"), report().sheet("en")
    assert [s.id for s in french.sections] == [s.id for s in english.sections]
    for one, other in zip(french.sections, english.sections, strict=True):
        assert [line.refs for line in one.lines] == [line.refs for line in other.lines]
    assert "14 sites without news" in said("essential", "en")
    assert "sans nouvelles" not in render_text(report(), "en")


def test_the_same_facts_give_the_same_bytes() -> None:
    played = power_cut()
    again = asyncio.run(Remembered(played).at(report().as_of).of(played.realm).draft_sitrep())
    assert again.frozen() == report().frozen()
    assert hash_document(again.frozen()) == hash_document(
        Document.model_validate_json(report().frozen()).frozen()
    )


def test_a_remark_is_marked_and_changes_the_hash() -> None:
    played = power_cut()
    with_remark = asyncio.run(
        Remembered(played)
        .at(report().as_of)
        .of(played.realm)
        .draft_sitrep(remarks={"partners": "Enedis rappelle à 11:00."}, validated_by="cell")
    )
    partners = with_remark.sheet("fr").section("partners")
    assert partners is not None
    assert (partners.lines[-1].text, partners.lines[-1].mark) == (
        "Enedis rappelle à 11:00.",
        "remark",
    )
    assert with_remark.sheet("fr").draft == ""
    assert hash_document(with_remark.frozen()) != hash_document(report().frozen())


def test_text_fits_a_terminal_and_html_loads_nothing() -> None:
    text = render_text(report(), "fr", stamp="SHA-256 abc")
    assert "PROJET, NON VALIDÉ" in text
    assert "SHA-256 abc" in text
    prose = [line for line in text.splitlines() if line[:2] in ("- ", "! ", "? ", "* ", "+ ")]
    assert prose
    assert max(map(len, prose)) <= WIDTH
    page = render_standalone_html(report(), "fr", "<svg></svg>")
    assert b"http" not in page.body.replace(b"http://www.w3.org/2000/svg", b"")
    assert "style-src 'sha256-" in page.policy


async def test_the_pdf_is_accessible_two_pages_long_and_made_once() -> None:
    setter = Typesetter(OUTLINES(FOLDER))
    one, other = await asyncio.gather(setter.pdf(report(), "fr"), setter.pdf(report(), "fr"))
    assert one is other, "typeset once for both"
    assert b"pdfuaid" in one
    assert b"/Count 2" in one
    assert one.startswith(b"%PDF-")
    assert await Typesetter(OUTLINES(FOLDER)).pdf(report(), "fr") == one, (
        "the same bytes by another process"
    )
    english = await setter.pdf(report(), "en")
    assert english != one


def test_a_document_of_a_live_realm_has_its_pdf_at_any_millisecond() -> None:
    at = report().model_copy(update={"as_of": report().as_of + 487})
    assert b"pdfuaid" in asyncio.run(Typesetter(OUTLINES(FOLDER)).pdf(at, "fr"))


def test_letters_without_a_font_do_not_stop_the_pdf() -> None:
    strange = report().model_copy(
        update={
            "sheets": {"fr": report().sheet("fr").model_copy(update={"intro": "\U0001f525 \u6c34"})}
        }
    )
    made = asyncio.run(Typesetter(OUTLINES(FOLDER)).pdf(strange, "fr"))
    assert made.startswith(b"%PDF-")
    assert b"pdfuaid" not in made, "no claim that does not hold"
