"""The directory lists holders of roles and partners; numbers are personal (D89)."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from schemas import reference as ref
from schemas.alerts import SiteRow
from schemas.base import DAY_MS
from schemas.crisis.area_orders import AreaOrderRow
from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel, SiteStatus
from services.console.directory.meeting import choose_meeting_place, list_site_bars
from services.console.directory.resources import MeetingPlace
from services.console.directory.view import build_phone_link, build_reaching_points, list_partners
from services.console.i18n import get_translator
from services.messages import MessageNames
from tests.unit.console.held import Browser, browsing, reference
from tests.unit.console.test_every_screen import NOW, REALM, realm, shown

PHONE = "+33612345678"


def _roster() -> ref.Roster:
    return next(s.roster for s in reference().sections if isinstance(s, ref.RosterSection))


def _holder(role: str, scope: str | None = None) -> str:
    holder = next(h.holder for h in _roster().holders if (h.role, h.scope) == (role, scope))
    assert holder is not None
    return holder


def _contact(token: str, verified_at: int | None = NOW) -> Contact:
    point = ContactPoint(channel=Channel.VOICE, address=PHONE, verified_at=verified_at)
    return Contact(person=token, name="Claude Martin", points=(point,))


def _browsing(*contacts: Contact) -> tuple[Browser, list[tuple[str, str, str]]]:
    browser, _ = browsing(realm())
    browser.app.state.directory.kept.update({c.person: c for c in contacts})
    return browser, browser.app.state.access.traces


async def test_readers_of_the_logbook_see_the_holders_of_roles_without_numbers() -> None:
    token = _holder("dgs_directeur_de_crise")
    browser, traces = _browsing(_contact(token))
    answer = await browser.get(f"/api/v1/directory?realm={REALM}", role="director")
    state = answer.json()
    row = next(i for i in state["items"] if i["id"] == "dgs_directeur_de_crise")
    assert row["holder"] == token
    assert PHONE not in answer.text
    assert traces == []


async def test_reading_the_number_of_a_person_is_recorded() -> None:
    token = _holder("dgs_directeur_de_crise")
    browser, traces = _browsing(_contact(token))
    answer = await browser.get(f"/api/v1/directory/people/{token}?realm={REALM}", role="cell")
    assert answer.status_code == 200
    assert answer.json()["points"][0]["address"] == {"label": PHONE, "link": f"tel:{PHONE}"}
    assert traces == [("cell-1", "directory.read", f"{REALM} {token}")]


async def test_the_page_shows_a_number_only_on_request() -> None:
    token = _holder("dgs_directeur_de_crise")
    browser, traces = _browsing(_contact(token))
    page = await browser.get(f"/annuaire?realm={REALM}", role="cell")
    assert page.status_code == 200
    assert PHONE not in page.text
    assert traces == []
    link = re.search(rf'href="\?([^"]*personne={token}[^"]*)#([^"]+)"', page.text)
    assert link is not None
    page = await browser.get(f"/annuaire?{unescape(link[1])}", role="cell")
    assert page.text.count(f'id="{link[2]}"') == 1, "the link leads to the number"
    assert f'href="tel:{PHONE}"' in page.text
    assert "Claude Martin" in page.text
    assert [t[1] for t in traces] == ["directory.read"]


@pytest.mark.parametrize(
    ("asked", "start"),
    [
        ("dgs_directeur_de_crise", "Appel à DGS, directeur de crise"),
        ("contact:enedis", "Appel à Enedis, direction régionale"),
        ("N3", "Conférence N3"),
        ("N9", ""),
        ("nobody", ""),
    ],
)
async def test_a_line_about_a_call_begins_with_the_role_or_partner(asked: str, start: str) -> None:
    browser, traces = _browsing()
    page = await browser.get(f"/annuaire?realm={REALM}&appel={asked}", role="cell")
    text_match = re.search(r'<textarea[^>]*id="call-text"[^>]*>([^<]*)</textarea>', page.text)
    assert text_match is not None
    assert text_match[1].startswith(start)
    assert bool(text_match[1]) is bool(start)
    assert 'name="kind" value="communication"' in page.text
    assert traces == [], "to note a call reads no number"


async def test_an_auditor_has_no_form_to_note_a_call() -> None:
    browser, _ = _browsing()
    page = await browser.get(f"/annuaire?realm={REALM}", role="auditor")
    assert page.status_code == 200
    assert "call-text" not in page.text


async def test_only_holders_of_a_role_can_be_looked_up() -> None:
    browser, traces = _browsing(_contact("agent-77"))
    answer = await browser.get(f"/api/v1/directory/people/agent-77?realm={REALM}", role="cell")
    assert answer.status_code == 404
    assert traces == []


async def test_an_account_of_one_site_reads_no_number_of_another_site() -> None:
    other = next(
        s for s in reference().sites.values() if s.pole != reference().sites["pmi-01"].pole
    )
    token = _holder("responsable_site", other.id)
    browser, traces = _browsing(_contact(token))
    path = f"/api/v1/directory/people/{token}?realm={REALM}"
    assert (await browser.get(path, role="cell@pmi-01")).status_code == 403
    assert traces == []


@pytest.mark.parametrize("role", ["director", "observer"])
async def test_the_page_refuses_numbers_to_readers_without_the_right(role: str) -> None:
    token = _holder("dgs_directeur_de_crise")
    browser, traces = _browsing(_contact(token))
    page = await browser.get(f"/annuaire?realm={REALM}&personne={token}", role=role)
    assert page.status_code == 403
    assert traces == []


async def test_partners_without_a_number_are_marked_and_a_number_has_a_link() -> None:
    browser, _ = _browsing(_contact(ref.build_contact_token("enedis")))
    answer = await browser.get(f"/api/v1/directory?realm={REALM}&domain=Énergie")
    partners = {p["id"]: p for p in answer.json()["partners"]}
    assert partners["enedis"]["phones"] == [{"label": PHONE, "link": f"tel:{PHONE}"}]
    assert partners["enedis"]["state"] == "verified"
    assert partners["grdf"]["state"] == "to_complete"
    assert {p["domain"] for p in partners.values()} == {"Énergie"}
    text = await shown(browser, "/annuaire?domaine=Énergie")
    assert "À COMPLÉTER" in text


def test_a_number_unverified_for_ninety_days_needs_verification() -> None:
    def state(verified_at: int | None) -> str:
        numbers = {"enedis": _contact("contact:enedis", verified_at)}
        partners = list_partners(reference(), numbers, NOW, get_translator("fr"))
        return next(p.state for p in partners if p.id == "enedis")

    assert state(NOW - 90 * DAY_MS) == "verified"
    assert state(NOW - 91 * DAY_MS) == "to_verify"
    assert state(None) == "to_verify"


async def test_site_managers_are_found_by_the_name_of_their_site() -> None:
    browser, _ = _browsing()
    site = reference().sites["pmi-01"]
    assert "Responsables de site" in await shown(browser, "/annuaire")
    text = await shown(browser, f"/annuaire?q={site.commune_name}")
    assert re.search("Responsable de site|Resp. de site", text)


def test_the_code_of_a_bridge_stays_out_of_its_link() -> None:
    link = build_phone_link("01 40 00 00 00 code 1234")
    assert (link.label, link.link) == ("01 40 00 00 00 code 1234", "tel:0140000000")
    assert build_phone_link("salle B12").link is None


def test_every_level_has_a_bridge_or_waits_for_one() -> None:
    names = MessageNames(bridges={3: "01 40 00 00 00"})
    points = build_reaching_points(names, MeetingPlace(name=None, passed_over=[]))
    assert [b.level for b in points.bridges if b.bridge is not None] == [3]
    assert [b.level for b in points.bridges] == [1, 2, 3, 4]


HEADQUARTERS = ref.MeetingPoint(name="Siège", site="cen-1")
FALLBACK = ref.MeetingPoint(name="Salle de repli", site="sit-02")
CAFE = ref.MeetingPoint(name="Mairie de Nanterre")


def _site(id: str, status: SiteStatus, **changes: Any) -> SiteRow:
    return SiteRow(id=id, status=status, since=NOW, capacity_pct=0, **changes)


def _area_order(*sites: str, order: SiteStatus, **changes: Any) -> AreaOrderRow:
    return AreaOrderRow(
        id="o-1",
        incident=None,
        order=order,
        report="r-1",
        source="prefecture",
        ordered_at=NOW,
        sites=sites,
        **changes,
    )


@pytest.mark.parametrize(
    ("site", "why"),
    [
        (_site("cen-1", SiteStatus.CLOSED), "closed"),
        (_site("cen-1", SiteStatus.EVACUATED), "evacuated"),
        (_site("cen-1", SiteStatus.CLOSED, left_at=NOW), "evacuated"),
        (_site("cen-1", SiteStatus.SHELTERING), "sheltering"),
        (_site("cen-1", SiteStatus.EVACUATED, all_clear_at=NOW), None),
        (_site("cen-1", SiteStatus.DEGRADED), None),
        (_site("cen-2", SiteStatus.CLOSED), None),
    ],
)
def test_the_cell_meets_at_the_first_place_that_nothing_bars(
    site: SiteRow, why: str | None
) -> None:
    place = choose_meeting_place((HEADQUARTERS, FALLBACK), list_site_bars([site], []))
    assert place.name == ("Siège" if why is None else "Salle de repli")
    assert [one.why for one in place.passed_over] == ([] if why is None else [why])


@pytest.mark.parametrize("order", [SiteStatus.EVACUATED, SiteStatus.SHELTERING])
def test_the_cell_meets_in_no_area_of_an_order(order: SiteStatus) -> None:
    bars = list_site_bars([], [_area_order("cen-1", "sit-02", order=order)])
    place = choose_meeting_place((HEADQUARTERS, FALLBACK), bars)
    assert place.name is None
    assert {one.why for one in place.passed_over} == {f"area_{order}"}
    assert choose_meeting_place((HEADQUARTERS, CAFE), bars).name == CAFE.name
    ended = list_site_bars([], [_area_order("cen-1", order=order, ended_at=NOW)])
    outside = list_site_bars([], [_area_order("cen-1", order=order, outside=("cen-1",))])
    assert ended == outside == {}


async def test_the_pages_say_where_the_cell_meets_and_why_not_at_its_usual_place() -> None:
    closed = realm()
    closed.put("sites", _site("cen-1", SiteStatus.EVACUATED).model_dump(mode="json"))
    for realm_state, text in (
        (realm(), "Siège, Nanterre, salle de crise"),
        (
            closed,
            "Salle de repli, Rueil-Malmaison Écarté : Siège, Nanterre, salle de crise (site évacué)",
        ),
    ):
        realm_state.put("levels", {"id": "territory", "level": 3, "since": NOW, "version": 2})
        browser, _ = browsing(realm_state)
        for path in ("/annuaire", "/"):
            assert f"Lieu de réunion {text}" in await shown(browser, path), path
        cell = (await browser.get(f"/api/v1/directory?realm={REALM}")).json()["cell"]
        assert text.startswith(cell["meeting_point"])
        assert len(cell["passed_over"]) == int(realm_state is closed)


def test_the_shipped_partners_hold_no_number() -> None:
    section = next(s for s in reference().sections if isinstance(s, ref.Contacts))
    assert len(section.contacts) == 143
    assert not re.search(r"\d{2}[ .]\d{2}[ .]\d{2}", section.model_dump_json())
