"""Actions in the API: rights to request, read and answer, and the table for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest

from schemas.crisis.actions import ActionChanged, ActionRow, RequestAction
from services.console.logbook.lines import render_line as said
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Browser, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import MINUTE, NOW, REALM, crisis, incident, shown
from tests.unit.console.test_lines import lines

TITLE = "Coupez le gaz à la vanne extérieure."
MANAGER = "site_manager@pmi-01"
DUE = "2027-02-11T20:00:00Z"


def row(id: str = "ac-1", **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "state": "requested",
        "text_id": f"x-{id}",
        "assignee": "pmi-01",
        "role": "responsable_site",
        "scope": "pmi-01",
        "incident": "i-1",
        "priority": "normal",
        "requested_by": "p-cell",
        "requested_role": "cell",
        "requested_at": NOW - 10 * MINUTE,
        "due_at": NOW + 50 * MINUTE,
    } | changes


def acting(*rows: dict[str, Any]) -> tuple[Browser, HeldModel]:
    """Return a crisis with these actions and one task of the rules."""
    realm_state = crisis()
    for one in rows or (row(),):
        realm_state.put("actions", one)
    realm_state.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "verify_site",
            "state": "open",
            "opened_at": NOW - 5 * MINUTE,
            "due_at": NOW + 25 * MINUTE,
            "site": "pmi-01",
            "incident": "i-1",
        },
    )
    browser, model = browsing(realm_state)
    for one in rows or (row(),):
        model.words.kept[one["text_id"]] = TextItem({"text": TITLE})
    return browser, model


async def _list(browser: Browser, query: str = "", role: str = "cell") -> list[dict[str, Any]]:
    answer = await browser.get(
        f"/api/v1/actions?realm={REALM}{query}", role=role, accept="application/json"
    )
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_actions_and_tasks_of_the_rules_are_one_list_by_deadline() -> None:
    browser, _ = acting()
    actions = await _list(browser)
    assert [(x["id"], x["kind"], x["state"]) for x in actions] == [
        ("t-1", "verify_site", "requested"),
        ("ac-1", "request", "requested"),
    ]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("&kind=request", ["ac-2", "ac-1", "ac-3"]),
        ("&kind=request&late=true", ["ac-2"]),
        ("&state=done", ["ac-3"]),
        ("&assignee=cellule_rh", ["ac-2"]),
        ("&plan=PT-ELEC", ["ac-2"]),
        ("&kind=request&incident=i-1", ["ac-1", "ac-3"]),
        ("&kind=request&limit=1", ["ac-2"]),
    ],
)
async def test_the_list_can_be_filtered(query: str, ids: list[str]) -> None:
    late = row(
        "ac-2",
        due_at=NOW - MINUTE,
        assignee="cellule_rh",
        role="cellule_rh",
        scope=None,
        plan="PT-ELEC",
        incident=None,
    )
    done = row("ac-3", state="done", ended_at=NOW - MINUTE, ended_by="p-1")
    browser, _ = acting(row(), late, done)
    assert [x["id"] for x in await _list(browser, query)] == ids


async def test_an_incident_shows_the_actions_of_merged_incidents() -> None:
    browser, model = acting(row(incident="i-0"))
    model.held[REALM].put("incidents", incident("i-0", state="merged", merged_into="i-1"))
    assert [x["id"] for x in await _list(browser, "&kind=request&incident=i-1")] == ["ac-1"]


@pytest.mark.parametrize(
    ("role", "reads"),
    [
        ("cell", True),
        ("director", True),
        (MANAGER, True),
        ("site_manager@cen-1", False),
        ("technician", False),
        ("observer", False),
        ("kiosk", False),
    ],
)
async def test_only_the_cell_and_concerned_people_read_the_text(role: str, reads: bool) -> None:
    browser, _ = acting()
    (action,) = await _list(browser, "&kind=request", role)
    assert action["title"] == (TITLE if reads else None)


async def test_an_erased_title_is_gone_and_the_action_stays() -> None:
    browser, model = acting()
    del model.words.kept["x-ac-1"]
    (action,) = await _list(browser, "&kind=request")
    assert action["title"] is None


async def test_the_table_is_the_list_in_words() -> None:
    browser, _ = acting()
    answer = await browser.get(f"/api/v1/actions?realm={REALM}&format=csv&kind=request")
    (line,) = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")), delimiter=";")
    assert (line["Identifiant"], line["Action"], line["État"]) == ("ac-1", TITLE, "sans réponse")
    assert (line["Site"], line["Code du site"]) == (reference().names.site("pmi-01"), "pmi-01")


BODY = {"title": "Fermez la vanne", "assignee": "pmi-01", "due_at": DUE}


async def _request(browser: Browser, role: str, **changes: Any) -> int:
    body = {k: v for k, v in (BODY | changes).items() if v is not None}
    answer = await browser.post(f"/api/v1/actions?realm={REALM}", body, role=role)
    return int(answer.status_code)


async def test_the_title_stays_off_the_log() -> None:
    browser, _ = acting()
    assert await _request(browser, "cell", priority="urgent", incident="i-1") == 202
    (command,) = browser.decisions.asked
    assert isinstance(command, RequestAction)
    assert (command.assignee, command.priority, command.incident) == ("pmi-01", "urgent", "i-1")
    assert "vanne" not in command.model_dump_json()


POLE = reference().sites["pmi-01"].pole


@pytest.mark.parametrize(
    ("role", "assignee", "status"),
    [
        (f"director@pole:{POLE}", "pmi-01", 202),
        (f"director@pole:{POLE}", f"directeur_pole:{POLE}", 202),
        (f"director@pole:{POLE}", "directeur_pole:education", 403),
        (f"director@pole:{POLE}", "cellule_rh", 403),
        (MANAGER, "pmi-01", 403),
        ("observer", "pmi-01", 403),
        ("coordinator", "cellule_rh", 202),
    ],
)
async def test_the_cell_asks_any_person_and_a_director_the_own_pole(
    role: str, assignee: str, status: int
) -> None:
    browser, _ = acting()
    assert await _request(browser, role, assignee=assignee) == status


@pytest.mark.parametrize(
    "changes", [{"title": ""}, {"title": "x" * 161}, {"due_at": None}, {"priority": "soon"}]
)
async def test_a_request_needs_a_text_a_limit_and_a_known_priority(changes: dict[str, Any]) -> None:
    browser, _ = acting()
    assert await _request(browser, "cell", **changes) == 422


@pytest.mark.parametrize("verb", ["accept", "decline", "complete", "cancel"])
@pytest.mark.parametrize(
    ("role", "allowed"),
    [("cell", True), (MANAGER, True), ("site_manager@cen-1", False), ("observer", False)],
)
async def test_the_assignee_and_the_cell_answer(verb: str, role: str, allowed: bool) -> None:
    browser, _ = acting()
    path = f"/api/v1/actions/ac-1:{verb}?realm={REALM}"
    status = (await browser.post(path, {}, role=role)).status_code
    cancels = verb == "cancel" and role == MANAGER
    assert status == (202 if allowed and not cancels else 403)


@pytest.mark.parametrize("path", ["/actions", "/incidents/i-1", "/mes-sites"])
async def test_the_pages_show_the_request_and_take_the_answer(path: str) -> None:
    browser, _ = acting()
    role = MANAGER if path == "/mes-sites" else "cell"
    page = (await browser.get(f"{path}?realm={REALM}", role=role)).text
    assert TITLE in page
    assert 'action="/api/v1/actions/ac-1:accept"' in page


async def test_the_page_has_its_groups_and_a_form_for_requesters() -> None:
    late = row("ac-2", due_at=NOW - MINUTE)
    refused = row("ac-3", state="declined", ended_at=NOW - MINUTE, ended_by="p-1")
    browser, _ = acting(row(), late, refused)
    page = (await browser.get(f"/actions?realm={REALM}", role="cell")).text
    assert re.findall(r"<h2>([^<]+)</h2>", page.partition('id="contenu"')[2]) == [
        "En retard",
        "Refusées, à confier à quelqu’un d’autre",
        "Sans réponse",
        "Vérifications que les règles demandent",
        "Confier une action",
    ]
    assert "Confier une action" not in await shown(browser, "/actions", role="observer")


async def test_the_page_of_a_past_time_takes_no_answer() -> None:
    browser, _ = acting()
    past = f"/actions?realm={REALM}&as_of={NOW - MINUTE}"
    page = (await browser.get(past, role="cell")).text
    assert "data-command" not in page.partition('id="contenu"')[2]


def test_the_logbook_records_every_change_of_an_action() -> None:
    log_entries = []
    for change, more in (
        ("requested", {}),
        ("reminded", {}),
        ("accepted", {"accepted_by": "p-1"}),
        ("overdue", {}),
        ("done", {"ended_by": "p-1", "ended_at": NOW}),
        ("declined", {"ended_by": "p-1", "ended_at": NOW, "reason": "text:why"}),
        ("cancelled", {"ended_by": "p-cell", "ended_at": NOW}),
    ):
        fact = ActionChanged(row=ActionRow.model_validate(row() | more), change=change)
        (line,) = lines("alerts", fact, at=NOW)
        log_entries.append((line.change, line.text_id, said(line, reference().names, "fr")))
    assert [(change, text) for change, text, _ in log_entries] == [
        ("requested", "x-ac-1"),
        ("reminded", None),
        ("accepted", None),
        ("overdue", None),
        ("done", None),
        ("declined", "why"),
        ("cancelled", None),
    ]
    assert all(sentence.startswith("Action ") for _, _, sentence in log_entries)
    assert len({sentence for _, _, sentence in log_entries}) == len(log_entries)
