"""Turn rows and reference data into resources.

Pure. One function per resource, used for lists, single reads, the past and the live stream alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas import alerts as a
from schemas import calling
from schemas import callouts as o
from schemas import continuity as c
from schemas import delivery as d
from schemas import reassignment as g
from schemas import reference as ref
from schemas import reference_changes as v
from schemas.base import Instant
from schemas.catalogue.strategies import needs_outside_help
from schemas.crisis import contingency as k
from schemas.crisis import maintenance as m
from schemas.plans import Card, PlanContent
from schemas.reports import Window
from schemas.topics import is_live, parse_realm
from schemas.words import (
    ActivityState,
    CardState,
    ClockBase,
    ClockState,
    EventType,
    IncidentState,
    SiteStatus,
)
from services.console import resources as r
from services.console.continuity.fallbacks import PlanCollision
from services.console.continuity.pole_capacity import PoleCapacity
from services.console.i18n import get_translator
from services.console.incidents.titles import (
    write_conflict_title,
    write_incident_title,
    write_maintenance_title,
    write_task_title,
)
from services.console.logbook.lines import (
    LineRecord,
    endangers_people,
    render_line,
    render_repeated,
)
from services.console.read_model.realm_clock import find_limit, is_standing, show_clock
from services.console.read_model.reference_index import IndexedReference
from services.console.reassignment.texts import describe_reassignment_reason
from services.console.resource_base import to_optional_datetime
from services.console.resources import to_datetime
from services.console.sites.geometry import Outlines
from services.console.texts.reasons import write_reason
from services.runtime.secrets.erasure import TextErasure
from services.territory.editing.new_records import is_overtaken

TELEWORK = "telework"
OPEN_STATES = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class Shaper:
    """Turns the rows of one realm into resources in one language."""

    realm: str
    reference: IndexedReference
    outlines: Outlines
    lang: str
    at: Instant | None = None
    """Time of the snapshot, for running clocks; None shows them as recorded."""

    def reasons(self, whys: Iterable[a.Why]) -> list[r.Reason]:
        """Return each reason with its sentence."""
        return [
            r.Reason.from_row(w, text=write_reason(w, self.reference.names, self.lang))
            for w in whys
        ]

    def site(self, static: ref.Site, row: a.SiteRow | None) -> r.Site:
        x, y = self.outlines.plane.point(static.lon, static.lat)
        return r.Site.from_row(
            static,
            realm=self.realm,
            status=row.status if row else SiteStatus.NORMAL,
            since=to_datetime(row.since) if row else None,
            capacity_pct=row.capacity_pct if row else 100.0,
            causes=[_build_cause(cause) for cause in row.causes] if row else [],
            why=self.reasons(row.why) if row else [],
            last_word_at=to_optional_datetime(row.last_word_at) if row else None,
            flags=list(row.flags) if row else [],
            x=x,
            y=y,
            confinement=row.confinement if row else None,
            headcount=row.headcount if row else None,
        )

    def incident(
        self,
        row: a.IncidentRow,
        *,
        reports: Sequence[str] = (),
        ladder: calling.EscalationRow | None = None,
        plans: Sequence[str] = (),
        type: EventType | None = None,
        for_area: bool = False,
    ) -> r.Incident:
        """Build an incident; `type` is that of its gravest cause and makes the title specific.

        `for_area`: see `write_incident_title`.
        """
        sites = self.reference.sites
        return r.Incident.from_row(
            row,
            realm=self.realm,
            title=write_incident_title(
                row, self.reference.names, self.lang, type, for_area=for_area
            ),
            title_type=type,
            sites=list(row.members),
            members=len(row.members),
            poles=sorted({sites[s].pole for s in row.members if s in sites}),
            cause=r.IncidentCause(key=row.key, kind=row.kind),
            reports=list(reports),
            escalation=ladder,
            plans=list(plans),
            why=self.reasons(row.why),
        )

    def add_event_type(
        self, incident: r.Incident, row: a.IncidentRow, type: EventType, *, for_area: bool
    ) -> r.Incident:
        """Return the incident with a title that contains the type of event."""
        return incident.model_copy(
            update={
                "title": write_incident_title(
                    row, self.reference.names, self.lang, type, for_area=for_area
                ),
                "title_type": type,
            }
        )

    def report(
        self,
        row: a.ReportRow,
        headline: str | None = None,
        description: str | None = None,
        attachments: Sequence[str] = (),
        erasure: TextErasure | None = None,
        contact: str | None = None,
    ) -> r.Report:
        held_parts = row.held or a.Held()
        return r.Report.from_row(
            row,
            realm=self.realm,
            why=self.reasons(row.why),
            effective=[_build_interval(w) for w in row.effective],
            expected_end=to_optional_datetime(row.expected_end or held_parts.expected_end),
            measure=held_parts.measure or row.measure,
            colour=row.colour or held_parts.colour,
            headline=headline,
            description=description,
            attachments=list(attachments),
            contact=contact,
            erased_at=to_datetime(erasure.at) if erasure else None,
            erased_reason=erasure.reason if erasure else None,
        )

    def escalation(self, row: calling.EscalationRow) -> r.Escalation:
        return r.Escalation.from_row(row, realm=self.realm)

    def task(self, row: a.TaskRow) -> r.Task:
        return r.Task.from_row(
            row, realm=self.realm, title=write_task_title(row, self.reference.names, self.lang)
        )

    def instruction(self, row: a.TaskRow, text: str | None) -> r.Instruction:
        """Shape the task of an instruction. `text` holds its words if the reader may read them."""
        answer = None if row.done_at is None else row.outcome
        return r.Instruction.from_row(
            row,
            realm=self.realm,
            site=row.site or "",
            text=text,
            asked_at=to_datetime(row.opened_at),
            answer=answer,
            answered_at=to_optional_datetime(row.done_at),
            answered_by=None if row.done_at is None else row.taken_by,
        )

    def level(self, id: str, row: a.LevelRow | None) -> r.LevelState:
        if row is None:
            return r.LevelState(
                id=id,
                realm=self.realm,
                level=0,
                since=None,
                why=[],
                version=0,
                proposed=None,
                proposed_why=[],
            )
        return r.LevelState.from_row(
            row,
            realm=self.realm,
            why=self.reasons(row.why),
            proposed_why=self.reasons(row.proposed_why),
        )

    def flag(self, row: a.FlagRow) -> r.Flag:
        return r.Flag.from_row(row, realm=self.realm)

    def trigger(self, row: a.TriggerRow) -> r.Trigger:
        return r.Trigger.from_row(
            row, realm=self.realm, why=self.reasons(row.why), current=self.reasons(row.current)
        )

    def maintenance(
        self,
        row: m.MaintenanceRow,
        covered_sites: Sequence[str] = (),
        reason: Mapping[str, Any] | None = None,
    ) -> r.Maintenance:
        """Build a maintenance window.

        `covered_sites` holds the site of each open cause that it covers; `reason` is its text, for
        readers with the right to it.
        """
        reason_fields = reason or {}
        return r.Maintenance.from_row(
            row,
            realm=self.realm,
            title=write_maintenance_title(row.covers, self.reference.names, self.lang),
            reason=reason_fields.get("text"),
            created_by=reason_fields.get("created_by"),
            causes=len(covered_sites),
            covered_sites=sorted(set(covered_sites)),
        )

    def reference_change(
        self, row: v.ReferenceChangeRow, texts: Mapping[str, Any] | None = None
    ) -> r.ReferenceChange:
        """Build a change of the reference data.

        `texts` maps text references to their fields, for readers with the right to them.
        """
        text_fields = texts or {}
        return r.ReferenceChange.from_row(
            row,
            realm=self.realm,
            outdated=row.state is v.ChangeState.PROPOSED and self._is_outdated(row),
            decisions=[
                r.ChangeDecision.from_row(d, reason=text_fields.get(d.reason or "", {}).get("text"))
                for d in row.decisions
            ],
        )

    def _is_outdated(self, row: v.ReferenceChangeRow) -> bool:
        if row.edit is None:
            return row.base != self.reference.version
        return is_overtaken(self.reference.sections, row.edit)

    def lease(self, row: m.LeaseRow, report: a.ReportRow | None) -> r.Lease:
        """Build a lease; `report` is the one that opened it."""
        return r.Lease.from_row(row, realm=self.realm, labels=dict(report.labels) if report else {})

    def activity(
        self, static: ref.Activity, row: c.ActivityRow | None, local: Iterable[c.LocalClockRow] = ()
    ) -> r.Activity:
        names = self.reference.names
        return r.Activity.from_row(
            static,
            realm=self.realm,
            pole_name=names.pole(static.pole, self.lang),
            name=names.activity(static.id, self.lang),
            short_name=names.activity_short(static.id, self.lang),
            state=row.state if row else ActivityState.NOMINAL,
            declared=row.declared if row else None,
            declared_by=row.declared_by if row else None,
            computed=row.computed if row else ActivityState.NOMINAL,
            capacity_pct=row.capacity_pct if row else 100.0,
            computed_pct=row.computed_pct if row else 100.0,
            arrived=row.arrived if row else 0,
            since=to_datetime(row.since) if row else None,
            rto=self._clock(row.rto if row else _build_idle_clock(ClockBase.RTO, static.rto_h)),
            mtpd=self._clock(row.dmia if row else _build_idle_clock(ClockBase.DMIA, static.dmia_h)),
            local=[self.local(one) for one in local],
            forecast_breach_at=to_optional_datetime(row.forecast_breach_at) if row else None,
            expected_end=to_optional_datetime(row.expected_end) if row else None,
            incident=row.incident if row else None,
            path=row.path if row else [],
            path_more=row.path_more if row else 0,
            why=self.reasons(row.why) if row else [],
            active_strategies=list(row.strategies) if row else [],
            next_strategy=row.next_strategy if row else next(iter(static.strategies), None),
        )

    def _clock(self, row: c.ClockRow) -> r.Clock:
        clock = r.Clock.from_row(row)
        return clock if self.at is None else clock.at(to_datetime(self.at))

    def local(self, row: c.LocalClockRow) -> r.LocalClock:
        clocks = {clock.base: self._clock(clock) for clock in row.clocks}
        return r.LocalClock.from_row(
            row,
            site_name=self.reference.names.site(row.site),
            rto=clocks.get(ClockBase.RTO),
            mtpd=clocks.get(ClockBase.DMIA),
        )

    def alarm(self, row: c.AlarmRow) -> r.Alarm:
        return r.Alarm.from_row(row, realm=self.realm)

    def strategy(self, row: c.StrategyRow) -> r.Strategy:
        return r.Strategy.from_row(row, realm=self.realm)

    def contingency(self, row: k.ContingencyRow) -> r.Contingency:
        return r.Contingency.from_row(
            row,
            realm=self.realm,
            worst=[self._loss(loss) for loss in row.worst],
            gains=[self._gain(gain) for gain in row.gains or ()],
            paired_names=[self.reference.names.site(site) for site in row.paired],
        )

    def _gain(self, row: k.GainRow) -> r.Gain:
        names = self.reference.names
        name = (
            names.site(row.what) if row.kind == "generator" else names.metier(row.what, self.lang)
        )
        return r.Gain.from_row(row, name=name)

    def _loss(self, loss: k.LossRow) -> r.Loss:
        return r.Loss.from_row(
            loss,
            names=[self.reference.names.site(s) for s in loss.sites],
            gaps=[self._gap(gap) for gap in loss.gaps],
        )

    def _gap(self, gap: k.GapRow) -> r.Gap:
        static = self.reference.activities.get(gap.activity)
        return r.Gap.from_row(
            gap,
            activity_name=self.reference.names.activity(gap.activity, self.lang),
            metier_name=self.reference.names.metier(gap.metier, self.lang),
            outside_help=[s for s in static.strategies if needs_outside_help(s)] if static else [],
        )

    def proposal(self, row: g.ProposalRow) -> r.Proposal:
        """Build a proposal without its lines."""
        decided_lines = {line for d in row.decisions for line in d.lines} | set(row.withdrawn)
        return r.Proposal.from_row(
            row,
            realm=self.realm,
            lines_total=row.lines,
            undecided=row.lines - len(decided_lines),
            withdrawn=len(row.withdrawn),
            unmet=[self._missing(x) for x in row.unmet],
            idle=[self._missing(x) for x in row.idle],
            suspended=[self._missing(x) for x in row.suspended],
            lines=None,
        )

    def _missing(self, row: g.NotPossible) -> r.MissingAgents:
        static = self.reference.activities.get(row.activity)
        return r.MissingAgents.from_row(
            row,
            activity_name=self.reference.names.activity(row.activity, self.lang),
            metier_name=self.reference.names.metier(row.metier, self.lang),
            why=self._moves_why(row.why),
            outside_help=[s for s in static.strategies if needs_outside_help(s)] if static else [],
        )

    def _moves_why(self, why: Iterable[g.Reason]) -> list[r.ReassignmentReason]:
        return [
            r.ReassignmentReason(
                code=x.code,
                text=describe_reassignment_reason(x, self.reference.names, self.lang),
                values=dict(x.values),
            )
            for x in why
        ]

    def _end(self, site: str, activity: str) -> r.ReassignmentEnd:
        name = "" if site == TELEWORK else self.reference.names.site(site)
        return r.ReassignmentEnd(
            site=site,
            name=name,
            activity=activity,
            activity_name=self.reference.names.activity(activity, self.lang),
        )

    def line_of_proposal(self, row: g.LineRow, proposal: g.ProposalRow) -> r.ReassignmentLine:
        """Build a line as proposed, with the decision about it."""
        decision = next((d for d in proposal.decisions if row.id in d.lines), None)
        withdrawn = row.id in proposal.withdrawn
        open_ = proposal.state is g.ProposalState.OPEN and not withdrawn
        state, approval = g.LineState.PROPOSED if open_ else g.LineState.VOID, None
        if decision is not None:
            state = g.LineState.DECLINED if decision.verb == "decline" else g.LineState.APPROVED
            approval = decision if decision.verb == "approve" else None
        return self._line(row, proposal.id, state, proposal.incident).model_copy(
            update={
                "approved_by": approval.by,
                "approved_role": approval.role,
                "approved_at": to_datetime(approval.at),
                "rules": list(approval.rules),
            }
            if approval is not None
            else {"cause": "confined" if withdrawn else None}
        )

    def reassignment(self, row: g.ReassignmentRow) -> r.ReassignmentLine:
        """Build an approved line."""
        return self._line(row, row.proposal, row.state, row.incident).model_copy(
            update={
                "needed": row.needed,
                "approved_by": row.approved_by,
                "approved_role": row.approved_role,
                "approved_at": to_datetime(row.approved_at),
                "rules": list(row.rules),
                "dispatched_at": to_optional_datetime(row.dispatched_at),
                "accepted_at": to_optional_datetime(row.accepted_at),
                "starts_at": to_optional_datetime(row.starts_at),
                "ends_at": to_optional_datetime(row.ends_at),
                "arrived_at": to_optional_datetime(row.arrived_at),
                "ended_at": to_optional_datetime(row.ended_at),
                "cause": row.cause,
                "changed_by": row.by,
            }
        )

    def _vulnerable(self, row: g.LineRow) -> int:
        """Return how much vulnerable people depend on a line, by its site or its activity.

        Rule D82, solidarity.
        """
        site = self.reference.sites.get(row.need_site or row.site)
        activity = self.reference.activities.get(row.need_activity or row.activity)
        return max(
            site.vulnerable_public if site else 0, activity.vulnerable_public if activity else 0
        )

    def _line(
        self, row: g.LineRow, proposal: str, state: g.LineState, incident: str | None
    ) -> r.ReassignmentLine:
        own = not row.need_activity
        return r.ReassignmentLine.model_validate(
            {
                "id": row.id,
                "realm": self.realm,
                "proposal": proposal,
                "from": self._end(row.site, row.activity),
                "to": self._end(row.place, row.activity if own else row.need_activity),
                "need_site": row.need_site or None,
                "metier": row.metier,
                "metier_name": self.reference.names.metier(row.metier, self.lang),
                "need_metier": row.need_metier or None,
                "need_metier_name": self.reference.names.metier(row.need_metier, self.lang)
                if row.need_metier
                else None,
                "supply": row.supply,
                "own_work": own,
                "count": row.count,
                "recalled": row.recalled,
                "held": row.held,
                "vulnerable_public": self._vulnerable(row),
                "criticality": row.criticality,
                "score": {"tenths": row.tenths, "minutes": row.minutes, "co2_g": row.grams},
                "state": state,
                "why": self._moves_why(row.why),
                "incident": incident,
                "needed": None,
                "approved_by": None,
                "approved_role": None,
                "approved_at": None,
                "rules": [],
                "dispatched_at": None,
                "accepted_at": None,
                "arrived_at": None,
                "ended_at": None,
                "cause": None,
            }
        )

    def plan(self, static: ref.Plan, row: c.PlanRow | None, stale: Sequence[str] = ()) -> r.Plan:
        running = {card.id: card for card in row.cards} if row else {}
        return r.Plan.from_row(
            static,
            realm=self.realm,
            state=row.state if row else static.shelf,
            level=row.level if row else 0,
            proposed_level=row.proposed_level if row else None,
            incident=row.incident if row else None,
            proposed_at=to_optional_datetime(row.proposed_at) if row else None,
            decided_at=to_optional_datetime(row.decided_at) if row else None,
            decided_by=row.decided_by if row else None,
            postponed_until=to_optional_datetime(row.postponed_until) if row else None,
            trigger_since=to_optional_datetime(row.trigger_since) if row else None,
            why=self.reasons(row.why) if row else [],
            cards=[
                *(_build_card(card, running) for card in static.cards),
                *(_build_withdrawn_card(card) for card in running.values() if card.task),
            ],
            version=row.version if row else 0,
            boxes=row.boxes if row else [],
            trigger_held=row.trigger_held if row else False,
            stand_down_proposed=row.stand_down_proposed if row else False,
            stand_down_at=to_optional_datetime(row.stand_down_at) if row else None,
            stand_down_text=static.stand_down.text if static.stand_down else None,
            stale=list(stale),
        )

    def plan_detail(
        self,
        plan: r.Plan,
        content: PlanContent | None,
        rows: Iterable[c.SiteCardRow],
        row: c.PlanRow | None,
        activation: r.Activation,
    ) -> r.PlanDetail:
        """Return a plan with its content and the progress of its site cards."""
        card_counts: dict[str, Counter[str]] = {}
        for one in rows:
            counts = card_counts.setdefault(one.card, Counter())
            counts["total"] += 1
            counts[one.state.value] += 1
            counts["overdue"] += self.is_overdue(row, one)
        names = ("total", *(state.value for state in CardState), "overdue")
        cards = [
            card.model_copy(
                update={
                    "progress": r.CardProgress(
                        **{name: card_counts[card.id][name] for name in names}
                    )
                }
            )
            if card.id in card_counts
            else card
            for card in plan.cards
        ]
        return r.PlanDetail(
            **{**dict(plan), "cards": cards}, content=content, activation=activation
        )

    def site_card(self, row: c.PlanRow | None, one: c.SiteCardRow) -> r.SiteCard:
        """Return the card of a site or person."""
        plan = self.reference.plans.get(one.plan)
        task = next((k.task for k in plan.cards if k.id == one.card), one.card) if plan else ""
        return r.SiteCard.from_row(
            one,
            task=task,
            name=None if one.site is None else self.reference.names.site(one.site),
            overdue=self.is_overdue(row, one),
        )

    def is_overdue(self, row: c.PlanRow | None, one: c.SiteCardRow) -> bool:
        """Check whether the open card of a site is overdue at the time of this view."""
        if one.state not in (CardState.TO_DO, CardState.DOING) or self.at is None:
            return False
        decided_at = row.decided_at if row is not None else None
        return max(one.due_at, decided_at or 0, one.ready_at or 0) <= self.at

    def conflict(self, collision: PlanCollision) -> r.PlanConflict:
        text = write_conflict_title(
            collision.other,
            collision.kind,
            collision.activities,
            needed_places=collision.needed,
            free=collision.free,
            sound=collision.sound,
            occupied_sites=collision.held,
            names=self.reference.names,
            lang=self.lang,
        )
        return r.PlanConflict.from_row(collision, text=text)

    def sitrep(self, row: c.SitrepRow) -> r.Sitrep:
        return r.Sitrep.from_row(row, realm=self.realm)

    def improvement(self, row: c.ImprovementRow, text: str | None) -> r.Improvement:
        return r.Improvement.from_row(row, realm=self.realm, text=text)

    def notification(self, row: d.NotificationRow, texts: r.Texts | None = None) -> r.Notification:
        """Build a notification; `texts` holds its text per channel if the reader asked for it."""
        return r.Notification.from_row(row, realm=self.realm, person_token=row.person, texts=texts)

    def callout(self, row: o.CallOutRow, text: str | None = None) -> r.CallOut:
        """Build a call-out; `text` is the message, for readers with the right to it."""
        return r.CallOut.from_row(row, realm=self.realm, text=text)

    def hold(self, row: d.HoldRow | None, reason: str | None = None) -> r.Hold:
        """Build a hold; `reason` is its text, for readers with the right to it."""
        if row is None:
            return r.Hold(realm=self.realm, held=False, until=None, by=None, reason=None)
        return r.Hold.from_row(row, realm=self.realm, reason=reason)

    def line(self, record: LineRecord, text: str | None = None) -> r.Line:
        """Build a logbook line.

        `text` is free text that the reader may see. It replaces the sentence of a note; otherwise
        it follows the sentence as the reason of a decision.
        """
        late = (record.recorded_at - record.occurred_at) // 60_000
        sentence = render_line(record, self.reference.names, self.lang)
        if text is not None:
            _ = get_translator(self.lang)
            sentence = (
                text
                if record.type == "NoteAdded"  # the text is the line
                else _("{what} : {why}", what=sentence, why=text)
            )
        return r.Line.from_row(
            record,
            realm=self.realm,
            late_min=max(late, 0),
            text=sentence,
            together=None
            if text is not None
            else render_repeated(record, self.reference.names, self.lang),
            danger=endangers_people(record),
            early=record.type == "AlarmRaised" and record.values["pct"] < FULL_PCT,
        )

    def pole(
        self,
        static: ref.Pole,
        level: r.LevelState,
        sites: Mapping[SiteStatus, int],
        activities: Mapping[ActivityState, int],
        capacity: PoleCapacity,
    ) -> r.Pole:
        return r.Pole(
            id=static.id,
            realm=self.realm,
            name=self.reference.names.pole(static.id, self.lang),
            type=static.type,
            level=level.level,
            why=level.why,
            sites=dict(sites),
            sites_total=sum(sites.values()),
            activities=dict(activities),
            activities_total=sum(activities.values()),
            capacity_pct=capacity.now_pct,
            mbco_pct=capacity.minimum_pct,
            activities_below=capacity.below,
        )

    def commune(
        self, static: ref.Commune, sites: Mapping[SiteStatus, int], incidents: Sequence[str]
    ) -> r.Commune:
        x, y = self.outlines.plane.point(static.lon, static.lat)
        return r.Commune.from_row(
            static,
            realm=self.realm,
            x=x,
            y=y,
            path=self.outlines.paths.get(static.insee, ""),
            sites=dict(sites),
            incidents=list(incidents),
        )


def build_realm(
    fields: Mapping[str, Any], clock: Instant | None, real: Instant | None = None
) -> r.Realm:
    """Build a realm from the fields of the projection.

    `clock` is the logical time of the newest fact; `real` is now, for a realm as it is now.
    """
    name = str(fields["name"])
    territory, kind, _ = parse_realm(name)
    now = max(clock or fields["began_at"], fields["began_at"])
    to = fields.get("stepping_to")
    is_simulated = not is_live(name)
    display_clock = now if real is None or not is_simulated else show_clock(fields, now, real)
    limit = None if real is None or not is_simulated else find_limit(fields)
    return r.Realm(
        id=name,
        name=name,
        territory=fields.get("territory", territory),
        kind=kind,
        title_code=fields["title_code"],
        state=fields["state"],
        simulated=is_simulated,
        started_at=to_datetime(fields["started_at"]),
        opened_at=to_datetime(fields["opened_at"]),
        closed_at=to_optional_datetime(fields.get("closed_at")),
        clock=to_datetime(now),
        paused=bool(fields.get("paused")),
        speed=fields.get("speed"),
        stepping_to=to_datetime(to) if to is not None and to > now else None,
        lineage=fields["lineage"],
        reference=fields.get("reference"),
        shown_clock=to_datetime(display_clock),
        clock_limit=None if limit is None else to_datetime(max(limit, display_clock)),
        standing=real is not None and is_simulated and is_standing(fields, clock, real),
    )


def _build_interval(window: Window) -> r.Interval:
    return r.Interval(start=to_datetime(window.start), to=to_optional_datetime(window.end))


def _build_cause(row: a.CauseRow) -> r.Cause:
    return r.Cause.from_row(row, windows=[_build_interval(w) for w in row.windows])


def _build_idle_clock(base: ClockBase, limit_h: float) -> c.ClockRow:
    return c.ClockRow(base=base, state=ClockState.NEVER, limit_h=limit_h)


FULL_PCT: Final = 100
"""Share of a limit, in per cent, below which an alarm is early: pages hide it by default."""
_CLOSED_CARDS: Final = frozenset((CardState.DONE, CardState.NOT_APPLICABLE))


def _build_withdrawn_card(row: c.CardRow) -> r.Card:
    """Build a card that was withdrawn while its plan ran. Rule D86."""
    static = Card(id=row.id, t_min=0, role=row.role, pole=row.pole, task=row.task or "")
    return _build_card(static, {row.id: row})


def _build_card(static: Card, running: Mapping[str, c.CardRow]) -> r.Card:
    """Build a card from the reference data, with its state if the plan has one."""
    row = running.get(static.id)
    return r.Card.from_row(
        static,
        role=static.role if row is None else row.role,
        pole=static.pole if row is None else row.pole,
        due_at=None if row is None else to_datetime(row.due_at),
        state=CardState.TO_DO if row is None else row.state,
        overdue=row is not None and row.overdue,
        by=None if row is None else row.by,
        at=None if row is None else to_optional_datetime(row.at),
        proof=None if row is None else row.proof,
        waits_for=[
            other
            for other in static.depends_on
            if other in running and running[other].state not in _CLOSED_CARDS
        ],
    )
