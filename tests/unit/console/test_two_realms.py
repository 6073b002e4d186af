"""Two live realms of one installation, each blind to the other. Rule D140."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx
import pytest

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.http.context import get_default_realm, localize_principal
from services.console.messages.callouts_api import get_directory, list_recipients
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal, Scope, Source, Trace
from services.runtime.identity.sessions import COOKIE
from services.runtime.secrets.vault import VaultDirectory
from tests.directories import make_directory
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_every_screen import NOW, START, incident, report, site

HEAD = "person,name,language,channel,address,verified_at"


def contact(person: str, name: str, number: str) -> Contact:
    point = ContactPoint(channel=Channel.SMS, address=number)
    return Contact(person=person, name=name, site="pmi-01", points=(point,))


@dataclass
class Producer:
    """Keep the realm and the topic of each announcement."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, topic: str, realm: str, _command: Any, **_more: Any) -> None:
        self.sent.append((topic, realm))


@pytest.fixture
def browser() -> Browser:
    made, _ = browsing(Held("92"), Held("93"), Held("93~ex-1"))
    made.app.state.directory = make_directory(
        r92=[
            contact("dgs", "Anne Ici", "+33600000092"),
            contact("maire", "M. Ici", "+33600000001"),
        ],
        r93=[contact("dgs", "Zoé Là", "+33600000093")],
    )
    made.app.state.producer = Producer()
    return made


def directory_of(browser: Browser) -> VaultDirectory:
    directory: VaultDirectory = browser.app.state.directory
    return directory


async def list_names(browser: Browser, query: str, role: str = "admin") -> list[str]:
    answer = await browser.get(f"/api/v1/people{query}", role=role, accept="application/json")
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def test_each_realm_lists_and_exports_its_own_people(browser: Browser) -> None:
    assert await list_names(browser, "") == ["Anne Ici", "M. Ici"]
    assert await list_names(browser, "?realm=93") == ["Zoé Là"]
    assert await list_names(browser, "?realm=93~ex-1") == ["Zoé Là"]
    answer = await browser.get("/api/v1/people?realm=93&format=csv")
    table = csv.DictReader(io.StringIO(answer.text.lstrip("\ufeff")), delimiter=";")
    assert [row["name"] for row in table] == ["Zoé Là"]


@pytest.mark.parametrize("query", ["?realm=92", "?realm=92&format=csv", "?realm=92~ex-1"])
async def test_an_account_of_93_reads_no_person_of_92(browser: Browser, query: str) -> None:
    answer = await browser.get(f"/api/v1/people{query}", role="admin@realm:93")
    assert answer.status_code == 403
    assert "Ici" not in answer.text


async def test_an_account_of_93_works_in_its_realm_without_naming_it(browser: Browser) -> None:
    assert await list_names(browser, "", role="admin@realm:93") == ["Zoé Là"]


async def import_file(browser: Browser, query: str, role: str = "admin") -> httpx.Response:
    transport = httpx.ASGITransport(app=browser.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        return await http.post(
            f"/api/v1/people/import{query}",
            content=f"{HEAD}\ndgs,Neuf,,sms,06 99 99 99 99,\n",
            headers={"Cookie": f"{COOKIE}={role}", "Content-Type": "text/csv"},
        )


@pytest.mark.parametrize(
    ("query", "role"),
    [
        ("?realm=93", "admin"),
        ("", "admin@realm:93"),
        ("?realm=93", "admin@realm:93"),
        ("?realm=93~ex-1", "admin"),
    ],
)
async def test_an_import_changes_and_announces_to_its_own_realm_only(
    browser: Browser, query: str, role: str
) -> None:
    answer = await import_file(browser, query, role)
    assert answer.status_code == 200, answer.text
    people = directory_of(browser)
    assert [c.name for c in map(people.of("93").peek, ["dgs"]) if c is not None] == ["Neuf"]
    assert [c.name for c in map(people.of("92").peek, ["dgs"]) if c is not None] == ["Anne Ici"]
    assert browser.app.state.producer.sent == [("alerts.urgent", "93")]


async def test_an_account_of_93_is_refused_an_import_into_92(browser: Browser) -> None:
    answer = await import_file(browser, "?realm=92", "admin@realm:93")
    assert answer.status_code == 403
    assert browser.app.state.producer.sent == []


async def test_a_callout_lists_the_people_of_its_own_realm(browser: Browser) -> None:
    @dataclass
    class Request:
        app: Any

    for realm, people in (("92", ["dgs", "maire"]), ("93", ["dgs"]), ("95", [])):
        directory = get_directory(Request(browser.app), realm)  # type: ignore[arg-type]
        recipients = await list_recipients(directory, ["pmi-01"], everybody=False)
        assert [one.person for one in recipients] == people


async def test_a_page_without_a_realm_opens_in_the_realm_of_the_account(browser: Browser) -> None:
    for role, realm in (("admin", "92"), ("admin@realm:93", "93")):
        answer = await browser.get("/api/v1/overview", role=role, accept="application/json")
        assert answer.json()["realm"]["name"] == realm, answer.text
        page = await browser.get("/annuaire", role=role)
        assert page.status_code == 200, page.text


@pytest.mark.parametrize(
    ("scope", "realm", "person"),
    [
        (Scope(), "92", "dgs"),
        (Scope(), "93", None),
        (Scope(realms=("93",)), "93", "dgs"),
        (Scope(realms=("92", "93")), "93", None),
    ],
)
def test_an_author_is_no_person_of_another_realm(
    browser: Browser, scope: Scope, realm: str, person: str | None
) -> None:
    @dataclass
    class Request:
        app: Any

    account = Principal(id="coordinator-1", role=Role.COORDINATOR, person="dgs", scope=scope)
    request: Any = Request(browser.app)
    assert localize_principal(request, account, realm).person == person
    assert get_default_realm(request, account) == ("93" if scope.realms == ("93",) else "92")


async def test_an_auditor_of_93_sees_its_accounts_and_their_acts_alone(browser: Browser) -> None:
    access = browser.app.state.access
    scopes = {"ici": Scope(realms=("92",)), "la": Scope(realms=("93",)), "tout": Scope()}
    for name, scope in scopes.items():
        access.kept.append(Principal(id=f"cell-{name}", role=Role.CELL, scope=scope))
        access.kept.append(Account(id=f"cell-{name}", login=f"compte-{name}"))
        access.kept.append(
            Trace(id=name, at=1, author=f"cell-{name}", act="login.password", about=f"de-{name}")
        )
    whole = (await browser.get("/personnes?realm=92", role="auditor")).text
    assert all(f"compte-{name}" in whole for name in scopes)
    limited = (await browser.get("/personnes?realm=93", role="auditor@realm:93")).text
    assert "compte-la" in limited
    assert "compte-ici" not in limited
    assert "compte-tout" not in limited
    accounts = (await browser.get("/personnes?realm=93", role="admin@realm:93")).text
    assert "compte-la" in accounts
    assert "compte-ici" not in accounts
    assert "compte-tout" not in accounts


async def test_a_new_account_may_be_limited_to_one_of_several_territories(browser: Browser) -> None:
    page = (await browser.get("/personnes?realm=93")).text
    assert '<option value="93" selected>93</option>' in page, "the territory of the page"
    assert '<option value="">tous</option>' in page
    assert "Importer l’annuaire de 93" in page
    assert 'action="/api/v1/people/import?realm=93"' in page
    alone, _ = browsing(Held("92"))
    page = (await alone.get("/personnes")).text
    assert 'name="scope.realms"' not in page
    assert "Importer l’annuaire</h2>" in page


async def test_links_stay_in_the_territory_of_the_page(browser: Browser) -> None:
    """A link without a realm would lead an administrator from 93 to the same page of 92."""
    page = (await browser.get("/annuaire?realm=93")).text
    assert 'href="/sites?realm=93"' in page
    assert 'href="/sites"' not in page
    home = (await browser.get("/annuaire")).text
    assert 'href="/sites"' in home


@pytest.fixture
def two_crises() -> Browser:
    """Return a browser over two live realms with one incident each."""
    realms = []
    for name in ("92", "93"):
        one = Held(name, clock=NOW, reference=reference(), fields={"started_at": START})
        one.put("incidents", incident(f"crise-{name}"))
        one.put("sites", site())
        one.put("reports", report(f"r-{name}", incident=f"crise-{name}"))
        realms.append(one)
    made, _ = browsing(*realms)
    return made


@pytest.mark.parametrize(("role", "realm"), [("coordinator", "92"), ("coordinator@realm:93", "93")])
async def test_a_reader_sees_the_incidents_of_one_realm(
    two_crises: Browser, role: str, realm: str
) -> None:
    other = {"92": "93", "93": "92"}[realm]
    listed = await two_crises.get("/api/v1/incidents", role=role, accept="application/json")
    assert [one["id"] for one in listed.json()["items"]] == [f"crise-{realm}"]
    response = await two_crises.get(f"/api/v1/incidents/crise-{other}", role=role)
    assert response.status_code == 404
    for path in ("/", f"/incidents/crise-{realm}", "/api/v1/incidents?format=csv"):
        answer = await two_crises.get(path, role=role)
        assert answer.status_code == 200, (path, answer.text)
        assert f"crise-{other}" not in answer.text, path
    realms = await two_crises.get("/api/v1/realms", role=role, accept="application/json")
    assert ("93" in [one["id"] for one in realms.json()["items"]]) is True
    assert ("92" in [one["id"] for one in realms.json()["items"]]) is (realm == "92")


@pytest.mark.parametrize(
    "path",
    [
        "/?realm=92",
        "/incidents/crise-92?realm=92",
        "/api/v1/incidents?realm=92",
        "/api/v1/incidents?realm=92&format=csv",
        "/api/v1/stream?realm=92",
        "/api/v1/log?realm=92",
        "/recherche?realm=92&q=panne",
        "/api/v1/directory?realm=92",
        "/api/v1/commissioning?realm=92",
    ],
)
async def test_an_account_of_93_is_refused_everything_of_92(two_crises: Browser, path: str) -> None:
    answer = await two_crises.get(path, role="admin@realm:93")
    assert answer.status_code == 403, (path, answer.status_code)
    assert "crise-92" not in answer.text


async def test_the_list_of_realms_shows_each_with_its_own_level_and_incidents() -> None:
    """It showed the crisis of an exercise as that of the live realm."""
    calm = Held("92", clock=NOW, reference=reference(), fields={"started_at": START})
    crisis = Held("92~ex-1", clock=NOW, reference=reference(), fields={"started_at": START})
    crisis.put("incidents", incident("crise", level=3))
    crisis.put("levels", {"id": "territory", "level": 3, "since": START, "version": 1})
    made, _ = browsing(calm, crisis)
    for realm in ("92", "92~ex-1"):
        page = (await made.get(f"/realms?realm={realm}")).text
        rows = dict(re.findall(r'<tr data-key="realm-([^"]+)">(.*?)</tr>', page, re.DOTALL))
        figures = {
            name: re.findall(r'<td class="r[^>]*>(.*?)</td>', row) for name, row in rows.items()
        }
        assert figures["92"] == ["<b>N0</b>", "0"], realm
        assert figures["92~ex-1"] == ['<b class="over">N3</b>', "1"], realm


@pytest.mark.parametrize(
    ("role", "path", "back"),
    [
        ("coordinator", "/sites/nowhere?realm=93", "/?realm=93"),
        ("site_manager", "/personnes?realm=93", "/?realm=93"),
        ("coordinator", "/?realm=94", "/"),
        ("coordinator@realm:93", "/?realm=92", "/"),
        ("coordinator", "/sites/nowhere", "/"),
    ],
)
async def test_a_page_that_is_not_there_leads_back_to_its_own_realm(
    two_crises: Browser, role: str, path: str, back: str
) -> None:
    """It led from an exercise into the live realm."""
    answer = await two_crises.get(path, role=role)
    assert answer.status_code in (403, 404)
    assert f'href="{back}"' in answer.text


async def test_decisions_and_reports_of_a_page_go_to_its_territory(two_crises: Browser) -> None:
    """An administrator of both would have decided in 92 on a page of 93."""
    hidden = '<input type="hidden" name="realm" value="93">'
    assert hidden in (await two_crises.get("/incidents/crise-93?realm=93")).text
    assert hidden not in (await two_crises.get("/incidents/crise-92")).text
    assert hidden not in (await two_crises.get("/incidents/crise-93", role="admin@realm:93")).text
    assert 'data-realm="93"' in (await two_crises.get("/signaler?realm=93")).text


async def test_the_poster_of_a_site_in_93_shows_the_site_of_93() -> None:
    class Posters:
        def bearer(self, _token: str) -> Principal:
            return Principal(id="poster-1", role=Role.POSTER, scope=Scope(realms=("93",)))

        def source(self, id: str) -> Source:
            return Source(id=id, name="affiche", dialect="poster", site="pmi-01")

    only, _ = browsing(Held("93", clock=NOW, reference=reference(), fields={"started_at": START}))
    only.app.state.access = Posters()
    page = await only.get("/signaler?token=t", role="")
    assert page.status_code == 200, page.text
