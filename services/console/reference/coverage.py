"""Show the people on call in the next days under a changed schedule. Rules D34, D38, D86."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.oncall import Place
from schemas.reference_changes import RecordEdit, RecordKind
from services.console.i18n import get_translator
from services.console.oncall.schedule import ScheduleView
from services.console.reference.resources import (
    Coverage,
    CoverageGap,
    DutySpan,
    PlaceCoverage,
)
from services.console.resource_base import to_datetime
from services.console.texts import words as w
from services.oncall.readiness import gap_key
from services.oncall.schedule import CoverageSpan, ScopedRole, compare_coverage
from services.territory.editing.record_places import split_post_id, split_rotation_id

DAYS: Final = 14


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
    old = {gap_key(hole) for hole in prover_before[0].prove_post(post, start, end)}
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
        if gap_key(hole) not in old
    ]
