"""Deadlines of a live realm fire with the next input, so later than they were due."""

from __future__ import annotations

from schemas.alerts import CauseRow, SiteRow, SiteStatusChanged
from schemas.base import HOUR_MS
from schemas.reassignment import ProposalRequested
from schemas.reference import ReferencePublished
from schemas.runtime import RealmOpened, Tick
from schemas.topics import PARTITION_COUNT, partition_of
from schemas.wire import Place
from schemas.words import Certainty, EventType, SiteStatus
from services.continuity.decider import ContinuityDecider
from services.continuity.state import ContinuityState
from services.runtime.testing import MemoryService
from tests.shipped import territory
from tests.unit.continuity.world import at

LIVE = "92"
START = at("2027-02-11 09:40")


def open_live_realm() -> MemoryService[ContinuityState]:
    service = MemoryService(ContinuityDecider(), clock=START)
    opened = RealmOpened(territory="92", title_code="test", started_at=START, lineage=LIVE)
    place = Place("alerts", partition_of(LIVE, PARTITION_COUNT), 0, 0, 0)
    service.feed(LIVE, opened, at=START, place=place, place_hash="0" * 32)
    sections = territory().sections
    for n, section in enumerate(sections, 1):
        version = territory().version
        service.feed(
            LIVE, ReferencePublished(reference=version, data=section, last=n == len(sections))
        )
    return service


def test_a_deadline_that_fires_late_gives_the_state_of_its_log() -> None:
    """`MemoryService` folds every record and compares the two states."""
    service = open_live_realm()
    cause = CauseRow(
        id="c-1",
        incident="i-1",
        type=EventType.OUTAGE_POWER,
        effect=SiteStatus.CLOSED,
        since=START,
        certainty=Certainty.CONFIRMED,
        severity=3,
        loss_pct=100,
        reports=("r-1",),
    )
    closed = SiteRow(
        id="pmi-01", status=SiteStatus.CLOSED, since=START, capacity_pct=0, causes=(cause,)
    )
    service.feed(LIVE, SiteStatusChanged(row=closed), at=START)
    due = service.next_due(LIVE)
    assert due is not None
    service.feed(LIVE, Tick(), at=due + HOUR_MS)
    assert any(isinstance(fact, ProposalRequested) for fact in service.facts(LIVE))
    assert service.state(LIVE).asked_at == due
