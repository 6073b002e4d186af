"""Compare the people on call for a role under two schedules, span by span. Rules D34, D86."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.base import Instant
from schemas.oncall import Place
from services.oncall.schedule import Assignment, AssignmentSpan, Schedule, ScopedRole


@dataclass(frozen=True, slots=True)
class CoverageSpan:
    """Span of a place in which neither schedule changes."""

    role: str
    scope: str | None
    place: Place
    start: Instant
    end: Instant
    before: Assignment
    after: Assignment

    @property
    def is_changed(self) -> bool:
        return self.before.persons != self.after.persons

    @property
    def is_new_gap(self) -> bool:
        """Return whether somebody was on call, and nobody would be."""
        return bool(self.before.persons) and not self.after.persons


def compare_coverage(
    before: Schedule, after: Schedule, posts: Iterable[ScopedRole], start: Instant, end: Instant
) -> list[CoverageSpan]:
    """Return the spans of holder and deputy of some roles, in order."""
    spans: list[CoverageSpan] = []
    for role, scope in posts:
        for place in Place:
            ours = before.spans(role, scope, place, start, end)
            theirs = after.spans(role, scope, place, start, end)
            cuts = sorted({span.start for span in (*ours, *theirs)} | {end})
            for n, cut in enumerate(cuts[:-1]):
                old, new = _find_stand(ours, cut), _find_stand(theirs, cut)
                spans.append(CoverageSpan(role, scope, place, cut, cuts[n + 1], old, new))
    return spans


def _find_stand(spans: Iterable[AssignmentSpan], at: Instant) -> Assignment:
    return next(span.stand for span in spans if span.start <= at < span.end)
