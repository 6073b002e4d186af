"""Manage tokens, accounts and sources over HTTP, even while console and store are down.

`vigie token`, `vigie user` and `vigie source` use these routes.
"""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import pyotp
import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.base import DAY_MS
from schemas.topics import RealmNameInvalid, parse_realm
from services.intake.http.exchange import (
    BodyReader,
    Receive,
    Scope,
    Send,
    get_header,
    read_page_request,
    send_json,
)
from services.intake.integrations.registry import NewSource, SourceChange, SourceRegistry
from services.intake.reports.native import build_validation_problem
from services.runtime.http.pagination import SortKey, paginate
from services.runtime.http.problems import (
    ProblemError,
    build_conflict,
    build_field_problem,
    build_unknown_problem,
)
from services.runtime.identity.accounts import (
    CODE_LIFE_MS,
    LOCAL_ADMIN,
    AccessStore,
    LoginTaken,
    UnknownPrincipal,
    create_principal,
    generate_code,
)
from services.runtime.identity.passwords import PasswordRefused
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Role
from services.runtime.identity.principals import (
    MAX_LOGIN_CHARS,
    SIMULATED_REALMS,
    Account,
    Principal,
    Token,
    include_exercises,
    is_valid_login,
)
from services.runtime.identity.principals import Scope as Limits
from services.runtime.identity.sessions import PRINTED_CODE_COUNT, Sessions
from services.runtime.process.machine import now_ms

LINK_LIFE_MS: Final = 7 * DAY_MS
"""So long an identity of the provider may take an account that an administrator has released."""
TOKEN_DAYS: Final = 365
"""Life of a token of which nothing else is said."""
_AUDIT_ACTIONS = {
    "enable": "account.enabled",
    "disable": "account.disabled",
    "sign-out": "sessions.ended",
    "unlink": "account.unlinked",
    "link": "account.link_allowed",
}
"""Action written to the audit trail for each change of an account."""
log = structlog.get_logger(__name__)


class _AdministrationBody(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_B = TypeVar("_B", bound=BaseModel)
_T = TypeVar("_T")


class NewToken(_AdministrationBody):
    """A token for a new principal, or another one for `principal`."""

    role: Role | None = None
    principal: str | None = Field(default=None, max_length=64)
    label: str = Field(default="", max_length=100)
    duty: str | None = Field(default=None, max_length=64)
    speaks_as: str | None = Field(default=None, max_length=64)
    scope: Limits = Limits()
    days: int | None = Field(
        default=None,
        ge=0,
        le=3650,
        description=f"valid for so many days; 0 until it is revoked, null {TOKEN_DAYS}. "
        "Without a number the key of a source and the token of this machine do not end",
    )
    rate_per_s: float | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="largest number of reports per second; 0 = no limit",
    )


class NewUser(_AdministrationBody):
    login: str = Field(min_length=1, max_length=MAX_LOGIN_CHARS)
    role: Role
    duty: str | None = Field(default=None, max_length=64)
    scope: Limits = Limits()
    person: str | None = Field(default=None, max_length=64, description="token in the directory")


class NewPassword(_AdministrationBody):
    password: str = Field(max_length=500)


class NewSecondFactor(_AdministrationBody):
    """`secret` is the key shown to the person, `second` the code that their device shows now."""

    secret: str = Field(min_length=16, max_length=64, pattern="^[A-Z2-7]+$")
    second: str = Field(min_length=6, max_length=8)


class Administration:
    """Handlers of administration routes. The front has checked `access.admin`.

    All raise ProblemError and BrokerAway.
    """

    def __init__(
        self, access: AccessStore, sessions: Sessions, reader: BodyReader, registry: SourceRegistry
    ) -> None:
        self._access = access
        self._registry = registry
        self._sessions = sessions
        self._reader = reader

    async def list_sources(self, reader: Principal, scope: Scope, send: Send) -> None:
        """List the sources of the reader's realms with their health, never with a key."""
        sources = self._registry.list_sources(reader)
        page = _build_page(scope, sources, lambda one: (one["name"],), lambda one: one)
        await send_json(send, 200, page)

    async def handle(
        self,
        author: Principal,
        method: str,
        parts: list[str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Route one request.

        `parts` is the path below `/api/v1`, such as `["tokens", "t-1"]`. `method` is GET for HEAD,
        too.
        """
        status, document = await self._answer(author, method, parts, scope, receive)
        await send_json(send, status, document)

    async def _answer(
        self, author: Principal, method: str, parts: list[str], scope: Scope, receive: Receive
    ) -> tuple[int, dict[str, Any]]:
        """Return status and document of the answer."""
        match method, *parts:
            case "GET", "tokens":
                tokens = self._access.all(Token)
                return 200, _build_page(
                    scope, tokens, lambda t: (t.created_at, t.id), self._shown_token
                )
            case "POST", "tokens":
                new_token = await self._body(NewToken, scope, receive)
                return 201, await self._new_token(new_token, author)
            case "DELETE", "tokens", id:
                await self._revoke(id, author)
                return 200, {"id": id, "revoked": True}
            case "GET", "users":
                accounts = self._access.all(Account)
                return 200, _build_page(
                    scope, accounts, lambda a: (a.login.casefold(), a.id), self._shown_user
                )
            case "POST", "users":
                new_user = await self._body(NewUser, scope, receive)
                return 201, await self._new_user(new_user, author)
            case "POST", "users", login, "code":
                return 201, await self._new_code(login, author)
            case "POST", "users", login, (
                "enable" | "disable" | "sign-out" | "unlink" | "link"
            ) as verb:
                return 200, await self._change(login, verb, author)
            case "POST", "users", login, "password":
                new_password = await self._body(NewPassword, scope, receive)
                await self._new_password(login, new_password, author)
                return 200, self._shown_user(self._account(login))
            case "POST", "users", login, "second-factor":
                new_factor = await self._body(NewSecondFactor, scope, receive)
                return 200, await self._second_factor(login, new_factor, author)
            case "POST", "sources":
                new_source = await self._body(NewSource, scope, receive)
                return 201, await self._registry.add(new_source, author)
            case "PATCH", "sources", name:
                change = await self._body(SourceChange, scope, receive)
                return 200, await self._registry.change(name, change, author)
            case "POST", "sources", name, ("enable" | "disable") as verb:
                return 200, await self._registry.set_enabled(name, author, enabled=verb == "enable")
            case _, "tokens" | "users" | "sources", *_:
                raise ProblemError("method_not_allowed", allowed="GET, HEAD, POST, PATCH, DELETE")
            case _:
                raise ProblemError("not_found")

    async def _body(self, model: type[_B], scope: Scope, receive: Receive) -> _B:
        raw = await self._reader.read(scope, receive)
        self._reader.room.give_back(len(raw))
        kind = (
            (get_header(scope, b"content-type") or "application/json")
            .partition(";")[0]
            .strip()
            .lower()
        )
        if kind != "application/json":
            raise ProblemError("media_type", expected="application/json")
        try:
            return model.model_validate_json(raw.removeprefix(BOM_UTF8))
        except ValidationError as error:
            raise build_validation_problem(error) from None

    async def _new_token(self, new_token: NewToken, author: Principal) -> dict[str, Any]:
        if new_token.principal is not None:
            principal = self._access.principal(new_token.principal)
            if principal is None:
                raise build_unknown_problem(
                    "principal", "personne de ce nom", "no account of this name"
                )
        elif new_token.role is None:
            raise build_field_problem(
                "role", "missing", "un rôle ou un « principal »", "a role or a “principal”"
            )
        else:
            check_realms(new_token.scope)
            principal = create_principal(
                new_token.role,
                duty=new_token.duty,
                scope=new_token.scope,
                speaks_as=new_token.speaks_as,
                label=new_token.label,
            )
            principal = principal.model_copy(update={"rate_per_s": new_token.rate_per_s})
        days = self._life_of(principal) if new_token.days is None else new_token.days
        expires = now_ms() + days * DAY_MS if days else None
        token_id, token = await self._access.create_token(principal, expires_at=expires)
        self._access.trace(author, "token.created", token_id)
        log.info(
            "token.created",
            token=token_id,
            principal=principal.id,
            role=principal.role.value,
            author=author.id,
        )
        return {
            "id": token_id,
            "token": token,
            "principal": principal.model_dump(mode="json"),
            "expires_at": expires,
        }

    def _life_of(self, principal: Principal) -> int:
        """Return the default days of a token; 0 for machines, since an end would cut them off."""
        return (
            0
            if principal.id == LOCAL_ADMIN or self._access.source(principal.id) is not None
            else TOKEN_DAYS
        )

    async def _revoke(self, id: str, author: Principal) -> None:
        try:
            await self._access.revoke_token(id)
        except UnknownPrincipal:
            raise build_unknown_problem(
                "id", "aucun jeton de ce nom", "no token of this name"
            ) from None
        self._access.trace(author, "token.revoked", id)
        log.info("token.revoked", token=id, author=author.id)

    async def _new_user(self, new_user: NewUser, author: Principal) -> dict[str, Any]:
        if not is_valid_login(new_user.login):
            raise build_field_problem(
                "login",
                "login",
                "caractères visibles, sans espace autour",
                "visible characters, without spaces around them",
            )
        check_realms(new_user.scope)
        scope = include_exercises(new_user.scope)
        principal = create_principal(new_user.role, duty=new_user.duty, scope=scope).model_copy(
            update={"person": new_user.person}
        )
        try:
            await self._access.add_account(principal, new_user.login)
        except LoginTaken:
            raise build_conflict(
                f"Identifiant {new_user.login!r} : déjà pris.",
                f"Login {new_user.login!r}: taken already.",
            ) from None
        self._access.trace(author, "account.created", principal.id)
        log.info("user.created", user=principal.id, role=principal.role.value, author=author.id)
        return await self._new_code(new_user.login, author) | self._shown_user(
            self._account(new_user.login)
        )

    async def _new_code(self, login: str, author: Principal) -> dict[str, Any]:
        account = self._account(login)
        expires = now_ms() + CODE_LIFE_MS
        code = await self._access.issue_code(account.id, expires_at=expires)
        self._access.trace(author, "code.issued", account.id)
        log.info("user.code_issued", user=account.id, author=author.id)
        return {"code": code, "expires_at": expires}

    async def _change(self, login: str, verb: str, author: Principal) -> dict[str, Any]:
        if verb == "sign-out" and login == LOCAL_ADMIN and self._access.account(login) is None:
            await self._access.end_sessions(LOCAL_ADMIN)
        account = self._account(login)
        if verb == "disable" and account.id == author.id:
            raise build_conflict(
                "On ne ferme pas son propre compte.", "You cannot disable your own account."
            )
        if verb == "sign-out":
            await self._access.end_sessions(account.id)
        elif verb == "link":
            await self._access.put(
                account.model_copy(update={"link_until": now_ms() + LINK_LIFE_MS})
            )
        elif verb == "unlink":
            await self._access.put(
                account.model_copy(update={"subject": None, "epoch": account.epoch + 1})
            )
        else:
            await self._access.set_enabled(account.id, enabled=verb == "enable")
        self._access.trace(author, _AUDIT_ACTIONS[verb], account.id)
        log.info("user.changed", change=verb, user=account.id, author=author.id)
        return self._shown_user(self._account(login))

    async def _new_password(self, login: str, new_password: NewPassword, author: Principal) -> None:
        account = self._account(login)
        try:
            await self._sessions.set_password(account, new_password.password)
        except PasswordRefused as error:
            raise ProblemError("invalid", faults=(error.fault,)) from None
        self._access.trace(author, "password.set", account.id)
        log.info("user.password_set", user=account.id, author=author.id)

    async def _second_factor(
        self, login: str, new_factor: NewSecondFactor, author: Principal
    ) -> dict[str, Any]:
        account = self._account(login)
        printed_codes = [generate_code() for _ in range(PRINTED_CODE_COUNT)]
        try:
            await self._sessions.enrol_second_factor(
                account, new_factor.secret, new_factor.second, printed_codes
            )
        except ProblemError:
            raise build_field_problem(
                "second", "totp", "ce n’est pas le code affiché", "not the code that is shown"
            ) from None
        self._access.trace(author, "second_factor.set", account.id)
        log.info("user.second_factor_set", user=account.id, author=author.id)
        return {
            "printed": printed_codes,
            "uri": pyotp.TOTP(new_factor.secret).provisioning_uri(
                name=account.login, issuer_name="Vigie"
            ),
        }

    def _account(self, login: str) -> Account:
        if (account := self._access.account(login)) is None:
            raise build_unknown_problem(
                "login", "aucun compte de ce nom", "no account of this name"
            )
        return account

    def _principal_of(self, id: str) -> Principal | None:
        return next((p for p in self._access.all(Principal) if p.id == id), None)

    def _shown_token(self, token: Token) -> dict[str, Any]:
        principal = self._principal_of(token.principal)
        return token.model_dump(exclude={"hash"}) | {
            "role": principal and principal.role,
            "label": principal and principal.label,
            "scope": principal and principal.scope.model_dump(),
        }

    def _shown_user(self, account: Account) -> dict[str, Any]:
        principal = self._principal_of(account.id)
        return {
            "id": account.id,
            "login": account.login,
            "role": principal and principal.role,
            "duty": principal and principal.duty,
            "scope": principal and principal.scope.model_dump(),
            "enabled": principal is not None and principal.disabled_at is None,
            "has_password": account.password_hash is not None,
            "has_second_factor": account.totp_secret is not None,
            "passkeys": len(account.passkeys),
            "linked": account.subject is not None,
        }


def check_realms(limits: Limits) -> None:
    """Refuse a limit to something that is no realm. Raises ProblemError `invalid`."""
    for name in limits.realms:
        try:
            parse_realm(name.removesuffix(SIMULATED_REALMS))
        except RealmNameInvalid:
            raise build_field_problem(
                "scope.realms",
                "realm",
                "nom d’un territoire ou d’un exercice attendu",
                "the name of a realm is expected",
            ) from None


def _build_page(
    scope: Scope, items: Iterable[_T], key: Callable[[_T], SortKey], shape: Callable[[_T], Any]
) -> dict[str, Any]:
    part = read_page_request(scope)
    page_items, following = paginate(items, key, part.limit, part.cursor)
    return {"items": [shape(one) for one in page_items], "next": following}


def describe_principal(principal: Principal) -> dict[str, Any]:
    """Return the answer of `GET /api/v1/whoami`."""
    return {
        "id": principal.id,
        "role": principal.role,
        "acting_role": principal.acting_role,
        "source": principal.source_kind,
        "scope": principal.scope.model_dump(),
        "permissions": sorted(PERMISSIONS_BY_ROLE[principal.role]),
    }
