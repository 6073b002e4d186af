"""State of delivery in one realm, and its collections for a snapshot."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from schemas.base import Instant
from schemas.delivery import HoldRow, NotificationRow
from schemas.words import Channel
from services.delivery.callouts.callouts import CallOutProgress
from services.delivery.notifications.bundling import BundleQueues
from services.delivery.notifications.channel_policies import (
    DEFAULT_RULES,
    ChannelPacing,
    DeliveryRules,
    dump_rules,
    load_rules,
)
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadlines

DumpedState = dict[str, list[tuple[str, Any]]]
"""Collection → its items: JSON-able, cut into chunks anywhere, order irrelevant."""


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


T = TypeVar("T")


def dump_state(state: DeliveryState) -> DumpedState:
    """Dump the state into JSON-able collections."""
    hold = state.hold.model_dump(mode="json", exclude_defaults=True) if state.hold else None
    return {
        "notifications": [
            (row.id, row.model_dump(mode="json", exclude_defaults=True))
            for row in state.notifications.values()
        ],
        "channels": [(person, list(channels)) for person, channels in state.channels.items()],
        "directory": [(person, list(channels)) for person, channels in state.directory.items()],
        "staged": [(person, list(channels)) for person, channels in (state.staged or {}).items()],
        "held": list(state.held.items()),
        "due": list(state.agenda.due.items()),
        "scalars": [
            ("hold", hold),
            ("staging", state.staged is not None),
            ("lost_at", state.lost_at),
        ],
        "rules": [
            (name, dump_rules(rules))
            for name, rules in (("in_force", state.rules), ("staged", state.staged_rules))
            if rules is not None and rules is not DEFAULT_RULES
        ],
        **state.pacing.dump(),
        **state.bundles.dump(),
        "managers": list(state.managers.items()),
        "staged_managers": list((state.staged_managers or {}).items()),
        "callouts": [(id, one.dump()) for id, one in state.callouts.items()],
    }


def load_state(realm: str, lineage: str, dump: DumpedState) -> DeliveryState:
    """Restore a state from a dump."""
    scalars, rules = dict(dump.get("scalars", ())), dict(dump.get("rules", ()))
    hold = scalars.get("hold")
    notifications = _load_map(dump, "notifications", NotificationRow.model_validate)
    return DeliveryState(
        realm,
        lineage,
        notifications=notifications,
        channels=_load_map(dump, "channels", parse_channels),
        directory=_load_map(dump, "directory", parse_channels),
        staged=_load_map(dump, "staged", parse_channels) if scalars.get("staging") else None,
        hold=HoldRow.model_validate(hold) if hold else None,
        held=_load_map(dump, "held", int),
        agenda=Deadlines.restore(_load_map(dump, "due", int)),
        rules=load_rules(rules["in_force"]) if "in_force" in rules else DEFAULT_RULES,
        staged_rules=load_rules(rules["staged"]) if "staged" in rules else None,
        pacing=ChannelPacing.load(dump),
        bundles=BundleQueues.load(dump, notifications.values()),
        managers=_load_map(dump, "managers", str),
        staged_managers=_load_map(dump, "staged_managers", str) if scalars.get("staging") else None,
        callouts=_load_map(dump, "callouts", CallOutProgress.load),
        lost_at=scalars.get("lost_at"),
    )


def _load_map(dump: DumpedState, name: str, load_value: Callable[[Any], T]) -> Map[str, T]:
    return Map({key: load_value(value) for key, value in dump.get(name, ())})


def parse_channels(names: Iterable[str]) -> tuple[Channel, ...]:
    return tuple(Channel(name) for name in names if name in Channel.__members__.values())
