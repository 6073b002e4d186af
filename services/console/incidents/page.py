"""Build the page of one incident: its level, answers, and when it was known."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal

from schemas.words import (
    ACTIVE_PLAN_STATES,
    LIBRARY_STATES,
    ActivityState,
    Effect,
    IncidentState,
    PlanState,
    SiteStatus,
)
from services.console.attention.cell_page import LEGEND_ORDER, SiteLine, build_site_line
from services.console.continuity.clocks import AFFECTED_STATES, RunningClock
from services.console.continuity.plan_page import count_cards
from services.console.i18n import Translator
from services.console.logbook.line_list import LATE_MIN
from services.console.resources import (
    Activity,
    Incident,
    Line,
    Plan,
    PlanConflict,
    Reason,
    Site,
    Trigger,
)
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames, shorten_site_name
from services.console.texts.reasons import ReasonText, describe_reason
from services.console.web import times

MEMBERS_SHOWN: Final = 12
CLOCKS_SHOWN: Final = 8
LINES_SHOWN: Final = 15
SEPARABLE_SHOWN: Final = 100
DECIDED_SHOWN: Final = 3
"""Decided plans that stay in sight; more of them are folded under one line."""
CARD_LISTS_OPEN: Final = 2
"""Plans with unfolded action cards; with more plans each is one line with its count."""
STEPS_SHOWN: Final = 2
"""Newest steps of an escalation in sight; earlier ones are folded."""


# ── phases ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class IncidentPhase:
    title: str
    detail: str
    state: Literal["past", "here", "next"]


@dataclass(frozen=True, slots=True)
class LevelReason:
    """The first reason for a level, and when it was reached."""

    level: int
    at: datetime | None
    explanation: ReasonText
    where: str
    reason: str = ""
    """Text of the deciding person, for readers with the right to it."""


def get_reason_level(reason: Reason) -> int | None:
    """Return the level that this reason raised the incident to, or None."""
    level = reason.args.get("level")
    return (
        int(level) if isinstance(level, int | float | str) and not isinstance(level, bool) else None
    )


def is_decided(reason: Reason) -> bool:
    """Return whether a person set the level, instead of a rule."""
    return reason.code == "manual" and "author" in reason.args


def list_level_reasons(
    reasons: Iterable[Reason],
    where: Mapping[str, str],
    names: TerritoryNames,
    lang: str,
    words: Callable[[str], str | None] = lambda _ref: None,
) -> list[LevelReason]:
    """Return one reason per level, the lowest level first.

    `where` maps a report to its site; `words` returns the text behind the reference of a reason.
    """
    reasons_by_level: dict[int, LevelReason] = {}
    for reason in reasons:
        level = get_reason_level(reason)
        if (
            level is None
            or level in reasons_by_level
            or "refused" in reason.args
            or not (reason.metric or is_decided(reason))
        ):
            continue
        site = next((where[r] for r in reason.reports if r in where), "")
        place = shorten_site_name(names.site(site)) if site else ""
        reason_text = words(str(reason.args.get("reason", ""))) or ""
        reasons_by_level[level] = LevelReason(
            level, reason.at, describe_reason(reason, names, lang), place, reason_text
        )
    return [reasons_by_level[level] for level in sorted(reasons_by_level)]


def list_phases(
    incident: Incident,
    levels: Sequence[LevelReason],
    plan: Plan | None,
    now: datetime,
    _: Translator,
) -> list[IncidentPhase]:
    """List the phases of the incident: reported, confirmed, levels, recovery, stable, closed."""
    is_closed = incident.state in (IncidentState.CLOSED, IncidentState.MERGED)
    steps = [
        IncidentPhase(_("Signalé"), times.hm_dated(incident.opened_at, now, _.lang), "past"),
        IncidentPhase(_("Confirmé"), times.hm_dated(incident.known_at, now, _.lang), "past")
        if incident.certainty == "confirmed"
        else IncidentPhase(_("À confirmer"), "", "here"),
    ]
    before = [r for r in levels if r.level < incident.level]
    if before:
        steps.append(
            IncidentPhase(
                ", ".join(f"N{r.level}" for r in before),
                ", ".join(times.hm_dated(r.at, now, _.lang) for r in before),
                "past",
            )
        )
    current = next((r for r in levels if r.level == incident.level), None)
    detail = (
        _("depuis {at}", at=times.hm_dated(current.at, now, _.lang))
        if current and current.at
        else ""
    )
    over = incident.estimated_end is not None and incident.estimated_end < now
    steps.append(
        IncidentPhase(
            _("N{level} en cours", level=incident.level) if not is_closed else f"N{incident.level}",
            detail,
            "past" if is_closed else "here",
        )
    )
    ahead: Literal["past", "next"] = "past" if is_closed else "next"
    if incident.over_since is not None:
        over_at = times.hm_dated(incident.over_since, now, _.lang)
        recovery_text = _("constaté à {at}", at=over_at)
    elif is_closed:
        recovery_text = ""
    elif incident.estimated_end is None:
        recovery_text = _("heure de rétablissement non annoncée")
    else:
        recovery_text = (
            _("annoncé {at}, dépassé", at=times.hm_dated(incident.estimated_end, now, _.lang))
            if over
            else _("annoncé {at}", at=times.hm_dated(incident.estimated_end, now, _.lang))
        )
    recovered = "past" if incident.over_since is not None else ahead
    steps.append(IncidentPhase(_("Rétablissement"), recovery_text, recovered))
    steps.append(
        IncidentPhase(
            _("Levée"),
            plan.stand_down_text if plan and plan.stand_down_text else _("décidée par le pilote"),
            ahead,
        )
    )
    steps.append(
        IncidentPhase(
            _("Clos"),
            times.hm_dated(incident.closed_at, now, _.lang) if is_closed else _("par une personne"),
            ahead,
        )
    )
    return steps


# ── when it happened, when it was known ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ReportDelay:
    """One report between its two times, in the units of the drawing."""

    x1: float
    x2: float
    late: bool


@dataclass(frozen=True, slots=True)
class DelayChart:
    threads: list[ReportDelay]
    ticks: list[tuple[float, str]]
    levels: list[tuple[float, str]]
    late: int
    earlier: int
    """Reports with a fact before the start of the drawing."""


LEFT: Final = 96.0
RIGHT: Final = 880.0


def draw_delays(
    lines: Iterable[Line], levels: Sequence[LevelReason], start: datetime, now: datetime
) -> DelayChart | None:
    """Draw all reports from just before the first fact to now; None without a report."""
    report_lines = [x for x in lines if x.type == "ReportChanged" and x.change != "verdict"]
    if not report_lines:
        return None
    newest = max(line.recorded_at for line in report_lines)
    end = max(newest, min(now, newest + timedelta(minutes=3)))
    begin = max(min(line.occurred_at for line in report_lines), start - timedelta(minutes=30))
    span = max((end - begin).total_seconds(), 300.0)

    def x(at: datetime) -> float:
        return round(
            LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, (at - begin).total_seconds() / span)), 1
        )

    threads = [
        ReportDelay(x(line.occurred_at), x(line.recorded_at), line.late_min > LATE_MIN)
        for line in report_lines
    ]
    threads.sort(key=lambda t: (t.late, t.x1, t.x2))
    step = next(
        m for m in (5, 10, 15, 30, 60, 120, 360, 720, 1440, ceil(span / 360)) if span / 60 / m <= 9
    )
    first = times.to_paris(begin).replace(second=0, microsecond=0)
    first -= timedelta(minutes=(first.hour * 60 + first.minute) % step)
    marks = [first + timedelta(minutes=step * k) for k in range(12)]
    ticks = [
        (x(m), times.label_tick(m)) for m in marks if begin <= m <= begin + timedelta(seconds=span)
    ]
    reached_levels = [(x(r.at), f"N{r.level}") for r in levels if r.at is not None]
    return DelayChart(
        threads,
        ticks,
        spread_labels(reached_levels),
        sum(t.late for t in threads),
        sum(1 for line in report_lines if line.occurred_at < begin),
    )


_LABEL_GAP: Final = 22
"""Least distance of two labels, in units of the drawing."""


def spread_labels(marks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Move labels to the right if they would cover each other."""
    placed_labels: list[tuple[float, str]] = []
    for at, label in marks:
        placed_labels.append(
            (max(at, placed_labels[-1][0] + _LABEL_GAP) if placed_labels else at, label)
        )
    return placed_labels


# ── activities, members, plans ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MemberSite:
    line: SiteLine
    causes: str
    fact_at: datetime | None
    known_at: datetime | None
    late: bool
    path: str


@dataclass(frozen=True, slots=True)
class SeparableReport:
    """A report that a person may move to a new incident."""

    id: str
    at: datetime
    text: str


def list_separable_reports(incident: Incident, lines: Iterable[Line]) -> list[SeparableReport]:
    """List the reports of the incident, newest first; empty if it has only one.

    Each has the text of its first line.
    """
    mine = set(incident.reports)
    reports_by_id = {
        x.report: SeparableReport(x.report, x.occurred_at, x.text)
        for x in lines
        if x.report in mine and x.type == "ReportChanged"
    }
    return (
        sorted(reports_by_id.values(), key=lambda r: r.at, reverse=True)[:SEPARABLE_SHOWN]
        if len(mine) > 1
        else []
    )


def list_affected_activities(
    incident: Incident, merged_ids: Collection[str], activities: Iterable[Activity]
) -> list[Activity]:
    """Return the activities that suffer from the incident, or from one that was merged into it.

    It is their incident, or one of their paths begins at one of its sites or reports. Rule D47.
    """
    inside = {*incident.sites, *incident.zone_sites, *incident.reports}
    return [
        a
        for a in activities
        if a.incident in merged_ids
        or any(s.id in inside for path in a.path for s in path)
        or any(one.site in inside for one in a.local)
    ]


def map_report_sites(lines: Iterable[Line]) -> dict[str, str]:
    """Map report ids to the ids of their sites, from the lines of the incident."""
    return {x.report: x.site for x in lines if x.report and x.site}


def list_member_sites(
    incident: Incident,
    merged_ids: Collection[str],
    sites: Sequence[Site],
    lines: Sequence[Line],
    activities: Sequence[Activity],
    names: TerritoryNames,
    lang: str,
    _: Translator,
) -> list[MemberSite]:
    """List the member sites, gravest and central ones first, each with its path, in names.

    Sites with danger to people come before all. One of each kind comes before the second of any.
    Rule D47.
    """
    lines_by_report = {
        x.report: x
        for x in reversed(lines)
        if x.type == "ReportChanged" and x.report and x.change != "verdict"
    }
    activities_by_site: dict[str, list[str]] = {}
    for a in activities:
        for path in a.path:
            for one in path:
                if one.kind == "site":
                    activities_by_site.setdefault(one.id, []).append(a.id)
    ranked_members: list[tuple[tuple[bool, int, int, int, str], MemberSite]] = []
    rank_counts: Counter[tuple[str, SiteStatus]] = Counter()
    inside = set(incident.sites)
    for site in sorted((s for s in sites if s.id in inside), key=lambda s: (-s.staff, s.id)):
        mine = [c for c in site.causes if c.incident in merged_ids] or site.causes
        reports = [lines_by_report[r] for c in mine for r in c.reports if r in lines_by_report]
        first = min(reports, key=lambda x: x.recorded_at, default=None)
        late = first is not None and first.late_min > LATE_MIN
        activity = next(iter(activities_by_site.get(site.id, [])), "")
        source = world.name_source(first.source, _) if first else ""
        chain = (
            source,
            shorten_site_name(site.name),
            names.activity_short(activity, lang) if activity else "",
        )
        rank = rank_counts[site.kind, site.status]
        rank_counts[site.kind, site.status] += 1
        member = MemberSite(
            build_site_line(site, None, _),
            build_site_line(site, None, _).why,
            min((c.since for c in mine), default=None),
            first.recorded_at if first else None,
            late,
            " › ".join(p for p in chain if p),
        )
        grave = LEGEND_ORDER.index(site.status)
        place = (rank > 0, grave if rank == 0 else grave + 10, rank, site.id)
        ranked_members.append(((not member.line.danger, *place), member))
    return [member for _key, member in sorted(ranked_members, key=lambda x: x[0])]


@dataclass(frozen=True, slots=True)
class PlanLine:
    id: str
    title: str
    state: PlanState
    reason: ReasonText | None
    reason_at: datetime | None
    waiting: timedelta | None
    decided: str
    decides: str
    level: int
    version: int
    to_decide: bool
    activable: bool
    """The plan waits for no decision, but may still be activated."""
    incident: str | None
    """The incident on the page of which it is decided; None means the page of plans."""
    value_now: str = ""
    """Value of its reason now, if it differs from the proposing one."""


ACTIVABLE: Final = (
    PlanState.POSTPONED,
    PlanState.REFUSED,
    PlanState.LIFTED,
    PlanState.RETEX_CLOSED,
)


def _build_reason_key(plan: str, reason: Reason) -> tuple[object, ...]:
    """Return the metric of a plan's reason, for any value."""
    return plan, reason.metric, repr(sorted(reason.args.items())), reason.op, reason.threshold


def list_plans(
    plans: Iterable[Plan],
    now: datetime,
    names: TerritoryNames,
    lang: str,
    _: Translator,
    triggers: Iterable[Trigger] = (),
) -> list[PlanLine]:
    """Return the plans that are or were proposed: undecided ones first, then by age.

    `triggers` holds the values of their reasons now.
    """
    reasons_by_predicate = {
        _build_reason_key(t.plan, reason): reason
        for t in triggers
        if t.state == "held"
        for reason in t.current
    }
    plan_lines = []
    for plan in plans:
        if plan.state in LIBRARY_STATES:
            continue
        to_decide = plan.state is PlanState.PROPOSED or (
            plan.proposed_level is not None and plan.proposed_level > plan.level
        )
        why = next((r for r in reversed(plan.why) if r.metric is not None), None)
        since = plan.proposed_at or plan.trigger_since
        decision_text = ""
        if not to_decide:
            at = f" {times.hm_dated(plan.decided_at, now, lang)}" if plan.decided_at else ""
            who = f", {w.name_person(plan.decided_by, names, _)}" if plan.decided_by else ""
            return_text = (
                _(", revient {at}", at=times.hm_dated(plan.postponed_until, now, lang))
                if plan.postponed_until and plan.trigger_held
                else ""
            )
            decision_text = f"{_(w.PLAN_STATE[plan.state])}{at}{who}{return_text}"
        plan_lines.append(
            PlanLine(
                plan.id,
                plan.title,
                plan.state,
                describe_reason(why, names, lang) if why else None,
                why.at if why else None,
                now - since if to_decide and since else None,
                decision_text,
                w.name_role(plan.decides, plan.pole, names, _),
                plan.level,
                plan.version,
                to_decide,
                plan.state in ACTIVABLE,
                plan.incident,
                _describe_present_value(
                    reasons_by_predicate.get(_build_reason_key(plan.id, why)), names, lang
                )
                if why and to_decide
                else "",
            )
        )
    return sorted(plan_lines, key=lambda p: (not p.to_decide, -(p.waiting or timedelta()), p.id))


def _describe_present_value(reason: Reason | None, names: TerritoryNames, lang: str) -> str:
    return "" if reason is None else describe_reason(reason, names, lang).value


def map_conflicts(conflicts: Iterable[PlanConflict]) -> dict[str, list[str]]:
    """Map each plan to its conflicts with others over the same fallback sites."""
    conflicts_by_plan: dict[str, list[str]] = {}
    for one in conflicts:
        conflicts_by_plan.setdefault(one.plan, []).append(one.text)
    return conflicts_by_plan


def count_states(plan_lines: Iterable[PlanLine], _: Translator) -> str:
    """Count plans by state in words, the most frequent state first."""
    counts = Counter(_(w.PLAN_STATE[line.state]).lower() for line in plan_lines)
    return ", ".join(_("{state} : {n}", state=state, n=n) for state, n in counts.most_common())


@dataclass(frozen=True, slots=True)
class CardLine:
    id: str
    task: str
    role: str
    due_at: datetime | None
    late: timedelta | None
    state: str
    at: datetime | None
    measure: str
    """Effect to measure, as text; empty for most. Rule D61."""
    per_site: bool = False
    """Each site has its own; the page of the plan shows their progress. Rule D84."""
    works: bool = True
    """The reader may work on it."""


@dataclass(frozen=True, slots=True)
class PlanCards:
    plan: str
    title: str
    since: datetime | None
    cards: list[CardLine]
    closed_count: int
    """Number of cards that ask nothing of anybody any more."""

    @property
    def late(self) -> int:
        """Number of overdue cards."""
        return sum(1 for card in self.cards if card.late is not None)


def _describe_effect(effect: Effect | None, _: Translator) -> str:
    if effect is None:
        return ""
    label, unit = w.EFFECT[effect]
    return f"{_(label)} ({unit})" if unit else _(label)


def list_plan_cards(
    plans: Iterable[Plan],
    now: datetime,
    names: TerritoryNames,
    _: Translator,
    *,
    works: Callable[[str, str | None], bool] = lambda _role, _pole: True,
) -> list[PlanCards]:
    """List the action cards of the active plans, ordered by due time. Rule D50.

    `works` says whether the reader may work on the cards of a role and pôle.

    Plans with overdue cards come first, the most overdue before the others, finished ones last.
    """
    plan_cards = []
    for plan in plans:
        if plan.state not in ACTIVE_PLAN_STATES or not plan.cards:
            continue
        cards = [
            CardLine(
                c.id,
                c.task,
                w.name_role(c.role, c.pole, names, _),
                c.due_at,
                now - c.due_at
                if c.due_at and c.due_at < now and c.state in ("to_do", "doing")
                else None,
                c.state.value,
                c.at,
                _describe_effect(c.effect, _),
                c.scope is not None,
                works(c.role, c.pole),
            )
            for c in sorted(plan.cards, key=lambda c: (c.due_at is None, c.due_at or now))
            if c.due_at is not None  # cards of the return open later
        ]
        closed_count, _total = count_cards(plan.cards)
        plan_cards.append(PlanCards(plan.id, plan.title, plan.trigger_since, cards, closed_count))
    return sorted(plan_cards, key=lambda p: (-p.late, p.closed_count == len(p.cards), p.plan))


@dataclass(frozen=True, slots=True)
class IncidentFigures:
    members: int
    by_status: list[tuple[SiteStatus, int]]
    silent: int
    activities: dict[ActivityState, int]


def count_figures(
    incident: Incident, sites: Sequence[Site], activities: Iterable[Activity]
) -> IncidentFigures:
    """Count the figures of the header; silent sites of the zone are not members."""
    inside, zone = set(incident.sites), set(incident.zone_sites)
    by_status = Counter(s.status for s in sites if s.id in inside)
    status_counts = [(x, by_status[x]) for x in LEGEND_ORDER[:4] if by_status[x]]
    silent = sum(
        1 for s in sites if s.status is SiteStatus.UNKNOWN and (s.id in zone or s.id in inside)
    )
    return IncidentFigures(
        incident.members,
        status_counts,
        silent,
        Counter(a.state for a in activities if a.state in AFFECTED_STATES),
    )


@dataclass(frozen=True, slots=True)
class NextBreak:
    """The first DMIA of a vital activity, reached if nothing changes."""

    at: datetime
    activity: str
    criticality: int


def find_next_break(clocks: Sequence[RunningClock], now: datetime) -> NextBreak | None:
    """Return the next DMIA ahead of an activity of criticality 1, or None."""
    ahead = [
        c
        for c in clocks
        if c.criticality == 1 and c.mtpd_at is not None and c.mtpd_at > now and not c.mtpd_over
    ]
    first = min(ahead, key=lambda c: c.mtpd_at or now, default=None)
    return (
        None
        if first is None or first.mtpd_at is None
        else NextBreak(first.mtpd_at, first.activity, first.criticality)
    )
