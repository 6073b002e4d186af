"""Queries that draft documents and return the frozen ones. Rules D53 and D54."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from schemas import alerts as a
from schemas import calling
from schemas import continuity as c
from schemas import delivery as d
from schemas import reassignment as g
from schemas.base import Instant
from schemas.callouts import CallOutRow
from schemas.crisis.obligations import ObligationRow, ObligationState
from schemas.words import TaskState
from services.console import resources as r
from services.console.attention.rows import find_help_requests
from services.console.continuity.clocks import add_announced_ends, list_running_clocks
from services.console.continuity.queries import read_local_clocks
from services.console.documents.document import Citations, Document, DocumentLine, hash_document
from services.console.documents.facts import SitrepFacts
from services.console.documents.retex import RetexFacts, draft_retex
from services.console.documents.sitrep import draft_sitrep
from services.console.documents.sitrep.continuity import list_decisions
from services.console.documents.telling import select_cell_lines
from services.console.hazards.queries import HazardQueries
from services.console.http.problems import NotFound
from services.console.i18n import get_translator
from services.console.incidents.escalation_page import build_escalation, find_main_escalation
from services.console.incidents.merging import list_merged_incidents, match_incident
from services.console.incidents.queries import IncidentQueries
from services.console.logbook.lines import LineRecord
from services.console.logbook.queries import LogbookQueries
from services.console.proof.queries import ProofQueries
from services.console.proof.view import ProofWriter
from services.console.read_model import snapshot as pictures
from services.console.read_model.query_base import OpenedRealm, build_realm_now, get_snapshot_time
from services.console.read_model.shapes import OPEN_STATES, Shaper
from services.console.resources import Page, to_datetime
from services.console.risk.queries import RiskQueries
from services.messages.names import TERRITORY
from services.runtime.http.problems import ProblemError, build_bilingual, declare_problem

declare_problem(
    "document_changed",
    500,
    build_bilingual("Document altéré", "Altered document"),
    build_bilingual(
        "Le document gardé ne correspond plus à l’empreinte du journal : il n’est pas montré. "
        "Prévenez l’exploitation.",
        "The stored document no longer matches the hash in the log: it is not shown. Tell "
        "operations.",
    ),
)

RETEX_LINES: Final = 10_000
SITREP_LINES: Final = 4_000
"""Number of newest logbook lines that a draft may cite."""


class DocumentQueries(HazardQueries, IncidentQueries, LogbookQueries, ProofQueries, RiskQueries):
    async def sitreps(self) -> Page[r.Sitrep]:
        """Return the validated situation reports, newest first."""
        view = await self.read()
        rows = await view.picture.rows(c.SitrepRow)
        return Page(
            items=[
                view.shape.sitrep(row) for row in sorted(rows.values(), key=lambda row: -row.number)
            ]
        )

    async def sitrep(self, number: int) -> tuple[c.SitrepRow, Document]:
        """Return a validated report as it was frozen.

        Raises NotFound, ProblemError `erased`, `document_changed`.
        """
        view = await self.read()
        row = await view.picture.require(c.SitrepRow, str(number))
        return row, self.document(row)

    def document(self, row: c.SitrepRow) -> Document:
        """Return the frozen document of a row. Raises ProblemError `erased`, `document_changed`."""
        item = (
            self._texts.get_many([row.text_id]).get(row.text_id)
            if self._texts is not None
            else None
        )
        if item is None or item.raw is None:
            raise ProblemError("erased")
        if hash_document(item.raw) != row.sha256:
            raise ProblemError("document_changed")
        return Document.model_validate_json(item.raw)

    async def draft_sitrep(
        self,
        *,
        langs: Sequence[str] = ("fr", "en"),
        remarks: Mapping[str, str] | None = None,
        validated_by: str | None = None,
        partners: Mapping[str, Instant] | None = None,
        recipients: Sequence[str] = (),
    ) -> Document:
        """Draft the next situation report.

        `partners` are the verifications of their numbers in the directory, for the proof of plans.
        """
        view = await self.of(self._realm, langs[0]).read()
        facts = await self._facts(view, langs, remarks or {}, validated_by, partners)
        return draft_sitrep([replace(one, recipients=recipients) for one in facts])

    async def pending_decisions(self) -> list[DocumentLine]:
        """Return the decisions that wait for a person, as the situation report lists them."""
        view = await self.read()
        resource, at = build_realm_now(view.picture), get_snapshot_time(view.picture)
        facts = await self._build_sitrep_facts(view, resource, at, None, (), {}, None)
        return list_decisions(facts, Citations((), {}))

    async def _facts(
        self,
        view: OpenedRealm,
        langs: Sequence[str],
        remarks: Mapping[str, str],
        validated_by: str | None,
        partners: Mapping[str, Instant] | None = None,
    ) -> list[SitrepFacts]:
        picture = view.picture
        simulation = await self.simulate_risks(picture)
        proven = await self.plan_proofs(partners=partners)
        resource = build_realm_now(picture)
        at = get_snapshot_time(picture)
        previous = max(
            (await picture.rows(c.SitrepRow)).values(), key=lambda row: row.number, default=None
        )
        lines = await self._list_sitrep_lines(picture)
        incidents = [
            i for i in (await picture.rows(a.IncidentRow)).values() if i.state in OPEN_STATES
        ]
        since = min(
            [i.known_at for i in incidents] + ([previous.as_of] if previous else []), default=at
        )
        all_facts = []
        for lang in langs:
            one = OpenedRealm(
                picture, Shaper(picture.realm, picture.reference, self._outlines, lang, at)
            )
            facts = await self._build_sitrep_facts(
                one,
                resource,
                at,
                previous,
                [line for line in lines if line.recorded_at >= since],
                remarks,
                validated_by,
            )
            writer = ProofWriter(proven[0], facts._)
            all_facts.append(
                replace(
                    facts,
                    risks=simulation.shape(one),
                    proofs=writer.write_proofs(picture.realm, proven[1]),
                )
            )
        return all_facts

    async def _list_sitrep_lines(self, picture: pictures.RealmSnapshot) -> Sequence[LineRecord]:
        records, _more = await self._lines(picture, None, SITREP_LINES)
        return records

    async def _build_sitrep_facts(
        self,
        view: OpenedRealm,
        resource: r.Realm,
        at: Instant,
        previous: c.SitrepRow | None,
        lines: Sequence[LineRecord],
        remarks: Mapping[str, str],
        validated_by: str | None,
    ) -> SitrepFacts:
        picture, shape, reference = view.picture, view.shape, view.picture.reference
        _, now = get_translator(shape.lang), to_datetime(at)
        level = shape.level("territory", (await picture.rows(a.LevelRow)).get("territory"))
        site_rows, activity_rows = await picture.rows(a.SiteRow), await picture.rows(c.ActivityRow)
        plan_rows, tasks = await picture.rows(c.PlanRow), await picture.rows(a.TaskRow)
        local = await read_local_clocks(picture)
        activities = [
            shape.activity(static, activity_rows.get(static.id), local.get(static.id, ()))
            for static in reference.activities.values()
        ]
        incidents = [i for i in await self._incidents(view) if i.state in OPEN_STATES]
        sites = [
            shape.site(static, site_rows.get(static.id)) for static in reference.sites.values()
        ]
        escalations = [
            shape.escalation(row) for row in (await picture.rows(calling.EscalationRow)).values()
        ]
        main = find_main_escalation(escalations, incidents[0].id if incidents else None)
        notifications = [
            n
            for n in (await picture.rows(d.NotificationRow)).values()
            if main is not None and n.escalation == main.id
        ]
        ladder = (
            build_escalation(
                main, [shape.notification(n) for n in notifications], reference.names, _
            )
            if main
            else None
        )
        alarms = sorted(
            (await picture.rows(c.AlarmRow)).values(), key=lambda row: (-row.raised_at, row.id)
        )
        return SitrepFacts(
            lang=shape.lang,
            _=_,
            names=reference.names,
            territory=TERRITORY.get(resource.territory, resource.territory),
            realm=resource,
            at=now,
            level=level,
            rule=reference.find_level_rule(level.level),
            incidents=incidents,
            sites=sites,
            activities=activities,
            clocks=add_announced_ends(list_running_clocks(activities, now), sites, incidents, now),
            plans=[
                shape.plan(static, plan_rows.get(static.id)) for static in reference.plans.values()
            ],
            proposal=next(
                (
                    row
                    for row in (await picture.rows(g.ProposalRow)).values()
                    if row.state is g.ProposalState.OPEN
                ),
                None,
            ),
            reassignments=[
                row
                for row in (await picture.rows(g.ReassignmentRow)).values()
                if row.state in g.ACTIVE_LINE_STATES
            ],
            alarms=[shape.alarm(row) for row in alarms],
            tasks=[
                shape.task(t)
                for t in tasks.values()
                if t.state in (TaskState.OPEN, TaskState.TAKEN)
            ],
            ladder=ladder,
            reports=list((await picture.rows(a.ReportRow)).values()),
            obligations=sorted(
                (
                    row
                    for row in (await picture.rows(ObligationRow)).values()
                    if row.state is ObligationState.RUNNING
                ),
                key=lambda row: (row.due_at, row.id),
            ),
            help_requests=find_help_requests(
                (await picture.rows(CallOutRow)).values(), await picture.rows(a.IncidentRow), at
            ),
            flags=[shape.flag(f) for f in (await picture.rows(a.FlagRow)).values()],
            previous=previous,
            lines=lines,
            remarks=remarks,
            validated_by=validated_by,
            hazards=await self.shape_hazards(view),
            reasons=self._reasons_of(
                [*level.why, *(reason for i in incidents for reason in i.why)]
            ),
        )

    def _reasons_of(self, whys: Sequence[r.Reason]) -> dict[str, str]:
        """Return the texts of decisions about levels, by their reference in the reason."""
        references = {str(reason.args["reason"]) for reason in whys if "reason" in reason.args}
        return {ref: words for ref in references if (words := self.reason_of(ref)) is not None}

    async def draft_retex(
        self, *, incident: str | None = None, langs: Sequence[str] = ("fr", "en")
    ) -> Document:
        """Draft the lessons learned of one incident, or of the whole realm. Raises NotFound."""
        view = await self.of(self._realm, langs[0]).read()
        picture = view.picture
        resource = build_realm_now(picture)
        at = get_snapshot_time(picture)
        lines = await self._list_retex_lines(picture, incident)
        all_facts = []
        for lang in langs:
            one = OpenedRealm(
                picture, Shaper(self._realm, picture.reference, self._outlines, lang, at)
            )
            all_facts.append(await self._retex_facts(one, resource, at, incident, lines))
        return draft_retex(all_facts)

    async def _read_incident_lines(
        self, picture: pictures.RealmSnapshot, incident: str | None
    ) -> tuple[Sequence[LineRecord], str | None]:
        return await self._lines(picture, incident, RETEX_LINES)

    async def _list_retex_lines(
        self, picture: pictures.RealmSnapshot, incident: str | None
    ) -> list[LineRecord]:
        """List the lines of an incident, of those merged into it, and of the cell meanwhile.

        Newest first; without an incident all lines.
        """
        every, _more = await self._read_incident_lines(picture, None)
        rows = await picture.rows(a.IncidentRow)
        row = rows.get(incident or "")
        if incident is None or row is None:
            return list(every)
        lines = {line.key: line for line in select_cell_lines(every, row.opened_at, row.closed_at)}
        for id in list_merged_incidents(rows, incident):
            mine, _more = await self._read_incident_lines(picture, id)
            lines |= {line.key: line for line in mine}
        return [lines[key] for key in sorted(lines, reverse=True)]

    async def _retex_facts(
        self,
        view: OpenedRealm,
        resource: r.Realm,
        at: Instant,
        incident: str | None,
        lines: Sequence[LineRecord],
    ) -> RetexFacts:
        picture, shape, reference = view.picture, view.shape, view.picture.reference
        incidents = [
            i
            for i in await self._incidents(view)
            if incident in (None, i.id) and i.merged_into is None
        ]
        if incident is not None and not incidents:
            raise NotFound
        is_ours = await match_incident(picture, incident)
        activity_rows, plan_rows, local = (
            await picture.rows(c.ActivityRow),
            await picture.rows(c.PlanRow),
            await read_local_clocks(picture),
        )
        activities = [
            shape.activity(static, activity_rows.get(static.id), local.get(static.id, ()))
            for static in reference.activities.values()
        ]
        plans = [
            shape.plan(static, plan_rows.get(static.id)) for static in reference.plans.values()
        ]
        escalations = [
            shape.escalation(row) for row in (await picture.rows(calling.EscalationRow)).values()
        ]
        mine = [
            e for e in escalations if is_ours(e.scope) or any(is_ours(id) for id in e.incidents)
        ]
        notifications = [
            n
            for n in (await picture.rows(d.NotificationRow)).values()
            if is_ours(n.incident) or n.escalation in {e.id for e in mine}
        ]
        improvements = [
            i for i in (await picture.rows(c.ImprovementRow)).values() if is_ours(i.incident)
        ]
        alarms = sorted(
            (row for row in (await picture.rows(c.AlarmRow)).values() if is_ours(row.incident)),
            key=lambda row: (row.raised_at, row.id),
        )
        hit = {
            line.values["activity"] for line in lines if line.type == "ActivityChanged"
        }  # an activity that has recovered names no incident
        policy = reference.policy
        return RetexFacts(
            lang=shape.lang,
            _=get_translator(shape.lang),
            names=reference.names,
            territory=TERRITORY.get(resource.territory, resource.territory),
            realm=resource,
            at=to_datetime(at),
            hot=timedelta(hours=policy.retex_hot_h if policy else 0),
            cold=timedelta(days=policy.retex_cold_d if policy else 0),
            incidents=sorted(incidents, key=lambda i: (i.opened_at, i.id)),
            activities=[x for x in activities if is_ours(x.incident) or x.id in hit],
            plans=[p for p in plans if is_ours(p.incident)],
            alarms=[shape.alarm(row) for row in alarms],
            escalations=sorted(mine, key=lambda e: (e.started_at, e.id)),
            notifications=[shape.notification(n) for n in notifications],
            reports=[
                row for row in (await picture.rows(a.ReportRow)).values() if is_ours(row.incident)
            ],
            lines=lines,
            reassignments=sorted(
                (
                    row
                    for row in (await picture.rows(g.ReassignmentRow)).values()
                    if is_ours(row.incident)
                ),
                key=lambda row: (row.approved_at, row.id),
            ),
            agent_day_eur=policy.reassignment.agent_day_eur if policy else None,
            agent_day_draft=policy is not None and policy.reassignment.agent_day_draft,
            improvements=sorted(improvements, key=lambda i: (i.state != "open", i.due_at, i.id)),
            texts=self.texts_of(
                [
                    *(i.text_id for i in improvements),
                    *(i.reason.removeprefix("text:") for i in improvements if i.reason),
                    *(r.text_id for r in lines if r.type == "NoteAdded" and r.text_id is not None),
                ]
            ),
        )

    async def improvements(self) -> Page[r.Improvement]:
        """Return the improvement actions: open ones first, next due first. Rule D53."""
        view = await self.read()
        rows = sorted(
            (await view.picture.rows(c.ImprovementRow)).values(),
            key=lambda i: (i.state != "open", i.due_at, i.id),
        )
        texts = self.texts_of([row.text_id for row in rows])
        return Page(items=[view.shape.improvement(row, texts.get(row.text_id)) for row in rows])
