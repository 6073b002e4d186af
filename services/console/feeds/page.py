"""Page `/flux`: one line per official feed, with its age and its last word."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.console.feeds.resources import OfficialFeed, OfficialFeeds
from services.console.i18n import N_, Translator

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
