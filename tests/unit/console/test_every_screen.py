"""Every screen and resource copes with odd times and missing objects.

The realms are in memory.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from schemas.runtime import CommandRefused
from services.console.incidents import report_screen, reports_api
from services.console.logbook.facts.reassignment import format_small_count
from services.console.logbook.lines import LineRecord, build_key
from services.console.logbook.lines import render_line as said
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.runtime.secrets.vault import TextItem
from tests.unit.console.held import Browser, Held, browsing, reference
from tests.unit.console.test_lines import lines

MINUTE = 60_000
START = 1_802_335_200_000
"""2027-02-11T08:40:00Z."""
NOW = START + 60 * MINUTE
REALM = "92~ex-1"
FOR_EVER = 253_402_300_799_000
"""9999-12-31T23:59:59Z: how programs write « without end »."""
NO_CALENDAR = FOR_EVER + 200 * 365 * 86_400_000


def realm(**fields: object) -> Held:
    """Return an exercise one hour after its start."""
    return Held(REALM, clock=NOW, reference=reference(), fields={"started_at": START, **fields})


def incident(id: str = "i-1", **changes: object) -> dict[str, object]:
    return {
        "id": id,
        "number": "92-2027-0211-01",
        "kind": "power",
        "key": "power:92050",
        "state": "open",
        "level": 1,
        "severity": 3,
        "certainty": "confirmed",
        "opened_at": START,
        "known_at": START,
        "updated_at": START,
        "version": 0,
        "members": ("pmi-01",),
        "communes": ("92050",),
        "reports_count": 1,
        **changes,
    }


def site(id: str = "pmi-01", **cause: object) -> dict[str, object]:
    one = {
        "id": f"c-{id}",
        "incident": "i-1",
        "type": "outage_power",
        "effect": "closed",
        "since": START,
        "certainty": "confirmed",
        "severity": 3,
        "loss_pct": 100,
        "sources": ("site_manager",),
        **cause,
    }
    return {
        "id": id,
        "status": "closed",
        "since": START,
        "capacity_pct": 0,
        "causes": (one,),
        "last_word_at": START,
    }


def report(id: str = "r-1", **changes: object) -> dict[str, object]:
    return {
        "id": id,
        "state": "applied",
        "incident": "i-1",
        "confirmation": "confirmed",
        "source": "site_manager",
        "site": "pmi-01",
        "type": "outage_power",
        "severity": 3,
        "certainty": "confirmed",
        "msg_type": "Alert",
        "occurred_at": START,
        "recorded_at": START,
        **changes,
    }


def crisis() -> Held:
    """Return one site without power."""
    realm_state = realm()
    realm_state.put("incidents", incident())
    realm_state.put("sites", site())
    realm_state.put("reports", report())
    return realm_state


def words(html: str) -> str:
    """Return the visible text of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html.partition("<body")[2]))


async def shown(browser: Browser, path: str, **more: str) -> str:
    """Return the visible text of an existing page."""
    answer = await browser.get(f"{path}{'&' if '?' in path else '?'}realm={REALM}", **more)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return words(answer.text)


SCREENS = (
    "/",
    "/mur",
    "/incidents/i-1",
    "/sites/pmi-01",
    "/signalements/r-1",
    "/activites",
    "/actions",
    "/plans",
    "/releve",
    "/sitrep",
    "/retex",
    "/travaux",
    "/donnees",
    "/appels",
)
RESOURCES = (
    "/overview",
    "/incidents/i-1",
    "/incidents/i-1/cap",
    "/sites/pmi-01",
    "/reports/r-1",
    "/sending/hold",
    "/sitreps/draft",
    "/maintenance",
    "/reference/changes",
    "/callouts",
)


@pytest.mark.parametrize("at", [FOR_EVER, NO_CALENDAR, -FOR_EVER])
async def test_a_time_without_end_breaks_no_screen(at: int) -> None:
    """A source sent 9999-12-31T23:59:59Z for an outage without an end.

    In Paris that day is outside every calendar.
    """
    realm_state = crisis()
    realm_state.put("incidents", incident(estimated_end=at))
    realm_state.put("sites", site(expected_end=at, windows=({"start": START, "end": at},)))
    realm_state.put("reports", report(expected_end=at, effective=({"start": START, "end": at},)))
    realm_state.put("holds", {"id": "sending", "held": True, "until": at, "since": START})
    browser, _ = browsing(realm_state)
    for path in SCREENS:
        await shown(browser, path)
    for path in RESOURCES:
        answer = await browser.get(f"/api/v1{path}?realm={REALM}", accept="application/json")
        assert answer.status_code == 200, (path, answer.text)


async def test_an_incident_that_is_over_on_site_says_when_and_awaits_no_announcement() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(over_since=START + 30 * MINUTE))
    page = await shown(browsing(realm_state)[0], "/incidents/i-1")
    assert "Rétablissement constaté à 10:10" in page
    assert "non annoncée" not in page
    realm_state.put("incidents", incident(state="closed", closed_at=NOW))
    assert "non annoncée" not in await shown(browsing(realm_state)[0], "/incidents/i-1")


async def test_a_day_of_another_year_is_written_with_its_year() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(estimated_end=FOR_EVER))
    browser, _ = browsing(realm_state)
    assert "Rétablissement annoncé pour le 31/12/9999" in await shown(browser, "/")


@pytest.mark.parametrize(
    "at",
    [
        "999999999999999",
        "-999999999999999",
        "9999-12-31T23:59:59Z",
        "0001-01-01",
        "9999-12-31T23:59",
    ],
)
async def test_a_time_without_a_date_is_refused_without_a_failure(at: str) -> None:
    browser, _ = browsing(crisis())
    for path in (
        "/",
        "/releve",
        "/sitrep",
        "/api/v1/overview",
        "/api/v1/changes?since=0",
        "/api/v1/sitreps/draft",
    ):
        answer = await browser.get(
            f"{path}{'&' if '?' in path else '?'}realm={REALM}&as_of={at}",
            accept="application/json",
        )
        assert answer.status_code == 422, path
    assert (
        await browser.get(f"/api/v1/changes?realm={REALM}&since={at}", accept="application/json")
    ).status_code == 422


async def test_a_future_time_has_no_picture() -> None:
    """The countdowns of the year 2099 stood under the heading of known facts."""
    browser, _model = browsing(crisis())
    then = await browser.get(
        f"/api/v1/overview?realm={REALM}&as_of=2099-01-01T00:00:00Z", accept="application/json"
    )
    assert then.json()["at"] == "2027-02-11T09:40:00Z"
    assert "11 février 2027" in await shown(browser, "/?as_of=2099-01-01T00:00")


async def test_a_number_too_long_for_a_sitrep_is_not_found() -> None:
    browser, _ = browsing(crisis())
    assert (await browser.get(f"/sitrep/{'9' * 5000}?realm={REALM}")).status_code == 404


def ladder(
    id: str, name: str, scope: str, state: str, at: int, incidents: tuple[str, ...] = ()
) -> dict[str, object]:
    wave = {
        "wave": 1,
        "cycle": 1,
        "due_at": at,
        "fired_at": at,
        "state": "fired",
        "roles": ("astreinte_direction",),
        "notifications": (),
        "expected": 1,
    }
    return {
        "id": id,
        "ladder": name,
        "scope": scope,
        "incidents": incidents,
        "state": state,
        "policy": "v1",
        "started_at": at,
        "wave": 1,
        "cycle": 1,
        "waves": (wave,),
        "level": int(name[1]),
    }


async def test_an_announced_recovery_that_has_passed_is_not_announced_any_more() -> None:
    """«Rétablissement annoncé» two days after the hour, and after all was well again."""
    for changes, words in (
        ({"estimated_end": NOW - MINUTE}, "Rétablissement annoncé pour 10:39, heure passée."),
        ({"estimated_end": NOW - MINUTE, "over_since": NOW}, "Tout est rétabli depuis 10:40"),
    ):
        realm_state = crisis()
        realm_state.put("incidents", incident(**changes))
        browser, _ = browsing(realm_state)
        for path in ("/", "/mur"):
            assert words in await shown(browser, path)


async def test_the_calls_of_another_day_have_their_day() -> None:
    """On the sixth day of a crisis «15:32» is a time to come."""
    realm_state = crisis()
    two_days = 2 * 86_400_000
    old_ladder = ladder("e-own", "N1", "i-1", "running", START - two_days, ("i-1",))
    realm_state.put("escalations", old_ladder)
    browser, _ = browsing(realm_state)
    assert "1 appel mar. 09/02 09:40" in await shown(browser, "/incidents/i-1")


def test_a_time_axis_of_several_days_names_them() -> None:
    """Its marks were «00:00», one for each day."""
    marks = [datetime(2027, 2, 11, 23, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(3)]
    assert [times.label_tick(mark) for mark in marks] == ["12/02", "12:00", "13/02"]


async def test_calls_of_an_old_crisis_are_not_shown_today() -> None:
    """Last month's N3 escalation stood on the cell's screen, each incident and the sitrep."""
    realm_state = crisis()
    realm_state.put(
        "escalations",
        ladder("e-old", "N3", "territory", "ended", START - 30 * 86_400_000, ("i-0",)),
    )
    realm_state.put("escalations", ladder("e-own", "N1", "i-1", "answered", START, ("i-1",)))
    browser, _ = browsing(realm_state)
    for path in ("/", "/incidents/i-1", "/mur", "/releve", "/sitrep"):
        page_text = await shown(browser, path)
        assert "Escalade N3" not in page_text, path
    assert "Escalade N1" in await shown(browser, "/")
    calm = realm()
    calm.put("escalations", ladder("e-old", "N3", "territory", "ended", START, ("i-0",)))
    browser, _ = browsing(calm)
    for path in ("/", "/releve"):
        assert "Escalade N3" not in await shown(browser, path), path


@pytest.mark.parametrize(
    ("repeated", "texts"),
    [
        (
            3,
            {
                "/": "cycle 2 à 10:55",
                "/incidents/i-1": "Cycle 2, de nouveau depuis la vague 1",
                "/mur": "vague 1 dans",
                "/releve": "prochaine vague dans",
            },
        ),
        (
            0,
            {
                "/": "alerte permanente à 10:55",
                "/incidents/i-1": "Alerte permanente",
                "/mur": "alerte permanente dans",
                "/releve": "alerte permanente dans",
            },
        ),
    ],
)
async def test_after_the_last_wave_every_page_names_the_next_step(
    repeated: int, texts: dict[str, str]
) -> None:
    """A time stood there without a word, or none at all."""
    realm_state = crisis()
    running = ladder("e-own", "N1", "i-1", "running", START, ("i-1",))
    running |= {"repeat_times": repeated, "next_at": NOW + 15 * MINUTE}
    realm_state.put("escalations", running)
    browser, _ = browsing(realm_state)
    for path, text in texts.items():
        assert text in await shown(browser, path), path


async def test_an_incident_shows_its_own_calls_and_the_room_those_of_the_realm() -> None:
    realm_state = crisis()
    realm_state.put("escalations", ladder("e-realm", "N3", "territory", "running", START, ("i-2",)))
    realm_state.put("escalations", ladder("e-own", "N1", "i-1", "running", START, ("i-1",)))
    browser, _ = browsing(realm_state)
    assert "Escalade N1" in await shown(browser, "/incidents/i-1")
    assert "Escalade N3" not in await shown(browser, "/incidents/i-1")
    assert "Escalade N3" in await shown(browser, "/")


def clocked(id: str, at: int, **more: object) -> dict[str, object]:
    clock = {
        "state": "running",
        "limit_h": 2,
        "started_at": at,
        "deadline": at + 120 * MINUTE,
        "as_of": at,
        "ticking": True,
    }
    return {
        "id": id,
        "pole": "education",
        "criticality": 1,
        "state": "interrupted",
        "capacity_pct": 4,
        "mbco_pct": 42,
        "since": at,
        "rto": {"base": "rto", **clock},
        "dmia": {"base": "dmia", **clock, "limit_h": 4, "deadline": at + 240 * MINUTE},
        **more,
    }


async def test_an_incident_shows_its_affected_activities() -> None:
    """The clocks of every other incident stood under « Activités atteintes »."""
    realm_state = crisis()
    realm_state.put(
        "incidents",
        incident(
            "i-2", number="92-2027-0211-02", kind="fire", key="fire:cen-1", members=("cen-1",)
        ),
    )
    realm_state.put(
        "activities",
        clocked("CPL-01", START, incident="i-1", path=(({"kind": "site", "id": "pmi-01"},),)),
    )
    realm_state.put(
        "activities",
        clocked("SOL-01", START, incident="i-2", path=(({"kind": "site", "id": "cen-1"},),)),
    )
    browser, _ = browsing(realm_state)
    for id, its, other in (("i-1", "CPL-01", "SOL-01"), ("i-2", "SOL-01", "CPL-01")):
        page_text = await shown(browser, f"/incidents/{id}")
        assert its in page_text
        assert other not in page_text


async def test_a_search_forgives_accents_in_every_view() -> None:
    """The browser searches without accents, and titles with an accent were never found."""
    realm_state = crisis()
    realm_state.put(
        "tasks",
        {"id": "t-1", "kind": "verify_site", "state": "open", "opened_at": START, "site": "pmi-01"},
    )
    realm_state.put("tasks", {"id": "t-2", "kind": "reentry", "state": "open", "opened_at": START})
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/?realm={REALM}&vue=incidents")).text
    assert re.search(r'data-row data-text="[^"]*coupure electrique', page)
    page = (await browser.get(f"/?realm={REALM}&vue=taches")).text
    assert 'data-text="ressaisie des donnees"' in page
    assert "Ressaisie" not in await shown(browser, "/?vue=taches&q=doute")
    assert "Aucune ligne ne répond" in await shown(browser, "/?vue=incidents&q=incendie")


async def test_a_new_proposal_has_its_place_on_a_page_without_one() -> None:
    """A refresh fills existing parts only.

    New lines to approve appeared only after a reload.
    """
    browser, _ = browsing(crisis())
    page = (await browser.get(f"/reaffectation?realm={REALM}")).text
    assert re.search(r'<div class="" id="proposal" data-live>', page)


async def test_an_open_page_is_never_redirected_to_an_exercise() -> None:
    """The wall of a quiet live realm went over to an exercise that began, and stayed there."""
    exercise, live = (
        crisis(),
        Held("92", clock=NOW, reference=reference(), fields={"started_at": START}),
    )
    browser, _ = browsing(live, exercise)
    for path in ("/", "/mur"):
        assert (await browser.get(path)).status_code == 303, "a newcomer is"
        assert (await browser.get(path, live="1")).status_code == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/activites?activite=X", "Aucune activité ne porte l’identifiant « X »"),
        ("/reaffectation?proposition=X", "Aucune proposition ne porte"),
        ("/?incident=X", "Cet incident n’est pas ouvert ici"),
        ("/?pole=X", "Aucun pôle ne porte l’identifiant « X »"),
        ("/signaler?site=X", "Le site « X » n’est pas de ceux"),
    ],
)
async def test_an_address_of_a_missing_object_is_reported(path: str, said: str) -> None:
    """The page of something else stood there without a word."""
    browser, _ = browsing(crisis())
    assert said in (await shown(browser, path)).replace("\u00a0", " ")
    for existing_path in (
        "/activites?activite=CPL-01",
        "/?incident=i-1",
        "/?pole=education",
        "/signaler?site=pmi-01",
        "/",
    ):
        assert not re.search(
            "ne porte l’identifiant|n’est pas ouvert ici|n’est pas de ceux",
            await shown(browser, existing_path),
        )


@pytest.mark.parametrize(
    "path",
    ["/main-courante?incident=X", "/main-courante?ligne=X", "/retex?incident=X", "/sitrep/7"],
)
async def test_a_page_of_a_missing_object_is_not_found(path: str) -> None:
    browser, _ = browsing(crisis())
    assert (
        await browser.get(f"{path}{'&' if '?' in path else '?'}realm={REALM}")
    ).status_code == 404


async def test_lessons_learned_lead_to_no_merged_incident() -> None:
    realm_state = crisis()
    realm_state.put(
        "incidents", incident("i-2", number="92-2027-0211-02", state="merged", merged_into="i-1")
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/retex?realm={REALM}")).text
    assert "92-2027-0211-02" not in page.partition("<article")[0]
    for link in re.findall(r'href="(/retex\?[^"]+)"', page):
        assert (await browser.get(link.replace("&amp;", "&"))).status_code == 200


def told(n: int, at: int, **more: object) -> LineRecord:
    base = {
        "key": build_key(at, "alerts", n, 0),
        "id": f"l-{n}",
        "type": "ReportChanged",
        "kind": "fact",
        "occurred_at": at,
        "recorded_at": at,
        "author": "system",
        "place": f"alerts/1/{n}/0",
        "change": "applied",
        "values": {"type": "outage_power"},
        "certainty": "confirmed",
        "source": "site_manager",
    }
    return LineRecord(**base | more)


async def test_a_logbook_line_of_yesterday_has_its_hour() -> None:
    """D55: both times are shown.

    After midnight log, report and handover gave the day of last evening's events without the hour.
    """
    yesterday = START - 12 * 60 * MINUTE
    realm_state = crisis()
    realm_state.put("reports", report(occurred_at=yesterday, recorded_at=yesterday))
    realm_state.put("sites", site() | {"since": yesterday, "last_word_at": yesterday})
    realm_state.lines.append(told(1, yesterday, site="pmi-01", incident="i-1", report="r-1"))
    browser, _ = browsing(realm_state)
    for path in ("/main-courante", "/signalements/r-1", "/sites/pmi-01", "/incidents/i-1"):
        assert "mer. 10/02 21:40" in await shown(browser, path), path


async def test_the_logbook_lines_of_a_site_are_found_behind_all_others() -> None:
    """« Aucune ligne » stood on the page of every site outside the newest thousand lines."""
    realm_state = crisis()
    realm_state.lines += [
        told(1, START, site="pmi-01"),
        *(told(n, START + n, site="pmi-02") for n in range(2, 1200)),
    ]
    browser, _ = browsing(realm_state)
    page_text = await shown(browser, "/sites/pmi-01")
    assert "Aucune ligne" not in page_text
    site_lines = (
        await browser.get(f"/api/v1/log?realm={REALM}&site=pmi-01", accept="application/json")
    ).json()["items"]
    assert [line["id"] for line in site_lines] == ["l-1"]


async def test_the_logbook_of_an_incident_has_the_lines_of_those_merged_into_it() -> None:
    """Its page left out the calls, the danger and the decisions of the other one."""
    realm_state = crisis()
    realm_state.put("incidents", incident("i-0", state="merged", merged_into="i-1"))
    realm_state.lines += [
        told(n, START + n, incident="i-1" if n % 3 else "i-0") for n in range(1, 20)
    ]
    browser, _ = browsing(realm_state)
    ids, cursor = [], ""
    while cursor is not None:
        address = f"/api/v1/log?realm={REALM}&incident=i-1&limit=3{cursor and '&cursor=' + cursor}"
        page = (await browser.get(address, accept="application/json")).json()
        ids += [line["id"] for line in page["items"]]
        cursor = page["next"]
    assert ids == [f"l-{n}" for n in range(19, 0, -1)]


async def test_the_title_of_an_incident_names_the_gravest_trouble_merged_into_it() -> None:
    """It said «Fermeture», though people had left a burning site."""
    realm_state = crisis()
    realm_state.put("incidents", incident(kind="site", members=("cen-1", "pmi-01")))
    realm_state.put("incidents", incident("i-0", kind="fire", state="merged", merged_into="i-1"))
    realm_state.put("sites", site("cen-1", type="closure", severity=3))
    realm_state.put("sites", site("pmi-01", incident="i-0", type="fire", severity=5))
    browser, _ = browsing(realm_state)
    address = f"/api/v1/incidents?realm={REALM}"
    items = (await browser.get(address, accept="application/json")).json()["items"]
    assert [i["title"] for i in items if i["state"] == "open"] == ["Incendie\u00a0: Nanterre"]


async def test_tasks_and_activities_of_a_merged_incident_are_found_by_the_one_that_stands() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident("i-0", state="merged", merged_into="i-1"))
    realm_state.put(
        "tasks",
        {"id": "t-2", "kind": "reentry", "state": "open", "opened_at": START, "incident": "i-0"},
    )
    realm_state.put("activities", clocked("CPL-01", START, incident="i-0"))
    browser, _ = browsing(realm_state)
    for what in ("tasks", "activities"):
        address = f"/api/v1/{what}?realm={REALM}&incident="
        items = [
            (await browser.get(address + id, accept="application/json")).json()["items"]
            for id in ("i-1", "i-0", "i-2")
        ]
        assert items[0], what
        assert items[1:] == [items[0], []], what


async def test_the_page_of_a_report_shows_its_whole_content_in_plain_words() -> None:
    """Its commune was a number, its figures were not there."""
    realm_state = crisis()
    realm_state.put(
        "reports",
        report(
            site=None,
            commune="92050",
            type="flood_level",
            phenomenon="crues",
            colour="orange",
            flags=("maintenance",),
            plan_hint="PT-CRUE",
            measure={
                "name": "niveau",
                "value": 6.2,
                "unit": "m",
                "object": "station:paris-austerlitz",
            },
            lifts=("outage_power",),
        ),
    )
    realm_state.put("reports", report("r-2", state="refused", reason="same_id"))
    browser, _ = browsing(realm_state)
    page_text = await shown(browser, "/signalements/r-1")
    for word in (
        "Nanterre",
        "niveau 6,2 m",
        "crues",
        "orange",
        "travaux prévus",
        "PT-CRUE",
        "Coupure d’électricité",
    ):
        assert word in page_text, word
    assert "92050" not in page_text
    assert "maintenance" not in page_text
    assert "même identifiant" in await shown(browser, "/signalements/r-2")


async def test_the_exposure_of_a_site_is_written_in_plain_words() -> None:
    browser, _ = browsing(crisis())
    for one in reference().sites.values():
        if one.flood_exposure.startswith("tier"):
            assert one.flood_exposure not in await shown(browser, f"/sites/{one.id}")
            break


async def test_a_correction_leads_to_its_corrected_line() -> None:
    """For a line of another page the newest lines stood there « from the cited line on »."""
    realm_state = crisis()
    realm_state.lines += [
        told(1, START, site="pmi-01"),
        *(told(n, START + n) for n in range(2, 100)),
        told(100, START + 100, type="NoteAdded", kind="note", corrects="l-1"),
    ]
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/main-courante?realm={REALM}")).text
    link = re.search(r'href="(/main-courante[^"]+ligne=l-1[^"]*)"', page)
    assert link
    then = (await browser.get(link[1].replace("&amp;", "&"))).text
    assert re.search(r'data-key="l-l-1" class="cited"', then)


async def test_a_refusal_is_shown_with_its_values() -> None:
    """The log said « L’annuaire ne connaît pas cette personne : ?. »"""
    (line,) = lines(
        "alerts",
        CommandRefused(
            command_id="c-1",
            command="OverrideDuty",
            status=404,
            code="person_not_found",
            values={"person": "p-77"},
        ),
    )
    assert said(line, TerritoryNames(), "fr").endswith("p-77.")


async def test_a_quiet_realm_has_lessons_without_an_open_incident() -> None:
    browser, _ = browsing(realm())
    assert "EN COURS" not in await shown(browser, "/retex")
    browser, _ = browsing(crisis())
    assert "EN COURS" in await shown(browser, "/retex")


async def test_a_forbidden_page_explains_its_refusal() -> None:
    """It said « Le rôle « site_manager » n’a pas le droit « log.read » »."""
    browser, _ = browsing(crisis())
    for lang, text in (
        ("fr", "Votre compte (Responsable de site) n’ouvre pas cette page."),
        ("en", "Your account (Site manager) does not open"),
    ):
        answer = await browser.get(f"/main-courante?realm={REALM}", role="site_manager", lang=lang)
        assert answer.status_code == 403
        assert text in words(answer.text)
        assert "log.read" not in answer.text


@pytest.mark.parametrize(
    ("kind", "key", "french", "english"),
    [
        ("power", "cluster:92050", "famille électricité : Nanterre", "family power: Nanterre"),
        ("power", "cluster:pmi-01", "famille électricité : PMI", "family power: PMI"),
        (
            "power",
            "cluster:8d1b6f7e-0000-5000-8000-000000000000",
            "famille électricité ",
            "family power ",
        ),
        ("absence", "kind:college", "famille absences : collèges", "family absences: collèges"),
        (
            "it",
            "*",
            "famille informatique : tout le système d’information",
            "family IT: the whole information system",
        ),
        ("it", "messagerie", "famille informatique : messagerie électronique", "family IT: e-mail"),
        ("wind", "orages", "famille vent : orages", "family wind: storms"),
        ("flood", "crues", "famille crue ", "family flood "),
        ("security", "territory", "famille sûreté ", "family security "),
    ],
)
async def test_an_incident_names_its_first_cause_in_plain_words(
    kind: str, key: str, french: str, english: str
) -> None:
    """Its page said « clé cluster:92050 »."""
    realm_state = realm()
    realm_state.put("incidents", incident(kind=kind, key=key))
    browser, _ = browsing(realm_state)
    for lang, text in (("fr", french), ("en", english)):
        page = await shown(browser, "/incidents/i-1", lang=lang)
        assert text in page, page[:2500]
        assert key not in page or key == "*" or key in text


@pytest.mark.parametrize("outcome", ["not_configured", "answered"])
async def test_every_page_warns_the_cell_about_withheld_calls(outcome: str) -> None:
    """Only the on-call page showed it, as one line among others."""
    live = Held("92", clock=NOW, reference=reference(), fields={"started_at": START})
    channels = [
        {"channel": "email", "outcome": "not_configured"},
        {"channel": "sms", "outcome": outcome},
    ]
    live.put(
        "probes",
        {"id": "2027-02", "asked_at": START, "done_at": START + 1000, "channels": channels},
    )
    browser, _ = browsing(live)
    for path in ("/", "/mur", "/activites", "/astreintes"):
        answer = await browser.get(f"{path}?realm=92")
        assert (
            "Aucun canal n’est configuré : Vigie n’appelle personne." in words(answer.text)
        ) == (outcome == "not_configured"), path


async def test_posts_are_not_listed_as_empty_while_no_channel_exists_and_no_drill_was_made() -> (
    None
):
    live = Held("92", clock=NOW, reference=reference(), fields={"started_at": START})
    channels = [{"channel": c, "outcome": "not_configured"} for c in ("email", "sms", "voice")]
    live.put(
        "probes",
        {"id": "first", "asked_at": START, "done_at": START + 1000, "channels": channels},
    )
    browser, _ = browsing(live)
    page = (await browser.get("/astreintes?realm=92")).text
    listed = page.partition('id="holes"')[2].partition("</ul>")[0]
    assert re.findall(r'<li data-key="([^"]+)"', listed) == ["providers"]


async def test_the_list_of_sites_shows_those_in_one_state() -> None:
    """In a crisis the closed ones stood somewhere among 253."""
    browser, _ = browsing(crisis())

    async def list_rows(query: str = "") -> list[str]:
        page = (await browser.get(f"/sites?realm={REALM}{query}")).text
        assert "status=" in page or not query.startswith("&etat=c")
        return re.findall(r'<tr data-key="s-([^"]+)"', page)

    every, closed = await list_rows(), await list_rows("&etat=closed")
    normal, nonsense = await list_rows("&etat=normal"), await list_rows("&etat=x")
    assert closed
    assert every[: len(closed)] == closed, "worst state first"
    assert not set(closed) & set(normal)
    assert nonsense == every
    assert "Aucun site dans cet état." in await shown(browser, "/sites?etat=sheltering")
    assert await list_rows("&etat=closed&q=zzz") == []


async def test_a_manager_is_offered_no_page_that_would_be_refused() -> None:
    """The warning led managers of sites to a refusal, and that to the cell, which is not theirs."""
    live = Held("92", clock=NOW, reference=reference(), fields={"started_at": START})
    channels = [{"channel": "sms", "outcome": "not_configured"}]
    live.put(
        "probes",
        {"id": "2027-02", "asked_at": START, "done_at": START + 1000, "channels": channels},
    )
    browser, _ = browsing(live)
    warning = "Appelez vous-mêmes."
    theirs = words((await browser.get("/mes-sites?realm=92", role="site_manager@pmi-01")).text)
    assert warning in theirs
    assert "Canaux et essai du mois" not in theirs
    assert "Canaux et essai du mois" in words((await browser.get("/?realm=92")).text)
    refused = await browser.get("/astreintes?realm=92", role="site_manager@pmi-01")
    assert refused.status_code == 403
    assert "Retour à mes sites" in words(refused.text)


async def test_a_forbidden_request_is_refused_with_an_explanation() -> None:
    browser, _ = browsing(crisis())
    answer = await browser.get(
        f"/api/v1/log?realm={REALM}", role="site_manager", accept="application/json"
    )
    assert answer.status_code == 403
    assert "Responsable de site" in answer.json()["detail"]
    assert "Cellule de crise" in answer.json()["detail"]
    assert "log.read" not in answer.text


async def test_a_forbidden_logbook_is_not_shown_as_empty() -> None:
    browser, _ = browsing(crisis())
    for path in ("/sites/pmi-01", "/incidents/i-1"):
        assert "Main courante" in await shown(browser, path, role="cell")
        assert "Main courante" not in await shown(browser, path, role="site_manager")
    assert "Aucun fait" in await shown(browser, "/", role="cell")
    assert "Aucun fait" not in await shown(browser, "/", role="site_manager")


def test_zero_people_is_not_fewer_than_three() -> None:
    assert [format_small_count(n) for n in (0, 1, 2, 3)] == ["0", "< 3", "< 3", "3"]


async def test_waiting_decisions_are_shown_without_an_incident_too() -> None:
    """An N4 proposed by a COD had no place on the cell's screen.

    A plan without an incident had no link there.
    """
    realm_state = realm()
    realm_state.put("levels", {"id": "territory", "level": 3, "since": START, "proposed": 4})
    plan = next(iter(reference().plans))
    realm_state.put(
        "plans",
        {
            "id": plan,
            "state": "proposed",
            "level": 0,
            "proposed_level": 2,
            "proposed_at": START,
            "decides": "directeur_pole",
        },
    )
    browser, _ = browsing(realm_state)
    assert "N4 proposé" in await shown(browser, "/")
    assert f"#plan-{plan}" in (await browser.get(f"/?realm={REALM}")).text


async def test_a_list_of_a_thousand_incidents_is_marked_as_partial() -> None:
    """Wall and cell counted only the incidents in full view, a thousand at most."""
    realm_state = realm()
    for n in range(1_100):
        realm_state.put("incidents", incident(f"i-{n}", number=str(n)))
    browser, _ = browsing(realm_state)
    assert re.search("Incidents ouverts : 1.?100", await shown(browser, "/mur"))
    assert re.search("Incidents 1.?100", await shown(browser, "/"))


async def test_each_reading_of_a_report_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """D59: a page just read by another person of the role was shown without a record."""
    realm_state = crisis()
    realm_state.put("reports", report(text_id="t-1"))
    browser, model = browsing(realm_state)
    model.words.kept["t-1"] = TextItem({"headline": "une phrase"})
    read: list[str] = []
    monkeypatch.setattr(
        report_screen.log, "info", lambda event, **told: read.append(f"{event} {told['reader']}")
    )
    for role in ("cell", "cell@pmi-01", "cell", "cell@pmi-01"):
        assert "une phrase" in await shown(browser, "/signalements/r-1", role=role)
    assert read == ["report.text_read cell-1", "report.text_read cell-2"]
    read.clear()
    monkeypatch.setattr(
        reports_api.log, "info", lambda event, **told: read.append(f"{event} {told['reader']}")
    )
    path = f"/api/v1/reports/r-1?realm={REALM}"
    assert (await browser.get(path, role="cell")).json()["headline"] == "une phrase"
    assert (await browser.get(path, role="observer")).json()["headline"] is None
    assert read == ["report.text_read cell-1"]


async def test_the_live_realm_offers_running_exercises_and_no_measurement() -> None:
    live = Held("92", clock=NOW, reference=reference(), fields={"started_at": START})
    browser, _model = browsing(
        live, realm(), Held("92~test-bench", clock=NOW, reference=reference())
    )
    assert re.findall(
        r'class="btn s" href="/\?realm=([^"]+)"', (await browser.get("/?realm=92")).text
    ) == [REALM]


async def test_every_realm_is_in_the_list_page_by_page() -> None:
    browser, _model = browsing(crisis(), *(Held(f"92~test-{n:02}", clock=START) for n in range(44)))
    realm_names: list[str] = []
    for page in ("", "&page=2", "&page=3"):
        text = (await browser.get(f"/realms?realm={REALM}{page}")).text
        realm_names += re.findall(r'data-key="realm-([^"]+)"', text)
    assert len(realm_names) == len(set(realm_names)) == 45
    for odd in ("0", "99999999", "x", "-1", ""):
        assert (await browser.get(f"/realms?realm={REALM}&page={odd}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "unknown"),
    [
        ("incidents/i-1/resolve", {"force": True, "reason": "x"}, []),
        ("incidents/i-1/resolve", {"forse": True, "raison": "x"}, ["forse", "raison"]),
        (
            "oncall/overrides",
            {
                "role": "r",
                "person": "p",
                "from": "2027-02-11T09:40:00Z",
                "to": "2027-02-11T10:40:00Z",
                "reason": "x",
                "start": 1,
            },
            ["start"],
        ),
        (
            "incidents/i-1/escalate",
            {f"f{n:02}": n for n in range(40)},
            [f"f{n:02}" for n in range(20)],
        ),
        ("level", {"level": 1, "scop": "i-1"}, ["scop"]),
        ("incidents/i-1/escalate", None, []),
        ("incidents/i-1/escalate", {"é" * 100: 1}, ["é" * 64]),
    ],
)
async def test_a_typo_in_a_field_of_a_decision_is_reported(
    path: str, body: object, unknown: list[str]
) -> None:
    """The unknown field was ignored, and the decision was applied without it."""
    browser, _ = browsing(crisis())
    answer = await browser.post(f"/api/v1/{path}?realm={REALM}", body)
    assert (answer.status_code, answer.json()["unknown_fields"]) == (202, unknown)


@pytest.mark.parametrize(
    "path", ["poles", "communes", "levels", "realms", "sites", "activities", "plans"]
)
async def test_a_list_is_read_page_by_page(path: str) -> None:
    browser, _ = browsing(crisis())
    whole = (await browser.get(f"/api/v1/{path}?realm={REALM}")).json()["items"]
    size = max(1, len(whole) // 3)
    items, cursor = [], ""
    while cursor is not None:
        page = (
            await browser.get(
                f"/api/v1/{path}?realm={REALM}&limit={size}{cursor and f'&cursor={cursor}'}"
            )
        ).json()
        assert len(page["items"]) <= size
        items += page["items"]
        cursor = page["next"]
    assert items == whole
    for wrong in ("limit=0", "limit=1001", "cursor=x"):
        assert (await browser.get(f"/api/v1/{path}?realm={REALM}&{wrong}")).status_code == 422


def long_crisis(state: str = "active") -> Held:
    """Return a crisis with one plan to decide and every other plan in this state."""
    realm_state = crisis()
    plans = sorted(realm_state.reference.plans)
    first, *others = plans
    realm_state.put(
        "plans", {"id": first, "state": "proposed", "decides": "dgs", "proposed_at": START}
    )
    card = {"id": "F01", "task": "Appeler", "role": "dgs", "due_at": START}
    for plan in others:
        realm_state.put("plans", {"id": plan, "state": state, "decides": "dgs", "cards": (card,)})
    return realm_state


async def test_the_page_of_a_long_crisis_folds_decided_plans_and_lists_its_sections() -> None:
    """Twenty plans with their cards made it 12,600 px long, and open decisions were lost in it."""
    realm_state = long_crisis()
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/incidents/i-1?realm={REALM}")).text
    others = len(realm_state.reference.plans) - 1
    fold = page.partition('data-key="decided"')[2].partition("</details>")[0]
    assert f"{others} plans décidés" in fold
    assert fold.count('id="plan-') == others
    assert page.count('<details class="fold" id="cards-') == others
    assert not re.search(r'<details class="fold"[^>]* open', page), "each is one line"
    jumps = re.findall(r'<li><a href="#(\w+)">', page.partition('id="jump"')[2])
    assert jumps[:2] == ["plans", "cards"], "first what waits for somebody"
    assert "1 à décider" in words("<body" + page.partition('id="jump"')[2])
    assert all(f'id="{anchor}"' in page for anchor in jumps)
    assert page.index('id="plans"') < page.index('id="figures"')


@pytest.mark.parametrize(("role", "anchor"), [("coordinator", "level-menu"), ("cell", "why")])
async def test_a_proposed_level_leads_the_sections_to_where_it_is_decided(
    role: str, anchor: str
) -> None:
    realm_state = crisis()
    realm_state.put("levels", {"id": "territory", "level": 3, "since": START, "proposed": 4})
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/incidents/i-1?realm={REALM}", role=role)).text
    first, *_others = re.findall(r'<li><a href="#([\w-]+)">', page.partition('id="jump"')[2])
    assert first == anchor
    assert f'id="{anchor}"' in page


async def test_few_plans_stay_unfolded() -> None:
    realm_state = crisis()
    card = {"id": "F01", "task": "Appeler", "role": "dgs", "due_at": START}
    realm_state.put(
        "plans", {"id": "PT-ELEC", "state": "active", "decides": "dgs", "cards": (card,)}
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/incidents/i-1?realm={REALM}")).text
    assert 'data-key="decided"' not in page
    assert re.search(r'id="cards-PT-ELEC"[^>]* open', page)


async def test_an_incident_says_that_people_may_be_in_danger_and_where_first() -> None:
    realm_state = crisis()
    realm_state.put("incidents", incident(danger=True, members=("pmi-01", "cen-1")))
    realm_state.put("sites", site("cen-1"))
    realm_state.put(
        "sites", site("pmi-01", type="fire", effect="degraded") | {"status": "degraded"}
    )
    browser, _ = browsing(realm_state)
    page = (await browser.get(f"/incidents/i-1?realm={REALM}")).text
    assert "Danger possible pour des personnes" in page
    members = page.partition('id="members"')[2]
    assert members.index('data-key="m-pmi-01"') < members.index('data-key="m-cen-1"')


async def test_a_report_form_belongs_to_the_account_that_opened_it() -> None:
    """A phone sends no report of another account: the one of a colleague stayed on it."""
    browser, _ = browsing(crisis())
    for name in ("ana", "bob"):
        page = (await browser.get(f"/signaler?realm={REALM}", role=f"coordinator~{name}")).text
        assert re.findall(r'data-account="([^"]*)"', page) == [f"coordinator-{name}"]
