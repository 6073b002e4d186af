"""The staffing of the cell on its screens: functions required, present and coming (D90)."""

from __future__ import annotations

import re
from typing import Any

from schemas.base import MINUTE_MS
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import NOW, REALM, crisis, shown

REQUIRED = ("coordinateur_pca", "cellule_rh", "cellule_si")


def called(**staffing: Any) -> Held:
    """Return a cell called an hour ago: one function filled, one coming, one missing."""
    realm_state = crisis()
    row = {
        "id": "cell",
        "level": 3,
        "started_at": NOW - 60 * MINUTE_MS,
        "due_at": NOW - 15 * MINUTE_MS,
        "objective_min": 45,
        "required": REQUIRED,
    }
    realm_state.put("cell_staffing", row | staffing)
    realm_state.put("attendance", attendance("p-1", "coordinateur_pca", "on_site", present_at=NOW))
    coming = NOW + 25 * MINUTE_MS
    realm_state.put("attendance", attendance("p-2", "cellule_rh", "en_route", expected_at=coming))
    return realm_state


def attendance(id: str, role: str, mode: str, **values: Any) -> dict[str, Any]:
    return {"id": id, "role": role, "mode": mode, "stated_at": NOW, **values}


async def test_functions_are_compared_with_present_and_coming_people() -> None:
    browser, _ = browsing(called())
    answer = await browser.get(f"/api/v1/cell/staffing?realm={REALM}", role="director")
    staffing = answer.json()
    assert (staffing["required"], staffing["filled"], staffing["late"]) == (3, 1, True)
    states = {f["role"]: f["state"] for f in staffing["items"]}
    assert states == {
        "coordinateur_pca": "present",
        "cellule_rh": "coming",
        "cellule_si": "missing",
    }


async def test_cell_wall_and_handover_show_the_missed_objective() -> None:
    browser, _ = browsing(called())
    for path in ("/", "/mur", "/releve"):
        assert "1 fonction sur 3 ; objectif dépassé" in await shown(browser, path)


async def test_an_objective_missed_on_another_day_has_its_day() -> None:
    """«Objectif dépassé, 14:37» stood there six days later, at 09:41."""
    browser, _ = browsing(called(due_at=NOW - 6 * 24 * 60 * MINUTE_MS))
    for path in ("/", "/mur", "/releve"):
        assert re.search(r"objectif dépassé, \w+\. \d\d/\d\d \d\d:\d\d", await shown(browser, path))


async def test_a_staffed_cell_shows_its_time_and_objective() -> None:
    realm_state = called(armed_at=NOW - 30 * MINUTE_MS)
    for n, role in enumerate(("cellule_rh", "cellule_si")):
        realm_state.put("attendance", attendance(f"p-{n + 2}", role, "remote", present_at=NOW))
    browser, _ = browsing(realm_state)
    assert "armée à 10:10, objectif 45 min" in await shown(browser, "/")


async def test_a_cell_is_no_longer_staffed_once_functions_have_left() -> None:
    """The wall said «armée» through the night, with one function of three."""
    browser, _ = browsing(called(armed_at=NOW - 30 * MINUTE_MS))
    for path in ("/", "/mur", "/releve"):
        text = await shown(browser, path)
        assert "1 fonction sur 3 ; la cellule, armée à 10:10, ne l’est plus" in text


async def test_no_person_is_expected_without_a_crisis() -> None:
    browser, _ = browsing(called(ended_at=NOW))
    answer = await browser.get(f"/api/v1/cell/staffing?realm={REALM}")
    assert answer.json()["called"] is False
    assert "objectif" not in await shown(browser, "/")


async def test_tokens_of_people_stay_away_from_a_kiosk() -> None:
    browser, _ = browsing(called())
    path = f"/api/v1/cell/staffing?realm={REALM}"
    assert (await browser.get(path, role="kiosk", accept="application/json")).status_code == 403
    wall = await browser.get(f"/mur?realm={REALM}", role="kiosk")
    assert wall.status_code == 200
    assert "p-2" not in wall.text


async def test_cell_and_wall_show_the_rate_of_the_attention_queue() -> None:
    """Thirty silent sites are one demand; counted singly they hid the other demands."""
    realm_state = crisis()
    for n in range(30):
        realm_state.put(
            "tasks",
            {
                "id": f"t-{n}",
                "kind": "verify_site",
                "state": "open",
                "opened_at": NOW,
                "site": "pmi-01",
                "incident": "i-1",
            },
        )
    browser, _ = browsing(realm_state)
    rate = (await browser.get(f"/api/v1/attention?realm={REALM}")).json()["rate"]
    assert rate < 10
    assert f"{rate} sollicitation" in await shown(browser, "/")
    noun = "sollicitation" if rate < 2 else "sollicitations"
    assert f"{rate} {noun} en 10 min" in await shown(browser, "/mur")


async def test_an_account_without_a_function_of_the_cell_chooses_one() -> None:
    """The first function was preset: one press made an elected person the crisis director."""
    browser, _ = browsing(called())
    page = (await browser.get(f"/?realm={REALM}", role="elected")).text
    select = page.partition('id="st-role"')[2].partition("</select>")[0]
    assert " required" in select
    assert select.partition("<option")[2].startswith(' value="" selected>Choisissez')
    assert select.count("selected") == 1
    assert "Lecture seule" not in page, "such an account decides plans"


async def test_readers_of_one_role_get_their_own_function_in_the_form() -> None:
    """The shared page of a first reader wrote the next one into the function of the first."""
    realm_state = called()
    realm_state.put(
        "attendance", attendance("coordinator-anne", "cellule_rh", "on_site", present_at=NOW)
    )
    browser, _ = browsing(realm_state)
    chosen = dict[str, list[str]]()
    for account in ("anne", "marc"):
        page = (await browser.get(f"/?realm={REALM}", role=f"coordinator~{account}")).text
        select = page.partition('id="st-role"')[2].partition("</select>")[0]
        chosen[account] = re.findall(r'<option value="([a-z_]*)" selected>', select)
    assert chosen["anne"] == ["cellule_rh"]
    assert chosen["marc"] != ["cellule_rh"]
    assert len(chosen["marc"]) == 1
