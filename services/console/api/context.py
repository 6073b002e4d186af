"""What every route needs: who asks, about which realm, at what time, in which language."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Depends, Query, Request, Response
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.base import Instant
from schemas.realms import RealmNameInvalid, parse_realm
from services.console.faults import RealmUnknown
from services.console.readmodel import ReadModel
from services.runtime.access_http import allowed
from services.runtime.principals import Principal
from services.runtime.problems import ProblemError, fault, language_of
from services.runtime.rights import Permission

Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(max_length=400)]
Several = Annotated[
    list[str], Query(default_factory=list, max_length=50), AfterValidator(lambda given: [v for g in given for v in g.split(",")])
]
"""A filter that may be repeated, or hold several values separated by commas."""
_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(AwareDatetime)


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
    key: str | None
    """Idempotency-Key."""
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

    model_config = ConfigDict(extra="ignore", frozen=True)

    realm: str | None = Field(default=None, description="as `?realm=`")
    reason: str | None = Field(default=None, max_length=4000)


def instant(at: datetime) -> Instant:
    """ms UTC."""
    return int(at.timestamp() * 1000)


def parse_time(text: str, name: str = "as_of") -> Instant:
    """ISO 8601 with offset, or ms. A `+` that a URL turned into a space is understood. Raises ProblemError `invalid`."""
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    try:
        return instant(_TIME.validate_python(re.sub(r" (?=\d\d:?\d\d$)", "+", text.strip())))
    except (ValidationError, OverflowError):
        raise ProblemError(
            "invalid",
            faults=(fault(name, "datetime", "doit être une date ISO 8601 avec son décalage", "must be an ISO 8601 time with its offset"),),
        ) from None


def checked_realm(request: Request, principal: Principal, named: str | None) -> str:
    """The realm of a request; the territory's live realm when none is named. Raises RealmUnknown, ProblemError `out_of_scope`."""
    realm = named or str(request.app.state.live_realm)
    try:
        parse_realm(realm)
    except RealmNameInvalid:
        raise RealmUnknown from None
    if principal.scope.realms and realm not in principal.scope.realms:
        raise ProblemError("out_of_scope", field="realm")
    return realm


def reading(permission: Permission) -> Callable[..., Awaitable[Reader]]:
    """A dependency for reads that need this right."""
    who = allowed(permission)

    async def dependency(
        request: Request,
        principal: Principal = Depends(who),  # noqa: B008  FastAPI's way; an annotation could not see `who`
        realm: Annotated[str | None, Query(max_length=64, description="default: the live realm of the territory")] = None,
        as_of: Annotated[str | None, Query(max_length=40, description="what was known at this time (ISO 8601 with offset)")] = None,
    ) -> Reader:
        at = parse_time(as_of) if as_of else None
        lang = language_of(request.headers.get("accept-language"))
        return Reader(principal, checked_realm(request, principal, realm), at, lang, request.app.state.model)

    return dependency


def deciding(permission: Permission) -> Callable[..., Awaitable[Author]]:
    """A dependency for decisions that need this right."""
    who = allowed(permission)

    async def dependency(
        request: Request,
        principal: Principal = Depends(who),  # noqa: B008  FastAPI's way; an annotation could not see `who`
        realm: Annotated[str | None, Query(max_length=64, description="default: the live realm of the territory")] = None,
    ) -> Author:
        return Author(
            principal, checked_realm(request, principal, realm), language_of(request.headers.get("accept-language")),
            _idempotency_key(request), _expected(request), _patience(request), request,
        )  # fmt: skip

    return dependency


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not (1 <= len(key) <= 128 and key.isprintable()):
        raise ProblemError("key_invalid")
    return key


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


def check_scope(principal: Principal, *, sites: Iterable[str] = (), poles: Iterable[str] = ()) -> None:
    """Raises ProblemError `out_of_scope` unless the principal's sites and pôles touch what the decision is about."""
    scope = principal.scope
    if scope.sites and not set(scope.sites) & set(sites):
        raise ProblemError("out_of_scope", field="site")
    if scope.poles and not set(scope.poles) & set(poles):
        raise ProblemError("out_of_scope", field="pole")


def cached(response: Response, version: int) -> None:
    """Version of a resource on which people may collide, for `If-Match`."""
    response.headers["ETag"] = f'"{version}"'


def now() -> datetime:
    """Server time."""
    return datetime.now(UTC)


Picture = Annotated[Reader, Depends(reading(Permission.PICTURE_READ))]
LogReading = Annotated[Reader, Depends(reading(Permission.LOG_READ))]
