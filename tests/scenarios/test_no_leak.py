"""An exercise with any content reaches no live recipient and changes no live realm."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from schemas.base import MINUTE_MS, Message
from schemas.calling import NotificationPlanned
from schemas.callouts import DraftCallOut, StartCallOut
from schemas.commands import AcknowledgeIncident, AnswerNotification, SetLevel
from schemas.delivery import (
    AttemptGranted,
    AttemptOutcome,
    AttemptRow,
    ClaimAttempt,
    NotificationRow,
    ReceiptReceived,
)
from schemas.people.directory import Contact, ContactPoint
from schemas.reports import ReportReceived
from schemas.runtime import OpenRealm, StepTo, Tick
from schemas.topics import is_live
from schemas.words import Answer, Channel
from services.alerts.decider import AlertsDecider
from services.continuity.decider import ContinuityDecider
from services.delivery.channels.base import CallResult, ChannelDrivers, Outgoing
from services.delivery.decider import DeliveryDecider
from services.delivery.sender.attempt_view import AttemptView, GrantedCall
from services.delivery.sender.sender import Sender
from services.delivery.simulated_channels import respond_to_fact
from services.runtime.identity.signed_links import AnswerLinks, ProviderLinks
from services.runtime.testing import MemorySystem
from services.territory.publish import build_reference_commands
from tests.shipped import territory

LIVE = "92"
EXERCISES = ("92~ex-leak", "92~what-leak", "92~test-leak")
T0 = 1_804_000_000_000
FORGED = "33333333-0000-5000-8000-000000000001"
RUN = "run-of-a-real-sender"
SITES = ("cen-1", "cen-2", "sst-05", "gym-07", "nowhere")
PEOPLE = ("dgs", "p-1", "elu-1")


def opened(*realms: str) -> MemorySystem:
    system = MemorySystem(
        {
            "alerts": AlertsDecider(),
            "continuity": ContinuityDecider(),
            "delivery": DeliveryDecider(),
        },
        respond_to_fact,
        check=False,
    )
    for realm in realms:
        opening = OpenRealm(
            author="player", role="admin", territory="92", started_at=T0, speed=None
        )
        at = T0 if is_live(realm) else None
        system.feed("alerts", realm, opening, id=f"open:{realm}", at=at)
        for id, command in build_reference_commands(
            territory(), realm, "system:reference", "admin"
        ):
            system.feed("alerts", realm, command, id=id, at=at)
    return system


@cache
def _base() -> MemorySystem:
    return opened(LIVE, *EXERCISES)


def started() -> MemorySystem:
    """Return a system of its own with all realms open.

    States are immutable, so it shares them with the others.
    """
    base = _base()
    system = MemorySystem(
        {name: service.machine.decider for name, service in base.services.items()},
        respond_to_fact,
        check=False,
    )
    system.conductor = deepcopy(base.conductor)
    for name, service in base.services.items():
        mine = system.services[name]
        mine.clock, mine._views, mine._offsets = (
            service.clock,
            dict(service._views),
            dict(service._offsets),
        )
        mine.log.records = {
            partition: list(records) for partition, records in service.log.records.items()
        }
    return system


def live_report(n: int) -> ReportReceived:
    return report(f"live-{n}", SITES[n % 4], "closure", 4)


def report(id: str, site: str, type: str, severity: int) -> ReportReceived:
    return ReportReceived.model_validate(
        {
            "report_id": id,
            "source": "site_manager",
            "site_id": site,
            "type": type,
            "severity": severity,
            "certainty": "confirmed",
            "occurred_at": T0,
            "msg_type": "Alert",
        }
    )


def row(person: str) -> NotificationRow:
    return NotificationRow.model_validate(
        {
            "id": FORGED,
            "level": 3,
            "role": "dgs",
            "person": person,
            "state": "planned",
            "template": "incident_wave",
            "planned_at": T0,
            "attempts": [
                AttemptRow(id=FORGED, number=1, channel=Channel.SMS, state="granted", planned_at=T0)
            ],
        }
    )


def drafted(callout: str) -> tuple[str, Message]:
    draft = {
        "author": "x",
        "role": "cell",
        "callout": callout,
        "text_id": "t",
        "channels": ["sms"],
        "people": [{"person": "dgs", "channels": ["sms"]}],
        "last": True,
        "danger": True,
    }
    return "delivery", DraftCallOut.model_validate(draft)


ids = st.sampled_from(["n-forged", "n-1", "live-0"])
hostile: st.SearchStrategy[tuple[str, Message]] = st.one_of(
    st.builds(
        lambda n, site, type, severity: ("alerts", report(f"ex-{n}", site, type, severity)),
        st.integers(0, 5),
        st.sampled_from(SITES),
        st.sampled_from(["closure", "fire", "evacuation", "outage_power", "gas_leak"]),
        st.integers(1, 5),
    ),
    st.builds(
        lambda level: (
            "alerts",
            SetLevel(author="x", role="coordinator", scope="territory", level=level, reason="r"),
        ),
        st.integers(1, 4),
    ),
    st.builds(
        lambda incident: (
            "alerts",
            AcknowledgeIncident(author="x", role="cell", incident=incident),
        ),
        ids,
    ),
    st.builds(
        lambda person, danger: (
            "delivery",
            NotificationPlanned.model_validate(
                {
                    "notification": "n-forged",
                    "level": 4,
                    "role": "dgs",
                    "person": person,
                    "channels": ["sms", "voice"],
                    "template": "incident_wave",
                    "planned_at": T0,
                    "danger": danger,
                }
            ),
        ),
        st.sampled_from(PEOPLE),
        st.booleans(),
    ),
    st.builds(lambda n: ("delivery", ClaimAttempt(notification=n, attempt=n, run=RUN)), ids),
    st.builds(
        lambda n: (
            "delivery",
            AttemptOutcome(notification=n, attempt=n, run=RUN, outcome="ambiguous"),
        ),
        ids,
    ),
    st.builds(
        lambda n: ("delivery", ReceiptReceived(notification=n, attempt=n, state="failed")), ids
    ),
    st.builds(
        lambda n, p: (
            "delivery",
            AnswerNotification(
                author=p, role="dgs", notification=n, person=p, answer=Answer.ACK, channel="sms"
            ),
        ),
        ids,
        st.sampled_from(PEOPLE),
    ),
    st.just(("delivery", Tick())),
    st.builds(lambda s: (s, StepTo()), st.sampled_from(["alerts", "delivery", "continuity"])),
    st.builds(drafted, ids),
    st.builds(
        lambda c: (
            "delivery",
            StartCallOut.model_validate({"author": "x", "role": "cell", "callout": c}),
        ),
        ids,
    ),
)


@cache
def live_alone() -> tuple[str, ...]:
    system = opened(LIVE)
    for n in range(3):
        system.feed("alerts", LIVE, live_report(n), id=f"live-{n}", at=T0 + n * MINUTE_MS)
    return told(system)


def told(system: MemorySystem) -> tuple[str, ...]:
    return tuple(f"{f.name} {f.id} {f.at} {f.data}" for f in system.facts(LIVE))


@settings(
    max_examples=25,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.sampled_from(EXERCISES), hostile, st.integers(0, 60)), min_size=3, max_size=20
    )
)
def test_no_input_of_an_exercise_reaches_a_sender_or_the_live_realm(
    given_: Sequence[tuple[str, tuple[str, Message], int]],
) -> None:
    system = started()
    for n, (realm, (service, message), minute) in enumerate(given_):
        system.feed(service, realm, message, id=f"hostile-{n}", at=T0 + minute * MINUTE_MS)
        _claim_everything(system, realm)
        if n < 3:
            system.feed("alerts", LIVE, live_report(n), id=f"live-{n}", at=T0 + n * MINUTE_MS)
    for n in range(len(given_), 3):
        system.feed("alerts", LIVE, live_report(n), id=f"live-{n}", at=T0 + n * MINUTE_MS)
    assert told(system) == live_alone()
    outbox = AttemptView(RUN, lambda: 0.0)
    calls = [
        call
        for stored in system.services["delivery"].log
        for call in outbox.observe(stored.transaction)
    ]
    assert {offer.realm for offer in outbox.to_claim()} <= {LIVE}
    assert [call for call in calls if call.realm != LIVE] == []


def _claim_everything(system: MemorySystem, realm: str) -> None:
    """Claim every attempt, as a sender that ignores its realm.

    Some grants may be given, none may be used.
    """
    waiting = [
        f.data["row"]["attempts"][-1]["id"]
        for f in system.facts(realm, ["delivery"])
        if f.name == "NotificationChanged"
        and f.data["row"]["attempts"]
        and f.data["row"]["attempts"][-1]["state"] == "planned"
    ]
    for attempt in waiting[-2:]:
        system.feed(
            "delivery",
            realm,
            ClaimAttempt(notification="n-forged", attempt=attempt, run=RUN),
            id=f"{attempt}:claim:{RUN}",
            at=T0,
        )


def test_the_exercise_itself_calls_its_simulated_people() -> None:
    """Else the law above would hold because nothing happens."""
    system, realm = started(), EXERCISES[0]
    for n, site in enumerate(SITES[:4]):
        system.feed(
            "alerts", realm, report(f"ex-{n}", site, "evacuation", 5), id=f"fire-{n}", at=T0 + n
        )
    rows = {
        f.data["row"]["id"]
        for f in system.facts(realm, ["delivery"])
        if f.name == "NotificationChanged"
    }
    assert len(rows) > 3


class Recording:
    """Provider, directory and input of delivery that record their calls."""

    def __init__(self) -> None:
        self.called: list[Outgoing] = []
        self.sent: list[tuple[str, Message]] = []

    async def call(self, outgoing: Outgoing, timeout_s: float) -> CallResult:
        assert timeout_s > 0
        self.called.append(outgoing)
        return CallResult("accepted")

    def of(self, realm: str) -> Recording:  # noqa: ARG002
        return self

    async def get(self, person: str, **_: Any) -> Contact | None:
        return Contact(
            person=person,
            name="N.",
            points=(ContactPoint(channel=Channel.SMS, address="+33600000000", verified_at=T0),),
        )

    async def send(self, _topic: str, realm: str, message: Message, **_: Any) -> tuple[int, int]:
        self.sent.append((realm, message))
        return 0, 0


@pytest.mark.parametrize("realm", [*EXERCISES, LIVE])
async def test_even_a_grant_in_hand_is_not_used_outside_the_live_realm(realm: str) -> None:
    """The second line: the last step before a provider checks the realm again."""
    world = Recording()
    links, returns = AnswerLinks(b"k" * 32), ProviderLinks(b"k" * 32)
    outbox = AttemptView(RUN, lambda: 0.0)
    sender = Sender(
        world,
        world,
        _NoTexts(),
        ChannelDrivers({Channel.SMS: world}),
        links,
        returns,
        "https://vigie.example",
        outbox=outbox,
        monotonic=lambda: 0.0,
    )
    granted = AttemptGranted(
        notification=FORGED,
        attempt=FORGED,
        run=RUN,
        channel=Channel.SMS,
        person="dgs",
        limit_ms=30_000,
    )
    await sender._carry_out(GrantedCall(realm, row("dgs"), granted, "c", 0.0))
    assert len(world.called) == (1 if realm == LIVE else 0)
    assert [m.outcome for _, m in world.sent if isinstance(m, AttemptOutcome)] == [
        "accepted" if realm == LIVE else "failed"
    ]


class _NoTexts:
    async def get(self, text_id: str, *, wait_s: float = 0.0) -> None:  # noqa: ARG002
        return None
