"""List the yearly reviews of plans, activities and partners, by owner and due date. Rule D86."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from schemas import reference as ref
from schemas.crisis.actions import OPEN_ACTION_STATES, ActionRow
from schemas.plans import PlanReview
from schemas.ranks import HOLD_ROLE, POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from schemas.reference_changes import (
    ChangeDecision,
    ChangeState,
    FieldValue,
    RecordKind,
    ReferenceChangeRow,
)
from services.console.i18n import N_
from services.console.read_model.reference_index import IndexedReference
from services.console.reference.resources import RecordReview

SOON_DAYS: Final = 60
STATES: Final = ("overdue", "due", "waiting", "current")
"""States in the order of urgency."""
REVIEW_FIELDS: Final[Mapping[RecordKind, str]] = {
    RecordKind.PLAN: "reviewed_on",
    RecordKind.ACTIVITY: "reviewed_on",
    RecordKind.CONTACT: "verified_on",
}
"""Kinds that somebody confirms once a year, with the field that dates it."""
YEAR_MONTHS: Final = 12
PARTNERS_TITLE: Final = N_("Confirmer les fiches des partenaires")
"""Title of the action that asks an owner for all of its partners."""
_LAST_DAY: Final = 28
"""Day that every month has."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Last confirmation of a record that came into force."""

    by: str
    approved_by: str


Key = tuple[RecordKind, str]


@dataclass(frozen=True, slots=True)
class OpenReviewActions:
    """Open actions that ask for reviews."""

    by_plan: Mapping[tuple[str, str], str]
    """(plan, owner) → action."""
    by_owner: Mapping[str, str]
    """Owner → action for its partners."""


def collect_actions(
    actions: Iterable[ActionRow], titles: Mapping[str, str | None], partner_titles: frozenset[str]
) -> OpenReviewActions:
    """Return the open actions that ask for a review.

    `titles`: text → title, for actions without a plan; `partner_titles`: those about partners.
    """
    rows = [action for action in actions if action.state in OPEN_ACTION_STATES]
    return OpenReviewActions(
        by_plan={(a.plan, a.assignee): a.id for a in rows if a.plan},
        by_owner={a.assignee: a.id for a in rows if titles.get(a.text_id) in partner_titles},
    )


def collect_confirmations(rows: Iterable[ReferenceChangeRow]) -> dict[Key, Confirmation]:
    """Return the two people of the last confirmation of each record."""
    confirmations: dict[Key, Confirmation] = {}
    for row in sorted(rows, key=lambda row: row.ended_at):
        edit = row.edit
        if edit is None or row.state is not ChangeState.IN_FORCE:
            continue
        field = REVIEW_FIELDS.get(edit.kind)
        if any(change.field == field and change.after for change in edit.fields):
            approval: ChangeDecision = row.decisions[-1]
            confirmations[edit.kind, edit.id] = Confirmation(row.proposal.by, approval.by)
    return confirmations


def find_review(reference: IndexedReference, plan: str) -> PlanReview | None:
    """Return the review of a plan as it is in force."""
    contents = (s.contents for s in reference.sections if isinstance(s, ref.PlanContents))
    return next((c.review for part in contents for c in part if c.id == plan), None)


def build_confirmation(
    reference: IndexedReference, kind: RecordKind, id: str, today: date
) -> dict[str, FieldValue] | None:
    """Return the values of a record that was reviewed today; None if nobody reviews it."""
    field = REVIEW_FIELDS.get(kind)
    if field is None:
        return None
    if kind is not RecordKind.PLAN:
        return {field: today.isoformat()}
    review = find_review(reference, id)
    if review is None:
        return None
    due_on = add_months(today, review.every_months)
    return {field: today.isoformat(), "review_due_on": due_on.isoformat()}


def add_months(day: date, months: int) -> date:
    """Return the day some months later, at most the 28th."""
    month = day.month - 1 + months
    return date(day.year + month // 12, month % 12 + 1, min(day.day, _LAST_DAY))


def build_reviews(
    reference: IndexedReference,
    open_edits: Mapping[Key, str],
    actions: OpenReviewActions,
    confirmations: Mapping[Key, Confirmation],
    today: date,
) -> list[RecordReview]:
    """List the reviews of all records, the most urgent first."""
    builder = _ReviewBuilder(open_edits, actions, confirmations, today)
    reviews = [
        *_list_plan_reviews(reference, builder),
        *_list_activity_reviews(reference, builder),
        *_list_partner_reviews(reference, builder),
    ]
    order = list(REVIEW_FIELDS)
    return sorted(
        reviews,
        key=lambda one: (
            STATES.index(one.state),
            one.due_on or date.min,
            order.index(one.kind),
            one.id,
        ),
    )


@dataclass(frozen=True, slots=True)
class _ReviewBuilder:
    open_edits: Mapping[Key, str]
    actions: OpenReviewActions
    confirmations: Mapping[Key, Confirmation]
    today: date

    def build(
        self,
        key: Key,
        title: str,
        owner: str,
        reviewed_on: date | None,
        due_on: date | None,
        *,
        pole: str | None = None,
        cards: int = 0,
        action: str | None = None,
    ) -> RecordReview:
        kind, id = key
        change, confirmation = self.open_edits.get(key), self.confirmations.get(key)
        return RecordReview(
            kind=kind,
            id=id,
            title=title,
            pole=pole,
            owner=owner,
            cards=cards,
            reviewed_on=reviewed_on,
            confirmed_by=confirmation.by if confirmation and reviewed_on else None,
            approved_by=confirmation.approved_by if confirmation and reviewed_on else None,
            due_on=due_on,
            state="waiting" if change is not None else self._judge(due_on),
            change=change,
            action=action,
        )

    def _judge(self, due_on: date | None) -> str:
        if due_on is None:
            return "due"
        days = (due_on - self.today).days
        return "overdue" if days < 0 else "due" if days <= SOON_DAYS else "current"


def _list_plan_reviews(
    reference: IndexedReference, builder: _ReviewBuilder
) -> Iterable[RecordReview]:
    for plan in reference.plans.values():
        review = find_review(reference, plan.id)
        if review is None:
            continue
        owner = (
            f"{review.owner_role}:{review.owner_pole}" if review.owner_pole else review.owner_role
        )
        yield builder.build(
            (RecordKind.PLAN, plan.id),
            plan.title,
            owner,
            review.last_on,
            review.next_on,
            pole=plan.pole,
            cards=len(plan.cards),
            action=builder.actions.by_plan.get((plan.id, owner)),
        )


def _list_activity_reviews(
    reference: IndexedReference, builder: _ReviewBuilder
) -> Iterable[RecordReview]:
    """Yield activities; the action that asks for the plan of a pôle asks for them, too."""
    plans = {plan.pole: plan.id for plan in reference.plans.values() if plan.pole}
    for activity in reference.activities.values():
        owner = f"{POLE_DIRECTOR_ROLE}:{activity.pole}"
        plan = plans.get(activity.pole, "")
        yield builder.build(
            (RecordKind.ACTIVITY, activity.id),
            activity.name,
            owner,
            activity.reviewed_on,
            _follow_year(activity.reviewed_on),
            pole=activity.pole,
            action=builder.actions.by_plan.get((plan, owner)),
        )


def _list_partner_reviews(
    reference: IndexedReference, builder: _ReviewBuilder
) -> Iterable[RecordReview]:
    for section in reference.sections:
        if not isinstance(section, ref.Contacts):
            continue
        for contact in section.contacts:
            owner = find_partner_owner(reference, contact)
            yield builder.build(
                (RecordKind.CONTACT, contact.id),
                f"{contact.organisation}, {contact.function}",
                owner,
                contact.verified_on,
                _follow_year(contact.verified_on),
                action=builder.actions.by_owner.get(owner),
            )


def find_partner_owner(reference: IndexedReference, contact: ref.PartnerContact) -> str:
    """Return the owner of a partner: the role that calls it.

    A director confirms a partner of one pôle only; others of directors and managers of sites are
    the coordinator's.
    """
    if contact.caller not in (POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE):
        return contact.caller
    plans = [reference.plans[id] for id in contact.plans if id in reference.plans]
    poles = {plan.pole for plan in plans if plan.pole}
    if contact.caller == POLE_DIRECTOR_ROLE and len(poles) == 1:
        return f"{POLE_DIRECTOR_ROLE}:{poles.pop()}"
    return HOLD_ROLE


def _follow_year(reviewed_on: date | None) -> date | None:
    return None if reviewed_on is None else add_months(reviewed_on, YEAR_MONTHS)
