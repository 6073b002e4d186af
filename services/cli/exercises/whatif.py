"""`vigie whatif`: replay a recorded crisis with other escalations, plans or sites."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from schemas.base import Instant
from schemas.reference import SectionData
from services.cli.client import print_error, require_broker
from services.cli.lists import format_local_time, parse_time
from services.cli.output import open_console, print_json
from services.console.i18n import get_translator
from services.console.texts import words as w
from services.runtime.kafka.clients import format_time
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.simulation.effects import Comparison, compare_replays
from services.simulation.history import Difference
from services.simulation.recording import (
    ForkPoint,
    NotRecorded,
    Recording,
    list_realms,
    read_recording,
)
from services.simulation.replay import ChangeInvalid, apply_patch, get_initial_reference, read_patch
from services.territory import TerritoryInvalid, load_territory

_ = get_translator("fr")
LABELS: Final = {
    "called": "appelé",
    "reached": "joint",
    "answered": "a répondu",
    "proposed": "proposé",
    "active": "actif",
    "partly_active": "actif en partie",
    "lifted": "levé",
    "valid": "valide",
    "refused": "refusé",
    "postponed": "différé",
    "recovering": "en retour",
    "interrupted": "interrompue",
    "degraded": "dégradée",
    "threatened": "menacée",
    "restored": "rétablie",
    "rto_exceeded": "RTO dépassé",
    "dmia_exceeded": "DMIA dépassée",
    "open": "ouvert",
    "acknowledged": "pris en charge",
    "closed": "clos",
    "merged": "fusionné",
    "messages": "messages",
    "messages_failed": "messages sans destinataire joint",
    "incidents": "incidents",
    "alarms": "alarmes",
    "roles_uncovered": "rôles sans personne",
}


def whatif(
    realm: Annotated[
        str | None, typer.Argument(help="Recorded realm, e.g. 92 or 92~ex-S04-84fe05")
    ] = None,
    patch: Annotated[
        Path | None,
        typer.Option(
            help="YAML: section → change (docs/how-to/what-if.md)", exists=True, dir_okay=False
        ),
    ] = None,
    territory: Annotated[
        Path | None,
        typer.Option(
            help="Another territory folder in place of the recorded one",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", help="Fork at SERVICE/SEQ of a log, or at a time; default: from the beginning"
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="Replay all recorded crises, live and exercises")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--no-later", help="Exit 1 if a role would be called later, or not at all"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Replay a recorded crisis with other reference data and show the differences.

    Shows events that would have come earlier, later or not at all.
    """
    if (realm is None) is not every:
        raise typer.BadParameter("one realm, or --every")
    if (patch is None) is (territory is None):
        raise typer.BadParameter("a change is needed: --patch FILE or --territory DIR")
    if every and at:
        raise typer.BadParameter("--at is a position in one realm")
    settings = require_broker(Settings())
    try:
        change = (
            read_patch(patch) if patch else load_territory(territory or settings.territory).sections
        )
        recordings = asyncio.run(_read_recordings(settings.kafka, realm))
        comparisons = [
            compare_replays(r, _select_sections(r, change), _find_fork(r, at)) for r in recordings
        ]
    except (NotRecorded, ChangeInvalid, TerritoryInvalid, KafkaError, Stop, OSError) as error:
        raise print_error(error) from error
    if as_json:
        print_json({"items": [o.document() for o in comparisons]})
    else:
        for outcome in comparisons:
            show_comparison(outcome)
    if strict and any(d.worse for o in comparisons for d in o.differences):
        raise typer.Exit(1)


async def _read_recordings(kafka: str, realm: str | None) -> list[Recording]:
    if realm is not None:
        return [await read_recording(kafka, realm)]
    recordings = [await read_recording(kafka, name) for name in await list_realms(kafka)]
    return [recording for recording in recordings if recording.crisis]


def _select_sections(recording: Recording, change: Any) -> Sequence[SectionData]:
    if not isinstance(change, dict):
        return tuple(change)
    recorded_sections = get_initial_reference(recording)
    if not recorded_sections:
        raise NotRecorded(
            f"{recording.realm} has no reference data of its own to patch: give --territory"
        )
    return apply_patch(recorded_sections, change)


def _find_fork(recording: Recording, at: str | None) -> ForkPoint | None:
    if at is None:
        return None
    return recording.position(at) if "/" in at else recording.moment(_parse_instant(at))


def _parse_instant(text: str) -> Instant:
    from datetime import datetime

    return round(datetime.fromisoformat(parse_time(text)).timestamp() * 1000)


def show_comparison(outcome: Comparison, *, stderr: bool = False) -> None:
    """Print the differences as a table."""
    console = open_console(stderr=stderr)
    same, all_ = outcome.faithful
    console.print(
        f"{outcome.realm} : rejoué deux fois en {outcome.seconds:.1f} s ; {same} faits sur {all_} redonnés à l’identique sans changement",
        highlight=False,
    )
    for name in sorted({*outcome.before.counts, *outcome.after.counts}):
        if outcome.before.counts[name] != outcome.after.counts[name]:
            console.print(
                f"{LABELS.get(name, name)} : {outcome.before.counts[name]} → {outcome.after.counts[name]}",
                highlight=False,
            )
    if not outcome.differences:
        console.print("rien ne serait arrivé à un autre moment")
        return
    table = Table()
    for column in ("Quoi", "Incident", "Était", "Serait", "Écart"):
        table.add_column(column)
    for d in outcome.differences:
        m = d.milestone
        of = w.translate_code(w.ROLE, m.of, _) if m.kind == "person" else m.of
        name = f"{of} {LABELS.get(m.what, m.what)}" if m.kind != "level" else f"niveau {m.what}"
        incident = m.incident or (m.of if m.kind == "incident" else "")
        table.add_row(
            name,
            incident,
            _format_time(d.before),
            _format_time(d.after),
            _format_delay(d),
            style="red" if d.worse else None,
        )
    console.print(table)


def _format_time(at: Instant | None) -> str:
    return "jamais" if at is None else format_local_time(format_time(at))


def _format_delay(d: Difference) -> str:
    if d.minutes is None:
        return "nouveau" if d.before is None else "plus du tout"
    size = abs(d.minutes)
    text = f"{size:.0f} min" if size >= 1 else f"{size * 60:.0f} s"
    return f"{text} plus tôt" if d.minutes < 0 else f"{text} plus tard"
