"""State of delivery in one realm."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from schemas.base import Instant
from schemas.delivery import HoldRow, NotificationRow
from schemas.words import Channel
from services.delivery.callouts.callouts import CallOutProgress
from services.delivery.notifications.bundling import BundleQueues
from services.delivery.notifications.channel_policies import (
    DEFAULT_RULES,
    ChannelPacing,
    DeliveryRules,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadlines


@dataclass(frozen=True, slots=True)
class DeliveryState:
    realm: str
    lineage: str
    notifications: Map[str, NotificationRow] = Map()
    channels: Map[str, tuple[Channel, ...]] = Map()
    """Person token → verified channels, of the roster in force."""
    directory: Map[str, tuple[Channel, ...]] = Map()
    """Person token → channels of the directory, which override the roster."""
    staged: Map[str, tuple[Channel, ...]] | None = None
    """Person token → channels of a reference version that is still arriving."""
    hold: HoldRow | None = None
    held: Map[str, Instant] = Map()
    """Notifications that wait for the end of the hold → planned_at."""
    agenda: Deadlines = field(default_factory=Deadlines)
    rules: DeliveryRules = DEFAULT_RULES
    """Channel policies and limits of the reference version in force."""
    staged_rules: DeliveryRules | None = None
    pacing: ChannelPacing = ChannelPacing()
    bundles: BundleQueues = BundleQueues()
    callouts: Map[str, CallOutProgress] = Map()
    managers: Map[str, str] = Map()
    """Site → person token of its manager, of the roster in force.

    Alerts knows who is on call; this stays for the state hash of logs of earlier releases.
    """
    staged_managers: Map[str, str] | None = None
    lost_at: Instant | None = None
    """Time of the last declared loss; the lost history may have sent earlier notifications."""

    def list_verified_channels(self, person: str) -> tuple[Channel, ...]:
        """Return the channels that reach a person."""
        return self.directory.get(person, self.channels.get(person, ()))

    @property
    def sending_held(self) -> bool:
        """True while a hold is in force."""
        return self.hold is not None and self.hold.held


def index_state(state: DeliveryState) -> DeliveryState:
    """Rebuild the indexes, after loading a dump."""
    return replace(
        state,
        agenda=Deadlines.restore(state.agenda.due),
        bundles=state.bundles.with_indexes(state.notifications.values()),
    )


def parse_channels(names: Iterable[str]) -> tuple[Channel, ...]:
    return tuple(Channel(name) for name in names if name in Channel.__members__.values())
