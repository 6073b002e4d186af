"""Sections about reassignments, effects on the environment (rule D61) and improvements."""

from collections.abc import Collection, Sequence

from schemas.continuity import ImprovementRow
from schemas.reassignment import ReassignmentRow
from schemas.words import CardState, Effect
from services.console.documents.document import (
    Citations,
    DocumentLine,
    DocumentSection,
    Table,
    TableColumn,
    TableRow,
    build_table_section,
)
from services.console.documents.facts import format_people
from services.console.documents.retex.facts import (
    ROWS_SHOWN,
    TELEWORK,
    RetexFacts,
    compute_co2_grams,
    count_agent_days,
    format_time,
    list_activated_plans,
    list_completed_moves,
)
from services.console.texts import words as w
from services.console.web import times


def write_reassignments_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    """Describe the reassignments by duration, travel, CO2 and cost, without names. Rule D61."""
    _, lang, went = x._, x.lang, list_completed_moves(x)
    if not went:
        return DocumentSection(
            id="moves",
            title=_("Réaffectations"),
            lines=(DocumentLine(text=_("Aucun agent n’a été réaffecté.")),),
        )
    by_activity: dict[tuple[int, str], list[ReassignmentRow]] = {}
    for row in went:
        by_activity.setdefault((row.criticality, row.need_activity or row.activity), []).append(row)

    def build_row(
        title: str,
        rows: Sequence[ReassignmentRow],
        refs: tuple[int, ...] = (),
        *,
        strong: bool = False,
    ) -> TableRow:
        days = sum(count_agent_days(row, x.at) for row in rows)
        hours = sum(2 * row.minutes * count_agent_days(row, x.at) for row in rows) / 60
        cells = (
            title,
            format_people(sum(row.count for row in rows), lang),
            format_people(days, lang),
            format_people(
                sum(count_agent_days(row, x.at) for row in rows if row.place == TELEWORK), lang
            ),
            w.format_number(hours, lang),
            w.format_number(sum(compute_co2_grams(row, x) for row in rows) / 1000, lang),
            *(
                ()
                if x.agent_day_eur is None
                else (w.format_number(round(days * x.agent_day_eur), lang),)
            ),
        )
        return TableRow(cells=cells, refs=refs, strong=strong)

    rows = [
        build_row(
            f"{id} {x.names.activity(id, lang)}",
            mine,
            citations.of(*sorted({f"proposal:{row.proposal}:approved" for row in mine})),
        )
        for (_criticality, id), mine in sorted(by_activity.items())
    ]
    unsaid = sum(row.count for row in went if row.arrived_at is None)
    note = _(
        "Jours de semaine entamés, un au moins ; trajets et CO2 aller et retour, chaque jour, "
        "selon la proposition approuvée."
    )
    if unsaid:
        note += " " + _(
            "{n} agents sans arrivée dite : comptés depuis leur ordre.",
            n=format_people(unsaid, lang),
        )
    if x.agent_day_eur is None:
        note += " " + _(
            "Coût non renseigné : les données de référence n’indiquent pas le coût d’un jour-agent."
        )
    else:
        note += " " + _("Coût : {eur} € l’agent-jour.", eur=w.format_number(x.agent_day_eur, lang))
        if x.agent_day_draft:
            note += " " + _(
                "Chiffre provisoire des données de référence, que l’organisation n’a pas confirmé."
            )
    columns = (
        TableColumn(title=_("Activité tenue"), wide=True),
        TableColumn(title=_("Agents"), right=True),
        TableColumn(title=_("Agents-jours"), right=True),
        TableColumn(title=_("dont à domicile"), right=True),
        TableColumn(title=_("Trajets (h)"), right=True),
        TableColumn(title=_("CO2 (kg)"), right=True),
        *(() if x.agent_day_eur is None else (TableColumn(title=_("Coût (€)"), right=True),)),
    )
    hidden_count = len(rows) - ROWS_SHOWN
    aside = (
        _.plural("et {n} autre activité", "et {n} autres activités", hidden_count)
        if hidden_count > 0
        else ""
    )
    total = build_row(_("Ensemble"), went, strong=True)
    return DocumentSection(
        id="moves",
        title=_("Réaffectations"),
        aside=aside,
        table=Table(columns=columns, rows=(total, *rows[:ROWS_SHOWN]), note=note),
    )


def _sum_measured_effects(x: RetexFacts) -> dict[Effect, tuple[str, list[str]]]:
    """Return reported effect → its sum with unit, and the ids of the reports."""
    values_by_effect: dict[Effect, dict[str, float]] = {}
    for report in x.reports:
        if (
            report.measure is not None
            and report.measure.name in w.EFFECT
            and isinstance(report.measure.value, int | float)
        ):
            values_by_effect.setdefault(Effect(report.measure.name), {})[report.id] = float(
                report.measure.value
            )
    return {
        effect: (
            f"{w.format_number(sum(values_by_effect[effect].values()), x.lang)} {unit}".strip(),
            list(values_by_effect[effect]),
        )
        for effect, (_label, unit) in w.EFFECT.items()
        if effect in values_by_effect
    }


def _list_effect_cards(
    x: RetexFacts, measured_effects: Collection[Effect], citations: Citations
) -> list[DocumentLine]:
    """List the cards with a measurable effect of activated plans.

    Such effects are shedding, barriers, shade and telework.
    """
    _, effect_cards = x._, []
    for plan in list_activated_plans(x):
        for card in plan.cards:
            if card.effect is None or card.state is CardState.NOT_APPLICABLE:
                continue
            state_text = (
                _("faite {at}", at=format_time(card.at, x))
                if card.state is CardState.DONE
                else _(w.CARD_STATE[card.state])
            )
            if card.state is CardState.DONE and card.effect not in measured_effects:
                state_text += ", " + _(
                    "effet non mesuré ({name})", name=_(w.EFFECT[card.effect][0])
                )
            text = _("{plan}, {task} : {said}.", plan=plan.id, task=card.task, said=state_text)
            mark = "" if card.state is CardState.DONE else "todo"
            effect_cards.append(
                DocumentLine(text=text, mark=mark, refs=citations.of(f"plan:{plan.id}:card"))
            )
    return effect_cards


def write_environment_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    """List measures for the environment and sums of reported effects. Rule D61.

    Nothing is estimated: a missing measurement is listed as missing.
    """
    _, lang = x._, x.lang
    rows, measured_effects = [], _sum_measured_effects(x)
    lines = _list_effect_cards(x, measured_effects, citations)
    if went := list_completed_moves(x):
        co2_kg = sum(compute_co2_grams(row, x) for row in went) / 1000
        rows.append(
            TableRow(
                cells=(
                    _("CO2 des réaffectations, calculé"),
                    f"{w.format_number(co2_kg, lang)} kg",
                    "",
                )
            )
        )
    rows += [
        TableRow(
            cells=(_(w.EFFECT[effect][0]), total, str(len(mine))),
            refs=citations.of(*(f"report:{id}" for id in mine[:3])),
        )
        for effect, (total, mine) in measured_effects.items()
    ]
    empty_text = _(
        "Aucune mesure signalée. Mesures qui peuvent l’être : {names}.",
        names=", ".join(_(effect_name) for effect_name, _unit in w.EFFECT.values()),
    )
    columns = (
        TableColumn(title=_("Mesure"), wide=True),
        TableColumn(title=_("Total"), right=True),
        TableColumn(title=_("Signalements"), right=True),
    )
    return build_table_section(
        "environment", _("Environnement"), columns, rows, empty_text, lines=lines
    )


def describe_improvement(row: ImprovementRow, x: RetexFacts) -> str:
    """Describe the state of an action, with the day it ended and why it was dropped."""
    state = w.translate_code(w.IMPROVEMENT_STATE, row.state, x._)
    if row.closed_at is None:
        return state
    ended = x._("{state} le {day}", state=state, day=times.day(times.of(row.closed_at), x.lang))
    reason = x.texts.get((row.reason or "").removeprefix("text:"))
    return ended if reason is None else x._("{what} : {why}", what=ended, why=reason)


def write_improvements_section(x: RetexFacts, citations: Citations) -> DocumentSection:
    _ = x._
    rows = [
        TableRow(
            cells=(
                x.texts.get(i.text_id, _("texte effacé")),
                w.name_role(i.owner, None, x.names, _),
                times.day(times.of(i.due_at), x.lang),
                describe_improvement(i, x),
            ),
            refs=citations.of(f"improvement:{i.id}"),
            strong=i.state == "open" and times.of(i.due_at) < x.at,
        )
        for i in x.improvements
    ]
    columns = (
        TableColumn(title=_("Action"), wide=True),
        TableColumn(title=_("Responsable de l’action")),
        TableColumn(title=_("Échéance")),
        TableColumn(title=_("État")),
    )
    return build_table_section(
        "improvements", _("Actions d’amélioration"), columns, rows, _("Aucune action décidée.")
    )
