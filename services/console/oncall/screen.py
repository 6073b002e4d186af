"""Page `/astreintes`: on-call schedules and their holes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

from schemas import reference as ref
from schemas.reference_changes import RecordKind
from services.console.i18n import N_
from services.console.oncall import page as duty
from services.console.oncall.schedule import has_no_provider
from services.console.reference.record_names import (
    build_form_address,
    build_new_form_address,
    name_record,
)
from services.console.reference.record_rights import may_propose_new_record
from services.console.texts import words as w
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission
from services.territory.editing.records import list_records


async def build_duty_page(x: ScreenData) -> dict[str, Any]:
    """Build `duty.html`: the on-call schedules, for readers of the log."""
    lang, now = x.shell.lang, x.shell.now
    today = duty.find_monday(times.to_paris(now).date())
    monday = duty.find_monday(_parse_day(x.request.query_params.get("du"), today))
    edges = duty.compute_edges(monday)
    on_call, proof, drills, decisions = await asyncio.gather(
        x.queries.on_call(start=edges[0], end=edges[-1], now=times.to_ms(now)),
        x.queries.readiness(),
        x.queries.drills(limit=1),
        x.queries.duties(state="in_force"),
    )
    policy = next(
        (s.policy for s in x.reference.sections if isinstance(s, ref.EscalationPolicy)), None
    )
    no_channel = bool(drills.items) and has_no_provider(drills.items[0].channels)
    return {
        "week": monday.isocalendar().week,
        "span": {"from": edges[0], "to": edges[-1]},
        "posts": on_call.items,
        "proof": proof,
        "decided": duty.list_decisions(decisions.items, now, x.names, x._),
        "decided_shown": duty.DECISIONS_SHOWN,
        "drill": drills.items[0] if drills.items else None,
        "no_channel": no_channel,
        "unserved": ", ".join(w.translate_code(w.CHANNEL, c, x._) for c in proof.without_provider),
        "rows": duty.build_rows(on_call, edges, now, lang),
        "limits": on_call.limits,
        "holes": [] if no_channel else proof.items[: duty.HOLES_SHOWN],
        "grave": duty.GRAVE_HOLES,
        "days_shown": duty.build_days(
            monday, now, frozenset(policy.holidays if policy else ()), lang
        ),
        "bands": duty.build_bands(proof),
        "ticks": duty.build_ticks(proof),
        "days": (proof.end - proof.start).days,
        "reserves": proof.holes_count - proof.nobody_count,
        "before": (monday - timedelta(days=7)).isoformat(),
        "after": (monday + timedelta(days=7)).isoformat(),
        "this_week": monday == today,
        "may_plan": x.shell.reader.may(Permission.ROTA_WRITE) and x.shell.moment is None,
        "may_propose": may_propose_new_record(x.shell),
        "edit_of": partial(_find_form, frozenset(list_records(x.reference.sections, _POSTS))),
        "rotations": [
            (name_record(x.names, _ROTATIONS, id, x._), build_form_address(_ROTATIONS, id))
            for id in list_records(x.reference.sections, _ROTATIONS)
        ],
        "new_rotation": build_new_form_address(_ROTATIONS),
        "persons": duty.list_choices(x.names, x._),
        "when_of": lambda hole: duty.describe_start(hole, now, x._),
    }


_POSTS: Final = RecordKind.ON_CALL
_ROTATIONS: Final = RecordKind.ROTATION


def _find_form(editable_posts: Collection[str], post: str) -> str:
    """Return the address of the form that edits a role; empty if only rotations fill it."""
    return build_form_address(_POSTS, post) if post in editable_posts else ""


def _parse_day(text: str | None, otherwise: date) -> date:
    try:
        day = date.fromisoformat(text) if text else otherwise
    except ValueError:
        return otherwise
    return day if 2000 <= day.year <= 2100 else otherwise


PAGE: Final = ScreenPage(
    "duty", "/astreintes", "duty.html", build_duty_page, N_("Astreintes"), needs=Permission.LOG_READ
)
