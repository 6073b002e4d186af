"""Page `/revue`: the yearly review of plans, activities and partners, by owner. Rule D86."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from schemas.reference_changes import RecordKind
from services.console.i18n import N_
from services.console.reference.record_names import build_form_address, find_record_address
from services.console.reference.record_rights import may_propose_record
from services.console.reference.reviews import PARTNERS_TITLE
from services.console.resources import RecordReview
from services.console.texts import words as w
from services.console.web import times
from services.console.web.screen_context import ScreenData, ScreenPage
from services.runtime.identity.permissions import Permission

ASKED_DAYS: Final = 14
"""Days that an owner has for a review that is asked for."""


@dataclass(frozen=True, slots=True)
class ReviewGroup:
    """Records of one pôle, of the whole territory, or partners of one owner."""

    id: str
    name: str
    plans: Sequence[RecordReview]
    others: Sequence[RecordReview]
    """Activities or partners."""
    may_propose: bool
    request: "ReviewRequest | None"
    """Action that asks for the partners of the group; None: nothing is due, or it is asked for."""
    action: str | None = None
    """Open action that asks for the partners of the group."""

    @property
    def total(self) -> int:
        return len(self.plans) + len(self.others)

    @property
    def current(self) -> int:
        return sum(one.state == "current" for one in (*self.plans, *self.others))

    @property
    def late(self) -> int:
        return sum(one.state == "overdue" for one in (*self.plans, *self.others))


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """Action that asks an owner for reviews."""

    title: str
    assignee: str
    plan: str = ""


async def build_review_page(x: ScreenData) -> dict[str, Any]:
    """Build `review.html`."""
    reviews = (await x.queries.reviews()).items
    due_at = x.shell.now + timedelta(days=ASKED_DAYS)
    may_ask = x.shell.moment is None and x.shell.reader.may(Permission.INCIDENT_DECIDE)
    return {
        "groups": group_reviews(reviews, x, may_ask=may_ask),
        "counts": Counter(one.state for one in reviews),
        "total": len(reviews),
        "person": lambda token: w.name_person(token, x.names, x._),
        "owner_name": lambda one: _name_owner(one.owner, x),
        "request_of": lambda one: _request_plan(one, x) if may_ask else None,
        "edit": lambda one: build_form_address(one.kind, one.id),
        "address": lambda one: find_record_address(one.kind, one.id),
        "asked_until": times.format_minute(due_at),
    }


def group_reviews(
    reviews: Sequence[RecordReview], x: ScreenData, *, may_ask: bool
) -> list[ReviewGroup]:
    """Group plans and activities by pôle, then plans of the territory, then partners by owner."""
    groups = []
    partners = [one for one in reviews if one.kind is RecordKind.CONTACT]
    for pole in [*x.reference.poles, None]:
        mine = [one for one in reviews if one.pole == pole and one.kind is not RecordKind.CONTACT]
        plans = [one for one in mine if one.kind is RecordKind.PLAN]
        if mine:
            groups.append(
                ReviewGroup(
                    pole or "territory",
                    x.names.pole(pole, x.shell.lang) if pole else x._("Tout le département"),
                    plans,
                    [one for one in mine if one.kind is RecordKind.ACTIVITY],
                    may_propose_record(x.shell, pole),
                    None,
                )
            )
    for owner in dict.fromkeys(one.owner for one in sorted(partners, key=lambda one: one.owner)):
        mine = [one for one in partners if one.owner == owner]
        groups.append(_group_partners(owner, mine, x, may_ask=may_ask))
    return groups


def _group_partners(
    owner: str, mine: Sequence[RecordReview], x: ScreenData, *, may_ask: bool
) -> ReviewGroup:
    is_due = any(one.state in ("overdue", "due") for one in mine)
    action = next((one.action for one in mine if one.action), None)
    return ReviewGroup(
        f"partners-{owner}",
        x._("Partenaires : {owner}", owner=_name_owner(owner, x)),
        (),
        mine,
        may_propose_record(x.shell, None),
        ReviewRequest(x._(PARTNERS_TITLE), owner)
        if may_ask and is_due and action is None
        else None,
        action,
    )


def _request_plan(one: RecordReview, x: ScreenData) -> ReviewRequest | None:
    """Return the action that asks for the review of a plan, its cards and its activities."""
    if one.kind is not RecordKind.PLAN or one.action or one.state in ("waiting", "current"):
        return None
    title = x._("Relire le plan « {title} » et ses fiches", title=one.title)
    return ReviewRequest(title, one.owner, one.id)


def _name_owner(owner: str, x: ScreenData) -> str:
    role, _separator, pole = owner.partition(":")
    return w.name_role(role, pole or None, x.names, x._)


PAGE: Final = ScreenPage(
    "review",
    "/revue",
    "reference/review.html",
    build_review_page,
    N_("Revue annuelle"),
    after="reference",
    needs=Permission.LOG_READ,
    personal=True,
    listed_for=Permission.REFERENCE_DECIDE,
)
