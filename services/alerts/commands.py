"""Decisions of people that alerts owns (API.md, Decisions): applied, or refused with a status, a code and values.

A version (`expected`) counts decisions, not reports: 412 when another decision came first. Rights by account role: 403.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from schemas import commands as c
from schemas.alerts import IncidentRow, LevelChanged, LevelRow, NoteAdded, ReportChanged, ReportRow, TaskChanged, Why
from schemas.base import Command
from schemas.ranks import may_decide
from schemas.reference import PublishReference, ReferencePublished
from schemas.runtime import CommandApplied, CommandRefused
from schemas.words import Answer, IncidentState, Level, TaskState
from services.alerts import escalation, incidents, reports, tasks
from services.alerts.causes import lift, put
from services.alerts.claims import site_of
from services.alerts.draft import Draft
from services.alerts.evolve import OPEN
from services.alerts.levels import TERRITORY, Rises, raise_territory, still_holding
from services.alerts.settle import settle
from services.runtime.decider import Input

Result = dict[str, str | int | float | bool | None]


class Refused(Exception):
    """The decider's own refusal; becomes the fact `CommandRefused`."""

    def __init__(self, status: int, code: str, **values: str | int | float | bool | None) -> None:
        super().__init__(code)
        self.status, self.code, self.values = status, code, values


_CELL = frozenset({"admin", "coordinator", "cell", "director", "elected"})
_FIELD = _CELL | {"site_manager", "technician", "liaison"}
_RIGHTS: Final[dict[type[Command], frozenset[str]]] = {
    c.AcknowledgeIncident: _FIELD,
    c.EscalateIncident: _FIELD,
    c.ResolveIncident: _CELL,
    c.ReopenIncident: _CELL,
    c.MergeIncidents: _CELL,
    c.SplitIncident: _CELL,
    c.AddNote: _FIELD | {"observer"},
    c.ConfirmReport: _FIELD,
    c.DenyReport: _FIELD,
    c.LinkReport: _FIELD,
    c.SetLevel: _CELL,
    c.TakeTask: _FIELD,
    c.CompleteTask: _FIELD,
    PublishReference: frozenset({"admin", "coordinator"}),
}  # fmt: skip


def obey(draft: Draft, given: Input, command: Command) -> bool:
    """Apply a command; False if alerts does not know it."""
    apply = _APPLY.get(type(command))
    if apply is None:
        return False
    try:
        _check_right(draft, command)
        result = apply(draft, given, command)
    except Refused as no:
        draft.emit(CommandRefused.model_validate({
            "command_id": given.id, "command": type(command).__name__, "status": no.status, "code": no.code, "values": no.values,
        }))  # fmt: skip
        return True
    draft.emit(CommandApplied(command_id=given.id, command=type(command).__name__, result=result))
    return True


def _check_right(draft: Draft, command: Command) -> None:
    """A role of an account, or a role of the organisation that a cell or a pilot holds; programs act as `system:<name>`."""
    allowed = _RIGHTS[type(command)]
    if command.role in allowed or (command.role == "system" and command.author.startswith("system:")):
        return
    policy = draft.territory.policy
    organisation = policy is not None and command.role in policy.roles and command.role != "observateur"
    if not organisation or type(command) is PublishReference:
        raise Refused(403, "role_not_allowed", role=command.role)


def _incident(draft: Draft, id: str, expected: int | None = None) -> IncidentRow:
    if id not in draft.state.incidents:
        raise Refused(404, "incident_unknown", incident=id)
    row = draft.state.incidents[id]
    if expected is not None and expected != row.version:
        raise Refused(412, "version_changed", expected=expected, version=row.version)
    return row


def _open(row: IncidentRow) -> IncidentRow:
    if row.state not in OPEN:
        raise Refused(409, "incident_not_open", state=row.state.value)
    return row


def _report(draft: Draft, id: str) -> ReportRow:
    if id not in draft.state.reports:
        raise Refused(404, "report_unknown", report=id)
    return draft.state.reports[id]


# ── incidents ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _ladder_of(draft: Draft, incident: IncidentRow) -> Any:
    own = escalation.running(draft, incident.id)
    if own is not None and own.state != "exhausted":
        return own
    crisis = escalation.running(draft, TERRITORY)
    return crisis if crisis is not None and incident.id in crisis.incidents else own


def _acknowledge(draft: Draft, given: Input, command: c.AcknowledgeIncident) -> Result:
    """The author answers for the running ladder: for the newest wave that called him, else for the current one."""
    incident = _open(_incident(draft, command.incident))
    ladder = _ladder_of(draft, incident)
    if ladder is not None:
        calls = [n for w in reversed(ladder.waves) for n in w.notifications if draft.state.calls[n].person == command.author]
        if calls:
            escalation.answered(draft, calls[0], command.author, command.answer)
        elif command.answer is Answer.ACK:
            escalation.said_yes(draft, ladder, command.author, max(ladder.wave, 1))
    if command.answer is Answer.ACK:
        escalation.acknowledged(draft, incident.id, command.author)
        row = draft.incident(incident.id)
        draft.alter(incident.id, "acknowledged", version=row.version + 1)
    settle(draft)
    row = draft.state.incidents[incident.id]
    return {"incident": row.id, "state": row.state.value, "version": row.version}


def _escalate(draft: Draft, given: Input, command: c.EscalateIncident) -> Result:
    incident = _open(_incident(draft, command.incident))
    ladder = _ladder_of(draft, incident)
    if ladder is None or ladder.state == "answered" and not any(w.state == "waiting" for w in ladder.waves) and ladder.cycle > ladder.repeat_times:
        raise Refused(409, "no_ladder", incident=incident.id)
    if ladder.state != "running":
        ladder = ladder.model_copy(update={"state": "running"})
    escalation.fire_now(draft, ladder)
    draft.alter(incident.id, "report", version=incident.version + 1, updated_at=draft.now)
    settle(draft)
    return {"incident": incident.id, "wave": draft.state.escalations[ladder.id].wave}


def _resolve(draft: Draft, given: Input, command: c.ResolveIncident) -> Result:
    incident = _open(_incident(draft, command.incident, command.expected))
    left = incidents.open_causes(draft, incident.id)
    if left and not (command.force and command.reason):
        raise Refused(409, "causes_open" if not command.force else "reason_needed", causes=len(left))
    incidents.close(draft, incident.id, draft.now)
    own = escalation.running(draft, incident.id)
    if own is not None:
        escalation.supersede(draft, own, None, "ended", "closed")
    crisis = escalation.running(draft, TERRITORY)
    if crisis is not None and crisis.state == "running" and crisis.incidents and all(
        draft.incident(i).state not in OPEN for i in crisis.incidents
    ):
        escalation.supersede(draft, crisis, None, "ended", "closed")
    settle(draft)
    return {"incident": incident.id, "state": "closed", "version": draft.state.incidents[incident.id].version}


def _reopen(draft: Draft, given: Input, command: c.ReopenIncident) -> Result:
    incident = _incident(draft, command.incident)
    if incident.state is not IncidentState.CLOSED:
        raise Refused(409, "incident_not_closed", state=incident.state.value)
    incidents.reopen(draft, incident.id, by_person=True)
    settle(draft, draft.everything())
    return {"incident": incident.id, "state": "open", "version": draft.state.incidents[incident.id].version}


def _merge(draft: Draft, given: Input, command: c.MergeIncidents) -> Result:
    """D25: members move; A's ladder is superseded; level = max; later correlation follows."""
    a, b = _open(_incident(draft, command.incident, command.expected)), _open(_incident(draft, command.into))
    if a.id == b.id:
        raise Refused(409, "same_incident")
    moved = [draft.state.reports[r] for r in draft.state.incident_reports.get(a.id, ())]
    own = escalation.running(draft, a.id)
    if own is not None:
        into = escalation.running(draft, b.id) or escalation.running(draft, TERRITORY)
        escalation.supersede(draft, own, into.id if into else None, why="merged")
    members = tuple(sorted({*a.members, *b.members}))
    draft.put_incident(a.model_copy(update={
        "state": IncidentState.MERGED, "merged_into": b.id, "closed_at": draft.now, "updated_at": draft.now, "version": a.version + 1,
        "members": (), "zone_sites": (),
    }), "merged")  # fmt: skip
    draft.put_incident(b.model_copy(update={
        "level": max(a.level, b.level), "severity": max(a.severity, b.severity), "members": members,
        "zone_sites": tuple(sorted({*a.zone_sites, *b.zone_sites} - set(members))), "communes": tuple(sorted({*a.communes, *b.communes})),
        "opened_at": min(a.opened_at, b.opened_at), "last_at": max(a.last_at or 0, b.last_at or 0), "danger": a.danger or b.danger,
        "reports_count": a.reports_count + b.reports_count, "duplicates_count": a.duplicates_count + b.duplicates_count,
        "customers_cut": max((x for x in (a.customers_cut, b.customers_cut) if x is not None), default=None),
        "why": (*b.why, *a.why) if a.level > b.level else b.why, "version": b.version + 1, "updated_at": draft.now,
    }), "merged")  # fmt: skip
    draft.flush()
    _move_reports(draft, moved, b.id)
    for site in members:
        draft.doubtful.add(site)
    rises = Rises(incidents={b.id: b.level} if a.level > b.level else {})
    settle(draft)
    escalation.follow(draft, rises)
    draft.flush()
    return {"incident": b.id, "merged": a.id, "version": draft.state.incidents[b.id].version}


def _move_reports(draft: Draft, moved: list[ReportRow], incident: str) -> None:
    for row in moved:
        why = (*row.why, Why(code="D25", args={"incident": incident}, at=draft.now))
        draft.emit(ReportChanged(row=draft.state.reports[row.id].model_copy(update={"incident": incident, "why": why})))


def _split(draft: Draft, given: Input, command: c.SplitIncident) -> Result:
    """D25: the chosen reports leave for a new incident, with the causes that only they speak of."""
    a = _open(_incident(draft, command.incident, command.expected))
    chosen = [_report(draft, r) for r in dict.fromkeys(command.reports)]
    if not chosen or any(draft.standing(r.incident) != a.id for r in chosen):
        raise Refused(409, "report_elsewhere")
    if len(chosen) == len(draft.state.incident_reports.get(a.id, ())):
        raise Refused(409, "nothing_left")
    ids = {r.id for r in chosen}
    new = draft.derive("incident")
    first = min(chosen, key=lambda r: (r.occurred_at, r.id))
    left_members = {s for r in _left(draft, a.id, ids) if (s := site_of(r)) is not None}
    members = tuple(sorted({s for r in chosen if r.confirmation == "confirmed" and (s := site_of(r)) is not None}))
    draft.put_incident(a.model_copy(update={
        "version": a.version + 1, "updated_at": draft.now, "members": tuple(m for m in a.members if m in left_members),
        "reports_count": a.reports_count - len(chosen),
    }), "split")  # fmt: skip
    draft.put_incident(IncidentRow(
        id=new, number=f"{a.number}-{a.version + 1}", kind=a.kind, key=f"split:{new}", state=IncidentState.OPEN, level=Level.N0,
        severity=max(r.severity for r in chosen), certainty=a.certainty, opened_at=first.occurred_at, known_at=draft.now,
        updated_at=draft.now, version=0, members=members, communes=a.communes, reports_count=len(chosen),
        last_at=max(r.occurred_at for r in chosen),
    ), "split")  # fmt: skip
    draft.flush()
    _move_reports(draft, chosen, new)
    for cause in [x for x in draft.state.causes.values() if draft.standing(x.incident) == a.id and x.reports and set(x.reports) <= ids]:
        put(draft, cause.model_copy(update={"incident": new}))
    draft.concerned.add(new)
    for site in members:
        draft.doubtful.add(site)
    settle(draft, draft.everything())
    return {"incident": new, "from": a.id}


def _left(draft: Draft, incident: str, gone: set[str]) -> list[ReportRow]:
    return [draft.state.reports[r] for r in draft.state.incident_reports.get(incident, ()) if r not in gone]


# ── level ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _set_level(draft: Draft, given: Input, command: c.SetLevel) -> Result:
    """Up by anyone of the cell; down only by a pilot of the current level, with a reason, and while nothing holds it up (D31)."""
    scope = None if command.scope == TERRITORY else command.scope
    incident = _open(_incident(draft, scope, command.expected)) if scope is not None else None
    row = draft.state.levels.get(TERRITORY)
    current = incident.level if incident is not None else draft.level
    if scope is None and command.expected is not None and command.expected != (row.version if row else 0):
        raise Refused(412, "version_changed", expected=command.expected, version=row.version if row else 0)
    if command.level == current:
        raise Refused(409, "level_unchanged", level=int(current))
    if command.level > current:
        rises = _raise_by_hand(draft, command, incident)
    else:
        _check_fall(draft, command, current, scope)
        rises = Rises()
        _fall(draft, command, incident)
    settle(draft)
    escalation.follow(draft, rises)
    draft.flush()
    return {"scope": command.scope, "level": int(command.level), "version": _level_version(draft, scope)}


def _level_version(draft: Draft, scope: str | None) -> int:
    if scope is not None:
        return draft.state.incidents[scope].version
    row = draft.state.levels.get(TERRITORY)
    return row.version if row else 0


def _raise_by_hand(draft: Draft, command: c.SetLevel, incident: IncidentRow | None) -> Rises:
    rises, why = Rises(), (Why(code="manual", args={"author": command.author, "level": int(command.level)}, at=draft.now),)
    if incident is not None:
        rises.incidents[incident.id] = incident.level
        draft.alter(incident.id, "level", level=command.level, why=(*incident.why, *why), version=incident.version + 1, updated_at=draft.now)
    raise_territory(draft, command.level, why, rises)
    if incident is None:
        _count_decision(draft)
    return rises


def _count_decision(draft: Draft) -> None:
    row = draft.state.levels[TERRITORY]
    draft.emit(LevelChanged(row=row.model_copy(update={"version": row.version + 1}), previous=row.level))


def _check_fall(draft: Draft, command: c.SetLevel, current: Level, scope: str | None) -> None:
    policy = draft.territory.policy
    pilots = next((r.pilots for r in policy.levels if r.level == current), ()) if policy else ()
    if pilots and not any(may_decide(command.role, p) for p in pilots):
        raise Refused(403, "not_pilot", level=int(current), pilots=", ".join(pilots))
    if not command.reason:
        raise Refused(409, "reason_needed", level=int(current))
    if not command.force and still_holding(draft, Level(command.level + 1), scope):
        raise Refused(409, "predicate_holds", level=int(current))
    if scope is None and not command.force:
        above = [i.number for i in draft.incidents(draft.open_incidents) if i.level > command.level]
        if above:
            raise Refused(409, "incident_above", incidents=", ".join(above))


def _fall(draft: Draft, command: c.SetLevel, incident: IncidentRow | None) -> None:
    """Falls by decision: the ladder of the level that is left ends, its ackers are told, nobody must ack (D35)."""
    why = (Why(code="manual", args={"author": command.author, "level": int(command.level)}, at=draft.now),)
    if incident is not None:
        draft.alter(incident.id, "level", level=command.level, why=(*incident.why, *why), version=incident.version + 1, updated_at=draft.now)
        _end_ladder(draft, incident.id, command.level)
        return
    old = draft.state.levels.get(TERRITORY)
    before = draft.level
    draft.level = command.level
    draft.touch("levels")
    row = LevelRow(id=TERRITORY, level=command.level, since=draft.now, why=why, version=(old.version if old else 0) + 1)
    draft.emit(LevelChanged(row=row, previous=before))
    _end_ladder(draft, TERRITORY, command.level)


def _end_ladder(draft: Draft, scope: str, level: Level) -> None:
    ladder = escalation.running(draft, scope)
    if ladder is None or ladder.level <= level:
        return
    escalation.supersede(draft, ladder, None, "ended", "level_lowered")
    incident = ladder.incidents[0] if ladder.incidents else None
    escalation.inform(draft, ladder.acknowledged_by, incident, "information", {"lowered": int(level), "from": int(ladder.level)})


# ── reports, tasks, notes ──────────────────────────────────────────────────────────────────────────────────────────


def _confirm(draft: Draft, given: Input, command: c.ConfirmReport) -> Result:
    row = _report(draft, command.report)
    if row.confirmation == "confirmed":
        raise Refused(409, "confirmed_already", report=row.id)
    reports.confirm(draft, row, command.author)
    settle(draft)
    return {"report": row.id, "incident": draft.state.reports[row.id].incident}


def _deny(draft: Draft, given: Input, command: c.DenyReport) -> Result:
    row = _report(draft, command.report)
    if row.confirmation == "denied":
        raise Refused(409, "denied_already", report=row.id)
    reports.deny(draft, row, command.author)
    settle(draft)
    return {"report": row.id}


def _link(draft: Draft, given: Input, command: c.LinkReport) -> Result:
    row = _report(draft, command.report)
    if "site_unknown" not in row.flags:
        raise Refused(409, "site_known_already", report=row.id, site=row.site)
    if command.site not in draft.territory.sites:
        raise Refused(404, "site_unknown", site=command.site)
    reports.link(draft, row, command.site, command.author)
    settle(draft)
    return {"report": row.id, "site": command.site}


def _take_task(draft: Draft, given: Input, command: c.TakeTask) -> Result:
    row = draft.state.tasks.get(command.task)
    if row is None:
        raise Refused(404, "task_unknown", task=command.task)
    if row.state is not TaskState.OPEN:
        raise Refused(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    draft.emit(TaskChanged(row=row.model_copy(update={"state": TaskState.TAKEN, "taken_by": command.author})))
    return {"task": row.id, "state": "taken"}


def _complete_task(draft: Draft, given: Input, command: c.CompleteTask) -> Result:
    """Done. The outcome `lifted` of an overdue cause lifts it; any other only closes the task: facts come as reports."""
    row = draft.state.tasks.get(command.task)
    if row is None:
        raise Refused(404, "task_unknown", task=command.task)
    if row.state not in (TaskState.OPEN, TaskState.TAKEN):
        raise Refused(409, "task_not_open", state=row.state.value, taken_by=row.taken_by)
    tasks.done(draft, row, command.author, command.outcome)
    if row.kind == "overdue_cause" and command.outcome == "lifted" and row.site is not None:
        for id in draft.state.site_causes.get(row.site, ()):
            cause = draft.state.causes[id]
            if cause.overdue and cause.type.value in row.candidates:
                lift(draft, cause, draft.now, f"task:{row.id}")
        settle(draft)
    return {"task": row.id, "state": "done"}


def _note(draft: Draft, given: Input, command: c.AddNote) -> Result:
    if command.incident is not None:
        _incident(draft, command.incident)
    line = draft.derive("note")
    draft.emit(NoteAdded(
        line=line, text_id=command.text_id, author=command.author, role=command.role, incident=command.incident,
        corrects=command.corrects, occurred_at=draft.now if command.occurred_at is None else command.occurred_at,
    ))  # fmt: skip
    return {"line": line}


def _publish(draft: Draft, given: Input, command: PublishReference) -> Result:
    """One section of the reference data; with the last one everything is judged again under the new version."""
    draft.emit(ReferencePublished(reference=command.reference, data=command.data, last=command.last))
    if command.last:
        draft.doubtful.update(draft.state.site_causes)
        settle(draft, draft.everything())
    return {"reference": command.reference, "section": command.data.section.value}


_APPLY: Final[dict[type[Command], Callable[[Draft, Input, Any], Result]]] = {
    c.AcknowledgeIncident: _acknowledge,
    c.EscalateIncident: _escalate,
    c.ResolveIncident: _resolve,
    c.ReopenIncident: _reopen,
    c.MergeIncidents: _merge,
    c.SplitIncident: _split,
    c.AddNote: _note,
    c.ConfirmReport: _confirm,
    c.DenyReport: _deny,
    c.LinkReport: _link,
    c.SetLevel: _set_level,
    c.TakeTask: _take_task,
    c.CompleteTask: _complete_task,
    PublishReference: _publish,
}
