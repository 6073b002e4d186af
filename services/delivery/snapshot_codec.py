"""Convert the state of delivery to collections for a snapshot, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from schemas.base import Instant
from schemas.delivery import HoldRow, NotificationRow
from services.delivery.callouts.callouts import CallOutProgress
from services.delivery.evolve import parse_channels
from services.delivery.notifications.bundling import BundleQueues
from services.delivery.notifications.channel_policies import (
    DEFAULT_RULES,
    ChannelPacing,
    DeliveryRules,
    dump_rules,
    load_rules,
)
from services.delivery.state import DeliveryState
from services.runtime.decider.maps import Map
from services.runtime.decider.protocol import Deadlines

T = TypeVar("T")
DumpedState = dict[str, list[tuple[str, object]]]
"""Collection → its items: JSON-able, cut into chunks anywhere, order irrelevant."""


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
    scalars = dict(dump.get("scalars", ()))
    hold, lost_at = scalars.get("hold"), scalars.get("lost_at")
    assert lost_at is None or isinstance(lost_at, int)
    notifications = _load_map(dump, "notifications", NotificationRow.model_validate)
    return DeliveryState(
        realm,
        lineage,
        notifications=notifications,
        channels=_load_map(dump, "channels", parse_channels),
        directory=_load_map(dump, "directory", parse_channels),
        staged=_load_map(dump, "staged", parse_channels) if scalars.get("staging") else None,
        hold=HoldRow.model_validate(hold) if hold else None,
        held=_load_map(dump, "held", _load_instant),
        agenda=Deadlines.restore(_load_map(dump, "due", _load_instant)),
        rules=_load_rules(dump, "in_force") or DEFAULT_RULES,
        staged_rules=_load_rules(dump, "staged"),
        pacing=ChannelPacing.load(dump),
        bundles=BundleQueues.load(dump, notifications.values()),
        managers=_load_map(dump, "managers", str),
        staged_managers=_load_map(dump, "staged_managers", str) if scalars.get("staging") else None,
        callouts=_load_map(dump, "callouts", CallOutProgress.load),
        lost_at=lost_at,
    )


def _load_rules(dump: DumpedState, name: str) -> DeliveryRules | None:
    dumped_rules = dict(dump.get("rules", ())).get(name)
    assert dumped_rules is None or isinstance(dumped_rules, dict)
    return None if dumped_rules is None else load_rules(dumped_rules)


def _load_instant(value: object) -> Instant:
    assert isinstance(value, int)
    return value


def _load_map(dump: DumpedState, name: str, load_value: Callable[[object], T]) -> Map[str, T]:
    return Map({key: load_value(value) for key, value in dump.get(name, ())})
