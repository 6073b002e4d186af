"""Page `/flux`: the official feeds, their age and their last word. Rule D120."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.console.feeds.resources import OfficialFeed, OfficialFeeds, list_feeds, read_feeds
from services.console.i18n import N_, Translator
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

_WORDS: Final = {
    "silent": N_("muet"),
    "auth": N_("clé refusée"),
    "drift": N_("format inattendu"),
    "refused": N_("illisible"),
    "stale": N_("périmé à la source"),
    "retry": N_("injoignable, nouvel essai"),
    "new": N_("pas encore lu"),
    "ok": N_("lu"),
    "off": N_("arrêté"),
}
_TROUBLE: Final = frozenset({"silent", "auth", "drift", "refused", "stale"})


@dataclass(frozen=True, slots=True)
class FeedLine:
    """One feed as displayed."""

    name: str
    title: str
    word: str
    tone: str
    """`over` if somebody should look at it, `mute` if it is off."""
    last_word: str
    edition_at: datetime | None
    age: str
    period: str
    read_by: str
    """Machine of a cluster that reads it; empty on a single machine."""
    last_report: str
    last_report_at: datetime | None
    waiting: int


def build_feed_lines(feeds: OfficialFeeds, now: datetime, _: Translator) -> list[FeedLine] | None:
    """Return the lines of the page; None while the watch does not run."""
    if not feeds.known:
        return None
    return [_build_line(feed, now, _) for feed in feeds.items]


def _build_line(feed: OfficialFeed, now: datetime, _: Translator) -> FeedLine:
    tone = "over" if feed.state in _TROUBLE else "mute" if feed.state == "off" else ""
    return FeedLine(
        name=feed.name,
        title=feed.title,
        word=_(_WORDS[feed.state]),
        tone=tone,
        last_word=feed.last_word if feed.state != "off" else "",
        edition_at=feed.edition_at,
        age=_write_age(feed.edition_at, now, _) if feed.state != "off" else "",
        period=_.plural("lu chaque minute", "lu toutes les {n} min", max(1, feed.period_s // 60)),
        read_by=feed.read_by if feed.state != "off" else "",
        last_report=feed.last_report or "",
        last_report_at=feed.last_report_at,
        waiting=feed.waiting,
    )


def _write_age(at: datetime | None, now: datetime, _: Translator) -> str:
    """Write how old the edition is, by the clock of its publisher."""
    if at is None:
        return ""
    minutes = max(0, round((now - at).total_seconds() / 60))
    if minutes < 120:
        return _("{n} min").format(n=minutes)
    if minutes < 48 * 60:
        return _("{n} h").format(n=minutes // 60)
    return _("{n} j").format(n=minutes // 1440)


async def build_feeds_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    now = datetime.now(UTC)
    feed_list = list_feeds(read_feeds(x.request.app.state.feed_status, now), now)
    return {"lines": build_feed_lines(feed_list, now, x._), "samples": feed_list.samples}


PAGE: Final = ScreenPage(
    "feeds",
    "/flux",
    "feeds/screen.html",
    build_feeds_page,
    N_("Flux officiels"),
    after="sources",
    needs=Permission.LOG_READ,
    is_cached=False,  # it changes without a fact on any log
    past=False,
)
