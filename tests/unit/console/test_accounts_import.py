"""Accounts from a file: tried first, faults by line, opened with codes, never changed."""

from __future__ import annotations

import httpx2 as httpx
import pytest

from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.sessions import COOKIE
from tests.unit.console.held import Browser, Held, browsing, reference

PATH = "/api/v1/accounts/import"
HEAD = "login,role,duty,person,sites,poles,realms"
SITE = "clg-0921353W"
GOOD = f"{HEAD}\nprincipal-1,site_manager,,p-1,{SITE},,\ndir-sol,director,directeur_pole,,,solidarites,92\n"
BAD = (
    f"{HEAD}\n"
    "a,chef,,,,,\n"
    "b,site_manager,,,zzz-9,,\n"
    "c,site_manager,,,,,\n"
    "d,director,pompier,,,montagne,\n"
    "D,cell,,,,,\n"
)


@pytest.fixture
def browser() -> Browser:
    made, _ = browsing(Held("92", reference=reference()))
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


def list_logins(browser: Browser) -> list[str]:
    return [account.login for account in browser.app.state.access.all(Account)]


async def test_a_trial_counts_and_opens_nothing(browser: Browser) -> None:
    summary = (await post(browser, GOOD, trial=True)).json()
    assert (summary["written"], summary["added"], summary["codes"]) == (False, 2, [])
    assert summary["text"].endswith("Rien n’est encore écrit.")
    assert list_logins(browser) == []


async def test_every_fault_is_named_by_its_line_and_nothing_is_opened(browser: Browser) -> None:
    summary = (await post(browser, BAD, trial=True)).json()
    lines = [fault.partition("\xa0:")[0] for fault in summary["faults"]]
    assert lines == ["Ligne 2", "Ligne 3", "Ligne 4", "Ligne 5", "Ligne 5", "Ligne 6"]
    assert "verrait tout" in summary["faults"][2]
    assert "« montagne »" in summary["text"]
    refusal = await post(browser, BAD)
    assert refusal.status_code == 422
    assert [fault["field"] for fault in refusal.json()["errors"]][:2] == ["ligne 2", "ligne 3"]
    assert list_logins(browser) == []


async def test_an_import_of_open_accounts_tells_of_nothing_to_come(browser: Browser) -> None:
    """It said «Rien n’est encore écrit», as if an import were still to come."""
    await post(browser, GOOD)
    summary = (await post(browser, GOOD)).json()
    assert (summary["written"], summary["added"], summary["same"]) == (False, 0, 2)
    assert summary["text"] == "0 compte ouvert, 2 déjà ouverts avec ces droits."
    refused = (await post(browser, BAD, trial=True)).json()
    assert refused["text"].startswith("Rien n’est écrit")


async def test_each_new_account_gets_its_rights_and_a_code(browser: Browser) -> None:
    answer = await post(browser, GOOD)
    summary = answer.json()
    assert [(one["login"], one["role"]) for one in summary["codes"]] == [
        ("principal-1", "site_manager"),
        ("dir-sol", "director"),
    ]
    access = browser.app.state.access
    manager, director = (p for p in access.all(Principal) if p.role in ("site_manager", "director"))
    assert (manager.scope.sites, manager.person) == ((SITE,), "p-1")
    assert (director.scope.poles, director.scope.realms) == (("solidarites",), ("92", "92~*"))
    acts = [act for _, act, _ in access.traces]
    assert acts == ["account.created", "code.issued"] * 2


async def test_the_same_file_again_opens_nothing_and_gives_no_other_code(browser: Browser) -> None:
    await post(browser, GOOD)
    summary = (await post(browser, GOOD)).json()
    assert (summary["added"], summary["same"], summary["codes"]) == (0, 2, [])
    assert len(list_logins(browser)) == 2


async def test_a_file_never_changes_the_rights_of_an_account(browser: Browser) -> None:
    await post(browser, GOOD)
    more = "login;role\nDIR-SOL;admin\n"
    answer = await post(browser, more, trial=True)
    assert "un import n’en change aucun" in answer.json()["text"]


async def test_the_export_is_a_file_that_the_import_knows(browser: Browser) -> None:
    await post(browser, GOOD)
    page = await browser.get("/api/v1/accounts?format=csv", role="admin")
    assert page.text.lstrip("\ufeff").startswith('"login";"role";"duty";"person";"sites";')
    assert "CODE" not in page.text
    summary = (await post(browser, page.content, trial=True)).json()
    assert (summary["added"], summary["same"], summary["faults"]) == (0, 2, [])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"name\nx\n"])
async def test_a_file_that_is_no_table_of_accounts_is_refused(
    browser: Browser, content: bytes
) -> None:
    summary = (await post(browser, content, trial=True)).json()
    assert len(summary["faults"]) == 1


async def test_only_an_administrator_opens_accounts(browser: Browser) -> None:
    assert (await post(browser, GOOD, role="coordinator")).status_code == 403


async def test_a_name_is_no_token_of_an_account(browser: Browser) -> None:
    summary = (await post(browser, f"{HEAD}\na,cell,,Jean Dupont,,,\n", trial=True)).json()
    [fault] = summary["faults"]
    assert fault.startswith("Ligne 2\xa0: person")
    assert "un identifiant est attendu" in fault
