"""Routes for changes of the reference data: `/reference/changes`. Rule D63.

One person proposes a version, a second one approves it, and a deadline publishes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from schemas import reference_changes as c
from schemas.base import Command
from schemas.reference import OPTIONAL, PUBLISHED, SectionData, version_of
from services.console.http.answers import COLLIDING, RESPONSES, decide, require_text
from services.console.http.context import (
    Author,
    Body,
    Cursor,
    Limit,
    LogReading,
    Several,
    cached,
    deciding,
    instant,
)
from services.console.http.decisions import Make
from services.console.resources import Page, ReferenceChange
from services.runtime.http.problems import ProblemError, fault, faults_of
from services.runtime.identity.permissions import Permission
from services.territory.differences import differences, dropped_sites

router = APIRouter(prefix="/api/v1/reference/changes", tags=["reference"])
Deciding = Annotated[Author, Depends(deciding(Permission.REFERENCE_DECIDE, whole_territory=True))]
MOST_SECTION_BYTES: Final = 200_000
"""Largest size of a section, which is published in one record with all its effects."""


class Version(Body):
    """A complete version: all sections, as `/api/v1/reference/{section}` shows them."""

    sections: list[dict[str, Any]] = Field(
        max_length=len(PUBLISHED),
        description="`channels` may be left out: then those in force stay",
    )
    effective_at: AwareDatetime | None = Field(
        default=None, description="when it comes into force; absent or over: when it is approved"
    )
    release: bool = Field(
        default=False, description="agents reassigned from or to a site that it drops are released"
    )
    foreseen: c.Foreseen | None = Field(default=None, description="null: no crisis was replayed")


class _Read(BaseModel):
    """Parsed sections; they stay out of the OpenAPI document because of their many models."""

    sections: list[SectionData]


@router.get(
    "",
    summary=(
        "Changes of the reference data: to be approved, waiting for their time, then what is "
        "over, newest first"
    ),
)
async def listed(
    reader: LogReading, state: Several[c.ChangeState], limit: Limit = 1000, cursor: Cursor = None
) -> Page[ReferenceChange]:
    return await reader.model.reference_changes(
        reader.realm,
        as_of=reader.as_of,
        lang=reader.lang,
        state=state,
        texts=True,
        limit=limit,
        cursor=cursor,
    )


@router.get("/{id}", summary="One change; its ETag is the version for If-Match")
async def one(reader: LogReading, id: str, response: Response) -> ReferenceChange:
    found = await reader.model.reference_change(
        reader.realm, id, as_of=reader.as_of, lang=reader.lang, texts=True
    )
    cached(response, found.version)
    return found


@router.post(
    "",
    responses=RESPONSES,
    summary="Propose a version; another person approves it. Its id is `change` of the result",
)
async def propose(author: Deciding, body: Version) -> Response:
    require_text(body.reason)
    sections = await asyncio.to_thread(_whole, body)
    within = author.within(body)
    base = await within.model.reference(within.realm)
    dropped = dropped_sites(base.sections, sections)
    if not body.release:
        await _check_nobody_moved(within, dropped)
    reference, found = await asyncio.to_thread(
        lambda: (version_of(sections), tuple(differences(base.sections, sections)))
    )
    return await decide(
        author,
        body,
        "alerts",
        c.ProposeReference,
        first=[_draft(reference, section) for section in sections],
        reference=reference,
        base=base.version or "",
        effective_at=instant(body.effective_at) if body.effective_at else None,
        release=body.release,
        sections=found,
        dropped_sites=tuple(dropped),
        foreseen=body.foreseen,
    )


@router.post(
    "/{id}/approve",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary="A second person says yes: it comes into force at its time",
)
async def approve(author: Deciding, id: str, body: Body | None = None) -> Response:
    within = author.within(body)
    change = await within.model.reference_change(within.realm, id)
    if not change.release:
        await _check_nobody_moved(within, change.dropped_sites)
    return await decide(
        author, body, "alerts", c.ApproveReference, change=id, expected=author.expected
    )


@router.post(
    "/{id}/decline",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary="A second person says no, with a reason",
)
async def decline(author: Deciding, id: str, body: Body) -> Response:
    require_text(body.reason)
    return await decide(
        author, body, "alerts", c.DeclineReference, change=id, expected=author.expected
    )


@router.post(
    "/{id}/withdraw",
    responses=RESPONSES,
    openapi_extra=COLLIDING,
    summary=(
        "Take it back, with a reason: its proposer; once it is approved and not in force yet, "
        "anybody who may decide"
    ),
)
async def withdraw(author: Deciding, id: str, body: Body) -> Response:
    require_text(body.reason)
    return await decide(
        author, body, "alerts", c.WithdrawReference, change=id, expected=author.expected
    )


def _draft(reference: str, section: SectionData) -> tuple[str, Make]:
    def make(by: str, role: str, reason: str | None) -> Command:  # noqa: ARG001
        return c.DraftReference(author=by, role=role, reference=reference, data=section)

    return section.section.value, make


def _whole(body: Version) -> list[SectionData]:
    """Return the sections in the order of publication. Raises ProblemError `invalid`."""
    try:
        sections = _Read(sections=body.sections).sections
    except ValidationError as error:
        raise ProblemError("invalid", faults=faults_of(error)) from None
    given = {section.section: section for section in sections}
    if len(given) < len(sections):
        raise ProblemError(
            "invalid",
            faults=(
                fault(
                    "sections",
                    "double",
                    "une section est donnée deux fois",
                    "a section is given twice",
                ),
            ),
        )
    if missing := [name.value for name in PUBLISHED if name not in given and name not in OPTIONAL]:
        named = ", ".join(missing)
        raise ProblemError(
            "invalid",
            faults=(fault("sections", "missing", f"il manque : {named}", f"missing: {named}"),),
        )
    for n, section in enumerate(sections):
        if (size := len(section.model_dump_json().encode())) > MOST_SECTION_BYTES:
            raise ProblemError(
                "invalid",
                faults=(
                    fault(
                        f"sections.{n}",
                        "length",
                        f"{size} octets, {MOST_SECTION_BYTES} au plus",
                        f"{size} bytes, at most {MOST_SECTION_BYTES}",
                    ),
                ),
            )
    return [given[name] for name in PUBLISHED if name in given]


async def _check_nobody_moved(author: Author, sites: Sequence[str]) -> None:
    """Refuse to drop sites of reassigned agents, as `vigie territory load` does.

    Raises ProblemError `agents_moved`.
    """
    if agents := await author.model.agents_moved(author.realm, sites):
        raise ProblemError("agents_moved", agents=agents)
