"""Page `/annuaire`: roles with their holders, and partners. Rule D89."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from schemas.reference_changes import RecordKind
from services.console.attention.cell_page import fold_text
from services.console.directory.numbers import read_partner_numbers, read_person
from services.console.directory.resources import Partner, RoleHolders
from services.console.directory.view import (
    build_reaching_points,
    list_contacts,
    list_partners,
    list_role_holders,
)
from services.console.http.problems import NotFound
from services.console.i18n import N_
from services.console.reference.record_names import build_form_address, build_new_form_address
from services.console.reference.record_rights import may_propose_record
from services.console.resources import Site
from services.console.texts import words as w
from services.console.web import search_screen
from services.console.web.access import require_reader
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

CONFERENCES: Final = ("N1", "N2", "N3", "N4")
"""Levels with a bridge of their own."""
SITE_ROLES_SHOWN: Final = 40
"""Roles of sites that a search lists."""


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """The directory as the page shows it, filtered by a search."""

    territory: Sequence[RoleHolders]
    poles: Sequence[RoleHolders]
    sites: Sequence[RoleHolders]
    sites_more: int
    domains: Mapping[str, Sequence[Partner]]
    """Domain → its partners."""
    to_complete: int
    """Partners without any number, in the whole directory."""
    partners: int
    all_domains: Sequence[str]


def build_directory_view(
    items: Iterable[RoleHolders],
    partners: Sequence[Partner],
    poles: Iterable[str],
    sites: Iterable[Site],
    q: str,
    domain: str,
) -> DirectoryView:
    """Group roles and partners; roles of sites are shown only to a search."""
    pole_ids, communes = set(poles), {s.id: s.commune_name for s in sites}
    matching_roles = [
        i for i in items if _matches(q, i.role_name, i.scope_name, communes.get(i.scope or ""))
    ]
    at_sites = (
        [i for i in matching_roles if i.scope is not None and i.scope not in pole_ids] if q else []
    )
    matching_partners = [
        p
        for p in partners
        if domain in ("", p.domain) and _matches(q, p.organisation, p.function, p.domain, p.when)
    ]
    by_domain: dict[str, list[Partner]] = {}
    for partner in matching_partners:
        by_domain.setdefault(partner.domain, []).append(partner)
    return DirectoryView(
        territory=[i for i in matching_roles if i.scope is None],
        poles=[i for i in matching_roles if i.scope in pole_ids],
        sites=at_sites[:SITE_ROLES_SHOWN],
        sites_more=max(0, len(at_sites) - SITE_ROLES_SHOWN),
        domains=by_domain,
        to_complete=sum(p.state == "to_complete" for p in partners),
        partners=len(partners),
        all_domains=list(dict.fromkeys(p.domain for p in partners)),
    )


def _matches(q: str, *texts: str | None) -> bool:
    """Return whether each word of a search stands somewhere in the texts."""
    haystack = fold_text(" ".join(text for text in texts if text))
    return all(word in haystack for word in fold_text(q).split())


async def build_directory_page(x: ScreenData) -> dict[str, Any]:
    """Build the values of the page.

    Numbers of one person are read, and the reading recorded, only for `?personne=`.
    """
    realm, lang = x.shell.realm.name, x.shell.lang
    person_token = x.request.query_params.get("personne", "")
    person = None
    if person_token:
        reader = require_reader(x.request, Permission.DIRECTORY_READ)
        with suppress(NotFound):
            person = await read_person(
                x.request, x.queries, reader.principal, realm, person_token, lang
            )
    schedule, at = await x.queries.desk()
    numbers = read_partner_numbers(x.request, realm, list_contacts(x.reference))
    partners = list_partners(x.reference, numbers, at, x._)
    q = x.request.query_params.get("q", "").strip()[: search_screen.MAX_QUERY_LENGTH]
    domain = x.request.query_params.get("domaine", "")[: search_screen.MAX_QUERY_LENGTH]
    items = list_role_holders(schedule, at)
    call_text = describe_called(x.request.query_params.get("appel", ""), items, partners, x)
    return {
        "q": q,
        "domain": domain,
        "cell": build_reaching_points(x.reference.message_names, await x.queries.meeting_place()),
        "view": build_directory_view(items, partners, x.reference.poles, x.sites, q, domain),
        "shown": person,
        "unknown": bool(person_token) and person is None,
        "role_name": lambda row: w.name_role(row.role, row.scope, x.names, x._),
        "plan_name": x.names.plan,
        "may_note": x.shell.reader.may(Permission.NOTE_WRITE),
        "called_text": call_text,
        "may_propose": may_propose_record(x.shell, None),
        "new_contact": build_new_form_address(RecordKind.CONTACT),
        "edit_contact": lambda contact: build_form_address(RecordKind.CONTACT, contact),
    }


def describe_called(
    call_target: str, holders: Iterable[RoleHolders], partners: Iterable[Partner], x: ScreenData
) -> str:
    """Return the start of a line about a call or conference; empty if nobody is asked for.

    `call_target` is the id of a role, `contact:` with that of a partner, or the level of a
    conference.
    """
    _ = x._
    if call_target in CONFERENCES:
        return _("Conférence {level} :", level=call_target) + " "
    names = {f"contact:{one.id}": f"{one.organisation}, {one.function}" for one in partners}
    names |= {one.id: w.name_role(one.role, one.scope, x.names, _) for one in holders}
    return _("Appel à {who} :", who=names[call_target]) + " " if call_target in names else ""


PAGE: Final = ScreenPage(
    "directory",
    "/annuaire",
    "directory/screen.html",
    build_directory_page,
    N_("Annuaire"),
    after="calls",
    needs=Permission.LOG_READ,
    is_cached=False,  # it may show numbers, and such a reading is recorded
)
