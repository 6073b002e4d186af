"""Screens show people in danger before other facts (D78, D79, D82)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from schemas.alerts import SiteRow
from schemas.reassignment import ReassignmentRow
from schemas.words import ActivityState, ClockState
from services.console.attention.cell_page import build_site_line, group_lines
from services.console.continuity.plans_screen import list_next_strategies
from services.console.continuity.resources import Activity
from services.console.documents.sitrep.continuity import _list_next_strategies
from services.console.documents.sitrep.situation import _write_vulnerable_line
from services.console.i18n import get_translator
from services.console.read_model.shapes import Shaper
from services.console.reassignment.agent_counts import describe_confinement
from services.console.reassignment.page import group_lines as group_decisions
from services.console.reassignment.resources import ReassignmentLine
from services.console.sites.geometry import load_outlines
from tests.shipped import FOLDER
from tests.unit.console.held import browsing, reference
from tests.unit.console.test_every_screen import REALM, START, clocked, crisis, shown, site

NOW = datetime.fromtimestamp(START / 1000, UTC)
COUNTED = {"found": 208, "expected": 214, "at": START, "report": "r-2"}


@pytest.mark.parametrize(
    ("status", "headcount", "said"),
    [
        ("sheltering", None, "confinés : personne ne sort"),
        ("evacuated", None, "comptage en cours"),
        ("evacuated", COUNTED, "comptage en cours : 208 sur 214"),
    ],
)
async def test_a_site_without_departures_is_marked_as_such(
    status: str, headcount: dict[str, object] | None, said: str
) -> None:
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": status, "headcount": headcount})
    browser, _ = browsing(realm_state)
    assert said in await shown(browser, "/sites/pmi-01")
    assert said in await shown(browser, "/reaffectation")


async def test_agents_of_an_uncounted_site_are_shown_as_an_estimate() -> None:
    """D78: after an hour without a count the proposal rests on the staff planned there."""
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": "evacuated"})
    realm_state.put(
        "proposals",
        {
            "id": "p-1",
            "number": 1,
            "state": "open",
            "reference": "v1",
            "requested_at": START,
            "computed_at": START,
            "sites_hit": 1,
            "elapsed_h": 1.0,
            "transit": True,
            "telework": True,
            "estimated": ["pmi-01"],
        },
    )
    browser, _ = browsing(realm_state)
    page = await shown(browser, "/reaffectation")
    assert "Effectif estimé" in page
    assert "comptage non fait" in page
    assert "Personne ne sort" not in page


async def test_a_proposed_headcount_is_one_button() -> None:
    """D79: on the page of the site, on the manager's own and in the cell."""
    realm_state = crisis()
    realm_state.put("sites", site() | {"status": "evacuated"})
    realm_state.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "headcount",
            "state": "open",
            "opened_at": START,
            "site": "pmi-01",
            "incident": "i-1",
        },
    )
    browser, _ = browsing(realm_state)
    for path in ("/sites/pmi-01", "/?vue=taches"):
        page = await browser.get(f"{path}{'&' if '?' in path else '?'}realm={REALM}")
        assert "Recensement à lancer" in page.text
        assert 'action="/api/v1/headcounts"' in page.text
        assert '<input type="hidden" name="sites" value="pmi-01" data-type="list">' in page.text


async def test_a_site_with_a_complete_headcount_shows_no_headcount() -> None:
    realm_state = crisis()
    realm_state.put(
        "sites", site() | {"status": "evacuated", "headcount": COUNTED | {"found": 214}}
    )
    browser, _ = browsing(realm_state)
    assert "Personne ne sort" not in await shown(browser, "/reaffectation")


async def test_the_situation_report_names_affected_vulnerable_people() -> None:
    browser, _ = browsing(crisis())
    assert "Publics vulnérables touchés : " in await shown(browser, "/sitrep")


def test_sites_of_vulnerable_people_come_first_among_equals() -> None:
    """Closed at the same minute: a home for children before a sports ground, with any ids."""
    shape = Shaper(REALM, reference(), load_outlines(FOLDER), "fr")
    shut = {"status": "closed", "since": START, "capacity_pct": 0}
    lines = [
        build_site_line(
            shape.site(shape.reference.sites[id], SiteRow(id=id, **shut)),
            None,
            get_translator("fr"),
        )
        for id in ("log-01", "mdph-01", "par-01")
    ]
    (group,) = group_lines(lines, datetime.fromtimestamp(START / 1000, UTC), get_translator("fr"))
    assert group.lines[0].id == "mdph-01"


@pytest.mark.parametrize(
    ("arrived", "said"), [(1, "dont 1 arrivé en renfort"), (212, "dont 212 arrivés en renfort")]
)
async def test_an_activity_tells_how_many_agents_came_to_help(arrived: int, said: str) -> None:
    """D81: its capacity counts them."""
    realm_state = crisis()
    realm_state.put("activities", clocked("CPL-01", START, arrived=arrived))
    browser, _ = browsing(realm_state)
    assert said in await shown(browser, "/activites?activite=CPL-01")


def activity(id: str, **fields: object) -> Activity:
    """Return an interrupted activity with a running DMIA and a next strategy."""
    shape = Shaper(REALM, reference(), load_outlines(FOLDER), "fr")
    shown_activity = shape.activity(shape.reference.activities[id], None)
    running = shown_activity.mtpd.model_copy(
        update={"state": ClockState.RUNNING, "started_at": NOW - timedelta(hours=1)}
    )
    usual = {
        "state": ActivityState.INTERRUPTED,
        "criticality": 1,
        "capacity_pct": 0.0,
        "mbco_pct": 50.0,
        "mtpd": running,
        "next_strategy": "SR-DEG:x",
    }
    return shown_activity.model_copy(update=usual | fields)


def test_strategies_of_vulnerable_people_are_decided_first_among_equals() -> None:
    """The page of plans put the largest shortfall first, and shows eight activities only."""
    activities = [
        activity("COM-05", vulnerable_public=0),
        activity("SOL-07", vulnerable_public=3, capacity_pct=40.0),
        activity("SOL-08", vulnerable_public=2),
        activity("SOL-02", vulnerable_public=3, criticality=2),
    ]
    order = ["SOL-07", "SOL-08", "COM-05", "SOL-02"]
    listed = list_next_strategies(activities, get_translator("fr"))
    assert [one.activity for one in listed] == order
    alarms = [
        SimpleNamespace(activity=one.id, demands="next_strategy", raised_at=NOW)
        for one in activities
    ]
    facts: Any = SimpleNamespace(alarms=alarms, activities=activities)
    assert [id for id, _strategy in _list_next_strategies(facts)] == order


def test_the_situation_report_names_sites_and_work_of_vulnerable_people_from_two_on() -> None:
    shape = Shaper(REALM, reference(), load_outlines(FOLDER), "fr")

    def closed(id: str, vulnerable: int) -> Any:
        shut = SiteRow.model_validate(
            {"id": id, "status": "closed", "since": START, "capacity_pct": 0}
        )
        shown_site = shape.site(shape.reference.sites[id], shut)
        return shown_site.model_copy(update={"vulnerable_public": vulnerable, "name": f"lieu-{id}"})

    facts: Any = SimpleNamespace(
        _=get_translator("fr"),
        sites=[closed("log-01", 1), closed("pmi-01", 2), closed("mdph-01", 3)],
        activities=[
            activity("COM-05", vulnerable_public=1, name="un"),
            activity("SOL-07", vulnerable_public=2, name="deux"),
            activity("SOL-08", vulnerable_public=3, name="trois"),
            activity("SOL-02", vulnerable_public=3, name="nominale", state=ActivityState.NOMINAL),
        ],
    )
    (line,) = _write_vulnerable_line(facts, Mock(**{"of.return_value": ()}))
    assert "lieu-mdph-01, lieu-pmi-01, trois, deux" in line.text
    assert all(word not in line.text for word in ("lieu-log-01", ", un", "nominale"))


@pytest.mark.parametrize(
    ("site_id", "activity_id", "weight"),
    [("mdph-01", "COM-05", 3), ("cen-1", "SOL-02", 3), ("cen-1", "COM-05", 0)],
)
def test_the_higher_value_of_the_site_and_the_activity_in_need_counts(
    site_id: str, activity_id: str, weight: int
) -> None:
    assert reassigned(need_site=site_id, need_activity=activity_id).vulnerable_public == weight


def test_lines_for_vulnerable_people_are_approved_first_among_equals() -> None:
    """Danger and criticality come before; the id of the activity comes after."""
    lines = [
        reassigned(id="l-1", need_activity="COM-05"),
        reassigned(id="l-2", need_activity="SOL-08"),
        reassigned(id="l-3", need_activity="SOL-02", criticality=2),
    ]
    groups = group_decisions(lines, get_translator("fr"))
    assert [group.ids for group in groups] == [["l-2"], ["l-1"], ["l-3"]]


def reassigned(**fields: object) -> ReassignmentLine:
    """Return an order for help at the headquarters."""
    usual: dict[str, object] = {
        "id": "l-1",
        "site": "cen-2",
        "activity": "COM-05",
        "metier": "agent_accueil",
        "supply": "displaced",
        "need_site": "cen-1",
        "need_activity": "COM-05",
        "need_metier": "agent_accueil",
        "place": "cen-3",
        "count": 4,
        "criticality": 1,
        "proposal": "p",
        "decision": "d",
        "state": "dispatched",
        "needed": 4,
        "approved_by": "x",
        "approved_role": "director",
        "approved_at": 0,
        "rules": (),
    }
    shape = Shaper(REALM, reference(), load_outlines(FOLDER), "fr")
    return shape.reassignment(ReassignmentRow.model_validate(usual | fields))


async def test_missing_people_stand_first_in_the_cell() -> None:
    """D79: missing people come before other danger and any clock, the most missing first."""
    realm_state = crisis()
    realm_state.put("sites", site("cen-1", type="gas_leak", effect="degraded", severity=5))
    realm_state.put("sites", site("clg-0921243B") | {"status": "sheltering"})
    realm_state.put("sites", site("pmi-02") | {"status": "evacuated"})
    realm_state.put("sites", site("pmi-03") | {"status": "evacuated", "headcount": COUNTED})
    realm_state.put(
        "sites",
        site("pmi-05")
        | {"status": "evacuated", "headcount": COUNTED | {"found": 0, "expected": 1460}},
    )
    realm_state.put(
        "sites", site("pmi-04") | {"status": "evacuated", "headcount": COUNTED | {"found": 214}}
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}")).text
    rows = page.partition('id="rows"')[2].partition("</table>")[0]
    order = re.findall(r'data-site="([^"]+)"', rows)
    assert order[:3] == ["pmi-05", "pmi-03", "pmi-02"]
    assert order.index("pmi-01") == len(order) - 1
    assert "6 personnes non retrouvées" in rows
    assert "recensement\u00a0: 0 sur 1\u202f460" in rows, "nobody is missing before a first count"
    assert "recensement attendu" in rows
    assert rows.count("non retrouvée") == 2, "in the row of pmi-03 alone, and its title"


def test_thousands_of_a_count_stand_apart_at_a_confined_site() -> None:
    counted = SimpleNamespace(
        confinement="counting", headcount=SimpleNamespace(found=1020, expected=1460)
    )
    text = describe_confinement(cast("Any", counted), get_translator("fr"))
    assert text == "comptage en cours\u00a0: 1\u202f020 sur 1\u202f460"
