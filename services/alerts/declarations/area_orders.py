"""Orders to leave or to shelter for communes or an area: ask the manager of each site inside.

Such an order closes no site and counts nobody. A site that says that it is concerned gets the order
as if it had been named. The latest of several orders asks, as at a site (rule D5). An input handles
`SITES_PER_STEP` sites, the next millisecond the following ones. Rule D102, orders for an area.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from schemas.alerts import ReportRow, TaskChanged, TaskRow
from schemas.base import Instant, copy_with
from schemas.calling import NotificationPlanned, NotificationWithdrawn, RoleUncovered
from schemas.crisis.area_orders import (
    AREA_ORDER,
    AREA_ORDERS,
    CONCERNED,
    NOT_CONCERNED,
    AreaOrderChanged,
    AreaOrderRow,
)
from schemas.crisis.causes import Cause
from schemas.words import Answer, SiteStatus, TaskState
from services.alerts.causes import cause_lifecycle, restoration
from services.alerts.causes.site_status import LIFTED
from services.alerts.decision import (
    AlertsDecision,
    cancel_task,
    complete_task,
    find_open_task,
    list_open_tasks,
    sort_by_id,
)
from services.alerts.escalation.notifications import (
    Recipient,
    Values,
    choose_recipients,
    find_end_recipients,
    find_site_recipients,
)
from services.alerts.escalation.oncall import find_quiet_end
from services.alerts.escalation.steps import MAX_NAMED_COMMUNES, build_message_values
from services.alerts.evolve import OPEN
from services.alerts.incidents import incident_lifecycle
from services.alerts.reference.territory import (
    AREA_ANSWER_MS,
    LEAVE_ORDER_TYPES,
    ORDER_TYPES,
)
from services.alerts.reports.report_facts import DENIED, PLACE_FLAGS, is_confirmed, rebuild_cause

SITES_PER_STEP: Final = 30
"""Sites that one input asks or tells: their effects must fit into one Transaction."""
GATHER_MS: Final = 10_000
"""Time from a call to a stand-in for which more sites without a manager wait for one message.

Channels fail for many sites at once, and a short answer to one of many calls would hit any of them.
"""
_OPEN_TASKS: Final = (TaskState.OPEN, TaskState.TAKEN)


class _Question(NamedTuple):
    """The question about one site, and a person to ask."""

    task: str
    site: str
    recipient: Recipient | None


# ── what holds ────────────────────────────────────────────────────────────────────────────────────


def update_area_orders(draft: AlertsDecision) -> None:
    """Bring the orders for areas up to date with the causes that this input changed.

    An incident that is open again asks again where nobody has answered.
    """
    for id in tuple(draft.stirred):
        cause = draft.state.causes[id]
        if cause.site is None and cause.type in AREA_ORDERS:
            _review_order(draft, cause)
        elif cause.site is not None and cause.type in ORDER_TYPES and cause.lifted_at is not None:
            _ask_again(draft, cause.site)
    for row in tuple(draft.state.area_orders.values()) if draft.reopened else ():
        if row.ended_at is None and draft.resolve_incident(row.incident) in draft.reopened:
            _continue_order(draft, row)
    asked_sites = draft.state.open_tasks.get(AREA_ORDER, ())
    for site in sorted(draft.doubtful.intersection(asked_sites)) if asked_sites else ():
        task = find_open_task(draft, AREA_ORDER, site)
        if task is not None and _has_own_order(draft, site, _get_order(draft, task)):
            _close_question(draft, task, "ordered")


def review_areas(draft: AlertsDecision) -> None:
    """Mark the orders for review: a new version of the reference data may add or drop sites."""
    orders = (id for id, row in draft.state.area_orders.items() if row.ended_at is None)
    draft.stirred.update(dict.fromkeys(orders))


def on_area_order_due(draft: AlertsDecision, id: str) -> None:
    """Ask or tell the next sites, and call again where nobody answered."""
    row = draft.state.area_orders[id]
    questions = sorted(_list_questions(draft, id), key=lambda t: t.site or "")
    due = [t for t in questions if t.due_at is not None and t.due_at <= draft.now]
    _call_next(draft, row, (t for t in due if _is_gathered(t)), is_unreachable=True)
    unanswered_questions = (t for t in due if not _is_gathered(t) and len(t.calls) == 1)
    _call_next(draft, row, unanswered_questions, is_unreachable=False)
    _continue_order(draft, row)


def _review_order(draft: AlertsDecision, cause: Cause) -> None:
    """Record a new order, another area, or the end of an order, and go on with its sites."""
    old = draft.state.area_orders.get(cause.id)
    holds = cause.lifted_at is None and cause.acting
    drawing_report, sites = _find_area(draft, cause) if holds else (None, ())
    if old is None and drawing_report is None:
        return
    if old is None:
        assert drawing_report is not None
        row = _build_row(draft, cause, drawing_report, sites)
    elif drawing_report is None or (drawing_report.id == old.report and old.ended_at is None):
        ended_at = None if holds else (old.ended_at or cause.lifted_at or draft.now)
        kept_sites = old.sites if holds and drawing_report is None else sites
        row = copy_with(old, {"sites": kept_sites, "ended_at": ended_at})
    else:
        row = _build_row(draft, cause, drawing_report, sites)
    if old is not None:
        leaving = {*old.leaving, *old.sites}.difference(row.sites)
        row = copy_with(
            row,
            {
                "leaving": tuple(sorted(leaving)),
                "outside": old.outside
                if row.report == old.report
                else tuple(site for site in old.outside if site in leaving),
            },
        )
    if row != old:
        change = "opened" if old is None else "moved" if row.ended_at is None else "ended"
        draft.emit(AreaOrderChanged(row=row, change=change))
        _continue_order(draft, row)


def _build_row(
    draft: AlertsDecision, cause: Cause, report: ReportRow, sites: tuple[str, ...]
) -> AreaOrderRow:
    communes = report.zone or ((report.commune,) if report.commune else ())
    places = (draft.territory.sites[site].commune for site in sites)
    return AreaOrderRow(
        id=cause.id,
        incident=cause.incident,
        order=AREA_ORDERS[cause.type],
        report=report.id,
        source=report.source,
        ordered_at=report.occurred_at,
        communes=communes or tuple(sorted(set(places))),
        sites=sites,
    )


def _find_area(draft: AlertsDecision, cause: Cause) -> tuple[ReportRow | None, tuple[str, ...]]:
    """Return the report that gives the present area of an order, and the sites inside.

    An Update that names the same place again, or none, leaves the area as it is. Rule D3, updates.
    Causes of logs of older versions may still name withdrawn reports.
    """
    drawing_report, sites = None, tuple[str, ...]()
    rows = (r for r in draft.find_reports(cause.reports) if is_confirmed(r))
    for row in sorted(rows, key=lambda r: (r.occurred_at, r.recorded_at, r.id)):
        if "cancelled" in row.flags:
            continue
        named_sites = _list_sites(draft, row)
        if named_sites is not None and (drawing_report is None or named_sites != sites):
            drawing_report, sites = row, named_sites
    return drawing_report, sites


def _list_sites(draft: AlertsDecision, row: ReportRow) -> tuple[str, ...] | None:
    """Return the sites in the area or the communes of a report; None if it names neither.

    A drawn area is finer than its communes.
    """
    if row.sites:
        return tuple(sorted(s for s in row.sites if s in draft.territory.sites))
    communes = row.zone or ((row.commune,) if row.commune else ())
    if not communes:
        return None
    by_commune = draft.territory.by_commune
    return tuple(sorted({s for commune in communes for s in by_commune.get(commune, ())}))


def _find_newest_order(draft: AlertsDecision, site: str) -> AreaOrderRow | None:
    """Return the latest order that holds for the area of a site. Rule D5."""
    orders = (row for row in draft.state.area_orders.values() if site in row.sites)
    return max(orders, key=lambda row: _rank_order(draft, row), default=None)


def _rank_order(draft: AlertsDecision, row: AreaOrderRow) -> tuple[Instant, Instant, str]:
    cause = draft.state.causes[row.id]
    return cause.last_at, cause.known_at, cause.id


def _has_own_order(draft: AlertsDecision, site: str, row: AreaOrderRow | None) -> bool:
    """Return whether an order names the site itself: the same one, or a later opposite one.

    The one heard of last stands of two of the very same time. Rule D5, orders.
    """
    if row is None:
        return False
    causes = [draft.state.causes[id] for id in draft.state.site_causes.get(site, ())]
    orders = [c for c in causes if c.type in ORDER_TYPES and c.acting]
    newest = max(orders, key=lambda c: (c.last_at, c.known_at, c.id), default=None)
    if newest is None:
        return False
    leaves = newest.type in LEAVE_ORDER_TYPES
    is_same = leaves is (row.order is SiteStatus.EVACUATED)
    return is_same or (newest.last_at, newest.known_at, newest.id) > _rank_order(draft, row)


# ── asking and telling ────────────────────────────────────────────────────────────────────────────


def _continue_order(draft: AlertsDecision, row: AreaOrderRow) -> None:
    """Tell the sites that left the area, ask those inside, and plan the next step."""
    leaving = row.leaving[:SITES_PER_STEP]
    for site in leaving:
        _release_site(draft, row, site)
    waiting = _list_unasked_sites(draft, row)
    room = SITES_PER_STEP - len(leaving)
    _ask_sites(draft, row, waiting[:room])
    is_complete = len(row.leaving) == len(leaving) and len(waiting) <= room
    dues = (
        t.due_at for t in _list_questions(draft, row.id) if len(t.calls) <= 1 or _is_gathered(t)
    )
    next_at = min((at for at in dues if at is not None and at > draft.now), default=None)
    values = {
        "leaving": row.leaving[len(leaving) :],
        "outside": tuple(site for site in row.outside if site not in leaving),
        "next_at": next_at if is_complete else draft.now + 1,
    }
    if (changed_row := copy_with(row, values)) != row:
        draft.emit(AreaOrderChanged(row=changed_row))


def _list_unasked_sites(draft: AlertsDecision, row: AreaOrderRow) -> list[str]:
    """Return the sites inside that nobody was asked about, those of one recipient together."""
    incident = draft.resolve_incident(row.incident)
    if row.ended_at is not None or incident is None or draft.incident(incident).state not in OPEN:
        return []
    outside = frozenset(row.outside)
    sites = [
        site
        for site in row.sites
        if site not in outside
        and not _is_asked(draft, site, row)
        and not _is_reopened(draft, site, row)
        and not _has_own_order(draft, site, row)
        and ((newest := _find_newest_order(draft, site)) is None or newest.id == row.id)
    ]
    return sorted(sites, key=lambda site: (_name_recipient(draft, site), site))


def _is_asked(draft: AlertsDecision, site: str, row: AreaOrderRow) -> bool:
    """Return whether the question about this order is open; another area asks again."""
    task = find_open_task(draft, AREA_ORDER, site)
    return task is not None and task.candidates == (row.id, row.report)


def _is_reopened(draft: AlertsDecision, site: str, row: AreaOrderRow) -> bool:
    """Return whether the site itself has reported the end of the order since it was given."""
    cause = draft.state.causes[row.id]
    reopening = draft.state.reopenings.get(f"{site}|{cause.type.value}")
    return reopening is not None and reopening[0] > cause.last_at


def _name_recipient(draft: AlertsDecision, site: str) -> str:
    """Return the person that a question about a site goes to."""
    people, _uncovered = find_site_recipients(draft, site)
    return people[0].person if people else ""


def _ask_sites(draft: AlertsDecision, row: AreaOrderRow, sites: Iterable[str]) -> None:
    """Open the question about each site, and call the person responsible for it."""
    questions = list[_Question]()
    for site in sites:
        if (former := find_open_task(draft, AREA_ORDER, site)) is not None:
            _close_question(draft, former, "replaced")
        people, uncovered = find_site_recipients(draft, site)
        for role, scope in uncovered:
            draft.emit(RoleUncovered(role=role, scope=scope))
        task, recipients = draft.derive("task"), choose_recipients(people)
        questions += [_Question(task, site, recipient) for recipient in recipients or (None,)]
    calls, first_questions = _call_recipients(draft, row, questions), dict[str, _Question]()
    for question in questions:
        first_questions.setdefault(question.task, question)
    for id, question in first_questions.items():
        _open_question(draft, row, question, calls.get(id, ()))


def _call_recipients(
    draft: AlertsDecision, row: AreaOrderRow, questions: Iterable[_Question]
) -> dict[str, tuple[str, ...]]:
    """Call the recipients, and return the calls of each question.

    A person who is responsible for several sites gets one message for all of them.
    """
    by_person: dict[str, list[tuple[_Question, Recipient]]] = {}
    for question in questions:
        if (recipient := question.recipient) is not None:
            by_person.setdefault(recipient.person, []).append((question, recipient))
    calls: dict[str, tuple[str, ...]] = {}
    for pairs in by_person.values():
        first, recipient = pairs[0]
        task = first.task if len(pairs) == 1 else None
        sites = ",".join(question.site for question, _recipient in pairs)
        call = _call(draft, row, recipient, task, sites)
        calls |= {q.task: (*calls.get(q.task, ()), call) for q, _recipient in pairs}
    return calls


def _open_question(
    draft: AlertsDecision, row: AreaOrderRow, question: _Question, calls: tuple[str, ...]
) -> None:
    task, site, recipient = question
    post = None if recipient is None else ":".join(filter(None, (recipient.role, recipient.scope)))
    draft.emit(
        TaskChanged(
            row=TaskRow(
                id=task,
                kind=AREA_ORDER,
                state=TaskState.OPEN,
                opened_at=draft.now,
                due_at=draft.now + AREA_ANSWER_MS,
                site=site,
                incident=draft.resolve_incident(row.incident),
                candidates=(row.id, row.report),
                owner=post,
                calls=calls,
            )
        )
    )


def _call(
    draft: AlertsDecision,
    row: AreaOrderRow,
    recipient: Recipient,
    task: str | None,
    site: str,
) -> str:
    """Plan the message that asks; without a task it is about several sites, and takes no answer."""
    values = _build_values(draft, row, site) | {
        "order": row.order.value,
        "ordered_at": row.ordered_at,
        "giver": row.source,
    }
    if task is not None:
        values["task"] = task
    return _plan_message(draft, row, recipient, values, danger=True, answers=task is not None)


def _build_values(draft: AlertsDecision, row: AreaOrderRow, site: str) -> Values:
    """Return the values of a message about an order: the places are those of the order."""
    values = build_message_values(draft, draft.resolve_incident(row.incident))
    values.pop("only_site", None)
    return values | {
        "site": site,
        "communes": len(row.communes),
        "commune": row.communes[0] if row.communes else None,
        "places": ",".join(row.communes[:MAX_NAMED_COMMUNES]) or None,
    }


def _plan_message(
    draft: AlertsDecision,
    row: AreaOrderRow,
    recipient: Recipient,
    values: Values,
    *,
    danger: bool,
    answers: bool,
) -> str:
    incident, notification = draft.resolve_incident(row.incident), draft.derive("notification")
    level = draft.level if incident is None else draft.incident(incident).level
    draft.emit(
        NotificationPlanned(
            notification=notification,
            incident=incident,
            level=level,
            role=recipient.role,
            scope=recipient.scope,
            person=recipient.person,
            channels=recipient.channels,
            answer_expected=answers,
            danger=danger,
            template=AREA_ORDER,
            values=values,
            planned_at=draft.clock,
            ack_by=draft.clock + AREA_ANSWER_MS if answers else None,
            quiet_until=None
            if danger
            else find_quiet_end(draft, recipient.person, recipient.role, level),
            passed_over=None if danger else (),
        )
    )
    return notification


def _call_next(
    draft: AlertsDecision, row: AreaOrderRow, tasks: Iterable[TaskRow], *, is_unreachable: bool
) -> None:
    """Call the next person responsible for each site; none is called twice.

    A person who does not answer is followed by the deputy, one who is unreachable by the next post,
    too.
    """
    questions, asked_tasks = list[_Question](), dict[str, TaskRow]()
    for task in tasks:
        for recipient in _list_next(draft, task, is_unreachable=is_unreachable):
            questions.append(_Question(task.id, task.site or "", recipient))
            asked_tasks[task.id] = task
    for id, more_calls in _call_recipients(draft, row, questions).items():
        task = asked_tasks[id]
        values = {"calls": (*task.calls, *more_calls), "due_at": task.opened_at + AREA_ANSWER_MS}
        draft.emit(TaskChanged(row=copy_with(task, values)))


def _list_next(draft: AlertsDecision, task: TaskRow, *, is_unreachable: bool) -> list[Recipient]:
    """Return the next person responsible for the site of a question, and one with a fast channel."""
    calls = [draft.state.calls[id] for id in task.calls if id in draft.state.calls]
    called_people = {call.person for call in calls}
    people, _uncovered = find_site_recipients(draft, task.site or "")
    return choose_recipients(
        [
            one
            for one in people
            if one.person not in called_people
            and (is_unreachable or not calls or one.role == calls[0].role)
        ]
    )


def _is_gathered(task: TaskRow) -> bool:
    """Return whether a question waits for others to the same stand-in."""
    return task.due_at is not None and task.due_at < task.opened_at + AREA_ANSWER_MS


def _gather(draft: AlertsDecision, row: AreaOrderRow, tasks: Iterable[TaskRow]) -> list[TaskRow]:
    """Return the questions to ask now; those that can share a message wait for it."""
    now_tasks = list[TaskRow]()
    called_at = {
        call.person: call.planned_at
        for question in _list_questions(draft, row.id)
        for id in question.calls
        if (call := draft.state.calls.get(id)) is not None
    }
    for task in tasks:
        recipient = next(iter(_list_next(draft, task, is_unreachable=True)), None)
        until = called_at.get(recipient.person, 0) + GATHER_MS if recipient is not None else 0
        if not draft.now < until < task.opened_at + AREA_ANSWER_MS:
            now_tasks.append(task)
        elif not _is_gathered(task):
            draft.emit(TaskChanged(row=copy_with(task, {"due_at": until})))
    return now_tasks


def _release_site(draft: AlertsDecision, row: AreaOrderRow, site: str) -> None:
    """End an order for a site: its question, and the order at the site that its answer opened.

    The people who were asked are told, unless another order for the area asks at once, or the end
    of the order at the site is told.
    """
    task = find_open_task(draft, AREA_ORDER, site)
    is_asked = task is not None and task.candidates[0] == row.id
    if task is not None and is_asked:
        _close_question(draft, task, "over")
    if site not in draft.territory.sites:
        return
    was_opened = _end_site_order(draft, row, site, draft.state.causes[row.id].lifted_by)
    if (newest := _find_newest_order(draft, site)) is not None:
        _continue_later(draft, newest)
    elif not was_opened and (is_asked or site in row.outside):
        _tell_end(draft, row, site)


def _continue_later(draft: AlertsDecision, row: AreaOrderRow) -> None:
    """Schedule an older order at the next millisecond, because a later one ended at its sites."""
    if row.next_at is None or row.next_at > draft.now + 1:
        draft.emit(AreaOrderChanged(row=copy_with(row, {"next_at": draft.now + 1})))


def _ask_again(draft: AlertsDecision, site: str) -> None:
    """Schedule the order for the area of a site again, because an order at the site ended."""
    newest = _find_newest_order(draft, site)
    if newest is not None and newest.ended_at is None and site not in newest.outside:
        _continue_later(draft, newest)


def _tell_end(draft: AlertsDecision, row: AreaOrderRow, site: str) -> None:
    """Tell the end of an order for a site to all people called, and to a person in charge now."""
    calls = (
        draft.state.calls.get(id)
        for task in draft.state.tasks.values()
        if task.kind == AREA_ORDER and task.site == site and task.candidates[0] == row.id
        for id in task.calls
    )
    values = _build_values(draft, row, site) | {"order": LIFTED, "ended": row.order.value}
    for one in find_end_recipients(draft, site, (call for call in calls if call is not None)):
        _plan_message(draft, row, one, values, danger=False, answers=False)


def _close_question(draft: AlertsDecision, task: TaskRow, outcome: str) -> None:
    """Cancel a question that later facts have answered, and withdraw its calls."""
    cancel_task(draft, AREA_ORDER, task.site or "", outcome)
    _withdraw_calls(draft, task, outcome)


def _withdraw_calls(draft: AlertsDecision, task: TaskRow, why: str, through: str = "") -> None:
    """Withdraw the calls about one site but the one that was answered."""
    for id in task.calls:
        call = draft.state.calls.get(id)
        if call is not None and id != through and call.values.get("task") == task.id:
            draft.emit(NotificationWithdrawn(notification=id, why=why))


def _list_questions(draft: AlertsDecision, order: str) -> Iterator[TaskRow]:
    return (t for t in list_open_tasks(draft, AREA_ORDER) if t.candidates[0] == order)


def close_questions(draft: AlertsDecision, incident: str) -> None:
    """Cancel the open questions of an incident that a person closed."""
    for task in list_open_tasks(draft, AREA_ORDER):
        if draft.resolve_incident(task.incident) == incident:
            _close_question(draft, task, "closed")


# ── answers ───────────────────────────────────────────────────────────────────────────────────────


def apply_answer(draft: AlertsDecision, notification: str, person: str, answer: Answer) -> bool:
    """Apply the answer to a call that asks about an order; False if it asks something else."""
    call = draft.state.calls.get(notification)
    if call is None or call.template != AREA_ORDER:
        return False
    task = draft.state.tasks.get(str(call.values.get("task")))
    if task is not None:
        outcome = CONCERNED if answer is Answer.ACK else NOT_CONCERNED
        settle_question(draft, task, person, outcome, through=notification)
    return True


def on_call_unreachable(draft: AlertsDecision, notification: str) -> None:
    """Call the next person at once if all channels of a call failed. Rule D34, nobody on call."""
    call = draft.state.calls.get(notification)
    if call is None or call.template != AREA_ORDER:
        return
    asked_tasks = [t for t in list_open_tasks(draft, AREA_ORDER) if notification in t.calls]
    row = _get_order(draft, asked_tasks[0]) if asked_tasks else None
    if row is not None:
        draft.emit(RoleUncovered(role=call.role, scope=call.scope))
        _call_next(draft, row, _gather(draft, row, asked_tasks), is_unreachable=True)
        _continue_order(draft, row)


def settle_question(
    draft: AlertsDecision, task: TaskRow, author: str, outcome: str, through: str = ""
) -> None:
    """Record whether an order concerns a site; a later answer takes an earlier one back.

    An answer to a question that later facts have answered changes nothing.
    """
    is_open = task.state in _OPEN_TASKS
    if not is_open and (task.state is not TaskState.DONE or task.outcome == outcome):
        return
    complete_task(draft, task, author, outcome)
    if is_open:
        answer = Answer.ACK if outcome == CONCERNED else Answer.DECLINE
        _withdraw_calls(draft, task, answer.value, through)
    row, site = _get_order(draft, task), task.site or ""
    if row is None or site not in row.sites:
        return
    outside = {site for site in row.outside if site != task.site}
    if outcome == CONCERNED:
        _open_site_order(draft, row, site)
    else:
        outside.add(site)
        _end_site_order(draft, row, site, DENIED + row.report)
    values: dict[str, Any] = {"outside": tuple(sorted(outside))}
    if values["outside"] != row.outside:
        draft.emit(AreaOrderChanged(row=copy_with(row, values)))


def may_be_answered_again(draft: AlertsDecision, task: TaskRow) -> bool:
    """Return whether a task is an answered question about an order in force for its site."""
    if task.kind != AREA_ORDER or task.state is not TaskState.DONE:
        return False
    row = _get_order(draft, task)
    return row is not None and task.site in row.sites


def _get_order(draft: AlertsDecision, task: TaskRow) -> AreaOrderRow | None:
    return draft.state.area_orders.get(next(iter(task.candidates), ""))


def _open_site_order(draft: AlertsDecision, row: AreaOrderRow, site: str) -> None:
    """Open the order at the site with the words and the time of the order for the area."""
    report = draft.state.reports.get(row.report)
    if report is None:
        return
    own_report = copy_with(
        report,
        {
            "site": site,
            "commune": None,
            "zone": (),
            "sites": (),
            "measure": None,
            "persons_concerned": None,
            "occurred_at": _find_begin_at_site(draft, report, site),
            "flags": tuple(flag for flag in report.flags if flag not in PLACE_FLAGS),
        },
    )
    if own_report.type in LEAVE_ORDER_TYPES:
        restoration.end_shelter_orders(draft, own_report)
    incident = draft.resolve_incident(row.incident)
    repeated_cause = cause_lifecycle.find_repeated_cause(own_report, draft)
    cause_lifecycle.apply_report(draft, own_report, incident, repeated_cause)
    if incident is not None:
        incident_lifecycle.add_member(draft, incident, site)


def _find_begin_at_site(draft: AlertsDecision, report: ReportRow, site: str) -> Instant:
    """Return when an order for an area begins at a site that says that it is concerned.

    That is its own time; after a later order at the site, which took its place (rule D5), it is the
    end of that one. Walks over all causes: answers are rare.
    """
    ends = (
        cause.lifted_at
        for cause in draft.state.causes.values()
        if cause.site == site
        and cause.type in ORDER_TYPES
        and cause.lifted_at is not None
        and not (cause.lifted_by or "").startswith(DENIED)
    )
    return max(report.occurred_at, max(ends, default=report.occurred_at))


def _end_site_order(draft: AlertsDecision, row: AreaOrderRow, site: str, by: str | None) -> bool:
    """End the order at a site that an order for an area opened; return whether there was one.

    Reports that name the site keep its order. `by` is what ends it, None for another area.
    """
    area_cause, was_opened = draft.state.causes[row.id], False
    reports = frozenset(area_cause.reports)
    at_site = [draft.state.causes[id] for id in draft.state.site_causes.get(site, ())]
    for cause in sort_by_id(c for c in at_site if not reports.isdisjoint(c.reports)):
        was_opened = True
        others = [r for r in draft.find_reports(cause.reports) if r.id not in reports]
        if others:
            cause_lifecycle.record_with_deadline(draft, rebuild_cause(cause, others))
        else:
            ended_at = area_cause.lifted_at or draft.now
            cause_lifecycle.lift_cause(draft, cause, ended_at, by or row.report)
    return was_opened
