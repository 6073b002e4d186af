"""Continuity decider in a world: send facts of alerts, move the clock, read the rows.

Everything passes through the real runtime core (`MemoryService`), which also folds every record
back and compares the states. Sites get the statuses of rules, section 3; no other part of alerts
is imitated.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from schemas.alerts import (
    AttentionRequested,
    CauseRow,
    FlagChanged,
    FlagRow,
    Headcount,
    IncidentChanged,
    IncidentRow,
    LevelChanged,
    LevelRow,
    MetricChanged,
    SiteRow,
    SiteStatusChanged,
    TriggerChanged,
    TriggerRow,
    Why,
)
from schemas.base import Command, Fact, Instant
from schemas.continuity import (
    ActivityChanged,
    ActivityRow,
    AlarmRaised,
    AlarmRow,
    LocalClockRow,
    PlanChanged,
    PlanRow,
)
from schemas.reference import ReferencePublished
from schemas.runtime import CommandApplied, CommandRefused, RealmOpened, StepTo
from schemas.topics import PARTITION_COUNT, partition_of
from schemas.wire import Place
from schemas.words import Certainty, EventType, IncidentState, Level, SiteStatus
from services.continuity.activities.calendars import PARIS
from services.continuity.decider import ContinuityDecider
from services.continuity.state import NO_LOCAL_CLOCKS, ContinuityState
from services.runtime.decider.protocol import Deadline
from services.runtime.log.transaction import FactRecord
from services.runtime.testing import MemoryService
from tests.shipped import territory

REALM = "92~test-continuity"
ROOT = Path(__file__).parents[3]
F = TypeVar("F", bound=Fact)
_CLOSED = {
    EventType.CLOSURE: SiteStatus.CLOSED,
    EventType.EVACUATION: SiteStatus.EVACUATED,
    EventType.FIRE: SiteStatus.EVACUATED,
    EventType.SHELTER_IN_PLACE: SiteStatus.SHELTERING,
}


def at(local: str) -> Instant:
    """Return the instant of a local time, `2027-02-11 09:40`."""
    return int(datetime.fromisoformat(local).replace(tzinfo=PARIS).timestamp() * 1000)


def clock(instant: Instant | None) -> str | None:
    """Return the local time of an instant, as `09:52`."""
    return (
        None if instant is None else datetime.fromtimestamp(instant / 1000, PARIS).strftime("%H:%M")
    )


def opened_by_alerts(service: MemoryService[ContinuityState], opened: RealmOpened) -> None:
    """Open the realm: continuity takes this only as a forwarded fact."""
    place = Place("alerts", partition_of(REALM, PARTITION_COUNT), 0, 0, 0)
    service.feed(REALM, opened, at=opened.started_at, place=place, place_hash="0" * 32)


def publish(service: MemoryService[ContinuityState]) -> None:
    """Publish the shipped territory, section by section."""
    for n, section in enumerate(territory().sections):
        last = n == len(territory().sections) - 1
        service.feed(
            REALM, ReferencePublished(reference=territory().version, data=section, last=last)
        )


@cache
def _opened(started_at: Instant, *, published: bool) -> MemoryService[ContinuityState]:
    """Open a world once, to copy it for each test."""
    service = MemoryService(ContinuityDecider())
    opened_by_alerts(
        service,
        RealmOpened(territory="92", title_code="test", started_at=started_at, lineage=REALM),
    )
    if published:
        publish(service)
    return service


@dataclass
class World:
    """Times are `HH:MM` of `day`, or whole local times."""

    day: str = "2027-02-11"
    start: str = "09:40"
    causes: dict[str, list[CauseRow]] = field(default_factory=dict)
    counts: dict[str, Headcount] = field(default_factory=dict)
    found: Headcount | None = Headcount(found=1, expected=1, at=0, report="r-count")
    """Default headcount of an evacuated site: everybody was found. `None` = not counted."""
    serial: int = 0
    published: bool = True
    """False: the realm is open, the reference data have not come yet."""
    service: MemoryService[ContinuityState] = field(init=False)

    def __post_init__(self) -> None:
        self.service = _opened(self.instant(self.start), published=self.published).copy()

    def instant(self, when: str) -> Instant:
        return at(when if "-" in when else f"{self.day} {when}")

    # ── what alerts and people say ───────────────────────────────────────────────────────────────────────────────

    def _tell(self, message: Fact | Command, known: str | None) -> list[Fact]:
        """Send an input after firing everything due before, as the conductor would."""
        if known is not None:
            self.until(known)
        made = self.service.feed(REALM, message, at=None if known is None else self.instant(known))
        return [f.message() for f in made.facts]

    def until(self, when: str) -> None:
        """Move the clock through every deadline, also one of a millisecond later."""
        end = self.instant(when)
        while (due := self.service.next_due(REALM)) is not None and due <= end + 1:
            self.service.feed(REALM, StepTo(), at=max(due, self.service.realm(REALM).now))
        if end > self.service.realm(REALM).now:
            self.service.feed(REALM, StepTo(), at=end)

    def hit(
        self,
        site: str,
        type: EventType = EventType.OUTAGE_POWER,
        since: str = "09:40",
        *,
        known: str | None = None,
        loss: float = 100,
        effect: SiteStatus | None = None,
        end: str | None = None,
        incident: str | None = "i-1",
        **more: object,
    ) -> list[Fact]:
        """Report a confirmed cause on a site; known at once unless `known` is later."""
        self.serial += 1
        status = (
            effect
            or _CLOSED.get(type)
            or (
                SiteStatus.CLOSED
                if type is EventType.OUTAGE_POWER and loss >= 80
                else SiteStatus.DEGRADED
            )
        )
        cause = CauseRow.model_validate(
            {
                "id": f"c-{self.serial}",
                "incident": incident,
                "type": type,
                "effect": status,
                "since": self.instant(since),
                "certainty": Certainty.CONFIRMED,
                "severity": 3,
                "loss_pct": loss,
                "reports": (f"r-{self.serial}",),
                "expected_end": None if end is None else self.instant(end),
                **more,
            }
        )
        self.causes[site] = [c for c in self.causes.get(site, []) if c.type is not type] + [cause]
        return self.tell_site(site, known or since, since)

    def count(self, site: str, found: int, expected: int, when: str) -> list[Fact]:
        """Report the headcount of an evacuated site."""
        counted = Headcount(
            found=found, expected=expected, at=self.instant(when), report=f"r-count-{site}"
        )
        self.counts[site] = counted
        began = min(c.since for c in self.causes[site])
        return self.tell_site(site, when, when, began=began)

    def lift(self, site: str, when: str, *types: EventType, known: str | None = None) -> list[Fact]:
        """Reopen the site: lift the named causes, or all."""
        self.causes[site] = [c for c in self.causes.get(site, []) if types and c.type not in types]
        remaining_causes = self.causes[site]
        return self.tell_site(
            site,
            known or when,
            when,
            lifted=when,
            began=min((c.since for c in remaining_causes), default=None),
        )

    def tell_site(
        self,
        site: str,
        known: str,
        since: str,
        status: SiteStatus | None = None,
        *,
        lifted: str | None = None,
        began: Instant | None = None,
    ) -> list[Fact]:
        """Send the site row of alerts. `began` = start of the remaining causes after a lift."""
        causes = self.causes.get(site, [])
        order = [
            SiteStatus.EVACUATED,
            SiteStatus.SHELTERING,
            SiteStatus.CLOSED,
            SiteStatus.DEGRADED,
        ]
        site_status = status or next(
            (s for s in order for c in causes if c.effect is s), SiteStatus.NORMAL
        )
        loss = max((c.loss_pct for c in causes), default=0.0)
        out = site_status is SiteStatus.EVACUATED
        row = SiteRow(
            headcount=self.counts.get(site, self.found) if out else None,
            id=site,
            status=site_status,
            since=self.instant(since) if began is None else began,
            capacity_pct=100 - loss,
            causes=tuple(causes),
            lifted_at=None if lifted is None else self.instant(lifted),
        )
        return self._tell(SiteStatusChanged(row=row), known)

    def flag(
        self,
        id: str,
        value: bool | float | str,
        when: str,
        *,
        effective: str | None = None,
        since: str | None = None,
        speaks_of: str | None = None,
    ) -> list[Fact]:
        row = FlagRow(
            id=id,
            value=value,
            since=self.instant(since or when),
            effective_from=None if effective is None else self.instant(effective),
            speaks_of=None if speaks_of is None else self.instant(speaks_of),
            incident="i-1",
            reports=("r-flag",),
        )
        return self._tell(FlagChanged(row=row), when)

    def announce(
        self,
        end: str | None,
        when: str,
        incident: str = "i-1",
        kind: str = "power",
        level: Level = Level.N3,
        merged_into: str | None = None,
        state: IncidentState = IncidentState.OPEN,
        quiet: Literal["maintenance", "inhibited"] | None = None,
    ) -> list[Fact]:
        """Send an incident with its announced end."""
        row = IncidentRow(
            id=incident,
            number="92-2027-0211-01",
            kind=kind,
            key=f"{kind}:92050",
            state=state if merged_into is None else IncidentState.MERGED,
            merged_into=merged_into,
            quiet=quiet,
            level=level,
            severity=4,
            certainty=Certainty.CONFIRMED,
            opened_at=self.instant("09:40"),
            known_at=self.instant("09:40"),
            updated_at=self.instant(when),
            version=1,
            estimated_end=None if end is None else self.instant(end),
        )
        return self._tell(IncidentChanged(row=row, change="report"), when)

    def trigger(
        self,
        plan: str,
        level: int,
        when: str,
        *,
        state: str = "held",
        since: str | None = None,
        id: str | None = None,
        report: str = "r-t",
        incident: str = "i-1",
        metric: str = "customers_cut",
    ) -> list[Fact]:
        why = Why(
            code="predicate",
            metric=metric,
            op=">",
            threshold=20000,
            value=180000,
            at=self.instant(when),
            reports=(report,),
        )
        row = TriggerRow.model_validate(
            {
                "id": id or f"{plan}:{level}",
                "plan": plan,
                "level": level,
                "state": state,
                "since": self.instant(since or when),
                "incident": incident,
                "why": (why,),
            }
        )
        return self._tell(TriggerChanged(row=row), when)

    def level(self, level: Level, when: str) -> list[Fact]:
        row = LevelRow(id="territory", level=level, since=self.instant(when))
        return self._tell(LevelChanged(row=row, previous=Level.N0), when)

    def say(self, command: Command, when: str) -> CommandApplied | CommandRefused:
        """Decide as a person and return the answer."""
        answers = [
            f for f in self._tell(command, when) if isinstance(f, CommandApplied | CommandRefused)
        ]
        assert len(answers) == 1
        return answers[0]

    # ── what became of it ────────────────────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> ContinuityState:
        return self.service.state(REALM)

    def activity(self, id: str) -> ActivityRow:
        return self.state.activities[id]

    def local(self, activity: str, site: str) -> LocalClockRow | None:
        """Return the local clock, unless it stopped too long ago to continue."""
        local_clock = self.state.local.get(activity, NO_LOCAL_CLOCKS).get(site)
        return (
            None
            if local_clock is None
            or (
                local_clock.same_until is not None
                and local_clock.same_until < self.service.realm(REALM).now
            )
            else local_clock
        )

    def plan(self, id: str) -> PlanRow:
        return self.state.plans[id]

    def records(self) -> list[FactRecord]:
        return [f for stored in self.service.log.of(REALM) for f in stored.transaction.facts]

    def facts(self, kind: type[F]) -> list[F]:
        name = kind.__name__
        return [
            fact for f in self.records() if f.name == name and isinstance(fact := f.message(), kind)
        ]

    def alarms(self, activity: str, site: str | None = None) -> list[tuple[str, int, str | None]]:
        """List (base, percentage, `HH:MM`) of the raised alarms of one clock."""
        rows: list[AlarmRow] = [
            f.row
            for f in self.facts(AlarmRaised)
            if (f.row.activity, f.row.site) == (activity, site)
        ]
        return [(row.base.value, row.pct, clock(row.raised_at)) for row in rows]

    def metrics(self, key: str) -> list[float]:
        """List the values sent to alerts for metrics with this key prefix, in order."""
        return [float(f.value) for f in self.facts(MetricChanged) if f.key.startswith(key)]

    def asked(self, code: str) -> list[AttentionRequested]:
        return [f for f in self.facts(AttentionRequested) if f.code == code]

    def rows_written(self, activity: str) -> int:
        return sum(f.row.id == activity for f in self.facts(ActivityChanged))

    def plan_changes(self, plan: str) -> list[str]:
        return [f.change for f in self.facts(PlanChanged) if f.row.id == plan]

    def next_deadline(self) -> Deadline | None:
        return self.state.agenda.first()
