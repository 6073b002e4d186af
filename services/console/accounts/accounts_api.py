"""Serve accounts of people as a table under `/api/v1/accounts`, without any secret.

An import opens accounts and gives each a one-time code; it changes no right. Rules D56 and D59.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from schemas.topics import is_live
from services.console.accounts.account_file import AccountRow, AllowedIds, read_accounts
from services.console.accounts.accounts_page import PERSON_ROLES
from services.console.exports.formats import TABLE_RESPONSES, TableForm
from services.console.exports.line_faults import (
    TABLE_BODY,
    LineFault,
    TableInvalid,
    convert_line_faults,
    decode_table,
    describe_line_faults,
)
from services.console.exports.tables import Column, FileNaming, build_csv_response
from services.console.http.context import (
    PageRequest,
    RealmName,
    check_live_realm,
    check_whole_territory,
)
from services.console.i18n import Translator, get_translator
from services.console.resources import Page, Resource
from services.runtime.http.problems import ProblemError
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.accounts import (
    CODE_LIFE_MS,
    AccessStore,
    LoginTaken,
    create_principal,
)
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import (
    SIMULATED_REALMS,
    Account,
    Principal,
    normalize_login,
)
from services.runtime.kafka.clients import BrokerAway
from services.runtime.process.machine import now_ms

router = APIRouter(prefix="/api/v1/accounts", tags=["accounts"])
Administrator = Annotated[Principal, Depends(require_permission(Permission.ACCESS_ADMIN))]
log = structlog.get_logger(__name__)


class AccountRights(Resource):
    """An account of a person, without any secret."""

    login: str
    role: Role
    duty: str | None
    person: str | None
    sites: list[str]
    poles: list[str]
    realms: list[str]
    enabled: bool


class AccountCode(Resource):
    """A new account, with the one-time code that opens its first session."""

    login: str
    role: Role
    code: str = Field(description="valid for two days, shown this once")


class AccountsImport(Resource):
    """The effect of a file on the accounts."""

    written: bool = Field(description="false for a trial, and for a file with faults")
    added: int = Field(description="accounts to open, or opened")
    same: int = Field(description="accounts of the file that are open already, with these rights")
    codes: list[AccountCode]
    faults: list[str] = Field(description="the first 20 faults, with their line")
    text: str


COLUMNS: Final[Sequence[Column[AccountRights]]] = (
    Column("login", lambda row: row.login),
    Column("role", lambda row: row.role.value),
    Column("duty", lambda row: row.duty),
    Column("person", lambda row: row.person),
    Column("sites", lambda row: " ".join(row.sites)),
    Column("poles", lambda row: " ".join(row.poles)),
    Column("realms", lambda row: " ".join(row.realms)),
    Column("enabled", lambda row: row.enabled),
)
"""Columns as the import reads them; it ignores the last one."""


@router.get(
    "",
    response_model=Page[AccountRights],
    responses=TABLE_RESPONSES,
    summary="List accounts of people with their rights, without any secret",
)
async def list_accounts(
    request: Request,
    author: Administrator,
    part: PageRequest,
    form: TableForm,
    realm: RealmName = None,
) -> Page[AccountRights] | Response:
    territory = check_live_realm(request, author, realm)
    check_whole_territory(author)
    access: AccessStore = request.app.state.access
    entries = _list_entries(access, author)
    if form == "csv":
        access.trace(author, "accounts.exported", f"{len(entries)}")
        lang = choose_language(request.headers.get("accept-language"))
        return build_csv_response(COLUMNS, entries, FileNaming(territory, "comptes", lang))
    return part.of(entries, lambda one: normalize_login(one.login))


@router.post(
    "/import",
    openapi_extra=TABLE_BODY,
    summary="Open the accounts of a CSV file, as exported; each gets a one-time code. `dry_run` "
    "checks only",
)
async def import_accounts(
    request: Request, author: Administrator, realm: RealmName = None, dry_run: bool = False
) -> AccountsImport:
    territory = check_live_realm(request, author, realm)
    check_whole_territory(author)
    _ = get_translator(choose_language(request.headers.get("accept-language")))
    access: AccessStore = request.app.state.access
    allowed_ids = await _list_allowed_ids(request, author, territory)
    content = await request.body()
    try:
        accounts, same = await asyncio.to_thread(
            _read_file, content, allowed_ids, _map_accounts(access)
        )
    except TableInvalid as error:
        if not dry_run:
            raise ProblemError("invalid", faults=convert_line_faults(error.faults, _)) from error
        return _build_refusal(error.faults, _)
    if dry_run:
        return _build_answer(accounts, same, None, _)
    codes = await _open_accounts(access, author, accounts)
    log.info("users.imported", by=author.id, added=len(codes), of=len(accounts))
    return _build_answer(accounts, same, codes, _)


def _list_entries(access: AccessStore, reader: Principal) -> list[AccountRights]:
    """List the accounts of people, by login; a reader with limits of realms sees the own only."""
    principals = {p.id: p for p in access.all(Principal) if p.role in PERSON_ROLES}
    accounts = [
        account
        for account in access.all(Account)
        if account.id in principals and reader.sees_account(principals[account.id])
    ]
    return [
        AccountRights(
            login=account.login,
            role=principal.role,
            duty=principal.duty,
            person=principal.person,
            sites=list(principal.scope.sites),
            poles=list(principal.scope.poles),
            realms=[r for r in principal.scope.realms if not r.endswith(SIMULATED_REALMS)],
            enabled=principal.disabled_at is None,
        )
        for account in sorted(accounts, key=lambda one: normalize_login(one.login))
        for principal in (principals[account.id],)
    ]


def _map_accounts(access: AccessStore) -> dict[str, AccountRow]:
    principals = {p.id: p for p in access.all(Principal)}
    return {
        normalize_login(account.login): AccountRow(
            account.login, principal.role, principal.duty, principal.person, principal.scope
        )
        for account in access.all(Account)
        if (principal := principals.get(account.id)) is not None
    }


async def _list_allowed_ids(request: Request, author: Principal, territory: str) -> AllowedIds:
    model = request.app.state.model.of(territory)
    reference = await model.reference()
    realms = [one.name for one in await model.realms() if is_live(one.name)]
    return AllowedIds(
        duties=frozenset(reference.names.roles),
        sites=frozenset(reference.sites),
        poles=frozenset(reference.poles),
        realms=frozenset(name for name in realms if author.sees(name)),
    )


def _read_file(
    content: bytes, allowed_ids: AllowedIds, existing: dict[str, AccountRow]
) -> tuple[list[AccountRow], int]:
    """Read a file. Raises TableInvalid."""
    return read_accounts(decode_table(content), allowed_ids, existing)


async def _open_accounts(
    access: AccessStore, author: Principal, accounts: Sequence[AccountRow]
) -> list[AccountCode]:
    """Open accounts and return their codes; those opened so far if the broker goes away.

    The same file again opens the rest. Raises ProblemError `broker_away` if none could be opened.
    """
    codes: list[AccountCode] = []
    for row in accounts:
        try:
            code = await _open_account(access, author, row)
        except BrokerAway as error:
            if codes:
                break
            raise ProblemError("broker_away", retry_after_s=2) from error
        except LoginTaken:  # somebody opened it meanwhile
            continue
        codes.append(code)
    return codes


async def _open_account(access: AccessStore, author: Principal, row: AccountRow) -> AccountCode:
    principal = create_principal(row.role, duty=row.duty, scope=row.scope).model_copy(
        update={"person": row.person}
    )
    await access.add_account(principal, row.login)
    access.trace(author, "account.created", principal.id)
    expires_at = now_ms() + CODE_LIFE_MS
    code = await access.issue_code(principal.id, expires_at=expires_at)
    access.trace(author, "code.issued", principal.id)
    return AccountCode(login=row.login, role=row.role, code=code)


def _build_answer(
    accounts: Sequence[AccountRow], same: int, codes: list[AccountCode] | None, _: Translator
) -> AccountsImport:
    """Build the answer about accounts that were opened; without codes, about those of a check."""
    ready = _.plural("{n} compte à ouvrir", "{n} comptes à ouvrir", len(accounts))
    same_text = _.plural(
        "{n} déjà ouvert avec ces droits", "{n} déjà ouverts avec ces droits", same
    )
    if codes is None:
        text = _("{ready}, {known}. Rien n’est encore écrit.", ready=ready, known=same_text)
    else:
        opened_text = _.plural("{n} compte ouvert", "{n} comptes ouverts", len(codes))
        lines = [_("{opened}, {known}.", opened=opened_text, known=same_text)]
        if len(codes) < len(accounts):
            lines.append(
                _("L’import s’est arrêté avant la fin : importez le même fichier à nouveau.")
            )
        if codes:
            lines.append(
                _(
                    "Codes à usage unique, valables deux jours, affichés une seule fois : imprimez-les."
                )
            )
        lines += [f"{one.login} : {one.code}" for one in codes]
        text = "\n".join(lines)
    return AccountsImport(
        written=bool(codes),
        added=len(accounts) if codes is None else len(codes),
        same=same,
        codes=codes or [],
        faults=[],
        text=text,
    )


def _build_refusal(faults: Sequence[LineFault], _: Translator) -> AccountsImport:
    sentences, text = describe_line_faults(faults, _)
    return AccountsImport(written=False, added=0, same=0, codes=[], faults=sentences, text=text)
