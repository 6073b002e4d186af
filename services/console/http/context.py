"""What every route needs: who asks, about which realm, at what time, in which language."""

from __future__ import annotations

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
from schemas.realms import RealmNameInvalid, parse_realm
from services.console.http.decisions import Key
from services.console.http.fair_queue import Costs
from services.console.http.problems import RealmUnknown
from services.console.read_model.queries import ReadModel
from services.console.resources import Page, Resource
from services.runtime.http.idempotency_key import key_in
from services.runtime.http.pagination import cut
from services.runtime.http.problems import ProblemError, fault, language_of
from services.runtime.identity.http_access import allowed
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal

Limit = Annotated[int, Query(ge=1, le=1000)]
AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="what was known at this time (ISO 8601 with offset); a time to come is now",
    ),
]
Cursor = Annotated[str | None, Query(max_length=400)]
R = TypeVar("R", bound=Resource)
V = TypeVar("V", bound=str)


def _split(given: object) -> object:
    return (
        [value for one in given for value in str(one).split(",") if value]
        if isinstance(given, list)
        else given
    )


Several = Annotated[list[V], Query(default_factory=list, max_length=50), BeforeValidator(_split)]
"""A filter by words of this kind: it may be repeated, or hold several separated by commas. What is no such word is refused (422)."""
MOST_UNKNOWN: Final = 20
"""Unknown fields of a body that are named."""
_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(AwareDatetime)
_EARLIEST: Final = int(datetime(2, 1, 1, tzinfo=UTC).timestamp() * 1000)
_LATEST: Final = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp() * 1000)
"""Between them every instant has a date, in UTC and in Paris."""


@dataclass(frozen=True, slots=True)
class Reader:
    """The context of a read."""

    principal: Principal
    realm: str
    as_of: Instant | None
    lang: str
    model: ReadModel


@dataclass(frozen=True, slots=True)
class Author:
    """The context of a decision."""

    principal: Principal
    realm: str
    lang: str
    key: Key | None
    expected: int | None
    """If-Match: a version that counts decisions."""
    wait_s: float
    request: Request

    @property
    def model(self) -> ReadModel:
        model: ReadModel = self.request.app.state.model
        return model

    def within(self, body: Body | None) -> Author:
        """The same author in the realm that the body names. Raises RealmUnknown, ProblemError `out_of_scope`."""
        if body is None or body.realm is None:
            return self
        return replace(self, realm=checked_realm(self.request, self.principal, body.realm))


class Body(BaseModel):
    """A decision's body; `reason` is free text and goes to the encrypted texts."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    realm: str | None = Field(default=None, description="as `?realm=`")
    reason: str | None = Field(default=None, max_length=4000)


def instant(at: datetime) -> Instant:
    """ms UTC."""
    return int(at.timestamp() * 1000)


def parse_time(text: str, name: str = "as_of") -> Instant:
    """ISO 8601 with offset, or ms. A `+` that a URL turned into a space is understood. Raises ProblemError `invalid`."""
    if re.fullmatch(r"-?[0-9]{1,15}", text):
        return dated(int(text), name)
    written = re.sub(r" (?=\d\d:?\d\d$)", "+", text.strip())
    if re.match(r"[0-9]{4}-", written):  # pydantic takes any other number for seconds
        with suppress(ValidationError, OverflowError):
            return dated(instant(_TIME.validate_python(written)), name)
    raise ProblemError("invalid", faults=(fault(name, "datetime", *_NO_TIME),))


def dated(at: Instant, name: str) -> Instant:
    """An instant that has a date in every zone. Raises ProblemError `invalid`."""
    if not _EARLIEST <= at < _LATEST:
        raise ProblemError("invalid", faults=(fault(name, "datetime", *_NO_TIME),))
    return at


_NO_TIME: Final = (
    "doit être une date ISO 8601 avec son décalage",
    "must be an ISO 8601 time with its offset",
)


def checked_realm(request: Request, principal: Principal, named: str | None) -> str:
    """The realm of a request; the territory's live realm when none is named. Raises RealmUnknown, ProblemError `out_of_scope`."""
    realm = named or str(request.app.state.live_realm)
    try:
        parse_realm(realm)
    except RealmNameInvalid:
        raise RealmUnknown from None
    if not principal.sees(realm):
        raise ProblemError("out_of_scope", field="realm")
    return realm


def reading(permission: Permission) -> Callable[..., AsyncIterator[Reader]]:
    """A dependency for reads that need this right. Reads of a time that is over wait for the user's turn."""
    who = allowed(permission)

    async def dependency(
        request: Request,
        principal: Principal = Depends(who),  # noqa: B008  FastAPI's way; an annotation could not see `who`
        realm: Annotated[
            str | None, Query(max_length=64, description="default: the live realm of the territory")
        ] = None,
        as_of: AsOf = None,
    ) -> AsyncIterator[Reader]:
        at = parse_time(as_of) if as_of else None
        lang = language_of(request.headers.get("accept-language"))
        reader = Reader(
            principal, checked_realm(request, principal, realm), at, lang, request.app.state.model
        )
        if at is None or request.url.path.endswith("/stream"):
            yield reader
            return
        costs: Costs = request.app.state.costs
        async with costs.past.turn(principal.id):
            yield reader

    return dependency


def deciding(
    permission: Permission, *, whole_territory: bool = False
) -> Callable[..., Awaitable[Author]]:
    """Return a dependency for decisions that need this right; `whole_territory`: from accounts without a limit of sites and pôles alone."""
    who = allowed(permission)

    async def dependency(
        request: Request,
        principal: Principal = Depends(who),  # noqa: B008  FastAPI's way; an annotation could not see `who`
        realm: Annotated[
            str | None, Query(max_length=64, description="default: the live realm of the territory")
        ] = None,
    ) -> Author:
        if whole_territory:
            check_whole_territory(principal)
        request.state.unknown_fields = await _unknown_fields(request)
        return Author(
            principal,
            checked_realm(request, principal, realm),
            language_of(request.headers.get("accept-language")),
            await _idempotency_key(request),
            _expected(request),
            _patience(request),
            request,
        )

    return dependency


async def _unknown_fields(request: Request) -> list[str]:
    """Fields of the body that this version does not know. They have no effect; a typo would stay unseen."""
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
    known = {field.alias or name for model in models for name, field in model.model_fields.items()}
    unknown = sorted(document.keys() - known)[:MOST_UNKNOWN]
    return [name[:64].encode("utf-8", "replace").decode() for name in unknown]


async def _idempotency_key(request: Request) -> Key | None:
    key = key_in(request.headers.get("idempotency-key"))
    return None if key is None else Key(key, await _asked(request))


async def _asked(request: Request) -> str:
    """Digest of what is asked: where, on which version, with which body, however its JSON is written."""
    body = await request.body()
    with suppress(ValueError, TypeError):  # no JSON; nested too deeply to be written
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    parts = (
        request.method,
        request.url.path,
        request.url.query,
        request.headers.get("if-match", ""),
    )
    return blake2b("\x1f".join(parts).encode() + b"\x1f" + body, digest_size=16).hexdigest()


def _expected(request: Request) -> int | None:
    raw = request.headers.get("if-match")
    if raw is None or raw.strip() == "*":
        return None
    found = re.fullmatch(r'\s*(?:W/)?"?(\d{1,12})"?\s*', raw)
    if found is None:
        raise ProblemError("if_match_invalid")
    return int(found[1])


def _patience(request: Request) -> float:
    """`Prefer: wait=N` (RFC 7240); 2 s when nothing is said."""
    found = re.search(r"\bwait=(\d{1,3})\b", request.headers.get("prefer", ""))
    return float(found[1]) if found else 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of a list that is in an order of its own."""

    limit: int
    cursor: str | None

    def of(
        self, items: Sequence[R], key: Callable[[Any], str] = lambda item: str(item.id)
    ) -> Page[R]:
        """The page. `key`: unique. Raises CursorInvalid."""
        shown, following = cut(items, key, self.limit, self.cursor)
        return Page(items=shown, next=following)


def _part(limit: Limit = 1000, cursor: Cursor = None) -> Part:
    return Part(limit, cursor)


def check_scope(
    principal: Principal, *, sites: Iterable[str] = (), poles: Iterable[str] = ()
) -> None:
    """Raises ProblemError `out_of_scope` unless the principal's sites and pôles touch what the decision is about."""
    scope = principal.scope
    if scope.sites and not set(scope.sites) & set(sites):
        raise ProblemError("out_of_scope", field="site")
    if scope.poles and not set(scope.poles) & set(poles):
        raise ProblemError("out_of_scope", field="pole")


def is_limited(principal: Principal) -> bool:
    """Return whether the principal answers for some sites or pôles only."""
    return bool(principal.scope.sites or principal.scope.poles)


def check_whole_territory(principal: Principal, field: str = "territory") -> None:
    """Refuse what is the whole territory's to whoever answers for some sites or pôles. Raises ProblemError `out_of_scope`."""
    if is_limited(principal):
        raise ProblemError("out_of_scope", field=field)


def by_poles(principal: Principal) -> Principal:
    """The same, held to its pôles alone: its sites set no limit to what is about a pôle."""
    return principal.model_copy(update={"scope": principal.scope.model_copy(update={"sites": ()})})


def cached(response: Response, version: int) -> None:
    """Version of a resource on which people may collide, for `If-Match`."""
    response.headers["ETag"] = f'"{version}"'


def now() -> datetime:
    """Server time."""
    return datetime.now(UTC)


Cut = Annotated[Part, Depends(_part)]
Picture = Annotated[Reader, Depends(reading(Permission.PICTURE_READ))]
LogReading = Annotated[Reader, Depends(reading(Permission.LOG_READ))]
