"""A delivery decider in memory. Deadlines fire in order before each input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.base import Fact, Instant, Message
from schemas.calling import NotificationPlanned, NotificationWithdrawn
from schemas.commands import AnswerNotification, HoldSending, ReplayNotification
from schemas.delivery import (
    AttemptGranted,
    AttemptOutcome,
    AttemptRow,
    ClaimAttempt,
    NotificationRow,
    ReceiptReceived,
)
from schemas.reference import ReferencePublished, Roster, RosterSection
from schemas.words import Answer, Channel, Level
from services.delivery.decider import DeliveryDecider
from services.delivery.state import DeliveryState
from services.runtime.decider.protocol import Firing, Input

T0: Instant = 1_802_340_000_000
EVERYTHING = ("app", "sms", "voice", "email", "webhook")


@dataclass
class Desk:
    realm: str = "92"
    decider: DeliveryDecider = field(default_factory=DeliveryDecider)
    now: Instant = T0
    facts: list[Fact] = field(default_factory=list)
    inputs: int = 0

    def __post_init__(self) -> None:
        self.state: DeliveryState = self.decider.initial(self.realm, "92")

    # ── what happens ───────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self, message: Message, *, after_s: float = 0) -> list[Fact]:
        """Apply one input `after_s` after the last; return its facts without those of deadlines."""
        self.wait(after_s)
        self.inputs += 1
        input_message = Input(
            f"in-{self.inputs}", self.realm, "92", "test", message, self.now, self.now, "c", "c"
        )
        return self._take(self.decider.decide(self.state, input_message))

    def wait(self, seconds: float) -> list[Fact]:
        """Time passes; returns the facts of the deadlines that fired."""
        until, fired = self.now + round(seconds * 1000), []
        while (
            deadline := self.decider.next_deadline(self.state)
        ) is not None and deadline.due <= until:
            self.now = max(self.now, deadline.due)
            fired += self._take(
                self.decider.fire(
                    self.state, Firing(deadline, self.realm, "92", self.now, self.now)
                )
            )
            assert self.state.agenda.due.get(deadline.key) != deadline.due, (
                f"{deadline.key} was not disarmed"
            )
        self.now = until
        return fired

    def chain_fact(self, fact: Fact) -> None:
        """Append a fact of the runtime itself (LossDeclared, Rebased, DeadlineFailed)."""
        self._take([fact])

    def _take(self, facts: Sequence[Fact]) -> list[Fact]:
        for fact in facts:
            self.state = self.decider.evolve(self.state, fact, "f", self.now)
        self.facts += facts
        return list(facts)

    # ── words ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def roster(self, **channels: Sequence[str]) -> None:
        """Publish a new reference version with these verified channels."""
        data = RosterSection(
            roster=Roster(
                holders=(), channels={p.replace("_", "-"): tuple(c) for p, c in channels.items()}
            )
        )
        self.tell(ReferencePublished(reference="r1", data=data, last=True))

    def plan(
        self, id: str = "n1", channels: Sequence[Channel] = (Channel.SMS,), **changes: Any
    ) -> NotificationRow:
        """Plan a notification to `dgs`, as alerts does."""
        planned: dict[str, Any] = {
            "notification": id,
            "level": Level.N3,
            "role": "dgs_directeur_de_crise",
            "person": "dgs",
            "channels": tuple(channels),
            "template": "incident_wave",
            "planned_at": self.now,
            **changes,
        }
        self.tell(NotificationPlanned(**planned))
        return self.row(id)

    def row(self, id: str = "n1") -> NotificationRow:
        return self.state.notifications[id]

    def attempt(self, id: str = "n1") -> AttemptRow:
        """Return the newest attempt."""
        return self.row(id).attempts[-1]

    def claim(self, run: str = "run-1", id: str = "n1") -> AttemptGranted | None:
        """Claim the newest attempt as a sender run."""
        facts = self.tell(ClaimAttempt(notification=id, attempt=self.attempt(id).id, run=run))
        return next((f for f in facts if isinstance(f, AttemptGranted)), None)

    def outcome(
        self,
        outcome: Any,
        *,
        number: int | None = None,
        run: str = "run-1",
        id: str = "n1",
        retry: bool = False,
        asked_s: int | None = None,
        parts: int = 1,
        receipts: bool = True,
    ) -> list[Fact]:
        """Report the result of the provider as the run."""
        attempt = self.attempt(id) if number is None else self.row(id).attempts[number - 1]
        error = None if outcome == "accepted" else "550 no such user"
        outcome_fields: dict[str, Any] = {
            "outcome": outcome,
            "error": error,
            "retry": retry,
            "retry_after_s": asked_s,
            "parts": parts,
        }
        outcome_fields |= {"receipts": receipts}
        return self.tell(
            AttemptOutcome(notification=id, attempt=attempt.id, run=run, **outcome_fields)
        )

    def receipt(
        self, state: Any = "received", *, number: int | None = None, id: str = "n1"
    ) -> list[Fact]:
        """Report a receipt of the provider."""
        attempt = self.attempt(id) if number is None else self.row(id).attempts[number - 1]
        return self.tell(ReceiptReceived(notification=id, attempt=attempt.id, state=state))

    def answer(
        self,
        answer: Answer = Answer.ACK,
        *,
        person: str = "dgs",
        id: str = "n1",
        channel: str = "sms",
    ) -> list[Fact]:
        """Answer as a person."""
        return self.tell(
            AnswerNotification(
                author=person,
                role="r",
                notification=id,
                person=person,
                answer=answer,
                channel=channel,
            )
        )

    def withdraw(self, id: str = "n1") -> list[Fact]:
        """Withdraw the notification, as alerts does."""
        return self.tell(NotificationWithdrawn(notification=id, why="superseded"))

    def replay(self, id: str = "n1", role: str = "coordinator") -> list[Fact]:
        """Replay the notification as the coordinator."""
        return self.tell(ReplayNotification(author="coord-pca", role=role, notification=id))

    def hold(self, seconds: float) -> list[Fact]:
        """Hold sending as the coordinator."""
        return self.tell(
            HoldSending(
                author="coord-pca",
                role="coordinator",
                reason="text:1",
                until=self.now + round(seconds * 1000),
            )
        )


def desk(realm: str = "92", channels: Sequence[str] = EVERYTHING) -> Desk:
    """Build a desk with one person, `dgs`, with these verified channels."""
    made = Desk(realm)
    made.roster(dgs=channels)
    return made
