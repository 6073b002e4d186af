"""`vigie paper FILE.pdf`: print escalations, action cards and sites for times without a network.

All content comes from the reference data. Telephone numbers are printed only from a given file, the
one of `vigie directory import`: this command reads no directory.
"""

import io
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import segno
import typer

from schemas.catalogue.channels import CHANNELS, Channel
from schemas.people.directory import Contact
from schemas.plans import Card, CardOrigin
from schemas.reference import CONTACT_TOKEN_PREFIX, Holder, Plan, RosterSection, Wave
from services.cli.client import print_error
from services.cli.lists import TerritoryFolder
from services.console.directory.contact_file import DirectoryInvalid, read_contacts
from services.console.documents import pdf
from services.console.documents.plan.sheet import print_plans
from services.console.i18n import add_french_spaces, get_translator
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import Shaper
from services.console.sites.geometry import load_outlines
from services.console.texts.names import TerritoryNames
from services.console.texts.words import format_number
from services.console.texts.world import FLAG, KIND_ONE
from services.console.web import times
from services.delivery.settings import DeliverySettings
from services.messages.names import TERRITORY
from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import Settings
from services.territory import Territory, TerritoryInvalid, load_territory

HERE = Path(__file__).parent
CHANNEL_NAMES = {row.channel: row.paper_name or row.label.fr for row in CHANNELS.values()}
GROUPS = {
    "cellule_complete": "cellule complète",
    "tous_directeurs_pole": "tous les directeurs de pôle",
    "suppleants": "suppléants de qui n’a pas répondu",
}
FLOOD = {
    "non": "",
    "oui": "inondable",
    "tier1": "inondable (1er palier)",
    "tier2": "inondable (2e palier)",
    "tier3": "inondable (3e palier)",
}


def build_pack(territory: Territory, *, url: str, people: list[Contact], at: datetime) -> bytes:
    """Return the whole pack as PDF.

    Without `people`, it has no telephone list.
    """
    name = TERRITORY.get(territory.code, f"Territoire {territory.code}")
    data = {
        "title": "Vigie sur papier",
        "intro": "Escalades, fiches réflexes et sites, pour travailler sans réseau.",
        "version": f"{name}, version {territory.version}, imprimé le {times.to_paris(at):%d/%m/%Y}",
        "footer": f"Vigie, {name}, version {territory.version}",
        "levels": add_french_spaces(_explain_levels(territory)),
        "how": add_french_spaces(
            "Une vague réunit les personnes appelées en même temps. Sans réponse dans le délai, "
            "passez à la vague suivante. Notez chaque appel : qui, quand, quelle réponse ; l’heure "
            "du papier fait foi à la reprise."
        ),
        "ladders": _list_escalations(territory),
        "phones": _list_phones(territory, people),
        "cards": _list_cards(territory),
        "sites": _list_sites(territory, url),
    }
    return pdf.typeset((HERE / "paper.typ").read_bytes(), data, at)


def build_plans(territory: Territory, *, people: list[Contact], at: datetime) -> bytes:
    """Return all plans of the library as PDF, with the numbers of partners that are in `people`.

    Raises OSError for a territory without outlines of its communes.
    """
    reference = IndexedReference.of_sections(territory.version, tuple(territory.sections))
    shape = Shaper(territory.code, reference, load_outlines(territory.folder), "fr")
    numbers = {
        contact.person.removeprefix(CONTACT_TOKEN_PREFIX): [
            f"{CHANNEL_NAMES[p.channel]} {p.address}" for p in contact.points
        ]
        for contact in people
        if contact.person.startswith(CONTACT_TOKEN_PREFIX)
    }
    plans = [plan.id for plan in territory.plans]
    return print_plans(shape, plans, get_translator("fr"), at, numbers=numbers)


def _explain_levels(territory: Territory) -> str:
    """Name all levels, because titles and cards give their numbers."""
    levels = (f"N{one.level} ({one.name})" for one in territory.policy.levels)
    return f"Niveaux : {', '.join(levels)}."


def _list_escalations(territory: Territory) -> list[dict[str, Any]]:
    policy, names = (
        territory.policy,
        {f"N{level.level}": level.name for level in territory.policy.levels},
    )
    return [
        {
            "title": f"{name} – {names.get(name, name)}",
            "waves": [
                [
                    str(w.wave),
                    f"{w.after_min} min",
                    ", ".join(_member(territory, w, r) for r in w.who),
                    ", ".join(CHANNEL_NAMES[Channel(c)] for c in w.channels),
                    f"{w.ack_min} min",
                    str(w.expected),
                ]
                for w in waves
            ],
        }
        for name, waves in policy.ladders.items()
    ]


def _member(territory: Territory, step: Wave, name: str) -> str:
    """Return the roles that a step calls, each with its condition."""
    role, flag = _format_role(territory, name), step.only_if.get(name)
    return role if flag is None else f"{role} (si {FLAG.get(flag, flag)})"


def _format_role(territory: Territory, role: str) -> str:
    policy, group = territory.policy, GROUPS.get(role, role.replace("_", " "))
    if members := policy.groups.get(role):
        return f"{group} ({', '.join(policy.roles.get(m, m) for m in members)})"
    return policy.roles.get(role, group).split(" (")[0]


def _format_scoped_role(names: TerritoryNames, label: str, scope: str | None) -> str:
    """Format a role with the name of its pôle or site."""
    if scope is None:
        return label
    return (
        f"{label}, {names.pole_short(scope, 'fr') if scope in names.poles else names.site(scope)}"
    )


_ORIGIN_WORDS: Final = {
    CardOrigin.SITE_EVENT: "après le premier fait du site",
    CardOrigin.REQUEST: "après la demande",
    CardOrigin.CARD: "après la fiche précédente",
    CardOrigin.STAND_DOWN: "après la levée",
    CardOrigin.FORECAST_THRESHOLD: "autour de la cote prévue",
}
"""Event from which a card counts, beside the proposal of its plan."""


def _format_due_time(plan: Plan, card: Card) -> str:
    """Format the due time of a card.

    It counts from the proposal of its plan, or from the event or day that the card names.
    """
    span = times.format_duration(timedelta(minutes=abs(card.t_min)), "fr")
    if card.origin is CardOrigin.LOCAL_TIME and card.local_min is not None:
        return f"à {card.local_min // 60:02}:{card.local_min % 60:02}"
    if card.origin in _ORIGIN_WORDS:
        return f"{span} {_ORIGIN_WORDS[card.origin]}"
    if plan.card_origin is None:
        return span
    return f"{span} {'avant' if card.t_min < 0 else 'après'} le jour J, 06:00"


def _list_cards(territory: Territory) -> list[dict[str, Any]]:
    cards_by_role: dict[str, list[tuple[int, list[str]]]] = defaultdict(list)
    names = TerritoryNames.of(territory.sections)
    for plan in territory.plans:
        for card in plan.cards:
            who = _format_scoped_role(names, _format_role(territory, card.role), card.pole)
            cards_by_role[who].append(
                (card.t_min, [_format_due_time(plan, card), plan.title, card.task, "☐"])
            )
    return [
        {"role": role, "cards": [row for _, row in sorted(cards, key=lambda c: c[0])]}
        for role, cards in sorted(cards_by_role.items())
    ]


def _list_sites(territory: Territory, url: str) -> list[dict[str, str]]:
    _ = get_translator("fr")
    site_pages = []
    for site in sorted(territory.sites, key=lambda s: (s.commune_name, s.name)):
        facts = [
            site.commune_name,
            KIND_ONE.get(site.kind, site.kind.replace("_", " ")),
            _.plural("{n} agent", "{n} agents", site.staff),
            _.plural("accueil : {n} personne", "accueil : {n} personnes", site.public_capacity)
            if site.public_capacity
            else "",
            "groupe électrogène" if site.generator else "",
            FLOOD[site.flood_exposure],
        ]
        words = (
            f"Par SMS : {site.code} ELEC, {site.code} EAU, {site.code} EVAC … ; RAS {site.code} quand tout va"
            if site.code
            else ""
        )
        link = f"{url}/signaler?site={quote(site.id)}"
        site_pages.append(
            {
                "id": site.id,
                "name": site.name,
                "facts": ", ".join(f for f in facts if f),
                "words": words,
                "qr": _draw_qr_code(link) if url else "",
            }
        )
    return site_pages


def _draw_qr_code(text: str) -> str:
    image = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        image, kind="svg", border=2, xmldecl=False, svgns=True
    )
    return image.getvalue().decode()


def _list_phones(territory: Territory, people: list[Contact]) -> list[list[str]]:
    """List holders and deputies of each role in roster order, with contacts.

    A person that is missing in the file is shown as missing.
    """
    if not people:
        return []
    contacts, names = (
        {contact.person: contact for contact in people},
        TerritoryNames.of(territory.sections),
    )
    roster = next(s.roster for s in territory.sections if isinstance(s, RosterSection))
    return [
        [
            _format_holder(territory, names, holder) + (", suppléance" if deputy else ""),
            *_format_contact(contacts.get(person)),
        ]
        for holder in roster.holders
        for deputy, person in ((False, holder.holder), (True, holder.deputy))
        if person is not None
    ]


def _format_holder(territory: Territory, names: TerritoryNames, holder: Holder) -> str:
    return _format_scoped_role(names, _format_role(territory, holder.role), holder.scope)


def _format_contact(contact: Contact | None) -> list[str]:
    if contact is None:
        return ["absent de l’annuaire", ""]
    return [
        contact.name or contact.person,
        "  ".join(f"{CHANNEL_NAMES[p.channel]} {p.address}" for p in contact.points),
    ]


def paper(
    file: Annotated[Path, typer.Argument(help="PDF to write", dir_okay=False)],
    directory: Annotated[
        Path | None,
        typer.Option(
            help=(
                "Print a telephone list, from the CSV of `vigie directory import`. Personal data"
            ),
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address for the QR codes; default: VIGIE_PUBLIC_URL; empty: no QR codes"
        ),
    ] = None,
    plans: Annotated[
        Path | None,
        typer.Option(help="Also write the continuity plans here, as PDF", dir_okay=False),
    ] = None,
    territory: TerritoryFolder = None,
) -> None:
    """Print the paper pack: escalations, action cards, site pages with QR codes.

    With --directory, it includes the telephone list; the plans then have the numbers of partners.
    """
    try:
        data = load_territory(territory or Settings().territory)
        people = (
            []
            if directory is None
            else read_contacts(directory.read_text(encoding="utf-8-sig").splitlines())
        )
        address = DeliverySettings().public_url if url is None else url
        began = time.monotonic()
        at = datetime.now(UTC).replace(microsecond=0)
        documents = {file: build_pack(data, url=address.rstrip("/"), people=people, at=at)}
        if plans is not None:
            documents[plans] = build_plans(data, people=people, at=at)
        for path, content in documents.items():
            with open_atomic_file(path, 0o600 if people else 0o666) as target:
                target.write(content)
    except (TerritoryInvalid, DirectoryInvalid, OSError, UnicodeDecodeError) as error:
        raise print_error(error) from error
    sizes = ", ".join(f"{path} : {len(content) >> 10} ko" for path, content in documents.items())
    typer.echo(f"{sizes}, en {format_number(time.monotonic() - began, 'fr')} s")
