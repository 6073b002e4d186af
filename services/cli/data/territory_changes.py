"""`vigie territory propose|changes|approve|decline|withdraw`: change reference data by two persons.

Rule D63.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from aiokafka.errors import KafkaError
from pydantic import TypeAdapter
from rich.table import Table

from schemas.reference import SectionData
from schemas.reference_changes import Foreseen, RecordKind, SectionDifference
from services.cli.client import open_api, print_error
from services.cli.crisis.decide import decision, post_decision
from services.cli.exercises.whatif import show_comparison as show_outcome
from services.cli.lists import format_dated_time, format_local_time, listing, parse_time
from services.cli.output import IDENTIFIER, open_console
from services.console.i18n import get_translator
from services.console.reference.page import describe_forecast
from services.console.reference.record_names import KINDS, label_field
from services.console.texts import words as w
from services.runtime.process.exits import Stop
from services.runtime.process.settings import Settings
from services.simulation.effects import Comparison, compare_crises, sum_up_effects
from services.territory import Territory
from services.territory.differences import compare_sections

_ = get_translator("fr")
_SECTIONS: Final[TypeAdapter[SectionData]] = TypeAdapter(SectionData)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the change, from `vigie territory changes`")
]
Why = Annotated[str, typer.Option(help="Reason; stored encrypted")]
DEFAULT_CRISES: Final = 20


def propose(
    territory: Territory,
    settings: Settings,
    *,
    realm: str | None,
    effective: str | None,
    reason: str,
    release: bool,
    last: int | None,
    yes: bool,
    key: str | None,
    as_json: bool,
) -> None:
    """Show differences and effect of a version, ask for confirmation, and propose it.

    `last`: number of crises to replay; None: none. Raises typer.Exit.
    """
    base, sections = fetch_current_version(settings, realm)
    if base == territory.version:
        raise print_error(f"la version {base} est déjà en vigueur")
    show_differences(territory.version, base, compare_sections(sections, territory.sections))
    foreseen = None if last is None else _replay_crises(settings, territory, last)
    if not yes and not ask_confirmation():
        raise typer.Exit(1)
    body = {
        "sections": [section.model_dump(mode="json") for section in territory.sections],
        "effective_at": parse_time(effective) if effective else None,
        "reason": reason,
        "release": release,
        "foreseen": foreseen.model_dump(mode="json") if foreseen else None,
    }
    message = f"version {territory.version} proposée : une autre personne l’approuve (vigie territory changes)"
    post_decision("reference/changes", realm, body, key=key, as_json=as_json, success_text=message)


def fetch_current_version(settings: Settings, realm: str | None) -> tuple[str, list[SectionData]]:
    """Return version and sections in force in a realm.

    Raises typer.Exit.
    """
    where = f"?{urlencode({'realm': realm})}" if realm else ""
    with open_api(settings) as client:
        index = client.get(f"/api/v1/reference{where}")
        answers = [client.get(f"/api/v1/reference/{name}{where}") for name in index["sections"]]
    if index["version"] is None:
        raise print_error(
            "aucune version n’est en vigueur : vigie territory load publie la première"
        )
    return index["version"], [_SECTIONS.validate_python(section) for section in answers]


def show_differences(version: str, base: str, differences: Sequence[SectionDifference]) -> None:
    """Show the differences of two versions, a row per section."""
    table = Table(title=f"{base} → {version}")
    for column in ("Partie", "Ajoutés", "Modifiés", "Retirés", "Lesquels"):
        table.add_column(column)
    for d in differences:
        names = ", ".join(d.named) + (
            ", …" if len(d.named) < d.added + d.changed + d.dropped else ""
        )
        table.add_row(
            w.translate_code(w.SECTION, d.section, _),
            str(d.added),
            str(d.changed),
            str(d.dropped),
            names or "ordre des lignes",
        )
    open_console(stderr=True).print(table)


def _replay_crises(settings: Settings, territory: Territory, last: int) -> Foreseen:
    """Replay the last crises and show differences.

    Raises typer.Exit.
    """
    if not settings.kafka:
        raise print_error(
            "no broker to read recorded crises from: start `vigie up`, set VIGIE_KAFKA, "
            "or say --no-whatif"
        )
    outcomes: list[Comparison] = []
    unread = 0

    async def replay() -> None:
        nonlocal unread
        async for outcome in compare_crises(settings.kafka, territory.sections, last):
            if isinstance(outcome, Comparison):
                outcomes.append(outcome)
                show_outcome(outcome, stderr=True)
            else:
                unread += 1
                typer.secho(str(outcome), err=True, fg="yellow")

    try:
        asyncio.run(replay())
    except (KafkaError, Stop, OSError) as error:
        raise print_error(error) from error
    figures = sum_up_effects(outcomes, unread)
    for sentence in describe_forecast(figures, _):
        typer.echo(sentence, err=True)
    return figures


def ask_confirmation() -> bool:
    """Ask whether to propose; without a terminal the answer is no."""
    if not sys.stdin.isatty():
        typer.secho("personne à qui demander : --yes propose sans confirmation", err=True, fg="red")
        return False
    return typer.confirm("Proposer ce changement ?", err=True)


def _list_differences(change: dict[str, Any]) -> str:
    """Return the fields of an edited record, or else the sections that differ."""
    if (edit := change.get("edit")) is not None:
        kind = RecordKind(edit["kind"])
        fields = ", ".join(label_field(kind, f["field"], _) for f in edit["fields"])
        return f"{_(KINDS[kind])} {edit['id']} : {fields}"
    return ", ".join(w.translate_code(w.SECTION, d["section"], _) for d in change["sections"])


def _list_decisions(change: dict[str, Any]) -> str:
    return ", ".join(
        f"{w.translate_code(w.CHANGE_DECISION, d['what'], _)} {d['by']} {format_local_time(d['at'])}"
        for d in change["decisions"]
    )


@listing(
    "/api/v1/reference/changes",
    "Changements des données de référence",
    (
        (IDENTIFIER, lambda c: c["id"]),
        ("État", lambda c: w.translate_code(w.CHANGE_STATE, c["state"], _)),
        ("Version", lambda c: c["reference"]),
        ("Diffère", _list_differences),
        ("Effet", lambda c: format_dated_time(c["in_force_at"] or c["effective_at"])),
        ("Décisions", _list_decisions),
        (
            "Crises rejouées",
            lambda c: (
                " ".join(describe_forecast(Foreseen.model_validate(c["foreseen"]), _))
                if c["foreseen"]
                else "–"
            ),
        ),
    ),
)
def changes(
    state: Annotated[
        list[str] | None,
        typer.Option(help="proposed, approved, in_force, declined, withdrawn, failed"),
    ] = None,
) -> None:
    """List changes of the reference data: to approve, waiting for their time, then past ones."""


@decision("reference/changes/{change}/approve", "Approuvé", is_versioned=True)
def approve(
    change: Id, reason: Annotated[str | None, typer.Option(help="Reason; stored encrypted")] = None
) -> None:
    """Approve another person's change; it comes into force at its time."""


@decision("reference/changes/{change}/decline", "Refusé", is_versioned=True)
def decline(change: Id, reason: Why) -> None:
    """Decline another person's change."""


@decision("reference/changes/{change}/withdraw", "Retiré", is_versioned=True)
def withdraw(change: Id, reason: Why) -> None:
    """Withdraw your own change, or one that is approved and not in force yet."""
