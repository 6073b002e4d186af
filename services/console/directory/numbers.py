"""Read numbers from the encrypted directory; record each reading of a personal one. Rule D59."""

from collections.abc import Iterable

import structlog
from fastapi import Request

from schemas import reference as ref
from schemas.base import Instant
from schemas.people.directory import Contact
from services.console.directory.resources import PersonEntry
from services.console.directory.view import build_person, list_role_holders
from services.console.http.context import is_limited
from services.console.http.decisions import get_author
from services.console.http.problems import NotFound
from services.console.read_model.queries import Queries
from services.console.read_model.reference_index import IndexedReference
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import VaultDirectory

log = structlog.get_logger(__name__)


def read_partner_numbers(
    request: Request, realm: str, contacts: Iterable[ref.PartnerContact]
) -> dict[str, Contact]:
    """Return contact id → numbers, for those that somebody filled in."""
    directory: VaultDirectory = request.app.state.directory
    people = directory.of(realm)
    contacts_by_id = {c.id: people.peek(ref.build_contact_token(c.id)) for c in contacts}
    return {id: contact for id, contact in contacts_by_id.items() if contact is not None}


def read_partner_proofs(
    request: Request, realm: str, contacts: Iterable[ref.PartnerContact]
) -> dict[str, Instant]:
    """Return token of a partner → last verification of one of its numbers."""
    partner_proofs = {}
    for id, contact in read_partner_numbers(request, realm, contacts).items():
        dates = [p.verified_at for p in contact.points if p.verified_at is not None]
        if dates:
            partner_proofs[ref.build_contact_token(id)] = max(dates)
    return partner_proofs


async def read_person(
    request: Request, queries: Queries, reader: Principal, realm: str, token: str, lang: str
) -> PersonEntry:
    """Return a holder of a role with name and numbers, and record the reading.

    Raises NotFound for anybody else, so that the directory cannot be listed; ProblemError
    `out_of_scope` beyond the sites and pôles of the reader.
    """
    schedule, at = await queries.of(realm, lang).desk()
    role_rows = [p for p in list_role_holders(schedule, at) if token in (p.holder, p.deputy)]
    directory: VaultDirectory = request.app.state.directory
    contact = await directory.of(realm).get(token) if role_rows else None
    if contact is None:
        raise NotFound
    if not any(is_within(reader, schedule.reference, p.scope) for p in role_rows):
        raise ProblemError("out_of_scope", field="person")
    access: AccessStore = request.app.state.access
    access.trace(reader, "directory.read", f"{realm} {token}")
    log.info("directory.read", by=get_author(reader), realm=realm, person=token)
    roles = [f"{p.role_name}, {p.scope_name}" if p.scope_name else p.role_name for p in role_rows]
    return build_person(token, contact, roles)


def is_within(reader: Principal, reference: IndexedReference, scope: str | None) -> bool:
    """Return whether a limited account may reach a post: its own, or the territory's."""
    if scope is None or not is_limited(reader):
        return True
    own = reader.scope
    pole = reference.sites[scope].pole if scope in reference.sites else scope
    near = {reference.sites[site].pole for site in own.sites if site in reference.sites}
    return scope in own.sites or pole in own.poles or (scope in near and scope == pole)
