"""Resolve roles to the people on call at this moment. Rules D32 to D34."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.alerts import IncidentRow
from schemas.base import DAY_MS, HOUR_MS
from schemas.calling import EscalationRow, NotificationPlanned, WaveRow
from schemas.oncall import ReachabilityChanged, ReachRow
from schemas.realms import is_live
from schemas.reference import DEPUTIES, EVERY_POLE
from schemas.words import Channel
from services.alerts.decision import Draft
from services.oncall.localtime import inside
from services.oncall.readiness import reach_of_one
from services.oncall.schedule import Pair
from services.oncall.worktime import rested, work_of

_POLE_DIRECTOR: Final = "directeur_pole"
TECHNICIAN: Final = "astreinte_technique"
"""Role that `qui_par_nature` replaces where the matter is not a technical one."""


@dataclass(frozen=True, slots=True)
class Post:
    """A role in a scope (pôle, site or whole territory), with its holder and deputy now."""

    role: str
    scope: str | None
    holder: str | None
    deputy: str | None


def posts(draft: Draft, names: Iterable[str], ladder: EscalationRow) -> Iterator[Post]:
    """Yield the roles with scopes that the names of a wave mean for the incidents of an escalation.

    A role that nobody ever holds is yielded without a holder. A role of pôles or sites means those
    that the incidents concern; when they concern none, it means nobody.
    """
    groups = draft.territory.policy.groups if draft.territory.policy else {}
    for name in names:
        if name == DEPUTIES:
            yield from _deputies(draft, ladder)
        elif name == EVERY_POLE:
            yield from (_post(draft, _POLE_DIRECTOR, pole) for pole in draft.territory.all_poles)
        elif name in groups:
            yield from posts(draft, groups[name], ladder)
        else:
            yield from _of_role(draft, name, ladder)


def incidents_of(draft: Draft, ladder: EscalationRow) -> list[IncidentRow]:
    """Return the incidents of an escalation.

    Merged incidents are replaced by the ones they were merged into. Forgotten ones are left out,
    because a crisis may outlive them. Rule D26, closed incidents.
    """
    return _standing(draft, ladder.incidents)


def _standing(draft: Draft, incidents: Iterable[str]) -> list[IncidentRow]:
    return [
        draft.incident(i) for i in dict.fromkeys(map(draft.standing, incidents)) if i is not None
    ]


def _post(draft: Draft, role: str, scope: str | None) -> Post:
    now = pair(draft, role, scope)
    return Post(role, scope, now.holder, now.deputy)


def pair(draft: Draft, role: str, scope: str | None) -> Pair:
    """Return holder and deputy of a role now; of two equals the rested one. Rules D34 and D39."""
    return draft.state.rota.pair(role, scope, draft.clock, lambda person: _is_rested(draft, person))


def role_of(draft: Draft, person: str) -> str:
    """Return the role in which a person is on call, or an empty string."""
    pairs = (
        (role, draft.state.rota.pair(role, scope, draft.clock))
        for role, scope in draft.state.rota.posts
    )
    return next((role for role, now in pairs if person in (now.holder, now.deputy)), "")


def _is_rested(draft: Draft, person: str) -> bool:
    rules = draft.territory.policy.working_time if draft.territory.policy is not None else None
    if rules is None:
        return True
    answered = draft.state.taken.get(person)
    span = draft.clock - round(rules.daily_rest_h * HOUR_MS)
    called_out = (
        [] if answered is None else [(answered, answered + round(rules.call_out_h * HOUR_MS))]
    )
    planned = work_of(draft.state.rota, rules, span, draft.clock + 1).get(person, [])
    return rested([*planned, *called_out], rules, draft.clock)


def _of_role(draft: Draft, role: str, ladder: EscalationRow) -> Iterator[Post]:
    scoped = draft.state.rota.scopes(role)
    if None in scoped:
        yield _post(draft, role, None)
        return
    if not scoped:
        yield Post(role, None, None, None)
        return
    concerned = concerned_by(draft, ladder.incidents)
    yield from (_post(draft, role, scope) for scope in scoped if scope in concerned)


def concerned_by(draft: Draft, incidents: Sequence[str]) -> frozenset[str]:
    """Return the sites and pôles that these incidents concern.

    They are sites with an open cause, their pôles, and the pôles with a triggered plan.
    """
    found: set[str] = set()
    plans = {p.id: p.pole for p in draft.territory.plans}
    known = _standing(draft, incidents)
    for incident in known:
        hit = [m for m in incident.members if m in draft.state.site_causes] or incident.members
        found.update(hit)
        found.update(draft.territory.sites[m].pole for m in hit if m in draft.territory.sites)
    ids = {*incidents, *(i.id for i in known)}
    for trigger in draft.state.triggers.values():
        pole = plans.get(trigger.plan)
        if trigger.state == "held" and trigger.incident in ids and pole is not None:
            found.add(pole)
    return frozenset(found)


def _deputies(draft: Draft, ladder: EscalationRow) -> Iterator[Post]:
    """Yield the deputies for roles of the first wave that neither person acknowledged."""
    first = [w for w in ladder.waves if w.wave == 1 and w.cycle >= ladder.since_cycle]
    said_yes = {person for w in first for person in w.answered}
    for wave in first:
        step = own_posts(draft, ladder, wave)
        for call in (draft.state.calls[n] for n in wave.notifications):
            own = Post(
                call.role, call.scope, call.person, pair(draft, call.role, call.scope).deputy
            )
            for post in (own, *others_held(step, call)):
                if post.deputy is not None and not {call.person, post.deputy} & said_yes:
                    yield Post(post.role, post.scope, post.deputy, None)


def own_posts(draft: Draft, ladder: EscalationRow, wave: WaveRow) -> list[Post]:
    """Return the posts that a step calls in their own right, not as the deputies of another."""
    return list(posts(draft, (name for name in wave.roles if name != DEPUTIES), ladder))


def others_held(step: Iterable[Post], call: NotificationPlanned) -> list[Post]:
    """Return the other posts of a step that the person called holds: one call stands for all of them (D33)."""
    held = (post for post in step if post.holder == call.person)
    return [post for post in held if (post.role, post.scope) != (call.role, call.scope)]


def channels(draft: Draft, person: str, wanted: tuple[Channel, ...] = ()) -> tuple[Channel, ...]:
    """Return the channels to try, in order; empty when the person cannot be reached.

    The wave's channels come first, as far as the person has them; without one, all of the person's
    channels are used. Channels in their quiet time, then unverified ones, come last.
    """
    told, roster = draft.state.reach.get(person), draft.territory.roster
    points = (
        told.points
        if told is not None
        else roster.reach.get(person, ())
        if roster is not None
        else ()
    )
    known = (
        [r.channel for r in points]
        if told is not None
        else [Channel(c) for c in draft.territory.channels(person)]
    )
    quiet = {r.channel for r in points if r.quiet is not None and inside(r.quiet, draft.clock)}
    unproven = (
        {r.channel for r in points if r.verified_at is None} if told is not None else set[Channel]()
    )
    return tuple(
        sorted(
            [c for c in wanted if c in known] or known, key=lambda c: (c in unproven, c in quiet)
        )
    )


def renew(draft: Draft, person: str, channel: Channel | None) -> None:
    """Mark a channel as verified by an answer through it, at most once a day, in live realms only.

    Rule D38, readiness.
    """
    if channel is None or not is_live(draft.state.realm):
        return
    known = reach_of_one(
        draft.territory.roster, draft.state.published_at, draft.state.reach, person
    )
    old = next((r for r in known if r.channel is channel), None)
    if old is None or (old.verified_at or 0) > draft.now - DAY_MS:
        return
    points = tuple(
        r.model_copy(update={"verified_at": draft.now}) if r is old else r for r in known
    )
    draft.emit(ReachabilityChanged(row=ReachRow(id=person, points=points)))
