"""Hostile text in every free field of people and machines stays text on every screen."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import Accounts
from tests.browser.test_accessibility import SCREENS
from tests.browser.test_phone import call_of
from tests.system import RunningVigie
from tests.waiting import until

START = "2027-02-11T09:40:00+01:00"
HOSTILE = "{name}<img src=x data-evil onerror=\"window.evil='{name}'\"><script data-evil>window.evil=1</script>\"'><svg data-evil onload=window.evil=1>{{{{7*7}}}}"
EVIL = "[data-evil], [onerror], [onload], iframe, object, embed, a[href^='javascript:' i]"


def hostile(name: str) -> str:
    return HOSTILE.format(name=name)


def decide(vigie: RunningVigie, realm: str, path: str, **body: Any) -> Any:
    answer = vigie.http.post(
        f"/api/v1/{path}", json={"realm": realm, **body}, headers={"Prefer": "wait=30"}
    )
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def write_everywhere(vigie: RunningVigie, realm: str) -> tuple[str, str]:
    """Write hostile text through every entrance; return (incident, report)."""
    body = {
        "realm": realm,
        "site_id": "cen-1",
        "type": "outage_power",
        "severity": 4,
        "capacity_lost_pct": 100,
        "occurred_at": START,
        "source": {"name": hostile("source"), "contact": hostile("contact")},
        "headline": hostile("titre"),
        "description": hostile("description"),
        "plan_hint": hostile("conseil"),
        "alias": hostile("alias"),
        "measure": {
            "name": "customers_cut",
            "value": hostile("valeur"),
            "object": hostile("objet"),
            "unit": "<i data-evil>",
        },
    }
    posted = vigie.http.post("/api/v1/reports", json=body)
    assert posted.status_code == 202, posted.text
    typed = vigie.http.post(
        "/api/v1/reports:line",
        json={"realm": realm, "text": f"RAS cen-2 {hostile('sms')}", "occurred_at": START},
    )
    assert typed.status_code == 202, typed.text
    until(lambda: vigie.get(f"/api/v1/incidents?realm={realm}")["items"])
    incident = str(vigie.get(f"/api/v1/incidents?realm={realm}")["items"][0]["id"])
    decide(vigie, realm, f"incidents/{incident}/notes", text=hostile("note"))
    decide(
        vigie,
        realm,
        "log",
        text=f"{hostile('ligne')} {'long' * 80}",
        incident=incident,
        kind="communication",
    )
    decide(vigie, realm, f"incidents/{incident}/escalate", level="N3", reason=hostile("raison"))
    decide(
        vigie,
        realm,
        "maintenance",
        sites=["cul-04"],
        starts_at=START,
        ends_at="2027-02-11T23:00:00+01:00",
        reason=hostile("travaux"),
        created_by=hostile("qui"),
    )
    decide(
        vigie,
        realm,
        "improvements",
        text=hostile("retour"),
        owner="coordinateur_pca",
        due_at="2027-03-01T09:00:00+01:00",
    )
    decide(vigie, realm, "sitreps", remarks={"partners": hostile("remarque")})
    return incident, str(posted.json()["report_id"])


def clean(page: Page) -> None:
    assert page.locator(EVIL).count() == 0, page.url
    assert page.evaluate("window.evil") is None, page.url
    text = page.locator("body").inner_text()
    assert "49<" not in text.replace(" ", ""), page.url
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (
        f"{page.url} scrolls sideways"
    )


def test_text_from_every_entrance_stays_text_on_every_screen(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={own_realm}")
    incident, report = write_everywhere(vigie, own_realm)
    expect(
        page.locator("[data-row][data-site=cen-1]")
    ).to_be_visible()  # it came by the stream into an open page
    clean(page)
    made = vigie.http.post(
        "/api/v1/users",
        json={
            "login": hostile("compte")[:60],
            "role": "cell",
            "scope": {"sites": [hostile("site")[:60]]},
        },
    )
    assert made.status_code == 201, made.text
    for name, (template, *_) in SCREENS.items():
        if name == "personnes":
            continue
        call = call_of(vigie, own_realm) if template == "{call}" else ""
        path = template.format(incident=incident, report=report, call=call)
        joint = "&" if "?" in path else "?"
        page.goto(
            f"{path}{joint}realm={own_realm}&q=%22%3E%3Cimg+src%3Dx+data-evil%3E&depuis=%3Cscript%3E&genre=%22onload%3D"
        )
        expect(page.locator("body")).to_be_visible()
        clean(page)
    admin = visitor("admin").page(f"/personnes?realm={own_realm}")
    expect(admin.locator("#accounts")).to_contain_text("compte<img src=x data-evil")
    clean(admin)
    names_by_path = {
        f"/signalements/{report}": ("titre", "description"),
        "/main-courante": ("ligne", "note"),
        "/travaux": ("travaux",),
        "/retex": ("retour",),
        "/sitrep/1": ("remarque",),
    }
    for path, names in names_by_path.items():
        page.goto(f"{path}?realm={own_realm}")
        for name in names:
            expect(page.locator("body")).to_contain_text(f"{name}<img src=x data-evil")
    page.goto(
        f"/api/v1/sitreps/1?format=html&realm={own_realm}"
    )  # a frozen document is as harmless as its page
    expect(page.locator("body")).to_contain_text("remarque<img src=x data-evil")
    clean(page)
