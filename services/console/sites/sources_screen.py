"""Page `/sources`: sources and their signs of life, which the front keeps.

The console requests them with the reader's own credentials, so that the front alone decides about
access.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx2 as httpx
import structlog
from fastapi import Request

from services.console.i18n import N_, Translator
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

TIMEOUT_S: Final = 2.0
_CREDENTIALS: Final = ("cookie", "authorization")
log = structlog.get_logger(__name__)


class SourceClient:
    """Client for the sources of the front at `url`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def of(self, request: Request) -> list[dict[str, Any]] | None:
        """Return the items of `GET /api/v1/sources`, or None if the front does not answer."""
        headers = {
            name: value for name in _CREDENTIALS if (value := request.headers.get(name)) is not None
        }
        try:
            async with httpx.AsyncClient(
                base_url=self._url, headers=headers, timeout=TIMEOUT_S, trust_env=False
            ) as client:
                sources, cursor = [], ""
                while cursor is not None:
                    page = (
                        (
                            await client.get(
                                "/api/v1/sources", params={"cursor": cursor} if cursor else {}
                            )
                        )
                        .raise_for_status()
                        .json()
                    )
                    sources += page["items"]
                    cursor = page["next"]
            return sources
        except (httpx.HTTPError, ValueError, KeyError) as error:
            log.warning("sources.unknown", error=type(error).__name__)
            return None


@dataclass(frozen=True, slots=True)
class SourceLine:
    name: str
    dialect: str
    site: str
    word: str
    """State of the source in words."""
    tone: str
    """`over` if somebody should look at it, `mute` if it is stopped."""
    last_seen_at: datetime | None
    silence: str
    """Longest promised silence, as text; empty without a promise."""
    per_minute: float
    accepted: int
    refused: int
    reasons: str
    last_at: datetime | None
    last_why: str


_SILENT_LABEL, _STOPPED_LABEL, _NEVER_SEEN_LABEL, _SEEN_LABEL = (
    N_("ne répond plus"),
    N_("arrêtée"),
    N_("jamais entendue"),
    N_("entendue"),
)
_OVER_RATE_LABEL = N_("dépasse son débit")
_LABEL_ORDER = {
    _SILENT_LABEL: 0,
    _OVER_RATE_LABEL: 1,
    _NEVER_SEEN_LABEL: 2,
    _SEEN_LABEL: 3,
    _STOPPED_LABEL: 4,
}


def list_source_lines(
    items: Sequence[dict[str, Any]], names: TerritoryNames, _: Translator
) -> list[SourceLine]:
    """List sources: silent, over their rate, never seen, others, stopped; each group by name."""
    ordered_sources = sorted(items, key=lambda s: (_LABEL_ORDER[_get_label(s)], s["name"]))
    return [_build_source_line(s, names, _) for s in ordered_sources]


def _get_label(s: dict[str, Any]) -> str:
    if not s["enabled"]:
        return _STOPPED_LABEL
    if s["silent"]:
        return _SILENT_LABEL
    if s.get("over_rate"):
        return _OVER_RATE_LABEL
    return _SEEN_LABEL if s["last_seen"] is not None else _NEVER_SEEN_LABEL


def _build_source_line(s: dict[str, Any], names: TerritoryNames, _: Translator) -> SourceLine:
    state, last = _get_label(s), s["last_refusal"] or {}
    fields = ", ".join(f["field"] + _("\u00a0: ") + f["detail"] for f in last.get("fields", ()))
    return SourceLine(
        name=s["name"],
        dialect=s["dialect"],
        site=names.site(s["site"]) if s["site"] else "",
        word=_(state),
        tone={_SILENT_LABEL: "over", _OVER_RATE_LABEL: "over", _STOPPED_LABEL: "mute"}.get(
            state, ""
        ),
        last_seen_at=_to_datetime(s["last_seen"]),
        silence=times.format_duration(timedelta(seconds=s["heartbeat_s"]), _.lang)
        if s["heartbeat_s"]
        else "",
        per_minute=s["per_minute"],
        accepted=s["accepted"],
        refused=sum(s["refused"].values()),
        reasons=", ".join(f"{code} {n}" for code, n in sorted(s["refused"].items())),
        last_at=_to_datetime(last.get("at")),
        last_why=fields or last.get("title", ""),
    )


def _to_datetime(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)


async def build_sources_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page."""
    source_client: SourceClient = x.request.app.state.sources
    items = await source_client.of(x.request)
    return {"lines": None if items is None else list_source_lines(items, x.names, x._)}


PAGE: Final = ScreenPage(
    "sources",
    "/sources",
    "sources.html",
    build_sources_page,
    N_("Sources"),
    needs=Permission.LOG_READ,
    is_cached=False,
    past=False,  # it changes without a fact on any log
)
