"""State of delivery in one realm: the notifications, who can be reached how, the hold, and what is due."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.base import Instant
from schemas.delivery import HoldRow, NotificationRow
from schemas.words import Channel
from services.delivery.callouts.callouts import CallOut
from services.delivery.notifications.bundling import Bundles
from services.delivery.notifications.channel_policies import DEFAULT, Rules
from services.delivery.notifications.rate_limits import Pacing
from services.runtime.decider.deadlines import Agenda
from services.runtime.decider.maps import Map


@dataclass(frozen=True, slots=True)
class DeliveryState:
    realm: str
    lineage: str
    notifications: Map[str, NotificationRow] = Map()
    channels: Map[str, tuple[Channel, ...]] = Map()
    """Person token → verified channels, of the roster in force."""
    directory: Map[str, tuple[Channel, ...]] = Map()
    """The same as the directory said it since, which stands above the roster."""
    staged: Map[str, tuple[Channel, ...]] | None = None
    """The same of a reference version that is still arriving."""
    hold: HoldRow | None = None
    held: Map[str, Instant] = Map()
    """Notifications that wait for the end of the hold → planned_at."""
    agenda: Agenda = field(default_factory=Agenda)
    rules: Rules = DEFAULT
    """What providers carry and promise, of the reference in force."""
    staged_rules: Rules | None = None
    pacing: Pacing = Pacing()
    bundles: Bundles = Bundles()
    callouts: Map[str, CallOut] = Map()
    managers: Map[str, str] = Map()
    """Site → person token of its manager, of the roster in force."""
    staged_managers: Map[str, str] | None = None
    lost_at: Instant | None = None
    """When a loss of this log was last declared: what was planned up to then may have been sent in the lost history."""

    def verified(self, person: str) -> tuple[Channel, ...]:
        """Channels on which a person can be reached."""
        return self.directory.get(person, self.channels.get(person, ()))

    @property
    def sending_held(self) -> bool:
        """True while a hold is in force."""
        return self.hold is not None and self.hold.held


def attempt_key(notification: str, number: int) -> str:
    """Deadline of one attempt."""
    return f"attempt/{notification}/{number}"


def held_key(notification: str) -> str:
    """Deadline at which a held notification goes out after the hold."""
    return f"held/{notification}"


def loss_key(notification: str) -> str:
    """Deadline at which the open attempt of a notification becomes ambiguous after a declared loss."""
    return f"loss/{notification}"


def later_key(notification: str) -> str:
    """Deadline at which a notification goes out that waits for the hours of its channel, or for the next digest."""
    return f"later/{notification}"


def pace_key(channel: Channel) -> str:
    """Deadline at which the next of those who wait for a provider's pace go out."""
    return f"pace/{channel.value}"


def callout_key(callout: str, what: str) -> str:
    """Deadlines of a call-out: `next` people, `progress`, `withdraw` the rest after a stop."""
    return f"callout/{callout}/{what}"


HOLD_KEY = "hold"
