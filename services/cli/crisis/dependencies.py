"""`vigie dependencies`: effect of losing a system, supplier, kitchen, line, site or person."""

from typing import Annotated
from urllib.parse import urlencode

import typer

from services.cli.client import call_api
from services.cli.crisis.decide import Key, post_decision
from services.cli.lists import AsJson, AsOf, Realm, Row, build_query, format_local_time
from services.cli.output import print_json, print_rows, strip_controls
from services.console.dependencies.drawing import NOT_MODELLED_TITLES
from services.console.dependencies.page import write_delays, write_hours
from services.console.i18n import get_translator

_ = get_translator("fr")

Lost = Annotated[
    list[str] | None,
    typer.Argument(help="One or two resources, such as system:ad; none: rank all losses"),
]
Size = Annotated[int, typer.Option("--n", min=1, max=2, help="Resources lost at once")]
Kind = Annotated[
    str | None,
    typer.Option(help="system, supplier, kitchen, line, kind (of sites), site or person"),
]
Together = Annotated[
    bool, typer.Option(help="Only pairs that stop something that neither stops alone")
]
Hidden = Annotated[bool, typer.Option(help="Undeclared dependencies from recorded crises")]
Propose = Annotated[
    str | None,
    typer.Option(
        metavar="ACTIVITY",
        help="Propose to declare that this activity needs the resource; a second person approves",
    ),
]
Why = Annotated[str | None, typer.Option(help="Reason of the proposal; stored encrypted")]
Most = Annotated[int, typer.Option("--limit", min=1, max=200, help="Largest number of rows")]


def dependencies(
    lost: Lost = None,
    n: Size = 1,
    kind: Kind = None,
    together: Together = False,
    hidden: Hidden = False,
    propose: Propose = None,
    reason: Why = None,
    limit: Most = 20,
    realm: Realm = None,
    as_of: AsOf = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show the effect of losing a resource now, or rank all such losses.

    With --propose, propose a hidden dependency of that resource for the impact analysis.
    """
    if propose is not None:
        _propose(lost or [], propose, reason, realm, key=key, as_json=as_json)
        return
    query = build_query(realm, as_of)
    parameters: list[tuple[str, str]] = [("lost", one) for one in lost or ()]
    path = "/api/v1/dependencies"
    if lost:
        path += "/cascade"
    elif hidden:
        path += "/hidden"
    else:
        parameters = [("n", str(n)), ("limit", str(limit)), ("together", str(together).lower())]
        parameters += [("kind", kind)] if kind else []
    full_query = "&".join(part for part in (query.removeprefix("?"), urlencode(parameters)) if part)
    answer = call_api("GET", f"{path}?{full_query}" if full_query else path)
    if as_json:
        print_json(answer)
    elif lost:
        _print_cascade(answer)
    elif hidden:
        _print_hidden(answer)
    else:
        _print_ranking(answer)


def _propose(
    resources: list[str],
    activity: str,
    reason: str | None,
    realm: str | None,
    *,
    key: str | None,
    as_json: bool,
) -> None:
    """Propose that an activity needs a resource. Raises typer.BadParameter and typer.Exit."""
    if len(resources) != 1:
        raise typer.BadParameter("--propose needs one resource, such as system:ad")
    body = {"resource": resources[0], "activity": activity, "reason": reason}
    message = f"{activity} dépend de {resources[0]} : proposé, une autre personne l’approuve"
    post_decision(
        "dependencies/proposals", realm, body, key=key, as_json=as_json, success_text=message
    )


def _print_ranking(ranking: Row) -> None:
    print_rows(
        f"{ranking['total']} pertes arrêtent une activité, vident un rôle ou retirent une ligne",
        (
            "Identifiant",
            "Perte",
            "S’arrêtent",
            "Sans stratégie",
            "Première échéance",
            "Rôles vides",
            "Sans ligne",
            "Plans",
        ),
        [
            (
                " + ".join(one["id"] for one in loss["resources"]),
                " + ".join(strip_controls(one["name"]) for one in loss["resources"]),
                str(loss["stopped"]),
                ", ".join(
                    a["id"] for a in loss["activities"] if a["stops"] and not a["strategies"]
                ),
                write_delays(loss["first_rto_h"], loss["first_dmia_h"], _),
                ", ".join(r["name"] for r in loss["roles"] if r["left"] is None),
                ", ".join(strip_controls(c["name"]) for c in loss["communes"] if c["cut_off"]),
                ", ".join([*(p["id"] for p in loss["plans"]), *loss["undecided"]]),
            )
            for loss in ranking["items"]
        ],
    )
    names = ", ".join(_(NOT_MODELLED_TITLES[one]) for one in ranking["not_modelled"])
    if names:
        typer.echo(f"non modélisé, faute de données : {names}")


def _print_hidden(hidden_dependencies: Row) -> None:
    print_rows(
        f"dépendances jamais déclarées, {hidden_dependencies['crises']} crises comparées",
        ("Ressource", "Activité", "Crises avec panne", "Crises sans panne", "Risque d’erreur"),
        [
            (
                one["resource"],
                f"{one['activity']} {strip_controls(one['activity_name'])}",
                f"{one['together']} sur {one['exposed']}",
                f"{one['degraded_without']} sur {one['without']}",
                f"{one['adjusted']:.1%}",
            )
            for one in hidden_dependencies["items"]
        ],
    )
    for one in hidden_dependencies["items"]:
        for case in one["evidence"]:
            out, degraded_at = (format_local_time(case[key]) for key in ("out_at", "degraded_at"))
            pair = f"{one['resource']} → {one['activity']}"
            typer.echo(f"{pair} : {case['realm']}, panne {out}, dégradée {degraded_at}")


def _count_places(sites: int, agents: int) -> str:
    site_text = _.plural("{n} site", "{n} sites", sites)
    return f"{site_text}, {_.plural('{n} agent', '{n} agents', agents)}"


def _print_cascade(loss: Row) -> None:
    print_rows(
        "Perte : " + " + ".join(strip_controls(one["name"]) for one in loss["resources"]),
        ("Activité", "Nom", "Pôle", "Avant", "Après", "Stratégie", "RTO", "DMIA"),
        [
            (
                one["id"],
                strip_controls(one["name"]),
                one["pole"],
                f"{one['before_pct']:g} %",
                f"{one['after_pct']:g} %" + (" (arrêt)" if one["stops"] else ""),
                ", ".join(s["code"] for s in one["strategies"]) or "aucune",
                write_hours(one["rto_h"], _),
                write_hours(one["dmia_h"], _),
            )
            for one in loss["activities"]
        ],
    )
    for commune in loss["communes"]:
        lines = "plus aucune ligne" if commune["cut_off"] else f"reste {', '.join(commune['left'])}"
        places = _count_places(commune["sites"], commune["agents"])
        typer.echo(f"{strip_controls(commune['name'])} : {places}, {strip_controls(lines)}")
    for one in loss["access"]:
        if one["cut_sites"]:
            places = _count_places(one["cut_sites"], one["cut_agents"])
            typer.echo(f"{one['id']} {strip_controls(one['name'])} : {places} sans ligne")
    for role in loss["roles"]:
        remainder = "plus personne" if role["left"] is None else f"reste {role['left']}"
        typer.echo(f"rôle {strip_controls(role['name'])} : {remainder}")
    for plan in loss["plans"]:
        when = "tout de suite" if plan["after_h"] == 0 else write_hours(plan["after_h"], _)
        typer.echo(f"plan {plan['id']} proposé : {when}")
    for plan_id in loss["undecided"]:
        typer.echo(f"plan {plan_id} sans décideur désigné")
