"""Compute the readiness of on-call: the person reached at each time, and every gap.

A verdict is about a role of the territory, a pôle or a site, which answers for all sites in its
scope. It can change only at a shift change, when a verified channel expires, or when quiet hours
begin or end, so it is computed there and not for every hour. Pure. Rule D38.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Final

from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.oncall import HoleKind, HoleRow, Place, Reach, ReachRow
from schemas.ranks import POLE_DIRECTOR_ROLE, SITE_MANAGER_ROLE
from schemas.reference import (
    EVERY_POLE,
    ChannelsSection,
    Escalation,
    ReadinessRule,
    Roster,
    SectionData,
    Site,
    Wave,
)
from schemas.words import Channel
from services.oncall.schedule import (
    OnCallPair,
    Schedule,
    ScopedRole,
    get_window_of_day,
    is_inside_window,
    list_local_days,
)

MAX_GAPS: Final = 200
GRAVITY: Final[tuple[HoleKind, ...]] = (
    "nobody",
    "unreachable",
    "no_holder",
    "late",
    "quiet",
    "single_point",
    "no_deputy",
    "unverified",
)
"""Kinds of gap, gravest first; with the first two, nobody would be reached."""
_REMEDIES: Final[dict[HoleKind, str]] = {
    "nobody": "find_holder",
    "unreachable": "verify_channel",
    "no_holder": "find_holder",
    "late": "spread_calls",
    "quiet": "daytime_channel",
    "single_point": "other_person",
    "no_deputy": "find_deputy",
    "unverified": "verify_channel",
}


@dataclass(frozen=True, slots=True)
class RoleCall:
    """Call of a role: the earliest step that names it, at the lowest level."""

    ladder: str
    wave: int
    after_min: float
    ack_min: float
    channels: tuple[Channel, ...]
    people: int
    """Calls of that step for one incident."""


@dataclass(frozen=True, slots=True)
class RoleGap:
    kind: HoleKind
    person: str | None = None


@dataclass(frozen=True, slots=True)
class ReadinessVerdict:
    """Verdict on one role at one instant."""

    holder: str | None
    deputy: str | None
    person: str | None
    """Person reached first."""
    channel: Channel | None
    minutes: float | None
    """Minutes from the report; None = never."""
    problems: tuple[RoleGap, ...]


@dataclass(frozen=True, slots=True)
class VerdictSpan:
    """A span where the verdict of a role stays the same."""

    start: Instant
    end: Instant
    verdict: ReadinessVerdict


@dataclass(frozen=True, slots=True)
class ReadinessProof:
    """Readiness of every role over the horizon."""

    start: Instant
    end: Instant
    posts: Mapping[ScopedRole, tuple[VerdictSpan, ...]]
    weights: Mapping[ScopedRole, int]
    """Role → number of sites that it answers for."""
    hours: int
    ready: int
    holes: tuple[HoleRow, ...]
    """All gaps, gravest first, then soonest."""

    def at(self, role: str, scope: str | None, at: Instant) -> ReadinessVerdict:
        """Return the verdict on a role at an instant.

        Raises KeyError for a role that is not proved, StopIteration outside the horizon.
        """
        return next(j.verdict for j in self.posts[role, scope] if j.start <= at < j.end)

    def bad_hours(self, post: ScopedRole) -> frozenset[int]:
        """Return the hours of the horizon, from 0, in which this role has a gap at any moment."""
        return frozenset(
            hour
            for j in self.posts[post]
            if j.verdict.problems
            for hour in range((j.start - self.start) // HOUR_MS, -((self.start - j.end) // HOUR_MS))
        )


class ReadinessProver:
    """Computes readiness from one version of schedule, policy and reachability."""

    def __init__(
        self,
        rota: Schedule,
        policy: Escalation,
        rule: ReadinessRule,
        sites: Iterable[Site],
        poles: Iterable[str],
        reach: Mapping[str, tuple[Reach, ...]],
    ) -> None:
        self.rota, self.policy, self._rule, self._reach = rota, policy, rule, reach
        self._sites = tuple(sites)
        self._poles = tuple(poles)

    @cached_property
    def role_calls(self) -> dict[str, RoleCall]:
        """Role → its call."""
        call_by_role: dict[str, RoleCall] = {}
        for ladder, waves in sorted(self.policy.ladders.items()):
            for wave in waves:
                how = self.calling(ladder, wave)
                for role in (r for who in wave.who for r in self.roles_of(who)):
                    call_by_role.setdefault(role, how)
        return call_by_role

    def calling(self, ladder: str, wave: Wave) -> RoleCall:
        """Describe the call of one step."""
        people = sum(self._width(r, who) for who in wave.who for r in self.roles_of(who))
        return RoleCall(
            ladder,
            wave.wave,
            wave.after_min,
            wave.ack_min,
            tuple(Channel(c) for c in wave.channels),
            people,
        )

    def roles_of(self, who: str) -> tuple[str, ...]:
        """Resolve a name in a step to roles; groups are one level deep."""
        if who == EVERY_POLE:
            return (POLE_DIRECTOR_ROLE,)
        return self.policy.groups.get(who, (who,))

    def _width(self, role: str, who: str) -> int:
        return (
            len(self._poles)
            if who == EVERY_POLE
            else 1
            if self.rota.scopes(role) or role in self.policy.roles
            else 0
        )

    @cached_property
    def weights(self) -> dict[ScopedRole, int]:
        """Proved role → number of sites that it answers for."""
        weight_by_role: dict[ScopedRole, int] = {
            (role, None): len(self._sites) for role in self._rule.roles
        }
        ids = {s.id for s in self._sites}
        site_counts: dict[str, int] = {}
        for s in self._sites:
            site_counts[s.pole] = site_counts.get(s.pole, 0) + 1
        for role in sorted(set(self.role_calls) - set(self._rule.roles)):
            for scope in self.rota.scopes(role):
                if scope in ids:
                    weight_by_role[role, scope] = 1
                elif scope in site_counts:
                    weight_by_role[role, scope] = site_counts[scope]
        missing = ids - {
            scope
            for role, scope in weight_by_role
            if role == SITE_MANAGER_ROLE and scope is not None
        }
        if SITE_MANAGER_ROLE in self.role_calls:
            weight_by_role |= {(SITE_MANAGER_ROLE, site): 1 for site in sorted(missing)}
        return weight_by_role

    def posts_of(self, site: Site) -> list[ScopedRole]:
        """List the roles that answer for a site."""
        return [p for p in self.weights if p[1] in (None, site.id, site.pole)]

    def judge(self, post: ScopedRole, at: Instant) -> ReadinessVerdict:
        """Determine the person reached at an instant, and the gaps."""
        pair = self.rota.pair(*post, at)
        role_call = self.role_calls.get(post[0])
        person, channel, minutes = self.find_reached(pair, role_call, at)
        problems = list(self._gaps(post, pair, at))
        if person is None and pair != OnCallPair(None, None):
            has_proven_channel = any(
                self._proven(r, at)
                for p in (pair.holder, pair.deputy)
                if p
                for r in self._points(p)
            )
            problems.append(RoleGap("quiet" if has_proven_channel else "unreachable"))
        for who in dict.fromkeys(p for p in (pair.holder, pair.deputy) if p is not None):
            points = self._points(who)
            if sum(self._proven(r, at) for r in points) < self._rule.channels_min:
                problems.append(RoleGap("unverified", who))
            elif person is not None and not any(
                self._proven(r, at) and not _is_in_quiet_hours(r, at) for r in points
            ):
                problems.append(RoleGap("quiet", who))
        if (
            minutes is not None
            and role_call is not None
            and minutes > role_call.after_min + role_call.ack_min
        ):
            problems.append(RoleGap("late", person))
        return ReadinessVerdict(pair.holder, pair.deputy, person, channel, minutes, tuple(problems))

    def _gaps(self, post: ScopedRole, pair: OnCallPair, at: Instant) -> Iterator[RoleGap]:
        if pair.holder is None:
            yield RoleGap("no_holder" if pair.deputy is not None else "nobody")
        elif pair.deputy is None:
            same = self.rota.stand(*post, Place.DEPUTY, at).persons
            yield (
                RoleGap("single_point", pair.holder)
                if pair.holder in same
                else RoleGap("no_deputy")
            )
        if pair.holder is not None and any(
            self.rota.pair(*other, at).holder == pair.holder for other in self._beside(post)
        ):
            yield RoleGap("single_point", pair.holder)

    def _beside(self, post: ScopedRole) -> tuple[ScopedRole, ...]:
        """List the other territory roles that the same step calls.

        One person in two of them answers once. Rule D33.
        """
        if post[1] is not None or post[0] not in self.role_calls:
            return ()
        mine = self.role_calls[post[0]]
        same = (r for r in self._rule.roles if r != post[0] and r in self.role_calls)
        return tuple(
            (r, None)
            for r in same
            if (self.role_calls[r].ladder, self.role_calls[r].wave) == (mine.ladder, mine.wave)
        )

    def _points(self, person: str) -> tuple[Reach, ...]:
        return self._reach.get(person, ())

    def _proven(self, point: Reach, at: Instant) -> bool:
        return (
            point.verified_at is not None
            and at < point.verified_at + self._rule.proof_days * DAY_MS
        )

    def find_reached(
        self, pair: OnCallPair, role_call: RoleCall | None, at: Instant
    ) -> tuple[str | None, Channel | None, float | None]:
        """Find (person, channel, minutes): the holder's channels in order, then the deputy's.

        Follows the steps of the escalation; None if nobody is reached.
        """
        minutes = role_call.after_min if role_call else 0.0
        for person in (pair.holder, pair.deputy):
            if person is None:
                continue
            points = {r.channel: r for r in self._points(person)}
            called_channels = [c for c in role_call.channels if c in points] if role_call else []
            for channel in called_channels or list(points):
                wait = self._rule.answer_min.get(channel, 0.0)
                rate = self._rule.rate_per_min.get(channel)
                queue = role_call.people / rate if role_call and rate else 0.0
                if self._proven(points[channel], at) and not _is_in_quiet_hours(
                    points[channel], at
                ):
                    return person, channel, minutes + queue + wait
                minutes += queue + wait
        return None, None, None

    def spans(self, post: ScopedRole, start: Instant, end: Instant) -> tuple[VerdictSpan, ...]:
        """Divide [start, end) at each change of the verdict."""
        cuts = {start, end, *(c for c in self._cuts(post, start, end) if start < c < end)}
        verdict_spans: list[VerdictSpan] = []
        for a, b in pairwise(sorted(cuts)):
            verdict = self.judge(post, a)
            if verdict_spans and verdict_spans[-1].verdict == verdict:
                verdict_spans[-1] = VerdictSpan(verdict_spans[-1].start, b, verdict)
            else:
                verdict_spans.append(VerdictSpan(a, b, verdict))
        return tuple(verdict_spans)

    def _cuts(self, post: ScopedRole, start: Instant, end: Instant) -> Iterator[Instant]:
        persons: set[str] = set()
        for role, scope in (post, *self._beside(post)):
            for place in Place:
                for span in self.rota.spans(role, scope, place, start, end):
                    yield span.start
                    if (role, scope) == post:
                        persons.update(span.stand.persons)
        for person in persons:
            for point in self._points(person):
                if point.verified_at is not None:
                    yield point.verified_at + self._rule.proof_days * DAY_MS
                if point.quiet is not None:
                    for day in list_local_days(start, end):
                        yield from get_window_of_day(point.quiet, day)

    def prove(self, start: Instant, horizon_days: int | None = None) -> ReadinessProof:
        """Compute the readiness from the hour of `start`."""
        start -= start % HOUR_MS
        hours = (horizon_days or self._rule.horizon_days) * 24
        end = start + hours * HOUR_MS
        posts = {post: self.spans(post, start, end) for post in self.weights}
        bare = ReadinessProof(start, end, posts, self.weights, 0, 0, ())
        bad = sum(len(bare.bad_hours(post)) * weight for post, weight in self.weights.items())
        total = hours * sum(self.weights.values())
        holes = sorted(
            self._holes(posts),
            key=lambda h: (GRAVITY.index(h.kind), h.start, h.role, h.scope or "", h.person or ""),
        )
        return ReadinessProof(start, end, posts, self.weights, total, total - bad, tuple(holes))

    def prove_post(self, post: ScopedRole, start: Instant, end: Instant) -> list[HoleRow]:
        """List the gaps of one role; empty for a role that is not proved."""
        if post not in self.weights:
            return []
        return list(self._holes({post: self.spans(post, start, end)}))

    def _holes(self, posts: Mapping[ScopedRole, tuple[VerdictSpan, ...]]) -> Iterator[HoleRow]:
        """Yield one gap per role, kind and person, for as long as it lasts without a break."""
        for post, judgement in posts.items():
            going: dict[RoleGap, HoleRow] = {}
            for j in judgement:
                for ended_problem in [p for p in going if p not in j.verdict.problems]:
                    yield going.pop(ended_problem)
                for problem in j.verdict.problems:
                    before = going.get(problem)
                    going[problem] = self._hole(
                        post, problem, before.start if before else j.start, j, before
                    )
            yield from going.values()

    def _hole(
        self,
        post: ScopedRole,
        problem: RoleGap,
        start: Instant,
        j: VerdictSpan,
        before: HoleRow | None,
    ) -> HoleRow:
        fix = _REMEDIES[problem.kind]
        if (
            problem.kind == "unverified"
            and problem.person is not None
            and len(self._points(problem.person)) < self._rule.channels_min
        ):
            fix = "second_channel"
        known_minutes = [
            m for m in (j.verdict.minutes, before.minutes if before else None) if m is not None
        ]
        return HoleRow.model_validate(
            {
                "kind": problem.kind,
                "fix": fix,
                "role": post[0],
                "scope": post[1],
                "person": problem.person,
                "start": start,
                "end": j.end,
                "sites": self.weights[post],
                "minutes": max(known_minutes, default=None),
            }
        )


def _is_in_quiet_hours(point: Reach, at: Instant) -> bool:
    return point.quiet is not None and is_inside_window(point.quiet, at)


def merge_reach(
    roster: Roster | None, published_at: Instant | None, reach_rows: Mapping[str, ReachRow]
) -> dict[str, tuple[Reach, ...]]:
    """Map each person to verified channels.

    A person's own row replaces the reference data. A channel that these verify without a date
    counts from their publication.
    """
    everybody = (*(roster.channels if roster else {}), *reach_rows)
    return {
        person: merge_reach_of_person(roster, published_at, reach_rows, person)
        for person in everybody
    }


def merge_reach_of_person(
    roster: Roster | None,
    published_at: Instant | None,
    reach_rows: Mapping[str, ReachRow],
    person: str,
) -> tuple[Reach, ...]:
    """List the channels of one person (see reach_of); empty for an unknown person."""
    if (row := reach_rows.get(person)) is not None:
        return row.points
    reach_by_channel = {r.channel: r for r in (roster.reach if roster else {}).get(person, ())}
    points = []
    for name in (roster.channels if roster else {}).get(person, ()):
        channel = Channel(name)
        reach = reach_by_channel.get(channel)
        if reach is None:
            points.append(_build_undated_reach(channel, published_at))
        elif reach.verified_at is not None or published_at is None:
            points.append(reach)
        else:
            points.append(reach.model_copy(update={"verified_at": published_at}))
    return tuple(points)


@lru_cache(maxsize=64)
def _build_undated_reach(channel: Channel, published_at: Instant | None) -> Reach:
    """Build a channel without a date of its own; thousands of people share it."""
    return Reach(channel=channel, verified_at=published_at)


def add_channel_rates(rule: ReadinessRule, sections: Iterable[SectionData]) -> ReadinessRule:
    """Add the declared rates of providers to a rule that names none itself."""
    if rule.rate_per_min:
        return rule
    rates = {
        c.channel.value: c.per_minute
        for s in sections
        if isinstance(s, ChannelsSection)
        for c in s.rules.channels
    }
    return rule.model_copy(update={"rate_per_min": rates})


def build_gap_key(hole: HoleRow) -> str:
    """Return the key that is equal for the same gap in two proofs."""
    return "|".join((hole.kind, hole.role, hole.scope or "", hole.person or ""))
