"""The public page states confirmed facts alone, in small files, after a publication (D96)."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from html import unescape
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.alerts import CauseRow, SiteRow
from schemas.crisis.publication import PublishPage, RetractPage
from schemas.reference import PublicInformation, PublicService
from schemas.words import Certainty, EventType, SiteStatus
from services.console.public.document import (
    PublicStatus,
    ServicesDocument,
    build_services_document,
    find_public_information,
    hash_content,
    list_changes,
    name_publicly,
    names_barred_place,
    read_public_status,
)
from services.console.public.render import MAX_BYTES, PublishedVersion, render_files, sign_files
from services.runtime.secrets.signing import PublicKey, SigningKey
from services.runtime.secrets.vault import TextItem
from tests.shipped import territory
from tests.unit.console.held import Browser, HeldModel, browsing, reference
from tests.unit.console.test_every_screen import REALM, START, crisis

AT = 1_798_700_000_000
INFORMATION = find_public_information(territory().sections)
SITES = reference().sites
STATED = (SiteStatus.DEGRADED, SiteStatus.CLOSED, SiteStatus.EVACUATED, SiteStatus.SHELTERING)
SECRETS = re.compile(
    r"secret-|source-|person-|\bi-\d|report-|\b(?:clg|cen|pmi|sst|sol|cul|par|spo|gym|ins|log)-[0-9]"
)
"""Ids, sources and people of the states below, and ids of sites."""


def cause(effect: SiteStatus, **values: Any) -> CauseRow:
    return CauseRow(
        **{
            "id": "secret-cause",
            "incident": "i-1",
            "type": EventType.CLOSURE,
            "effect": effect,
            "since": AT,
            "certainty": Certainty.CONFIRMED,
            "severity": 3,
            "loss_pct": 100.0,
            "sources": ("source-1", "person-9"),
            "reports": ("report-1",),
        }
        | values
    )


def row(site: str, status: SiteStatus, *causes: CauseRow, **values: Any) -> SiteRow:
    return SiteRow(
        **{
            "id": site,
            "status": status,
            "since": AT,
            "capacity_pct": 50.0,
            "causes": causes,
            "flags": ("secret-flag",),
        }
        | values
    )


def document(*rows: SiteRow, barred: Collection[str] = (), **about: Any) -> ServicesDocument:
    by_site = {one.id: one for one in rows}
    values = {"territory": "Hauts-de-Seine", "exercise": False, "as_of": AT} | about
    return build_services_document(INFORMATION, SITES.values(), by_site, barred, **values)


def render(one: ServicesDocument) -> dict[str, str]:
    files = render_files(PublishedVersion(one, 3, AT))
    return {name: file.body.decode() for name, file in files.items()}


def place(one: ServicesDocument, name: str) -> Any:
    return next((p for s in one.services for p in s.places if p.name == name), None)


COLLEGE = next(site for site in SITES.values() if site.kind == "college")
PMI = next(site for site in SITES.values() if site.kind == "pmi_css")


def test_a_confirmed_closure_is_stated_in_every_format() -> None:
    files = render(document(row(COLLEGE.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED))))
    for name in ("index.html", "falc.txt", "public.atom"):
        text = unescape(files[name])
        assert "Lieux fermés".upper() in text.upper(), name
        assert f"{COLLEGE.name}, {COLLEGE.commune_name}" in text, name
    assert "Closed places" in files["index.en.html"]
    services = json.loads(files["public.json"])["services"]
    closed = [p for service in services for p in service["closed"]]
    assert closed == [{"name": COLLEGE.name, "commune": COLLEGE.commune_name}]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (SiteStatus.NORMAL, PublicStatus.OPEN),
        (SiteStatus.DEGRADED, PublicStatus.DEGRADED),
        (SiteStatus.CLOSED, PublicStatus.CLOSED),
        (SiteStatus.EVACUATED, PublicStatus.CLOSED),
        (SiteStatus.SHELTERING, PublicStatus.CLOSED),
        (SiteStatus.UNKNOWN, None),
    ],
)
def test_each_state_of_a_site_has_one_for_the_public(
    status: SiteStatus, expected: PublicStatus | None
) -> None:
    assert read_public_status(row("s", status, cause(status))) is expected


@pytest.mark.parametrize(
    "doubt",
    [{"certainty": Certainty.UNCONFIRMED}, {"certainty": Certainty.RUMOUR}, {"contested": True}],
)
def test_a_place_without_a_confirmed_word_is_not_named(doubt: dict[str, Any]) -> None:
    one = document(row(COLLEGE.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED, **doubt)))
    colleges = next(s for s in one.services if s.name == "Collèges")
    assert len(colleges.places) == 97
    assert not colleges.list_places(PublicStatus.CLOSED)


def test_the_public_is_not_sent_into_the_area_of_an_order() -> None:
    closed = row(PMI.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED))
    nearest = place(document(closed), PMI.name).instead
    inside = next(s for s in SITES.values() if f"{name_publicly(s)}, {s.commune_name}" == nearest)
    one = document(closed, barred={inside.id, PMI.id})
    assert place(one, PMI.name).status is PublicStatus.CLOSED
    assert place(one, PMI.name).instead not in (None, nearest)
    assert place(one, name_publicly(inside)) is None
    names = reference().names
    assert names_barred_place(document(closed), {inside.id}, names)
    assert not names_barred_place(one, {inside.id, PMI.id}, names)


def test_the_public_goes_to_the_nearest_open_place_where_the_territory_says_so() -> None:
    one = document(row(PMI.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED)))
    instead = place(one, PMI.name).instead
    assert instead is not None
    assert PMI.name not in instead
    files = render(one)
    assert f"Allez à : {instead}" in unescape(files["index.html"]).replace("\u00a0", " ")
    college = document(row(COLLEGE.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED)))
    assert place(college, COLLEGE.name).instead is None


def test_a_closed_place_is_no_substitute() -> None:
    centres = [site for site in SITES.values() if site.kind == "pmi_css"]
    rows = [row(site.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED)) for site in centres]
    assert all(p.instead is None for s in document(*rows).services for p in s.places)
    open_one = centres[7]
    rows = [one for one in rows if one.id != open_one.id]
    substitutes = {p.instead for s in document(*rows).services for p in s.places if p.instead}
    assert len(substitutes) == 1
    assert open_one.commune_name in substitutes.pop()


def test_remarks_in_names_are_not_public() -> None:
    names = {p.name for service in document().services for p in service.places}
    assert "Site central 4" in names
    assert not [name for name in names if "(" in name]


def test_places_of_children_and_places_without_public_are_not_named() -> None:
    names = {p.name for service in document().services for p in service.places}
    hidden = [s for s in SITES.values() if s.kind == "protection_enfance" or not s.public_capacity]
    assert hidden
    assert not names & {site.name for site in hidden}


SITE_IDS = st.sampled_from(sorted(SITES))
CAUSES = st.builds(
    cause,
    st.sampled_from(SiteStatus),
    certainty=st.sampled_from(Certainty),
    contested=st.booleans(),
    type=st.sampled_from(EventType),
)
ROWS = st.builds(
    lambda id, status, causes: row(id, status, *causes),
    SITE_IDS,
    st.sampled_from(SiteStatus),
    st.lists(CAUSES, max_size=3),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROWS, max_size=253, unique_by=lambda one: one.id), st.booleans())
def test_no_unconfirmed_fact_and_no_internal_name_is_ever_written(
    rows: list[SiteRow], exercise: bool
) -> None:
    """Arbitrary states: names and states only, confirmed, and below 30 KiB."""
    one = document(*rows, exercise=exercise)
    by_name: dict[tuple[str, str], set[PublicStatus]] = {}
    for service in one.services:
        for p in service.places:
            by_name.setdefault((p.name, p.commune), set()).add(p.status)
    confirmed = {
        site.id
        for site in rows
        if site.status in STATED
        and any(
            c.effect is site.status and c.certainty is Certainty.CONFIRMED and not c.contested
            for c in site.causes
        )
    }
    closed = {p.name for s in one.services for p in s.list_places(PublicStatus.CLOSED)}
    degraded = {p.name for s in one.services for p in s.list_places(PublicStatus.DEGRADED)}
    stated_names = {name_publicly(SITES[id]) for id in confirmed}
    assert closed | degraded <= stated_names
    for name, text in render(one).items():
        assert len(text.encode()) < 30 * 1024, name
        assert not SECRETS.search(text), (name, SECRETS.search(text))
        assert name.endswith(".json") or ("EXERCI" in text.upper()) is exercise, name
        for person in reference().names.holders:
            assert person not in text


def test_every_file_stays_small_when_all_places_are_closed_or_half_of_them() -> None:
    for part in (1, 2, 3):
        rows = [
            row(id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED))
            for n, id in enumerate(SITES)
            if n % part == 0
        ]
        for name, text in render(document(*rows)).items():
            assert len(text.encode()) <= MAX_BYTES, (part, name)


def test_a_territory_with_ten_times_the_places_is_counted_by_commune() -> None:
    sites = [
        site.model_copy(update={"id": f"{site.id}-{n}"})
        for site in SITES.values()
        for n in range(10)
    ]
    rows = {s.id: row(s.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED)) for s in sites}
    one = build_services_document(INFORMATION, sites, rows, territory="X", exercise=False)
    files = render(one)
    assert all(len(text.encode()) <= MAX_BYTES for text in files.values())
    colleges = json.loads(files["public.json"])["services"][0]
    assert colleges["counts"]["closed"] == 980
    assert sum(colleges["closed_by_commune"].values()) == 980


def test_the_feed_is_xml_with_an_entry_for_each_service_in_trouble() -> None:
    files = render(document(row(COLLEGE.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED))))
    feed = ET.fromstring(files["public.atom"])
    titles = [e.text for e in feed.iter("{http://www.w3.org/2005/Atom}title")]
    assert titles[1:] == ["Collèges"]


def test_the_times_stand_in_words() -> None:
    one = document(next_at=AT + 3_600_000)
    page = unescape(render(one)["index.html"])
    assert re.search(r"Mis à jour le \w+ \d+ \w+ \d{4} à \d\d:\d\d\.", page)
    assert re.search(r"Prochaine mise à jour le \w+ \d+ \w+ \d{4} à \d\d:\d\d\.", page)


def test_an_exercise_is_marked_in_every_file() -> None:
    files = render(document(exercise=True))
    assert all("EXERCI" in text.upper() for name, text in files.items() if name != "public.json")
    assert json.loads(files["public.json"])["exercise"] is True


def test_the_files_are_signed(tmp_path: Any) -> None:
    key = SigningKey.open(tmp_path)
    version = PublishedVersion(document(), 1, AT)
    files = sign_files(render_files(version), version, key)
    public = PublicKey.load(files["signing.pub"].body)
    assert public.verify_signature(files["manifest.json"].body, files["manifest.sig"].body)
    assert set(json.loads(files["manifest.json"].body)["files"]) == set(render_files(version))


def test_changes_since_a_publication_are_listed() -> None:
    before = document()
    now = document(row(COLLEGE.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED)), as_of=AT + 1)
    ((old, new),) = list_changes(before, now)
    assert old is not None
    assert new is not None
    assert (old.status, new.status) == (PublicStatus.OPEN, PublicStatus.CLOSED)
    assert list_changes(now, now) == []
    assert hash_content(before) == hash_content(before.model_copy(update={"as_of": 1}))
    assert hash_content(before) != hash_content(now)


def test_a_site_of_no_named_service_is_not_shown() -> None:
    information = PublicInformation(services=(PublicService(kind="mdph", name="M", name_en="M"),))
    one = build_services_document(information, SITES.values(), {}, territory="X", exercise=False)
    assert [len(service.places) for service in one.services] == [1]


# over HTTP


def publication(one: ServicesDocument, **values: Any) -> dict[str, Any]:
    return {
        "id": "services",
        "state": "published",
        "number": 1,
        "text_id": "doc",
        "digest": "d",
        "published": {"by": "com-1", "role": "cellule_com", "at": START},
        "changed_at": START,
        "version": 1,
    } | values


@pytest.fixture
def desk() -> tuple[Browser, HeldModel]:
    return open_desk(SiteStatus.CLOSED)


def open_desk(status: SiteStatus) -> tuple[Browser, HeldModel]:
    """Return a published page on which a site is open that has this status now."""
    realm_state = crisis()
    one = document(exercise=True)
    realm_state.put("publications", publication(one))
    realm_state.put("sites", row(PMI.id, status, cause(status)).model_dump())
    browser, model = browsing(realm_state)
    model.words.kept["doc"] = TextItem(raw=one.model_dump_json().encode())
    return browser, model


async def test_changes_wait_on_the_screen_of_communication(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    page = (await browser.get(f"/publication?realm={REALM}", role="coordinator")).text
    assert "Changements depuis la publication" in page
    assert PMI.name in unescape(page)
    assert "ouvert, maintenant fermé" in unescape(page)
    assert "publications/services:publish" in page
    assert "publications/services:retract" in page
    cell = (await browser.get(f"/publication?realm={REALM}", role="cell")).text
    assert "publications/services:publish" not in cell
    assert "publications/services:retract" in cell
    desk_page = (await browser.get(f"/communication?realm={REALM}", role="cell")).text
    assert 'href="/publication?realm=' in desk_page


async def test_a_place_that_is_still_closed_does_not_change_from_closed_to_closed() -> None:
    """The public page has another place to go to: « fermé, maintenant fermé » said nothing."""
    browser, model = open_desk(SiteStatus.CLOSED)
    closed = row(PMI.id, SiteStatus.CLOSED, cause(SiteStatus.CLOSED))
    nearest = place(document(closed), PMI.name).instead
    inside = next(s for s in SITES.values() if f"{name_publicly(s)}, {s.commune_name}" == nearest)
    before = document(closed, barred={inside.id}, exercise=True)
    model.words.kept["doc"] = TextItem(raw=before.model_dump_json().encode())
    page = unescape((await browser.get(f"/publication?realm={REALM}", role="coordinator")).text)
    assert "fermé, détail changé" in page
    assert "fermé, maintenant fermé" not in page


async def test_the_page_of_an_exercise_says_so(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    answer = await browser.get(f"/public?realm={REALM}", role="cell")
    assert answer.status_code == 200
    assert "EXERCICE" in answer.text


async def test_the_api_lists_waiting_changes(desk: tuple[Browser, HeldModel]) -> None:
    browser, _model = desk
    answer = (await browser.get(f"/api/v1/publications/services?realm={REALM}", role="cell")).json()
    assert (answer["state"], answer["waiting"]) == ("published", True)
    assert [(c["name"], c["published"], c["present"]) for c in answer["changes"]][:1]
    missing = await browser.get(f"/api/v1/publications/other?realm={REALM}", role="cell")
    assert missing.status_code == 422


def test_commands_carry_the_page() -> None:
    command = PublishPage(author="a", role="r", page="services", text_id="t", digest="d")
    assert RetractPage(author="a", role="r", page=command.page).page == "services"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(SiteStatus.CLOSED, "page_stale"), (SiteStatus.EVACUATED, "page_dangerous")],
)
async def test_the_cell_is_asked_about_a_page_that_is_out_of_date(
    status: SiteStatus, kind: str
) -> None:
    browser, _model = open_desk(status)
    queue = (await browser.get(f"/api/v1/attention?realm={REALM}", role="cell")).json()["queue"]
    assert [one["kind"] for one in queue if one["kind"].startswith("page_")] == [kind]
