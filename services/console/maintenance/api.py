"""Routes for maintenance windows (rule D64) and leases: `/maintenance` and `/leases`.

Silences of an Alertmanager are windows, too. A lease is an alert that a source keeps alive.
"""

from typing import Annotated, Any, Literal

from fastapi import Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, Field, ValidationError, ValidationInfo, field_validator

from schemas.crisis.maintenance import ChangeMaintenance, Coverage, EndMaintenance, PlanMaintenance
from schemas.matchers import Matcher, PatternInvalid
from schemas.recurrence import RuleInvalid, parse_rule
from schemas.words import EventType
from services.console.http.answers import DecisionRouter, Subject, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    Multiple,
    ReadContext,
    is_limited,
    require_decision,
    require_read,
    set_etag,
    to_instant,
)
from services.console.http.scopes import check_pole, check_sites
from services.console.maintenance.resources import WindowCoverage
from services.console.resources import Lease, Maintenance, Page
from services.runtime.http.problems import build_field_problem
from services.runtime.identity.permissions import Permission, Role

router = DecisionRouter(prefix="/api/v1", tags=["maintenance"])
WindowReader = Annotated[ReadContext, Depends(require_read(Permission.REPORT_STATUS))]
WindowPlanner = Annotated[DecisionContext, Depends(require_decision(Permission.MAINTENANCE_WRITE))]
NameList = Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=300)]


class WindowRequest(DecisionBody):
    """A maintenance window to plan. A list may be one text with commas."""

    sites: NameList = ()
    kinds: NameList = Field(default=(), description="kinds of site")
    poles: NameList = ()
    types: tuple[EventType, ...] = ()
    sources: NameList = Field(
        default=(), description="kinds of source, or ids of registered sources"
    )
    matchers: tuple[Matcher, ...] = Field(
        default=(), max_length=50, description="labels of machine alerts"
    )
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    rrule: str | None = Field(
        default=None,
        max_length=200,
        description="RFC 5545: FREQ, INTERVAL, BYDAY, BYMONTHDAY, UNTIL; Paris time",
    )
    created_by: str | None = Field(
        default=None,
        max_length=200,
        description="person for whom a program asks; stored encrypted with the reason",
    )

    @field_validator("sites", "kinds", "poles", "types", "sources", mode="before")
    @classmethod
    def _split(cls, value: object, info: ValidationInfo) -> object:  # noqa: ARG003  pydantic's call
        return (
            tuple(v.strip() for v in value.split(",") if v.strip())
            if isinstance(value, str)
            else value
        )

    def covers(self, author: DecisionContext) -> Coverage:
        """Return the coverage: for a source, its own alerts only. Raises ProblemError `invalid`."""
        sources = (author.principal.id,) if author.principal.role is Role.SOURCE else self.sources
        try:
            return Coverage(
                sites=self.sites,
                kinds=self.kinds,
                poles=self.poles,
                types=self.types,
                sources=sources,
                matchers=self.matchers,
            )
        except ValidationError as error:
            raise build_field_problem(
                "covers", "length", "trop long", str(error.errors()[0]["msg"])
            ) from None

    def fields(self, author: DecisionContext) -> dict[str, Any]:
        """Return the fields of the command. Raises ProblemError `invalid`."""
        require_text(self.reason)
        if self.ends_at <= self.starts_at:
            raise build_field_problem(
                "ends_at", "order", "doit suivre le début", "must come after the start"
            )
        if self.rrule:
            try:
                parse_rule(self.rrule)
            except RuleInvalid as error:
                raise build_field_problem(
                    "rrule", "rrule", f"récurrence illisible : {error.french}", str(error)
                ) from None
        for n, matcher in enumerate(self.matchers):
            try:
                matcher.check()
            except PatternInvalid as error:
                raise build_field_problem(
                    f"matchers.{n}.value",
                    "regex",
                    f"expression illisible (RE2) : {error}",
                    f"RE2: {error}",
                ) from None
        return {
            "covers": self.covers(author),
            "starts_at": to_instant(self.starts_at),
            "ends_at": to_instant(self.ends_at),
            "rrule": self.rrule or None,
        }

    @property
    def free_texts(self) -> dict[str, str]:
        """Free texts beside the reason."""
        return {"created_by": self.created_by} if self.created_by else {}


def _limit_author(reader: ReadContext) -> str | None:
    """Return the author to filter by.

    Readers without the right to the whole picture see only their own windows.
    """
    return None if reader.principal.may(Permission.PICTURE_READ) else reader.principal.id


def _may_read_texts(reader: ReadContext) -> bool:
    return reader.principal.may(Permission.LOG_READ) or _limit_author(reader) is not None


@router.get(
    "/maintenance",
    summary="List maintenance windows: active ones, then the next to begin, then past ones",
)
async def list_windows(
    reader: WindowReader,
    state: Multiple[Literal["planned", "active", "over"]],
    site: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Maintenance]:
    return await reader.model.maintenance(
        state=state,
        site=site,
        author=_limit_author(reader),
        texts=_may_read_texts(reader),
        limit=limit,
        cursor=cursor,
    )


@router.get("/maintenance/{id}", summary="Show one window; its ETag is the version for If-Match")
async def get_window(reader: WindowReader, id: str, response: Response) -> Maintenance:
    window = await reader.model.window(
        id, author=_limit_author(reader), texts=_may_read_texts(reader)
    )
    set_etag(response, window.version)
    return window


async def _check_coverage_scope(
    author: DecisionContext, covers: WindowRequest | WindowCoverage
) -> None:
    """Refuse windows outside the author's scope.

    A source silences only its own alerts, wherever they are.
    """
    if not is_limited(author.principal) or author.principal.role is Role.SOURCE:
        return
    if covers.sites or author.principal.scope.sites or not covers.poles:
        await check_sites(author, covers.sites)
        return
    for pole in covers.poles:
        await check_pole(author, pole, "poles")


async def _check_window_scope(author: DecisionContext, id: str) -> None:
    """Refuse existing windows outside the author's scope, like `_check_coverage_scope`."""
    if is_limited(author.principal) and author.principal.role is not Role.SOURCE:
        await _check_coverage_scope(author, (await author.model.window(id)).covers)


WINDOW = Subject(router, "/maintenance/{id}", "window", WindowPlanner, _check_window_scope)


@router.decision("/maintenance", "Plan a window; its id is `window` of the result")
async def plan_window(author: WindowPlanner, body: WindowRequest) -> Response:
    await _check_coverage_scope(author.within(body), body)
    origin = "alertmanager" if author.principal.role is Role.SOURCE else "vigie"
    return await send_decision(
        author,
        body,
        "alerts",
        PlanMaintenance,
        more_texts=body.free_texts,
        origin=origin,
        **body.fields(author),
    )


@router.decision("/maintenance/{id}/change", "Replace a window as a whole", versioned=True)
async def change_window(author: WindowPlanner, id: str, body: WindowRequest) -> Response:
    within = author.within(body)
    await _check_window_scope(within, id)
    await _check_coverage_scope(within, body)
    return await send_decision(
        author,
        body,
        "alerts",
        ChangeMaintenance,
        more_texts=body.free_texts,
        window=id,
        **body.fields(author),
    )


WINDOW.forward(
    "/end",
    "End a window now; causes still open then call people",
    EndMaintenance,
    operation_id="end_window",
    versioned=True,
)


@router.get("/leases", summary="List alerts that machines keep alive, newest first")
async def list_leases(
    reader: WindowReader,
    state: Multiple[Literal["held", "lapsed", "ended"]],
    source: str | None = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
) -> Page[Lease]:
    return await reader.model.leases(
        state=state, source=_limit_author(reader) or source, limit=limit, cursor=cursor
    )
