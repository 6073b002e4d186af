"""Read resources of the API as a table or JSON, now or as known at a time (`--as-of`)."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import typer

from services.cli.client import call_api
from services.cli.lists import (
    PAGE_SIZE,
    AsJson,
    AsOf,
    Limit,
    OfIncident,
    Realm,
    Row,
    build_query,
    fetch_list,
    format_local_time,
    listing,
    parse_time,
    resolve_incident,
    show_list,
)
from services.console.attention.handover_page import TITLES, label_state
from services.console.i18n import get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.console.logbook.line_list import KIND_LABELS, group_lines, summarise_lines
from services.console.reassignment.page import STATE_LABELS
from services.console.resources import Line
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

_ = get_translator("fr")
_KINDS = KIND_LABELS | {"impact": "effet"}
_PROPOSAL_STATE = {
    "open": "en vigueur",
    "superseded": "remplacée",
    "lapsed": "sans objet",
    "failed": "échec du calcul",
}


def _join_values(values: Sequence[str]) -> str:
    return ", ".join(values[:4]) + (f" +{len(values) - 4}" if len(values) > 4 else "")


def _last_reason(item: Row) -> str:
    return item["why"][-1]["text"] if item.get("why") else ""


def _format_clock(clock: Row) -> str:
    if clock["state"] == "running":
        return f"{format_local_time(clock['deadline'])} ({clock['consumed_pct']:.0f} %)"
    return {"stopped": "arrêtée"}.get(clock["state"], "")


def _format_escalation(item: Row) -> str:
    ladder = item["escalation"]
    if ladder is None:
        return ""
    following = f", suite {format_local_time(ladder['next_at'])}" if ladder["next_at"] else ""
    return f"{ladder['ladder']} vague {ladder['wave']}{following}"


@listing(
    "/api/v1/incidents",
    "Incidents",
    (
        ("Niveau", lambda i: f"N{i['level']}"),
        ("Numéro", lambda i: i["number"]),
        ("Titre", lambda i: i["title"]),
        ("État", lambda i: w.translate_code(w.INCIDENT_STATE, i["state"], _)),
        ("Depuis", lambda i: format_local_time(i["opened_at"])),
        ("Sites", lambda i: str(i["members"])),
        ("Signalements", lambda i: str(i["reports_count"])),
        ("Escalade", _format_escalation),
        ("Identifiant", lambda i: i["id"]),
    ),
)
def incidents(
    status: Annotated[
        list[str] | None, typer.Option(help="open, acknowledged, closed, merged")
    ] = None,
    level: Annotated[int | None, typer.Option(min=0, max=4, help="Lowest level")] = None,
    site: Annotated[str | None, typer.Option(help="Site id")] = None,
    pole: Annotated[str | None, typer.Option(help="Id of a pôle")] = None,
    commune: Annotated[str | None, typer.Option(help="INSEE code")] = None,
    type: Annotated[
        str | None, typer.Option(help="Family (power) or type of a cause (outage_power)")
    ] = None,
    q: Annotated[str | None, typer.Option(help="Search in titles, numbers and sites")] = None,
) -> None:
    """List incidents, open ones first, gravest first."""


@listing(
    "/api/v1/sites",
    "Sites",
    (
        ("Site", lambda s: s["id"]),
        ("Nom", lambda s: s["name"]),
        ("Commune", lambda s: s["commune_name"]),
        ("État", lambda s: w.translate_code(w.SITE_STATUS, s["status"], _)),
        ("Depuis", lambda s: format_local_time(s["since"])),
        ("Capacité", lambda s: f"{s['capacity_pct']:.0f} %"),
        (
            "Causes",
            lambda s: _join_values([w.translate_code(w.CAUSE, c["type"], _) for c in s["causes"]]),
        ),
    ),
    limit=PAGE_SIZE,
)
def sites(
    status: Annotated[
        list[str] | None,
        typer.Option(help="normal, degraded, closed, evacuated, sheltering, unknown"),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of site, e.g. college")] = None,
    pole: Annotated[str | None, typer.Option(help="Id of a pôle")] = None,
    commune: Annotated[str | None, typer.Option(help="INSEE code")] = None,
    incident: OfIncident = None,
    q: Annotated[str | None, typer.Option(help="Search in names")] = None,
) -> None:
    """List sites with their status and its causes."""


@listing(
    "/api/v1/activities",
    "Activités",
    (
        ("Activité", lambda a: a["id"]),
        ("Nom", lambda a: a["name"]),
        ("Crit.", lambda a: str(a["criticality"])),
        ("État", lambda a: w.translate_code(w.ACTIVITY_STATE, a["state"], _)),
        ("Capacité / MBCO", lambda a: f"{a['capacity_pct']:.0f} / {a['mbco_pct']:.0f} %"),
        ("RTO", lambda a: _format_clock(a["rto"])),
        ("DMIA", lambda a: _format_clock(a["mtpd"])),
        ("Rupture prévue", lambda a: format_local_time(a["forecast_breach_at"])),
    ),
    limit=PAGE_SIZE,
)
def activities(
    state: Annotated[
        list[str] | None, typer.Option(help="nominal, threatened, degraded, interrupted, restored")
    ] = None,
    pole: Annotated[str | None, typer.Option(help="Id of a pôle")] = None,
    criticality: Annotated[
        int | None,
        typer.Option(
            min=1, max=4, help="Activities of this criticality and of graver ones; 1 is the gravest"
        ),
    ] = None,
    incident: OfIncident = None,
) -> None:
    """List activities with their RTO and DMIA clocks."""


@listing(
    "/api/v1/plans",
    "Plans",
    (
        ("Plan", lambda p: p["id"]),
        ("Titre", lambda p: p["title"]),
        ("État", lambda p: w.translate_code(w.PLAN_STATE, p["state"], _)),
        ("Niveau", lambda p: str(p["level"] or "")),
        ("Proposé", lambda p: format_local_time(p["proposed_at"])),
        ("Décidé", lambda p: format_local_time(p["decided_at"])),
        ("Décide", lambda p: w.translate_code(w.ROLE, p["decides"], _)),
        ("Pourquoi", _last_reason),
        (
            "Fiches",
            lambda p: (
                f"{sum(c['state'] == 'done' for c in p['cards'])} / {len(p['cards'])}"
                if p["cards"]
                else ""
            ),
        ),
    ),
    limit=PAGE_SIZE,
)
def plans(
    state: Annotated[list[str] | None, typer.Option(help="valid, proposed, active, …")] = None,
    incident: OfIncident = None,
    pole: Annotated[str | None, typer.Option(help="Id of a pôle")] = None,
) -> None:
    """List plans with state, reason and cards."""


def reassignments(
    proposal: Annotated[
        str | None,
        typer.Argument(help="Id of a proposal, to show its lines; default: list the proposals"),
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    state: Annotated[
        list[str] | None, typer.Option(help="open, superseded, lapsed, failed")
    ] = None,
    incident: OfIncident = None,
    as_json: AsJson = False,
) -> None:
    """List proposals, or the lines and orders of one proposal; counts, never names."""
    path = "/api/v1/reassignments" + (f"/{quote(proposal, safe='')}" if proposal else "")
    filters = {} if proposal else {"state": state, "incident": resolve_incident(incident, realm)}
    answer = call_api("GET", path + build_query(realm, as_of, **filters))
    if proposal is None:
        show_list(
            answer,
            as_json,
            "Réaffectations",
            (
                ("N°", lambda p: str(p["number"])),
                ("État", lambda p: w.translate_code(_PROPOSAL_STATE, p["state"], _)),
                ("Calculée", lambda p: format_local_time(p["computed_at"])),
                ("Agents", lambda p: str(p["agents"])),
                (
                    "Besoins couverts",
                    lambda p: f"{p['demand'] - p['unmet_agents']} / {p['demand']}",
                ),
                ("À décider", lambda p: f"{p['undecided']} / {p['lines_total']}"),
                ("Version", lambda p: str(p["version"])),
                ("Identifiant", lambda p: p["id"]),
            ),
        )
        return
    show_list(
        answer if as_json else {"items": answer["lines"]},
        as_json,
        f"Réaffectation n° {answer['number']}",
        (
            ("Crit.", lambda x: str(x["criticality"])),
            ("Activité", lambda x: x["to"]["activity"]),
            ("De", lambda x: x["from"]["site"]),
            ("Vers", lambda x: x["to"]["site"]),
            ("Métier", lambda x: x["metier_name"]),
            ("Agents", lambda x: format_small_count(x["count"])),
            ("Min", lambda x: str(x["score"]["minutes"] or "")),
            ("État", lambda x: w.translate_code(STATE_LABELS, x["state"], _)),
            ("Pourquoi", lambda x: _join_values([why["text"] for why in x["why"]])),
            ("Identifiant", lambda x: x["id"]),
        ),
    )


@listing(
    "/api/v1/notifications",
    "Notifications",
    (
        ("Prévue", lambda n: format_local_time(n["planned_at"])),
        ("Niveau", lambda n: f"N{n['level']}"),
        (
            "Vague",
            lambda n: (
                f"{n['wave']}" + (f" (cycle {n['cycle']})" if (n["cycle"] or 1) > 1 else "")
                if n["wave"]
                else ""
            ),
        ),
        ("Rôle", lambda n: w.translate_code(w.ROLE, n["role"], _)),
        ("Canal", lambda n: w.translate_code(w.CHANNEL, n["channel"], _) if n["channel"] else ""),
        ("État", lambda n: w.translate_code(w.NOTIFICATION_STATE, n["state"], _)),
        ("Répondu", lambda n: format_local_time(n["acknowledged_at"])),
        ("Pourquoi", lambda n: w.find_delivery_reason(n["why"], _) or n["why"] or ""),
        ("Identifiant", lambda n: n["id"]),
    ),
)
def notifications(
    state: Annotated[
        list[str] | None, typer.Option(help="planned, accepted, answered, failed, …")
    ] = None,
    incident: OfIncident = None,
    escalation: Annotated[str | None, typer.Option(help="Id of an escalation")] = None,
    role: Annotated[
        str | None, typer.Option(help="Role of the organisation, e.g. astreinte_technique")
    ] = None,
) -> None:
    """List notifications with channel, state and answer, newest first."""


def timeline(
    incident: Annotated[
        str | None, typer.Argument(help="Id or number of an incident; default: all")
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "fact, decision, action, communication, watch, alarm, note, runtime, impact; "
                "default: all but impact"
            )
        ),
    ] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Every line by itself, even if many sites say the same")
    ] = False,
    limit: Limit = 200,
    as_json: AsJson = False,
) -> None:
    """Show the logbook of one incident or of everything, newest first.

    Each line has two times: of the fact and of its recording. Lines of ten minutes that differ only
    in their site are one entry, except those about danger; --each and --json show all.
    """
    path = (
        f"/api/v1/incidents/{quote(resolve_incident(incident, realm), safe='')}/timeline"
        if incident
        else "/api/v1/log"
    )
    logbook_page = fetch_list(path, realm, as_of, limit, kind=kind)
    show_list(
        logbook_page if each or as_json else _gather_lines(logbook_page),
        as_json,
        "Main courante",
        (
            ("Fait", lambda e: format_local_time(e["occurred_at"])),
            ("Connu à", lambda e: format_local_time(e["recorded_at"])),
            ("Retard", lambda e: f"+{e['late_min']}" if e["late_min"] else ""),
            ("Type", lambda e: w.translate_code(_KINDS, e["kind"], _)),
            ("Ligne", lambda e: e["text"]),
            ("Source", lambda e: world.name_source(e["source"], _)),
            ("Certitude", lambda e: w.translate_code(w.CERTAINTY, e["certainty"], _)),
            ("Auteur", lambda e: "système" if e["author"] == "system" else e["author"]),
            (
                "Identifiant",
                lambda e: e["id"] + (f" corrige {e['corrects']}" if e["corrects"] else ""),
            ),
        ),
    )


def _gather_lines(page: Row) -> Row:
    """Return a page of the logbook with like lines as one item, its id being their number."""
    items = {item["place"]: item for item in page["items"]}
    groups = group_lines([Line.model_validate(item) for item in page["items"]])
    entries = [
        items[lines[0].place]
        if len(lines) == 1
        else items[lines[0].place]
        | {"id": f"{len(lines)} lignes", "text": summarise_lines(lines, TerritoryNames(), _)}
        for lines in groups
    ]
    return page | {"items": entries}


def changes(
    since: Annotated[str, typer.Argument(help="ISO 8601; without offset, Paris time")],
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Show changes between two times: since SINCE, until --as-of or now."""
    answer = call_api("GET", "/api/v1/changes" + build_query(realm, as_of, since=parse_time(since)))
    show_list(
        answer,
        as_json,
        f"Changements depuis {format_local_time(answer['since'])}",
        (
            ("Type", lambda c: _(TITLES[c["collection"]])),
            ("Identifiant", lambda c: c["id"]),
            ("Quoi", lambda c: c["title"]),
            (
                "Avant",
                lambda c: label_state(c["collection"], c["before"], _) if c["before"] else "",
            ),
            ("Ensuite", lambda c: label_state(c["collection"], c["after"], _)),
            ("Depuis", lambda c: format_local_time(c["at"])),
        ),
    )
