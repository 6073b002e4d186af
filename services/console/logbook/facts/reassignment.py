"""Lines about proposals, orders and reassigned agents. Rule D58."""

from collections.abc import Mapping
from typing import Any, Final

from services.console.i18n import N_, Translator
from services.console.logbook.facts.base import (
    Fields,
    LineType,
    SentenceSource,
    drop_missing,
    get_text_id,
    pick_fields,
)
from services.console.reassignment.texts import describe_order_period
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.log.transaction import FactRecord

_PROPOSAL_KINDS = {
    "computed": "watch",
    "failed": "alarm",
    "lapsed": "watch",
    "approved": "decision",
    "declined": "decision",
    "withdrawn": "watch",
}
_REASSIGNMENT_SENTENCES = {
    "accepted": N_("Ordre reçu par {site} : {n} agents ({metier})"),
    "arrived": N_("Au travail : {n} agents ({metier}) de {site}"),
    "released": N_("De retour à leur poste : {n} agents ({metier}) de {site}"),
    "refused": N_("Ordre de réaffectation refusé : {n} agents ({metier}) de {site}"),
    "void": N_("Réaffectation annulée, lieu perdu : {n} agents ({metier}) de {site}"),
}
_REASSIGNED = N_("Réaffectation : {n} agents ({metier}) de {site}")
SMALL_COUNT: Final = 3
"""Smaller counts of agents of one métier are not shown exactly. Rule D58."""
_RECALLED = N_("Rappelés, plus nécessaires là où ils étaient : {n} agents ({metier}) de {site}")
_REMOVED = N_(
    "Réaffectation annulée, un site n’est plus dans les données de référence : {n} agents "
    "({metier}) de {site}"
)
_CAUSE_SENTENCES = {"site_removed": _REMOVED, "recalled": _RECALLED}


def make_proposal_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    kind = _PROPOSAL_KINDS.get(change)
    if kind is None:  # superseded: the newer proposal has its line
        return None
    decision = r["decisions"][-1] if change in ("approved", "declined") else None
    return {
        "kind": kind,
        "change": change,
        "incident": r.get("incident"),
        "text_id": get_text_id(decision.get("reason")) if decision else None,
        "values": pick_fields(
            r,
            "number",
            "demand",
            "failure",
            agents=decision["agents"] if decision else r["agents"],
            lines=len(decision["lines"])
            if decision
            else len(r["withdrawn"])
            if change == "withdrawn"
            else r["lines"],
            unmet=r["unmet_agents"],
            rules=list(decision["rules"]) if decision else None,
            proposal=r["id"],
        ),
    }


def _render_empty_proposal(v: Mapping[str, Any], _: Translator) -> str:
    """Say that a computation moves nobody, and which needs stay without an answer."""
    number, unmet = v["number"], v["unmet"]
    if not unmet:
        return _("Réaffectation n° {number} : aucun agent à déplacer", number=number)
    count = w.format_number(unmet, _.lang)
    needs = _.plural(
        "{count} besoin sans réponse", "{count} besoins sans réponse", unmet, count=count
    )
    return _(
        "Réaffectation n° {number} : aucun agent à déplacer, {needs}", number=number, needs=needs
    )


def render_proposal(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    number, agent_count = v["number"], w.format_number(v["agents"], _.lang)
    agents = _.plural("{count} agent", "{count} agents", v["agents"], count=agent_count)
    match record.change:
        case "computed" if not v["agents"]:
            return _render_empty_proposal(v, _)
        case "computed":
            unmet, demand = (
                w.format_number(v["unmet"], _.lang),
                w.format_number(v["demand"], _.lang),
            )
            needs = _.plural(
                "{count} besoin sans réponse sur {of}",
                "{count} besoins sans réponse sur {of}",
                v["unmet"],
                count=unmet,
                of=demand,
            )
            return _(
                "Réaffectation n° {number} proposée : {agents}, {needs}",
                number=number,
                agents=agents,
                needs=needs,
            )
        case "failed":
            return _("Réaffectation n° {number} : le calcul a échoué", number=number)
        case "lapsed":
            return _("Réaffectation n° {number} : plus d’objet", number=number)
        case "approved":
            lines = _.plural("{n} ligne approuvée", "{n} lignes approuvées", v["lines"])
            rules = ", ".join(v.get("rules", ()))
            return _(
                "Réaffectation n° {number} : {lines}, {agents} ({rules})",
                number=number,
                lines=lines,
                agents=agents,
                rules=rules,
            )
        case "declined":
            lines = _.plural("{n} ligne écartée", "{n} lignes écartées", v["lines"])
            return _(
                "Réaffectation n° {number} : {lines}, {agents}",
                number=number,
                lines=lines,
                agents=agents,
            )
        case "withdrawn":
            lines = _.plural("{n} ligne retirée", "{n} lignes retirées", v["lines"])
            return _(
                "Réaffectation n° {number} : {lines}, personne ne sort de ces sites",
                number=number,
                lines=lines,
            )
        case _other:
            return _("Réaffectation n° {number}", number=number)


def make_order_line(fact: FactRecord) -> Fields | None:
    r = fact.data["row"]
    values = {
        "leave": r["leave"],
        "come": r["come"],
        "stay_home": r["stay_home"],
        "lines": len(r["lines"]),
        "proposal": r["proposal"],
    }
    times = (
        {name: r.get(name) for name in ("dispatched_at", "starts_at", "ends_at")}
        if r.get("starts_at") is not None
        else {}
    )
    return {
        "kind": "communication",
        "change": "ordered",
        "site": r["site"],
        "values": values | drop_missing(times),
    }


def render_order(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v, site = record.values, names.site(record.site or "")
    order_text = _(
        "Ordre de réaffectation, {site} : {leave} partent, {come} viennent",
        site=site,
        leave=v["leave"],
        come=v["come"],
    )
    if "starts_at" not in v:
        return order_text
    ends_at = to_datetime(v["ends_at"]) if "ends_at" in v else None
    return f"{order_text}, {describe_order_period(to_datetime(v['starts_at']), ends_at, to_datetime(v['dispatched_at']), _)}"


def make_reassignment_line(fact: FactRecord) -> Fields | None:
    r, change = fact.data["row"], fact.data["change"]
    if change in ("dispatched", "needed"):  # the order and the proposal have these lines
        return None
    return {
        "kind": "fact" if change == "void" else "decision" if change == "refused" else "action",
        "change": change,
        "site": r["site"],
        "incident": r.get("incident"),
        "text_id": get_text_id(r.get("reason")),
        "values": pick_fields(r, "metier", "place", "cause", agents=r["count"], line=r["id"]),
    }


def render_reassignment(record: SentenceSource, names: TerritoryNames, _: Translator) -> str:
    v = record.values
    sentence = _CAUSE_SENTENCES.get(str(v.get("cause"))) or _REASSIGNMENT_SENTENCES.get(
        str(record.change), _REASSIGNED
    )
    return _(sentence).format(
        n=format_small_count(int(v["agents"])),
        metier=names.metier(str(v["metier"]), _.lang),
        site=names.site(record.site or ""),
    )


def format_small_count(count: int) -> str:
    """Format a count of agents of one métier without revealing small groups."""
    return f"< {SMALL_COUNT}" if 0 < count < SMALL_COUNT else str(count)


LINES: Final = {
    "ProposalChanged": LineType(make_proposal_line, render_proposal),
    "ReassignmentOrdered": LineType(make_order_line, render_order),
    "ReassignmentChanged": LineType(make_reassignment_line, render_reassignment),
}
