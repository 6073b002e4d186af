"""The directory from a file: tried first, faults by line, written as a whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from schemas.oncall import NoteReachability
from services.runtime.identity.sessions import COOKIE
from tests.unit.console.held import Browser, Held, browsing, reference

PATH = "/api/v1/people/import"
HEAD = "person,name,language,channel,address,verified_at"
GOOD = f"{HEAD}\np-1,A,,sms,06 12 34 56 78,\np-2,B,en,email,b@example.org,\n"
BAD = f"{HEAD}\np-1,A,,sms,12,\np-2,B,en,email,nowhere,\np-3,C,,sms,+33612345678,soon\n"


@dataclass
class Producer:
    """Keep the announcements."""

    sent: list[Any] = field(default_factory=list)

    async def send(self, _topic: str, _realm: str, command: Any, **_more: Any) -> None:
        self.sent.append(command)


@pytest.fixture
def browser() -> Browser:
    made, _ = browsing(Held("92"))
    made.app.state.producer = Producer()
    return made


async def post(
    browser: Browser, content: bytes | str, *, trial: bool = False, role: str = "admin"
) -> httpx.Response:
    transport = httpx.ASGITransport(app=browser.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        return await http.post(
            PATH + ("?dry_run=true" if trial else ""),
            content=content,
            headers={"Cookie": f"{COOKIE}={role}", "Content-Type": "text/csv"},
        )


async def test_a_trial_counts_and_writes_nothing(browser: Browser) -> None:
    summary = (await post(browser, GOOD, trial=True)).json()
    assert (summary["written"], summary["added"], summary["changed"], summary["same"]) == (
        False,
        2,
        0,
        0,
    )
    assert summary["text"].endswith("Rien n’est encore écrit.")
    assert browser.app.state.directory.kept == {}
    assert browser.app.state.producer.sent == []


async def test_an_import_is_written_announced_without_addresses_and_recorded(
    browser: Browser,
) -> None:
    summary = (await post(browser, GOOD)).json()
    assert (summary["written"], summary["people"]) == (True, 2)
    people_by_id = browser.app.state.directory.kept
    assert people_by_id["p-1"].points[0].address == "+33612345678"
    (command,) = browser.app.state.producer.sent
    assert isinstance(command, NoteReachability)
    assert {row.id for row in command.people} == {"p-1", "p-2"}
    assert "612345678" not in command.model_dump_json()
    assert browser.app.state.access.traces == [("admin-1", "directory.imported", "92 2")]
    again = (await post(browser, GOOD.replace("A,,", "Anne,,"), trial=True)).json()
    assert (again["added"], again["changed"], again["same"]) == (0, 1, 1)


async def test_faults_are_reported_by_line_and_without_their_content(browser: Browser) -> None:
    summary = (await post(browser, BAD, trial=True)).json()
    assert [fault.split("\u00a0: ")[0] for fault in summary["faults"]] == [
        "Ligne 2",
        "Ligne 3",
        "Ligne 4",
    ]
    assert "un numéro de téléphone est attendu" in summary["faults"][0]
    assert "nowhere" not in summary["text"]
    refused = await post(browser, BAD)
    assert refused.status_code == 422
    assert [e["field"] for e in refused.json()["errors"]] == ["ligne 2", "ligne 3", "ligne 4"]
    assert "line " not in refused.text
    assert browser.app.state.directory.kept == {}


async def test_a_file_in_another_encoding_is_refused_at_its_line(browser: Browser) -> None:
    summary = (
        await post(browser, f"{HEAD}\np-1,Zoé,,sms,,\n".encode("latin-1"), trial=True)
    ).json()
    assert summary["faults"] == [
        "Ligne 2\u00a0: ce fichier n’est pas en UTF-8 : enregistrez-le en « CSV UTF-8 »"
    ]


async def test_an_account_limited_to_a_site_imports_no_person(browser: Browser) -> None:
    assert (await post(browser, GOOD, role="coordinator@pmi-01")).status_code == 403
    assert (await post(browser, GOOD, role="cell")).status_code == 403
    assert browser.app.state.directory.kept == {}


async def test_a_person_of_a_site_that_does_not_exist_is_refused() -> None:
    """Its people would be missing from every headcount."""
    browser, _ = browsing(Held("92", reference=reference()))
    site = min(reference().sites)
    rows = f"{HEAD},site\np-1,A,,sms,06 12 34 56 78,,{site}\np-2,B,,,,,nowhere\n"
    summary = (await post(browser, rows, trial=True)).json()
    assert [fault.split(", ")[0] for fault in summary["faults"]] == ["Ligne 3\u00a0: site"]
    assert "nowhere" not in summary["text"]
