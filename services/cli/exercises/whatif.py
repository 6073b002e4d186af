"""`vigie whatif`: replay a recorded crisis with other escalations, plans or sites."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError
from rich.table import Table

from schemas.base import Instant
from schemas.reference import SectionData
from services.cli.client import fail, with_known_broker
from services.cli.crisis.read import at_paris, moment
from services.cli.output import console
from services.console.i18n import translator
from services.console.texts import words as w
from services.runtime.kafka.clients import iso
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.simulation.milestones import Course, Difference, course_of, differences
from services.simulation.recording import Fork, NotRecorded, Recording, read_recording, realms_of
from services.simulation.reference_change import ChangeInvalid, patched, read_patch
from services.simulation.replay import faithful, reference_of, replay
from services.territory import TerritoryInvalid, load_territory

_ = translator("fr")
WORDS: Final = {
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Comparison of one realm."""

    realm: str
    faithful: tuple[int, int]
    before: Course
    after: Course
    differences: list[Difference]
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        names = sorted({*self.before.counts, *self.after.counts})
        return {
            "realm": self.realm,
            "replayed": {"same": self.faithful[0], "facts": self.faithful[1]},
            "seconds": round(self.seconds, 2),
            "counts": {
                n: {"before": self.before.counts[n], "after": self.after.counts[n]} for n in names
            },
            "differences": [
                {
                    "kind": d.milestone.kind,
                    "of": d.milestone.of,
                    "what": d.milestone.what,
                    "incident": d.milestone.incident or None,
                    "before": d.before,
                    "after": d.after,
                    "minutes": None if d.minutes is None else round(d.minutes, 2),
                    "worse": d.worse,
                }
                for d in self.differences
            ],
        }


def compare(recording: Recording, change: Sequence[SectionData], fork: Fork | None) -> Outcome:
    """Replay a recording with and without the change, and compare."""
    began = time.perf_counter()
    was = replay(recording)
    would = replay(recording, change, fork)
    before, after = course_of(was), course_of(would)
    return Outcome(
        recording.realm,
        faithful(recording, was),
        before,
        after,
        differences(before, after),
        time.perf_counter() - began,
    )


def whatif(
    realm: Annotated[
        str | None, typer.Argument(help="Realm that was recorded, e.g. 92 or 92~ex-S04-84fe05")
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
            "--at",
            help="Fork here: SERVICE/SEQ of a log, or a time; default: as if it had been so from the beginning",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--every", help="All recorded crises, live ones and exercises")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--no-later", help="Exit 1 when some post would hear later, or no more")
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
    settings = with_known_broker(Settings())
    try:
        change = (
            read_patch(patch) if patch else load_territory(territory or settings.territory).sections
        )
        recordings = asyncio.run(_recordings(settings.kafka, realm))
        found = [compare(r, _sections(r, change), _fork(r, at)) for r in recordings]
    except (NotRecorded, ChangeInvalid, TerritoryInvalid, KafkaError, Stop, OSError) as error:
        raise fail(error) from error
    if as_json:
        typer.echo(json.dumps({"items": [o.document() for o in found]}, ensure_ascii=False))
    else:
        for outcome in found:
            show(outcome)
    if strict and any(d.worse for o in found for d in o.differences):
        raise typer.Exit(1)


async def _recordings(kafka: str, realm: str | None) -> list[Recording]:
    if realm is not None:
        return [await read_recording(kafka, realm)]
    found = [await read_recording(kafka, name) for name in await realms_of(kafka)]
    return [recording for recording in found if recording.crisis]


def _sections(recording: Recording, change: Any) -> Sequence[SectionData]:
    if not isinstance(change, dict):
        return tuple(change)
    recorded = reference_of(recording)
    if not recorded:
        raise NotRecorded(
            f"{recording.realm} has no reference data of its own to patch: give --territory"
        )
    return patched(recorded, change)


def _fork(recording: Recording, at: str | None) -> Fork | None:
    if at is None:
        return None
    return recording.position(at) if "/" in at else recording.moment(_instant(at))


def _instant(text: str) -> Instant:
    from datetime import datetime

    return round(datetime.fromisoformat(moment(text)).timestamp() * 1000)


def show(outcome: Outcome, *, stderr: bool = False) -> None:
    """Print the differences as a table."""
    shown = console(stderr=stderr)
    same, all_ = outcome.faithful
    shown.print(
        f"{outcome.realm} : rejoué deux fois en {outcome.seconds:.1f} s ; {same} faits sur {all_} redonnés à l’identique sans changement",
        highlight=False,
    )
    for name in sorted({*outcome.before.counts, *outcome.after.counts}):
        if outcome.before.counts[name] != outcome.after.counts[name]:
            shown.print(
                f"{WORDS.get(name, name)} : {outcome.before.counts[name]} → {outcome.after.counts[name]}",
                highlight=False,
            )
    if not outcome.differences:
        shown.print("rien ne serait arrivé à un autre moment")
        return
    table = Table()
    for column in ("Quoi", "Incident", "Était", "Serait", "Écart"):
        table.add_column(column)
    for d in outcome.differences:
        m = d.milestone
        of = w.word(w.ROLE, m.of, _) if m.kind == "person" else m.of
        name = f"{of} {WORDS.get(m.what, m.what)}" if m.kind != "level" else f"niveau {m.what}"
        incident = m.incident or (m.of if m.kind == "incident" else "")
        table.add_row(
            name,
            incident,
            _when(d.before),
            _when(d.after),
            _gap(d),
            style="red" if d.worse else None,
        )
    shown.print(table)


def _when(at: Instant | None) -> str:
    return "jamais" if at is None else at_paris(iso(at))


def _gap(d: Difference) -> str:
    if d.minutes is None:
        return "nouveau" if d.before is None else "plus du tout"
    size = abs(d.minutes)
    text = f"{size:.0f} min" if size >= 1 else f"{size * 60:.0f} s"
    return f"{text} plus tôt" if d.minutes < 0 else f"{text} plus tard"
