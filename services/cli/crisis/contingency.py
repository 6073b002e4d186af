"""`vigie contingency`: rank losses of sites that leave vital work undone, from reference data."""

import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from services.cli.client import print_error
from services.cli.lists import AsOf, Realm, TerritoryFolder, fetch_list
from services.cli.output import open_console, print_json
from services.console.i18n import get_translator
from services.console.logbook.facts.reassignment import format_small_count
from services.continuity.contingency.current_crisis import PAIRED_SITES, CrisisContingency
from services.continuity.contingency.ranking import (
    ContingencyRanking,
    LossKind,
    SiteLoss,
    Unmet,
    count_losses,
    select_worst,
)
from services.continuity.contingency.sensitivity import SOLVED_LOSSES as GRAVEST
from services.continuity.contingency.sensitivity import GainBaseline, rank_gains
from services.continuity.reassignment.model.files import (
    FileInvalid,
    read_previous,
    read_situation,
    select_outside_help,
)
from services.continuity.reassignment.model.solver import SolverFailed
from services.continuity.reassignment.model.tables import ReferenceTables, TablesInvalid
from services.runtime.process.settings import Settings
from services.territory import TerritoryInvalid, load_territory

_ = get_translator("fr")


class LossSize(StrEnum):
    ONE = "1"
    TWO = "2"


LOSS_LABELS: Final = {
    LossKind.BUILDING: "bâtiment perdu, agents saufs",
    LossKind.PEOPLE: "site perdu avec ses agents",
}
GAIN_LABELS: Final = {
    "agent": "un agent formé,",
    "site": "un site de repli,",
    "generator": "un groupe électrogène,",
}


def contingency(
    n: Annotated[LossSize, typer.Option(help="1: each site lost; 2: each pair")] = LossSize.ONE,
    lost: Annotated[
        LossKind,
        typer.Option(
            help="building: only the building is lost; people: building and staff are lost"
        ),
    ] = LossKind.PEOPLE,
    most: Annotated[int, typer.Option(min=1, help="Number of losses to show, worst first")] = 10,
    gains: Annotated[
        bool,
        typer.Option(
            "--gains",
            help=(
                "Compute the gain of one more trained agent, fallback site or generator over "
                "the ten gravest losses (n = 1); takes half a minute"
            ),
        ),
    ] = False,
    present: Annotated[
        bool,
        typer.Option(
            "--present",
            help="Start from the present crisis of a realm: newest result of the running planner",
        ),
    ] = False,
    realm: Realm = None,
    as_of: AsOf = None,
    situations: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Start from a crisis in tables and compute here: CSV as for `vigie "
                "reassignment solve`"
            )
        ),
    ] = None,
    meta: Annotated[
        Path | None, typer.Option(help="JSON: id, elapsed_h, transit, tele of each situation")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Id of the situation")] = None,
    approved: Annotated[
        Path | None,
        typer.Option(help="Approved lines, as JSON of a proposal; they hold desks and agents"),
    ] = None,
    territory: TerritoryFolder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Rank the losses that leave vital work undone even after the best reassignment (N-1, N-2).

    Starts from a quiet day or from a crisis.
    """
    if present:
        _show_present_ranking(n, lost, most, realm, as_of, as_json=as_json)
        return
    if (situations is None, meta is None, name is None).count(True) not in (0, 3) or (
        approved is not None and situations is None
    ):
        raise typer.BadParameter(
            "a crisis is given by --situations, --meta and --name together; --approved goes "
            "with them"
        )
    try:
        data = load_territory(territory or Settings().territory)
        tables = ReferenceTables(data.sites, data.staffing)
        began = time.perf_counter()
        ranking: ContingencyRanking | CrisisContingency = ContingencyRanking(tables, lost)
        start = GainBaseline(data.sites, data.staffing, lost)
        if situations is not None and meta is not None and name is not None:
            lines = read_previous(approved, tables) if approved else ()
            now = read_situation(situations, meta, name, tables)
            start = GainBaseline(
                data.sites, data.staffing, lost, now, [line for line in lines if line.is_approved]
            )
            ranking = start.ranking(tables)
        quiet = as_json or not Console().is_terminal or isinstance(ranking, CrisisContingency)
        losses = (
            ranking.single()
            if n is LossSize.ONE
            else list(_show_progress(ranking, len(tables.sites), quiet=quiet))
        )
        worst_losses = [ranking.explain_loss(loss) for loss in select_worst(losses, most, tables)]
        resource_gains = (
            rank_gains(start, select_worst(losses, GRAVEST, tables))
            if gains and n is LossSize.ONE
            else ()
        )
        seconds = time.perf_counter() - began
    except (TerritoryInvalid, TablesInvalid, FileInvalid, SolverFailed) as error:
        raise print_error(error) from error
    help_of = {
        activity.id: select_outside_help(activity.strategies) for activity in data.activities
    }
    names = {m.id: m.name for m in data.staffing.metiers}
    document = {
        "n": int(n),
        "lost": lost.value,
        **count_losses(losses),
        "solved": ranking.solves,
        "screened": ranking.screened,
        "seconds": round(seconds, 1),
        "unmet_now": None
        if isinstance(ranking, ContingencyRanking)
        else _name_levels(ranking.unmet),
        "worst": [_loss_document(loss, help_of, names) for loss in worst_losses],
        "gains": [
            asdict(gain)
            | {"unmet": _name_levels(gain.unmet), "name": names.get(gain.what, gain.what)}
            for gain in resource_gains
        ],
    }
    if as_json:
        print_json(document)
    else:
        _show_ranking(document)


def _show_progress(
    ranking: ContingencyRanking | CrisisContingency, sites: int, *, quiet: bool
) -> Any:
    pairs = ranking.pairs()
    return pairs if quiet else track(pairs, "paires", total=sites * (sites - 1) // 2)


def _name_levels(unmet: Unmet) -> dict[str, int]:
    return dict(zip(("U1", "U2", "U3"), unmet, strict=True))


def _show_present_ranking(
    n: LossSize,
    loss_kind: LossKind,
    most: int,
    realm: str | None,
    as_of: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the latest ranking of the planner from the present crisis.

    Exits with 1 if there is none yet.
    """
    rankings = fetch_list(
        "/api/v1/contingency",
        realm,
        as_of,
        most,
        **{"n": n.value, "lost": loss_kind.value, "from": "present"},
    )["items"]
    if not rankings:
        raise print_error(
            "Rien de calculé depuis une crise en cours : aucune crise, ou le calcul n’est pas fini."
        )
    (row,) = rankings
    if as_json:
        print_json(row)
        return
    now, levels = row["present"], ("u1", "u2", "u3")
    sites_text = _.plural("{n} site touché", "{n} sites touchés", now["sites_hit"])
    agents_text = _.plural("{n} agent réaffecté", "{n} agents réaffectés", now["held"])
    open_console().print(
        f"N-{row['n']}, {LOSS_LABELS[LossKind(row['lost'])]}, depuis la proposition n°\u00a0{now['number']} "
        f"({sites_text}, {agents_text}, manque déjà {' '.join(f'{u.upper()} {now[u]}' for u in levels)})\u00a0: "
        f"{_count_losses(row['unmet'], row['losses'])} davantage de manque{_describe_pairs(n)}",
        highlight=False,
    )
    for gain in row["gains"]:
        _show_gain(gain | {"unmet": {u.upper(): gain[u] for u in levels}})
    _show_losses(
        [{**loss, "unmet": {u.upper(): loss[u] for u in levels}} for loss in row["worst"][:most]]
    )


def _loss_document(
    loss: SiteLoss, help_of: dict[str, list[str]], names: dict[str, str]
) -> dict[str, Any]:
    return {
        "sites": list(loss.sites),
        "unmet": _name_levels(loss.unmet),
        "gaps": [
            {
                "site": g.site,
                "activity": g.activity,
                "metier": g.metier,
                "metier_name": names[g.metier],
                "count": g.count,
                "missing": g.missing,
                "why": [r.code for r in g.why],
                "outside_help": help_of.get(g.activity, []),
            }
            for g in loss.gaps
        ],
    }


def _show_ranking(document: dict[str, Any]) -> None:
    now, n = document["unmet_now"], LossSize(str(document["n"]))
    already = (
        ""
        if now is None
        else f", manque déjà {' '.join(f'{level} {count}' for level, count in now.items())}"
    )
    leaves = "un manque" if now is None else f"davantage de manque{_describe_pairs(n)}"
    solved_text = _.plural("{n} résolue", "{n} résolues", document["solved"])
    screened_text = _.plural("{n} écartée", "{n} écartées", document["screened"])
    open_console().print(
        f"N-{n}, {LOSS_LABELS[LossKind(document['lost'])]}{already}\u00a0: {_count_losses(document['unmet'], document['losses'])} {leaves} "
        f"({solved_text}, {screened_text} sans calcul, {document['seconds']} s)",
        highlight=False,
    )
    _show_losses(document["worst"])
    for gain in document["gains"]:
        _show_gain(gain)


def _count_losses(unmet: int, losses: int) -> str:
    return _.plural("{n} perte sur {of} laisse", "{n} pertes sur {of} laissent", unmet, of=losses)


def _describe_pairs(n: LossSize) -> str:
    """Describe the pairs that were examined, when starting from a crisis."""
    return (
        ""
        if n is LossSize.ONE
        else f" (paires regardées\u00a0: chacun des {PAIRED_SITES} sites les plus graves, avec chaque autre)"
    )


def _show_gain(gain: dict[str, Any]) -> None:
    levels = ", ".join(f"{level} {change:+}" for level, change in gain["unmet"].items())
    open_console().print(
        f"de plus, {GAIN_LABELS[gain['kind']]} {gain['name']}\u00a0: {gain['agents']:+} agents manquants, {gain['kept']:+} activités tenues, "
        f"{levels}, sur {gain['losses']} pertes",
        highlight=False,
    )


def _show_losses(worst: list[dict[str, Any]]) -> None:
    table = Table()
    for column in ("Sites", "U1", "U2", "U3", "Effectifs qui manqueraient"):
        table.add_column(column)
    for loss in worst:
        missing = ", ".join(
            f"{format_small_count(g['count'])} {g['metier_name']} ({g['activity']})"
            for g in loss["gaps"][:4]
        )
        more = f" et {len(loss['gaps']) - 4} de plus" if len(loss["gaps"]) > 4 else ""
        table.add_row(
            " + ".join(loss["sites"]), *(str(v) for v in loss["unmet"].values()), missing + more
        )
    open_console().print(table)
