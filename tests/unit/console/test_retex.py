"""Lessons learned come from the log alone: delays, targets, late cards, dependencies (D53)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.base import Command
from schemas.commands import (
    ActivatePlan,
    AddImprovement,
    ArbitrateAlarm,
    CompleteCard,
    MergeIncidents,
    RefusePlan,
    ResolveIncident,
    StandDownPlan,
)
from schemas.continuity import AlarmRaised, ImprovementRow
from schemas.reassignment import ApproveReassignments, ProposalState, ReassignmentRow
from schemas.words import ClockState, SiteStatus
from services.console.documents import queries as documents_queries
from services.console.documents.document import Document, DocumentSection
from services.console.documents.pdf import Typesetter
from services.console.documents.retex import RetexFacts, count_agent_days, draft_retex
from services.console.documents.retex.surroundings import describe_improvement
from services.console.documents.telling import select_cell_lines
from services.console.http.problems import NotFound
from services.console.i18n import get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.logbook.lines import LineRecord
from services.console.texts import words
from services.console.web import times
from services.continuity.state import list_proposal_lines
from services.runtime.secrets.vault import TextItem
from tests.scenarios.memory import MemoryPlayer, played_to
from tests.scenarios.remembered import OUTLINES, Remembered
from tests.shipped import FOLDER

MINUTE = 60_000
STOOD_DOWN = ("PCA-communication", "PT-INCENDIE-SITE")
MOVED = 12
"""Lines of the proposal that were approved."""


class Texts:
    """Texts written by persons."""

    def get_many(self, ids: list[str]) -> dict[str, TextItem]:
        return {
            id: TextItem({"text": "Doubler l’alimentation du siège"}) for id in ids if id == "t-1"
        }


@cache
def worked_crisis() -> MemoryPlayer:
    """Return S04 to T+30 with decisions, then some time later.

    A plan was activated, one card done in time, one alarm arbitrated, one action decided, lines
    approved.
    """
    played = played_to("S04", 30, realm="92~ex-retex", planner=True)
    now, author = (
        played.played.start + 30 * MINUTE,
        {"author": "p-dgs", "role": "dgs_directeur_de_crise"},
    )

    def say(id: str, command: object) -> None:
        played.system.feed("continuity", played.realm, command, id=id, at=now)  # type: ignore[arg-type]

    say("c-1", ActivatePlan(plan="PT-ELEC", **author))
    say("c-2", CompleteCard(plan="PT-ELEC", card="ELE-F01", **author))
    alarms = [
        f.message()
        for f in played.system.facts(played.realm, ["continuity"])
        if f.name == "AlarmRaised"
    ]
    demanded = next(
        a.row for a in alarms if isinstance(a, AlarmRaised) and a.row.demands == "arbitration"
    )
    say("c-3", ArbitrateAlarm(alarm=demanded.id, reason="text:t-0", **author))
    say(
        "c-4",
        AddImprovement(
            text_id="t-1", owner="coordinateur_pca", due_at=now + 30 * 86_400_000, **author
        ),
    )
    state = played.system.services["continuity"].state(played.realm)
    proposal = next(row for row in state.proposals.values() if row.state is ProposalState.OPEN)
    say(
        "c-5",
        ApproveReassignments(
            proposal=proposal.id,
            lines=tuple(line.id for line in list_proposal_lines(state, proposal.id)[:MOVED]),
            **author,
        ),
    )
    for n, kwh in enumerate((120, 80.5)):
        at = now + (20 + n) * MINUTE
        body = {
            "site_id": "cen-4",
            "type": "info",
            "severity": 1,
            "certainty": "confirmed",
            "occurred_at": times.of(at).isoformat(),
        }
        played.report(
            f"shed-{n}",
            body
            | {"measure": {"name": "energy_kwh", "value": kwh, "unit": "kWh", "scope": "site"}},
            at,
        )
    played.system.step(played.realm, now + 60 * MINUTE)
    return played


@cache
def undecided_crisis() -> MemoryPlayer:
    """Return S04 to its end, without decisions of people; tests that change it take a copy."""
    return played_to("S04", 0, realm="92~ex-undecided")


def moved() -> list[ReassignmentRow]:
    return list(
        worked_crisis().system.services["continuity"].state(worked_crisis().realm).moved.values()
    )


@cache
def retex() -> Document:
    played = worked_crisis()
    return asyncio.run(Remembered(played, Texts()).of(played.realm).draft_retex())


def section(id: str, lang: str = "fr") -> DocumentSection:
    document_section = retex().sheet(lang).section(id)
    assert document_section is not None
    return document_section


def rows(id: str) -> list[tuple[str, ...]]:
    table = section(id).table
    assert table is not None
    return [tuple(cell.replace("\u00a0", " ") for cell in row.cells) for row in table.rows]


def test_delays_stand_beside_their_targets() -> None:
    delays = {row[0]: row[1:] for row in rows("delays")}
    plan = (
        worked_crisis().system.services["continuity"].state(worked_crisis().realm).plans["PT-ELEC"]
    )
    waited = times.format_duration(
        timedelta(milliseconds=plan.decided_at - plan.proposed_at), "fr"
    ).replace("\u00a0", " ")
    assert delays["Coupure électrique : de la proposition à la décision"][0] == waited
    assert delays["PCA du pôle Solidarités : de la proposition à la décision"][0] == "pas encore"
    assert delays["Escalade N3, vague 1 : 8 réponses attendues"][:2] == ("pas encore", "10 min")


def test_late_cards_are_listed_with_owner_and_delay() -> None:
    plan = next(row for row in rows("plans") if row[0] == "Coupure électrique")
    late = [line for line in section("plans").lines if line.text.startswith("PT-ELEC")]
    assert plan[1:3] == (
        "Activé",
        f"1 / {len(worked_crisis().system.services['continuity'].state(worked_crisis().realm).plans['PT-ELEC'].cards)}",
    )
    assert int(plan[4]) == len(late) == retex().figures["cards:late"] > 0
    assert all("en retard de" in line.text and line.mark == "late" for line in late)


def test_alarms_count_as_acted_on_only_with_a_written_reason() -> None:
    full = next(row for row in rows("alarms") if row[0] == "RTO 100 %")
    assert full[2] == "1"
    assert retex().figures["alarms:arbitrated"] == 1


def test_an_effect_foreseen_by_the_analysis_is_no_undeclared_dependency() -> None:
    listed_activities = [line.text.split(" ")[0] for line in section("undeclared").lines]
    changed_activities = {
        f.message().row.id
        for f in worked_crisis().system.facts(worked_crisis().realm, ["continuity"])
        if f.name == "ActivityChanged"
    }  # type: ignore[attr-defined]
    assert not changed_activities & set(listed_activities)


def test_improvements_have_owner_date_and_text_without_estimates() -> None:
    ((text, owner, due, state),) = rows("improvements")
    assert (text, state) == ("Doubler l’alimentation du siège", "à faire")
    assert owner
    assert due


def test_the_lessons_learned_name_exercises_and_plans_in_words() -> None:
    sheet = retex().sheets["fr"]
    for text in (sheet.title, sheet.footer):
        assert "92~" not in text
    assert not [cells for cells in rows("delays") if re.match(r"P[CT]A?-", cells[0])]


def test_an_action_that_ended_says_when_and_why() -> None:
    facts: Any = SimpleNamespace(
        _=get_translator("fr"), lang="fr", texts={"t-2": "un marché couvre déjà ce besoin"}
    )
    row = ImprovementRow(
        id="i-1",
        text_id="t-1",
        owner="coordinateur_pca",
        due_at=0,
        opened_at=0,
        opened_by="p",
        closed_at=1_802_340_000_000,
        state="dropped",
        reason="text:t-2",
    )
    text = describe_improvement(row, facts).replace("\u00a0", " ")
    assert re.fullmatch(r"abandonnée le \w+\. \d\d/\d\d : un marché couvre déjà ce besoin", text), (
        text
    )
    erased = describe_improvement(row.model_copy(update={"reason": "text:gone"}), facts)
    assert re.fullmatch(r"abandonnée le \w+\. \d\d/\d\d", erased)
    done = describe_improvement(row.model_copy(update={"state": "done", "reason": None}), facts)
    assert done.startswith("faite le ")


def test_the_environment_section_lists_actions_and_measured_effects() -> None:
    """D61: cards with measurable effects and sums of reports, without estimates."""
    assert rows("environment") == [
        (
            "CO2 des réaffectations, calculé",
            f"{words.format_number(retex().figures['moves:co2_g'] / 1000, 'fr')} kg",
            "",
        ),
        ("énergie délestée", "200,5 kWh", "2"),
    ]
    shedding, *later = sorted(
        (line.text for line in section("environment").lines),
        key=lambda text: "Lire l’autonomie" not in text,
    )
    assert shedding.startswith("PT-ELEC, Lire l’autonomie")
    assert "\u00a0: faite jeu" in shedding
    assert "effet non mesuré" not in shedding
    assert sorted(later) == [
        "PT-ELEC, Délester dans l’ordre\u00a0: à faire.",
        "PT-ELEC, Passer aux repas froids\u00a0: à faire.",
    ]
    (incident,) = retex().incidents
    alone = asyncio.run(
        Remembered(worked_crisis(), Texts())
        .of(worked_crisis().realm)
        .draft_retex(incident=incident)
    ).sheet("fr")
    mine = alone.section("environment")
    assert mine is not None
    assert mine.table is not None
    assert [row.cells[0] for row in mine.table.rows] == [
        "CO2 des réaffectations, calculé",
        "énergie délestée",
    ], "a word on a site is its incident's"


def facts_of(read: Remembered, realm: str, incident: str | None = None) -> list[RetexFacts]:
    """Return the data of the RETEX, one for each language."""
    facts_by_language: list[RetexFacts] = []

    def draft(by_lang: Sequence[RetexFacts]) -> Document:
        facts_by_language.extend(by_lang)
        return draft_retex(by_lang)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents_queries, "draft_retex", draft)
        asyncio.run(read.of(realm).draft_retex(incident=incident))
    return facts_by_language


def test_the_work_of_the_cell_lists_deeds_of_people_with_their_words() -> None:
    """D53: a reminder of the system and a plain note are no deed; a decision is, in its words."""
    facts_by_language = facts_of(Remembered(worked_crisis(), Texts()), worked_crisis().realm)
    notes = [
        LineRecord(
            key=f"9{kind}",
            id=kind,
            type="NoteAdded",
            kind=kind,
            occurred_at=0,
            recorded_at=0,
            author="p-dgs",
            place="alerts/0/1/0",
            text_id=text,
        )
        for kind, text in (("decision", "t-8"), ("communication", "t-9"), ("note", "t-1"))
    ]
    texts = {"t-8": "Accueils regroupés", "t-1": "Rien de neuf"}
    cell_facts = [
        replace(facts, lines=[*facts.lines, *notes], texts=texts) for facts in facts_by_language
    ]
    cell_section = draft_retex(cell_facts).sheet("fr").section("cell")
    assert cell_section is not None
    assert cell_section.table is not None
    section_text = " / ".join(line.text for line in cell_section.lines)
    assert "Accueils regroupés" in section_text
    assert "Note de la cellule" in section_text, "an erased text leaves its line"
    assert "Rien de neuf" not in section_text
    counts = {row.cells[0]: row.cells[1] for row in cell_section.table.rows}
    assert counts["Décisions, appels et conférences notés"] == "2"
    assert all(row.refs for row in cell_section.table.rows)
    assert len(cell_section.lines) == 2, "the system proposed plans and called the cell"


def test_the_retex_of_an_incident_has_the_lines_of_the_whole_cell() -> None:
    """Presence and handovers name no incident; those during the incident belong to it."""
    (incident,) = retex().incidents
    read = Remembered(worked_crisis(), Texts())
    (facts, *_more) = facts_of(read, worked_crisis().realm, incident)
    cell = [line for line in facts.lines if line.type == "CellStaffingChanged"]
    assert cell
    assert [line.key for line in facts.lines] == sorted(
        (line.key for line in facts.lines), reverse=True
    )
    first = min(line.recorded_at for line in cell)
    assert select_cell_lines(cell, first + 1, None) == cell[:-1]
    assert select_cell_lines(cell, first, first) == cell[-1:]


def test_the_retex_of_an_incident_includes_those_merged_into_it() -> None:
    """D53: alarms, plans, calls and lines of the merged incident stood in no RETEX at all."""
    played = undecided_crisis().copy()
    now = played.played.start + 40 * MINUTE
    (before,) = played.system.services["alerts"].state(played.realm).incidents.values()
    author = {"author": "p-dgs", "role": "dgs_directeur_de_crise", "reason": "text:t-0"}
    fire = {
        "site_id": "cen-4",
        "type": "fire",
        "severity": 4,
        "certainty": "confirmed",
        "occurred_at": times.of(now).isoformat(),
    }
    played.report("fire", fire, now)
    state = played.system.services["alerts"].state(played.realm)
    (fire_incident,) = set(state.open_incidents) - {before.id}
    (alone, *_more) = facts_of(Remembered(played, Texts()), played.realm, before.id)
    merge = MergeIncidents(incident=before.id, into=fire_incident, **author)
    played.system.feed("alerts", played.realm, merge, id="merge", at=now + MINUTE)
    (merged, *_more) = facts_of(Remembered(played, Texts()), played.realm, fire_incident)
    assert alone.alarms
    assert {row.id for row in alone.alarms} <= {row.id for row in merged.alarms}
    assert {row.id for row in alone.notifications} <= {row.id for row in merged.notifications}
    assert {row.id for row in alone.escalations} <= {row.id for row in merged.escalations}
    assert {plan.id for plan in alone.plans} <= {plan.id for plan in merged.plans}
    assert {line.key for line in alone.lines} <= {line.key for line in merged.lines}


def test_missing_measurements_are_named_in_plain_words() -> None:
    facts_by_language = facts_of(Remembered(worked_crisis(), Texts()), worked_crisis().realm)
    nothing = (
        draft_retex([replace(facts, reports=(), reassignments=()) for facts in facts_by_language])
        .sheet("fr")
        .section("environment")
    )
    assert nothing is not None
    text = nothing.lines[-1].text
    assert text.endswith("personnes accueillies au frais, batardeaux et barrières posés.")
    assert "_" not in text


def test_an_unmeasured_gesture_is_marked() -> None:
    facts_by_language = facts_of(Remembered(worked_crisis(), Texts()), worked_crisis().realm)
    unmeasured = (
        draft_retex([replace(facts, reports=()) for facts in facts_by_language])
        .sheet("fr")
        .section("environment")
    )
    assert unmeasured is not None
    assert any(
        "Lire l’autonomie" in line.text
        and line.text.endswith(", effet non mesuré (énergie délestée).")
        for line in unmeasured.lines
    )


def test_moved_agents_are_counted_in_days_travel_co2_and_money() -> None:
    """One Thursday morning: each agent one day; travel and CO2 there and back."""
    lines = moved()
    agents, grams = sum(row.count for row in lines), sum(row.count * row.grams for row in lines)
    assert agents > 2
    title, agent_count, days, at_home, hours, co2, cost = rows("moves")[0]
    assert (title, int(agent_count), int(days)) == ("Ensemble", agents, agents)
    assert float(hours.replace(",", ".")) == pytest.approx(
        sum(2 * row.count * row.minutes for row in lines) / 60, abs=0.06
    )
    assert float(co2.replace(",", ".")) == pytest.approx(grams / 1000, abs=0.06)
    assert at_home == format_small_count(sum(row.count for row in lines if row.place == "telework"))
    assert int(cost.replace("\u202f", "").replace(" ", "")) == agents * 230
    activities = {row[0].split(" ")[0] for row in rows("moves")[1:]}
    assert activities == {row.need_activity or row.activity for row in lines}
    assert (retex().figures["agent-days"], retex().figures["moves:co2_g"]) == (agents, grams)
    note = section("moves").table
    assert note is not None
    assert f"{agents} agents sans arrivée dite" in note.note
    assert (
        "Coût\u00a0: 230 € l’agent-jour. Chiffre provisoire des données de référence" in note.note
    )
    assert all(row.refs for row in note.rows[1:]), "each cites the decision"


@pytest.mark.parametrize(
    ("came", "went", "days"),
    [
        ("2027-02-12T09:00", "2027-02-12T18:00", 1),
        ("2027-02-12T09:00", "2027-02-16T10:00", 3),
        ("2027-02-13T09:00", "2027-02-14T10:00", 1),
    ],
)
def test_a_started_day_counts_and_a_weekend_does_not(came: str, went: str, days: int) -> None:
    """A Friday; a Friday to a Tuesday; a weekend, which is one day all the same."""
    at = [
        int(datetime.fromisoformat(t).replace(tzinfo=times.PARIS).timestamp() * 1000)
        for t in (came, went)
    ]
    row = moved()[0].model_copy(update={"count": 4, "arrived_at": at[0], "ended_at": at[1]})
    assert count_agent_days(row, times.of(at[1])) == 4 * days


def test_a_point_de_situation_counts_moved_agents_and_waiting_decisions() -> None:
    """D54: decisions to take, staff as counts; strategies in words, not as codes."""
    played = worked_crisis()
    sheet = asyncio.run(Remembered(played, Texts()).of(played.realm).draft_sitrep()).sheet("fr")
    staff, decisions = sheet.section("staff"), sheet.section("decisions")
    assert staff is not None
    assert staff.table is not None
    assert decisions is not None
    agents = sum(row.count for row in moved())
    counted = next(
        row for row in staff.table.rows if row.cells[0] == "Agents réaffectés, ordres partis"
    )
    assert counted.cells[1] == str(agents)
    assert counted.refs, "it cites the decision"
    proposal = next(
        p
        for p in played.system.services["continuity"].state(played.realm).proposals.values()
        if p.state is ProposalState.OPEN
    )
    waiting = proposal.agents - sum(d.agents for d in proposal.decisions)
    decision_texts = [
        line.text.replace("\u00a0", " ").replace("\u202f", "") for line in decisions.lines
    ]
    assert f"Réaffectation n° {proposal.number} : {waiting} agents à décider." in decision_texts
    assert not any("SR-" in text for text in decision_texts)
    unsettled = [
        row
        for row in played.system.services["continuity"].state(played.realm).alarms.values()
        if row.demands == "arbitration"
    ]
    settlement_texts = [text for text in decision_texts if "arbitrage" in text]
    assert len(settlement_texts) == 5, (
        "four, the most critical first, and how many there are besides"
    )
    assert "(CPL-01) : RTO consommé" in settlement_texts[0], "no code stands alone"
    assert settlement_texts[4] == f"et {len(unsettled) - 4} autres arbitrages à écrire."


def test_a_debriefing_of_one_incident_needs_a_known_one() -> None:
    played = worked_crisis()
    with pytest.raises(NotFound):
        asyncio.run(Remembered(played).of(played.realm).draft_retex(incident="no-such"))
    (incident,) = retex().incidents
    alone = asyncio.run(Remembered(played, Texts()).of(played.realm).draft_retex(incident=incident))
    assert alone.incidents == (incident,)
    assert [s.id for s in alone.sheet("fr").sections] == [
        s.id for s in retex().sheet("en").sections
    ]


@cache
def ended_crisis() -> MemoryPlayer:
    """Return S04 to its end, with its sites open again.

    Two plans were activated and stood down an hour later, one was refused, the incident was
    closed. Then 23 hours passed, one less than bring a refused plan back.
    """
    played = undecided_crisis().copy()
    author = {"author": "p-dgs", "role": "dgs_directeur_de_crise"}
    continuity, now = played.system.services["continuity"], played.played.end + MINUTE

    def say(service: str, command: Command, at: int) -> None:
        played.system.feed(service, played.realm, command, id=f"c-{command!r}", at=at)

    (incident,) = played.system.services["alerts"].state(played.realm).incidents.values()
    for plan in STOOD_DOWN:
        say("continuity", ActivatePlan(plan=plan, incident=incident.id, **author), now)
    say("continuity", RefusePlan(plan="PT-ELEC", reason="text:t-0", **author), now)
    hit = (
        h
        for h in continuity.state(played.realm).sites.values()
        if h.causes or h.status is not SiteStatus.NORMAL
    )
    for n, site_row in enumerate(sorted(hit, key=lambda h: h.site), start=1):
        lifts = sorted({cause.type.value for cause in site_row.causes})
        body = {
            "site_id": site_row.site,
            "type": "reopening",
            "severity": 1,
            "certainty": "confirmed",
            "occurred_at": times.of(now + n).isoformat(),
        }
        played.report(f"open-{n}", body | {"lifts": lifts} if lifts else body, now + n)
    played.system.step(played.realm, now + 60 * MINUTE)
    for plan in STOOD_DOWN:
        say(
            "continuity",
            StandDownPlan(plan=plan, force=True, reason="text:t-0", **author),
            now + 60 * MINUTE,
        )
    say(
        "alerts",
        ResolveIncident(incident=incident.id, force=True, reason="text:t-0", **author),
        now + 60 * MINUTE,
    )
    played.system.step(played.realm, now + 23 * 60 * MINUTE)
    return played


@pytest.fixture(scope="module")
def ended() -> Document:
    played = ended_crisis()
    (incident,) = asyncio.run(Remembered(played).of(played.realm).draft_retex()).incidents
    return asyncio.run(Remembered(played).of(played.realm).draft_retex(incident=incident))


def cells_of(document: Document, id: str) -> dict[str, tuple[str, ...]]:
    document_section = document.sheet("fr").section(id)
    assert document_section is not None
    assert document_section.table is not None
    return {
        row.cells[0].replace("\u00a0", " "): tuple(
            cell.replace("\u00a0", " ") for cell in row.cells[1:]
        )
        for row in document_section.table.rows
    }


def test_an_ended_incident_still_lists_its_held_limits(ended: Document) -> None:
    """An activity that is well again names no incident any more."""
    verdicts = {name.split(" ")[0]: cells[-1] for name, cells in cells_of(ended, "real").items()}
    assert verdicts["COM-01"] == "DMIA dépassée"
    assert verdicts["RHF-01"] == "tenu"
    assert ended.sheet("fr").draft == ""


def test_the_delay_of_a_decision_ends_with_the_decision_not_with_the_stand_down(
    ended: Document,
) -> None:
    plan = (
        ended_crisis()
        .system.services["continuity"]
        .state(ended_crisis().realm)
        .plans["PCA-communication"]
    )
    assert plan.decided_at is not None
    assert plan.proposed_at is not None
    waited = timedelta(milliseconds=plan.decided_at - plan.proposed_at) - timedelta(hours=1)
    assert cells_of(ended, "delays")["PCA du pôle Communication : de la proposition à la décision"][
        0
    ] == times.format_duration(waited, "fr").replace("\u00a0", " ")


def test_cards_are_late_until_the_stand_down_and_those_of_a_refused_plan_never(
    ended: Document,
) -> None:
    """Delays count from the trigger: one plan's was the activation, the other's was hours before."""
    section = ended.sheet("fr").section("plans")
    assert section is not None
    lines = [line.text.replace("\u00a0", " ") for line in section.lines]
    fire = [line.rsplit(": ", 1)[1] for line in lines if line.startswith("PT-INCENDIE-SITE")]
    assert fire == ["en retard de 55 min.", "en retard de 30 min."]
    assert "en retard de 4 h 57." in lines[0], "until the stand-down, a day ago"
    assert not [line for line in lines if line.startswith("PT-ELEC")]
    assert (ended.figures["cards"], ended.figures["cards:late"]) == (20, 10)
    assert cells_of(ended, "plans")["Coupure électrique"] == ("Refusé", "–", "–", "–")


def test_a_limit_broken_in_an_earlier_interruption_is_not_held(ended: Document) -> None:
    facts_by_language = facts_of(
        Remembered(ended_crisis()), ended_crisis().realm, ended.incidents[0]
    )

    def short(facts: RetexFacts) -> RetexFacts:
        """Return the activities as after a short last interruption of each."""
        clocks = (
            (
                a,
                a.rto.model_copy(update={"consumed_pct": 3.0}),
                a.mtpd.model_copy(update={"consumed_pct": 3.0}),
            )
            for a in facts.activities
        )
        return replace(
            facts,
            activities=[a.model_copy(update={"rto": rto, "mtpd": mtpd}) for a, rto, mtpd in clocks],
        )

    verdicts = {
        name.split(" ")[0]: cells[-1]
        for name, cells in cells_of(
            draft_retex([short(facts) for facts in facts_by_language]), "real"
        ).items()
    }
    assert verdicts["COM-01"] == "DMIA dépassée, à une interruption précédente"
    assert verdicts["RHF-01"] == "tenu"


def test_a_limit_with_a_running_clock_is_not_held(ended: Document) -> None:
    facts_by_language = facts_of(
        Remembered(ended_crisis()), ended_crisis().realm, ended.incidents[0]
    )

    def running(facts: RetexFacts) -> RetexFacts:
        """Return the activities as still below their minimum, with time left."""
        running_clock = {"state": ClockState.RUNNING, "consumed_pct": 3.0}
        return replace(
            facts,
            activities=[
                a.model_copy(
                    update={
                        "rto": a.rto.model_copy(update=running_clock),
                        "mtpd": a.mtpd.model_copy(update=running_clock),
                    }
                )
                for a in facts.activities
            ],
        )

    verdicts = {
        name.split(" ")[0]: cells[-1]
        for name, cells in cells_of(
            draft_retex([running(facts) for facts in facts_by_language]), "real"
        ).items()
    }
    assert verdicts["RHF-01"] == "en cours"


async def test_the_pdf_is_accessible() -> None:
    made = await Typesetter(OUTLINES(FOLDER)).pdf(retex(), "fr")
    assert b"pdfuaid" in made
