"""Check an edit of a record, prepare its version and compute its effect. Rule D86.

A changed schedule shows the people on call in the next days. Rules D34 and D38.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from schemas import reference_changes as c
from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.oncall import Place
from schemas.reference import MAX_SECTION_BYTES, SectionData, compute_version
from schemas.reference_changes import RecordEdit, RecordKind
from services.console.http.problems import NotFound
from services.console.i18n import get_translator
from services.console.oncall.schedule import ScheduleView
from services.console.read_model.queries import Queries
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.record_view import compute_digest, find_record_pole
from services.console.reference.resources import Coverage, CoverageGap, DutySpan, PlaceCoverage
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.oncall.readiness import build_gap_key
from services.oncall.schedule import CoverageSpan, ScopedRole, compare_coverage
from services.runtime.http.problems import (
    FieldFault,
    ProblemError,
    build_bilingual,
    build_fault,
    build_field_problem,
    convert_fault,
)
from services.territory.differences import compare_sections
from services.territory.editing.new_records import (
    NEW_FIELDS,
    apply_record_edit,
    build_new_record,
    build_withdrawal,
    is_overtaken,
)
from services.territory.editing.record_checks import RecordFault, find_edit_faults
from services.territory.editing.record_places import split_post_id, split_rotation_id
from services.territory.editing.records import FieldInvalid, RecordUnknown, build_edit, read_record

DAYS: Final = 14
Values = Mapping[str, c.FieldValue]


def find_post(edit: RecordEdit) -> ScopedRole | None:
    """Return the role that an edit of a schedule is about; None for other records."""
    match edit.kind:
        case RecordKind.ON_CALL:
            return split_post_id(edit.id)
        case RecordKind.ROTATION:
            role, scope, _ = split_rotation_id(edit.id)
            return role, scope
        case _:
            return None


def build_coverage(
    before: ScheduleView, sections: Sequence[Any], post: ScopedRole, at: Instant
) -> Coverage:
    """Compare the schedule in force with that of other sections, over the next days."""
    after = replace(before, reference=replace(before.reference, sections=tuple(sections)))
    end = at + DAYS * DAY_MS
    spans = compare_coverage(before.rota, after.rota, [post], at, end)
    gaps = sum(span.end - span.start for span in spans if span.is_new_gap)
    return Coverage(
        start=to_datetime(at),
        end=to_datetime(end),
        places=[
            _build_place(before, post, place, group)
            for place, group in groupby(spans, lambda span: span.place)
        ],
        gaps=_list_new_gaps(before, after, post, at, end),
        uncovered_h=round(gaps / HOUR_MS, 1),
    )


def _build_place(
    view: ScheduleView, post: ScopedRole, place: Place, spans: Iterable[CoverageSpan]
) -> PlaceCoverage:
    return PlaceCoverage(
        role=post[0],
        scope=post[1],
        role_name=view.role_name(*post),
        place=place,
        spans=[
            DutySpan(
                start=to_datetime(span.start),
                end=to_datetime(span.end),
                before=list(span.before.persons),
                after=list(span.after.persons),
                by=span.after.by,
                is_changed=span.is_changed,
                is_new_gap=span.is_new_gap,
            )
            for span in spans
        ],
    )


def _list_new_gaps(
    before: ScheduleView, after: ScheduleView, post: ScopedRole, start: Instant, end: Instant
) -> list[CoverageGap]:
    """List the gaps of readiness that the role has after the change only."""
    prover_after, prover_before = after.prover(), before.prover()
    if prover_after is None or prover_before is None:
        return []
    old = {build_gap_key(hole) for hole in prover_before[0].prove_post(post, start, end)}
    _ = get_translator(before.lang)
    return [
        CoverageGap(
            kind=hole.kind,
            text=w.translate_code(w.HOLE, hole.kind, _),
            person=hole.person,
            start=to_datetime(hole.start),
            end=to_datetime(hole.end),
        )
        for hole in prover_after[0].prove_post(post, start, end)
        if build_gap_key(hole) not in old
    ]


def check_change(
    base: IndexedReference,
    kind: c.RecordKind,
    id: str,
    values: Values,
    expected_digest: str | None = None,
    persons: Collection[str] = (),
) -> c.RecordEdit:
    """Return the change that gives a record these values. Raises NotFound, ProblemError."""
    try:
        current_values = read_record(base.sections, kind, id)
    except RecordUnknown:
        raise NotFound from None
    if expected_digest is not None and expected_digest != compute_digest(current_values):
        raise ProblemError("record_changed")
    try:
        edit = build_edit(base.sections, kind, id, values)
    except RecordUnknown as error:
        raise ProblemError("invalid", faults=(_build_unknown_fault(str(error)),)) from None
    except FieldInvalid as error:
        raise _build_invalid(error) from None
    if edit is None:
        raise ProblemError("record_unchanged")
    _check_faults(base, edit, persons)
    return edit


def check_new_record(
    base: IndexedReference,
    kind: c.RecordKind,
    values: Values,
    open_edits: Mapping[tuple[c.RecordKind, str], str],
    persons: Collection[str] = (),
) -> c.RecordEdit:
    """Return the edit that creates a record. Raises NotFound, ProblemError."""
    if kind not in NEW_FIELDS:
        raise NotFound
    proposed_ids = [id for one, id in open_edits if one is kind]
    try:
        edit = build_new_record(base.sections, kind, values, proposed_ids)
    except RecordUnknown as error:
        raise ProblemError("invalid", faults=(_build_unknown_fault(str(error)),)) from None
    except FieldInvalid as error:
        raise _build_invalid(error) from None
    _check_faults(base, edit, persons)
    return edit


def check_withdrawal(base: IndexedReference, kind: c.RecordKind, id: str) -> c.RecordEdit:
    """Return the edit that withdraws a record.

    Raises NotFound, ProblemError `record_referred` with what names the record.
    """
    try:
        edit = build_withdrawal(base.sections, kind, id)
    except RecordUnknown:
        raise NotFound from None
    check_unreferred(base, edit)
    return edit


def check_unreferred(base: IndexedReference, edit: c.RecordEdit) -> None:
    """Refuse to withdraw a record that something names. Raises ProblemError `record_referred`."""
    if edit.action is not c.RecordAction.WITHDRAW:
        return
    if faults := find_edit_faults(base.sections, edit):
        raise ProblemError("record_referred", faults=_convert_faults(faults))


def find_edit_pole(base: IndexedReference, edit: c.RecordEdit) -> str | None:
    """Return the pôle of the record of an edit; None: the whole territory."""
    if edit.kind is c.RecordKind.ACTIVITY and edit.action is c.RecordAction.CREATE:
        return next((str(f.after) for f in edit.fields if f.field == "pole"), None)
    return find_record_pole(base, edit.kind, edit.id)


def prepare_version(
    base: IndexedReference, edit: c.RecordEdit
) -> tuple[c.PreparedVersion, list[SectionData]]:
    """Return the version in force with an edit, and its sections.

    Raises ProblemError `record_changed`, `record_referred`, `invalid`.
    """
    if is_overtaken(base.sections, edit):
        raise ProblemError("record_changed")
    check_unreferred(base, edit)
    sections: list[SectionData] = apply_record_edit(base.sections, edit)
    for section in sections:
        if (size := len(section.model_dump_json().encode())) > MAX_SECTION_BYTES:
            raise build_field_problem(
                "values",
                "length",
                f"{size} octets avec les autres fiches, {MAX_SECTION_BYTES} au plus",
                f"{size} bytes with the other records, at most {MAX_SECTION_BYTES}",
            )
    prepared_version = c.PreparedVersion(
        reference=compute_version(sections),
        base=base.version or "",
        sections=tuple(compare_sections(base.sections, sections)),
    )
    return prepared_version, sections


async def compute_coverage(
    queries: Queries, base: IndexedReference, edit: c.RecordEdit
) -> Coverage | None:
    """Return the people on call with an edit; None if it is about no schedule."""
    post = find_post(edit)
    if post is None:
        return None
    sections = apply_record_edit(base.sections, edit)
    view, now = await queries.desk()
    return await asyncio.to_thread(build_coverage, view, sections, post, now)


def _check_faults(base: IndexedReference, edit: c.RecordEdit, persons: Collection[str]) -> None:
    """Raise ProblemError `invalid` with the faults of an edit."""
    if faults := find_edit_faults(base.sections, edit, persons):
        raise ProblemError("invalid", faults=_convert_faults(faults))


def _convert_faults(faults: Sequence[RecordFault]) -> tuple[FieldFault, ...]:
    return tuple(
        build_fault(f"values.{f.field}" if f.field else "id", f.code, f.fr, f.en) for f in faults
    )


def _build_invalid(error: FieldInvalid) -> ProblemError:
    faults = (_build_value_fault(name, one) for name, one in error.errors.items())
    return ProblemError("invalid", faults=tuple(faults))


def _build_value_fault(name: str, error: Mapping[str, Any]) -> FieldFault:
    fault = convert_fault(error)
    french = error.get("french") or fault.message["fr"]
    return FieldFault(f"values.{name}", fault.code, build_bilingual(french, fault.message["en"]))


def _build_unknown_fault(name: str) -> FieldFault:
    return build_fault(
        f"values.{name[:64]}", "unknown", "cette fiche n’a pas ce champ", "no such field"
    )
