"""Query the demands for attention of a realm, for a director those of the own pôles. Rule D77."""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeVar

from schemas import alerts as a
from schemas import calling
from schemas import callouts as k
from schemas import continuity as c
from schemas import reassignment as g
from schemas.base import Instant
from schemas.catalogue.event_types import endangers_people
from schemas.crisis import resource_requests as res
from schemas.crisis.actions import ActionRow
from schemas.crisis.communication import StatementRow
from schemas.crisis.handovers import HandoverRow
from schemas.crisis.obligations import ObligationRow
from schemas.delivery import NotificationRow
from schemas.oncall import DutyRow, Place
from schemas.ranks import POLE_DIRECTOR_ROLE
from schemas.reference import EVERY_POLE
from schemas.reference_changes import ReferenceChangeRow
from schemas.words import TaskState
from services.console import resources as r
from services.console.attention.rows import MAX_NEW, Demand, DemandRows, limit_demands, list_demands
from services.console.logbook.erasures import Erasures
from services.console.public.queries import PublicationQueries
from services.console.read_model.query_base import find_barred_sites, get_snapshot_time
from services.console.resources import to_datetime
from services.oncall.schedule import Schedule
from services.runtime.http.problems import build_field_problem

POLE_ROLES: Final = frozenset({POLE_DIRECTOR_ROLE, "suppleant_directeur_pole"})
"""Roles that each pôle has."""
_ANSWERABLE_STATES: Final = ("running", "answered", "exhausted")
_K = TypeVar("_K")
_V = TypeVar("_V")


def narrow_to_poles(
    facts: DemandRows, poles: Container[str], pole_of: Mapping[str, str]
) -> DemandRows:
    """Return the rows that concern these pôles; `pole_of` maps a site to its pôle.

    A row without a site or pôle concerns everybody, and so does an escalation that called the
    directors of all pôles. The directors of these pôles are told of danger at their sites.
    """

    def is_near(sites: tuple[str, ...]) -> bool:
        return not sites or any(pole_of.get(site) in poles for site in sites)

    def is_owned(pole: str | None) -> bool:
        return pole is None or pole in poles

    incidents = _filter(facts.incidents, lambda row: is_near(row.members))
    activity_poles = {id: row.pole for id, row in facts.activities.items()}
    return replace(
        facts,
        incidents=incidents,
        escalations=_filter(
            facts.escalations,
            lambda row: (
                not row.incidents
                or calls_every_pole(row)
                or any(id in incidents for id in row.incidents)
            ),
        ),
        tasks=_filter(facts.tasks, lambda row: is_near((row.site,) if row.site else ())),
        plans=_filter(facts.plans, lambda row: is_owned(row.pole)),
        alarms=_filter(facts.alarms, lambda row: is_owned(row.pole)),
        barred_strategies=_filter(
            facts.barred_strategies, lambda row: is_owned(activity_poles.get(row.activity))
        ),
        callouts=_filter(facts.callouts, lambda row: is_near(row.sites)),
        actions=_filter(
            facts.actions, lambda row: is_owned(pole_of.get(row.scope or "", row.scope))
        ),
        danger_roles=POLE_ROLES,
    )


def _filter(rows: Mapping[_K, _V], is_kept: Callable[[_V], bool]) -> dict[_K, _V]:
    return {id: row for id, row in rows.items() if is_kept(row)}


def calls_every_pole(row: calling.EscalationRow) -> bool:
    """Return whether a step of the escalation called the directors of all pôles."""
    return any(wave.fired_at is not None and EVERY_POLE in wave.roles for wave in row.waves)


def group_roles_by_person(
    holders: Mapping[str, tuple[str, str | None, bool]],
    schedule: Schedule,
    poles: Container[str] | None,
    at: Instant,
) -> dict[str, frozenset[str]]:
    """Return the roles of each person: that of the roster, and those of their shifts at `at`.

    Roles in a scope count for its pôle alone.
    """
    pairs = [(person, role, scope) for person, (role, scope, _) in holders.items()]
    pairs += [
        (person, role, scope)
        for role, scope in schedule.posts
        for place in Place
        for person in schedule.stand(role, scope, place, at).persons
    ]
    roles: dict[str, frozenset[str]] = {}
    for person, role, scope in pairs:
        if scope is None or (poles is not None and scope in poles):
            roles[person] = roles.get(person, frozenset()) | {role}
    return roles


class AttentionQueries(PublicationQueries):
    async def attention(
        self,
        role: str | None = None,
        *,
        poles: Container[str] | None = None,
        account_roles: Mapping[str, frozenset[str]] = MappingProxyType({}),
    ) -> r.AttentionState:
        """Return the queue of a role, or of the whole cell.

        A role that each pôle has is asked for the `poles` of the reader alone. `account_roles`
        holds the roles of accounts that answer under their own ids.
        Raises ProblemError `invalid` for a role that the territory does not have.
        """
        view = await self.read()
        policy = view.picture.reference.policy
        if role is not None and (policy is None or role not in policy.roles):
            raise build_field_problem(
                "role", "unknown", "n’est pas un rôle du territoire", "is no role of the territory"
            )
        read = view.picture.rows
        tasks = await read(a.TaskRow)
        asked_ids = [
            id for t in tasks.values() if _asks_about_report(t) for id in a.list_asked_reports(t)
        ]
        asked_about = await view.picture.some(a.ReportRow, asked_ids) if asked_ids else {}
        barred_sites = await find_barred_sites(view.picture)
        escalations = await read(calling.EscalationRow)
        call_ids = _list_answered_calls(escalations.values())
        calls = await view.picture.some(NotificationRow, call_ids) if call_ids else {}
        facts = DemandRows(
            policy,
            await read(a.IncidentRow),
            escalations,
            await read(a.LevelRow),
            tasks,
            await read(c.PlanRow),
            await read(c.ActivityRow),
            await read(c.LocalClockRow),
            await read(c.AlarmRow),
            await read(g.ProposalRow),
            await read(k.CallOutRow),
            await read(ActionRow),
            await read(res.ResourceRequestRow),
            await read(ObligationRow),
            await read(HandoverRow),
            await read(StatementRow),
            await read(ReferenceChangeRow),
            self._list_erasure_times(),
            await self.stale_pages(),
            barred_strategies=_filter(
                await read(c.StrategyRow),
                lambda row: row.state == "active" and row.site in barred_sites,
            ),
            dangers=frozenset(
                row.id for row in asked_about.values() if endangers_people(row.type, row.severity)
            ),
            missing=_map_missing((await read(a.SiteRow)).values()),
            roles_by_person=dict(account_roles)
            | group_roles_by_person(
                view.picture.reference.names.holders,
                Schedule(view.picture.reference.roster, (await read(DutyRow)).values()),
                poles,
                get_snapshot_time(view.picture),
            ),
            called_roles=_group_called_roles(calls.values(), poles),
        )
        if poles is not None and role in POLE_ROLES:
            sites = view.picture.reference.sites
            facts = narrow_to_poles(facts, poles, {id: site.pole for id, site in sites.items()})
        at = get_snapshot_time(view.picture)
        state = limit_demands(list_demands(facts, at), role, at)
        return r.AttentionState(
            realm=self._realm,
            role=role,
            at=to_datetime(at),
            queue=[_build_line(d) for d in state.queue],
            digest=[_build_line(d) for d in state.digest],
            rate=state.rate,
            limit=MAX_NEW,
        )

    async def has_called_directors(self, incident: str) -> bool:
        """Return whether the directors of all pôles are called for an incident."""
        rows = (await (await self.read()).picture.rows(calling.EscalationRow)).values()
        return any(
            row.state in _ANSWERABLE_STATES and incident in row.incidents and calls_every_pole(row)
            for row in rows
        )

    def _list_erasure_times(self) -> list[Instant]:
        """Return when the erasures of this realm were proposed that wait now; none in the past."""
        if self._texts is None or self._moment is not None:
            return []
        proposals = Erasures(self._texts).open()
        return [one.at for one in proposals if one.realm == self._realm]


def _build_line(demand: Demand) -> r.DemandLine:
    return r.DemandLine.from_row(
        demand,
        urgency=int(demand.urgency),
        roles=sorted(demand.roles),
        answered=sorted(demand.answered_roles & demand.roles),
    )


def _asks_about_report(task: a.TaskRow) -> bool:
    open_states = (TaskState.OPEN, TaskState.TAKEN)
    return task.kind in ("verify_report", "link_site") and task.state in open_states


def _list_answered_calls(escalations: Iterable[calling.EscalationRow]) -> list[str]:
    """Return the calls of the steps of open escalations that somebody answered."""
    return [
        call
        for row in escalations
        if row.state in ("running", "exhausted")
        for wave in row.waves
        if wave.answered
        for call in wave.notifications
    ]


def _group_called_roles(
    calls: Iterable[NotificationRow], poles: Container[str] | None
) -> dict[str, frozenset[tuple[str, str]]]:
    """Map each escalation to the people that it called, with their roles of then.

    The roster does not know who stands in. A role of a pôle counts for the readers of that pôle.
    """
    called_roles: dict[str, frozenset[tuple[str, str]]] = {}
    for call in calls:
        is_near = call.scope is None or (poles is not None and call.scope in poles)
        if call.escalation is not None and is_near:
            others = called_roles.get(call.escalation, frozenset())
            called_roles[call.escalation] = others | {(call.person, call.role)}
    return called_roles


def _map_missing(sites: Iterable[a.SiteRow]) -> dict[str, a.Headcount]:
    """Map each site to its last headcount if it has not found everybody."""
    counts = {site.id: site.headcount for site in sites}
    return {
        id: count
        for id, count in counts.items()
        if count is not None and count.expected > count.found
    }
