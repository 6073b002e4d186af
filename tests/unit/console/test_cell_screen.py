"""The cell's screen shows dangers, demands and coming breaches."""

from __future__ import annotations

import re

import pytest

from schemas.reference import Sites
from services.console.logbook.lines import LineRecord, build_key
from services.console.read_model.reference_index import IndexedReference
from services.console.web import routes
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import TextItem
from tests.shipped import territory
from tests.unit.console.held import Held, browsing
from tests.unit.console.test_every_screen import (
    MINUTE,
    NOW,
    REALM,
    START,
    clocked,
    crisis,
    incident,
    ladder,
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
    realm_state = crisis()
    realm_state.put("sites", site("cen-1", type="gas_leak", effect="degraded", loss_pct=0))
    realm_state.put(
        "activities", clocked("CPL-01", START, path=(({"kind": "site", "id": "pmi-01"},),))
    )
    return realm_state


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
    realm_state = realm()
    realm_state.put("incidents", incident(kind="site", key="site:pmi-01"))
    realm_state.put("sites", site(type="sanitary_alert", severity=4))
    realm_state.put("reports", report(type="sanitary_alert", severity=4))
    browser, _ = browsing(realm_state)
    for path in ("/", "/incidents/i-1", "/?vue=incidents"):
        assert "Alerte sanitaire : PMI Darracq" in await shown(browser, path), path


async def test_the_title_stays_after_the_end_of_the_trouble() -> None:
    realm_state = realm()
    realm_state.put(
        "incidents", incident(kind="site", key="site:pmi-01", state="closed", closed_at=NOW)
    )
    realm_state.put("reports", report(type="sanitary_alert"))
    browser, _ = browsing(realm_state)
    assert "Alerte sanitaire : PMI Darracq" in await shown(browser, "/incidents/i-1")


async def test_only_readers_of_reports_see_the_first_sentence() -> None:
    realm_state = crisis()
    realm_state.put("reports", report(text_id="t-1"))
    browser, model = browsing(realm_state)
    fields = {"headline": "14 élèves vomissent après le déjeuner. SAMU appelé."}
    model.words.kept["t-1"] = TextItem(fields)
    for path in ("/", "/incidents/i-1"):
        assert "« 14 élèves vomissent après le déjeuner. »" in await shown(browser, path)
        assert "SAMU" not in await shown(browser, path)
        assert "14 élèves" not in await shown(browser, path, role="observer")


def doubted() -> Held:
    realm_state = crisis()
    realm_state.put(
        "reports",
        report("r-2", confirmation="rumour", certainty="rumour", type="gas_leak", incident=None),
    )
    realm_state.put(
        "reports",
        report(
            "r-3", site=None, commune="92050", confirmation="confirmed", type="fire", incident=None
        ),
    )
    due = {"state": "open", "opened_at": START, "due_at": NOW + 30 * MINUTE}
    realm_state.put(
        "tasks", {"id": "t-2", "kind": "verify_report", "site": "pmi-01", "report": "r-2", **due}
    )
    realm_state.put("tasks", {"id": "t-3", "kind": "link_site", "report": "r-3", **due})
    return realm_state


async def test_a_rumour_waits_for_a_decision_with_a_text_and_a_link_to_the_report() -> None:
    browser, _ = browsing(doubted())
    page = (await browser.get(f"/?realm={REALM}")).text
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    text = re.sub(r"<[^>]+>", "", decide)
    assert "Vérifier\u00a0: fuite de gaz (rumeur), PMI Darracq, avant 11:10" in text
    assert "Demander le lieu\u00a0: incendie, Nanterre, avant 11:10" in text
    assert "/signalements/r-2?" in decide
    assert "/signalements/r-3?" in decide
    tasks = (await browser.get(f"/?realm={REALM}&vue=taches")).text
    assert "/signalements/r-3?" in tasks.partition('id="rows"')[2]


@pytest.mark.parametrize(
    ("kind", "subject", "page"),
    [
        ("reentry", "EOM-04", "/activites"),
        ("improvement", "i-1", "/retex"),
        ("link_site", "r-9", "/signalements/r-9"),
    ],
)
async def test_a_task_leads_to_the_page_of_its_subject(kind: str, subject: str, page: str) -> None:
    """The task of an activity led to a report of that name, which does not exist."""
    realm_state = doubted()
    due = {"state": "open", "opened_at": START, "due_at": NOW + 30 * MINUTE}
    realm_state.put("tasks", {"id": "t-9", "kind": kind, "report": subject, **due})
    browser, _ = browsing(realm_state)
    tasks = (await browser.get(f"/?realm={REALM}&vue=taches")).text
    row = tasks.partition('data-key="r-t-9"')[2].partition("</tr>")[0]
    assert f'href="{page}?' in row


async def test_joined_reports_are_one_line_with_their_count_and_the_newest_words() -> None:
    realm_state = doubted()
    for number in (4, 5):
        realm_state.put(
            "reports",
            report(
                f"r-{number}",
                confirmation="rumour",
                certainty="rumour",
                type="gas_leak",
                incident=None,
                text_id=f"t-{number}",
            ),
        )
    realm_state.put(
        "tasks",
        {
            "id": "t-2",
            "kind": "verify_report",
            "site": "pmi-01",
            "report": "r-2",
            "candidates": ["r-4", "r-5"],
            "state": "open",
            "opened_at": START,
            "due_at": NOW + 30 * MINUTE,
        },
    )
    browser, model = browsing(realm_state)
    model.words.kept["t-4"] = TextItem({"headline": "Odeur dans la cour."})
    model.words.kept["t-5"] = TextItem({"headline": "Odeur partout."})
    page = (await browser.get(f"/?realm={REALM}")).text.replace("\u00a0", " ")
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    line = "fuite de gaz (rumeur), PMI Darracq, 3 signalements, « Odeur partout. », avant 11:10"
    assert f"Vérifier : {line}" in decide
    assert "/signalements/r-5?" in decide
    assert "/signalements/r-2?" not in decide
    tasks = (await browser.get(f"/?realm={REALM}&vue=taches")).text.replace("\u00a0", " ")
    assert "(3 signalements)" in tasks


async def test_a_danger_without_a_place_shows_the_words_and_the_number_of_its_sender() -> None:
    realm_state = doubted()
    realm_state.put(
        "reports",
        report("r-4", site=None, type="fire", text_id="t-4", flags=["place_missing"]),
    )
    realm_state.put(
        "tasks",
        {
            "id": "t-4",
            "kind": "link_site",
            "report": "r-4",
            "state": "open",
            "opened_at": START,
            "due_at": START + MINUTE,
        },
    )
    browser, model = browsing(realm_state)
    fields = {"headline": "Fumée au deuxième étage.", "contact": "01 47 29 30 31"}
    model.words.kept["t-4"] = TextItem(fields)
    page = (await browser.get(f"/?realm={REALM}")).text.replace("\u00a0", " ")
    assert page.count("Un danger est signalé sans lieu connu") >= 2
    for words in (
        "Demander le lieu : incendie, « Fumée au deuxième étage. », rappeler 01 47 29 30 31",
        "/signalements/r-4?",
    ):
        assert words in page
    sheet = (await browser.get(f"/signalements/r-4?realm={REALM}")).text.replace("\u00a0", " ")
    assert "Rappeler : 01 47 29 30 31" in sheet
    assert "lieu manquant : à demander" in sheet
    assert "/api/v1/reports/r-4/link" in sheet


async def test_words_and_numbers_of_senders_in_the_cell_are_recorded_as_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D59: the page told the number of a sender, and recorded its first sentence alone."""
    realm_state = crisis()
    for n in range(3):
        realm_state.put(
            "reports", report(f"r-{n}", site=None, type="fire", text_id=f"t-{n}", incident=None)
        )
        task = {"id": f"k-{n}", "kind": "link_site", "report": f"r-{n}", "state": "open"}
        realm_state.put("tasks", task | {"opened_at": START})
    browser, model = browsing(realm_state)
    model.words.kept["t-0"] = TextItem({"headline": "Fumée."})
    model.words.kept["t-1"] = TextItem({"contact": "01 47 29 30 31"})
    read: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(
        routes.log, "info", lambda event, **told: read.append((event, sorted(told["reports"])))
    )
    page = (await browser.get(f"/?realm={REALM}")).text
    assert "Fumée." in page
    assert "01 47 29 30 31" in page
    assert read == [("report.text_read", ["r-0", "r-1"])]
    read.clear()
    page = (await browser.get(f"/?realm={REALM}", role="observer")).text
    assert "01 47 29 30 31" not in page
    assert read == []


async def test_a_danger_to_verify_stands_before_reports_that_wait_longer() -> None:
    realm_state = doubted()
    realm_state.put("reports", report("r-1", site=None, type="info", severity=1, incident=None))
    realm_state.put(
        "tasks",
        {
            "id": "t-1",
            "kind": "link_site",
            "report": "r-1",
            "state": "open",
            "opened_at": START,
            "due_at": NOW + MINUTE,
        },
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}")).text
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    order = [decide.index(f"/signalements/{id}?") for id in ("r-2", "r-3", "r-1")]
    assert order == sorted(order)
    assert "2 dangers sont signalés, à vérifier" not in page, "r-3 is confirmed, without a site"
    assert "Un danger est signalé, à vérifier" in page


def proposing() -> Held:
    realm_state = crisis()
    why = {
        "code": "level",
        "metric": "sites_out",
        "op": ">=",
        "threshold": 30,
        "value": 31,
        "args": {"level": 4},
    }
    realm_state.put(
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
    return realm_state


async def test_a_proposed_level_can_be_accepted_or_refused_with_a_reason() -> None:
    browser, _ = browsing(proposing())
    page = (await browser.get(f"/?realm={REALM}")).text
    form = page.partition('id="level-menu"')[2].partition("</details>")[0]
    assert re.search(r'value="4" selected>Passer à N4', form)
    assert re.search(r'value="3">Rester à N3', form)
    assert re.search(r'name="reason" required', form)
    assert 'href="#level-menu"' in page


async def test_the_level_can_be_changed_without_an_open_incident() -> None:
    realm_state = realm()
    realm_state.put("levels", {"id": "territory", "level": 3, "since": START, "version": 2})
    browser, _ = browsing(realm_state)
    assert 'id="level-menu"' in (await browser.get(f"/?realm={REALM}")).text
    assert 'id="level-menu"' not in (await browser.get(f"/?realm={REALM}", role="observer")).text


async def test_a_decided_level_keeps_author_time_and_reason() -> None:
    realm_state = crisis()
    measured = {
        "code": "level",
        "metric": "sites_out",
        "op": ">=",
        "threshold": 3,
        "value": 4,
        "args": {"level": 3},
        "at": START,
    }
    realm_state.put("incidents", incident(level=4, why=(measured, MANUAL)))
    realm_state.put(
        "levels",
        {
            "id": "territory",
            "level": 4,
            "since": START + 5 * MINUTE,
            "why": (MANUAL,),
            "version": 2,
        },
    )
    browser, model = browsing(realm_state)
    model.words.kept["why-1"] = TextItem({"text": "Préfet informé"})
    for path in ("/incidents/i-1", "/sitrep"):
        page_text = await shown(browser, path)
        assert "décidé par" in page_text, path
        assert "Préfet informé" in page_text, path
        assert "09:45" in page_text, path
        assert re.search(r"N3,? 09:40", page_text), path


async def test_coming_breaches_are_shown_and_past_ones_are_counted() -> None:
    realm_state = crisis()
    realm_state.put("activities", clocked("CPL-01", NOW - 300 * MINUTE))
    realm_state.put("activities", clocked("SOL-01", NOW - 10 * MINUTE))
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}")).text
    breaks = page.partition('data-key="breaks"')[2].partition("</section>")[0]
    assert "1 échéance déjà dépassée" in breaks
    assert "SOL-01" in breaks
    assert "CPL-01" not in breaks


async def test_a_plan_is_shown_with_its_name_and_the_effect_of_its_activation() -> None:
    realm_state = crisis()
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
    realm_state.put("plans", plan)
    browser, _ = browsing(realm_state)
    name = realm_state.reference.plans["PT-ELEC"].title
    page = (await browser.get(f"/?realm={REALM}")).text
    decide = page.partition('data-key="decide"')[2].partition("</section>")[0]
    assert f"<b>{name}</b>" in decide.replace("&#39;", "'")
    page_text = await shown(browser, "/incidents/i-1")
    assert re.search(
        r"À l’activation\s: \d+ fiches partent pour .+ ; 1 site touché\.",
        page_text.replace("\u00a0", " "),
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
    realm_state = crisis()
    sites = [s for s in realm_state.reference.sites if s.startswith("clg-")][:12]
    realm_state.lines += [alarm(n, NOW - MINUTE + n, s, pct=100) for n, s in enumerate(sites, 1)]
    realm_state.lines += [alarm(n, NOW - MINUTE + n, s) for n, s in enumerate(sites, 20)]
    browser, _ = browsing(realm_state)
    page_text = (await shown(browser, "/main-courante")).replace("\u00a0", " ")
    markup = (await browser.get(f"/main-courante?realm={REALM}")).text
    assert markup.count('class="lead"') == 1
    assert markup.count('class="part"') == 12
    assert re.search(r"Accueil des collèges \(EDU-02\), 12 sites \(.+\) : RTO", page_text)
    assert "12 alarmes avant échéance ne sont pas affichées" in page_text
    assert "RTO consommé à 50 %" not in page_text
    assert "RTO consommé à 50 %" in (await shown(browser, "/main-courante?genre=alarm")).replace(
        "\u00a0", " "
    )


async def test_the_logbook_of_a_storm_is_one_row_and_shows_each_danger() -> None:
    """Reports of ten pages of lines are read for it; a line that is cited or corrected shows."""
    realm_state = crisis()
    sites = sorted(realm_state.reference.sites)[:88]
    values: dict[str, object] = {"type": "outage_power", "severity": 4}
    realm_state.lines += [
        told(n, NOW - MINUTE + n, site=s, report=f"r-{n}", values=values)
        for n, s in enumerate(sites, 1)
    ]
    danger = {"type": "outage_power", "severity": 5}
    realm_state.lines.append(told(100, NOW - MINUTE + 50, site=sites[0], values=danger))
    browser, _ = browsing(realm_state)
    markup = (await browser.get(f"/main-courante?realm={REALM}")).text
    assert re.search(r"Coupure d’électricité\s: 88 sites \(", markup)
    assert markup.count('<tr class="part"') == 88
    assert markup.count('<tr id="l-') == 1 + len(crisis().lines)
    lines = markup.partition('id="lines"')[2]
    assert lines.count("#s-danger") == 1
    key = build_key(NOW - MINUTE + 40, "alerts", 40, 0)
    cited = (await browser.get(f"/main-courante?realm={REALM}&ligne={key}")).text
    assert f'<tr id="l-{key}" data-key="l-l-40" class="cited"' in cited


async def test_failed_calls_are_one_line() -> None:
    realm_state = crisis()
    realm_state.lines += [
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
    realm_state.lines.append(told(60, NOW - 2 * MINUTE, incident="i-1", report="r-1"))
    browser, _ = browsing(realm_state)
    for path in ("/main-courante", "/incidents/i-1"):
        page_text = await shown(browser, path)
        assert "tous les canaux ont échoué (53 fois)" in page_text.replace("\u00a0", " "), path


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
    realm_state = crisis()
    realm_state.put(
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
    realm_state.put(
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
    browser, _ = browsing(realm_state)
    assert "maintenant" not in await shown(browser, "/plans")
    realm_state.put(
        "trigger_values", {"id": "PT-ELEC:2", "current": (why | {"value": 12, "at": NOW},)}
    )
    browser, _ = browsing(realm_state)
    for path in ("/", "/plans"):
        assert re.search(r"2 ?(\(≥ 2\))?.*; maintenant : 12", await shown(browser, path)), path


async def test_counts_have_their_number_and_are_no_durations() -> None:
    """The wall said «0 sollicitations»; «deux heures par ligne» was read as a duration."""
    realm_state = crisis()
    realm_state.lines.append(told(1, NOW - MINUTE, incident="i-1"))
    browser, _ = browsing(realm_state)
    assert "0 sollicitation en 10 min" in await shown(browser, "/mur")
    assert "Main courante 1 dernière ligne" in await shown(browser, "/incidents/i-1")


def burning_former_site() -> Held:
    """Return a fire at a site that the reference data in force do not have any more."""
    sections = tuple(
        Sites(sites=tuple(one for one in section.sites if one.id != "cen-1"))
        if isinstance(section, Sites)
        else section
        for section in territory().sections
    )
    names = {one.id: (one.name, one.commune_name) for one in territory().sites}
    realm_state = crisis()
    realm_state.reference = IndexedReference.of_sections("fewer", sections).with_former_sites(names)
    realm_state.put("sites", site("cen-1", type="fire", effect="evacuated"))
    return realm_state


async def test_a_danger_at_a_site_that_left_stays_first_and_has_its_page() -> None:
    """D63: `--release` takes the site away, not the fire: it had no row, and its page was a 404."""
    browser, _ = browsing(burning_former_site())
    page = (await browser.get(f"/?realm={REALM}")).text
    rows = page.partition('id="rows"')[2].partition("</table>")[0]
    assert rows.index('data-site="cen-1"') < rows.index('data-site="pmi-01"')
    assert "(site retiré)" in rows
    answer = await browser.get(f"/sites/cen-1?realm={REALM}")
    assert answer.status_code == 200
    assert "n’est plus dans les données de référence" in answer.text
    assert "incendie" in answer.text.lower()
    assert "/signaler?" not in answer.text.partition("<main")[2].partition("</main>")[0]


async def test_a_site_that_left_is_not_listed_once_nothing_is_open_there() -> None:
    realm_state = burning_former_site()
    realm_state.rows["sites"].pop("cen-1")
    browser, _ = browsing(realm_state)
    listed = (await browser.get(f"/api/v1/sites?realm={REALM}&limit=1000")).json()["items"]
    assert "cen-1" not in {one["id"] for one in listed}


async def test_the_wall_shows_a_higher_level_of_an_active_plan_to_decide() -> None:
    """It asked for proposed plans alone, and the fourth level of a flood was missing."""
    realm_state = crisis()
    row = {
        "id": "PT-ELEC",
        "state": "active",
        "level": 2,
        "proposed_level": 3,
        "version": 2,
        "proposed_at": START,
        "decided_at": START,
        "decides": "coordinateur_pca",
    }
    realm_state.put("plans", row)
    browser, _ = browsing(realm_state)
    title = realm_state.reference.plans["PT-ELEC"].title
    text = await shown(browser, "/mur")
    assert "À décider : 1 plan proposé" in text.replace("\u00a0", " ")
    assert title in text.replace("&#39;", "'")


@pytest.mark.parametrize("person", ["ast-direction", "stand-in"])
async def test_the_answer_of_a_stand_in_ends_the_demand_on_the_role(person: str) -> None:
    """The queue knew the roster alone: an answer by override or rotation ended nothing."""
    role = "astreinte_direction"
    escalation = ladder("e-1", "N2", "i-1", "running", START, ("i-1",))
    call = {
        "id": "n-1",
        "incident": "i-1",
        "escalation": "e-1",
        "level": 2,
        "role": role,
        "person": person,
        "state": "answered",
        "template": "incident_wave",
        "answer_expected": True,
        "planned_at": START,
    }

    async def list_kinds(answered: tuple[str, ...]) -> list[str]:
        realm_state = crisis()
        (wave,) = escalation["waves"]
        called = {"roles": (role,), "notifications": ("n-1",), "answered": answered}
        realm_state.put("escalations", {**escalation, "waves": ({**wave, **called},)})
        realm_state.put("notifications", call)
        browser, _ = browsing(realm_state)
        answer = await browser.get(f"/api/v1/attention?realm={REALM}&role={role}")
        return [line["kind"] for line in answer.json()["queue"]]

    assert "escalation" in await list_kinds(())
    assert "escalation" not in await list_kinds((person,))


async def test_the_answer_of_an_account_without_a_person_ends_the_demand_on_its_role() -> None:
    """An account of a function took charge, and was asked for ever."""
    realm_state = crisis()
    escalation = ladder("e-1", "N2", "i-1", "running", START, ("i-1",))
    (wave,) = escalation["waves"]
    called = {"roles": ("coordinateur_pca",), "answered": ("coordinator-1",)}
    realm_state.put("escalations", {**escalation, "waves": ({**wave, **called},)})
    account = Principal(id="coordinator-1", role=Role.COORDINATOR)
    for accounts, is_asked in (([], True), ([account], False)):
        browser, _ = browsing(realm_state)
        browser.app.state.access.kept = accounts
        page = await shown(browser, "/", role="coordinator")
        assert ("Un appel attend une prise en charge" in page) is is_asked
        url = f"/api/v1/attention?realm={REALM}&role=coordinateur_pca"
        queue = (await browser.get(url)).json()["queue"]
        assert any(line["kind"] == "escalation" for line in queue) is is_asked
