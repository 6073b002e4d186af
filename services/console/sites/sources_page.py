"""Page `/sources`: one line per source, those that need a person first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from services.console.i18n import N_, Translator
from services.console.texts.names import Names


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


_SILENT, _STOPPED, _NEVER, _HEARD = (
    N_("ne répond plus"),
    N_("arrêtée"),
    N_("jamais entendue"),
    N_("entendue"),
)
_OVER_RATE = N_("dépasse son débit")
_ORDER = {_SILENT: 0, _OVER_RATE: 1, _NEVER: 2, _HEARD: 3, _STOPPED: 4}


def source_lines(items: Sequence[dict[str, Any]], names: Names, _: Translator) -> list[SourceLine]:
    """List sources: silent, over their rate, never seen, others, stopped; each group by name."""
    ordered = sorted(items, key=lambda s: (_ORDER[_state(s)], s["name"]))
    return [_line(s, names, _) for s in ordered]


def _state(s: dict[str, Any]) -> str:
    if not s["enabled"]:
        return _STOPPED
    if s["silent"]:
        return _SILENT
    if s.get("over_rate"):
        return _OVER_RATE
    return _HEARD if s["last_seen"] is not None else _NEVER


def _line(s: dict[str, Any], names: Names, _: Translator) -> SourceLine:
    state, last = _state(s), s["last_refusal"] or {}
    fields = ", ".join(f["field"] + _("\u00a0: ") + f["detail"] for f in last.get("fields", ()))
    return SourceLine(
        name=s["name"],
        dialect=s["dialect"],
        site=names.site(s["site"]) if s["site"] else "",
        word=_(state),
        tone={_SILENT: "over", _OVER_RATE: "over", _STOPPED: "mute"}.get(state, ""),
        seen=_time(s["last_seen"]),
        promised_s=s["heartbeat_s"],
        per_minute=s["per_minute"],
        accepted=s["accepted"],
        refused=sum(s["refused"].values()),
        reasons=", ".join(f"{code} {n}" for code, n in sorted(s["refused"].items())),
        last_at=_time(last.get("at")),
        last_why=fields or last.get("title", ""),
    )


def _time(at: int | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at / 1000, UTC)
