"""One switch stops all sending, from shell or page; every screen shows its end and reason."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from tests.integration.console.test_field_pages import logged_in
from tests.system import RunningVigie
from tests.waiting import until

SCREENS = (
    "/",
    "/?vue=incidents",
    "/?vue=taches",
    "/activites",
    "/plans",
    "/reaffectation",
    "/mes-sites",
    "/mur",
    "/main-courante",
    "/sitrep",
    "/releve",
    "/astreintes",
    "/prevoyance",
    "/travaux",
    "/exercice",
    "/retex",
    "/sources",
    "/compte",
    "/appareil",
    "/sites/cen-1",
)


def test_a_hold_shows_itself_on_every_screen_until_it_is_released(vigie: RunningVigie) -> None:
    realm = f"92~ex-envois-{secrets.token_hex(3)}"
    body = {
        "id": realm,
        "title_code": "ESSAI",
        "started_at": "2027-02-11T09:40:00+01:00",
        "speed": 1,
    }
    assert (
        vigie.http.post("/api/v1/realms", json=body, headers={"Prefer": "wait=20"}).status_code
        == 200
    )
    clock = datetime.fromisoformat(vigie.get(f"/api/v1/overview?realm={realm}")["at"])
    end = (clock + timedelta(hours=1)).isoformat()

    assert vigie.cli("hold", "--realm", realm, "--until", end).returncode == 1, (
        "not without a reason"
    )
    assert vigie.cli("hold", "--realm", realm).returncode == 2
    hold = vigie.cli("hold", "--realm", realm, "--until", end, "--reason", "Test du standard")
    assert hold.returncode == 0, hold.stderr
    until(lambda: vigie.get(f"/api/v1/sending/hold?realm={realm}")["held"])
    assert vigie.get(f"/api/v1/sending/hold?realm={realm}")["reason"] == "Test du standard"
    with logged_in(vigie, "coordinator") as browser:
        pages = {
            path: browser.get(
                f"{path}{'&' if '?' in path else '?'}realm={realm}", follow_redirects=True
            ).text
            for path in SCREENS
        }
        hold_texts = ('id="held"', "10:40", "Raison\u00a0: Test du standard")
        assert [
            path for path, text in pages.items() if not all(part in text for part in hold_texts)
        ] == []
        assert "Reprendre les envois" in pages["/"]
        assert 'action="/api/v1/sending/hold"' in pages["/astreintes"]
        assert vigie.cli("hold", "--realm", realm, "--end").returncode == 0
        until(lambda: 'id="held"' not in browser.get("/", params={"realm": realm}).text)
    with logged_in(vigie, "kiosk") as browser:
        assert "Reprendre les envois" not in browser.get("/mur", params={"realm": realm}).text
