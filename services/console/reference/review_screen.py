"""Page `/revue`: the yearly review of plans, by pôle and by owner. Rule D86."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from fastapi import Request

from schemas.reference_changes import RecordKind
from services.console.i18n import N_
from services.console.read_model.queries import Queries
from services.console.reference.record_names import build_form_address
from services.console.reference.record_rights import may_propose_record
from services.console.resources import PlanReviewState
from services.console.texts import words as w
from services.console.web import times
from services.console.web.access import require_reader
from services.console.web.pages import WebPage
from services.console.web.screen_context import ScreenData, build_page_context, load_screen_data
from services.runtime.identity.permissions import Permission

ASKED_DAYS: Final = 14
"""Days that an owner has for a review that is asked for."""


@dataclass(frozen=True, slots=True)
class ReviewGroup:
    """Plans of one pôle, or of the whole territory."""

    id: str
    name: str
    reviews: Sequence[PlanReviewState]
    current: int
    """Plans with a review that is not due."""


async def build_review_page(queries: Queries, request: Request) -> dict[str, Any]:
    """Build `review.html`. Raises ProblemError `forbidden`."""
    require_reader(request, Permission.LOG_READ)
    x = await load_screen_data(queries, request, PAGE.name)
    reviews = (await x.queries.plan_reviews()).items
    due_at = x.shell.now + timedelta(days=ASKED_DAYS)
    return {
        **build_page_context(request, x),
        "groups": group_reviews(reviews, x),
        "counts": Counter(one.state for one in reviews),
        "total": len(reviews),
        "owner_name": lambda one: _name_owner(one, x),
        "may_propose": lambda one: may_propose_record(x.shell, one.pole),
        "may_ask": x.shell.moment is None and x.shell.reader.may(Permission.INCIDENT_DECIDE),
        "edit": lambda one: build_form_address(RecordKind.PLAN, one.plan),
        "asked_until": times.minute_value(due_at),
    }


def group_reviews(reviews: Sequence[PlanReviewState], x: ScreenData) -> list[ReviewGroup]:
    """Group reviews by pôle, those of the whole territory last."""
    groups = []
    for pole in [*x.reference.poles, None]:
        mine = [one for one in reviews if one.pole == pole]
        name = x.names.pole(pole, x.shell.lang) if pole else x._("Tout le département")
        current = sum(one.state == "current" for one in mine)
        if mine:
            groups.append(ReviewGroup(pole or "territory", name, mine, current))
    return groups


def _name_owner(one: PlanReviewState, x: ScreenData) -> str:
    role, _separator, pole = one.owner.partition(":")
    return w.name_role(role, pole or None, x.names, x._)


PAGE: Final = WebPage(
    "review",
    "/revue",
    "reference/review.html",
    build_review_page,
    N_("Revue des plans"),
    after="reference",
    needs=Permission.REFERENCE_DECIDE,
    personal=True,
)
