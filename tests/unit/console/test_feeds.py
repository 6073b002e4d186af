"""The page of official feeds shows age by the publisher's clock, last message and silent feeds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.catalogue.sources import FeedList, FeedStatus, LastPost
from services.console.feeds.resources import list_feeds, read_feeds
from services.console.feeds.screen import build_feed_lines
from services.console.i18n import get_translator
from tests.unit.console.held import browsing
from tests.unit.console.test_every_screen import REALM, crisis

NOW = datetime.now(UTC)


def make_status(name: str, **changes: object) -> FeedStatus:
    fields: dict[str, object] = {
        "name": name,
        "title": f"Flux {name}",
        "enabled": True,
        "verdict": "ok",
        "fault": "",
        "edition": "e",
        "edition_at": NOW - timedelta(minutes=42),
        "fetched_at": NOW,
        "understood_at": NOW,
        "enabled_at": NOW - timedelta(days=1),
        "poll_s": 600,
        "stale_after_s": 7200,
        "heartbeat_s": 14400,
        "word": "vert",
        "last_post": LastPost(headline="Seine à Paris-Austerlitz 1,12 m", at=NOW),
        "waiting": 0,
    }
    return FeedStatus.model_validate(fields | changes)


def test_a_feed_in_need_of_a_person_comes_first() -> None:
    silent = make_status("b", understood_at=NOW - timedelta(minutes=21), verdict="retry")
    off = make_status("a", enabled=False)
    feeds = list_feeds(FeedList(written_at=NOW, items=(off, make_status("c"), silent)), NOW)
    assert [(feed.name, feed.state) for feed in feeds.items] == [
        ("b", "silent"),
        ("c", "ok"),
        ("a", "off"),
    ]


def test_a_line_shows_the_age_by_the_publishers_clock() -> None:
    feeds = list_feeds(FeedList(written_at=NOW, items=(make_status("a"),)), NOW)
    lines = build_feed_lines(feeds, NOW, get_translator("fr"))
    assert lines is not None
    assert (lines[0].age, lines[0].last_word, lines[0].tone) == ("42 min", "vert", "")


def test_an_unrenewed_state_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    assert read_feeds(file, NOW) is None
    file.write_text(FeedList(written_at=NOW, items=(make_status("a"),)).model_dump_json())
    assert read_feeds(file, NOW) is not None
    assert read_feeds(file, NOW + timedelta(minutes=2)) is None
    file.write_text("{")
    assert read_feeds(file, NOW) is None


async def test_the_page_marks_playing_samples(tmp_path: Path) -> None:
    browser, _ = browsing(crisis())
    file = browser.app.state.feed_status = tmp_path / "status.json"
    for samples in (False, True):
        feed_list = FeedList(
            written_at=datetime.now(UTC), items=(make_status("a"),), samples=samples
        )
        file.write_text(feed_list.model_dump_json())
        page = (await browser.get(f"/flux?realm={REALM}")).text
        assert ("Aucun éditeur n’est consulté" in page) is samples


WORDS = {
    "fr": ("leur état est inconnu", "format inattendu"),
    "en": ("their state is unknown", "unexpected format"),
}


@pytest.mark.parametrize("lang", ["fr", "en"])
async def test_the_page_and_the_api_show_the_feeds(tmp_path: Path, lang: str) -> None:
    browser, _ = browsing(crisis())
    unknown, drifting = WORDS[lang]
    assert unknown in (await browser.get(f"/flux?realm={REALM}", lang=lang)).text
    file = tmp_path / "status.json"
    status = make_status("a", verdict="drift", waiting=2)
    feed_list = FeedList(written_at=datetime.now(UTC), items=(status,))
    file.write_text(feed_list.model_dump_json())
    browser.app.state.feed_status = file
    page = (await browser.get(f"/flux?realm={REALM}", lang=lang)).text
    assert "Flux a" in page
    assert drifting in page
    listed = (await browser.get(f"/api/v1/feeds?realm={REALM}")).json()
    assert listed["known"] is True
    assert listed["items"][0]["state"] == "drift"


async def test_the_page_and_the_api_name_the_machine_that_reads_a_feed(tmp_path: Path) -> None:
    browser, _ = browsing(crisis())
    file = browser.app.state.feed_status = tmp_path / "status.json"
    items = (make_status("a", read_by="siege-3f9a1c"), make_status("b"))
    file.write_text(FeedList(written_at=datetime.now(UTC), items=items).model_dump_json())
    page = (await browser.get(f"/flux?realm={REALM}")).text
    assert page.count("par siege-3f9a1c") == 1
    listed = (await browser.get(f"/api/v1/feeds?realm={REALM}")).json()["items"]
    assert {feed["name"]: feed["read_by"] for feed in listed} == {"a": "siege-3f9a1c", "b": ""}
