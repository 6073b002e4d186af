"""The cell's screen shows dangers, demands and coming breaches."""

from __future__ import annotations

import re

from services.console.logbook.lines import LineRecord
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import (
    MINUTE,
    NOW,
    REALM,
    START,
    clocked,
    crisis,
    incident,
    realm,
    report,
    shown,
    site,
    told,
)

MANUAL = {
    "code": "manual",
    "args": {"author": "coord-pca", "level": 4, "reason": "text:why-1"},
    "at": START + 5 * MINUTE,
}


def leaking() -> Held:
    """Return a gas leak at one site and a power cut with a running clock at another."""
    held = crisis()
    held.put("sites", site("cen-1", type="gas_leak", effect="degraded", loss_pct=0))
    held.put("activities", clocked("CPL-01", START, path=(({"kind": "site", "id": "pmi-01"},),)))
    return held


async def test_danger_to_people_stands_above_everything_else() -> None:
    browser, _ = browsing(leaking())
    page = (await browser.get(f"/?realm={REALM}")).text
    rows = page.partition('id="rows"')[2].partition("</table>")[0]
    assert (
        rows.index("Danger pour des personnes")
        < rows.index('data-site="cen-1"')
        < rows.index('data-site="pmi-01"')
    )
    assert re.search(r'<use href="#s-danger"/></svg>Danger</span>', rows)
    assert rows.count("#s-danger") == 1


async def test_an_incident_of_a_site_is_named_after_its_event() -> None:
    held = realm()
    held.put("incidents", incident(kind="site", key="site:pmi-01"))
    held.put("sites", site(type="sanitary_alert", severity=4))
    held.put("reports", report(type="sanitary_alert", severity=4))
    browser, _ = browsing(held)
    for path in ("/", "/incidents/i-1", "/?vue=incidents"):
        assert "Alerte sanitaire : PMI Darracq" in await shown(browser, path), path


async def test_the_title_stays_after_the_end_of_the_trouble() -> None:
    held = realm()
    held.put("incidents", incident(kind="site", key="site:pmi-01", state="closed", closed_at=NOW))
    held.put("reports", report(type="sanitary_alert"))
    browser, _ = browsing(held)
    assert "Alerte sanitaire : PMI Darracq" in await shown(browser, "/incidents/i-1")


async def test_only_readers_of_reports_see_the_first_sentence() -> None:
    held = crisis()
    held.put("reports", report(text_id="t-1"))
    browser, model = browsing(held)
    fields = {"headline": "14 élèves vomissent après le déjeuner. SAMU appelé."}
    model.words.kept["t-1"] = TextItem(fields)
    for path in ("/", "/incidents/i-1"):
        assert "« 14 élèves vomissent après le déjeuner. »" in await shown(browser, path)
        assert "SAMU" not in await shown(browser, path)
        assert "14 élèves" not in await shown(browser, path, role="observer")


def doubted() -> Held:
    held = crisis()
    held.put(
        "reports",
        report("r-2", confirmation="rumour", certainty="rumour", type="gas_leak", incident=None),
    )
    held.put(
        "reports",
        report(
            "r-3", site=None, commune="92050", confirmation="confirmed", type="fire", incident=None
        ),
    )
    due = {"state": "open", "opened_at": START, "due_at": NOW + 30 * MINUTE}
    held.put(
        "tasks", {"id": "t-2", "kind": "verify_report", "site": "pmi-01", "report": "r-2", **due}
    )
    held.put("tasks", {"id": "t-3", "kind": "link_site", "report": "r-3", **due})
    return held


async def test_a_rumour_waits_for_a_decision_with_a_text_and_a_link_to_the_report() -> None:
    browser, _ = browsing(doubted())
    page = (await browser.get(f"/?realm={REALM}")).text
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    text = re.sub(r"<[^>]+>", "", decide)
    assert "Vérifier\u00a0: fuite de gaz (rumeur), PMI Darracq, avant 11:10" in text
    assert "Rattacher à un site\u00a0: incendie, Nanterre, avant 11:10" in text
    assert "/signalements/r-2?" in decide
    assert "/signalements/r-3?" in decide
    tasks = (await browser.get(f"/?realm={REALM}&vue=taches")).text
    assert "/signalements/r-3?" in tasks.partition('id="rows"')[2]


def proposing() -> Held:
    held = crisis()
    why = {
        "code": "level",
        "metric": "sites_out",
        "op": ">=",
        "threshold": 30,
        "value": 31,
        "args": {"level": 4},
    }
    held.put(
        "levels",
        {
            "id": "territory",
            "level": 3,
            "since": START,
            "proposed": 4,
            "proposed_why": (why,),
            "version": 2,
        },
    )
    return held


async def test_a_proposed_level_can_be_accepted_or_refused_with_a_reason() -> None:
    browser, _ = browsing(proposing())
    page = (await browser.get(f"/?realm={REALM}")).text
    form = page.partition('id="level-menu"')[2].partition("</details>")[0]
    assert re.search(r'value="4" selected>Passer à N4', form)
    assert re.search(r'value="3">Rester à N3', form)
    assert re.search(r'name="reason" required', form)
    assert 'href="#level-menu"' in page


async def test_the_level_can_be_changed_without_an_open_incident() -> None:
    held = realm()
    held.put("levels", {"id": "territory", "level": 3, "since": START, "version": 2})
    browser, _ = browsing(held)
    assert 'id="level-menu"' in (await browser.get(f"/?realm={REALM}")).text
    assert 'id="level-menu"' not in (await browser.get(f"/?realm={REALM}", role="observer")).text


async def test_a_decided_level_keeps_author_time_and_reason() -> None:
    held = crisis()
    measured = {
        "code": "level",
        "metric": "sites_out",
        "op": ">=",
        "threshold": 3,
        "value": 4,
        "args": {"level": 3},
        "at": START,
    }
    held.put("incidents", incident(level=4, why=(measured, MANUAL)))
    held.put(
        "levels",
        {
            "id": "territory",
            "level": 4,
            "since": START + 5 * MINUTE,
            "why": (MANUAL,),
            "version": 2,
        },
    )
    browser, model = browsing(held)
    model.words.kept["why-1"] = TextItem({"text": "Préfet informé"})
    for path in ("/incidents/i-1", "/sitrep"):
        seen = await shown(browser, path)
        assert "décidé par" in seen, path
        assert "Préfet informé" in seen, path
        assert "09:45" in seen, path
        assert re.search(r"N3,? 09:40", seen), path


async def test_coming_breaches_are_shown_and_past_ones_are_counted() -> None:
    held = crisis()
    held.put("activities", clocked("CPL-01", NOW - 300 * MINUTE))
    held.put("activities", clocked("SOL-01", NOW - 10 * MINUTE))
    browser, _ = browsing(held)
    page = (await browser.get(f"/?realm={REALM}")).text
    breaks = page.partition('data-key="breaks"')[2].partition("</section>")[0]
    assert "1 échéance déjà dépassée" in breaks
    assert "SOL-01" in breaks
    assert "CPL-01" not in breaks


async def test_a_plan_is_shown_with_its_name_and_the_effect_of_its_activation() -> None:
    held = crisis()
    why = {
        "code": "trigger",
        "metric": "sites_out",
        "op": ">=",
        "threshold": 2,
        "value": 2,
        "at": START,
    }
    plan = {
        "id": "PT-ELEC",
        "state": "proposed",
        "level": 0,
        "proposed_level": 2,
        "incident": "i-1",
        "proposed_at": START,
        "why": (why,),
        "version": 1,
        "decides": "coordinateur_pca",
    }
    held.put("plans", plan)
    browser, _ = browsing(held)
    name = held.reference.plans["PT-ELEC"].title
    page = (await browser.get(f"/?realm={REALM}")).text
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    assert f"<b>{name}</b>" in decide.replace("&#39;", "'")
    seen = await shown(browser, "/incidents/i-1")
    assert re.search(
        r"À l’activation\s: \d+ fiches partent pour .+ ; 1 site touché\.",
        seen.replace("\u00a0", " "),
    )


def alarm(n: int, at: int, site: str, pct: int = 50) -> LineRecord:
    return told(
        n,
        at,
        type="AlarmRaised",
        kind="alarm",
        change=None,
        site=site,
        source=None,
        values={"activity": "EDU-02", "base": "rto", "pct": pct},
    )


async def test_alarms_of_one_activity_are_one_line_and_early_ones_are_folded() -> None:
    held = crisis()
    sites = [s for s in held.reference.sites if s.startswith("clg-")][:12]
    held.lines += [alarm(n, NOW - MINUTE + n, s, pct=100) for n, s in enumerate(sites, 1)]
    held.lines += [alarm(n, NOW - MINUTE + n, s) for n, s in enumerate(sites, 20)]
    browser, _ = browsing(held)
    seen = (await shown(browser, "/main-courante")).replace("\u00a0", " ")
    assert (await browser.get(f"/main-courante?realm={REALM}")).text.count("data-recorded=") == 1
    assert "Accueil des collèges (EDU-02) : RTO consommé à 100 % sur 12 sites" in seen
    assert "12 alarmes avant échéance ne sont pas affichées" in seen
    assert "RTO consommé à 50 % sur 12 sites" in (
        await shown(browser, "/main-courante?genre=alarm")
    ).replace("\u00a0", " ")


async def test_failed_calls_are_one_line() -> None:
    held = crisis()
    held.lines += [
        told(
            n,
            NOW - MINUTE + n,
            type="NotificationChanged",
            kind="communication",
            change="failed",
            incident="i-1",
            values={"role": "directeur_pole"},
        )
        for n in range(1, 54)
    ]
    held.lines.append(told(60, NOW - 2 * MINUTE, incident="i-1", report="r-1"))
    browser, _ = browsing(held)
    for path in ("/main-courante", "/incidents/i-1"):
        seen = await shown(browser, path)
        assert "53 appels impossibles" in seen, path
        assert seen.count("Injoignable") == 0, path


async def test_a_plan_shows_its_current_value_beside_its_first_value() -> None:
    why = {
        "code": "predicate",
        "metric": "sites_hit",
        "args": {"kinds": ["college"]},
        "op": ">=",
        "threshold": 2,
        "value": 2,
        "at": START,
    }
    held = crisis()
    held.put(
        "plans",
        {
            "id": "PT-ELEC",
            "state": "proposed",
            "level": 0,
            "proposed_level": 2,
            "version": 1,
            "proposed_at": START,
            "why": (why,),
            "decides": "directeur_pole",
        },
    )
    held.put(
        "triggers",
        {
            "id": "PT-ELEC:2",
            "plan": "PT-ELEC",
            "level": 2,
            "state": "held",
            "since": START,
            "why": (why,),
        },
    )
    browser, _ = browsing(held)
    assert "maintenant" not in await shown(browser, "/plans")
    held.put("trigger_values", {"id": "PT-ELEC:2", "current": (why | {"value": 12, "at": NOW},)})
    browser, _ = browsing(held)
    for path in ("/", "/plans"):
        assert re.search(r"2 ?(\(≥ 2\))?.*; maintenant : 12", await shown(browser, path)), path
