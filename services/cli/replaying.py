"""Replays a recording in memory through the three pure deciders, as it was or with other reference data from a position on.

Both replays of a comparison go through the same steps, so that what differs is the change's doing. People answer as they did; a
message that was never sent in reality is answered as fast as that person answered another, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from schemas.realms import parse_realm
from schemas.reference import PublishReference, SectionData
from schemas.runtime import OpenRealm
from schemas.topics import SERVICES
from services.alerts.decider import AlertsDecider
from services.cli.changed import AUTHOR, commands
from services.cli.recorded import Outside, Recording, is_reference
from services.continuity.decider import ContinuityDecider
from services.continuity.proposals import Proposals
from services.delivery.decider import DeliveryDecider
from services.delivery.simulated import respond
from services.runtime.testing import MemorySystem
from services.runtime.transaction import FactRecord

DRIVEN: Final = frozenset(
    {
        "StepAccepted",
        "StepSettled",
        "CommandApplied",
        "CommandRefused",
        "InputDuplicate",
        "RealmOpened",
        "RealmClosed",
        "PaceChanged",
        "ReferencePublished",
    }
)
"""Facts that say how a history was driven, not what happened in it."""


def reference_of(recording: Recording) -> tuple[SectionData, ...]:
    """The sections of the reference data with which the recording begins."""
    first = next((o.message for o in recording.outside if is_reference(o)), None)
    if not isinstance(first, PublishReference):
        return ()
    return tuple(
        o.message.data for o in recording.outside if isinstance(o.message, PublishReference) and o.message.reference == first.reference
    )


def replay(recording: Recording, changed: Sequence[SectionData] = (), fork: int | None = None) -> list[FactRecord]:
    """Facts of the replay, service after service in log order.

    `changed` takes the place of the recorded reference data from the beginning, or is published before the input number `fork`: running
    ladders then keep the version that they started with, as they would have.
    """
    territory = parse_realm(recording.realm)[0]
    realm = f"{territory}~what-replay"
    system = MemorySystem(
        {"alerts": AlertsDecider(), "continuity": ContinuityDecider(), "delivery": DeliveryDecider()},
        respond,
        check=False,
        planner=Proposals() if any(fact.name == "ProposalChanged" for fact in recording.facts) else None,
    )
    opened = recording.opened
    opening = OpenRealm(
        author=AUTHOR, role="admin", territory=territory, title_code=opened.title_code, started_at=opened.started_at, lineage=opened.lineage,
        responders=recording.responders + tuple(opened.responders),
    )  # fmt: skip
    system.feed("alerts", realm, opening, id=f"open:{realm}")
    now = opened.started_at
    from_start = bool(changed) and fork is None
    if from_start:
        _publish(system, realm, changed)
    for number, given in enumerate(recording.outside):
        if number == fork:
            _publish(system, realm, changed)
        if from_start and is_reference(given):
            continue
        if given.at > now:
            system.step(realm, given.at)
            now = given.at
        _feed(system, realm, given)
    if fork is not None and fork >= len(recording.outside):
        _publish(system, realm, changed)
    if recording.end > now:
        system.step(realm, recording.end)
    return system.facts(realm, list(SERVICES))


def _publish(system: MemorySystem, realm: str, changed: Sequence[SectionData]) -> None:
    for id, command in commands(changed, realm):
        system.feed("alerts", realm, command, id=id)


def _feed(system: MemorySystem, realm: str, given: Outside) -> None:
    system.feed(given.service, realm, given.message, id=given.id, at=given.at)


def faithful(recording: Recording, replayed: Sequence[FactRecord]) -> tuple[int, int]:
    """(facts of the recording that the replay gives too, facts of the recording). Ids are derived, so the same fact has the same id."""
    again = {(f.id, f.name) for f in replayed}
    told = [f for f in recording.facts if f.name not in DRIVEN]
    return sum((f.id, f.name) in again for f in told), len(told)
