"""Routes for changes of the reference data: `/reference/changes`. Rule D63.

One person proposes a version, a second one approves it, and a deadline publishes it.
"""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from schemas import reference_changes as c
from schemas.base import Command
from schemas.reference import (
    MAX_SECTION_BYTES,
    OPTIONAL_SECTIONS,
    PUBLISHING_ORDER,
    SectionData,
    compute_version,
)
from services.console.http.answers import DecisionRouter, Subject, require_text, send_decision
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    check_whole_territory,
    is_limited,
    require_decision,
    set_etag,
)
from services.console.http.decisions import MakeCommand, get_author
from services.console.http.problems import NotFound
from services.console.reference.record_edits import prepare_version
from services.console.reference.records_api import RecordProposer
from services.console.resources import Page, ReferenceChange
from services.runtime.http.problems import ProblemError, build_field_problem, list_faults
from services.runtime.identity.permissions import Permission
from services.territory.differences import compare_sections, list_dropped_sites

router = DecisionRouter(prefix="/api/v1/reference/changes", tags=["reference"])
ReferenceDecider = Annotated[
    DecisionContext, Depends(require_decision(Permission.REFERENCE_DECIDE, whole_territory=True))
]
CHANGE = Subject(router, "/{id}", "change", ReferenceDecider)


class VersionProposal(DecisionBody):
    """Time and effect of a version that is proposed."""

    effective_at: AwareDatetime | None = Field(
        default=None, description="time of entry into force; default, or if past: at the approval"
    )
    release: bool = Field(
        default=False,
        description="true to release agents that are reassigned from or to a dropped site",
    )
    foreseen: c.Foreseen | None = Field(default=None, description="null = no crisis was replayed")


class VersionRequest(VersionProposal):
    """A complete version: all sections, as `/api/v1/reference/{section}` shows them."""

    sections: list[dict[str, Any]] = Field(
        max_length=len(PUBLISHING_ORDER),
        description="sections; without `channels`, those in force stay",
    )


class _ParsedSections(BaseModel):
    """Parsed sections; they stay out of the OpenAPI document because of their many models."""

    sections: list[SectionData]


@router.get(
    "",
    operation_id="list_reference_changes",
    summary=(
        "List changes of the reference data: to be approved, then waiting for their time, "
        "then past ones, newest first"
    ),
)
async def list_changes(
    reader: LogReader, state: Multiple[c.ChangeState], limit: Limit = 1000, cursor: Cursor = None
) -> Page[ReferenceChange]:
    return await reader.model.reference_changes(state=state, texts=True, limit=limit, cursor=cursor)


@router.get(
    "/{id}",
    operation_id="get_reference_change",
    summary="Show one change; its ETag is the version for If-Match",
)
async def get_change(reader: LogReader, id: str, response: Response) -> ReferenceChange:
    change = await reader.model.reference_change(id, texts=True)
    set_etag(response, change.version)
    return change


@router.decision(
    "",
    "Propose a version for another person to approve; its id is `change` in the result",
    operation_id="propose_reference_change",
)
async def propose_version(author: ReferenceDecider, body: VersionRequest) -> Response:
    sections = await asyncio.to_thread(_parse_sections, body)
    return await send_version(author, body, sections)


async def send_version(
    author: DecisionContext, body: VersionProposal, sections: Sequence[SectionData]
) -> Response:
    """Send the proposal of a whole version, compared with the one in force.

    Raises ProblemError `invalid`, `agents_moved`.
    """
    require_text(body.reason)
    within = author.within(body)
    base = await within.model.reference()
    dropped_sites = list_dropped_sites(base.sections, sections)
    if not body.release:
        await _check_no_reassigned_agents(within, dropped_sites)
    reference, section_diffs = await asyncio.to_thread(
        lambda: (compute_version(sections), tuple(compare_sections(base.sections, sections)))
    )
    return await send_decision(
        author,
        body,
        "alerts",
        c.ProposeReference,
        first=[_make_section_draft(reference, section) for section in sections],
        reference=reference,
        base=base.version or "",
        sections=section_diffs,
        dropped_sites=tuple(dropped_sites),
    )


@router.decision(
    "/{id}/approve",
    "Approve a change as a second person; it comes into force at its time",
    operation_id="approve_reference_change",
    versioned=True,
)
async def approve_change(
    author: ReferenceDecider, id: str, body: DecisionBody | None = None
) -> Response:
    within = author.within(body)
    change = await within.model.reference_change(id)
    if change.edit is not None and change.state is c.ChangeState.PROPOSED:
        return await _approve_edit(author, id, body, change.edit)
    if not change.release:
        await _check_no_reassigned_agents(within, change.dropped_sites)
    return await send_decision(author, body, "alerts", c.ApproveReference, change=id)


async def _approve_edit(
    author: DecisionContext, id: str, body: DecisionBody | None, edit: c.RecordEdit
) -> Response:
    """Draft the version in force with the edit, and approve the change with it."""
    within = author.within(body)
    base = await within.model.reference()
    prepared_version, sections = await asyncio.to_thread(prepare_version, base, edit)
    return await send_decision(
        author,
        body,
        "alerts",
        c.ApproveReference,
        first=[_make_section_draft(prepared_version.reference, section) for section in sections],
        change=id,
        prepared=prepared_version,
    )


CHANGE.forward(
    "/decline",
    "Decline a change as a second person, with a reason",
    c.DeclineReference,
    needs_reason=True,
    operation_id="decline_reference_change",
    versioned=True,
)


async def _check_own_change(author: DecisionContext, id: str) -> None:
    """Refuse to an account of some pôles the changes that it did not propose."""
    if not is_limited(author.principal):
        return
    try:
        change = await author.model.reference_change(id)
    except NotFound:
        change = None
    if change is None or change.decisions[0].by != get_author(author.principal):
        check_whole_territory(author.principal)


@router.decision(
    "/{id}/withdraw",
    "Withdraw a change, with a reason: its proposer, or after the approval and before the "
    "entry into force anybody with the right to decide",
    operation_id="withdraw_reference_change",
    versioned=True,
)
async def withdraw_change(author: RecordProposer, id: str, body: DecisionBody) -> Response:
    await _check_own_change(author.within(body), id)
    require_text(body.reason)
    return await send_decision(author, body, "alerts", c.WithdrawReference, change=id)


def _make_section_draft(reference: str, section: SectionData) -> tuple[str, MakeCommand]:
    def make(by: str, role: str, reason: str | None) -> Command:  # noqa: ARG001
        return c.DraftReference(author=by, role=role, reference=reference, data=section)

    return section.section.value, make


def _parse_sections(body: VersionRequest) -> list[SectionData]:
    """Return the sections in the order of publication. Raises ProblemError `invalid`."""
    try:
        sections = _ParsedSections(sections=body.sections).sections
    except ValidationError as error:
        raise ProblemError("invalid", faults=list_faults(error)) from None
    sections_by_name = {section.section: section for section in sections}
    if len(sections_by_name) < len(sections):
        raise build_field_problem(
            "sections", "double", "une section est donnée deux fois", "a section is given twice"
        )
    if missing := [
        name.value
        for name in PUBLISHING_ORDER
        if name not in sections_by_name and name not in OPTIONAL_SECTIONS
    ]:
        missing_names = ", ".join(missing)
        raise build_field_problem(
            "sections", "missing", f"il manque : {missing_names}", f"missing: {missing_names}"
        )
    for n, section in enumerate(sections):
        if (size := len(section.model_dump_json().encode())) > MAX_SECTION_BYTES:
            raise build_field_problem(
                f"sections.{n}",
                "length",
                f"{size} octets, {MAX_SECTION_BYTES} au plus",
                f"{size} bytes, at most {MAX_SECTION_BYTES}",
            )
    return [sections_by_name[name] for name in PUBLISHING_ORDER if name in sections_by_name]


async def _check_no_reassigned_agents(author: DecisionContext, sites: Sequence[str]) -> None:
    """Refuse to drop sites of reassigned agents, as `vigie territory load` does.

    Raises ProblemError `agents_moved`.
    """
    if agents := await author.model.agents_moved(sites):
        raise ProblemError("agents_moved", agents=agents)
