"""Routes for single records of the reference data: `/reference/records`, `new-records`. D86.

A change of one record is a change of the reference data like others (rule D63): a second person
approves it at `/reference/changes/{id}/approve`, which prepares the version then.

A version is tried on recorded crises before it is proposed. The replay runs in a process of its own, because it takes the processor for seconds.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import orjson
import structlog
from fastapi import Depends, Path
from fastapi.responses import Response
from pydantic import Field, ValidationError

from schemas import reference_changes as c
from schemas.reference import SectionData
from schemas.reference_changes import Foreseen
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
from services.console.reference.record_edits import (
    check_change,
    check_new_record,
    check_withdrawal,
    compute_coverage,
    find_edit_pole,
    prepare_version,
)
from services.console.reference.record_view import find_record_pole
from services.console.reference.reviews import build_confirmation
from services.console.resources import (
    Page,
    RecordEntry,
    RecordForm,
    RecordPreview,
    RecordReviews,
    RecordState,
)
from services.runtime.identity.permissions import Permission
from services.territory.editing.records import has_ruled_field

CRISES: Final = 5
BUDGET_S: Final = 10.0
"""Seconds after which no further crisis is replayed."""
TIMEOUT_S: Final = 20.0
"""Seconds after which the proposal goes without a trial; a page waits 30 seconds."""
log = structlog.get_logger(__name__)
RecordId = Annotated[str, Path(max_length=128, description="a card: `PLAN.CARD`")]
RecordProposer = Annotated[DecisionContext, Depends(require_decision(Permission.REFERENCE_DECIDE))]
CONFIRMED: Final = "Relu sans changement"


async def try_version(sections: Sequence[SectionData]) -> Foreseen | None:
    """Return the effect of a version on the newest recorded crises; None if it took too long."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.simulation.trial_worker",
        str(CRISES),
        str(BUDGET_S),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    payload = orjson.dumps([section.model_dump(mode="json") for section in sections])
    try:
        output, _ = await asyncio.wait_for(process.communicate(payload), TIMEOUT_S)
    except TimeoutError:
        output = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return Foreseen.model_validate_json(output)
    except ValidationError:
        log.warning("reference.trial_failed", status=process.returncode)
        return None


router = DecisionRouter(prefix="/api/v1/reference/records", tags=["reference"])


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


class RecordValues(RecordProposal):
    """Values of a record to try."""

    trial: bool = Field(
        default=False, description="true to replay recorded crises, which takes some seconds"
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
    persons = await within.model.persons_on_call()
    return await _propose(
        author, body, check_change(base, kind, id, body.values, body.seen, persons)
    )


@router.decision(
    "/{kind}/{id}/withdrawal",
    "Propose to withdraw a record, for another person to approve; refused if something names it",
)
async def propose_withdrawal(
    author: RecordProposer, kind: c.RecordKind, id: RecordId, body: DecisionBody
) -> Response:
    require_text(body.reason)
    within = author.within(body)
    base = await within.model.reference()
    await check_pole(within, find_record_pole(base, kind, id))
    return await _propose(author, body, check_withdrawal(base, kind, id))


@router.post(
    "/{kind}/{id}/preview", summary="Show the effect of other values for a record. Decides nothing"
)
async def preview_record_change(
    author: RecordProposer, kind: c.RecordKind, id: RecordId, body: RecordValues
) -> RecordPreview:
    within = author.within(body)
    base = await within.model.reference()
    await check_pole(within, find_record_pole(base, kind, id))
    persons = await within.model.persons_on_call()
    edit = check_change(base, kind, id, body.values, body.seen, persons)
    return await _preview(within, edit, body)


new_router = DecisionRouter(prefix="/api/v1/reference/new-records", tags=["reference"])


@new_router.get("/{kind}", summary="Show the fields of a new record of a kind")
async def get_record_form(reader: LogReader, kind: c.RecordKind) -> RecordForm:
    return await reader.model.record_form(kind)


@new_router.decision(
    "/{kind}/proposals",
    "Propose a new record, for another person to approve; the id of the change is `change` in "
    "the result",
)
async def propose_new_record(
    author: RecordProposer, kind: c.RecordKind, body: RecordProposal
) -> Response:
    require_text(body.reason)
    return await _propose(author, body, await _check_new(author, kind, body))


@new_router.post("/{kind}/preview", summary="Show the effect of a new record. Decides nothing")
async def preview_new_record(
    author: RecordProposer, kind: c.RecordKind, body: RecordValues
) -> RecordPreview:
    edit = await _check_new(author, kind, body)
    return await _preview(author.within(body), edit, body)


async def _check_new(
    author: DecisionContext, kind: c.RecordKind, body: RecordProposal
) -> c.RecordEdit:
    """Return the edit that creates a record of the author's pôles. Raises ProblemError."""
    within = author.within(body)
    base = await within.model.reference()
    persons = await within.model.persons_on_call()
    edit = check_new_record(base, kind, body.values, await within.model.open_edits(), persons)
    await check_pole(within, find_edit_pole(base, edit))
    return edit


async def _propose(author: DecisionContext, body: DecisionBody, edit: c.RecordEdit) -> Response:
    within = author.within(body)
    base = await within.model.reference()
    prepared_version, sections = await asyncio.to_thread(prepare_version, base, edit)
    if (before := await find_repeated_answer(within)) is not None:
        return before
    return await send_decision(
        author,
        body,
        "alerts",
        c.ProposeReference,
        reference=prepared_version.reference,
        base=prepared_version.base,
        sections=prepared_version.sections,
        foreseen=await _try_edit(within, edit, sections),
        edit=edit,
    )


async def _preview(
    author: DecisionContext, edit: c.RecordEdit, body: RecordValues
) -> RecordPreview:
    base = await author.model.reference()
    _version, sections = await asyncio.to_thread(prepare_version, base, edit)
    return RecordPreview(
        fields=list(edit.fields),
        coverage=await compute_coverage(author.model, base, edit),
        foreseen=await _try_edit(author, edit, sections) if body.trial else None,
    )


reviews_router = DecisionRouter(prefix="/api/v1/reference/reviews", tags=["reference"])


@reviews_router.get(
    "", summary="List the yearly reviews of plans, activities and partners, the most urgent first"
)
async def list_reviews(reader: LogReader, kind: Multiple[c.RecordKind]) -> RecordReviews:
    return await reader.model.reviews(kind=kind)


@reviews_router.decision(
    "/{kind}/{id}/confirm",
    "Confirm a plan and its cards, an activity or a partner without a change, for another person "
    "to approve: its review is dated today",
)
async def confirm_review(
    author: RecordProposer, kind: c.RecordKind, id: RecordId, body: DecisionBody | None = None
) -> Response:
    within = author.within(body)
    base = await within.model.reference()
    values = build_confirmation(base, kind, id, await within.model.today())
    if values is None:
        raise NotFound
    decision_body = body or DecisionBody()
    proposal = RecordProposal(
        realm=decision_body.realm, reason=decision_body.reason or CONFIRMED, values=values
    )
    return await propose_record_change(author, kind, id, proposal)


async def _try_edit(
    author: DecisionContext, edit: c.RecordEdit, sections: list[SectionData]
) -> c.Foreseen | None:
    """Replay recorded crises with an edit that a rule reads; None for texts."""
    if not has_ruled_field(edit):
        return None
    costs: ExpensiveWork = author.request.app.state.costs
    async with costs.trials.hold_place(author.principal.id):
        return await try_version(sections)
