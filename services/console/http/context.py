"""Collect the context of a request: principal, realm, time and language."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any, Final, TypeVar, get_args

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from schemas.base import Instant
from schemas.topics import RealmNameInvalid, get_territory, parse_realm
from services.console.http.decisions import IdempotencyKey
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.problems import RealmUnknown
from services.console.read_model.queries import ReadModel
from services.console.resources import Page, Resource
from services.runtime.http.pagination import paginate_preordered
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.http.request_headers import choose_language, read_key
from services.runtime.identity.http_access import require_permission
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.secrets.vault import VaultDirectory

Limit = Annotated[int, Query(ge=1, le=1000)]
AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description=(
            "state of knowledge at this time (ISO 8601 with offset); a future time means now"
        ),
    ),
]
Cursor = Annotated[str | None, Query(max_length=400)]
R = TypeVar("R", bound=Resource)
V = TypeVar("V", bound=str)


def _split_values(raw_value: object) -> object:
    return (
        [value for one in raw_value for value in str(one).split(",") if value]
        if isinstance(raw_value, list)
        else raw_value
    )


Multiple = Annotated[
    list[V], Query(default_factory=list, max_length=50), BeforeValidator(_split_values)
]
"""A filter by values of this kind: repeated, or separated by commas. Invalid values get 422."""
MAX_UNKNOWN: Final = 20
"""Unknown fields of a body that the answer lists."""
_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(AwareDatetime)
_EARLIEST: Final = int(datetime(2, 1, 1, tzinfo=UTC).timestamp() * 1000)
_LATEST: Final = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""Between `_EARLIEST` and this every instant has a date, in UTC and in Paris."""


@dataclass(frozen=True, slots=True)
class ReadContext:
    principal: Principal
    realm: str
    as_of: Instant | None
    lang: str
    queries: ReadModel

    @property
    def model(self) -> ReadModel:
        """Queries about this realm as of `as_of`, in this language."""
        return self.queries.of(self.realm, self.lang).at(self.as_of)


@dataclass(frozen=True, slots=True)
class DecisionContext:
    principal: Principal
    realm: str
    lang: str
    key: IdempotencyKey | None
    expected_version: int | None
    """If-Match: a version that counts decisions."""
    wait_s: float
    request: Request
    account: Principal
    """The principal with its person, also in a realm where that person is unknown."""

    @property
    def model(self) -> ReadModel:
        """Queries about this realm, in this language."""
        model: ReadModel = self.request.app.state.model
        return model.of(self.realm, self.lang)

    def within(self, body: "DecisionBody | None") -> "DecisionContext":
        """Return the same author in the realm of the body.

        Raises RealmUnknown, ProblemError `out_of_scope`.
        """
        if body is None or body.realm is None:
            return self
        realm = check_realm(self.request, self.account, body.realm)
        principal = localize_principal(self.request, self.account, realm)
        return replace(self, realm=realm, principal=principal)


Id = Annotated[str, Field(max_length=128)]
"""Id or code of an object in a body: longer than any, short enough for every record."""


class DecisionBody(BaseModel):
    """A decision's body; `reason` is free text and goes to the encrypted texts."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    realm: str | None = Field(default=None, max_length=64, description="same as `?realm=`")
    reason: str | None = Field(default=None, max_length=4000)


def to_instant(at: datetime) -> Instant:
    """Convert to ms UTC."""
    return int(at.timestamp() * 1000)


def parse_time(text: str, name: str = "as_of") -> Instant:
    """Parse ISO 8601 with offset, or ms. Raises ProblemError `invalid`.

    A `+` that a URL turned into a space is accepted.
    """
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return check_date(int(text), name)
    iso_text = re.sub(r" (?=\d\d:?\d\d$)", "+", text.strip())
    if re.match(r"[0-9]{4}-", iso_text):  # pydantic takes any other number for seconds
        with suppress(ValidationError, OverflowError):
            return check_date(to_instant(_TIME.validate_python(iso_text)), name)
    raise build_field_problem(name, "datetime", *_NO_TIME)


def check_date(at: Instant, name: str) -> Instant:
    """Return an instant that has a date in every zone. Raises ProblemError `invalid`."""
    if not _EARLIEST <= at < _LATEST:
        raise build_field_problem(name, "datetime", *_NO_TIME)
    return at


_NO_TIME: Final = (
    "doit être une date ISO 8601 avec son décalage",
    "must be an ISO 8601 time with its offset",
)


RealmName = Annotated[
    str | None, Query(max_length=64, description="default: the live realm of the territory")
]


def get_default_realm(request: Request, principal: Principal) -> str:
    """Return the realm of a request that names none.

    It is this machine's live realm. An account that does not see that one has the first realm of
    its scope.
    """
    live = str(request.app.state.live_realm)
    return live if principal.sees(live) else principal.own_realm(live)


def localize_principal(request: Request, principal: Principal, realm: str) -> Principal:
    """Return an account without its person in a realm where that person is unknown. Rule D140."""
    if principal.person is None:
        return principal
    directory: VaultDirectory = request.app.state.directory
    if principal.person_in(realm, directory.home_realm) is not None:
        return principal
    return principal.model_copy(update={"person": None})


def check_realm(request: Request, principal: Principal, requested_realm: str | None) -> str:
    """Return the realm of a request, see `get_default_realm`.

    Raises RealmUnknown, ProblemError `out_of_scope`.
    """
    realm = requested_realm or get_default_realm(request, principal)
    try:
        parse_realm(realm)
    except RealmNameInvalid:
        raise RealmUnknown from None
    if not principal.sees(realm):
        raise ProblemError("out_of_scope", field="realm")
    return realm


def check_live_realm(request: Request, principal: Principal, requested_realm: str | None) -> str:
    """Return the live realm of the territory of a request's realm.

    Raises RealmUnknown, ProblemError `out_of_scope`.
    """
    realm = check_realm(request, principal, requested_realm)
    return check_realm(request, principal, get_territory(realm))


def require_read(permission: Permission) -> Callable[..., AsyncIterator[ReadContext]]:
    """Return a dependency for reads that need this right.

    Reads of the past wait for the user's turn.
    """
    who = require_permission(permission)

    async def dependency(
        request: Request,
        # a default, because an annotation could not see the local variable
        principal: Principal = Depends(who),  # noqa: B008
        realm: RealmName = None,
        as_of: AsOf = None,
    ) -> AsyncIterator[ReadContext]:
        at = parse_time(as_of) if as_of else None
        lang = choose_language(request.headers.get("accept-language"))
        realm_name = check_realm(request, principal, realm)
        local = localize_principal(request, principal, realm_name)
        reader = ReadContext(local, realm_name, at, lang, request.app.state.model)
        if at is None or request.url.path.endswith("/stream"):
            yield reader
            return
        costs: ExpensiveWork = request.app.state.costs
        async with costs.past.hold_place(principal.id):
            yield reader

    return dependency


def require_decision(
    permission: Permission, *, whole_territory: bool = False
) -> Callable[..., Awaitable[DecisionContext]]:
    """Return a dependency for decisions that need this right.

    `whole_territory` admits only accounts without a limit of sites and pôles.
    """
    who = require_permission(permission)

    async def dependency(
        request: Request,
        # a default, because an annotation could not see the local variable
        principal: Principal = Depends(who),  # noqa: B008
        realm: RealmName = None,
    ) -> DecisionContext:
        if whole_territory:
            check_whole_territory(principal)
        request.state.unknown_fields = await _find_unknown_fields(request)
        realm_name = check_realm(request, principal, realm)
        return DecisionContext(
            localize_principal(request, principal, realm_name),
            realm_name,
            choose_language(request.headers.get("accept-language")),
            await _parse_idempotency_key(request),
            _parse_if_match(request),
            _parse_wait(request),
            request,
            principal,
        )

    return dependency


async def _find_unknown_fields(request: Request) -> list[str]:
    """List fields of the body that this version does not know.

    They have no effect; reporting them reveals typing errors.
    """
    body = getattr(request.scope.get("route"), "body_field", None)
    if body is None:
        return []
    annotation = body.field_info.annotation
    models = [
        m
        for m in (annotation, *get_args(annotation))
        if isinstance(m, type) and issubclass(m, BaseModel)
    ]
    try:
        document = await request.json()
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict) or not models:
        return []
    valid_fields = {
        field.alias or name for model in models for name, field in model.model_fields.items()
    }
    unknown = sorted(document.keys() - valid_fields)[:MAX_UNKNOWN]
    return [name[:64].encode("utf-8", "replace").decode() for name in unknown]


async def _parse_idempotency_key(request: Request) -> IdempotencyKey | None:
    key = read_key(request.headers.get("idempotency-key"))
    return None if key is None else IdempotencyKey(key, await _hash_request(request))


async def _hash_request(request: Request) -> str:
    """Hash the request: its address, its version and its body, however the JSON is formatted."""
    body = await request.body()
    with suppress(ValueError, TypeError):  # no JSON, or nested too deeply
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    parts = (
        request.method,
        request.url.path,
        request.url.query,
        request.headers.get("if-match", ""),
    )
    return blake2b("\x1f".join(parts).encode() + b"\x1f" + body, digest_size=16).hexdigest()


def _parse_if_match(request: Request) -> int | None:
    raw = request.headers.get("if-match")
    if raw is None or raw.strip() == "*":
        return None
    version_match = re.fullmatch(r'\s*(?:W/)?"?(\d{1,12})"?\s*', raw)
    if version_match is None:
        raise ProblemError("if_match_invalid")
    return int(version_match[1])


def _parse_wait(request: Request) -> float:
    """Return the seconds of `Prefer: wait=N` (RFC 7240); 2 by default."""
    wait_match = re.search(r"\bwait=(\d{1,3})\b", request.headers.get("prefer", ""))
    return float(wait_match[1]) if wait_match else 2.0


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Page limits of a list that is in its own order."""

    limit: int
    cursor: str | None

    def of(
        self, items: Sequence[R], key: Callable[[Any], str] = lambda item: str(item.id)
    ) -> Page[R]:
        """Return the page; `key` must be unique. Raises CursorInvalid."""
        page_items, following = paginate_preordered(items, key, self.limit, self.cursor)
        return Page(items=page_items, next=following)


def _parse_page_limits(limit: Limit = 1000, cursor: Cursor = None) -> PageLimits:
    return PageLimits(limit, cursor)


def check_scope(
    principal: Principal, *, sites: Iterable[str] = (), poles: Iterable[str] = ()
) -> None:
    """Check that the decision touches the principal's sites and pôles.

    Raises ProblemError `out_of_scope`.
    """
    scope = principal.scope
    if scope.sites and not set(scope.sites) & set(sites):
        raise ProblemError("out_of_scope", field="site")
    if scope.poles and not set(scope.poles) & set(poles):
        raise ProblemError("out_of_scope", field="pole")


def is_limited(principal: Principal) -> bool:
    """Return whether the principal is limited to some sites or pôles."""
    return bool(principal.scope.sites or principal.scope.poles)


def check_whole_territory(principal: Principal, field: str = "territory") -> None:
    """Refuse a principal that is limited to some sites or pôles.

    Raises ProblemError `out_of_scope`.
    """
    if is_limited(principal):
        raise ProblemError("out_of_scope", field=field)


def set_etag(response: Response, version: int) -> None:
    """Set the version of a resource as `ETag`, for `If-Match` on decisions that may collide."""
    response.headers["ETag"] = f'"{version}"'


def get_server_time() -> datetime:
    return datetime.now(UTC)


PageRequest = Annotated[PageLimits, Depends(_parse_page_limits)]
RealmReader = Annotated[ReadContext, Depends(require_read(Permission.PICTURE_READ))]
LogReader = Annotated[ReadContext, Depends(require_read(Permission.LOG_READ))]
