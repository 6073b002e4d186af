"""The other screens, in both languages."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Accounts, report
from tests.system import RunningVigie


def incident_of(vigie: RunningVigie, realm: str) -> str:
    return str(vigie.get(f"/api/v1/incidents?realm={realm}")["items"][0]["id"])


def report_of(vigie: RunningVigie, realm: str) -> str:
    return str(vigie.get(f"/api/v1/incidents?realm={realm}")["items"][0]["reports"][0])


def test_the_incident_proves_its_level_its_answers_and_when_it_was_known(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/incidents/{incident_of(vigie, crisis)}?realm={crisis}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Coupure électrique")
    expect(page.locator("#steps [aria-current=step]")).to_contain_text("N3 en cours")
    why = page.locator("#why li").all_inner_texts()
    assert [w[:2] for w in why[:3]] == ["N1", "N2", "N3"]
    expect(page.locator("#figures")).to_contain_text("180 000")
    assert page.locator("#lags .fl.lt").count() == 9
    ladder = page.locator("[id^=ladder-]")
    expect(ladder).to_contain_text("Réponses : 6 sur 8")
    expect(ladder).to_contain_text("DGS, directeur de crise 09:51")
    expect(ladder.locator(".next")).to_contain_text("Prochaine vague")
    expect(page.locator("#plans")).to_contain_text(re.compile(r"\d à décider"))
    late = page.locator("#log .rec.lt").first
    expect(late).to_have_text(re.compile(r"connu à \d\d:\d\d, \+\d+"))
    expect(page.locator("#members")).to_contain_text("centrale SSI › Siège")


def test_readers_see_the_reasons_of_a_proposed_plan_in_whole_lines(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    """Beside the name of the author it had a word or two per line."""
    page = visitor("observer").page(f"/incidents/{incident_of(vigie, crisis)}?realm={crisis}")
    expect(page.locator("#plans")).to_contain_text(
        "à décider : Direction Commande publique et logistique"
    )
    shares = page.locator("#plans li .why").evaluate_all(
        "found => found.map(e => e.offsetWidth / e.parentElement.clientWidth)"
    )
    assert min(shares) > 0.8
    displays = page.evaluate("""() => ["p", "span"].map(name => {
        const line = document.querySelector("main").appendChild(document.createElement(name));
        const icon = line.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
        icon.setAttribute("class", "ic");
        return getComputedStyle(icon).display;
    })""")
    assert displays == ["inline-block", "inline-block"]


def test_a_site_explains_its_status(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/sites/cen-1?realm={crisis}")
    expect(page.locator("#words")).to_contain_text("Les personnes ont dû sortir")
    expect(page.locator("#causes")).to_contain_text("sans courant")
    page.goto(f"/?realm={crisis}&vue=sans-nouvelles")
    page.locator("[data-row] .spot").first.click()
    expect(page.locator("#words")).to_contain_text("L’absence de nouvelles ne vaut jamais")


def test_activities_stand_in_the_order_in_which_they_break(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/activites?realm={crisis}")
    expect(page.locator("#axis")).to_contain_text("13:42 rétablissement annoncé")
    assert page.locator(".acts li:not(.hd)").count() == 55
    verdicts = page.locator("#axis g > text:last-child").all_text_contents()
    assert len(verdicts) == 14
    limits = [re.findall(r"\d\d:\d\d", v)[1 if v.startswith("RTO passé") else 0] for v in verdicts]
    assert limits == sorted(limits)
    poles = [
        p for p in vigie.get(f"/api/v1/poles?realm={crisis}")["items"] if p["activities_total"]
    ]
    assert any(p["activities_below"] for p in poles)
    for pole, heading in zip(
        poles, page.locator("#poles header .aside").all_text_contents(), strict=True
    ):
        heading_text = heading.replace("\u00a0", " ")
        assert (
            f"capacité {round(pole['capacity_pct'])} %, minimum {round(pole['mbco_pct'])} %"
            in heading_text
        )
        assert bool(pole["activities_below"]) == ("sous" in heading_text)


OUTSIDE = """() => [...document.querySelectorAll(".wall :is(h2, h3, p, b, li)")].filter(e => {
  const box = e.getBoundingClientRect(), room = (e.closest("main > *, footer > *, .top > *") ?? document.body).getBoundingClientRect();
  return box.width && (box.left < room.left - 1 || box.right > room.right + 1 || box.top < room.top - 1 || box.bottom > room.bottom + 1);
}).map(e => e.textContent.trim().slice(0, 60))"""
"""Texts that leave their part of the wall."""


def test_the_wall_can_be_read_from_five_metres(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/mur?realm={crisis}", width=1920, height=1080)
    expect(page.locator(".lv b")).to_have_text("N3")
    assert page.locator("#mid .fig b").all_inner_texts()[0] == "1"
    for width, height in ((1920, 1080), (1440, 900), (1280, 720), (2560, 1440), (3440, 1440)):
        page.set_viewport_size({"width": width, "height": height})
        size = page.locator(".lv b").evaluate("e => parseFloat(getComputedStyle(e).fontSize)")
        assert size >= 48 * min(width / 1920, height / 1080)
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert page.evaluate(OUTSIDE) == [], f"{width} × {height}"


def test_a_calm_wall_shows_one_line_turns_through_its_views_and_stays_with_the_crisis(
    vigie: RunningVigie, own_realm: str, visitor: Accounts
) -> None:
    """mockups/README.md: the wall turns by itself between pages while nothing is open."""
    page = visitor("kiosk").page(width=1920, height=1080, reduced_motion="no-preference")
    page.clock.install()
    page.goto(f"/mur?realm={own_realm}")
    main = page.locator("#contenu")
    poles, ahead, now = (
        page.locator("#view-poles"),
        page.locator("#view-ahead"),
        page.locator("#mid"),
    )
    expect(now).to_be_visible()
    none = page.get_by_text("Aucune horloge en cours.")
    assert none.evaluate(
        "e => e.getClientRects().length && e.clientHeight < 2 * parseFloat(getComputedStyle(e).lineHeight)"
    )
    for hidden, visible_view in ((now, poles), (poles, ahead), (ahead, now)):
        page.clock.run_for(20_000)
        expect(visible_view).to_be_visible()
        expect(hidden).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        assert page.evaluate(OUTSIDE) == []
    page.clock.run_for(20_000)
    page.get_by_role("button", name="Arrêter sur cette vue").click()
    page.clock.run_for(60_000)
    expect(poles).to_be_visible()
    page.clock.resume()
    report(vigie, own_realm, "cen-1")
    expect(poles).to_have_count(0)
    expect(now).to_be_visible()
    expect(main).to_have_attribute("data-view", "")


def test_english_readers_find_english(vigie: RunningVigie, crisis: str, visitor: Accounts) -> None:
    context = visitor().context(locale="en-GB")
    page = context.new_page()
    for path in (
        "/",
        f"/incidents/{incident_of(vigie, crisis)}",
        "/activites",
        "/mur",
        "/sites/cen-1",
    ):
        page.goto(f"{path}?realm={crisis}")
        expect(page.locator("html")).to_have_attribute("lang", "en")
        text = page.locator("body").inner_text()
        assert "EXERCISE" in text
        assert not re.search(r"Fermé|Évacué|Sans nouvelles|depuis|réponses|À décider", text), path
    page.goto(f"/?realm={crisis}&lang=fr")
    page.goto(f"/?realm={crisis}")
    expect(page.locator("html")).to_have_attribute("lang", "fr")


def test_every_screen_shows_a_past_time_and_allows_no_decision_there(
    vigie: RunningVigie, crisis: str, visitor: Accounts
) -> None:
    page = visitor().page(f"/?realm={crisis}&as_of=2027-02-11T09:41")
    expect(page.locator("#past")).to_contain_text("jeudi 11 février 2027 à 09:41:00")
    expect(page.locator(".level")).to_contain_text("N2")
    expect(page.locator("#live")).to_have_count(0)
    expect(
        page.get_by_role("button", name=re.compile("Prendre en charge|Escalader|Ajouter"))
    ).to_have_count(0)
    expect(page.get_by_role("link", name=re.compile("Décider"))).to_have_count(0)
    slider = page.get_by_label("Ligne de temps")
    slider.focus()
    slider.press("ArrowRight")
    page.wait_for_url(re.compile(r"as_of=2027-02-11T09%3A42"))
    expect(page.locator(".level")).to_contain_text("N3")
    page.get_by_role("link", name="Activités").click()
    expect(page.locator("#past")).to_contain_text("09:42:00")
    page.get_by_role("link", name="Revenir au présent").click()
    expect(page.locator("#live")).to_be_visible()
    expect(page.locator("#past")).to_have_count(0)


def test_the_handover_shows_changes_and_open_tasks(crisis: str, visitor: Accounts) -> None:
    page = visitor().page(f"/releve?realm={crisis}&depuis=30")
    changes = page.locator("#changes")
    expect(changes).to_contain_text("Sites")
    silent_site = changes.locator("[data-key^=sites-]", has_text="Sans nouvelles").first
    expect(silent_site).to_be_hidden()
    changes.locator("[data-key=earlier-sites] summary").click()
    expect(silent_site).to_be_visible()
    expect(changes.locator("[data-key=levels-territory]")).to_have_count(
        0
    )  # N3 since 09:42: known to who left at 09:46
    page.get_by_role("link", name="8 h", exact=True).click()
    expect(changes.locator("[data-key=levels-territory]")).to_contain_text("N3")
    expect(page.locator("#taken")).to_contain_text("Tâches ouvertes")


def test_help_needs_no_login(visitor: Accounts) -> None:
    page = visitor(None).page("/aide")
    expect(page.get_by_role("heading", level=1)).to_have_text("Aide")
    page.get_by_role("link", name="Glossaire").click()
    expect(page.locator(".terms")).to_contain_text("Business impact analysis")


def test_empty_screens_say_so_in_plain_text(crisis: str, visitor: Accounts) -> None:
    page = visitor().page()
    for path in (
        f"/incidents/none?realm={crisis}",
        f"/sites/none?realm={crisis}",
        "/?realm=92~ex-nulle-part",
        "/a/forged",
    ):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("link", name="Retour à la cellule")).to_be_visible()
