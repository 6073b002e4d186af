"""Sections about next limits, plans, pending decisions and possible worsening."""

from datetime import datetime, timedelta
from typing import Final

from schemas.words import ACTIVE_PLAN_STATES, CardState, ClockState
from services.console.continuity.arbitrations import list_arbitrations
from services.console.continuity.clocks import RunningClock
from services.console.continuity.plan_page import count_cards
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    TableColumn,
    TableRow,
    build_table_section,
    write_nothing_to_report,
)
from services.console.documents.facts import SitrepFacts, count_figures, describe_breaches
from services.console.hazards.page import write_sitrep_lines
from services.console.incidents.page import list_plans
from services.console.texts import words as w
from services.console.texts.names import name_strategy
from services.console.web import times

CLOCKS_SHOWN: Final = 11
PLANS_SHOWN: Final = 10
ARBITRATIONS_SHOWN: Final = 4
STRATEGIES_SHOWN: Final = 3
OBLIGATIONS_SHOWN: Final = 6
LIMITS_SHOWN: Final = 7
LIMITS_HORIZON: Final = timedelta(hours=6)


def write_clocks_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    rows = []
    for c in x.clocks[:CLOCKS_SHOWN]:
        if c.breach_at is not None:
            forecast = _("rupture prévue {at}", at=times.hm_dated(c.breach_at, x.at, lang))
        elif c.mtpd_over:
            forecast = _("DMIA dépassée")
        elif c.expected_end is None:
            forecast = _("heure de rétablissement inconnue")
        else:
            mtpd_text = _("DMIA tenue") if c.mtpd_at is None or c.expected_end <= c.mtpd_at else ""
            rto_text = (
                _("RTO non tenu")
                if c.rto_over or (c.rto_at is not None and c.expected_end > c.rto_at)
                else _("RTO tenu")
            )
            forecast = ", ".join(part for part in (rto_text, mtpd_text) if part)
        over = _(" passé") if c.rto_over else ""
        rows.append(
            TableRow(
                cells=(
                    f"{c.activity} {c.name}",
                    str(c.criticality),
                    times.hm_dated(c.started_at, x.at, lang),
                    times.hm_dated(c.rto_at, x.at, lang) + over,
                    times.hm_dated(c.mtpd_at, x.at, lang),
                    forecast,
                ),
                refs=citations.of(f"alarm:{c.activity}", f"activity:{c.activity}"),
            )
        )
    hidden_count = len(x.clocks) - len(rows)
    counts = count_figures(x)
    aside = ", ".join(
        (
            _.plural("{n} interrompue", "{n} interrompues", counts["activities:interrupted"]),
            describe_breaches(x),
        )
    )
    columns = (
        TableColumn(title=_("Activité ou site"), wide=True),
        TableColumn(title=_("Crit."), right=True),
        TableColumn(title=_("Depuis")),
        TableColumn(title=_("RTO")),
        TableColumn(title=_("DMIA")),
        TableColumn(title=_("Prévision")),
    )
    note = (
        _.plural("et {n} autre horloge", "et {n} autres horloges", hidden_count)
        if hidden_count
        else ""
    )
    return build_table_section(
        "activities",
        _("Activités, horloges qui courent"),
        columns,
        rows,
        _("Aucune horloge en cours."),
        note=note,
        aside=aside,
    )


def write_plans_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    lines = list_plans(x.plans, x.at, x.names, lang, _)
    by_id = {p.id: p for p in x.plans}
    rows = []
    for p in lines[:PLANS_SHOWN]:
        proposed_text = times.hm_dated(
            by_id[p.id].proposed_at or by_id[p.id].trigger_since, x.at, lang
        )
        rows.append(
            TableRow(
                cells=(
                    p.title,
                    proposed_text,
                    p.reason.text if p.reason else "",
                    _("à prendre, {who}", who=p.decides) if p.to_decide else p.decided,
                ),
                refs=citations.of(
                    f"plan:{p.id}:proposed", f"plan:{p.id}:activated", f"plan:{p.id}"
                ),
                strong=p.to_decide,
            )
        )
    columns = (
        TableColumn(title=_("Plan"), wide=True),
        TableColumn(title=_("Proposé")),
        TableColumn(title=_("Valeur, seuil"), wide=True),
        TableColumn(title=_("Décision"), wide=True),
    )
    notes = (
        [_.plural("et {n} autre plan", "et {n} autres plans", len(lines) - len(rows))]
        if len(lines) > len(rows)
        else []
    )
    for plan in x.plans:
        if plan.state not in ACTIVE_PLAN_STATES or not plan.cards:
            continue
        asked_cards = [c for c in plan.cards if c.due_at is not None]
        closed_count, total = count_cards(plan.cards)
        late = sum(c.overdue for c in asked_cards)
        due_at = min(
            (
                c.due_at
                for c in asked_cards
                if c.due_at and c.state in (CardState.TO_DO, CardState.DOING) and c.due_at > x.at
            ),
            default=None,
        )
        text = _(
            "Fiches {plan} : {done} sur {all} closes, {late} en retard",
            plan=plan.id,
            done=closed_count,
            all=total,
            late=late,
        )
        notes.append(
            text
            + (", " + _("suivante {at}", at=times.hm_dated(due_at, x.at, lang)) if due_at else "")
        )
    return build_table_section(
        "plans",
        _("Plans et fiches"),
        columns,
        rows,
        _("Aucun plan proposé ni activé."),
        note=". ".join(notes) + "." if notes else "",
    )


def write_decisions_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    return DocumentSection(
        id="decisions",
        title=x._("Décisions à prendre"),
        half=True,
        lines=tuple(list_decisions(x, citations)) or write_nothing_to_report(x._),
    )


def list_decisions(x: SitrepFacts, citations: Citations) -> list[DocumentLine]:
    """List the decisions that wait for a person."""
    _, lang = x._, x.lang
    lines: list[DocumentLine] = []

    def add(text: str, *subjects: str) -> None:
        lines.append(DocumentLine(text=text, mark="todo", refs=citations.of(*subjects)))

    waiting = [p for p in list_plans(x.plans, x.at, x.names, lang, _) if p.to_decide]
    if waiting:
        oldest = max((p.waiting for p in waiting if p.waiting), default=timedelta())
        text = _.plural("{n} plan en attente", "{n} plans en attente", len(waiting))
        text += (
            ", " + _("le plus ancien depuis {span}", span=times.format_duration(oldest, lang)) + "."
        )
        add(text, *(f"plan:{p.id}:proposed" for p in waiting[:4]))
    if (proposal := x.proposal) is not None and proposal.count_undecided_agents():
        waiting_agents = proposal.count_undecided_agents()
        text = _.plural(
            "Réaffectation n° {number} : {agents} agent à décider.",
            "Réaffectation n° {number} : {agents} agents à décider.",
            waiting_agents,
            number=proposal.number,
            agents=w.format_number(waiting_agents, lang),
        )
        add(text, f"proposal:{proposal.id}:computed")
    if x.level.proposed is not None:
        add(_("Passage à N{level} proposé.", level=x.level.proposed), "level:territory")
    arbitrations = list_arbitrations(x.alarms, x.activities, x.at, _)
    for one in arbitrations[:ARBITRATIONS_SHOWN]:
        text = _(
            "{where} : RTO consommé, arbitrage à écrire (limite {at}).",
            where=x.names.activity_label(one.activity, lang),
            at=times.hm_dated(one.rto_at, x.at, lang),
        )
        add(text, f"alarm:{one.activity}")
    if (more := len(arbitrations) - ARBITRATIONS_SHOWN) > 0:
        add(
            _.plural("et {n} autre arbitrage à écrire.", "et {n} autres arbitrages à écrire.", more)
        )
    strategies = _list_next_strategies(x)
    for activity, strategy in strategies[:STRATEGIES_SHOWN]:
        text = _(
            "{activity} : stratégie suivante {strategy} à décider.",
            activity=x.names.activity_label(activity, lang),
            strategy=name_strategy(strategy, _),
        )
        add(text, f"alarm:{activity}")
    if (more := len(strategies) - STRATEGIES_SHOWN) > 0:
        add(
            _.plural(
                "et {n} autre stratégie à décider.", "et {n} autres stratégies à décider.", more
            )
        )
    for plan in x.plans:
        if plan.stand_down_proposed:
            add(
                _("{plan} : levée proposée.", plan=plan.title),
                f"plan:{plan.id}:stand_down_proposed",
            )
    lines += _list_obligation_lines(x, citations)
    checks = sum(t.kind in ("verify_site", "verify_report", "contested") for t in x.tasks)
    if checks:
        lines.append(
            DocumentLine(
                text=_.plural(
                    "{n} levée de doute en attente.", "{n} levées de doute en attente.", checks
                )
            )
        )
    return lines


def count_decisions(x: SitrepFacts) -> int:
    """Return the number of decisions that wait for a person."""
    plans = sum(p.to_decide for p in list_plans(x.plans, x.at, x.names, x.lang, x._))
    stand_downs = sum(plan.stand_down_proposed for plan in x.plans)
    arbitrations = len(list_arbitrations(x.alarms, x.activities, x.at, x._))
    moves = x.proposal is not None and x.proposal.count_undecided_agents() > 0
    level = x.level.proposed is not None
    return plans + stand_downs + arbitrations + len(_list_next_strategies(x)) + moves + level


def _list_obligation_lines(x: SitrepFacts, citations: Citations) -> list[DocumentLine]:
    """List the legal deadlines that run, those that passed first. Rule D92."""
    _, lang = x._, x.lang
    lines = []
    for row in x.obligations[:OBLIGATIONS_SHOWN]:
        due_at = times.of(row.due_at)
        what = x.names.obligation(row.obligation, lang)
        at = times.hm_dated(due_at, x.at, lang)
        late = due_at <= x.at
        if late:
            text = _("{what} : échéance légale dépassée ({at}).", what=what, at=at)
        else:
            text = _("{what} : échéance légale {at}.", what=what, at=at)
        refs = citations.of(f"obligation:{row.id}")
        lines.append(DocumentLine(text=text, mark="late" if late else "todo", refs=refs))
    if (more := len(x.obligations) - OBLIGATIONS_SHOWN) > 0:
        rest = _.plural("et {n} autre échéance légale.", "et {n} autres échéances légales.", more)
        lines.append(DocumentLine(text=rest, mark="todo"))
    return lines


def _list_next_strategies(x: SitrepFacts) -> list[tuple[str, str]]:
    """List activities near their DMIA with the strategy to try next. Rule D44, alarms.

    Most critical first; among equals, those of vulnerable people. Rule D82.
    """
    alarm_times: dict[str, datetime] = {}
    for alarm in x.alarms:  # newest first
        if alarm.demands == "next_strategy":
            alarm_times.setdefault(alarm.activity, alarm.raised_at)
    waiting = [
        (a.criticality, -a.vulnerable_public, a.id, a.next_strategy)
        for a in x.activities
        if a.next_strategy is not None
        and a.mtpd.state is ClockState.RUNNING
        and a.id in alarm_times
        and a.mtpd.started_at is not None
        and alarm_times[a.id] >= a.mtpd.started_at
    ]
    return [(id, strategy) for _criticality, _vulnerable, id, strategy in sorted(waiting)]


def group_coming_limits(
    x: SitrepFacts,
) -> dict[tuple[datetime, str, str, bool], list[RunningClock]]:
    """Return the limits within `LIMITS_HORIZON` that no announced end precedes.

    The result maps (time, base, activity, is a site) to clocks: sites with one limit at the same
    time share an entry.
    """
    coming_limits: dict[tuple[datetime, str, str, bool], list[RunningClock]] = {}
    for c in x.clocks:
        for at, base, over in ((c.rto_at, "RTO", c.rto_over), (c.mtpd_at, "DMIA", c.mtpd_over)):
            if (
                at is None
                or over
                or not x.at < at <= x.at + LIMITS_HORIZON
                or (c.expected_end is not None and c.expected_end <= at)
            ):
                continue
            coming_limits.setdefault((at, base, c.activity, c.site is not None), []).append(c)
    return coming_limits


def write_outlook_section(x: SitrepFacts, citations: Citations) -> DocumentSection:
    _, lang = x._, x.lang
    coming: list[tuple[tuple[datetime, int, str], DocumentLine]] = []
    for (at, base, activity, _site), limits in group_coming_limits(x).items():
        first = limits[0]
        whose = (
            first.name if len(limits) == 1 else _.plural("({n} site)", "({n} sites)", len(limits))
        )
        text = _(
            "{at} : {base} de {activity} {name}.",
            at=times.hm_dated(at, x.at, lang),
            base=_(base),
            activity=activity,
            name=whose,
        )
        coming.append(
            (
                (at, first.criticality, first.key),
                DocumentLine(text=text, refs=citations.of(f"activity:{activity}")),
            )
        )
    for i in x.incidents:
        if i.estimated_end is not None and i.estimated_end < x.at:
            text = _(
                "{title} : rétablissement annoncé à {at}, dépassé.",
                title=i.title,
                at=times.hm_dated(i.estimated_end, x.at, lang),
            )
            coming.append(
                (
                    (i.estimated_end, 0, i.id),
                    DocumentLine(text=text, mark="late", refs=citations.of(f"incident:{i.id}")),
                )
            )
    ordered_lines = [line for _key, line in sorted(coming, key=lambda pair: pair[0])]
    if (more := len(ordered_lines) - LIMITS_SHOWN) > 0:
        ordered_lines[LIMITS_SHOWN:] = [
            DocumentLine(text=_.plural("et {n} autre limite.", "et {n} autres limites.", more))
        ]
    hazards = [
        DocumentLine(text=text, strong=n == 0, refs=citations.of(*subjects))
        for n, (text, subjects) in enumerate(write_sitrep_lines(x.hazards, x.names, x.at, _))
    ]
    return DocumentSection(
        id="ahead",
        title=_("Ce qui peut empirer"),
        half=True,
        lines=(*hazards, *ordered_lines) or write_nothing_to_report(x._),
    )
