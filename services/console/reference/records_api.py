"""Routes for single records of the reference data: `/reference/records`. Rule D86.

A change of one record is a change of the reference data like others (rule D63): a second person
approves it at `/reference/changes/{id}/approve`, which prepares the version then.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from fastapi import Depends, Path
from fastapi.responses import Response
from pydantic import Field

from schemas import reference_changes as c
from schemas.reference import MAX_SECTION_BYTES, SectionData, compute_version
from services.console.http.answers import (
    DecisionRouter,
    find_repeated_answer,
    require_text,
    send_decision,
)
from services.console.http.context import (
    Cursor,
    DecisionBody,
    DecisionContext,
    Limit,
    LogReader,
    Multiple,
    require_decision,
)
from services.console.http.fair_queue import ExpensiveWork
from services.console.http.problems import NotFound
from services.console.http.scopes import check_pole
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.record_view import compute_digest, find_record_pole
from services.console.reference.reviews import build_confirmation, find_review
from services.console.reference.trials import try_version
from services.console.resources import Page, PlanReviews, RecordEntry, RecordState
from services.runtime.http.problems import FieldFault, ProblemError, build_fault, convert_fault
from services.runtime.identity.permissions import Permission
from services.territory.differences import compare_sections
from services.territory.record_checks import find_edit_faults
from services.territory.records import (
    FieldInvalid,
    RecordUnknown,
    apply_edit,
    build_edit,
    has_ruled_field,
    is_overtaken,
    read_record,
)

router = DecisionRouter(prefix="/api/v1/reference/records", tags=["reference"])
RecordId = Annotated[str, Path(max_length=128, description="a card: `PLAN.CARD`")]
RecordProposer = Annotated[DecisionContext, Depends(require_decision(Permission.REFERENCE_DECIDE))]


class RecordProposal(DecisionBody):
    """New values for some fields of a record."""

    values: dict[str, c.FieldValue] = Field(
        min_length=1,
        max_length=c.MAX_EDITED_FIELDS,
        description="field → new value; an empty text or null empties it, others stay",
    )
    seen: str | None = Field(
        default=None,
        max_length=32,
        description="digest of the record as it was read; refused if it changed since",
    )


@router.get("", summary="List the records that can be edited by themselves")
async def list_records(
    reader: LogReader, kind: Multiple[c.RecordKind], limit: Limit = 1000, cursor: Cursor = None
) -> Page[RecordEntry]:
    return await reader.model.records(kind=kind, limit=limit, cursor=cursor)


@router.get("/{kind}/{id}", summary="Show one record with its fields, labels and choices")
async def get_record(reader: LogReader, kind: c.RecordKind, id: RecordId) -> RecordState:
    return await reader.model.record(kind, id)


@router.decision(
    "/{kind}/{id}/proposals",
    "Propose other values for a record, for another person to approve; the id of the change "
    "is `change` in the result",
)
async def propose_record_change(
    author: RecordProposer, kind: c.RecordKind, id: RecordId, body: RecordProposal
) -> Response:
    require_text(body.reason)
    within = author.within(body)
    base = await within.model.reference()
    await check_pole(within, find_record_pole(base, kind, id))
    edit = _build_checked_edit(base, kind, id, body)
    prepared, sections = await asyncio.to_thread(prepare_version, base, edit)
    if (before := await find_repeated_answer(within)) is not None:
        return before
    return await send_decision(
        author,
        body,
        "alerts",
        c.ProposeReference,
        reference=prepared.reference,
        base=prepared.base,
        sections=prepared.sections,
        foreseen=await _try_edit(within, edit, sections),
        edit=edit,
    )


reviews_router = DecisionRouter(prefix="/api/v1/reference/reviews", tags=["reference"])
CONFIRMED: Final = "Relu sans changement"


@reviews_router.get("", summary="List the yearly reviews of plans, the most urgent first")
async def list_reviews(reader: LogReader) -> PlanReviews:
    return await reader.model.plan_reviews()


@reviews_router.decision(
    "/{plan}/confirm",
    "Confirm a plan and its cards without a change, for another person to approve: its "
    "review is dated today, the next one a period later",
)
async def confirm_review(
    author: RecordProposer, plan: str, body: DecisionBody | None = None
) -> Response:
    within = author.within(body)
    base = await within.model.reference()
    review = find_review(base, plan)
    if review is None:
        raise NotFound
    values = build_confirmation(review, await within.model.today())
    given = body or DecisionBody()
    proposal = RecordProposal(realm=given.realm, reason=given.reason or CONFIRMED, values=values)
    return await propose_record_change(author, c.RecordKind.PLAN, plan, proposal)


async def _try_edit(
    author: DecisionContext, edit: c.RecordEdit, sections: list[SectionData]
) -> c.Foreseen | None:
    """Replay recorded crises with an edit that a rule reads; None for texts."""
    if not has_ruled_field(edit):
        return None
    costs: ExpensiveWork = author.request.app.state.costs
    async with costs.trials.turn(author.principal.id):
        return await try_version(sections)


def _build_checked_edit(
    base: IndexedReference, kind: c.RecordKind, id: str, body: RecordProposal
) -> c.RecordEdit:
    """Return the change that is asked for. Raises NotFound, ProblemError `invalid`."""
    try:
        known = read_record(base.sections, kind, id)
    except RecordUnknown:
        raise NotFound from None
    if body.seen is not None and body.seen != compute_digest(known):
        raise ProblemError("record_changed")
    try:
        edit = build_edit(base.sections, kind, id, body.values)
    except RecordUnknown as error:
        raise ProblemError("invalid", faults=(_build_unknown_fault(str(error)),)) from None
    except FieldInvalid as error:
        fault = convert_fault(error.error)
        named = FieldFault(f"values.{error.name}", fault.code, fault.message)
        raise ProblemError("invalid", faults=(named,)) from None
    if edit is None:
        raise ProblemError("record_unchanged")
    if faults := find_edit_faults(base.sections, edit):
        raise ProblemError(
            "invalid",
            faults=tuple(build_fault(f"values.{f.field}", f.code, f.fr, f.en) for f in faults),
        )
    return edit


def _build_unknown_fault(name: str) -> FieldFault:
    return build_fault(
        f"values.{name[:64]}", "unknown", "cette fiche n’a pas ce champ", "no such field"
    )


def prepare_version(
    base: IndexedReference, edit: c.RecordEdit
) -> tuple[c.PreparedVersion, list[SectionData]]:
    """Return the version in force with an edit, and its sections.

    Raises ProblemError `record_changed`, `invalid`.
    """
    if is_overtaken(base.sections, edit):
        raise ProblemError("record_changed")
    sections: list[SectionData] = apply_edit(base.sections, edit)
    for section in sections:
        if (size := len(section.model_dump_json().encode())) > MAX_SECTION_BYTES:
            fault = build_fault(
                "values",
                "length",
                f"{size} octets avec les autres fiches, {MAX_SECTION_BYTES} au plus",
                f"{size} bytes with the other records, at most {MAX_SECTION_BYTES}",
            )
            raise ProblemError("invalid", faults=(fault,))
    prepared = c.PreparedVersion(
        reference=compute_version(sections),
        base=base.version or "",
        sections=tuple(compare_sections(base.sections, sections)),
    )
    return prepared, sections
