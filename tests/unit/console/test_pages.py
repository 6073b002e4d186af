"""Pure parts of the pages: order, clocks, map, logbook, shared renders, target of a login."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from schemas.words import Certainty, SiteStatus
from services.console.accounts.login import keep_inside
from services.console.attention.cell_page import (
    SiteDeadline,
    SiteLine,
    build_site_line,
    fold_text,
)
from services.console.attention.cell_page import group_lines as group_site_lines
from services.console.continuity.clocks import build_bar
from services.console.i18n import get_translator
from services.console.logbook.line_list import build_entries, group_lines, summarise_lines
from services.console.read_model.shapes import Shaper
from services.console.resources import Clock, Line
from services.console.sites.map import compute_extent, is_overlapping, place_labels, push_apart
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.console.web.routes import LIFE_S, RenderCache
from tests.unit.alerts.scene import Scene
from tests.unit.console.held import outlines, reference

NOW = datetime(2027, 2, 11, 9, 16, 24, tzinfo=UTC)
_ = get_translator("fr")


def site(id: str, status: str, limit_min: float | None = None) -> SiteLine:
    limit = (
        None
        if limit_min is None
        else SiteDeadline(
            "CPL-01", "Sûreté des bâtiments", NOW + timedelta(minutes=limit_min), limit_min <= 0
        )
    )
    return SiteLine(
        id,
        id,
        "Nanterre",
        SiteStatus(status),
        "",
        NOW,
        "100 %",
        limit,
        1,
        id,
        status == "evacuated",
    )


def test_danger_comes_first_then_urgent_then_silent_sites_then_the_rest() -> None:
    lines = [
        site("r", "closed"),
        site("u", "unknown"),
        site("e", "evacuated"),
        site("late", "closed", 55),
        site("over", "closed", -3),
        site("far", "closed", 90),
    ]
    groups = group_site_lines(lines, NOW, _)
    assert [(g.key, [x.id for x in g.lines]) for g in groups] == [
        ("danger", ["e"]),
        ("limite", ["over", "late"]),
        ("silence", ["u"]),
        ("reste", ["far", "r"]),
    ]


def test_search_text_forgives_accents_case_and_apostrophes() -> None:
    assert fold_text("L’Île ÉVACUÉE") == "l'ile evacuee"


def clock(
    base: str,
    limit_h: float,
    consumed: float,
    minutes_left: float,
    *,
    ticking: bool = True,
    state: str = "running",
) -> Clock:
    return Clock.model_validate(
        {
            "base": base,
            "state": state,
            "limit_h": limit_h,
            "started_at": NOW,
            "deadline": NOW + timedelta(minutes=minutes_left),
            "stopped_at": None,
            "consumed_pct": consumed,
            "as_of": NOW,
            "ticking": ticking,
            "alarms": [],
        }
    )


def test_a_running_clock_moves_to_its_deadline_and_beyond() -> None:
    running = clock("rto", 1, 50, 30)
    assert running.percent_at(NOW + timedelta(minutes=15)) == pytest.approx(75)
    assert running.percent_at(NOW + timedelta(minutes=30)) == pytest.approx(100)
    assert running.percent_at(NOW + timedelta(minutes=45)) == pytest.approx(125)
    assert clock("rto", 1, 50, 30, ticking=False).percent_at(NOW + timedelta(hours=5)) == 50


@pytest.mark.parametrize(
    ("consumed", "tone"), [(10, "run"), (50, "warn"), (99, "warn"), (100, "late")]
)
def test_a_bar_changes_its_tone_with_the_rto(consumed: float, tone: str) -> None:
    bar = build_bar(
        clock("rto", 1, consumed, 1), clock("dmia", 2, consumed / 2, 60), NOW, forecast=False
    )
    assert (bar.tone, bar.tick) == (tone, 50)


def test_a_bar_never_leaves_its_track() -> None:
    bar = build_bar(clock("rto", 1, 400, 1), clock("dmia", 2, 200, 1), NOW, forecast=True)
    assert bar.at == 100
    assert bar.until is None


def test_glyphs_are_pushed_apart_and_always_the_same_way() -> None:
    points = ((10.0, 10.0), (10.0, 10.0), (11.0, 10.0), (90.0, 90.0))
    placed = push_apart(points, 6)
    assert placed == push_apart(points, 6)
    assert placed[3] == (90.0, 90.0)
    assert (
        min(abs(a[0] - b[0]) + abs(a[1] - b[1]) for k, a in enumerate(placed) for b in placed[:k])
        >= 4
    )


def test_two_names_on_the_map_do_not_cover_each_other() -> None:
    path = "M0,0L100,0L100,100L0,100Z"
    assert compute_extent(path) == (0, 0, 100, 100)
    positions = place_labels(
        [("Nanterre", (50, 50), path), ("Puteaux", (50, 50), path)], [], (-200, -200, 500, 500), 20
    )
    boxes = [
        (x - 0.28 * 20 * len(n), y - 16, 0.56 * 20 * len(n), 20) for n, (x, y) in positions.items()
    ]
    assert not is_overlapping(boxes[0], boxes[1])


def line(k: int, together: str | None = None, minute: int = 0, **fields: object) -> Line:
    at = NOW.replace(second=0) - timedelta(minutes=minute)
    return Line.model_validate(
        {
            "id": f"l{k}",
            "realm": "92",
            "occurred_at": at,
            "recorded_at": at,
            "late_min": 0,
            "author": "system",
            "role": None,
            "kind": "fact",
            "type": "ReportChanged",
            "change": "applied",
            "text": f"Coupure de courant : site {k}",
            "incident": None,
            "site": f"site {k}",
            "report": None,
            "certainty": "confirmed",
            "source": "site_manager",
            "corrects": None,
            "place": f"alerts/6/{k}/0",
            "together": together,
        }
        | fields
    )


CUT = "Coupure de courant : {sites}"


def test_a_storm_of_reports_is_read_as_one_line_and_dangers_stand_alone() -> None:
    """The cell could not find the gas leak among 88 power cuts."""
    status = {"type": "SiteStatusChanged", "source": None, "certainty": None}
    storm = [
        one
        for k in range(1, 177, 2)
        for one in (line(k, CUT), line(k + 1, "Fermé : {sites}", **status))
    ]
    danger = line(200, None, text="Fuite de gaz : site 200")
    groups = group_lines([*storm[:40], danger, *storm[40:]])
    assert [len(group) for group in groups] == [88, 88, 1]
    assert groups[2] == [danger]
    assert summarise_lines(groups[0], TerritoryNames(), _) == "Coupure de courant : 88 sites"
    assert {one.id for group in groups for one in group} == {one.id for one in (*storm, danger)}


def test_lines_stand_alone_if_they_are_few_late_of_another_time_or_source() -> None:
    storm = [line(k, CUT) for k in range(1, 5)]
    others = [
        line(10, CUT, late_min=40),
        line(11, CUT, minute=30),
        line(12, CUT, source="supervision"),
        line(13, "Odeur de brûlé : {sites}"),
        line(14, "Odeur de brûlé : {sites}"),
    ]
    groups = group_lines([*storm, *others])
    assert [len(group) for group in groups] == [4, 1, 1, 1, 1, 1]
    assert [len(group) for group in group_lines(storm, apart=["l2"])] == [3, 1]


def test_a_sentence_without_its_site_says_how_many_sites_there_are() -> None:
    cards = [line(k, "Fiche faite : fermer l’eau") for k in range(1, 4)]
    assert (
        summarise_lines(cards, TerritoryNames(), _) == "Fiche faite : fermer l’eau\u00a0: 3 sites"
    )
    again = [line(k, CUT, site="site 1") for k in range(1, 4)]
    assert summarise_lines(again, TerritoryNames(), _) == "Coupure de courant : site 1 (3 fois)"
    assert [entry.id for entry in build_entries(again, TerritoryNames(), _, 10)] == ["l1"]


def test_times_are_those_of_paris_on_both_sides_of_summer() -> None:
    assert times.hm(datetime(2027, 2, 11, 9, 16, tzinfo=UTC)) == "10:16"
    assert times.hm(datetime(2027, 7, 11, 9, 16, tzinfo=UTC)) == "11:16"
    assert times.hm_day(NOW + timedelta(days=2), NOW, "fr") == "sam. 13/02"


def test_a_moment_of_another_day_has_its_date_and_its_time() -> None:
    labels = [times.hm_dated(NOW - timedelta(hours=h), NOW, "fr") for h in (0, 10, 11)]
    assert labels == ["10:16", "00:16", "mer. 10/02 23:16"], (
        "the day ends at midnight in Paris, not in Greenwich"
    )
    assert times.hm_dated(NOW + timedelta(days=2), NOW, "en") == "Sat 13/02 10:16"
    assert times.hm_dated(None, NOW, "fr") == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "00:00"), (336, "05:36"), (3599, "59:59"), (3600, "1 h 00"), (200_000, "2 j")],
)
def test_a_countdown_stops_at_zero(seconds: int, text: str) -> None:
    assert times.format_countdown(NOW + timedelta(seconds=seconds), NOW, "fr") == text


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/",
        "/\\evil.example",
        "https://evil.example",
        "javascript:x",
        "",
        "evil",
        "/a\r\nSet-Cookie: x",
    ],
)
def test_a_login_leads_only_to_internal_pages(target: str) -> None:
    assert keep_inside(target) == "/"


def test_a_login_leads_to_the_requested_page() -> None:
    assert keep_inside("/incidents/1?realm=92~ex-7") == "/incidents/1?realm=92~ex-7"


async def test_many_readers_of_one_state_share_one_render() -> None:
    renders, made, go = RenderCache(), [], asyncio.Event()

    async def make() -> bytes:
        made.append(1)
        await go.wait()
        return b"page"

    waiting = [asyncio.create_task(renders.get("state", make)) for _k in range(20)]
    await asyncio.sleep(0)
    go.set()
    assert set(await asyncio.gather(*waiting)) == {b"page"}
    assert len(made) == 1


async def test_a_newer_state_and_an_old_render_are_rendered_again() -> None:
    now, made = [0.0], []
    renders = RenderCache(lambda: now[0])

    async def make() -> bytes:
        made.append(1)
        return str(len(made)).encode()

    assert await renders.get("a", make) == b"1"
    assert await renders.get("b", make) == b"2"
    now[0] = LIFE_S + 0.1
    assert await renders.get("a", make) == b"3"


async def test_a_failed_render_is_not_kept() -> None:
    renders = RenderCache()

    async def fail() -> bytes:
        raise ValueError("store away")

    async def make() -> bytes:
        return b"page"

    with pytest.raises(ValueError, match="store away"):
        await renders.get("a", fail)
    assert await renders.get("a", make) == b"page"


@pytest.mark.parametrize(
    ("certainty", "said"), [("unconfirmed", "non confirmé"), (None, "silence")]
)
def test_an_unknown_site_is_shown_as_silent_or_unconfirmed(
    certainty: str | None, said: str
) -> None:
    """A site with a neighbour's report of a fire was shown as silent."""
    scene = Scene()
    if certainty:
        scene.report(0, "fire", "pmi-04", certainty=Certainty(certainty), source="voisin")
    else:
        scene.report(0, "security_incident", "pmi-05")
        scene.step(40)
    reference_ = reference()
    site_view = Shaper(scene.realm, reference_, outlines(), "fr").site(
        reference_.sites["pmi-04"], scene.site("pmi-04")
    )
    assert (site_view.status, build_site_line(site_view, None, _).why) == ("unknown", said)
