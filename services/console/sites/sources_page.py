"""Page `/sources`: one line per source, those that need a person first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.console.i18n import N_, Translator
from services.console.texts.names import TerritoryNames


@dataclass(frozen=True, slots=True)
class SourceLine:
    name: str
    dialect: str
    site: str
    word: str
    """State of the source in words."""
    tone: str
    """`over` if somebody should look at it, `mute` if it is stopped."""
    seen: datetime | None
    promised_s: int | None
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
    ordered = sorted(items, key=lambda s: (_LABEL_ORDER[_get_label(s)], s["name"]))
    return [_build_source_line(s, names, _) for s in ordered]


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
        seen=_to_datetime(s["last_seen"]),
        promised_s=s["heartbeat_s"],
        per_minute=s["per_minute"],
        accepted=s["accepted"],
        refused=sum(s["refused"].values()),
        reasons=", ".join(f"{code} {n}" for code, n in sorted(s["refused"].items())),
        last_at=_to_datetime(last.get("at")),
        last_why=fields or last.get("title", ""),
    )


def _to_datetime(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
