"""Clients see people on call, spans, gaps, the grid of the page and feed addresses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.base import HOUR_MS
from schemas.delivery import ProbedChannel, ProbeRow
from schemas.oncall import DrillRow, DutyRow, Place, RungRow
from schemas.words import Channel
from services.console.i18n import get_translator
from services.console.oncall import api as oncall_api
from services.console.oncall import screen as oncall_page
from services.console.oncall.feed_links import FeedLink, FeedLinkInvalid, FeedLinks
from services.console.oncall.resources import Readiness
from services.console.oncall.schedule import ScheduleView
from services.console.read_model.reference_index import IndexedReference
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.intake.http.proxy import CONSOLE_TIMEOUT_S
from tests.shipped import territory
from tests.unit.console.held import Held, browsing, reference
from tests.unit.oncall.rotas import at, calendar, override

TERRITORY = territory()
REFERENCE = IndexedReference("v1", TerritoryNames.of(TERRITORY.sections), TERRITORY.sections)
NOW = at("2027-02-11T09:40")
REALM = "92~ex-duty"
TECHNIQUE = "astreinte_technique"


def desk(*duties: DutyRow, lang: str = "fr") -> ScheduleView:
    return ScheduleView("92", REFERENCE, {d.id: d for d in duties}, {}, NOW - HOUR_MS, lang)


def week(
    *duties: DutyRow, start: str = "2027-02-08T00:00", end: str = "2027-02-15T00:00"
) -> list[oncall_page.GridRow]:
    monday = date.fromisoformat(start[:10])
    edges = oncall_page.compute_edges(monday)
    assert (edges[0], edges[-1]) == (at(start), at(end))
    on_call_posts = desk(*duties).on_call(NOW, edges[0], edges[-1])
    return oncall_page.build_rows(
        on_call_posts, edges, datetime.fromtimestamp(NOW / 1000, UTC), "fr"
    )


def test_the_page_shows_people_on_call_and_the_end_of_their_shift() -> None:
    on_call_posts = desk(override("cel-si", "2027-02-11T08:00", "2027-02-11T20:00")).on_call(
        NOW, NOW, NOW + 48 * HOUR_MS, role=TECHNIQUE
    )
    (post,) = on_call_posts.items
    assert (post.role_name, post.scope, post.now.holder, post.now.deputy) == (
        "Astreinte technique",
        None,
        "cel-si",
        "ast-technique-s",
    )
    assert post.now.until is not None
    assert times.to_ms(post.now.until) == at("2027-02-11T20:00")
    assert [(s.persons, s.by) for s in post.holder] == [
        (["cel-si"], "override"),
        (["ast-technique"], "roster"),
    ]
    assert on_call_posts.gaps == []


def test_a_role_of_poles_is_shown_on_request() -> None:
    assert {p.scope for p in desk().on_call(NOW, NOW, NOW + HOUR_MS).items} == {None}
    directors = desk().on_call(NOW, NOW, NOW + HOUR_MS, role="directeur_pole").items
    assert len(directors) == 8
    (one,) = desk().on_call(NOW, NOW, NOW + HOUR_MS, role="directeur_pole", scope="education").items
    assert (one.id, one.now.holder) == ("directeur_pole:education", "dir-education")


def test_a_gap_names_post_place_and_span() -> None:
    gap = override(None, "2027-02-11T12:00", "2027-02-11T13:00", place=Place.DEPUTY)
    (gap_view,) = desk(gap).on_call(NOW, NOW, NOW + 48 * HOUR_MS).gaps
    assert (
        gap_view.role,
        gap_view.place,
        times.to_ms(gap_view.start),
        times.to_ms(gap_view.end),
    ) == (
        TECHNIQUE,
        Place.DEPUTY,
        at("2027-02-11T12:00"),
        at("2027-02-11T13:00"),
    )


def test_broken_limits_are_written_in_plain_words() -> None:
    long = calendar(("cel-si", "2027-02-11T08:00", "2027-02-11T20:00"), role="cellule_si")
    (broken,) = desk(long).on_call(NOW, NOW, NOW + 48 * HOUR_MS).limits
    assert (broken.person, broken.text) == ("cel-si", "plus de 10 h par jour")
    (english,) = desk(long, lang="en").on_call(NOW, NOW, NOW + 48 * HOUR_MS).limits
    assert english.text == "more than 10 h a day"


def test_a_drill_is_shown_with_its_channels_newest_first() -> None:
    rungs = (
        RungRow(ladder="3", wave=1, posts=4, reached=4, slowest_min=3),
        RungRow(ladder="3", wave=2, posts=2, reached=1, silent=("responsable_site:pmi-04",)),
    )
    old = DrillRow(id="2027-01", at=NOW - 30 * 24 * HOUR_MS, reference="v1", rungs=rungs[:1])
    new = DrillRow(id="2027-02", at=NOW, reference="v1", rungs=rungs)
    channels = (
        ProbedChannel(channel=Channel.EMAIL, outcome="answered"),
        ProbedChannel(channel=Channel.SMS, outcome="failed", error="sms_connection"),
    )
    probes = {
        "2027-02": ProbeRow(id="2027-02", asked_at=NOW, done_at=NOW + 1000, channels=channels)
    }
    drills = replace(desk(), drills={d.id: d for d in (old, new)}, probes=probes).list_drills()
    assert [(d.month, d.ok, d.probed_at is None) for d in drills] == [
        ("2027-02", False, False),
        ("2027-01", False, True),
    ]
    assert [r.ok for r in drills[0].rungs] == [True, False]
    assert drills[0].rungs[1].silent[0].startswith("Responsable de site, ")
    assert [(c.channel_name, c.text, c.error) for c in drills[0].channels] == [
        ("courriel", "a répondu", None),
        ("SMS", "n’a pas répondu", "sms_connection"),
    ]
    late = RungRow(ladder="3", wave=1, posts=4, reached=4, late=1, slowest_min=90)
    (one,) = replace(
        desk(), drills={"m": DrillRow(id="2027-02", at=NOW, reference="v1", rungs=(late,))}
    ).list_drills()
    assert not one.ok, "reached too late is not reached"


def test_readiness_counts_and_names_holes() -> None:
    ready = desk().readiness(NOW)
    assert (ready.ready, ready.ready_pct, ready.items) == (ready.hours, 100.0, [])
    holes = desk(override(None, "2027-02-11T12:00", "2027-02-11T13:00")).readiness(NOW)
    assert [(h.text, h.fix_text, h.in_h, h.sites) for h in holes.items] == [
        ("Pas de titulaire", "Trouver un titulaire", 2.3, 253)
    ]
    assert (holes.urgent_count, holes.nobody_count) == (1, 0)
    band = next(r.band for r in holes.roles if r.role == TECHNIQUE)
    assert [state for _, _, state in band] == ["ready", "reserve", "ready"]


def test_a_channel_without_a_provider_reaches_no_person() -> None:
    """Even a channel in the directory sends no message."""

    def probed(*outcomes: tuple[Channel, str], at: int = NOW) -> ProbeRow:
        channels = tuple(
            ProbedChannel.model_validate({"channel": c, "outcome": o}) for c, o in outcomes
        )
        return ProbeRow(id=str(at), asked_at=at, done_at=at + 1, channels=channels)

    none = probed(*((c, "not_configured") for c in Channel))
    readiness = replace(desk(), probes={none.id: none}).readiness(NOW)
    assert (readiness.ready, readiness.ready_pct) == (0, 0)
    assert set(readiness.without_provider) == {"app", "sms", "voice", "email"}, (
        "those by which somebody should be reached"
    )
    assert {h.kind for h in readiness.items} >= {"unreachable"}

    later = probed(
        *((c, "failed" if c is Channel.SMS else "answered") for c in Channel), at=NOW + HOUR_MS
    )
    mended = replace(desk(), probes={none.id: none, later.id: later}).readiness(NOW)
    assert (mended.ready_pct, mended.without_provider) == (100, []), (
        "the newest test counts; a provider that is there and failed once is no missing one"
    )

    row = DrillRow(
        id=none.id, at=NOW, reference="v1", rungs=(RungRow(ladder="3", wave=1, posts=4, reached=4),)
    )
    (drill,) = replace(desk(), drills={row.id: row}, probes={none.id: none}).list_drills()
    assert not drill.ok, "all of it on paper"


def test_readiness_of_a_site_shows_person_channel_and_minutes() -> None:
    site = next(s for s in TERRITORY.sites if s.id == "pmi-04")
    readiness = desk().readiness(NOW, site=site)
    manager = next(r for r in readiness.reached if r.role == "responsable_site")
    assert (manager.scope, manager.person, manager.channel, manager.minutes) == (
        "pmi-04",
        "rs-pmi-04",
        "app",
        pytest.approx(1.0, abs=0.01),
    )
    assert len({r.role for r in readiness.reached}) == 9


def test_a_realm_without_published_data_has_no_proof_and_no_error() -> None:
    empty = ScheduleView("92", IndexedReference(), {}, {}, None, "fr")
    assert isinstance(empty.readiness(NOW), Readiness)
    assert empty.on_call(NOW, NOW, NOW + HOUR_MS).items == []


# ── the page ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_of_the_grid_has_84_columns_and_the_current_cell_is_framed() -> None:
    rows = week(override("cel-si", "2027-02-11T08:00", "2027-02-11T20:00"))
    assert all(sum(c.columns for c in row.cells) == 84 for row in rows)
    row = next(r for r in rows if r.key == f"{TECHNIQUE}-h")
    assert [(c.persons, c.columns, c.current) for c in row.cells] == [
        (("ast-technique",), 40, False),
        (("cel-si",), 6, True),
        (("ast-technique",), 38, False),
    ]


def test_a_gap_shorter_than_a_column_is_visible() -> None:
    rows = week(override(None, "2027-02-11T12:10", "2027-02-11T12:20"))
    row = next(r for r in rows if r.key == f"{TECHNIQUE}-h")
    assert [c.hole for c in row.cells] == [False, True, False]
    assert "12:10" in row.cells[1].span_text


def test_the_week_of_the_change_has_as_many_columns() -> None:
    assert len(oncall_page.compute_edges(date(2027, 3, 22))) == 85
    edges = oncall_page.compute_edges(date(2027, 3, 22))
    assert (edges[-1] - edges[0]) / HOUR_MS == 167
    assert oncall_page.find_monday(date(2027, 3, 28)) == date(2027, 3, 22)


def test_bands_and_days_of_the_page() -> None:
    proof = desk(override(None, "2027-02-12T00:00", "2027-02-13T00:00")).readiness(NOW)
    band = next(b for b in oncall_page.build_bands(proof) if b.name == "Astreinte technique")
    assert [bar.tone for bar in band.bars] == ["y", "w", "y"]
    assert sum(bar.width for bar in band.bars) == pytest.approx(760, abs=0.2)
    days = oncall_page.build_days(
        date(2027, 2, 8), datetime.fromtimestamp(NOW / 1000, UTC), frozenset({"2027-02-09"}), "fr"
    )
    assert [(d.today, d.holiday) for d in days][:4] == [
        (False, False),
        (False, True),
        (False, False),
        (True, False),
    ]
    assert len(oncall_page.build_ticks(proof)) == 8
    assert (proof.end - proof.start) == timedelta(days=14)


# ── feeds ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_feed_address_names_its_role_and_cannot_be_forged(tmp_path: Path) -> None:
    links = FeedLinks(b"k" * 32, tmp_path / "salt")
    link = FeedLink("92", "directeur_pole", "education")
    token = links.token(link)
    assert links.read(token) == link
    for wrong in (
        token[:-1],
        token + "A",
        "x",
        "",
        "é",
        FeedLinks(b"o" * 32, tmp_path / "salt").token(link),
    ):
        with pytest.raises(FeedLinkInvalid):
            links.read(wrong)


def test_renewing_revokes_every_address(tmp_path: Path) -> None:
    links = FeedLinks(b"k" * 32, tmp_path / "salt")
    token = links.token(FeedLink("92", TECHNIQUE, None))
    links.renew()
    with pytest.raises(FeedLinkInvalid):
        links.read(token)
    assert links.read(links.token(FeedLink("92", TECHNIQUE, None))).scope is None


def test_changes_in_force_are_the_unexpired_ones() -> None:
    over = override("cel-si", "2027-02-10T08:00", "2027-02-10T20:00")
    gone = override("cel-si", "2027-02-11T08:00", "2027-02-11T20:00").model_copy(
        update={"state": "withdrawn"}
    )
    nobody = override(None, "2027-02-11T12:00", "2027-02-11T13:00", place=Place.DEPUTY)
    tour = calendar(
        ("cel-si", "2027-02-12T08:00", "2027-02-12T20:00"),
        ("cel-rh", "2027-02-13T08:00", "2027-02-13T20:00"),
    )
    rows = [desk().duty(row) for row in (over, gone, nobody, tour)]
    decisions = oncall_page.list_decisions(
        rows, datetime.fromtimestamp(NOW / 1000, UTC), REFERENCE.names, get_translator("fr")
    )
    assert [(d.kind.split()[0], d.post, d.place, d.persons) for d in decisions] == [
        ("remplacement", "Astreinte technique", Place.DEPUTY, "personne"),
        ("calendrier", "Astreinte technique", Place.HOLDER, "cel-si, cel-rh"),
    ]


async def test_posts_are_read_page_by_page() -> None:
    """`?limit=` was read over."""
    browser, _ = browsing(Held(REALM, clock=NOW, reference=reference()))

    async def asked(query: str = "") -> Any:
        return await browser.get(f"/api/v1/oncall?realm={REALM}{query}", accept="application/json")

    whole = (await asked()).json()
    first = (await asked("&limit=2")).json()
    rest = (await asked(f"&cursor={first['next']}")).json()
    assert (len(first["items"]), whole["next"], rest["next"]) == (2, None, None)
    assert first["items"] + rest["items"] == whole["items"]
    assert first["gaps"] == whole["gaps"]
    assert (await asked("&limit=5000")).status_code == 422


async def test_an_import_that_takes_too_long_is_answered_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The front gave up after the same 30 seconds, and the outcome was unknown."""

    async def read_for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(oncall_api, "read_untrusted_calendar", read_for_ever)
    monkeypatch.setattr(oncall_api, "READ_WITHIN_S", 0.01)
    browser, _ = browsing(Held(REALM, clock=NOW, reference=reference()))
    answer = await browser.post(f"/api/v1/oncall/import?realm={REALM}", {}, role="coordinator")
    assert (answer.status_code, answer.json()["code"]) == (503, "calendar_unread")
    assert answer.headers["retry-after"]
    assert "rien n’a changé" in answer.json()["detail"]
    assert browser.decisions.asked == []


def test_an_import_ends_before_the_front_gives_its_answer_up() -> None:
    assert oncall_api.READ_WITHIN_S < oncall_api.IMPORT_WITHIN_S < CONSOLE_TIMEOUT_S


async def test_the_name_of_a_calendar_has_no_invisible_characters(tmp_path: Path) -> None:
    """A programme of calendars showed the name in another order, or refused the file."""
    realm_state = Held(REALM, clock=NOW, reference=reference())
    browser, _ = browsing(realm_state)
    links = browser.app.state.feed_links = FeedLinks(b"k" * 32, tmp_path / "salt")
    token = links.token(FeedLink(REALM, "astreinte\u202e\x07 technique", None))
    answer = await browser.get(f"/calendriers/{token}.ics", role="")
    assert answer.status_code == 200
    assert "X-WR-CALNAME:astreinte technique\r\n" in answer.text
