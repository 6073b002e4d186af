"""Read the deeds of an installation from logs, accounts, directory, sources and files.

Rule D111.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from services.console.commissioning.checks import LiveRealm, PersonalAccounts, PreparationDeeds
from services.console.feeds.resources import list_feeds, read_feeds
from services.console.http.problems import RealmUnknown
from services.console.read_model.queries import Queries
from services.console.resource_base import to_datetime
from services.console.sites.sources_screen import SourceClient
from services.runtime.backup.contents import read_last_backup
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Account, Principal, Trace
from services.runtime.secrets.vault import RealmDirectory, VaultDirectory

CONFIRMED: Final = "territory.confirmed"
"""Act of the register: a person confirmed the reference data; `about` is the version."""
_WITHOUT_PERSON: Final = frozenset({Role.KIOSK, Role.SOURCE, Role.POSTER})


async def read_deeds(
    request: Request, queries: Queries, realm: str, *, with_sources: bool = True
) -> PreparationDeeds:
    """Read everything that the conditions are computed from, for a live realm.

    Without `with_sources` the front is not asked for its sources.
    """
    state = request.app.state
    now = datetime.now(UTC)
    access: AccessStore = state.access
    directory: VaultDirectory = state.directory
    sources: SourceClient = state.sources
    try:
        live = await queries.of(realm).preparation()
    except RealmUnknown:
        live = LiveRealm()
    return PreparationDeeds(
        now=now,
        live=live,
        accounts=count_accounts(access.all(Account), list_principals(access, realm)),
        reachable=frozenset(find_reachable(directory.of(realm), live.on_call)),
        confirmation_times=map_confirmations(access.all(Trace)),
        backup_at=read_last_backup(state.last_backup),
        feeds=list_feeds(read_feeds(state.feed_status, now), now),
        sources=await sources.of(request) if with_sources else None,
    )


def list_principals(access: AccessStore, realm: str) -> list[Principal]:
    """List the principals that see a realm."""
    return [principal for principal in access.all(Principal) if principal.sees(realm)]


def count_accounts(
    accounts: Iterable[Account], principals: Iterable[Principal]
) -> PersonalAccounts:
    """Count the open accounts of people, those that decide, and those with a second factor."""
    open_principals = {p.id: p for p in principals if p.disabled_at is None}
    people = [
        account
        for account in accounts
        if account.id in open_principals and open_principals[account.id].role not in _WITHOUT_PERSON
    ]
    deciding = [a for a in people if open_principals[a.id].may(Permission.REFERENCE_DECIDE)]
    return PersonalAccounts(
        total=len(people),
        deciding=len(deciding),
        protected_count=sum(map(has_second_factor, people)),
    )


def has_second_factor(account: Account) -> bool:
    """Return whether an account needs more than a password: a key, an application, a provider."""
    if account.passkeys or account.subject is not None:
        return True
    more = account.totp_secret is not None or bool(account.printed)
    return account.password_hash is not None and more


def find_reachable(directory: RealmDirectory, tokens: Iterable[str]) -> Iterator[str]:
    """Yield the people with a number or an address in the directory."""
    for person in tokens:
        contact = directory.peek(person)
        if contact is not None and contact.points:
            yield person


def map_confirmations(traces: Iterable[Trace]) -> dict[str, datetime]:
    """Return version → time of the last confirmation, from the register."""
    confirmations: dict[str, datetime] = {}
    for trace in traces:
        if trace.act == CONFIRMED:
            at = to_datetime(trace.at)
            confirmations[trace.about] = max(at, confirmations.get(trace.about, at))
    return confirmations
