"""On-call schedules and readiness as clients see them, from rows and reference data. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas import reference as ref
from schemas.base import DAY_MS, HOUR_MS, Instant
from schemas.delivery import ProbedChannel, ProbeRow
from schemas.oncall import DrillRow, DutyRow, HoleRow, Place, Reach, ReachRow
from schemas.words import Channel
from services.console.i18n import get_translator
from services.console.oncall.resources import (
    BrokenLimit,
    CurrentHolders,
    Drill,
    DrilledChannel,
    DrilledStep,
    OnCall,
    OnCallPost,
    ReachedHour,
    Readiness,
    ReadinessGap,
    RoleReadiness,
    ScheduleChange,
    ShiftGap,
    ShiftSpan,
)
from services.console.read_model.reference_index import IndexedReference
from services.console.resources import Time, to_datetime
from services.console.texts import words as w
from services.oncall.readiness import (
    ReadinessProof,
    ReadinessProver,
    ReadinessVerdict,
    VerdictSpan,
    add_channel_rates,
    merge_reach,
)
from services.oncall.schedule import AssignmentSpan, Schedule, ScopedRole
from services.oncall.worktime import compute_work, find_breaches

MAX_SPAN_MS: Final = 62 * DAY_MS
MAX_HOLES: Final = 500


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """All data that on-call questions need."""

    realm: str
    reference: IndexedReference
    duties: Mapping[str, DutyRow]
    reach_rows: Mapping[str, ReachRow]
    published_at: Instant | None
    lang: str
    drills: Mapping[str, DrillRow] = field(default_factory=dict)
    probes: Mapping[str, ProbeRow] = field(default_factory=dict)

    @property
    def policy(self) -> ref.Escalation | None:
        return self.reference.policy

    @property
    def roster(self) -> ref.Roster | None:
        return self.reference.roster

    @property
    def rota(self) -> Schedule:
        return Schedule(self.roster, self.duties.values())

    @property
    def reach(self) -> dict[str, tuple[Reach, ...]]:
        """Channels by person, without those that a drill found without a provider."""
        off = find_unprovided_channels(self.probes)
        points_by_person = merge_reach(self.roster, self.published_at, self.reach_rows)
        return {
            person: tuple(p for p in points if p.channel not in off)
            for person, points in points_by_person.items()
        }

    @property
    def missing_channels(self) -> list[Channel]:
        """Channels without a provider that somebody relies on."""
        used = {
            p.channel
            for points in merge_reach(self.roster, self.published_at, self.reach_rows).values()
            for p in points
        }
        return [c for c in Channel if c in used & find_unprovided_channels(self.probes)]

    def persons(self) -> set[str]:
        """Return all tokens that may be on call."""
        return {*self.reach_rows, *(self.roster.channels if self.roster else ())}

    def role_name(self, role: str, scope: str | None = None) -> str:
        return w.name_role(role, scope, self.reference.names, get_translator(self.lang))

    def role_words(self) -> list[tuple[str, str]]:
        """Return (word, role) pairs in both languages, as screens name the territory's roles."""
        roles = self.policy.roles if self.policy is not None else {}
        return [
            (w.name_role(role, None, self.reference.names, get_translator(lang)), role)
            for lang in ("fr", "en")
            for role in roles
        ]

    def scope_name(self, scope: str | None) -> str | None:
        if scope is None:
            return None
        names = self.reference.names
        return names.pole_short(scope, self.lang) if scope in names.poles else names.site(scope)

    def on_call(
        self,
        at: Instant,
        start: Instant,
        end: Instant,
        role: str | None = None,
        scope: str | None = None,
    ) -> OnCall:
        """Return the posts of the whole territory, or those of a role or scope."""
        rota = self.rota
        matching_posts = [
            p
            for p in rota.posts
            if (role is None or p[0] == role)
            and (p[1] == scope if scope is not None or role is None else True)
        ]
        return OnCall(
            realm=self.realm,
            at=to_datetime(at),
            start=to_datetime(start),
            end=to_datetime(end),
            items=[self._post(rota, p, at, start, end) for p in matching_posts],
            gaps=self.gaps(rota, matching_posts, start, end),
            limits=self.limits(rota, start, end),
        )

    def _post(
        self, rota: Schedule, post: ScopedRole, at: Instant, start: Instant, end: Instant
    ) -> OnCallPost:
        role, scope = post
        now = rota.pair(role, scope, at)
        spans = {place: rota.spans(role, scope, place, start, end) for place in Place}
        changes = [
            s.end for place in Place for s in spans[place] if s.start <= at < s.end and s.end < end
        ]
        return OnCallPost(
            id=role if scope is None else f"{role}:{scope}",
            role=role,
            role_name=self.role_name(role),
            scope=scope,
            scope_name=self.scope_name(scope),
            now=CurrentHolders(
                holder=now.holder,
                deputy=now.deputy,
                until=to_datetime(min(changes)) if changes else None,
            ),
            holder=[_build_span(s) for s in spans[Place.HOLDER]],
            deputy=[_build_span(s) for s in spans[Place.DEPUTY]],
        )

    def gaps(
        self, rota: Schedule, posts: Iterable[ScopedRole], start: Instant, end: Instant
    ) -> list[ShiftGap]:
        """List the spans without anybody on call, soonest first."""
        shift_gaps = [
            ShiftGap(
                role=role,
                role_name=self.role_name(role, scope),
                scope=scope,
                place=place,
                start=to_datetime(s.start),
                end=to_datetime(s.end),
            )
            for role, scope in posts
            for place in Place
            for s in rota.spans(role, scope, place, start, end)
            if not s.stand.persons
        ]
        return sorted(shift_gaps, key=lambda g: (g.start, g.role, g.scope or "", g.place))

    def limits(self, rota: Schedule, start: Instant, end: Instant) -> list[BrokenLimit]:
        """List the limits of working time that the schedule would break. Rule D39."""
        rules = self.policy.working_time if self.policy is not None else None
        if rules is None:
            return []
        _ = get_translator(self.lang)
        breaches = [
            b
            for person, work in compute_work(rota, rules, start, end).items()
            for b in find_breaches(person, work, rules)
        ]
        return [
            BrokenLimit.from_row(
                b, text=w.translate_code(w.LIMIT, b.limit, _), hours=round(b.hours, 1)
            )
            for b in sorted(breaches, key=lambda b: (b.start, b.person, b.limit))
        ]

    def duty(self, row: DutyRow) -> ScheduleChange:
        return ScheduleChange.from_row(
            row, persons=list(dict.fromkeys(s.person for s in row.shifts)), shifts=len(row.shifts)
        )

    def prover(self) -> tuple[ReadinessProver, ref.ReadinessRule] | None:
        """Return the readiness prover and its rule, or None without a readiness policy."""
        policy = self.policy
        if policy is None or policy.readiness is None:
            return None
        poles = [
            p.id for s in self.reference.sections if isinstance(s, ref.Activities) for p in s.poles
        ]
        rule = add_channel_rates(policy.readiness, self.reference.sections)
        return ReadinessProver(
            self.rota, policy, rule, self.reference.sites.values(), poles, self.reach
        ), rule

    def readiness(
        self, at: Instant, days: int | None = None, site: ref.Site | None = None
    ) -> Readiness:
        """Compute the readiness from now on."""
        prover_and_rule = self.prover()
        if prover_and_rule is None:
            return Readiness(
                realm=self.realm,
                reference=self.reference.version,
                start=to_datetime(at),
                end=to_datetime(at),
                hours=0,
                ready=0,
                ready_pct=0,
                holes_count=0,
                nobody_count=0,
                urgent_count=0,
                roles=[],
                items=[],
            )
        prover, rule = prover_and_rule
        proof = prover.prove(at, days)
        mine = prover.posts_of(site) if site is not None else []
        holes = [h for h in proof.holes if site is None or (h.role, h.scope) in mine]
        before = at + rule.alert_before_h * HOUR_MS
        return Readiness.from_row(
            proof,
            realm=self.realm,
            reference=self.reference.version,
            ready_pct=round(100 * proof.ready / max(proof.hours, 1), 2),
            holes_count=len(holes),
            nobody_count=sum(h.kind in ("nobody", "unreachable") for h in holes),
            urgent_count=sum(h.start < before for h in holes),
            without_provider=self.missing_channels,
            roles=self._roles(proof),
            items=[self._hole(h, at) for h in holes[:MAX_HOLES]],
            site=site.id if site else None,
            reached=[_build_reached_hour(p, j) for p in mine for j in proof.posts[p]],
        )

    def _roles(self, proof: ReadinessProof) -> list[RoleReadiness]:
        posts_by_role: dict[str, list[ScopedRole]] = {}
        for post in proof.posts:
            posts_by_role.setdefault(post[0], []).append(post)
        total = (proof.end - proof.start) // HOUR_MS
        return [
            RoleReadiness(
                role=role,
                role_name=self.role_name(role),
                hours=total * sum(proof.weights[p] for p in posts),
                ready=sum((total - len(proof.bad_hours(p))) * proof.weights[p] for p in posts),
                band=_build_band(proof, posts),
            )
            for role, posts in posts_by_role.items()
        ]

    def list_drills(self) -> list[Drill]:
        """List the drills of the realm, newest first."""
        return [
            self._drill(row, self.probes.get(row.id))
            for row in sorted(self.drills.values(), key=lambda d: d.at, reverse=True)
        ]

    def _drill(self, row: DrillRow, probe: ProbeRow | None) -> Drill:
        _ = get_translator(self.lang)
        rungs = [
            DrilledStep.from_row(
                r,
                silent=[
                    self.role_name(role, scope or None)
                    for role, _colon, scope in (post.partition(":") for post in r.silent)
                ],
                ok=r.reached == r.posts and not r.late,
            )
            for r in row.rungs
        ]
        channels = [
            DrilledChannel.from_row(
                c,
                channel_name=w.translate_code(w.CHANNEL, c.channel, _),
                text=w.translate_code(w.PROBE, c.outcome, _),
            )
            for c in (probe.channels if probe is not None else ())
        ]
        return Drill(
            month=row.id,
            at=to_datetime(row.at),
            reference=row.reference,
            rungs=rungs,
            channels=channels,
            probed_at=to_datetime(probe.done_at)
            if probe is not None and probe.done_at is not None
            else None,
            ok=all(r.ok for r in rungs)
            and bool(channels)
            and not any(c.outcome == "failed" for c in channels)
            and not has_no_provider(channels),
        )

    def _hole(self, hole: HoleRow, at: Instant) -> ReadinessGap:
        _ = get_translator(self.lang)
        return ReadinessGap.from_row(
            hole,
            text=w.translate_code(w.HOLE, hole.kind, _),
            fix_text=w.translate_code(w.FIX, hole.fix, _),
            role_name=self.role_name(hole.role),
            scope_name=self.scope_name(hole.scope),
            in_h=round(max(hole.start - at, 0) / HOUR_MS, 1),
        )


def find_unprovided_channels(probes: Mapping[str, ProbeRow]) -> frozenset[Channel]:
    """Return the channels that have no provider, by the newest completed probe.

    A provider that merely failed may return at any time and does not count.
    """
    newest = find_newest_probe(probes)
    return (
        frozenset(c.channel for c in newest.channels if c.outcome == "not_configured")
        if newest is not None
        else frozenset()
    )


def find_newest_probe(probes: Mapping[str, ProbeRow]) -> ProbeRow | None:
    """Return the probe of the channels that ended last."""
    return max(
        (p for p in probes.values() if p.done_at is not None),
        key=lambda p: (p.done_at or 0, p.id),
        default=None,
    )


def has_no_provider(channels: Sequence[ProbedChannel | DrilledChannel]) -> bool:
    """Return True if a probe found no provider at all: no message can leave."""
    return bool(channels) and all(c.outcome == "not_configured" for c in channels)


def classify_verdict(verdict: ReadinessVerdict) -> str:
    """Return `hole` if nobody would be reached, `reserve` if margins are missing, else `ready`."""
    if verdict.person is None:
        return "hole"
    return "reserve" if verdict.problems else "ready"


def _build_band(proof: ReadinessProof, posts: list[ScopedRole]) -> list[tuple[Time, Time, str]]:
    rank = {"ready": 0, "reserve": 1, "hole": 2}
    cuts = sorted({t for p in posts for j in proof.posts[p] for t in (j.start, j.end)})
    worst = ["ready"] * max(len(cuts) - 1, 0)
    place = {at: n for n, at in enumerate(cuts)}
    for p in posts:
        for j in proof.posts[p]:
            state = classify_verdict(j.verdict)
            if state != "ready":
                for n in range(place[j.start], place[j.end]):
                    worst[n] = max(worst[n], state, key=rank.__getitem__)
    band: list[tuple[Time, Time, str]] = []
    for n, state in enumerate(worst):
        if band and band[-1][2] == state:
            band[-1] = (band[-1][0], to_datetime(cuts[n + 1]), state)
        else:
            band.append((to_datetime(cuts[n]), to_datetime(cuts[n + 1]), state))
    return band


def _build_reached_hour(post: ScopedRole, j: VerdictSpan) -> ReachedHour:
    v = j.verdict
    return ReachedHour.from_row(
        v,
        role=post[0],
        scope=post[1],
        start=to_datetime(j.start),
        end=to_datetime(j.end),
        problems=[p.kind for p in v.problems],
    )


def _build_span(span: AssignmentSpan) -> ShiftSpan:
    return ShiftSpan(
        start=to_datetime(span.start),
        end=to_datetime(span.end),
        persons=list(span.stand.persons),
        by=span.stand.by,
        duty=span.stand.duty,
    )
