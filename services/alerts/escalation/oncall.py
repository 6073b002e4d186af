"""Resolve roles to the people on call at this moment, and know their quiet hours.

Rules D32 to D36.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from schemas.alerts import IncidentRow
from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.calling import EscalationRow, NotificationPlanned, WaveRow
from schemas.crisis.actions import ActionRow
from schemas.oncall import Place, ReachabilityChanged, ReachRow
from schemas.ranks import HOLD_ROLE, POLE_DIRECTOR_ROLE
from schemas.reference import DEPUTIES, EVERY_POLE
from schemas.topics import is_live
from schemas.words import Channel, Level
from services.alerts.decision import AlertsDecision
from services.oncall.readiness import merge_reach_of_person
from services.oncall.schedule import OnCallPair, get_local_day, is_inside_window, windows_around
from services.oncall.worktime import compute_work, is_rested

ASSIGNEE: Final = "assignee"
DEPUTY: Final = "deputy"
PILOT: Final = "pilot"
"""Names in the steps of an action's escalation. Rule D87, actions."""


class PilotedWork(Protocol):
    """Work of a role in a scope that a pilot answers for: an action, a legal deadline."""

    @property
    def role(self) -> str: ...

    @property
    def scope(self) -> str | None: ...

    @property
    def incident(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class OnCallRole:
    """A role in a scope (pôle, site or whole territory), with its holder and deputy now."""

    role: str
    scope: str | None
    holder: str | None
    deputy: str | None


def resolve_roles(
    draft: AlertsDecision, names: Iterable[str], ladder: EscalationRow
) -> Iterator[OnCallRole]:
    """Yield the roles with scopes that the names of a wave mean for the incidents of an escalation.

    A role that nobody ever holds is yielded without a holder. A role of pôles or sites means those
    that the incidents concern; when they concern none, it means nobody.
    """
    if ladder.action is not None:
        yield from _resolve_action_names(draft, names, ladder, draft.state.actions[ladder.action])
        return
    groups = draft.territory.policy.groups if draft.territory.policy else {}
    for name in names:
        if name == DEPUTIES:
            yield from _list_deputies(draft, ladder)
        elif name == EVERY_POLE:
            yield from (
                _resolve_role(draft, POLE_DIRECTOR_ROLE, pole) for pole in draft.territory.all_poles
            )
        elif name in groups:
            yield from resolve_roles(draft, groups[name], ladder)
        else:
            yield from _resolve_scopes(draft, name, ladder)


def _resolve_action_names(
    draft: AlertsDecision, names: Iterable[str], ladder: EscalationRow, action: ActionRow
) -> Iterator[OnCallRole]:
    """Yield the people that the steps of an action mean. Rule D87, actions.

    The deputy stands in at once for an assignee who cannot be reached, and is not called twice. If
    the role has changed hands since, its new holder is called in place of the deputy.
    """
    post = find_assignee(draft, action)
    deputy = OnCallRole(post.role, post.scope, post.deputy, None)
    for name in names:
        if name == PILOT:
            yield from find_pilots(draft, action)
        elif name == DEPUTY:
            if find_new_holder(draft, ladder, action) is not None:
                yield post
            elif post.deputy is not None and not _was_called(draft, ladder, post.deputy):
                yield deputy
        elif post.deputy is not None and not (
            post.holder is not None and list_channels(draft, post.holder)
        ):
            yield deputy
        else:
            yield post


def find_new_holder(draft: AlertsDecision, ladder: EscalationRow, action: ActionRow) -> str | None:
    """Return the present holder of an action's role, if nobody has called that person for it.

    The result is None for an action of a named person, and for a holder without a channel.
    """
    holder = None if action.person is not None else find_assignee(draft, action).holder
    if holder is None or not list_channels(draft, holder) or _was_called(draft, ladder, holder):
        return None
    return holder


def find_assignee(draft: AlertsDecision, action: ActionRow) -> OnCallRole:
    """Return the holder of an action now, and their deputy.

    A named person comes first; their deputy is the other one on call in their role.
    """
    now = get_holder_and_deputy(draft, action.role, action.scope)
    if action.person is None:
        return OnCallRole(action.role, action.scope, now.holder, now.deputy)
    others = (p for p in (now.deputy, now.holder) if p is not None and p != action.person)
    return OnCallRole(action.role, action.scope, action.person, next(others, None))


def find_pilots(draft: AlertsDecision, action: PilotedWork) -> tuple[OnCallRole, ...]:
    """Return the pilots of an action's level, to be called after the deputy.

    The assignee is not their own pilot: then the coordinator is called, or a higher pilot.
    """
    policy = draft.territory.policy
    level = find_action_level(draft, action)
    rules = sorted(policy.levels, key=lambda r: r.level) if policy is not None else []
    groups = [r.pilots for r in rules if r.level == level]
    groups += [(HOLD_ROLE,), *(r.pilots for r in rules if r.level > level)]
    for roles in groups:
        pilots = tuple(
            post
            for role in roles
            if role != action.role
            for post in _resolve_pilot(draft, role, action)
            if post.holder is not None or post.deputy is not None
        )
        if pilots:
            return pilots
    return ()


def find_reachable_person(draft: AlertsDecision, post: OnCallRole) -> str | None:
    """Return the holder of a role, else the deputy: the first with a channel. Rule D34."""
    people = (person for person in (post.holder, post.deputy) if person is not None)
    return next((person for person in people if list_channels(draft, person)), None)


def find_action_level(draft: AlertsDecision, action: PilotedWork) -> Level:
    """Return the level of an action: that of its incident, or of the territory if higher."""
    incident = draft.resolve_incident(action.incident)
    own = draft.incident(incident).level if incident is not None else Level.N0
    return max(own, draft.level)


def _resolve_pilot(draft: AlertsDecision, role: str, action: PilotedWork) -> Iterator[OnCallRole]:
    """Yield the holder of a role for the whole territory, or for the one place of an action.

    An incident of many sites or pôles has no single pilot of that role.
    """
    scopes = draft.state.rota.scopes(role)
    if None in scopes:
        yield _resolve_role(draft, role, None)
        return
    site = draft.territory.sites.get(action.scope or "")
    own = {action.scope, site.pole if site is not None else None}
    places = [scope for scope in scopes if scope in own]
    if not places and action.incident is not None:
        near = find_concerned_scopes(draft, (action.incident,))
        places = [scope for scope in scopes if scope in near]
    if len(places) == 1:
        yield _resolve_role(draft, role, places[0])


def _was_called(draft: AlertsDecision, ladder: EscalationRow, person: str) -> bool:
    calls = (
        draft.state.calls[n]
        for w in ladder.waves
        for n in w.notifications
        if n in draft.state.calls
    )
    return any(call.person == person for call in calls)


def list_incidents(draft: AlertsDecision, ladder: EscalationRow) -> list[IncidentRow]:
    """Return the incidents of an escalation.

    Merged incidents are replaced by the ones they were merged into. Forgotten ones are left out,
    because a crisis may outlive them. Rule D26, closed incidents.
    """
    return _resolve_incidents(draft, ladder.incidents)


def _resolve_incidents(draft: AlertsDecision, incidents: Iterable[str]) -> list[IncidentRow]:
    return [
        draft.incident(i)
        for i in dict.fromkeys(map(draft.resolve_incident, incidents))
        if i is not None
    ]


def _resolve_role(draft: AlertsDecision, role: str, scope: str | None) -> OnCallRole:
    now = get_holder_and_deputy(draft, role, scope)
    return OnCallRole(role, scope, now.holder, now.deputy)


def get_holder_and_deputy(draft: AlertsDecision, role: str, scope: str | None) -> OnCallPair:
    """Return holder and deputy of a role now; of two equals the rested one. Rules D34 and D39."""
    return draft.state.rota.pair(role, scope, draft.clock, lambda person: _is_rested(draft, person))


def find_role_of(draft: AlertsDecision, person: str) -> str:
    """Return the on-call role of a person, or an empty string."""
    pairs = (
        (role, draft.state.rota.pair(role, scope, draft.clock))
        for role, scope in draft.state.rota.posts
    )
    return next((role for role, now in pairs if person in (now.holder, now.deputy)), "")


def _is_rested(draft: AlertsDecision, person: str) -> bool:
    rules = draft.territory.policy.working_time if draft.territory.policy is not None else None
    if rules is None:
        return True
    answered_at = draft.state.taken.get(person)
    span = draft.clock - round(rules.daily_rest_h * HOUR_MS)
    called_out = (
        []
        if answered_at is None
        else [(answered_at, answered_at + round(rules.call_out_h * HOUR_MS))]
    )
    planned_work = compute_work(draft.state.rota, rules, span, draft.clock + 1).get(person, [])
    return is_rested([*planned_work, *called_out], rules, draft.clock)


def _resolve_scopes(
    draft: AlertsDecision, role: str, ladder: EscalationRow
) -> Iterator[OnCallRole]:
    scopes = draft.state.rota.scopes(role)
    if None in scopes:
        yield _resolve_role(draft, role, None)
        return
    if not scopes:
        yield OnCallRole(role, None, None, None)
        return
    concerned_scopes = find_concerned_scopes(draft, ladder.incidents)
    yield from (_resolve_role(draft, role, scope) for scope in scopes if scope in concerned_scopes)


def find_concerned_scopes(draft: AlertsDecision, incidents: Sequence[str]) -> frozenset[str]:
    """Return the sites and pôles that these incidents concern.

    They are sites with an open cause, their pôles, and the pôles with a triggered plan.
    """
    scopes: set[str] = set()
    plans = {p.id: p.pole for p in draft.territory.plans}
    incident_rows = _resolve_incidents(draft, incidents)
    for incident in incident_rows:
        hit = [m for m in incident.members if m in draft.state.site_causes] or incident.members
        scopes.update(hit)
        scopes.update(draft.territory.sites[m].pole for m in hit if m in draft.territory.sites)
    ids = {i.id for i in incident_rows}
    for trigger in draft.state.triggers.values():
        pole = plans.get(trigger.plan)
        owner = draft.resolve_incident(trigger.incident)
        if trigger.state == "held" and owner in ids and pole is not None:
            scopes.add(pole)
    return frozenset(scopes)


def _list_deputies(draft: AlertsDecision, ladder: EscalationRow) -> Iterator[OnCallRole]:
    """Yield the deputies for roles of the first wave that neither person acknowledged.

    Deputies who declined in this cycle are left out.
    """
    first = [w for w in ladder.waves if w.wave == 1 and w.cycle >= ladder.since_cycle]
    said_yes = {person for w in first for person in w.answered}
    excluded_people = {None, *ladder.declined_by}
    for wave in first:
        step = own_posts(draft, ladder, wave)
        for call in (draft.state.calls[n] for n in wave.notifications):
            own = OnCallRole(
                call.role,
                call.scope,
                call.person,
                get_holder_and_deputy(draft, call.role, call.scope).deputy,
            )
            for post in (own, *others_held(step, call)):
                if post.deputy in excluded_people or {call.person, post.deputy} & said_yes:
                    continue
                yield OnCallRole(post.role, post.scope, post.deputy, None)


def own_posts(draft: AlertsDecision, ladder: EscalationRow, wave: WaveRow) -> list[OnCallRole]:
    """Return the posts that a step calls in their own right, not as the deputies of another."""
    return list(resolve_roles(draft, (name for name in wave.roles if name != DEPUTIES), ladder))


def others_held(step: Iterable[OnCallRole], call: NotificationPlanned) -> list[OnCallRole]:
    """Return the other roles of a step that the called person holds.

    One call stands for all of them. Rule D33.
    """
    roles = (post for post in step if post.holder == call.person)
    return [post for post in roles if (post.role, post.scope) != (call.role, call.scope)]


def list_channels(
    draft: AlertsDecision, person: str, preferred_channels: tuple[Channel, ...] = ()
) -> tuple[Channel, ...]:
    """Return the channels to try, in order; empty when the person cannot be reached.

    The wave's channels come first, as far as the person has them; without one, all of the person's
    channels are used. Channels in their quiet time, then unverified ones, come last.
    """
    reach, roster = draft.state.reach.get(person), draft.territory.roster
    points = (
        reach.points
        if reach is not None
        else roster.reach.get(person, ())
        if roster is not None
        else ()
    )
    available_channels = (
        [r.channel for r in points]
        if reach is not None
        else [Channel(c) for c in draft.territory.channels(person)]
    )
    quiet = {
        r.channel for r in points if r.quiet is not None and is_inside_window(r.quiet, draft.clock)
    }
    unproven = (
        {r.channel for r in points if r.verified_at is None}
        if reach is not None
        else set[Channel]()
    )
    return tuple(
        sorted(
            [c for c in preferred_channels if c in available_channels] or available_channels,
            key=lambda c: (c in unproven, c in quiet),
        )
    )


def renew_verification(draft: AlertsDecision, person: str, channel: Channel | None) -> None:
    """Mark a channel as verified by an answer through it, at most once a day, in live realms only.

    Rule D38, readiness.
    """
    if channel is None or not is_live(draft.state.realm):
        return
    contact_points = merge_reach_of_person(
        draft.territory.roster, draft.state.published_at, draft.state.reach, person
    )
    old = next((r for r in contact_points if r.channel is channel), None)
    if old is None or (old.verified_at or 0) > draft.now - DAY_MS:
        return
    points = tuple(
        r.model_copy(update={"verified_at": draft.now}) if r is old else r for r in contact_points
    )
    draft.emit(ReachabilityChanged(row=ReachRow(id=person, points=points)))


def find_quiet_end(
    draft: AlertsDecision, person: str, role: str, level: Level, limit_at: Instant | None = None
) -> Instant | None:
    """Return the end of the quiet hours that delay a message to this person; None when it passes.

    At the levels that the policy names, people not on call are called in the morning; danger
    passes, and so does what has to be done by `limit_at`, before the morning. On call are people
    called in a role of `astreintes_preuve`, and holders and deputies of one at this hour. If the
    policy names no such role, nothing is delayed. Rule D36, quiet hours.
    """
    policy = draft.territory.policy
    if (
        policy is None
        or policy.readiness is None
        or level not in policy.quiet_levels
        or role in policy.readiness.roles
    ):
        return None
    now, window = draft.clock, policy.quiet_hours
    if window is None:
        return None
    end = next(
        (
            end
            for start, end in windows_around(window, now)
            if start <= now < end and get_local_day(start).isoweekday() in policy.quiet_days
        ),
        None,
    )
    if end is None or (limit_at is not None and now < limit_at <= end):
        return None
    return None if _is_on_call(draft, person, frozenset(policy.readiness.roles)) else end


def _is_on_call(draft: AlertsDecision, person: str, roles: frozenset[str]) -> bool:
    rota = draft.state.rota
    return any(
        person in rota.stand(role, scope, place, draft.clock).persons
        for role, scope in rota.posts
        if role in roles
        for place in Place
    )
