"""Explain the state of an activity: paths (D47), reasons with values, incident. Pure."""

from collections.abc import Sequence
from functools import lru_cache

from schemas.alerts import Why
from schemas.base import Instant
from schemas.continuity import ActivityDeclared, Step, StrategyRow
from schemas.words import SiteStatus
from services.continuity.activities.capacity import (
    CapacityAssessment,
    CapacityLoss,
    get_effective_start,
)
from services.continuity.activities.impact_analysis import ActivityNeed
from services.continuity.state import UnwellSite

Path = tuple[Step, ...]


@lru_cache(maxsize=4096)
def _intern_step(kind: str, id: str) -> Step:
    """Return the same object for the same step while it stays in the cache."""
    return Step(kind=kind, id=id)


@lru_cache(maxsize=4096)
def build_path(report: str | None, kind: str, id: str, activity: str, pole: str) -> Path:
    """Build the path report → site (or system, kitchen, …) → activity → pôle."""
    head = () if report is None else (_intern_step("report", report),)
    return (
        *head,
        _intern_step(kind, id),
        _intern_step("activity", activity),
        _intern_step("pole", pole),
    )


def build_paths(
    need: ActivityNeed, assessment: CapacityAssessment, strategies: Sequence[StrategyRow]
) -> tuple[Path, ...]:
    """Build one path for each of the gravest losses, then one for each strategy."""
    pole = need.activity.pole
    through = [
        build_path(report, blow.kind, blow.id, need.id, pole)
        for report, blow in zip(assessment.reports, assessment.worst, strict=True)
    ]
    return (
        *through,
        *(build_path(None, "strategy", s.strategy, need.id, pole) for s in strategies),
    )


def find_start(assessment: CapacityAssessment, now: Instant) -> Instant:
    """Return the start of the earliest of the gravest losses."""
    return min((_find_loss_start(blow) for blow in assessment.worst), default=now)


def _find_loss_start(blow: CapacityLoss) -> Instant:
    if not isinstance(blow.source, UnwellSite):
        return get_effective_start(blow.source)
    if blow.source.status is SiteStatus.UNKNOWN or not blow.source.causes:
        return blow.source.since
    return min(cause.since for cause in blow.source.causes)


def list_reasons(
    need: ActivityNeed,
    assessment: CapacityAssessment,
    strategies: Sequence[StrategyRow],
    declaration: ActivityDeclared | None,
    since: Instant,
) -> tuple[Why, ...]:
    """List the reasons of a state, by code.

    Codes: D40 (capacity lost), D42 (under the MBCO), `system_down`, `strategy`, `declared`.
    """
    reasons: list[Why] = []
    if assessment.points < need.whole:
        reasons.append(
            Why(
                code="D42" if assessment.points < need.minimum else "D40",
                metric="activity_capacity_min",
                args={"activities": [need.id]},
                op="<",
                threshold=need.activity.mbco_pct,
                value=need.percent(assessment.points),
                at=since,
                reports=assessment.distinct,
            )
        )
    down = sorted(blow.id for blow in assessment.worst if blow.kind == "system" and blow.points)
    if down:
        reasons.append(
            Why(code="system_down", metric="system_down", args={"systems": down}, value=len(down))
        )
    reasons += [
        Why(
            code="strategy",
            args={"strategy": s.strategy},
            value=s.expected_capacity_pct,
            at=s.started_at,
        )
        for s in strategies
    ]
    if declaration is not None:
        reasons.append(
            Why(code="declared", args={"by": declaration.author}, at=declaration.occurred_at)
        )
    return tuple(reasons)
