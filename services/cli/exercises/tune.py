"""`vigie tune`: look for escalations that call fewer people and answer as fast."""

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from ruamel.yaml import YAML

from schemas.reference import EscalationPolicy, SectionData
from services.cli.client import print_error, require_broker
from services.cli.crisis.decide import Key, post_decision
from services.cli.data.territory_changes import (
    ask_confirmation,
    fetch_current_version,
    show_differences,
)
from services.cli.lists import AsJson, Realm
from services.cli.output import print_json, print_rows
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.simulation.recording import NotRecorded, Recording, read_opening_times, read_recording
from services.simulation.tuning import (
    FINALISTS,
    ChangeEffect,
    ConfidenceInterval,
    TuningResult,
    list_changes,
    list_used_ladders,
    tune_ladders,
)
from services.territory.differences import compare_sections

DEFAULT_CRISES: Final = 12
_COLUMNS: Final = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)


def tune(
    ladder: Annotated[
        list[str] | None, typer.Option(help="Escalation to change, e.g. N2; default: all used")
    ] = None,
    last: Annotated[
        int, typer.Option(min=4, max=200, help="Newest crises and exercises to replay")
    ] = DEFAULT_CRISES,
    seed: Annotated[
        int,
        typer.Option(
            min=1, help="Seed of the random halves and samples: the same gives the same result"
        ),
    ] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write the best change as a patch for `vigie whatif`")
    ] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Propose the best change for a second person")
    ] = False,
    reason: Annotated[str, typer.Option(help="Reason of the proposal; stored encrypted")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Propose without asking")] = False,
    realm: Realm = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded crises under other escalations, with the recorded answer times.

    Tries other waits, orders and parallel calls. A change holds if it saves calls and answers come
    as fast, by the whole interval, in crises that did not choose it.
    """
    settings = require_broker(Settings())
    base, sections = fetch_current_version(settings, realm)
    section = next(s for s in sections if isinstance(s, EscalationPolicy))
    try:
        recordings = asyncio.run(_read_newest(settings.kafka, last))
        result = _tune(recordings, section, ladder, seed)
    except (NotRecorded, KafkaError, Stop, OSError, ValueError) as error:
        raise print_error(error) from error
    if as_json:
        print_json(build_document(result))
    else:
        show_result(result)
    best = result.best
    if out is not None and best is not None:
        _write_patch(out, best)
    if propose:
        _propose(settings, (base, sections), best, reason, yes=yes, realm=realm, key=key)


async def _read_newest(kafka: str, last: int) -> list[Recording]:
    """Read the newest realms with a report.

    Raises NotRecorded, KafkaError and Stop.
    """
    recordings: list[Recording] = []
    opening_times = await read_opening_times(kafka)
    for name in sorted(opening_times, key=lambda one: (-opening_times[one], one)):
        if len(recordings) == last:
            break
        try:
            recording = await read_recording(kafka, name)
        except NotRecorded as error:
            typer.secho(str(error), err=True, fg="yellow")
            continue
        if recording.crisis:
            recordings.append(recording)
    return recordings


def _tune(
    recordings: list[Recording], section: EscalationPolicy, ladders: list[str] | None, seed: int
) -> TuningResult:
    used = list_used_ladders(recordings)
    if unused_ladders := sorted(set(ladders or ()) - used):
        raise ValueError(f"aucune crise rejouée n’a appelé par l’escalade {unused_ladders[0]}")
    changes = list_changes(section.policy, ladders or used)
    half = len(recordings) // 2
    total = (len(changes) + 1) * half + (FINALISTS + 1) * (len(recordings) - half)
    with Progress(*_COLUMNS, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("rejeux", total=total)
        return tune_ladders(
            recordings, section, changes, seed=seed, report=lambda: progress.advance(task)
        )


def build_document(result: TuningResult) -> dict[str, Any]:
    """Return the result as JSON data."""
    return {
        "chosen_on": result.chosen_on,
        "judged_on": result.judged_on,
        "tried": result.change_count,
        "items": [
            {
                "ladder": one.change.ladder,
                "kind": one.change.kind,
                "text": one.change.text,
                "holds": one.holds,
                "calls": _list_bounds(one.calls),
                "minutes": _list_bounds(one.minutes),
                "unanswered": one.unanswered,
                "patch": one.change.write_patch(),
            }
            for one in result.finalists
        ],
    }


def _list_bounds(interval: ConfidenceInterval) -> dict[str, float]:
    return {name: round(getattr(interval, name), 3) for name in ("mean", "low", "high")}


def show_result(result: TuningResult) -> None:
    """Print the finalists, those that hold first."""
    print_rows(
        f"{result.change_count} changements essayés sur {result.chosen_on} crises, "
        f"jugés sur {result.judged_on} autres",
        ("Tient", "Changement", "Appels par crise", "Délai de réponse (min)", "Sans réponse"),
        [
            (
                "oui" if one.holds else "non",
                one.change.text,
                _write_interval(one.calls),
                _write_interval(one.minutes),
                str(one.unanswered or ""),
            )
            for one in result.finalists
        ],
    )
    if result.best is None:
        typer.echo("aucun changement n’économise des appels à délai égal : rien à proposer")


def _write_interval(interval: ConfidenceInterval) -> str:
    return f"{interval.mean:+.1f} [{interval.low:+.1f} ; {interval.high:+.1f}]"


def _write_patch(file: Path, best: ChangeEffect) -> None:
    yaml = YAML()
    try:
        with file.open("w", encoding="utf-8") as output:
            yaml.dump(best.change.write_patch(), output)
    except OSError as error:
        raise print_error(error) from error


def _propose(
    settings: Settings,
    current: tuple[str, list[SectionData]],
    best: ChangeEffect | None,
    reason: str,
    *,
    yes: bool,
    realm: str | None,
    key: str | None,
) -> None:
    """Propose the change as a version; the measured effect stands in the reason."""
    if best is None:
        raise print_error("aucun changement ne tient : rien n’est proposé")
    base, sections = current
    new_sections = [
        best.change.apply(one) if isinstance(one, EscalationPolicy) else one for one in sections
    ]
    show_differences("proposée", base, compare_sections(sections, new_sections))
    if not yes and not ask_confirmation():
        raise typer.Exit(1)
    effect_text = (
        f"{best.change.text} ; appels par crise {_write_interval(best.calls)}, "
        f"délai {_write_interval(best.minutes)} min, {best.crises} crises"
    )
    body = {
        "sections": [section.model_dump(mode="json") for section in new_sections],
        "reason": f"{reason} ({effect_text})" if reason else effect_text,
    }
    message = "changement proposé : une autre personne l’approuve (vigie territory changes)"
    post_decision("reference/changes", realm, body, key=key, as_json=False, success_text=message)
