"""`vigie directory sync`: let the directory follow an LDAP server or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.table import Table

from schemas.people.directory import Contact
from services.cli.client import error_text, print_error, require_broker
from services.cli.oncall.directory_writing import (
    RealmOption,
    choose_realm,
    erase_person,
    run,
    write_contacts,
)
from services.cli.oncall.ldap_settings import LdapSettings
from services.cli.output import open_console, print_json
from services.console.directory.contact_file import DirectoryInvalid, read_contacts
from services.console.directory.synchronisation import (
    DirectorySource,
    SynchronisationPlan,
    plan_synchronisation,
    select_file_source,
)
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault

FEW: Final = 10
"""Changes that are always allowed, however few people the directory has."""
SHOWN: Final = 50
"""Tokens shown per outcome."""


def sync(
    file: Annotated[
        Path | None,
        typer.Option(help="CSV file as for `import`; without it, the server of VIGIE_LDAP_URL"),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write; without it, only show the changes")
    ] = False,
    many: Annotated[
        bool, typer.Option("--many", help="Write even if many known people change at once")
    ] = False,
    review: Annotated[
        bool,
        typer.Option("--review", help="Ask for each absent person whether to erase them for ever"),
    ] = False,
    realm: RealmOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Show, then write the changes that make the directory follow an LDAP server or a file.

    Erasing a person takes a yes for this person. An entry with a fault is named and left as it
    was; the command then ends with 1.
    """
    settings = require_broker(Settings())
    territory = choose_realm(settings, realm)
    source, faults, limit = _read_source(file)
    if not source.people:
        raise print_error("la source ne contient aucune personne : rien n’est changé")
    plan = run(_plan(settings, territory, source))
    if as_json:
        print_json(_build_document(plan, faults, write))
    else:
        _show_plan(plan)
    for fault in faults:
        typer.secho(fault, err=True, fg="yellow")
    changes = len(plan.changed_contacts)
    if write and not many and changes > FEW and changes > limit * plan.known_count:
        raise print_error(
            f"{changes} personnes connues sur {plan.known_count} changeraient : vérifiez la source,"
            " puis ajoutez --many"
        )
    if write and plan.contacts_to_write:
        run(write_contacts(settings, territory, list(plan.contacts_to_write)))
    if write and review:
        _review_absent(settings, territory, plan.absent)
    if not as_json:
        typer.secho(
            "Annuaire à jour" if write else "Rien n’a été écrit (--write)",
            fg="green" if write else "yellow",
        )
    if faults:
        raise typer.Exit(1)


def _read_source(file: Path | None) -> tuple[DirectorySource, list[str], float]:
    """Return people, faults of entries, and the share that may change. Raises typer.Exit."""
    from services.cli.oncall.ldap_source import LdapUnavailable, read_people

    try:
        settings = LdapSettings()
        if file is not None:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                return select_file_source(read_contacts(lines)), [], settings.ldap_max_share
        if not settings.ldap_url:
            raise print_error("indiquez --file, ou VIGIE_LDAP_URL")
        source, faults = read_people(settings)
    except LdapUnavailable as error:
        raise print_error(f"l’annuaire LDAP n’a pas répondu en entier : {error}") from error
    except ValidationError as error:
        raise print_error(error) from error
    except (OSError, UnicodeDecodeError, DirectoryInvalid) as error:
        text = error_text(error) if isinstance(error, OSError) else f"{file}: {error}"
        raise print_error(text) from error
    return source, [f"{one.dn} : {one.reason}" for one in faults], settings.ldap_max_share


async def _plan(settings: Settings, realm: str, source: DirectorySource) -> SynchronisationPlan:
    async with Vault.open(settings) as vault:
        people = vault.directory.of(realm)
        contacts: dict[str, Contact | None] = {
            token: await people.get(token) for token in people.ids()
        }
    return plan_synchronisation(source, contacts, contacts.get)


def _review_absent(settings: Settings, realm: str, absent: tuple[str, ...]) -> None:
    """Ask for each absent person, and erase them only after a yes."""
    for person in absent:
        if typer.confirm(f"Effacer {person} pour toujours ?", default=False, err=True):
            run(erase_person(settings, realm, person))


def _show_plan(plan: SynchronisationPlan) -> None:
    table = Table(title="Annuaire")
    for column in ("Résultat", "Personnes", "Lesquelles"):
        table.add_column(column, overflow="fold")
    for label, tokens in (
        ("nouvelles", [one.person for one in plan.new_contacts]),
        ("changées", [one.person for one in plan.changed_contacts]),
        ("inchangées", []),
        ("absentes de la source, gardées", list(plan.absent)),
    ):
        count = len(plan.same) if label == "inchangées" else len(tokens)
        more = ", …" if len(tokens) > SHOWN else ""
        table.add_row(label, str(count), ", ".join(tokens[:SHOWN]) + more)
    open_console().print(table)


def _build_document(plan: SynchronisationPlan, faults: list[str], write: bool) -> dict[str, object]:
    return {
        "written": write,
        "added": [one.person for one in plan.new_contacts],
        "changed": [one.person for one in plan.changed_contacts],
        "same": len(plan.same),
        "absent": list(plan.absent),
        "faults": faults,
    }
