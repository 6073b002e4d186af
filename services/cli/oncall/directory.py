"""`vigie directory`: people and their contact points, on the machine with the keys.

No log contains any of it. `vigie directory sync` lets it follow an LDAP server or a file. The realm
learns how people can be reached.
"""

import asyncio
import json
import secrets
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import ValidationError
from rich.table import Table

from schemas.oncall import NoteReachability, ReachRow
from schemas.people.directory import Contact
from schemas.topics import RealmNameInvalid, get_territory, is_live, select_urgent_topic
from services.cli.client import error_text, print_error, require_broker
from services.cli.oncall.ldap_settings import LdapSettings
from services.cli.output import create_group, open_console, print_json
from services.console.directory.contact_file import (
    COLUMNS,
    DirectoryInvalid,
    build_announcements,
    read_contacts,
)
from services.console.directory.synchronisation import (
    DirectorySource,
    SynchronisationPlan,
    plan_synchronisation,
    select_file_source,
)
from services.console.i18n import get_translator
from services.runtime.decider.inputs import InputMarks
from services.runtime.identity.home_realm import read_home_realm
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import Vault
from services.territory import TerritoryInvalid, load_current_territory

T = TypeVar("T")
DIRECTORY_TIMEOUT_S = 5.0
"""Seconds to wait for the running system's copy of the directory."""


RealmOption = Annotated[
    str | None, typer.Option("--realm", help="Live realm of the people; without it the home realm")
]
_ = get_translator("fr")
app = create_group("People's contact points, encrypted per person: import, sync, count, erase.")
FEW: Final = 10
"""Changes that are always allowed, however few people the directory has."""
SHOWN: Final = 50
"""Tokens shown per outcome."""


def choose_realm(settings: Settings, realm_name: str | None) -> str:
    """Choose the live realm for a change of its directory. Raises typer.BadParameter.

    People of one realm must never replace those of another. So a shell that names another territory
    than the home realm has to name the realm, too.
    """
    home = read_home_realm(settings)
    if realm_name is None:
        own = settings.territory.name
        if "territory" in settings.model_fields_set and own != home:
            raise typer.BadParameter(
                f"VIGIE_TERRITORY nomme {own}, l’installation est celle de {home} : nommez le "
                f"territoire des personnes (--realm {own} ou --realm {home})"
            )
        return home
    try:
        get_territory(realm_name)
    except RealmNameInvalid as error:
        raise typer.BadParameter(f"{realm_name} n’est pas le nom d’un territoire") from error
    if not is_live(realm_name):
        raise typer.BadParameter(
            f"{realm_name} est un exercice : il lit l’annuaire de {get_territory(realm_name)}"
        )
    return realm_name


async def write_contacts(settings: Settings, realm: str, contacts: list[Contact]) -> None:
    """Write people of a live realm to its directory, then tell it how they can be reached.

    The realm gets channels, proofs and quiet hours, never an address. The directory comes first, so
    a person called next is in it. Partners (`contact:<id>`) are never called by an escalation.
    """
    async with Vault.open(settings) as vault:
        people = vault.directory.of(realm)
        await people.put_all(contacts)
        await people.wait_until_current(DIRECTORY_TIMEOUT_S)
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        for command in build_announcements(contacts):
            await producer.send(
                select_urgent_topic("alerts", realm),
                realm,
                command,
                id=f"reach-{secrets.token_hex(12)}",
                source="/system:directory",
            )


async def erase_person(settings: Settings, realm: str, person: str) -> bool:
    """Erase a person from a directory, then announce it; return whether the person was there.

    The live realm marks the person as unreachable, so that escalations no longer wait.
    """
    async with Vault.open(settings) as vault:
        people = vault.directory.of(realm)
        was_listed = await people.get(person, wait_s=2.0) is not None
        await people.erase(person)
    command = NoteReachability(
        author="system:directory", role="admin", people=(ReachRow(id=person, points=()),)
    )
    async with RecordProducer(settings.kafka, InputMarks.open(settings.data.secrets)) as producer:
        await producer.send(
            select_urgent_topic("alerts", realm),
            realm,
            command,
            id=f"reach-{secrets.token_hex(12)}",
            source="/system:directory",
        )
    return was_listed


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a piece of work; print that the broker is away, and raise typer.Exit."""
    try:
        return asyncio.run(work)
    except BrokerAway as exc:
        raise print_error(f"Kafka ne répond pas : {exc}") from exc


@app.command()
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
    _warn_of_unknown_sites(settings, territory, source.people)
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
            f"{changes} des {plan.known_count} personnes connues changeraient : vérifiez la source,"
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
        text = error_text(error)
        text = text if isinstance(error, OSError) else f"{file} : {text}"
        raise print_error(text) from error
    return source, [f"{one.dn} : {one.reason}" for one in faults], settings.ldap_max_share


def _warn_of_unknown_sites(settings: Settings, realm: str, people: Iterable[Contact]) -> None:
    """Name the sites that the folder of the territory does not have: a headcount finds nobody there.

    The version in force may have them all the same, so nothing is refused. Nothing is known of the
    sites of another territory.
    """
    if settings.territory.name != realm:
        return
    try:
        sites = {site.id for site in load_current_territory(settings.territory).sites}
    except TerritoryInvalid:
        return
    if unknown := sorted({one.site for one in people if one.site} - sites):
        names = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
        typer.secho(
            f"sites inconnus de {settings.territory} : {names} ; vérifiez-les",
            err=True,
            fg="yellow",
        )


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


@app.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help=f"CSV with columns {','.join(COLUMNS)} and perhaps site, quiet")
    ],
    realm: RealmOption = None,
) -> None:
    """Import people; a known person is replaced.

    The whole file is checked before anything is written.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            contacts = read_contacts(lines)
    except (OSError, UnicodeDecodeError, DirectoryInvalid) as exc:
        text = error_text(exc)
        raise print_error(text if isinstance(exc, OSError) else f"{file} : {text}") from exc
    settings = require_broker(Settings())
    territory = choose_realm(settings, realm)
    _warn_of_unknown_sites(settings, territory, contacts)
    run(write_contacts(settings, territory, contacts))
    points = sum(len(contact.points) for contact in contacts)
    people_text = _.plural("{n} personne", "{n} personnes", len(contacts))
    points_text = _.plural("{n} moyen de contact", "{n} moyens de contact", points)
    typer.echo(f"{territory} : {people_text}, {points_text}")


@app.command()
def count(
    realm: RealmOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document")] = False,
) -> None:
    """Count the people in the directory."""
    settings = require_broker(Settings())
    territory = choose_realm(settings, realm)

    async def count_people() -> int:
        async with Vault.open(settings) as vault:
            return len(vault.directory.of(territory).ids())

    people = asyncio.run(count_people())
    typer.echo(json.dumps({"people": people}) if as_json else str(people))


@app.command()
def erase(
    person: Annotated[str, typer.Argument(help="Person token")], realm: RealmOption = None
) -> None:
    """Erase a person for ever and end the escalations' wait for them.

    The key is deleted, so copies and backups of Kafka cannot be read either.
    """
    settings = require_broker(Settings())
    if not run(erase_person(settings, choose_realm(settings, realm), person)):
        typer.secho(
            f"{person} n’est pas dans l’annuaire ; l’effacement est demandé quand même",
            err=True,
            fg="red",
        )
        raise typer.Exit(1)
    typer.echo(f"{person} effacé")
