"""Query incidents and their explanations."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas import alerts as a
from schemas import calling
from schemas import continuity as c
from schemas import delivery as d
from schemas.crisis.area_orders import (
    AREA_ORDER,
    CONCERNED,
    NOT_CONCERNED,
    AreaOrderRow,
)
from schemas.words import EventType, TaskState
from services.console import resources as r
from services.console.directory.meeting import read_meeting_place
from services.console.directory.resources import MeetingPlace
from services.console.incidents.cap import CapWriter
from services.console.incidents.merging import (
    find_standing_incident,
    list_merged_incidents,
    match_incident,
)
from services.console.incidents.resources import has_receipt
from services.console.incidents.titles import write_incident_title
from services.console.read_model.query_base import (
    UNLIMITED,
    OpenedRealm,
    QueryBase,
    find_barred_sites,
    find_sheltering_sites,
)
from services.console.read_model.reference_index import IndexedReference
from services.console.read_model.shapes import OPEN_STATES
from services.console.read_model.snapshot import RealmSnapshot
from services.console.resources import Page
from services.runtime.http.pagination import paginate

INCIDENTS_CACHED: Final = 20_000
"""Cached incident resources, over all realms and languages."""
REALMS_ORDERED: Final = 50
"""Realms with a cached order of incidents."""
REPORTS_EXPLAINED: Final = 1000
"""Reports that an explanation covers, oldest first."""
_TYPES: Final = frozenset(EventType)
_STATE_LINES: Final = frozenset({"IncidentChanged", "ReportChanged"})
"""Lines that record another state of an incident."""


@dataclass(frozen=True, slots=True)
class AreaOrderAnswers:
    """An order for an area, the newest question about each site, and the calls that ask."""

    order: AreaOrderRow
    questions: Mapping[str, a.TaskRow]
    calls: Mapping[str, d.NotificationRow]

    @property
    def sites(self) -> list[str]:
        """Sites inside now, and those that were asked."""
        return sorted({*self.order.sites, *self.questions})


@dataclass(frozen=True, slots=True)
class AreaAnswer:
    """The answer of a site to an order for its area that still holds. Rule D102."""

    order: AreaOrderRow
    question: a.TaskRow


def _map_newest_questions(questions: Iterable[a.TaskRow], order: str) -> dict[str, a.TaskRow]:
    mine = [t for t in questions if order in t.candidates]
    return {t.site or "": t for t in sorted(mine, key=lambda t: (t.opened_at, t.id))}


def is_changeable(order: AreaOrderRow, question: a.TaskRow) -> bool:
    """Return whether a site answered about the present area of an order that holds."""
    return (
        order.ended_at is None
        and question.site in order.sites
        and question.state is TaskState.DONE
        and question.outcome in (CONCERNED, NOT_CONCERNED)
        and question.candidates == (order.id, order.report)
    )


async def _find_area_incidents(picture: RealmSnapshot) -> frozenset[str | None]:
    """Return the incidents with an order for communes or an area that holds."""
    orders = [o for o in (await picture.rows(AreaOrderRow)).values() if o.ended_at is None]
    if not orders:
        return frozenset()
    incidents = await picture.rows(a.IncidentRow)
    return frozenset(find_standing_incident(incidents, order.incident) for order in orders)


class IncidentQueries(QueryBase):
    async def incidents(
        self,
        *,
        status: Sequence[str] = (),
        level: int | None = None,
        site: str | None = None,
        pole: str | None = None,
        commune: str | None = None,
        type: str | None = None,
        q: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[r.Incident]:
        """Return a page of incidents: open ones first, gravest first.

        `type` is a family (power) or the type of one of its reports (outage_power); `level` is the
        lowest.
        """
        view = await self.read()
        rows = await self._incident_rows(view)
        types = await _collect_report_types(view.picture) if type in _TYPES else {}
        reference = view.picture.reference
        matching_incidents = [
            i
            for i in rows
            if (not status or i.state in status)
            and (level is None or i.level >= level)
            and (site is None or site in i.members)
            and (
                pole is None
                or any(s in reference.sites and reference.sites[s].pole == pole for s in i.members)
            )
            and (commune is None or commune in i.communes)
            and (type is None or i.kind == type or type in types.get(i.id, ()))
            and (q is None or _matches(q, i, reference, self._lang))
        ]
        page_incidents, following = paginate(matching_incidents, _order_incident, limit, cursor)
        return Page(
            items=await self._shape_incidents(view, page_incidents, reports=True), next=following
        )

    async def area_orders(self, incident: str | None = None) -> list[AreaOrderAnswers]:
        """Return the orders for an area, also of one incident; those that hold first. Rule D102."""
        view = await self.read()
        orders = list((await view.picture.rows(AreaOrderRow)).values())
        incidents = await view.picture.rows(a.IncidentRow) if incident is not None else {}
        mine = [
            o
            for o in orders
            if incident is None or find_standing_incident(incidents, o.incident) == incident
        ]
        if not mine:
            return []
        tasks = await view.picture.rows(a.TaskRow)
        questions = [t for t in tasks.values() if t.kind == AREA_ORDER]
        calls = await view.picture.some(
            d.NotificationRow, [call for task in questions for call in task.calls]
        )
        return [
            AreaOrderAnswers(order, _map_newest_questions(questions, order.id), calls)
            for order in sorted(mine, key=lambda o: (o.ended_at is not None, -o.ordered_at, o.id))
        ]

    async def area_answers(self, sites: Collection[str]) -> list[AreaAnswer]:
        """Return the answers of these sites to the orders that hold for their area.

        The later answer counts, so a site may change its own. Rule D102.
        """
        view = await self.read()
        orders = (await view.picture.rows(AreaOrderRow)).values()
        if not any(order.ended_at is None for order in orders):
            return []
        tasks = (await view.picture.rows(a.TaskRow)).values()
        questions = [t for t in tasks if t.kind == AREA_ORDER and t.site in sites]
        return [
            AreaAnswer(order, question)
            for order in sorted(orders, key=lambda o: (-o.ordered_at, o.id))
            for _site, question in sorted(_map_newest_questions(questions, order.id).items())
            if is_changeable(order, question)
        ]

    async def barred_sites(self) -> frozenset[str]:
        """Return the sites that nobody is sent to. Rules D78 and D102."""
        return await find_barred_sites((await self.read()).picture)

    async def sheltering_sites(self) -> frozenset[str]:
        """Return the sites that nobody leaves: they shelter, or have to. Rules D78 and D102."""
        return await find_sheltering_sites((await self.read()).picture)

    async def meeting_place(self) -> MeetingPlace:
        """Return where the crisis cell meets now. Rule D89."""
        picture = (await self.read()).picture
        points = picture.reference.message_names.meeting_points
        return await read_meeting_place(picture, points)

    async def area_order_of(self, task: r.Task) -> AreaOrderRow | None:
        """Return the order that a task asks about."""
        view = await self.read()
        rows = await view.picture.some(AreaOrderRow, task.candidates[:1])
        return next(iter(rows.values()), None)

    async def merged_incidents(self, id: str) -> frozenset[str]:
        """Return an incident and those that were merged into it."""
        view = await self.read()
        return frozenset(list_merged_incidents(await view.picture.rows(a.IncidentRow), id))

    async def incident(self, id: str) -> r.Incident:
        """Return one incident with the ids of its reports."""
        view = await self.read()
        row = await view.picture.require(a.IncidentRow, id)
        incident = (await self._shape_incidents(view, [row], reports=True))[0]
        if incident.title_type is None and row.kind == SITE_KIND:
            report_rows = await view.picture.some(a.ReportRow, incident.reports[:1])
            first = next(iter(report_rows.values()), None)
            if first is not None:
                for_area = id in await _find_area_incidents(view.picture)
                return view.shape.add_event_type(incident, row, first.type, for_area=for_area)
        return incident

    async def unread_reports(self, incident: str, limit: int) -> list[str]:
        """Return the newest unread reports of an incident from people of its sites. Rule D98."""
        view = await self.read()
        ids = await view.picture.reports_of(incident)
        rows = await view.picture.some(a.ReportRow, ids) if ids else {}
        return [
            id for id in ids if id in rows and has_receipt(rows[id]) and rows[id].read_at is None
        ][-limit:]

    async def cap(self, id: str, sender: str) -> bytes:
        """Return the incident as a CAP 1.2 message with references to its earlier ones."""
        view = await self.read()
        row = await view.picture.require(a.IncidentRow, id)
        lines, _ = await self._lines(view.picture, id, UNLIMITED)
        earlier = [row.known_at, *(line.recorded_at for line in lines if line.type in _STATE_LINES)]
        return CapWriter(
            self._realm, sender, view.picture.reference.names, self._outlines.shapes
        ).message(row, earlier)

    async def _incident_rows(self, view: OpenedRealm) -> list[a.IncidentRow]:
        """Return the rows, open ones first, gravest first; sorted once per snapshot state."""
        rows = await view.picture.rows(a.IncidentRow)
        cached_order = self._ordered.get(view.picture.realm)
        if cached_order is None or cached_order[0] is not rows:
            if len(self._ordered) >= REALMS_ORDERED:
                self._ordered.clear()
            cached_order = self._ordered[view.picture.realm] = (
                rows,
                sorted(rows.values(), key=_order_incident),
            )
        return cached_order[1]

    async def _incidents(self, view: OpenedRealm) -> list[r.Incident]:
        """Return all incidents, without report ids."""
        return await self._shape_incidents(view, await self._incident_rows(view), reports=False)

    async def _shape_incidents(
        self, view: OpenedRealm, rows: Sequence[a.IncidentRow], *, reports: bool
    ) -> list[r.Incident]:
        """Build incidents, reusing the last result if nothing changed.

        A result depends on the row, its escalation, its plans and the reference version. Most of
        thousands of incidents do not change between two reads.
        """
        ladders = _map_escalations(await view.picture.rows(calling.EscalationRow))
        plans: dict[str, list[str]] = {}
        plan_rows = await view.picture.rows(c.PlanRow)
        # Thousands of incidents, read again after each change, for plans alone.
        every = await view.picture.rows(a.IncidentRow) if plan_rows else {}
        for _, plan in sorted(plan_rows.items()):
            standing = find_standing_incident(every, plan.incident)
            plans.setdefault(standing or "", []).append(plan.id)
        incidents = []
        worst = (
            await _find_gravest_types(view.picture)
            if any(row.kind == SITE_KIND for row in rows)
            else {}
        )
        area_incidents = await _find_area_incidents(view.picture)
        for row in rows:
            ladder, mine = ladders.get(row.id), plans.get(row.id, [])
            state = (
                mine,
                worst.get(row.id),
                row.id in area_incidents,
                view.picture.reference.version,
            )
            key = (view.picture.realm, view.shape.lang, row.id)
            cached_entry = self._as_shaped.get(key)
            if (
                cached_entry is not None
                and cached_entry[0] is row
                and cached_entry[1] is ladder
                and cached_entry[2] == state
            ):
                one = cached_entry[3]
            else:
                one = view.shape.incident(
                    row,
                    ladder=ladder,
                    plans=mine,
                    type=worst.get(row.id),
                    for_area=row.id in area_incidents,
                )
                if len(self._as_shaped) >= INCIDENTS_CACHED:
                    self._as_shaped.clear()
                self._as_shaped[key] = (row, ladder, state, one)
            incidents.append(
                one.model_copy(update={"reports": await view.picture.reports_of(row.id)})
                if reports
                else one
            )
        return incidents

    async def some_incidents(self, view: OpenedRealm, ids: Sequence[str]) -> list[r.Incident]:
        """Return the existing incidents for the live stream, without report ids."""
        return await self._shape_incidents(
            view, list((await view.picture.some(a.IncidentRow, ids)).values()), reports=False
        )

    async def explain(self, id: str) -> r.Explanation:
        """Explain the correlation, levels, sites and plans of an incident. Rule D47."""
        view = await self.read()
        return await self._explain(view, id)

    async def _explain(self, view: OpenedRealm, id: str) -> r.Explanation:
        picture, shape = view.picture, view.shape
        row = await picture.require(a.IncidentRow, id)
        is_ours = await match_incident(picture, id)
        by_code: dict[str, a.Why] = {}
        ids = (await picture.reports_of(id))[:REPORTS_EXPLAINED]
        report_rows = await picture.some(a.ReportRow, ids)
        for report_id in ids:
            for why in report_rows[report_id].why if report_id in report_rows else ():
                reason = by_code.get(why.code)
                reports = (*(reason.reports if reason else ()), *(why.reports or (report_id,)))
                by_code[why.code] = (reason or why).model_copy(update={"reports": reports})
        sites = await picture.rows(a.SiteRow)
        concerned_sites = [
            s for s in sites.values() if s.id in row.members or s.id in row.zone_sites
        ]
        return r.Explanation(
            incident=id,
            realm=picture.realm,
            title=shape.incident(row).title,
            correlation=shape.reasons(by_code.values()),
            levels=shape.reasons(row.why),
            sites={s.id: shape.reasons(s.why) for s in concerned_sites},
            activities={
                x.id: [[r.PathStep(kind=step.kind, id=step.id) for step in path] for path in x.path]
                for x in (await picture.rows(c.ActivityRow)).values()
                if is_ours(x.incident) and x.path
            },
            plans={
                p.id: shape.reasons(p.why)
                for p in (await picture.rows(c.PlanRow)).values()
                if is_ours(p.incident)
            },
        )


SITE_KIND: Final = "site"
"""Family of incidents without a specific trouble: their title shows the type instead."""


async def _find_gravest_types(picture: RealmSnapshot) -> dict[str, EventType]:
    """Return the type of the gravest open cause of each incident, with those merged into it."""
    sites = (await picture.rows(a.SiteRow)).values()
    all_causes = [cause for site in sites for cause in site.causes]
    standing = await _map_standing_incidents(
        picture, {cause.incident or "" for cause in all_causes}
    )
    causes: dict[str, a.CauseRow] = {}
    for cause in all_causes:
        incident = standing.get(cause.incident or "", "")
        before = causes.get(incident)
        if before is None or (-cause.severity, cause.since, cause.id) < (
            -before.severity,
            before.since,
            before.id,
        ):
            causes[incident] = cause
    return {incident: cause.type for incident, cause in causes.items()}


async def _map_standing_incidents(picture: RealmSnapshot, ids: Collection[str]) -> dict[str, str]:
    """Map these incidents to themselves, or to the ones that they were merged into."""
    rows: dict[str, a.IncidentRow] = {}
    missing = sorted(ids)
    while missing:
        rows |= await picture.some(a.IncidentRow, missing)
        missing = sorted(
            {row.merged_into for row in rows.values() if row.merged_into is not None} - rows.keys()
        )
    return {id: find_standing_incident(rows, id) or id for id in ids}


async def _collect_report_types(picture: RealmSnapshot) -> dict[str, set[str]]:
    """Return the types of the reports of each incident.

    Causes would not do: a site drops the causes that were lifted.
    """
    types: dict[str, set[str]] = {}
    for row in (await picture.rows(a.ReportRow)).values():
        if row.incident is not None:
            types.setdefault(row.incident, set()).add(row.type)
    return types


def _order_incident(row: a.IncidentRow) -> tuple[int | str, ...]:
    return (int(row.state not in OPEN_STATES), -row.level, -row.opened_at, row.id)


def _matches(q: str, row: a.IncidentRow, reference: IndexedReference, lang: str) -> bool:
    names = [reference.names.site(s) for s in row.members] + [
        reference.names.commune(x) for x in row.communes
    ]
    title = write_incident_title(row, reference.names, lang)
    return (
        q.casefold()
        in " ".join([row.id, row.number, title, row.key, *row.members, *names]).casefold()
    )


def _map_escalations(
    ladders: Mapping[str, calling.EscalationRow],
) -> dict[str, calling.EscalationRow]:
    """Map each incident to its running escalation, or else its newest."""
    escalations: dict[str, calling.EscalationRow] = {}
    for ladder in ladders.values():
        for incident in {ladder.scope, *ladder.incidents}:
            before = escalations.get(incident)
            if before is None or _order_escalation(ladder) > _order_escalation(before):
                escalations[incident] = ladder
    return escalations


def _order_escalation(ladder: calling.EscalationRow) -> tuple[bool, int, str]:
    return (ladder.state == "running", ladder.started_at, ladder.ladder)
