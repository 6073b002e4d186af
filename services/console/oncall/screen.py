"""Page `/astreintes`: on-call schedules and their holes."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, Final

from schemas import reference as ref
from schemas.oncall import Place
from schemas.reference_changes import RecordKind
from services.console.i18n import N_, Translator
from services.console.oncall.resources import (
    OnCall,
    OnCallPost,
    Readiness,
    ReadinessGap,
    ScheduleChange,
    ShiftSpan,
)
from services.console.reference.record_names import (
    build_form_address,
    build_new_form_address,
    name_record,
)
from services.console.reference.record_rights import may_propose_new_record
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage
from services.oncall.schedule import to_instant
from services.runtime.identity.permissions import Permission
from services.territory.editing.records import list_records

SLOTS_PER_DAY: Final = 12
"""Columns of a day in the grid; each spans two hours."""
DAYS_PER_WEEK: Final = 7
HOLES_SHOWN: Final = 40
DECISIONS_SHOWN: Final = 40
BAND_SPAN: Final = (150.0, 760.0)
"""Left edge and width of the readiness band."""
ROW_HEIGHT: Final = 22
GRAVE_HOLES: Final = frozenset({"nobody", "unreachable"})


@dataclass(frozen=True, slots=True)
class GridCell:
    """One or more columns in a row of the grid."""

    columns: int
    persons: tuple[str, ...]
    by: str
    hole: bool
    current: bool
    span_text: str
    """Exact span, for screen readers and short shifts."""


@dataclass(frozen=True, slots=True)
class GridRow:
    key: str
    name: str
    deputy: bool
    cells: tuple[GridCell, ...]
    post: str
    """Id of the role and its scope."""


@dataclass(frozen=True, slots=True)
class GridDay:
    label: str
    today: bool
    holiday: bool


@dataclass(frozen=True, slots=True)
class ReadinessBar:
    x: float
    width: float
    tone: str


@dataclass(frozen=True, slots=True)
class ReadinessBand:
    name: str
    y: int
    bars: tuple[ReadinessBar, ...]


def find_monday(day: date) -> date:
    """Return the first day of the week."""
    return day - timedelta(days=day.weekday())


def compute_edges(monday: date) -> list[int]:
    """Return the instants between the columns; days of 23 and 25 hours have twelve columns, too."""
    days = [monday + timedelta(days=n) for n in range(DAYS_PER_WEEK + 1)]
    starts = [to_instant(day, 0) for day in days]
    return [
        a + (b - a) * slot // SLOTS_PER_DAY
        for a, b in pairwise(starts)
        for slot in range(SLOTS_PER_DAY)
    ] + [starts[-1]]


def build_rows(on_call: OnCall, edges: list[int], now: datetime, lang: str) -> list[GridRow]:
    """Build two rows per post: holder and deputy."""
    rows: list[GridRow] = []
    for post in on_call.items:
        rows.append(
            GridRow(
                f"{post.id}-h",
                _format_post(post),
                False,
                _build_cells(post.holder, edges, now, lang),
                post.id,
            )
        )
        rows.append(
            GridRow(
                f"{post.id}-d",
                _format_post(post),
                True,
                _build_cells(post.deputy, edges, now, lang),
                post.id,
            )
        )
    return rows


def _format_post(post: OnCallPost) -> str:
    return post.role_name if post.scope_name is None else f"{post.role_name}, {post.scope_name}"


def _build_cells(
    spans: list[ShiftSpan], edges: list[int], now: datetime, lang: str
) -> tuple[GridCell, ...]:
    """Fill each column with its longest shift; a gap wins, however short."""
    columns = [_choose_span(spans, a, b) for a, b in pairwise(edges)]
    cells: list[GridCell] = []
    for n, span in enumerate(columns):
        if n and columns[n - 1] is span:
            last = cells[-1]
            cells[-1] = GridCell(
                last.columns + 1, last.persons, last.by, last.hole, last.current, last.span_text
            )
        else:
            span_text = f"{times.day(span.start, lang)} {times.hm(span.start)} – {times.day(span.end, lang)} {times.hm(span.end)}"
            cells.append(
                GridCell(
                    1,
                    tuple(span.persons),
                    span.by,
                    not span.persons,
                    span.start <= now < span.end,
                    span_text,
                )
            )
    return tuple(cells)


def _choose_span(spans: list[ShiftSpan], a: int, b: int) -> ShiftSpan:
    def share(span: ShiftSpan) -> tuple[bool, int]:
        overlap = min(b, times.to_ms(span.end)) - max(a, times.to_ms(span.start))
        return (overlap > 0 and not span.persons, overlap)

    return max(spans, key=share)


def build_days(monday: date, now: datetime, holidays: frozenset[str], lang: str) -> list[GridDay]:
    today = times.to_paris(now).date()
    days = []
    for n in range(DAYS_PER_WEEK):
        day = monday + timedelta(days=n)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=times.PARIS)
        days.append(GridDay(times.day(noon, lang), day == today, day.isoformat() in holidays))
    return days


def build_bands(proof: Readiness) -> list[ReadinessBand]:
    """Build one readiness bar per role over the horizon, territory-wide roles first."""
    begin, total = (
        times.to_ms(proof.start),
        max(times.to_ms(proof.end) - times.to_ms(proof.start), 1),
    )
    x0, width = BAND_SPAN
    tones = {"ready": "y", "reserve": "w", "hole": "x"}
    bands = []
    for n, role in enumerate(proof.roles):
        bars = (
            ReadinessBar(
                round(x0 + width * (times.to_ms(a) - begin) / total, 1),
                round(width * (times.to_ms(b) - times.to_ms(a)) / total, 1),
                tones[state],
            )
            for a, b, state in role.band
        )
        bands.append(ReadinessBand(role.role_name, ROW_HEIGHT * (n + 1), tuple(bars)))
    return bands


def build_ticks(proof: Readiness) -> list[tuple[float, str]]:
    """Return a tick for every second day."""
    days = (proof.end - proof.start) // timedelta(days=1)
    x0, width = BAND_SPAN
    return [
        (
            round(x0 + width * n / max(days, 1), 1),
            times.to_paris(proof.start + timedelta(days=n)).strftime("%d/%m"),
        )
        for n in range(0, days + 1, 2)
    ]


@dataclass(frozen=True, slots=True)
class ScheduleDecision:
    """A decision in force about the schedule: an override, a swap or a calendar."""

    id: str
    kind: str
    post: str
    place: Place
    persons: str
    """Tokens of the persons, or the text for nobody if the decision leaves the post empty."""
    start: datetime
    end: datetime
    by: str


def list_choices(names: TerritoryNames, _: Translator) -> list[tuple[str, str]]:
    """List (token, label) of each person on a post, by role: nobody knows the tokens by heart.

    Screens show no names. Rule D58.
    """
    return sorted(
        ((code, f"{w.name_person(code, names, _)} ({code})") for code in names.holders),
        key=lambda pair: pair[1],
    )


def list_decisions(
    duties: Iterable[ScheduleChange], now: datetime, names: TerritoryNames, _: Translator
) -> list[ScheduleDecision]:
    """List the decisions in force that have not ended, in the given order."""
    return [
        ScheduleDecision(
            d.id,
            f"{w.translate_code(w.STAND, d.kind, _)} {d.calendar}"
            if d.calendar
            else w.translate_code(w.STAND, d.kind, _),
            w.name_role(d.role, d.scope, names, _),
            d.place,
            ", ".join(p or _("personne") for p in d.persons),
            d.start,
            d.end,
            w.name_person(d.by, names, _),
        )
        for d in duties
        if d.state == "in_force" and d.end > now
    ]


def describe_start(hole: ReadinessGap, now: datetime, _: Translator) -> str:
    """Describe the start of a hole: `maintenant`, `dans 1 j`."""
    if hole.start <= now:
        return _("maintenant")
    return _("dans {span}", span=times.format_duration(hole.start - now, _.lang))


async def build_duty_page(x: ScreenData) -> dict[str, Any]:
    """Build `duty.html`: the on-call schedules, for readers of the log."""
    lang, now = x.shell.lang, x.shell.now
    today = find_monday(times.to_paris(now).date())
    monday = find_monday(_parse_day(x.request.query_params.get("du"), today))
    edges = compute_edges(monday)
    on_call, proof, drills, decisions, (_urgent, no_channel) = await asyncio.gather(
        x.queries.on_call(start=edges[0], end=edges[-1], now=times.to_ms(now)),
        x.queries.readiness(),
        x.queries.drills(limit=1),
        x.queries.duties(state="in_force"),
        x.queries.reachable(),
    )
    policy = next(
        (s.policy for s in x.reference.sections if isinstance(s, ref.EscalationPolicy)), None
    )
    return {
        "week": monday.isocalendar().week,
        "span": {"from": edges[0], "to": edges[-1]},
        "posts": on_call.items,
        "proof": proof,
        "decided": list_decisions(decisions.items, now, x.names, x._),
        "decided_shown": DECISIONS_SHOWN,
        "drill": drills.items[0] if drills.items else None,
        "no_channel": no_channel,
        "unserved": ", ".join(w.translate_code(w.CHANNEL, c, x._) for c in proof.without_provider),
        "rows": build_rows(on_call, edges, now, lang),
        "limits": on_call.limits,
        "holes": [] if no_channel else proof.items[:HOLES_SHOWN],
        "grave": GRAVE_HOLES,
        "days_shown": build_days(monday, now, frozenset(policy.holidays if policy else ()), lang),
        "bands": build_bands(proof),
        "ticks": build_ticks(proof),
        "days": (proof.end - proof.start).days,
        "reserves": proof.holes_count - proof.nobody_count,
        "before": (monday - timedelta(days=7)).isoformat(),
        "after": (monday + timedelta(days=7)).isoformat(),
        "this_week": monday == today,
        "may_plan": x.shell.reader.may(Permission.ROTA_WRITE) and x.shell.moment is None,
        "may_propose": may_propose_new_record(x.shell, _ROTATIONS),
        "edit_of": partial(_find_form, frozenset(list_records(x.reference.sections, _POSTS))),
        "rotations": [
            (name_record(x.names, _ROTATIONS, id, x._), build_form_address(_ROTATIONS, id))
            for id in list_records(x.reference.sections, _ROTATIONS)
        ],
        "new_rotation": build_new_form_address(_ROTATIONS),
        "persons": list_choices(x.names, x._),
        "when_of": lambda hole: describe_start(hole, now, x._),
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
    "duty",
    "/astreintes",
    "duty.html",
    build_duty_page,
    N_("Astreintes"),
    needs=Permission.LOG_READ,
)
