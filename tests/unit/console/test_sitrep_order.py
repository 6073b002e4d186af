"""A point de situation states danger first, and no figure that is over or withdrawn (D54)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from schemas.base import MINUTE_MS
from schemas.commands import IssueSitrep, ReopenIncident, ResolveIncident
from services.console.documents.document import Document
from services.console.documents.handover import SITUATION_LINES
from tests.scenarios.memory import MemoryPlayer, scenario
from tests.scenarios.remembered import Remembered
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, START
from tests.unit.console.test_every_screen import crisis as crisis_of_screens

SCHOOLS = ("clg-0921353W", "pmi-04", "sst-05", "cen-2", "bib-01")
CELL: dict[str, Any] = {"author": "coord", "role": "coordinateur_pca"}


@cache
def opened() -> MemoryPlayer:
    """Return an exercise without reports, which each test copies."""
    return MemoryPlayer(scenario("S04"), "92~ex-order")


class Crisis:
    """One exercise with reports of its own."""

    def __init__(self) -> None:
        self.player = opened().copy()
        self.start = self.player.played.start

    def at(self, minute: float) -> int:
        return self.start + int(minute * MINUTE_MS)

    def report(self, id: str, minute: float, type: str, **fields: Any) -> None:
        source = fields.pop("source", "site_manager")
        body = {"type": type, "severity": 3, "alias": id, "source": {"name": source}}
        at = self.at(minute)
        occurred_at = datetime.fromtimestamp(at / 1000, UTC).isoformat()
        self.player.system.step(self.player.realm, at)
        self.player.report(id, body | {"occurred_at": occurred_at} | fields, at)

    def decide(self, minute: float, kind: type[Any], incident: str, **fields: Any) -> None:
        at = self.at(minute)
        self.player.system.step(self.player.realm, at)
        command = kind(**CELL, reason="text:x", incident=incident, **fields)
        self.player.system.feed(
            "alerts", self.player.realm, command, id=f"{kind.__name__}-{minute}", at=at
        )

    @property
    def incidents(self) -> list[Any]:
        state = self.player.system.services["alerts"].state(self.player.realm)
        return [state.incidents[id] for id in state.open_incidents]

    def draft(self, **options: Any) -> Document:
        model = Remembered(self.player).of(self.player.realm)
        return asyncio.run(model.draft_sitrep(**options))

    def lines(self, section: str, **options: Any) -> list[str]:
        part = self.draft(**options).sheet("fr").section(section)
        assert part is not None
        rows = part.table.rows if part.table is not None else ()
        texts = [*(line.text for line in part.lines), *(" | ".join(r.cells) for r in rows)]
        return [text.replace("\u00a0", " ").replace("\u202f", " ") for text in texts]


@pytest.fixture
def crisis() -> Crisis:
    return Crisis()


def report_outages(crisis: Crisis, minute: float) -> None:
    """Report an outage of heating, graver than the danger and newer, at each of these sites."""
    for number, site in enumerate(SCHOOLS):
        crisis.report(f"h-{number}", minute + number, "outage_heating", site_id=site, severity=4)


def test_danger_stands_before_graver_incidents_and_none_is_left_out(crisis: Crisis) -> None:
    crisis.report("gas", 0, "gas_leak", site_id="par-05")
    report_outages(crisis, 5)
    assert len(crisis.incidents) == 6
    lines = crisis.lines("essential")
    assert "Fuite de gaz" in lines[0], lines
    assert lines[1].startswith("Des personnes peuvent être en danger : ")


def test_an_incident_that_is_over_endangers_no_person(crisis: Crisis) -> None:
    crisis.report("gas", 0, "gas_leak", site_id="par-05")
    crisis.report("end", 20, "reopening", site_id="par-05", severity=1, lifts=["gas_leak"])
    assert [i.danger for i in crisis.incidents] == [True]
    lines = crisis.lines("essential")
    assert "rétablissement constaté à 10:00" in lines[0]
    assert not [line for line in lines if "danger" in line]


async def test_requests_for_help_come_first_with_their_site() -> None:
    """D37: a point de situation and a handover left them out."""
    realm_state = crisis_of_screens()
    headcount = {
        "id": "c-1",
        "kind": "headcount",
        "state": "done",
        "text_id": "t",
        "sites": ("pmi-04",),
        "level": 0,
        "by": "p-1",
        "drafted_at": START,
        "started_at": START,
        "ended_at": START,
        "people": 9,
        "safe": 6,
        "help": 3,
    }
    realm_state.put("callouts", headcount)
    browser, _ = browsing(realm_state)
    answer = await browser.get(f"/api/v1/sitreps/draft?realm={REALM}&format=text")
    essentials = answer.text.replace("\u00a0", " ").partition("L’ESSENTIEL")[2]
    first = essentials.partition("\n\n")[0]
    assert " : 3 personnes demandent de l’aide." in first


def test_missing_people_come_first_with_their_site(crisis: Crisis) -> None:
    report_outages(crisis, 0)
    crisis.report("fire", 10, "fire", site_id="par-05", severity=4)
    crisis.report(
        "count",
        15,
        "headcount",
        site_id="par-05",
        severity=1,
        measure={"name": "headcount_found", "value": 37, "value_of": 40},
    )
    first = crisis.lines("essential")[0]
    assert first.endswith(" : 3 personnes ne sont pas retrouvées."), first
    row = next(row for row in crisis.lines("staff") if "Recensement" in row)
    assert row.endswith("37 / 40")


def count(crisis: Crisis, id: str, minute: float, site: str, found: int, expected: int) -> None:
    crisis.report(
        id,
        minute,
        "headcount",
        site_id=site,
        severity=1,
        measure={"name": "headcount_found", "value": found, "value_of": expected},
    )


def test_headcounts_with_missing_people_stand_before_larger_complete_ones(crisis: Crisis) -> None:
    for number, site in enumerate(SCHOOLS):
        crisis.report(f"f-{number}", number, "fire", site_id=site, severity=4)
        count(crisis, f"c-{number}", 10, site, 300 + number, 300 + number)
    count(crisis, "small", 20, SCHOOLS[0], 8, 12)
    rows = [row for row in crisis.lines("staff") if "Recensement" in row]
    assert rows[0].endswith("8 / 12")


def test_a_headcount_of_a_closed_incident_leaves_the_report(crisis: Crisis) -> None:
    crisis.report("fire", 0, "fire", site_id="par-05", severity=4)
    count(crisis, "count", 5, "par-05", 40, 40)
    (incident,) = [i.id for i in crisis.incidents]
    crisis.decide(30, ResolveIncident, incident, force=True)
    crisis.report("heat", 60, "outage_heating", site_id="pmi-04", severity=4)
    assert not [row for row in crisis.lines("staff") if "Recensement" in row]
    crisis.decide(70, ReopenIncident, incident)
    assert [row for row in crisis.lines("staff") if "Recensement" in row]


def test_a_withdrawn_report_gives_no_figure_and_no_word_of_its_partner(crisis: Crisis) -> None:
    crisis.report("one", 0, "evacuation", site_id="pmi-04", severity=4, persons_concerned=20)
    crisis.report(
        "wrong",
        5,
        "evacuation",
        site_id="sst-05",
        severity=4,
        persons_concerned=300,
        references=["one"],
        source="pompiers",
    )
    assert "320 personnes concernées" in crisis.lines("essential")[0]
    crisis.report(
        "sorry",
        9,
        "evacuation",
        site_id="sst-05",
        severity=4,
        msg_type="Cancel",
        references=["wrong"],
        source="pompiers",
    )
    first = crisis.lines("essential")[0]
    assert ", 1 site, 20 personnes concernées" in first, first
    assert not [line for line in crisis.lines("partners") if "vacuation" in line]


def test_a_partner_of_a_former_crisis_leaves_the_report(crisis: Crisis) -> None:
    crisis.report("fire", 0, "fire", site_id="par-05", severity=4, source="pompiers")
    (incident,) = [i.id for i in crisis.incidents]
    assert [line for line in crisis.lines("partners") if "ompiers" in line]
    crisis.decide(30, ResolveIncident, incident, force=True)
    crisis.report("heat", 60, "outage_heating", site_id="pmi-04", severity=4)
    assert not [line for line in crisis.lines("partners") if "ompiers" in line]


def test_an_unconfirmed_danger_stands_before_newer_rumours(crisis: Crisis) -> None:
    crisis.report("fire", 0, "fire", site_id="par-05", certainty="unconfirmed")
    for number, site in enumerate((*SCHOOLS, "eau-06", "cen-1")):
        crisis.report(
            f"r-{number}", number + 1, "outage_water", site_id=site, certainty="unconfirmed"
        )
    document = crisis.draft()
    claims = document.sheet("fr").section("claims")
    assert claims is not None
    assert claims.lines[0].text.startswith("Incendie")
    assert claims.lines[0].mark == "unconfirmed"
    assert document.figures["reports:unconfirmed"] == 8


def test_a_shelter_order_is_a_change_since_the_last_report(crisis: Crisis) -> None:
    crisis.report("heat", 0, "outage_heating", site_id="pmi-04", severity=4)
    document = crisis.draft()
    issued = IssueSitrep(
        **CELL,
        number=1,
        as_of=document.as_of,
        text_id="t-1",
        sha256="ab" * 32,
        counts=document.figures,
        incidents=document.incidents,
    )
    crisis.player.system.feed(
        "continuity", crisis.player.realm, issued, id="issued", at=crisis.at(2)
    )
    crisis.report("in", 5, "shelter_in_place", site_id="sst-05", severity=4)
    assert "sites confinés : 0 → 1" in crisis.lines("evolution")[0]


def test_a_validated_report_names_its_recipients(crisis: Crisis) -> None:
    crisis.report("heat", 0, "outage_heating", site_id="pmi-04", severity=4)
    text = crisis.lines(
        "validation", validated_by="coordinateur_pca", recipients=("dgs_directeur_de_crise",)
    )[-1]
    assert "préfecture" not in text
    assert "irection" in text or "DGS" in text
    nobody = crisis.lines("validation", validated_by="coordinateur_pca")[-1]
    assert nobody.endswith("aucun message envoyé")
    assert "………" in crisis.lines("validation")[-1]


def test_a_handover_keeps_all_dangers_within_its_lines(crisis: Crisis) -> None:
    crisis.report("gas", 0, "gas_leak", site_id="par-05")
    report_outages(crisis, 5)
    lines = crisis.lines("essential")[:SITUATION_LINES]
    assert [line for line in lines if "danger" in line]


@pytest.mark.parametrize(("people", "shown"), [(2, "< 3 personnes"), (3, "3 personnes")])
def test_a_situation_report_gives_no_small_number_of_people(
    crisis: Crisis, people: int, shown: str
) -> None:
    """D58."""
    crisis.report("one", 0, "evacuation", site_id="pmi-04", severity=4, persons_concerned=people)
    assert f", {shown} concernées" in crisis.lines("essential")[0]
